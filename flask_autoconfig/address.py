"""E-mail addresses, host names, and the placeholders of both in texts and URLs."""

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
# Evolution sends this local part for privacy, and replaces it in the response.
NOBODY = "EVOLUTIONUSER"

_LABEL = "[a-z0-9]++(?>(?:-++[a-z0-9]++)*)"
_HOST = re.compile(rf"{_LABEL}(?>(?:\.{_LABEL})*)")
_ONE_LABEL = re.compile(_LABEL, re.ASCII | re.IGNORECASE)
_LONG_LABEL = re.compile(r"[^.]{64}")
# Greek or Cyrillic beside Latin letters in a label, and invisible characters.
_GREEK = "[\u0370-\u052f]"
LOOKALIKE = re.compile(
    rf"(?i)[a-z][^.]*{_GREEK}|{_GREEK}[^.]*[a-z]|[\xad\u200b\u200e\u200f\u2060\ufeff]"
)
# Characters that no line of text may contain: C0, DEL, C1, and those outside of XML 1.0.
_UNFIT = "\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
CONTROL = re.compile(f"[{_UNFIT}]")
# RFC 5321, section 4.1.2: a dot-string or a quoted string, with Unicode as in RFC 6531.
# Dots alone are invalid, and would lead a URL to another folder; U+FFFD replaces bytes
# that are not UTF-8.
_LOCAL_PART = re.compile(
    rf'(?!\.+$)[^\s"@()<>,:;\[\]\\{_UNFIT}\ufffd]+|"[^"{_UNFIT}\ufffd]*"'
)
# In octets of UTF-8 (RFC 5321, section 4.5.3.1; a path includes two brackets).
_LONGEST_LOCAL_PART = 64
LONGEST_ADDRESS = 254
_LONGEST_PERSON = 64  # in characters
_AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")
# The scheme, the authority and the rest of a URL (RFC 3986, section 3.2).
_URL = re.compile(r"((?:[^:]*://)?)([^/?#]*)(.*)", re.DOTALL)
_EMAIL_KEYS = frozenset({"emailaddress", "email"})


class Address(NamedTuple):
    """The two parts of an address; `domain` is folded, `local` as it was written."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def fold(domain: str) -> str:
    """Return a host name in lower case and A-labels, without a dot at the end.

    Raises ValueError if it is not a host name (RFC 1123, section 2.1; RFC 5891).
    """
    if len(domain) > 254 or (not domain.isascii() and LOOKALIKE.search(domain)):
        raise ValueError("not a host name")
    if not domain.isascii():
        import idna  # its tables are loaded for international names only

        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except ValueError as error:
            raise ValueError("not a host name") from error
    domain = domain.lower().removesuffix(".")
    has_long_label = len(domain) > 63 and _LONG_LABEL.search(domain)
    if len(domain) > 253 or has_long_label or not _HOST.fullmatch(domain):
        raise ValueError("not a host name")
    return domain


def unfold(domain: str) -> str:
    """Return a domain with U-labels in place of valid A-labels."""
    if "xn--" not in domain:
        return domain
    import idna

    try:
        return idna.decode(domain)
    except ValueError:
        return domain


def parse_address(text: str) -> Address:
    """Split `local@domain`; raises ValueError if it is not an address (RFC 5321)."""
    if "@" not in text and "%40" in text:  # a redirect has encoded it twice
        text = unquote(text)
    local, _, domain = text.strip().rpartition("@")  # without an @, `local` is ""
    if not _LOCAL_PART.fullmatch(local) or len(local.encode()) > _LONGEST_LOCAL_PART:
        raise ValueError("not an e-mail address")
    address = Address(local, fold(domain))
    if len(str(address).encode()) > LONGEST_ADDRESS:
        raise ValueError("not an e-mail address")
    return address


def address_in_query(query: str) -> str:
    """Return the address in a query string, or "".

    A `+` remains a plus, since some clients do not encode it.
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
    if not value.isascii():  # raw bytes, which WSGI passes as latin-1
        value = value.encode("latin-1", "replace").decode("utf-8", "replace")
    return unquote(value) if "%" in value else value


def person_name(text: str) -> str:
    """Return a typed name on one line, without control characters, cut if it is long."""
    return " ".join(CONTROL.sub(" ", text).split())[:_LONGEST_PERSON].rstrip()


