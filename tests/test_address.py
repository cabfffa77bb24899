"""What is an address, and what becomes of a text with placeholders for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import TWO_DOMAINS
from werkzeug.test import Client, TestResponse

from flask_autoconfig import create_app
from flask_autoconfig.address import (
    PLACEHOLDERS,
    fill_in,
    is_for_all,
    known_part,
    parse_address,
)
from flask_autoconfig.documents import outlook

Write = Callable[..., Path]

# --- What an address is ---------------------------------------------------------------

# 193 octets: RFC 5321 allows 254 in all.
_LONG = ".".join(["d" * 62] * 3) + ".test"
ADDRESSES = {
    "64 octets before the @": ("a" * 64 + "@example.com", True),
    "65 octets before the @": ("a" * 65 + "@example.com", False),
    "64 octets in 32 letters": ("é" * 32 + "@example.com", True),
    "66 octets in 33 letters": ("é" * 33 + "@example.com", False),
    "64 octets with the quotes": (f'"{"a" * 62}"@example.com', True),
    "65 octets with the quotes": (f'"{"a" * 63}"@example.com', False),
    "254 octets in all": ("a" * 60 + "@" + _LONG, True),
    "255 octets in all": ("a" * 61 + "@" + _LONG, False),
    "254 octets in all, with a dot at the end": ("a" * 60 + f"@{_LONG}.", True),
    "a few kilobytes": ("a" * 4000 + "@example.com", False),
    "U+FFFE": ("a\ufffe@example.com", False),
    "U+FFFF": ("a\uffff@example.com", False),
    "U+FFFF in quotes": ('"a\uffff"@example.com', False),
    "half of a surrogate pair": ("a\ud800@example.com", False),
    "a C0 control character": ("a\x01@example.com", False),
    "a C0 control character in quotes": ('"a\x01"@example.com', False),
    "DEL": ("a\x7f@example.com", False),
    "a C1 control character": ("a\x9b@example.com", False),
    "a C1 control character in quotes": ('"a\x80"@example.com', False),
    "a letter beyond U+FFFF": ("\U0001f600@example.com", True),
    "dots alone": ("..@example.com", False),
    "dots between": ("a..b@example.com", True),
}
_TABLE = pytest.mark.parametrize(
    ("text", "is_one"), ADDRESSES.values(), ids=ADDRESSES.keys()
)


@_TABLE
def test_an_address_ends_where_the_standard_ends_it(text: str, is_one: bool) -> None:
    if is_one:
        assert str(parse_address(text)) == text.removesuffix(".")
    else:
        with pytest.raises(ValueError, match="not an e-mail address"):
            parse_address(text)


@given(st.text(), st.sampled_from(["example.com", _LONG, "bücher.example"]))
def test_any_text_is_an_address_that_xml_and_smtp_can_hold_or_none(
    local: str, domain: str
) -> None:
    try:
        address = parse_address(f"{local}@{domain}")
    except ValueError:
        return
    assert len(address.local.encode()) <= 64
    assert len(str(address).encode()) <= 254
    assert str(address).isprintable() or " " in local or not str(address).isascii()
    assert outlook.read_request(outlook.request(str(address))) == str(address)


def _in_query(path: str) -> Callable[[Client, str], TestResponse]:
    return lambda client, text: client.get(
        f"{path}{quote(text, errors='surrogatepass')}"
    )


def _by_pox(client: Client, text: str) -> TestResponse:
    body = outlook.request("%s") % escape(text).encode("utf-8", "surrogatepass")
    return client.post("/autodiscover/autodiscover.xml", data=body)


# Each way to hand an address over, and the status that says it is none.
FAMILIES = {
    "thunderbird": (_in_query("/mail/config-v1.1.xml?emailaddress="), "400"),
    "POX by GET": (_in_query("/autodiscover/autodiscover.xml?emailaddress="), "400"),
    "POX by POST": (_by_pox, "600"),
    "version 2": (
        _in_query("/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email="),
        "400",
    ),
    "version 2 by path": (_in_query("/autodiscover/autodiscover.json/v1.0/"), "400"),
    "apple": (_in_query("/email.mobileconfig?email="), "400"),
    "pacc": (
        _in_query("/.well-known/user-agent-configuration.json?emailaddress="),
        "400",
    ),
    "the page": (_in_query("/mail/setup?emailaddress="), "400"),
}


@pytest.fixture
def anybody(toml: Write) -> Client:
    """The service for addresses of any domain."""
    return Client(create_app(toml(TWO_DOMAINS.replace('"example2.com"', '"*"'))))


@pytest.mark.parametrize(("ask", "refusal"), FAMILIES.values(), ids=FAMILIES.keys())
@_TABLE
def test_every_family_refuses_the_same_addresses(
    anybody: Client,
    ask: Callable[[Client, str], TestResponse],
    refusal: str,
    text: str,
    is_one: bool,
) -> None:
    reply = ask(anybody, text)
    if refusal == "600":
        assert reply.status_code == 200
        assert (b"<ErrorCode>600</ErrorCode>" in reply.data) != is_one
        return
    # Version 2 by path has no protocol here: told apart by what is wrong.
    wrong = b"MandatoryParameterMissing" not in reply.data
    assert (reply.status_code == 400 and wrong) != is_one


# --- What is known of a URL while the address is not ----------------------------------


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://dav.test/", "https://dav.test/"),
        ("https://dav.test", "https://dav.test"),
        ("https://dav.%EMAILDOMAIN%/a/b", "https://dav.example.com/a/b"),
        ("https://dav.test/a/%EMAILADDRESS%/", "https://dav.test/a/"),
        ("https://dav.test/a/b-%EMAILLOCALPART%/c", "https://dav.test/a/"),
        ("https://dav.test/%REALNAME%/a", "https://dav.test/"),
        ("https://dav.test/a?user=%EMAILADDRESS%", "https://dav.test/"),
        ("https://dav.test/%EMAILDOMAIN%/%REALNAME%", "https://dav.test/example.com/"),
        ("https://%EMAILLOCALPART%.dav.test/a/", ""),
        (
            "https://dav.test:8443/a/%REALNAME%/%EMAILADDRESS%",
            "https://dav.test:8443/a/",
        ),
    ],
)
def test_a_url_is_cut_at_its_first_placeholder(url: str, known: str) -> None:
    assert known_part(url, "example.com") == known
    assert not any(name in known for name in PLACEHOLDERS)


def test_without_a_domain_the_domain_is_a_placeholder_like_the_others() -> None:
    url = "https://dav.test/a/%EMAILDOMAIN%/b"
    assert known_part(url, None) == "https://dav.test/a/"
    assert fill_in(url, None, None) == ""


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_only_the_domain_is_the_same_for_all(name: str) -> None:
    assert is_for_all(f"a {name} b") == (name == "%EMAILDOMAIN%")
