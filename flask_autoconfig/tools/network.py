"""Reaches real servers by TCP, TLS and HTTP, within a time and in bounded memory.

A server is hostile until proven otherwise: one clock runs over a whole conversation, and
closes the connection when it is over, however slowly the server drips. Lines, answers and
bodies have a greatest length.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urljoin, urlsplit

from .resolver import LookupFailed, Resolver

MOST_BODY = 1024 * 1024
MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))


class ProbeError(Exception):
    """Why a conversation came to nothing; `kind` says what stage it was."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass
class Certificate:
    """What a server showed: whether it is good for the name, and for how long."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    problem: str = ""  # why no client would take it


# Below 1024 only what mail and web servers have: nobody's document leads us elsewhere.
_SERVICE_PORTS = frozenset((25, 80, 110, 143, 443, 465, 587, 993, 995))
_FIRST_USER_PORT = 1024
_MOST_ADDRESSES = 4  # of a host, that are tried
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_UNICAST = ip_network("2000::/3")  # all that is given out of IPv6
_DOCUMENTATION = ip_network("3fff::/20")  # RFC 9637
_RELAYS = ip_network("192.88.99.0/24")  # RFC 7526: to wherever IPv6 is near
_IPV4_COMPATIBLE = ip_network("::/96")  # RFC 4291, section 2.5.5.1


@dataclass(frozen=True)
class Network:
    """How to reach servers: who resolves names, how long to wait, where not to go.

    Whoever else names a host, in DNS, a document or a redirect, is a stranger: there we
    go to addresses of the internet alone, and to ports of mail and web servers.
    """

    resolver: Resolver
    timeout: float = 5.0  # seconds for each step
    # (host, port) -> where to go instead, as curl's --connect-to, so that a server can be
    # tried before DNS points to it.
    connect_to: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    # Hosts and ports that one's own file names: they may be anywhere.
    own: frozenset[tuple[str, int]] = frozenset()
    allow_private: bool = False  # the network is one's own
    until: float = math.inf  # on the monotonic clock: when the step is over

    def step(self, seconds: float | None = None) -> Network:
        """The same for one step, whatever happens in it: all within the timeout."""
        over = time.monotonic() + (self.timeout if seconds is None else seconds)
        until = min(self.until, over)
        return replace(self, until=until, resolver=self.resolver.until(until))

    def left(self) -> float:
        """Seconds until the step is over; raises ProbeError if it is."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise ProbeError("timeout", _TOO_LATE)
        return min(left, self.timeout)

    def refuse_private(self, host: str, port: int) -> None:
        """Raise ProbeError, also where nobody knows the host."""
        self._judged(host, port)

    def _judged(self, host: str, port: int) -> list[str]:
        """The addresses to go to for a host, of which none is refused."""
        mapped = self.connect_to.get((host, port))
        is_own = self.allow_private or mapped is not None or (host, port) in self.own
        host, port = mapped or (host, port)
        try:
            addresses = self.resolver.addresses(host)
        except LookupFailed as error:
            raise ProbeError("dns", str(error)) from error
        if not addresses:
            raise ProbeError("dns", f"{host} has no address in DNS")
        if not is_own:
            _refuse_private(host, port, addresses)
        return addresses

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection to the first address that answers; raises ProbeError."""
        mapped = self.connect_to.get((host, port))
        addresses = self._judged(host, port)
        host, port = mapped or (host, port)

        reason = ""
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return socket.create_connection((address, port), self.left())
            except OSError as error:
                reason = reason_of(error)
        raise ProbeError("connect", f"{host} port {port}: {reason}")


_TOO_LATE = "the server did not finish in time"


def _refuse_private(host: str, port: int, addresses: list[str]) -> None:
    """Raise ProbeError for what no stranger may lead us to."""
    for address in addresses:
        if not is_public(address):
            raise ProbeError(
                "private", f"{host} leads to {address}, which is not on the internet"
            )
    if port < _FIRST_USER_PORT and port not in _SERVICE_PORTS:
        message = f"port {port} of {host} is no port of mail or web servers"
        raise ProbeError("private", message)


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


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def clock(network: Network, what: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Close the connection when the step is over: that ends whatever reads from it.

    However the server drips, and whichever connection it is by then.
    """

    def watch() -> None:
        seconds = max(network.until - time.monotonic(), 0)
        while not done.wait(seconds):
            over.append(True)
            seconds = _AGAIN
            connection = what()
            if connection is not None:
                with suppress(OSError):
                    # Of a TLS socket too: the plain one's shutdown, which asks nobody.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    over: list[bool] = []
    done = threading.Event()
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except Exception as error:
        if over or isinstance(error, TimeoutError):
            raise ProbeError("timeout", _TOO_LATE) from error
        raise
    finally:
        done.set()
    if over:  # what looked like the answer's end was ours
        raise ProbeError("timeout", _TOO_LATE)