def is_authority(host: str) -> bool:
    """Whether a Host header is a name or IP address with an optional port."""
    return _AUTHORITY.fullmatch(host) is not None


def host_of(authority: str) -> str:
    """Return the folded host name in a Host header, or "" if it has none."""
    try:
        host = fold(authority.partition(":")[0])
    except ValueError:
        return ""
    return "" if is_ip(host) else host


def is_ip(host: str) -> bool:
    """Whether *host* is an IPv4 or IPv6 address without brackets."""
    if "%" in host or not (host[-1:].isdigit() or ":" in host):
        return False  # no scope id, which may be any text
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def fill_in(
    text: str | None, domain: str | None, address: Address | None, person: str = ""
) -> str:
    """Return the text with its placeholders filled in; "" if a value is unknown.

    `%REALNAME%` is *person*, or the local part without one. The values are not searched
    for placeholders again.
    """
    values = _values(domain, address)
    if person:
        values[REAL_NAME_PLACEHOLDER] = person
    return _filled(text or "", values)


def fill_in_host(host: str | None, domain: str | None, address: Address | None) -> str:
    """Return a host name with its placeholders filled in; "" if a value is unknown.

    A local part must be one DNS label (RFC 1123, section 2.1), or it could name somebody
    else's host.
    """
    if not host or "%" not in host:
        return host or ""
    for placeholder in USER_PLACEHOLDERS:
        # The file's own domain must follow the label with the placeholder.
        rest = host.partition(placeholder)[2].replace(DOMAIN_PLACEHOLDER, "a.domain")
        if placeholder in host and "." not in rest.partition(".")[2]:
            return ""
    values = {
        placeholder: value.lower()
        for placeholder, value in _values(domain, address).items()
        if placeholder == DOMAIN_PLACEHOLDER or _ONE_LABEL.fullmatch(value)
    }
    try:
        return fold(_filled(host, values))
    except ValueError:
        return ""


def fill_in_url(url: str | None, domain: str | None, address: Address | None) -> str:
    """Return a URL with its placeholders filled in; "" if a value is unknown.

    Values are percent-encoded (RFC 3986, section 2.1), so that they stay within their part
    of the URL; the host is filled in as by :func:`fill_in_host`.
    """
    if not url or "%" not in url:
        return url or ""
    match = _URL.fullmatch(url)
    assert match is not None  # noqa: S101 (it matches any text)
    start, authority, rest = match.groups()
    if "%" in authority:
        host, colon, port = authority.partition(":")
        host = fill_in_host(host, domain, address)
        if not host:
            return ""
        authority = f"{host}{colon}{port}"
    # A path or query may contain "@" (section 3.3), which is easier to read than %40.
    values = _values(domain, address).items()
    filled = _filled(rest, {key: quote(value, safe="@") for key, value in values})
    return f"{start}{authority}{filled}" if filled or not rest else ""


def _values(domain: str | None, address: Address | None) -> dict[str, str]:
    if address is None:
        return {DOMAIN_PLACEHOLDER: domain} if domain else {}
    parts = (str(address), address.local, address.domain, address.local)
    return dict(zip(PLACEHOLDERS, parts, strict=True))


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with all values filled in at once; "" if one is missing."""
    if "%" not in text:
        return text
    if not values.keys() >= set(_PLACEHOLDER.findall(text)):
        return ""
    return _PLACEHOLDER.sub(lambda match: values[match[0]], text)


def with_domain(text: str, domain: str | None) -> str:
    """Return the text with `%EMAILDOMAIN%` filled in, if the domain is known."""
    return text.replace(DOMAIN_PLACEHOLDER, domain) if domain else text


def is_for_all(text: str) -> bool:
    """Whether the text is the same for all users of a domain."""
    return not any(name in text for name in USER_PLACEHOLDERS)


def known_part(url: str, domain: str | None) -> str:
    """Return the part of a URL that is known without an address.

    It ends with the folder before the first unknown placeholder, and is "" if the host has
    one.
    """
    url = with_domain(url, domain)
    unknown = _PLACEHOLDER.search(url)
    if unknown is None:
        return url
    folder = url[: unknown.start()].rpartition("/")[0] + "/"
    return folder if folder.count("/") > 2 else ""
