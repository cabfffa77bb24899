"""An e-mail address taken apart, a domain folded, placeholders filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, unquote

DOMAIN_PLACEHOLDER = "%EMAILDOMAIN%"
REAL_NAME_PLACEHOLDER = "%REALNAME%"
USER_PLACEHOLDERS = ("%EMAILADDRESS%", "%EMAILLOCALPART%", "%REALNAME%")
PLACEHOLDERS = ("%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILDOMAIN%", "%REALNAME%")
_PLACEHOLDER = re.compile("|".join(PLACEHOLDERS))
# Evolution asks with this local part, for privacy, and puts the real one in its place.
NOBODY = "EVOLUTIONUSER"

_LABEL = "[a-z0-9]++(?>(?:-++[a-z0-9]++)*)"
_HOST = re.compile(rf"{_LABEL}(?>(?:\.{_LABEL})*)")
_ONE_LABEL = re.compile(_LABEL, re.ASCII | re.IGNORECASE)
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
    if len(domain) > 63 and (len(domain) > 253 or _LONG_LABEL.search(domain)):
        raise ValueError("not a host name")
    if not _HOST.fullmatch(domain):
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
    if "@" not in text and "%40" in text:  # a redirect has encoded it twice
        text = unquote(text)
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
    """Return the address in a query string, "" where there is none or an empty one.

    A `+` stays a plus: clients that do not encode it mean it so.
    """
    return decoded(encoded_address(query))


def encoded_address(query: str) -> str:
    """Return the address in a query string as it was sent, percent-encoded, or ""."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if value and key.lower() in _EMAIL_KEYS:
            return value
    return ""


def decoded(value: str) -> str:
    """Return a percent-encoded value of a query string as text."""
    if not value.isascii():  # raw bytes, which WSGI hands over as latin-1
        value = value.encode("latin-1", "replace").decode("utf-8", "replace")
    return unquote(value) if "%" in value else value


_AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")


_LONGEST_PERSON = 64  # in characters


def person_name(text: str) -> str:
    """A name that somebody typed, fit for a line: without control characters, and cut."""
    return " ".join(CONTROL.sub(" ", text).split())[:_LONGEST_PERSON].rstrip()


def is_authority(host: str) -> bool:
    """Whether a Host header may stand in a URL: a name or IP address, a port or none."""
    return _AUTHORITY.fullmatch(host) is not None


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


def fill_in(
    text: str | None, domain: str | None, address: Address | None, person: str = ""
) -> str:
    """The text with its placeholders written out for whoever asks.

    `person` is the name that they gave, if they gave one: else `%REALNAME%` is what
    stands before the @. The text is "" where that takes an address that is not known,
    or where there is none. What was filled in is not looked at again: an address, or a
    name, may hold a placeholder itself.
    """
    values = _values(domain, address)
    if person:
        values[REAL_NAME_PLACEHOLDER] = person
    return _filled(text or "", values)


def fill_in_host(host: str | None, domain: str | None, address: Address | None) -> str:
    """A host name with its placeholders written out; "" where :func:`fill_in` is.

    Of an address only a local part that is one DNS label (RFC 1123, section 2.1) can
    stand in it; for any other the host is "", since it would be somebody else's.
    """
    if not host or "%" not in host:
        return host or ""
    if not all(
        _is_in_a_domain(name, host) for name in USER_PLACEHOLDERS if name in host
    ):
        return ""
    values = {
        name: value.lower()
        for name, value in _values(domain, address).items()
        if name == DOMAIN_PLACEHOLDER or _ONE_LABEL.fullmatch(value)
    }
    try:
        return fold(_filled(host, values))
    except ValueError:
        return ""


def _is_in_a_domain(placeholder: str, host: str) -> bool:
    """Whether a domain that the file says stands behind the label that it is in."""
    after = host.partition(placeholder)[2].replace(DOMAIN_PLACEHOLDER, "a.domain")
    return "." in after.partition(".")[2]


def fill_in_url(url: str | None, domain: str | None, address: Address | None) -> str:
    """A URL with its placeholders written out; "" where :func:`fill_in` is.

    What an address brings in is percent-encoded (RFC 3986, section 2.1), so that it stays
    within its part of the URL; in the host it is as with :func:`fill_in_host`.
    """
    if not url or "%" not in url:
        return url or ""
    start, authority, rest = _around_authority(url)
    has_placeholder = "%" in authority
    host, colon, port = (
        authority.partition(":") if has_placeholder else (authority, "", "")
    )
    values = _values(domain, address)
    # In a path or a query an @ is as good as %40, and what people know (section 3.3).
    open_at = {name: quote(value, safe="@") for name, value in values.items()}
    filled_host, filled_rest = (
        fill_in_host(host, domain, address),
        _filled(rest, open_at),
    )
    if (host and not filled_host) or (rest and not filled_rest):
        return ""
    return f"{start}{filled_host}{colon}{port}{filled_rest}"


def _around_authority(url: str) -> tuple[str, str, str]:
    """Scheme, authority, and what follows that (RFC 3986, section 3.2)."""
    scheme, slashes, hierarchy = url.partition("://")
    authority = re.split("[/?#]", hierarchy, maxsplit=1)[0]
    return scheme + slashes, authority, hierarchy[len(authority) :]


def _values(domain: str | None, address: Address | None) -> dict[str, str]:
    """What each placeholder stands for, as far as that is known."""
    if address is None:
        return {DOMAIN_PLACEHOLDER: domain} if domain else {}
    parts = (str(address), address.local, address.domain, address.local)
    return dict(zip(PLACEHOLDERS, parts, strict=True))


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The text with these values, put in at once; "" where one is missing."""
    if "%" not in text:
        return text
    if not values.keys() >= set(_PLACEHOLDER.findall(text)):
        return ""
    return _PLACEHOLDER.sub(lambda match: values[match[0]], text)


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
