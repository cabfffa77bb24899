"""Forms and bounds of what servers and DNS say, which may be anything."""

from __future__ import annotations

import base64
import http.client
import io
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, quote, quote_plus, urlsplit

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


class Secrets:
    """Secrets that were sent to a server, which must not be shown if it repeats them."""

    def __init__(self, *secrets: str) -> None:
        self._forms: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide a secret as it is, quoted, in Base64, and each of these percent-encoded."""
        forms = {
            secret,
            re.sub(r'(["\\])', r"\\\1", secret),
            _base64(secret).rstrip("="),
        }
        # Where it starts in the encoded text, as after a user name, is unknown: these
        # are the characters that depend on the secret alone (RFC 4648, section 4).
        size = len(secret.encode())
        for before in range(3):
            first, end = -(-before * 8 // 6), (before + size) * 8 // 6
            core = _base64("\0" * before + secret)[first:end]
            forms |= {core} if len(core) > 3 else set()
        encoded = {
            encode(it, safe="") for it in forms for encode in (quote, quote_plus)
        }
        self._forms |= forms | encoded

    def cut_out_of(self, text: str) -> str:
        """The text with `[secret]` in the place of each secret, in whatever case."""
        forms = sorted(filter(None, self._forms), key=len, reverse=True)
        pattern = "|".join(map(re.escape, forms))
        return re.sub(pattern, "[secret]", text, flags=re.I) if forms else text


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
