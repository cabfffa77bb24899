"""What a document offers: only servers that its readers can use, with complete values."""

from __future__ import annotations

import json
import plistlib
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from support import rows
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.address import parse_address
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.tables import Provider
from flask_autoconfig.documents import Recipient, apple, outlook, pacc, thunderbird
from flask_autoconfig.documents.thunderbird_reader import Reader
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.tools.warnings import find_warnings

DOMAIN = "example.com"
FRED = Recipient(DOMAIN, parse_address(f"fred@{DOMAIN}"))
IMAP = {"type": "imap", "hostname": "imap.example.com"}
SMTP = {"type": "smtp", "hostname": "smtp.example.com"}


def table(**more: Any) -> dict[str, Any]:
    return {"domains": [DOMAIN], "incoming": [IMAP], "outgoing": [SMTP], **more}


def provider(**more: Any) -> Provider:
    return from_raw({"provider": [table(**more)]}).providers[0]


def problems(**more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        provider(**more)
    return [f"{problem.place}: {problem.message}" for problem in caught.value.problems]


# --- config-v1.1.xml -------------------------------------------------------------------


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
    raw = table(domains=domains, list_domains=list_domains, **more)
    client = Client(create_app({"AUTOCONFIG": {"provider": [raw]}}))
    exact = domain in domains
    written = thunderbird.write(
        from_raw({"provider": [raw]}).providers[0], Recipient(domain, exact=exact)
    )
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


# --- Methods ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OAuth2", "GSSAPI", "TLS-client-cert"])
def test_a_server_without_a_method_for_a_password_is_not_offered(method: str) -> None:
    only = provider(
        incoming=[IMAP | {"authentication": method}],
        outgoing=[SMTP | {"authentication": method}],
        calendar=[
            {"type": "caldav", "url": "https://a.test/", "authentication": method}
        ],
    )
    assert outlook.write(only, FRED) is None
    assert apple.write(only, FRED) is None
    places = ["incoming[0]", "outgoing[0]", "calendar[0]"]
    assert [place for place, _ in apple.left_out(only)] == places
    methods = [f"{place}.authentication" for place in places]
    assert [place for place, _ in outlook.left_out(only)] == methods


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


def test_an_unknown_login_is_asked_for_once() -> None:
    """Without an address the device asks for name and password, for both servers."""
    same = {}
    for outgoing in (SMTP, SMTP | {"authentication": "none"}):
        of_domain = Recipient(DOMAIN)
        profile = apple.write(provider(outgoing=[outgoing]), of_domain)
        (mail,) = plistlib.loads(profile or b"")["PayloadContent"]
        same[outgoing.get("authentication")] = mail[
            "OutgoingPasswordSameAsIncomingPassword"
        ]
    assert same == {None: True, "none": False}


def test_ntlm_is_announced_where_it_is_the_best_method_that_outlook_has() -> None:
    methods = ["GSSAPI", "NTLM", "password-cleartext"]
    both = provider(incoming=[IMAP | {"authentication": methods}])
    root = fromstring(outlook.write(both, FRED) or b"")
    assert [spa.text for spa in root.iter(f"{{{outlook.RESPONSE}}}SPA")] == [
        "on",
        "off",
    ]


def test_exchange_web_services_have_the_url_that_gnome_requires_first() -> None:
    url = "https://x.test/ews"
    raw = {"domains": [DOMAIN], "incoming": [{"type": "ews", "url": url}]}
    found = from_raw({"provider": [raw]}).providers[0]
    root = fromstring(outlook.write(found, FRED) or b"")
    protocols = list(root.iter(f"{{{outlook.RESPONSE}}}Protocol"))
    assert [
        [(child.tag.rpartition("}")[2], child.text) for child in protocol]
        for protocol in protocols
    ] == [
        [("Type", type_), ("ASUrl", url), ("EwsUrl", url)] for type_ in ("EXCH", "EXPR")
    ]
    beside = provider(incoming=[IMAP, {"type": "ews", "url": url}])
    assert b"<Type>EX" not in (outlook.write(beside, FRED) or b"<Type>EX")


# --- ActiveSync in a profile --------------------------------------------------------------


def eas(**more: Any) -> dict[str, Any] | None:
    server = {"type": "activesync", "url": "https://eas.example.com/", **more}
    raw = {"domains": [DOMAIN], "incoming": [server]}
    profile = apple.write(from_raw({"provider": [raw]}).providers[0], FRED)
    content = plistlib.loads(profile)["PayloadContent"] if profile else [None]
    found: dict[str, Any] | None = content[0]
    return found


def test_a_profile_sets_up_activesync_where_there_is_no_other_mail() -> None:
    payload = eas(username="%EMAILLOCALPART%") or {}
    assert payload["PayloadType"] == "com.apple.eas.account"
    keys = ("Host", "SSL", "EmailAddress", "UserName", "OAuth")
    values = ("eas.example.com", True, "fred@example.com", "fred", False)
    assert tuple(map(payload.get, keys)) == values
    assert "Password" not in payload
    assert (eas(authentication="OAuth2") or {})["OAuth"] is True
    assert eas(url="https://eas.example.com:8443/") is None
    both = provider(incoming=[IMAP, {"type": "activesync", "url": "https://e.test/"}])
    profile = plistlib.loads(apple.write(both, FRED) or b"")
    kinds = [payload["PayloadType"] for payload in profile["PayloadContent"]]
    assert kinds == ["com.apple.mail.managed"]


# --- Values ----------------------------------------------------------------------------


@rows("issuers", "issuer, published", "tables.toml")
def test_pacc_publishes_an_issuer_to_be_compared(issuer: str, published: str) -> None:
    login = {"authentication": ["OAuth2", "password-cleartext"]}
    more = {"oauth2": {"issuer": issuer}, "incoming": [IMAP | login]}
    if not published:
        (problem,) = problems(**more)
        assert problem.startswith("provider[0].oauth2.issuer: ")
        return
    both = provider(outgoing=[SMTP | login], **more)
    document = json.loads(pacc.write(both, Recipient(DOMAIN)) or b"")
    assert document["authentication"]["oauth-public"] == {"issuer": published}


@pytest.mark.parametrize("login", ["user:secret@", "user@", ":secret@", "%REALNAME%@"])
def test_a_url_with_login_data_is_an_error_that_does_not_repeat_it(login: str) -> None:
    url = f"https://{login}dav.example.com/"
    found = problems(
        calendar=[{"type": "caldav", "url": url}],
        webmail={"login_page": url},
        oauth2={"issuer": url},
    )
    assert len(found) == 3
    assert "secret" not in "".join(found)
    assert "user" not in "".join(found).replace("user name", "")


def test_a_web_socket_is_for_xmpp_alone() -> None:
    url = "wss://chat.example.com/ws"
    chat = provider(chat=[{"type": "xmpp", "url": url}])
    document = fromstring(thunderbird.write(chat))
    assert document.findtext("chatServer/url") == url
    assert problems(calendar=[{"type": "caldav", "url": url}]) == [
        "provider[0].calendar[0].url: a wss URL is for servers of the type xmpp (RFC 7395)"
    ]
    (problem,) = problems(logo_url=url)
    assert problem.startswith("provider[0].logo_url: expected an https URL")


def test_pacc_omits_the_default_port_and_a_logo_without_a_known_type() -> None:
    web = {"type": "caldav", "url": "https://dav.example.com:443/cal/"}
    for logo, expected in (
        ("https://example.com/logo.svg?v=2", "image/svg+xml"),
        ("https://example.com/logo", None),
        ("https://example.com/logo.html", None),
    ):
        found = provider(calendar=[web], logo_url=logo)
        document = json.loads(pacc.write(found, Recipient(DOMAIN)) or b"")
        assert document["protocols"]["caldav"] == {
            "url": "https://dav.example.com/cal/"
        }
        said = document["info"]["provider"].get("logo")
        assert said == (expected and [{"url": logo, "content-type": expected}])


# --- What is read and what is warned about ------------------------------------------------


@pytest.mark.parametrize("type_", ["activesync", "activeSync"])
def test_both_spellings_of_activesync_are_read(type_: str) -> None:
    url = "https://eas.example.com/"
    document = thunderbird.write(
        provider(incoming=[{"type": "activesync", "url": url}])
    )
    document = document.replace(b'"activesync"', f'"{type_}"'.encode())
    (found,) = Reader().read(document)["incoming"]
    assert (found["type"], found["url"]) == ("activesync", url)


@pytest.mark.parametrize("path", ["", "/", "/cal/", "/.well-known/caldav"])
def test_a_calendar_url_without_a_path_is_a_warning(path: str) -> None:
    calendar = [{"type": "caldav", "url": f"https://dav.example.com{path}"}]
    places = [found.place for found in find_warnings([provider(calendar=calendar)])]
    assert places == ["provider[0].calendar[0].url"] * (not path)
