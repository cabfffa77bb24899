"""With `list_domains = false` no response names another customer."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from support import TWO_DOMAINS, Asking, Write, asking, assert_served, rows, table
from werkzeug.test import TestResponse

from flask_autoconfig import create_app
from flask_autoconfig.documents import outlook

HOSTER = (
    TWO_DOMAINS.replace(
        'domains = ["example.com", "example2.com"]',
        'domains = ["first.test", "second.test", "*.third.test"]\n'
        'mx_domains = ["mx.hoster.test", "in.hoster.test"]\nlist_domains = false',
    ).replace("imap.example.com", "%EMAILDOMAIN%.imap.test")
    + '[[provider.calendar]]\ntype = "caldav"\nurl = "https://dav.test/%EMAILDOMAIN%/"\n'
)
CONFIG = "/mail/config-v1.1.xml"
POX = "/autodiscover/autodiscover.xml"
PACC = "/.well-known/user-agent-configuration.json"
PROFILE = "/email.mobileconfig"
CALDAV = "/.well-known/caldav"
PATHS = (CONFIG, PACC, POX, PROFILE, CALDAV)
SECOND = "fred@second.test"


@pytest.fixture
def get(toml: Write) -> Asking:
    """A function that sends a request to the hoster."""
    return asking(create_app(toml(HOSTER)))


def shown(reply: TestResponse, *statuses: int) -> str:
    assert reply.status_code in statuses
    return f"{reply.headers}{reply.text}"


def test_no_response_names_the_first_customer_to_another(get: Asking) -> None:
    # Responses for the first customer are cached, and must not be sent to the next.
    for host in ("autoconfig.first.test", "first.test"):
        for path in PATHS:
            assert "second.test" not in shown(get(path, Host=host), 200, 301)
    for _ in range(2):
        for case, (path, host, name) in table("requests", "tables.toml").items():
            response = shown(get(path, Host=host), 200, 301)
            assert "first.test" not in response, case
            assert name in response, case
        posted = shown(get(POX, "POST", outlook.request(SECOND)), 200)
        assert "first.test" not in posted
        assert SECOND in posted
    for path in PATHS:  # a request that names no domain
        assert "first.test" not in shown(get(path, Host="192.0.2.1"), 200, 301, 404)


def test_a_profile_is_named_after_the_requested_domain(get: Asking) -> None:
    reply = get(PROFILE, Host="second.test")
    assert 'filename="second.test.mobileconfig"' in reply.headers["Content-Disposition"]
    profile = plistlib.loads(reply.data)
    assert profile["PayloadIdentifier"].startswith("test.second.autoconfig.")
    assert profile["PayloadOrganization"] == "second.test"


@rows("ids", "more, host, name", "tables.toml")
def test_an_id_that_names_no_other_customer_is_kept(
    toml: Write, more: str, host: str, name: str
) -> None:
    get = asking(create_app(toml(HOSTER.replace("list_domains = false", more))))
    reply = get(CONFIG, Host=f"autoconfig.{host}")
    assert f'<emailProvider id="{name}">' in reply.text


@rows("unknown", "row", "tables.toml")
def test_a_served_host_answers_for_unknown_domains(toml: Write, row: Any) -> None:
    """`domains` of examples/reference.toml says so."""
    assert_served(toml, row)
