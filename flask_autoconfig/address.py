"""An e-mail address taken apart, a domain folded, placeholders filled in."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import unquote

DOMAIN_PLACEHOLDER = "%EMAILDOMAIN%"
USER_PLACEHOLDERS = ("%EMAILADDRESS%", "%EMAILLOCALPART%", "%REALNAME%")
PLACEHOLDERS = ("%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILDOMAIN%", "%REALNAME%")
# Evolution asks with this local part, for privacy, and puts the real one in its place.
NOBODY = "EVOLUTIONUSER"

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_LONG_LABEL = re.compile(r"[^.]{64}")
# What no line of text holds: C0, DEL, C1 and what XML 1.0 has no place for.
_UNFIT = "\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
CONTROL = re.compile(f"[{_UNFIT}]")
# RFC 5321, section 4.1.2: a dot-string, or a quoted string; beyond ASCII as RFC 6531.
# Dots alone are none, and would lead a URL to another folder; U+FFFD is what became of
# bytes that were no UTF-8.
_LOCAL_PART = re.compile(
    rf'(?!\.+$)[^\s"@()<>,:;\[\]\\{_UNFIT}\ufffd]+|"[^"{_UNFIT}\ufffd]*"'
)
# In octets of UTF-8 (RFC 5321, section 4.5.3.1; of a path two are its brackets).
LONGEST_LOCAL_PART = 64
LONGEST_ADDRESS = 254
_EMAIL_KEYS = frozenset({"emailaddress", "email"})


class Address(NamedTuple):
    """An address as its two parts; `domain` is folded, `local` is as it was written."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def fold(domain: str) -> str:
    """The one spelling of a host name: lower case, A-labels, no dot at the end.

    Raises ValueError if it is no host name (RFC 1123, section 2.1; RFC 5891).
    """
    if len(domain) > 254:
        raise ValueError("not a host name")
    if not domain.isascii():
        domain = _to_a_labels(domain)
    domain = domain.lower().removesuffix(".")
    if len(domain) > 253 or not _HOST.fullmatch(domain) or _LONG_LABEL.search(domain):
        raise ValueError("not a host name")
    return domain


def _to_a_labels(domain: str) -> str:
    import idna  # only international names pay for its tables

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, ValueError) as error:
        raise ValueError("not a host name") from error


def unfold(domain: str) -> str:
    """The domain as people write it: U-labels for A-labels, where they are valid."""
    if "xn--" not in domain:
        return domain
    import idna

    try:
        return idna.decode(domain)
    except (idna.IDNAError, ValueError):
        return domain


def parse_address(text: str) -> Address:
    """Take `local@domain` apart; raises ValueError if it is none.

    What is longer than RFC 5321 allows is none, nor is what XML has no place for.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local):
        raise ValueError("not an e-mail address")
    address = Address(local, fold(domain))
    octets = len(local.encode())
    if (
        octets > LONGEST_LOCAL_PART
        or octets + 1 + len(address.domain) > LONGEST_ADDRESS
    ):
        raise ValueError("not an e-mail address")
    return address


def address_in_query(query: str) -> str:
    """The address in a query string, "" where there is none or an empty one.

    A `+` stays a plus: clients that do not encode it mean it so.
    """
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if value and key.lower() in _EMAIL_KEYS:
            if not value.isascii():  # raw bytes, which WSGI hands over as latin-1
                value = value.encode("latin-1", "replace").decode("utf-8", "replace")
            return unquote(value) if "%" in value else value
    return ""


def host_of(authority: str) -> str:
    """The folded host of a Host header, "" where it names none (or an IP address)."""
    host = authority.partition(":")[0]
    try:
        host = fold(host)
    except ValueError:
        return ""
    return "" if is_ip(host) else host


def is_ip(host: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, written without brackets."""
    if not (host[-1:].isdigit() or ":" in host):
        return False
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def fill_in(text: str | None, domain: str | None, address: Address | None) -> str:
    """The text with its placeholders written out for whoever asks.

    It is "" where that takes an address that is not known, or where there is no text.
    """
    if not text or "%" not in text:
        return text or ""
    if address is None:
        text = with_domain(text, domain)
        return text if is_for_all(text) and DOMAIN_PLACEHOLDER not in text else ""
    return (
        text.replace("%EMAILADDRESS%", str(address))
        .replace("%EMAILLOCALPART%", address.local)
        .replace("%EMAILDOMAIN%", address.domain)
        .replace("%REALNAME%", address.local)
    )


def with_domain(text: str, domain: str | None) -> str:
    """The text with `%EMAILDOMAIN%` written out, if the domain is known."""
    return text.replace(DOMAIN_PLACEHOLDER, domain) if domain else text


def is_for_all(text: str) -> bool:
    """Whether it is the same for all users of a domain."""
    return not any(name in text for name in USER_PLACEHOLDERS)


def known_part(url: str, domain: str | None) -> str:
    """The URL for somebody of the domain whose address is not known.

    It ends with the folder before the first placeholder that stays unknown; it is ""
    where that stands in the host, so that not even the server is known.
    """
    url = with_domain(url, domain)
    unknown = [at for name in PLACEHOLDERS if (at := url.find(name)) >= 0]
    if not unknown:
        return url
    folder = url[: min(unknown)].rpartition("/")[0] + "/"
    return folder if folder.count("/") > 2 else ""
