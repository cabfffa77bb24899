"""`list_domains = false`: nobody is told of another customer, in any answer."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TWO_DOMAINS
from werkzeug.test import Client, TestResponse

from flask_autoconfig import create_app
from flask_autoconfig.documents import outlook

Write = Callable[..., Path]
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
V2 = "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1"
PACC = "/.well-known/user-agent-configuration.json"
PROFILE = "/email.mobileconfig"
SECOND = "fred@second.test"


@pytest.fixture
def client(toml: Write) -> Client:
    return Client(create_app(toml(HOSTER)))


def get(path: str, host: str) -> Callable[[Client], TestResponse]:
    return lambda client: client.get(path, headers={"Host": host})


# Each answer, and the name that stands in it for the id.
ANSWERS = {
    "Thunderbird's, by address": (
        get(f"{CONFIG}?emailaddress={SECOND}", "www.test"),
        "second.test",
    ),
    "Thunderbird's, by host": (get(CONFIG, "autoconfig.second.test"), "second.test"),
    "Thunderbird's, by a pattern": (
        get(CONFIG, "autoconfig.a.third.test"),
        "a.third.test",
    ),
    "Thunderbird's, by MX host": (
        get(CONFIG, "autoconfig.mx.hoster.test"),
        "mx.hoster.test",
    ),
    "Thunderbird's, by another MX host": (
        get(CONFIG, "autoconfig.in.hoster.test"),
        "in.hoster.test",
    ),
    "Thunderbird's, by MX host and address": (
        get(f"{CONFIG}?emailaddress=a@customer.test", "autoconfig.mx.hoster.test"),
        "customer.test",
    ),
    "PACC": (get(PACC, "ua-auto-config.second.test"), "second.test"),
    "PACC by MX host": (get(PACC, "ua-auto-config.mx.hoster.test"), "mx.hoster.test"),
    "POX by POST": (
        lambda client: client.post(POX, data=outlook.request(SECOND)),
        SECOND,
    ),
    "POX by GET": (get(POX, "autodiscover.second.test"), "second.test"),
    "POX by GET and MX host": (
        get(POX, "autodiscover.mx.hoster.test"),
        "pop.example.com",  # it has no place for a name
    ),
    "version 2": (get(f"{V2}&Email={SECOND}", "192.0.2.1"), "autodiscover.second.test"),
    "version 2 by MX host": (get(V2, "mx.hoster.test"), "//mx.hoster.test/"),
    "Apple's": (get(PROFILE, "second.test"), "second.test"),
    "Apple's, by MX host": (get(PROFILE, "mx.hoster.test"), "mx.hoster.test"),
    "Apple's, by address": (
        get(f"{PROFILE}?email={SECOND}", "www.test"),
        "second.test",
    ),
    "the redirect": (get("/.well-known/caldav", "second.test"), "second.test"),
    "the redirect by MX host": (
        get("/.well-known/caldav", "mx.hoster.test"),
        "mx.hoster.test",
    ),
    "the page": (get(f"/mail/setup?emailaddress={SECOND}", "www.test"), "second.test"),
}


@pytest.mark.parametrize(("ask", "name"), ANSWERS.values(), ids=ANSWERS.keys())
def test_no_answer_names_the_first_customer_to_another(
    client: Client, ask: Callable[[Client], TestResponse], name: str
) -> None:
    # What was said to the first one, and is kept, must not go to the next.
    for host in ("autoconfig.first.test", "first.test"):
        for path in (CONFIG, PACC, POX, PROFILE, "/.well-known/caldav"):
            assert client.get(path, headers={"Host": host}).status_code in (200, 301)
    for _ in range(2):
        reply = ask(client)
        assert reply.status_code in (200, 301)
        everything = f"{reply.headers}{reply.text}"
        assert "first.test" not in everything
        assert name in everything


@pytest.mark.parametrize("path", [CONFIG, PACC, POX, PROFILE, "/.well-known/caldav"])
def test_who_names_nothing_is_not_told_of_the_first_customer_either(
    client: Client, path: str
) -> None:
    reply = client.get(path, headers={"Host": "192.0.2.1"})
    assert reply.status_code in (200, 301, 404)
    assert "first.test" not in f"{reply.headers}{reply.text}"


def test_a_profile_is_called_after_whoever_asks(client: Client) -> None:
    reply = get(PROFILE, "second.test")(client)
    assert 'filename="second.test.mobileconfig"' in reply.headers["Content-Disposition"]
    profile = plistlib.loads(reply.data)
    assert profile["PayloadIdentifier"].startswith("test.second.autoconfig.")
    assert profile["PayloadOrganization"] == "second.test"


def test_mustang_finds_the_domain_of_the_mx_host_that_it_asked(client: Client) -> None:
    reply = get(CONFIG, "autoconfig.mx.hoster.test")(client)
    assert "<domain>mx.hoster.test</domain>" in reply.text


@pytest.mark.parametrize(
    ("more", "host", "name"),
    [
        ("list_domains = false", "first.test", "first.test"),
        ('id = "id.test"\nlist_domains = false', "second.test", "id.test"),
        ('id = "id.test"\nlist_domains = false', "mx.hoster.test", "id.test"),
        ("list_domains = true", "second.test", "first.test"),
    ],
    ids=[
        "the first one's own",
        "an id",
        "an id, by MX host",
        "domains that are listed",
    ],
)
def test_an_id_stays_where_it_tells_nobody_of_another(
    toml: Write, more: str, host: str, name: str
) -> None:
    client = Client(create_app(toml(HOSTER.replace("list_domains = false", more))))
    reply = get(CONFIG, f"autoconfig.{host}")(client)
    assert f'<emailProvider id="{name}">' in reply.text
