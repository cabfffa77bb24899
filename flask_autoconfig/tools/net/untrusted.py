"""Checks of untrusted data from servers and DNS: URLs, addresses, passwords in it."""

import base64
import html
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from .common import texts


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL, all empty if it is not valid.

    Unlike with `urlsplit`, neither the call nor `port` of the result raises ValueError.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def unquoted(value: str) -> str:
    """Return the value of a TXT record without quotation marks that somebody typed."""
    return re.sub(r'["\\]', "", value).strip()


def kind_of(address: str, *tables: str) -> str:
    """Return the words for the address in the first of these tables, "" for none."""
    with suppress(ValueError):
        ip = ip_address(address)
        for table in tables:
            for network, words in texts()["addresses"][table].items():
                if ip in ip_network(network):
                    return str(words)
    return ""


def is_public(address: str) -> bool:
    """Return whether an IP address, or the IPv4 address in it, is on the internet."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if kind_of(address, "carriers"):
            embedded = IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(str(embedded))
    return ip.is_global and not ip.is_multicast and not kind_of(address, "special")


# The code that begins a response (RFC 5321, 2034, 9051, 2449).
_CODE = re.compile(
    r"((a|\*) )?(OK|NO|BAD|BYE|\+OK|-ERR|[2-5]\d\d([ -][245]\.\d\.\d\d?)?)\b"
    r"( \[[A-Z/-]{1,21}\])?"
)


class Secrets:
    """Hides text from servers that repeats a secret, such as the password.

    A server may write a secret in more ways than can be listed. So letters and digits
    are compared, and half of a secret counts as the whole.
    """

    def __init__(self, *secrets: str) -> None:
        self._parts: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide a secret: as text, backwards, in hexadecimal and in Base64."""
        forms = [form[::step] for form in _readings(secret) for step in (1, -1)]
        forms += [secret.encode(codec).hex() for codec in ("utf-8", "utf-16-be")]
        for offset in range(3):  # octets before it in a group (RFC 4648, section 4)
            encoded = base64.b64encode(bytes(offset) + secret.encode()).decode()
            forms += _readings(encoded.rstrip("=")[-(-offset * 8 // 6) :])
        for form in forms:
            size = min(len(form), max(4, len(form) // 2))
            ends = range(size, len(form) + 1)
            self._parts |= {form[end - size : end] for end in ends} - {""}

    def quoted(self, text: str) -> str:
        """Return the text, or only its response code if it repeats a secret."""
        if not self._is_in(text):
            return text
        match = _CODE.match(text)
        code = f"{match[0]} " if match and not self._is_in(match[0]) else ""
        return f"{code}(the server repeats the password: its words are not shown)"

    def _is_in(self, text: str) -> bool:
        readings = [*_readings(text), re.sub("[^0-9a-f]", "", text.lower())]
        return any(part in reading for part in self._parts for reading in readings)


def _readings(text: str) -> Iterator[str]:
    """Yield the letters and digits of a text, and the text without white space.

    Both are in lower case, of the text as it is, decoded once, and decoded twice.
    """
    for _ in range(3):
        plain = "".join(unicodedata.normalize("NFKD", char) for char in text).casefold()
        yield from ("".join(filter(str.isalnum, plain)), "".join(plain.split()))
        text = re.sub(r"(&#[xX]?)0*(\w{1,7})\w*", r"\1\2", text)  # int() has a limit
        text = unquote(html.unescape(text).replace("=", "%"))  # or quoted-printable
