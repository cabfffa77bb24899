"""HTTP requests whose responses are bounded in size, within one deadline."""

import http.client
import io
import re
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urljoin

from .common import ProbeError
from .tcp import Network, failures
from .tls import Certificate, address_of
from .untrusted import split_url

MOST_BODY = 1024 * 1024  # bytes
MOST_RECEIVED = 2 * 1024 * 1024  # bytes of a response, with headers and chunk sizes
_MOST_SECONDS = 3600.0  # for a response, where a step has no end
MOST_REDIRECTS = 20  # as okhttp, the most of all clients
PATIENCE = 2.0  # times the timeout that a response may take, once connected
REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Request(NamedTuple):
    """An HTTP request, as a client sends it."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def with_agent(self, agent: str) -> "Request":
        """Return the request with another User-Agent."""
        return self._replace(headers=(*self.headers, ("User-Agent", agent)))


@dataclass
class Response:
    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # the first of each name
    body: bytes = b""
    every: list[tuple[str, str]] = field(default_factory=list)  # headers, as sent
    damage: str = ""  # how the body differs from its announced length
    certificate: Certificate | None = None
    redirects: list[str] = field(default_factory=list)
    is_verified: bool = False  # every response came over https with a good certificate
    address: str = ""  # of the server that answered
    seconds: float = 0.0  # until the body was complete
    is_limited: bool = False  # refused, as further requests of this program were

    @property
    def content_type(self) -> str:
        kind = self.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        _, _, rest = self.headers.get("content-type", "").lower().partition("charset=")
        return rest.partition(";")[0].strip(" \"'")

    @property
    def schemes(self) -> set[str]:
        """The schemes of authentication that it asks for (RFC 9110, section 11.6.1)."""
        asked = (it for name, it in self.every if name == "www-authenticate")
        bare = ",".join(re.sub(r'"[^"]*"', "", value) for value in asked)
        return set(
            re.findall(r"(?:\A|,)\s*([A-Za-z][\w-]*)(?=\s+[^\s=]|\s*(?:,|\Z))", bare)
        )

    @property
    def is_forged(self) -> bool:
        """Whether it came with a certificate that no client accepts."""
        return self.certificate is not None and bool(self.certificate.problem)

    @property
    def target(self) -> str:
        """The URL that it redirects to, "" for none; raises ProbeError for a bad one.

        A redirect that came with a bad certificate is not followed, since anybody may
        have sent it.
        """
        location = self.headers.get("location")
        if not location or self.status not in REDIRECTS or self.is_forged:
            return ""
        with suppress(ValueError):
            target = urljoin(self.url, location)
            if split_url(target).hostname:
                return target
        raise _no_web_address(location)


def _no_web_address(url: str) -> ProbeError:
    return ProbeError("redirect", f"it leads to no web address: {url[:200]}")


def follow_redirects(fetch: Callable[[str], Response], url: str) -> Response:
    """Return the response to a URL after all redirects; raises ProbeError.

    *fetch* returns the response to one URL.
    """
    seen: list[str] = []
    is_verified = True
    while True:
        response = fetch(url)
        is_good = response.certificate is not None and not response.is_forged
        is_verified = is_verified and is_good
        target = response.target
        if not target:
            return replace(response, redirects=seen, is_verified=is_verified)
        seen.append(url)
        url = target
        if url in seen or len(seen) > MOST_REDIRECTS:
            parts = [split_url(each) for each in (*seen[-2:], url)]
            if url in seen and len({(p.hostname, p.path) for p in parts}) == 1:
                raise ProbeError("itself", "it redirects to itself without end")
            hosts = dict.fromkeys(f"{p.scheme}://{p.netloc}"[:200] for p in parts)
            message = f"redirects without end, by way of {' and '.join(hosts)}"
            raise ProbeError("redirect", message)


def fetch_once(network: Network, request: Request) -> Response:
    """Send one request without following redirects; raises ProbeError."""
    parts = split_url(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _no_web_address(request.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        connection = http.client.HTTPConnection(parts.hostname, port)
    except http.client.InvalidURL as error:
        raise _no_web_address(request.url) from error
    response = Response(request.url)

    def connect() -> Any:
        # Set at once, so that `close` closes it whatever fails from here on.
        connection.sock = network.connect(connection.host, port)
        response.address = address_of(connection.sock)
        return connection.sock

    def bounded(sock: Any, *arguments: Any, **options: Any) -> Any:
        # It may take all that is left of a step.
        limited: Any = _Bounded(sock, replace(network, timeout=_MOST_SECONDS))
        return http.client.HTTPResponse(limited, *arguments, **options)

    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"User-Agent": "flask-autoconfig-check", "Accept": "*/*"}
    sent["Connection"] = "close"
    start = time.monotonic()
    with (
        failures("http", lambda: response.address, "no HTTP answer: "),
        closing(connection),
    ):
        if parts.scheme == "https":
            connection.sock, response.certificate = network.start_tls(
                connect, connection.host, f" port {port}"
            )
        else:
            connect()
        is_trusted = response.certificate is not None and not response.is_forged
        if "Authorization" in dict(request.headers) and not is_trusted:
            raise ProbeError("login", "the connection cannot be trusted")
        connection.response_class = bounded  # type: ignore[assignment]
        connection.request(
            request.method, target, request.body, {**sent, **dict(request.headers)}
        )
        with connection.getresponse() as raw:
            response.status = raw.status
            response.every = [(name.lower(), it) for name, it in raw.getheaders()]
            response.headers = dict(reversed(response.every))  # clients take the first
            response.body, response.damage = _body(raw)
    response.seconds = time.monotonic() - start
    if len(response.body) > MOST_BODY:
        raise ProbeError("http", f"an answer of more than {MOST_BODY // 1024} KiB")
    return response


def _body(raw: http.client.HTTPResponse) -> tuple[bytes, str]:
    """Return the body, and how it differs from its announced length."""
    announced = None if raw.chunked else raw.length
    if announced is None or announced > MOST_BODY:
        try:
            return raw.read(MOST_BODY + 1), ""
        except http.client.IncompleteRead as error:
            return error.partial, "it breaks off before its last chunk"
    body = raw.fp.read(announced)
    if len(body) < announced:
        short = f"it ends after {len(body)} of the {announced} bytes"
        return body, f"{short} that its Content-Length announces"
    # Only what has arrived with the rest: a server may keep the connection open.
    raw.fp.raw.is_complete = True  # type: ignore[attr-defined]
    if announced and raw.fp.peek(1).strip():
        return body, f"it is longer than the {announced} bytes of its Content-Length"
    return body, ""


class _Bounded(io.RawIOBase):
    """The bytes of a response: raises HTTPException for too many, TimeoutError if late.

    It also bounds what :mod:`http.client` does not: chunk sizes, trailers and interim
    responses.
    """

    def __init__(self, sock: Any, network: Network) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", 0)
        self._network = network
        self._left = MOST_RECEIVED
        self.is_complete = False  # nothing more is read

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        if self.is_complete:
            return 0
        self._sock.settimeout(self._network.left())
        read: int | None = self._raw.readinto(buffer)
        self._left -= read or 0
        if self._left < 0:
            size = MOST_RECEIVED // 1024
            raise http.client.HTTPException(f"it has more than {size} KiB")
        return read
