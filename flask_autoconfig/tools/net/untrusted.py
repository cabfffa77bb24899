"""Checks of what servers and DNS send: URLs, addresses, and repeated passwords."""

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
    """Return the value of a TXT record without quotation marks that were typed with it."""
    return re.sub(r'["\\]', "", value).strip()


def kind_of(address: str, *tables: str) -> str:
    """Return what an address is, in words, if it is in one of these tables, or ""."""
    networks = [
        pair for table in tables for pair in texts()["addresses"][table].items()
    ]
    with suppress(ValueError):
        ip = ip_address(address)
        return next((words for at, words in networks if ip in ip_network(at)), "")
    return ""


def is_public(address: str) -> bool:
    """Return whether an IP address, or the IPv4 address in it, is on the internet."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        if kind_of(address, "carriers"):
            carried = IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
    return ip.is_global and not ip.is_multicast and not kind_of(address, "special")


# The code of a response (RFC 5321, 2034, 9051, 2449).
_CODE = re.compile(
    r"((a|\*) )?(OK|NO|BAD|BYE|\+OK|-ERR|[2-5]\d\d([ -][245]\.\d\.\d\d?)?)\b"
    r"( \[[A-Z/-]{1,21}\])?"
)


class Secrets:
    """Hides the words of servers that repeat a secret, such as the password.

    A server may write a secret in more ways than can be listed. So letters and digits
    are compared, and half of a secret counts as the whole.
    """

    def __init__(self, *secrets: str) -> None:
        self._parts: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide a secret: as text, backwards, in hexadecimal and in Base64."""
        forms = [form[::way] for form in _readings(secret) for way in (1, -1)]
        forms += [secret.encode(codec).hex() for codec in ("utf-8", "utf-16-be")]
        for before in range(3):  # octets before it in a group (RFC 4648, section 4)
            encoded = base64.b64encode(bytes(before) + secret.encode()).decode()
            forms += _readings(encoded.rstrip("=")[-(-before * 8 // 6) :])
        for form in forms:
            size = min(len(form), max(4, len(form) // 2))
            ends = range(size, len(form) + 1)
            self._parts |= {form[end - size : end] for end in ends} - {""}

    def quoted(self, text: str) -> str:
        """Return the text, or only its response code if it repeats a secret."""
        if not self._are_in(text):
            return text
        code = _CODE.match(text)
        shown = f"{code[0]} " if code and not self._are_in(code[0]) else ""
        return f"{shown}(the server repeats the password: its words are not shown)"

    def _are_in(self, text: str) -> bool:
        readings = [*_readings(text), re.sub("[^0-9a-f]", "", text.lower())]
        return any(part in reading for part in self._parts for reading in readings)


def _readings(text: str) -> Iterator[str]:
    """Yield the letters and digits of a text, and all of it but its white space.

    Both are in lower case, of the text as it is, and decoded once and twice.
    """
    for _ in range(3):
        plain = "".join(unicodedata.normalize("NFKD", char) for char in text).casefold()
        yield from ("".join(filter(str.isalnum, plain)), "".join(plain.split()))
        text = re.sub(r"(&#[xX]?)0*(\w{1,7})\w*", r"\1\2", text)  # int() has a limit
        text = unquote(html.unescape(text).replace("=", "%"))  # or quoted-printable
