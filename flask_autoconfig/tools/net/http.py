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

from ..clients import THUNDERBIRD
from .common import ProbeError
from .tcp import Network, failures
from .tls import Certificate, address_of
from .untrusted import split_url

MAX_BODY = 1024 * 1024  # bytes
_MAX_HEADER = 8192  # characters of a value that are kept
MAX_RECEIVED = 2 * 1024 * 1024  # bytes of a response, with headers and chunk sizes
_MAX_SECONDS = 3600.0  # for a response, where a step has no end
MAX_REDIRECTS = 20  # as in okhttp, the most of all clients
PATIENCE = 2.0  # a response may take this many times the timeout, once connected
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
    every: list[tuple[str, str]] = field(default_factory=list)  # all headers, as sent
    damage: str = ""  # how the body differs from its announced length
    certificate: Certificate | None = None
    redirects: list[str] = field(default_factory=list)  # the URLs before this one
    is_verified: bool = False  # every response came over https with a good certificate
    address: str = ""  # of the server
    seconds: float = 0.0  # until the body was complete
    is_limited: bool = False  # the server limits the rate of this program's requests

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
        """The authentication schemes that it offers (RFC 9110, section 11.6.1)."""
        challenges = [value for name, value in self.every if name == "www-authenticate"]
        unquoted = ",".join(re.sub(r'"[^"]*"', "", value) for value in challenges)
        scheme = r"(?:\A|,)\s*([A-Za-z][\w-]*)(?=\s+[^\s=]|\s*(?:,|\Z))"
        return set(re.findall(scheme, unquoted))

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
    visited: list[str] = []
    is_verified = True
    while True:
        response = fetch(url)
        is_good = response.certificate is not None and not response.is_forged
        is_verified = is_verified and is_good
        target = response.target
        if not target:
            return replace(response, redirects=visited, is_verified=is_verified)
        visited.append(url)
        url = target
        if url in visited or len(visited) > MAX_REDIRECTS:
            hops = [split_url(hop) for hop in (*visited[-2:], url)]
            if url in visited and len({(hop.hostname, hop.path) for hop in hops}) == 1:
                raise ProbeError("itself", "it redirects to itself without end")
            hosts = dict.fromkeys(f"{hop.scheme}://{hop.netloc}"[:200] for hop in hops)
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
        # It is set before anything else can fail, so that `close` closes it.
        connection.sock = network.connect(connection.host, port)
        response.address = address_of(connection.sock)
        return connection.sock

    def bounded_response(sock: Any, *arguments: Any, **options: Any) -> Any:
        # The deadline of the step is its only limit in time.
        bounded: Any = _Bounded(sock, replace(network, timeout=_MAX_SECONDS))
        return http.client.HTTPResponse(bounded, *arguments, **options)

    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Firewalls refuse unknown names of programs.
    headers = {"User-Agent": THUNDERBIRD.agent, "Accept": "*/*", "Connection": "close"}
    headers |= dict(request.headers)
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
        if "Authorization" in headers and not is_trusted:
            raise ProbeError("login", "the connection cannot be trusted")
        connection.response_class = bounded_response  # type: ignore[assignment]
        connection.request(request.method, target, request.body, headers)
        with connection.getresponse() as raw:
            response.status = raw.status
            sent = raw.getheaders()
            response.every = [(key.lower(), value[:_MAX_HEADER]) for key, value in sent]
            response.headers = dict(reversed(response.every))  # clients use the first
            response.body, response.damage = _read_body(raw)
    response.seconds = time.monotonic() - start
    if len(response.body) > MAX_BODY:
        raise ProbeError("http", f"an answer of more than {MAX_BODY // 1024} KiB")
    return response


def _read_body(raw: http.client.HTTPResponse) -> tuple[bytes, str]:
    """Return the body, and how it differs from its announced length ("" if not)."""
    announced = None if raw.chunked else raw.length
    if announced is None or announced > MAX_BODY:
        try:
            return raw.read(MAX_BODY + 1), ""
        except http.client.IncompleteRead as error:
            return error.partial, "it breaks off before its last chunk"
    body = raw.fp.read(announced)
    if len(body) < announced:
        damage = f"it ends after {len(body)} of the {announced} bytes"
        return body, f"{damage} that its Content-Length announces"
    # `peek` sees only data that has arrived: the server may keep the connection open.
    raw.fp.raw.is_complete = True  # type: ignore[attr-defined]
    if announced and raw.fp.peek(1).strip():
        return body, f"it is longer than the {announced} bytes of its Content-Length"
    return body, ""


class _Bounded(io.RawIOBase):
    """The bytes of a response; raises HTTPException for too many of them.

    Unlike :mod:`http.client`, it limits chunk sizes, trailers and interim responses, too.
    """

    def __init__(self, sock: Any, network: Network) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", 0)
        self._network = network
        self._bytes_left = MAX_RECEIVED
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
        self._sock.settimeout(self._network.seconds_left())
        count: int | None = self._raw.readinto(buffer)
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            limit = MAX_RECEIVED // 1024
            raise http.client.HTTPException(f"it has more than {limit} KiB")
        return count
