"""Forms and bounds of what servers and DNS say, which may be anything."""

from __future__ import annotations

import base64
import html
import http.client
import io
import re
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

MOST_RECEIVED = 2 * 1024 * 1024  # bytes of an HTTP response, with all that frames it


def split_url(url: str) -> SplitResult:
    """The parts of a URL that a server sent; each is empty where the URL is not valid.

    Unlike `urlsplit` it raises no ValueError, nor does `port` of the result.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_UNICAST = ip_network("2000::/3")  # all that is given out of IPv6
_DOCUMENTATION = ip_network("3fff::/20")  # RFC 9637
_RELAYS = ip_network("192.88.99.0/24")  # RFC 7526: to wherever IPv6 is near
_IPV4_COMPATIBLE = ip_network("::/96")  # RFC 4291, section 2.5.5.1


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, also inside one that carries it."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64 or ip in _IPV4_COMPATIBLE:
            carried = IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
        if ip.teredo is not None or ip not in _UNICAST or ip in _DOCUMENTATION:
            return False
    elif ip in _RELAYS:
        return False
    return ip.is_global and not ip.is_multicast


class _Bounded(io.RawIOBase):
    """What a server sends, up to a greatest length: raises HTTPException beyond that.

    It bounds what :mod:`http.client` does not: chunk sizes, trailers, interim responses.
    """

    def __init__(self, sent: Any) -> None:
        self._sent = sent
        self._left = MOST_RECEIVED

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._sent.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        read: int | None = self._sent.readinto(buffer)
        self._left -= read or 0
        if self._left < 0:
            size = MOST_RECEIVED // 1024
            raise http.client.HTTPException(f"it has more than {size} KiB")
        return read


class Response(http.client.HTTPResponse):
    """A response of bounded size."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach()))


# The code of a response (RFC 5321, 2034, 9051, 2449).
_CODE = re.compile(
    r"((a|\*) )?(OK|NO|BAD|BYE|\+OK|-ERR|[2-5]\d\d([ -][245]\.\d\.\d\d?)?)\b"
    r"( \[[A-Z/-]{1,21}\])?"
)


class Secrets:
    """Secrets that were sent to a server: if it repeats one, its words are not shown.

    A server may write a secret in more ways than can be listed. Letters and digits are
    compared, and half of a secret counts as the whole.
    """

    def __init__(self, *secrets: str) -> None:
        self._parts: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide what repeats a secret: as text, backwards, in hex or in Base64."""
        forms = [form[::way] for form in _readings(secret) for way in (1, -1)]
        forms += [secret.encode(it).hex() for it in ("utf-8", "utf-16-be")]
        for before in range(3):  # octets before it in a group (RFC 4648, section 4)
            encoded = base64.b64encode(bytes(before) + secret.encode()).decode()
            forms += _readings(encoded.rstrip("=")[-(-before * 8 // 6) :])
        for form in forms:
            size = min(len(form), max(4, len(form) // 2))
            ends = range(size, len(form) + 1)
            self._parts |= {form[end - size : end] for end in ends} - {""}

    def quoted(self, text: str) -> str:
        """The text, or its response code alone where it repeats a secret."""
        if not self._are_in(text):
            return text
        code = _CODE.match(text)
        shown = f"{code[0]} " if code and not self._are_in(code[0]) else ""
        return f"{shown}(the server repeats the password: its words are not shown)"

    def _are_in(self, text: str) -> bool:
        said = [*_readings(text), re.sub("[^0-9a-f]", "", text.lower())]
        return any(part in it for part in self._parts for it in said)


def _readings(text: str) -> Iterator[str]:
    """The letters and digits of a text, and all but its white space, in lower case.

    Each as it is, and decoded once and twice.
    """
    for _ in range(3):
        plain = "".join(unicodedata.normalize("NFKD", it) for it in text).casefold()
        yield from ("".join(filter(str.isalnum, plain)), "".join(plain.split()))
        text = re.sub(r"(&#[xX]?)0*(\w{1,7})\w*", r"\1\2", text)  # int() has a limit
        text = unquote(html.unescape(text).replace("=", "%"))  # quoted-printable, too