_AGAIN = 0.1  # seconds after which a connection that came too late is closed as well


# --- TLS -----------------------------------------------------------------------------


def start_tls(
    connect: Callable[[], socket.socket], host: str
) -> tuple[ssl.SSLSocket, Certificate]:
    """TLS over a connection, and what its certificate is worth.

    Where no client would take the certificate, `connect` is called again and the
    conversation goes on without believing it, so that the rest can be seen too.
    """
    context = ssl.create_default_context()
    context.check_hostname = False  # told apart from the chain below
    certificate = Certificate()
    connection = connect()
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        certificate.problem = error.verify_message or str(error)
        connection.close()
        loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        loose.check_hostname = False
        loose.verify_mode = ssl.CERT_NONE
        return loose.wrap_socket(connect(), server_hostname=host), certificate
    except (ssl.SSLError, OSError, ValueError) as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise
        reason = getattr(error, "reason", None) or reason_of(error)
        raise ProbeError("tls", f"no TLS there: {reason}") from error

    _describe(secure, certificate, host)
    return secure, certificate


def _describe(secure: ssl.SSLSocket, certificate: Certificate, host: str) -> None:
    told: dict[str, Any] = dict(secure.getpeercert() or {})
    alternatives = told.get("subjectAltName", ())
    certificate.names = [str(value) for kind, value in alternatives if kind != "email"]
    ends = ssl.cert_time_to_seconds(told["notAfter"])
    certificate.days_left = int((ends - time.time()) // 86400)
    if not any(_matches(host, name) for name in certificate.names):
        listed = ", ".join(certificate.names[:5]) or "no name"
        certificate.problem = f"it is for {listed}, not for {host}"


def _matches(host: str, name: str) -> bool:
    """RFC 6125, section 6.4.3: a wildcard is one whole label, the leftmost."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- HTTP ----------------------------------------------------------------------------


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

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        kind = self.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower()


class _Connection(http.client.HTTPConnection):
    def __init__(self, network: Network, host: str, port: int, secure: bool) -> None:
        super().__init__(host, port, timeout=network.timeout)
        self._network = network
        self._secure = secure
        self.certificate: Certificate | None = None
        self.held: socket.socket | None = None  # http.client lets go of sock early

    def connect(self) -> None:
        def by_tcp() -> socket.socket:
            self.held = self._network.connect(self.host, self.port)
            return self.held

        if self._secure:
            self.held, self.certificate = start_tls(by_tcp, self.host)
        else:
            by_tcp()
        self.sock = self.held


def fetch(
    network: Network,
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    follow: bool = True,
) -> Reply:
    """One request, redirects followed; raises ProbeError. All of it is one step.

    A redirect that comes with a certificate that no client takes is not followed: whoever
    sent it may be anybody.
    """
    network = network.step()
    seen: list[str] = []
    is_verified = True
    while True:
        reply = _fetch_once(network, url, method, body, headers or {})
        reply.redirects = list(seen)
        is_verified = is_verified and _is_good(reply)
        reply.is_verified = is_verified
        location = reply.headers.get("location")
        is_forged = reply.certificate is not None and bool(reply.certificate.problem)
        if not (follow and location and reply.status in REDIRECTS) or is_forged:
            return reply

        seen.append(url)
        try:
            url = urljoin(url, location)
        except ValueError as error:
            message = f"it leads to no web address: {location[:200]}"
            raise ProbeError("redirect", message) from error
        if url in seen or len(seen) > MOST_REDIRECTS:
            message = f"redirects without end, by way of {url[:200]}"
            raise ProbeError("redirect", message)


def _is_good(reply: Reply) -> bool:
    """Whether this very answer came over https with a good certificate."""
    return reply.certificate is not None and not reply.certificate.problem


def _fetch_once(
    network: Network,
    url: str,
    method: str,
    body: bytes | None,
    headers: dict[str, str],
) -> Reply:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ProbeError("redirect", f"no URL: {url[:200]}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ProbeError("redirect", f"it leads to no web address: {url[:200]}")

    secure = parts.scheme == "https"
    connection = _Connection(network, host, port or (443 if secure else 80), secure)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reply = Reply(url)
    sending = {"User-Agent": "flask-autoconfig-check", "Connection": "close", **headers}
    try:
        with clock(network, lambda: connection.held):
            connection.request(method, target, body, sending)
            reply.certificate = connection.certificate
            response = connection.getresponse()
            reply.status = response.status
            reply.headers = {name.lower(): it for name, it in response.getheaders()}
            reply.body = response.read(MOST_BODY + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProbeError("http", f"no HTTP answer: {reason_of(error)[:200]}") from error
    finally:
        connection.close()

    if len(reply.body) > MOST_BODY:
        raise ProbeError("http", f"an answer of more than {MOST_BODY // 1024} KiB")
    return reply
