"""TCP and TLS connections to the servers of a domain, within one deadline."""

import errno
import http.client
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from . import tls
from .common import ProbeError as ProbeError
from .common import texts
from .resolver import LookupFailed, Resolver
from .tls import Certificate, address_of
from .untrusted import is_public, kind_of

# Below 1024, only the ports of mail and web servers are connected to: a document from
# elsewhere must not lead to other services.
_SERVICE_PORTS = frozenset((25, 26, 80, 110, 143, 443, 465, 587, 993, 995))
_FIRST_USER_PORT = 1024
_LONGEST_HOST = 254  # characters (RFC 1035, section 2.3.4), with a final dot
_MAX_ADDRESSES = 8  # of one host
_PATIENCE = 0.5  # seconds for a connection, if the host has another address
_TOO_LATE = "the server did not finish in time"


@dataclass(frozen=True)
class Network:
    """How to reach servers: the resolver, the timeouts, and the hosts that are allowed.

    Hosts that DNS, a document or a redirect names are not trusted: connections to them
    go to public addresses only, and to the ports of mail and web servers.
    """

    resolver: Resolver
    timeout: float = 5.0  # seconds for a connection, and for each part of a step
    # As curl's --connect-to: the host and port to connect to in place of another, such
    # as to test a server before DNS points to it.
    connect_to: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    # Hosts and ports that the user's own file names: they may have any address.
    own: frozenset[tuple[str, int]] = frozenset()
    allow_private: bool = False
    until: float = math.inf  # the deadline of the step, on the monotonic clock
    only: str = ""  # the only address to connect to

    def step(self, seconds: float | None = None) -> "Network":
        """Return the network for one step, which ends within *seconds* or the timeout."""
        end = time.monotonic() + (self.timeout if seconds is None else seconds)
        until = min(self.until, end)
        return replace(self, until=until, resolver=self.resolver.until(until))

    def seconds_left(self) -> float:
        """Return the seconds left for the step; raises ProbeError if there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise ProbeError("timeout", _TOO_LATE)
        return min(left, self.timeout)

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the allowed addresses of a host; raises ProbeError if there is none."""
        if not 0 < port < 65536:
            raise ProbeError("connect", f"{host[:80]}: {port} is not a valid port")
        if len(host) > _LONGEST_HOST:
            raise ProbeError("dns", f"{host[:80]}… is not a host name")
        mapped = self.connect_to.get((host, port))
        is_trusted = self.allow_private or mapped or (host, port) in self.own
        host, port = mapped or (host, port)
        try:
            addresses = self.resolver.addresses(host)
        except LookupFailed as error:
            raise ProbeError("dns", str(error), error.cure) from error
        if not addresses:
            raise ProbeError("dns", f"{host} has no address in DNS")
        if not is_trusted:
            private, addresses = addresses, list(filter(is_public, addresses))
            if not addresses:
                clause, cure = _nature(private)
                message = f"{host} leads to {private[0]}, which is not on the internet"
                raise ProbeError("private", message + clause, cure)
            if port < _FIRST_USER_PORT and port not in _SERVICE_PORTS:
                message = f"port {port} of {host} is not a port of mail or web servers"
                raise ProbeError("port", message)
        return addresses[:_MAX_ADDRESSES]

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; raises ProbeError."""
        addresses = self.addresses(host, port)
        if self.only:
            addresses = [self.only]
        _, port = self.connect_to.get((host, port), (host, port))
        until = time.monotonic() + self.seconds_left()
        errors: dict[str, OSError] = {}
        for number, address in enumerate(addresses):
            share = max(until - time.monotonic(), 0.01) / (len(addresses) - number)
            seconds = share if address == addresses[-1] else min(share, _PATIENCE)
            try:
                return self.dial(address, port, seconds)
            except OSError as error:
                errors[address] = error
        raise _no_connection(errors, port)

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        return socket.create_connection((address, port), seconds)

    handshake = staticmethod(tls.start_tls)
    refusal_of_tls12 = staticmethod(tls.refusal_of_tls12)

    def start_tls(
        self, connect: Callable[[], socket.socket], host: str, suffix: str = ""
    ) -> tuple[socket.socket, Certificate]:
        """Start TLS on a new connection and verify the certificate; raises ProbeError.

        A bad certificate does not end the conversation: see `Certificate.problem`.
        *suffix* follows the address in the message of an error.
        """
        address = ""

        def connect_in_time() -> socket.socket:
            nonlocal address
            address, connection = "", connect()
            address = address_of(connection)
            try:
                connection.settimeout(self.seconds_left())  # for the whole handshake
            except ProbeError:
                connection.close()
                raise
            return connection

        try:
            return self.handshake(connect_in_time, host)
        except TimeoutError as error:
            if not address:  # the connection timed out, not the handshake
                raise
            row = texts()["silent"]["tls"]
            raise ProbeError("timeout", row["problem"], row["cure"]) from error
        except ProbeError as error:
            if error.kind != "tls":
                raise
            message = f"{address}{suffix}: {error}"
            raise ProbeError("tls", message, error.cure) from error.__cause__


def _no_connection(errors: Mapping[str, OSError], port: int) -> ProbeError:
    """Return the error with the reason at each address, those without a route last."""
    reasons: dict[str, list[str]] = {}
    for address in sorted(errors, key=lambda name: _has_no_route(errors[name])):
        reasons.setdefault(reason_of(errors[address]), []).append(address)
    message = "; ".join(
        f"{' and '.join(addresses)} port {port}: {reason}"
        for reason, addresses in reasons.items()
    )
    routed = [error for error in errors.values() if not _has_no_route(error)]
    is_late = all(isinstance(error, TimeoutError) for error in routed)
    kind = "silent" if is_late else "connect"
    clause, cure = _nature(errors)
    if not (routed or cure):
        # Outside their network, nobody has a route to private addresses.
        kind = "private" if clause else "no-route"
    return ProbeError(kind, message + clause, cure)


def _nature(addresses: Iterable[str]) -> tuple[str, str]:
    """Return a clause about a special address among these, and the cure if it is wrong."""
    for address in addresses:
        if words := kind_of(address, "nowhere", "inside"):
            cure = not_public(address) if kind_of(address, "nowhere") else ""
            return f"; {address} is {words}", cure
    return "", ""


def not_public(address: str) -> str:
    """Return the cure for an address in DNS that is not on the internet."""
    return str(texts()["addresses"]["public"]).format(address=address)


_NO_ROUTE = frozenset((errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


def _has_no_route(error: BaseException) -> bool:
    """Return whether this machine has no route to the address, as without IPv6."""
    return isinstance(error, OSError) and error.errno in _NO_ROUTE


def reason_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if _has_no_route(error):
        return "this machine has no way there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def failures(kind: str, peer: Callable[[], str], prefix: str = "") -> Iterator[None]:
    """Raise ProbeError for any failure in the block, with the address of the server.

    *peer* returns the address, with the port if that must be named, or "".
    *kind* and *prefix* are for an error that is neither of TLS nor a timeout.
    """
    try:
        yield
    except ProbeError as error:
        failure, cause = error, error.__cause__
    except TimeoutError as error:
        failure, cause = ProbeError("timeout", _TOO_LATE), error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if kind == "http" and isinstance(error, ConnectionError):
            kind, error = "closed", ConnectionError("the server hangs up")
        failure, cause = ProbeError(kind, f"{prefix}{reason_of(error)[:200]}"), error
        # In TLS 1.3 a server may reject the client's part of a handshake that is over
        # for the client (RFC 8446, section 4.4.2.4): its alert is read in place of data.
        if isinstance(error, ssl.SSLError):
            end = "the server hangs up after the TLS handshake"
            failure = tls.explained(error, "TLS breaks off", end)
    else:
        return
    address, message = peer(), str(failure)
    if address and address.partition(" ")[0] not in message:
        message = f"{address}: {message}"
    raise ProbeError(failure.kind, message, failure.cure) from cause
