"""HTTP requests of bounded size, within one deadline."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from .tcp import Network, ProbeError, clock, reason_of
from .tls import Certificate, address_of, told_later
from .untrusted import Response, split_url

MOST_BODY = 1024 * 1024
MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass
class Reply:
    """What an HTTP request got."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    certificate: Certificate | None = None
    redirects: list[str] = field(default_factory=list)
    is_verified: bool = False  # it came whole over https with good certificates
    address: str = ""  # of the server that answered
    seconds: float = 0.0  # until all of it was there

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        kind = self.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower()

    @property
    def is_forged(self) -> bool:
        """Whether it came with a certificate that no client takes."""
        return self.certificate is not None and bool(self.certificate.problem)

    @property
    def target(self) -> str:
        """Where it redirects to, "" where it does not; raises ProbeError."""
        location = self.headers.get("location")
        if not location or self.status not in REDIRECTS or self.is_forged:
            return ""
        with suppress(ValueError):
            target = urljoin(self.url, location)
            if split_url(target).hostname:
                return target
        raise ProbeError("redirect", f"it leads to no web address: {location[:200]}")


class _Connection(http.client.HTTPConnection):
    response_class = Response

    def __init__(self, network: Network, host: str, port: int, secure: bool) -> None:
        super().__init__(host, port, timeout=network.timeout)
        self._network = network
        self._secure = secure
        self.certificate: Certificate | None = None
        self.held: socket.socket | None = None  # http.client lets go of sock early
        self.address = ""

    def connect(self) -> None:
        def by_tcp() -> socket.socket:
            self.held = self._network.connect(self.host, self.port)
            self.address = address_of(self.held)
            return self.held

        if self._secure:
            where = f" port {self.port}"
            self.held, self.certificate = self._network.start_tls(
                by_tcp, self.host, where
            )
        else:
            by_tcp()
        self.sock = self.held


def following(ask: Callable[[str], Reply], url: str) -> Reply:
    """What a URL gives, redirects followed by what `ask` gives; raises ProbeError.

    A redirect that comes with a certificate that no client takes is not followed: whoever
    sent it may be anybody.
    """
    seen: list[str] = []
    is_verified = True
    while True:
        reply = ask(url)
        is_verified = is_verified and _is_good(reply)
        target = reply.target
        if not target:
            return replace(reply, redirects=seen, is_verified=is_verified)
        seen.append(url)
        url = target
        if url in seen or len(seen) > MOST_REDIRECTS:
            hosts = dict.fromkeys(map(_origin, [*seen[-2:], url]))
            message = f"redirects without end, by way of {' and '.join(hosts)}"
            raise ProbeError("redirect", message)


def _origin(url: str) -> str:
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc}"[:200]


def _is_good(reply: Reply) -> bool:
    """Whether this very answer came over https with a good certificate."""
    return reply.certificate is not None and not reply.certificate.problem


def fetch_once(
    network: Network,
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request and follow no redirect; raises ProbeError."""
    parts = split_url(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise ProbeError("redirect", f"it leads to no web address: {url[:200]}")

    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        connection = _Connection(network, host, port, secure)
    except http.client.InvalidURL as error:
        message = f"it leads to no web address: {url[:200]}"
        raise ProbeError("redirect", message) from error
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reply = Reply(url)
    sending = {"User-Agent": "flask-autoconfig-check", "Connection": "close"}
    sending |= headers or {}
    start = time.monotonic()
    try:
        with clock(network, lambda: connection.held):
            connection.request(method, target, body, sending)
            reply.certificate = connection.certificate
            reply.address = connection.address
            with connection.getresponse() as response:
                reply.status = response.status
                reply.headers = {
                    name.lower(): value for name, value in response.getheaders()
                }
                reply.body = response.read(MOST_BODY + 1)
    except ProbeError as error:
        if not connection.address or connection.address in str(error):
            raise
        message = f"{connection.address}: {error}"
        raise ProbeError(error.kind, message, error.cure) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        at = f"{connection.address}: " if connection.address else ""
        late = told_later(error)
        if late is not None:
            raise ProbeError("tls", f"{at}{late}", late.cure) from error
        message = f"{at}no HTTP answer: {reason_of(error)[:200]}"
        raise ProbeError("http", message) from error
    finally:
        connection.close()

    reply.seconds = time.monotonic() - start
    if len(reply.body) > MOST_BODY:
        raise ProbeError("http", f"an answer of more than {MOST_BODY // 1024} KiB")
    return reply
