"""Addresses, and the placeholders that they fill in."""

from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import TWO_DOMAINS, Write, rows
from werkzeug.test import Client, TestResponse

from flask_autoconfig import create_app
from flask_autoconfig.address import (
    PLACEHOLDERS,
    Address,
    fill_in,
    fill_in_host,
    fill_in_url,
    is_for_all,
    known_part,
    parse_address,
)
from flask_autoconfig.documents import outlook

# --- Addresses ------------------------------------------------------------------------

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


@given(st.text(), st.sampled_from(["example.com", _LONG, "bücher.example"]))
def test_every_valid_address_fits_into_xml_and_smtp(local: str, domain: str) -> None:
    try:
        address = parse_address(f"{local}@{domain}")
    except ValueError:
        return
    assert len(address.local.encode()) <= 64
    assert len(str(address).encode()) <= 254
    assert str(address).isprintable() or " " in local or not str(address).isascii()
    assert outlook.read_request(outlook.request(str(address)))[0] == str(address)


Send = Callable[[Client, str], TestResponse]


def _in_url(url: str) -> Send:
    return lambda client, text: client.get(url + quote(text, errors="surrogatepass"))


def _in_pox(client: Client, text: str) -> TestResponse:
    body = outlook.request("%s") % escape(text).encode("utf-8", "surrogatepass")
    return client.post("/autodiscover/autodiscover.xml", data=body)


V2 = "/autodiscover/autodiscover.json"
_profile, _page = _in_url("/email.mobileconfig?email="), _in_url("/mail/setup?email=")
ENTRIES: dict[str, Send] = {
    "thunderbird": _in_url("/mail/config-v1.1.xml?emailaddress="),
    "POX by GET": _in_url("/autodiscover/autodiscover.xml?emailaddress="),
    "POX by POST": _in_pox,
    "version 2": _in_url(f"{V2}?Protocol=AutodiscoverV1&Email="),
    "version 2 by path": _in_url(f"{V2}/v1.0/"),
    "apple": _profile,
    "pacc": _in_url("/.well-known/user-agent-configuration.json?emailaddress="),
    "the page": _page,
}


def _is_refused(response: TestResponse) -> bool:
    """Return whether the response is an error on account of the address."""
    if b"<ErrorCode>" in response.data:
        assert response.status_code == 200
        return b"<ErrorCode>600</ErrorCode>" in response.data
    # Autodiscover v2 by path has no protocol here, which is another error.
    missing = b"MandatoryParameterMissing"
    return response.status_code == 400 and missing not in response.data


def test_every_family_takes_an_address_within_the_limits(toml: Write) -> None:
    client = Client(create_app(toml(TWO_DOMAINS.replace('"example2.com"', '"*"'))))
    for name, (text, is_valid) in ADDRESSES.items():
        for family, send in ENTRIES.items():
            assert _is_refused(send(client, text)) != is_valid, (name, family)
        if is_valid:
            assert str(parse_address(text)) == text.removesuffix(".")
    for family, send in ENTRIES.items():
        assert not _is_refused(send(client, "fred%40example.com")), family
    assert parse_address("a%2Fb%40example.com").local == "a/b"


# --- Placeholders --------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_placeholders_in_an_address_are_not_filled_in(name: str) -> None:
    address = parse_address(name * 3 + "@example.com")
    local = address.local
    assert fill_in("%EMAILADDRESS%", None, address) == f"{local}@example.com"
    assert fill_in("%REALNAME%%EMAILLOCALPART%", None, address) == local * 2
    assert fill_in_url("https://a.test/%REALNAME%", None, address) == (
        f"https://a.test/{local.replace('%', '%25')}"
    )


@given(st.text(), st.lists(st.sampled_from([*PLACEHOLDERS, "%", "a", "@"])))
def test_each_placeholder_is_filled_in_once(local: str, pieces: list[str]) -> None:
    address = Address(local, "example.com")
    text = "".join(pieces)
    longest = max(len(str(address)), len(max(PLACEHOLDERS, key=len)))
    assert len(fill_in(text, None, address)) <= len(pieces) * longest


FRED = parse_address("fred@example.com")


@rows("urls", "local, end, filled", "tables.toml")
def test_an_address_is_encoded_for_its_place(local: str, end: str, filled: str) -> None:
    address = parse_address(f"{local}@example.com")
    url = fill_in_url(f"https://dav.test{end}", None, address)
    assert url == f"https://dav.test{filled}"


NO_LABELS = ["evil.test/", "evil.test#", "evil.test?", "evil.test", "a.b", "a_b", "é"]
NO_LABELS += ['"evil.test/"', '"a b"', "-a", "a-", "evil.test%2f", "a" * 64, "\u212a"]


def test_a_local_part_never_becomes_another_host() -> None:
    for local in NO_LABELS:
        address = parse_address(f"{local}@example.com")
        for name in ("%EMAILLOCALPART%", "%REALNAME%", "%EMAILADDRESS%"):
            host = f"{name}.mail.test"
            assert fill_in_host(host, None, address) == "", local
            for url in (f"https://{host}:8443/a", f"https://a@{host}"):
                assert fill_in_url(url, None, address) == "", local
    for host in (
        *("%EMAILLOCALPART%example.com", "imap.%EMAILLOCALPART%"),
        *("%EMAILLOCALPART%", "imap.%EMAILLOCALPART%.com"),
    ):
        assert not fill_in_host(host, None, FRED)
        assert not fill_in_url(f"https://{host}/", None, FRED)


def test_a_local_part_that_is_a_label_fills_in_a_host() -> None:
    address = parse_address("Fred-1@example.com")
    host = fill_in_host("u-%EMAILLOCALPART%.%EMAILDOMAIN%", None, address)
    assert host == "u-fred-1.example.com"
    url = "https://%EMAILLOCALPART%.mail.test:8443/%EMAILLOCALPART%"
    assert fill_in_url(url, None, address) == "https://fred-1.mail.test:8443/Fred-1"


def test_without_an_address_only_the_domain_of_a_url_is_filled_in() -> None:
    url = "https://dav.%EMAILDOMAIN%/%20"
    assert fill_in_url(url, "example.com", None) == "https://dav.example.com/%20"
    for unknown in (url, "https://dav.test/%EMAILADDRESS%", None):
        assert fill_in_url(unknown, None, None) == ""


# --- URLs without an address ----------------------------------------------------------


@rows("known", "url, known", "tables.toml")
def test_a_url_is_cut_at_its_first_unknown_placeholder(url: str, known: str) -> None:
    expected = f"https://{known}" if known else ""
    assert known_part(f"https://{url}", "example.com") == expected


def test_without_a_domain_its_placeholder_is_unknown() -> None:
    url = "https://dav.test/a/%EMAILDOMAIN%/b"
    assert known_part(url, None) == "https://dav.test/a/"
    assert fill_in(url, None, None) == ""


def test_only_the_domain_is_the_same_for_all_addresses() -> None:
    same = [name for name in PLACEHOLDERS if is_for_all(f"a {name} b")]
    assert same == ["%EMAILDOMAIN%"]
