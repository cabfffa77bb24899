"""With `list_domains = false` no response names another customer."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from support import (
    TWO_DOMAINS,
    Asking,
    Write,
    asking,
    assert_answered,
    assert_served,
    rows,
    table,
)

from flask_autoconfig import create_app

HOSTER = (
    TWO_DOMAINS.replace(
        'domains = ["example.com", "example2.com"]',
        'domains = ["first.test", "second.test", "*.third.test"]\n'
        'mx_domains = ["mx.hoster.test", "in.hoster.test"]\nlist_domains = false',
    ).replace("imap.example.com", "%EMAILDOMAIN%.imap.test")
    + '[[provider.calendar]]\ntype = "caldav"\nurl = "https://dav.test/%EMAILDOMAIN%/"\n'
)
CONFIG = "/mail/config-v1.1.xml"
PROFILE = "/email.mobileconfig"


@pytest.fixture
def get(toml: Write) -> Asking:
    """A function that sends a request to the hoster."""
    return asking(create_app(toml(HOSTER)))


def test_no_response_names_the_first_customer_to_another(get: Asking) -> None:
    for row in [*table("requests", "tables.toml").values()] * 2:
        assert_answered(get, row)


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
