"""What a document offers: only servers that its readers can use, with complete values."""

import json
import plistlib
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from support import IMAP, SMTP, problems_of, provider_of, rows
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.address import parse_address
from flask_autoconfig.config.tables import Provider
from flask_autoconfig.documents import Recipient, apple, outlook, pacc, thunderbird
from flask_autoconfig.documents.thunderbird_reader import Reader

DOMAIN = "example.com"
FRED = Recipient(DOMAIN, parse_address(f"fred@{DOMAIN}"))


MAIL = {"incoming": [IMAP], "outgoing": [SMTP]}


def provider(**more: Any) -> Provider:
    return provider_of(**MAIL | more)


def element(provider: Provider, path: str, domain: str = DOMAIN) -> str | None:
    text: str | None = fromstring(
        thunderbird.write(provider, Recipient(domain))
    ).findtext(f"emailProvider/{path}")
    return text


def test_a_document_names_the_provider_by_the_domain_asked_for_or_the_id() -> None:
    two = provider(domains=[DOMAIN, "example.net"])
    assert element(two, "displayName") == DOMAIN
    assert element(two, "displayName", "example.net") == "example.net"
    nobody = thunderbird.write(provider(id="mail.example.com"))
    assert b"<displayName>mail.example.com</displayName>" in nobody
    assert element(provider(display_name="Example"), "displayName") == "Example"


@pytest.mark.parametrize("domain", [DOMAIN, "example.net", "any.example.org"])
@pytest.mark.parametrize("list_domains", [True, False])
@pytest.mark.parametrize("more", [{}, {"id": "mail.example.com"}, {"id": DOMAIN}])
def test_a_shared_text_is_the_document_of_each_domain(
    domain: str, list_domains: bool, more: dict[str, str]
) -> None:
    domains = [DOMAIN, "example.net", "*.example.org"]
    raw = {**MAIL, "domains": domains, "list_domains": list_domains, **more}
    client = Client(create_app({"AUTOCONFIG": {"provider": [raw]}}))
    recipient = Recipient(domain, exact=domain in domains)
    written = thunderbird.write(provider_of(**raw), recipient)
    path = f"/mail/config-v1.1.xml?emailaddress=fred@{domain}"
    assert client.get(path).data == written


@rows("endpoints", "type_, key, url, expected", "tables.toml")
def test_the_endpoint_of_a_url_is_written_beside_it_and_read_back_as_the_url_alone(
    type_: str, key: str, url: str, expected: list[str]
) -> None:
    server = {"type": type_, key: url}
    exchange = provider(incoming=[IMAP, server])
    path = f"incomingServer[@type='{type_}']/"
    tags = ("hostname", "port", "socketType")
    assert [element(exchange, path + tag) for tag in tags] == expected
    back = Reader().read(thunderbird.write(exchange))["incoming"][1]
    assert {key: back[key] for key in server} == server
    assert not {"hostname", "port", "socket_type"} & back.keys()


def test_each_client_gets_the_best_calendar_that_it_has_a_method_for() -> None:
    calendars = [
        {"type": "caldav", "url": "https://a.test/", "authentication": "OAuth2"},
        {"type": "caldav", "url": "https://b.test/"},
    ]
    two = provider(calendar=calendars)
    document = outlook.write(two, FRED) or b""
    assert b"https://a.test/" not in document
    assert b"https://b.test/" in document
    _, calendar = plistlib.loads(apple.write(two, FRED) or b"")["PayloadContent"]
    assert calendar["CalDAVHostName"] == "b.test"
    assert [place for place, _ in apple.left_out(two)] == ["calendar[0]"]
    places = [place for place, _ in outlook.left_out(two)]
    assert places == ["calendar[0].authentication"]


@rows("issuers", "issuer, published", "tables.toml")
def test_pacc_publishes_an_issuer_to_be_compared(issuer: str, published: str) -> None:
    login = {"authentication": ["OAuth2", "password-cleartext"]}
    more = {"oauth2": {"issuer": issuer}, "incoming": [IMAP | login]}
    if not published:
        (problem,) = problems_of(lambda: provider(**more))
        assert problem.place == "provider[0].oauth2.issuer"
        return
    both = provider(outgoing=[SMTP | login], **more)
    document = json.loads(pacc.write(both, Recipient(DOMAIN)) or b"")
    assert document["authentication"]["oauth-public"] == {"issuer": published}
