"""TCP and TLS connections to the servers of a domain, within one deadline."""

import errno
import http.client
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from . import tls
from .common import ProbeError as ProbeError
from .common import in_thread, texts
from .resolver import LookupFailed, Resolver
from .tls import Certificate, address_of
from .untrusted import is_public, kind_of

# Below 1024, connect to the ports of mail and web servers only: a document from
# elsewhere must not lead to other services.
_SERVICE_PORTS = frozenset((25, 26, 80, 110, 143, 443, 465, 587, 993, 995))
_FIRST_USER_PORT = 1024
_LONGEST_HOST = 254  # characters (RFC 1035, section 2.3.4), with a final dot
_MOST_ADDRESSES = 8  # of one host
_HEAD_START = 0.25  # seconds before the next address is tried as well (RFC 8305)
_TOO_LATE = "the server did not finish in time"


@dataclass(frozen=True)
class Network:
    """How to reach servers: the resolver, the timeouts, and what is off limits.

    Hosts that DNS, a document or a redirect names are not trusted: connections to them
    go to public addresses only, and to the ports of mail and web servers.
    """

    resolver: Resolver
    timeout: float = 5.0  # seconds for a connection, and for each part of a step
    # (host, port) -> (host, port) to connect to instead, as curl's --connect-to, to try
    # a server before DNS points to it.
    connect_to: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    # Hosts and ports that the user's own file names: they may have any address.
    own: frozenset[tuple[str, int]] = frozenset()
    allow_private: bool = False
    until: float = math.inf  # the deadline of the step, on the monotonic clock
    only: str = ""  # connect to this address of a host, and to no other

    def step(self, seconds: float | None = None) -> "Network":
        """Return the network for one step, which ends within *seconds* or the timeout."""
        end = time.monotonic() + (self.timeout if seconds is None else seconds)
        until = min(self.until, end)
        return replace(self, until=until, resolver=self.resolver.until(until))

    def left(self) -> float:
        """Return the seconds left for the step; raises ProbeError if there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise ProbeError("timeout", _TOO_LATE)
        return min(left, self.timeout)

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses to connect to; raises ProbeError if any is not allowed."""
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
            private = [each for each in addresses if not is_public(each)]
            if private:
                said, cure = _nature(private)
                message = f"{host} leads to {private[0]}, which is not on the internet"
                raise ProbeError("private", message + said, cure)
            if port < _FIRST_USER_PORT and port not in _SERVICE_PORTS:
                message = f"port {port} of {host} is not a port of mail or web servers"
                raise ProbeError("port", message)
        return addresses[:_MOST_ADDRESSES]

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; raises ProbeError.

        The addresses are tried side by side, each with a head start before the next
        (RFC 8305), so that a silent one delays the others only that long.
        """
        addresses = self.addresses(host, port)
        if self.only:
            addresses = [self.only]
        _, port = self.connect_to.get((host, port), (host, port))
        until = time.monotonic() + self.left()
        attempts: dict[Future[socket.socket], str] = {}
        connected = None
        try:
            for address in addresses:
                left = max(until - time.monotonic(), 0.01)
                attempts[in_thread(partial(self.dial, address, port, left))] = address
                is_last = address == addresses[-1]
                patience = left if is_last else min(left, _HEAD_START)
                with suppress(TimeoutError):
                    for attempt in as_completed(attempts, patience):
                        if attempt.exception() is None:
                            connected = attempt
                            return attempt.result()
        finally:
            for attempt in attempts:
                if attempt is not connected:
                    attempt.add_done_callback(_close)
        raise _no_connection(attempts, port)

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        return socket.create_connection((address, port), seconds)

    handshake = staticmethod(tls.start_tls)
    first_messages = staticmethod(tls.first_messages)

    def start_tls(
        self, connect: Callable[[], socket.socket], host: str, where: str = ""
    ) -> tuple[socket.socket, Certificate]:
        """Start TLS on a new connection and judge the certificate; raises ProbeError.

        A bad certificate does not end the conversation: see `Certificate.problem`.
        *where* follows the address in the message of an error.
        """
        address = ""

        def connected() -> socket.socket:
            nonlocal address
            address, connection = "", connect()
            address = address_of(connection)
            try:
                connection.settimeout(self.left())  # for the whole handshake
            except ProbeError:
                connection.close()
                raise
            return connection

        try:
            return self.handshake(connected, host)
        except TimeoutError as error:
            if not address:  # it is late before TLS
                raise
            row = texts()["silent"]["tls"]
            raise ProbeError("timeout", row["problem"], row["cure"]) from error
        except ProbeError as error:
            if error.kind != "tls":
                raise
            message = f"{address}{where}: {error}"
            raise ProbeError("tls", message, error.cure) from error.__cause__


def _close(attempt: Future[socket.socket]) -> None:
    if attempt.exception() is None:
        attempt.result().close()


def _no_connection(
    attempts: Mapping[Future[socket.socket], str], port: int
) -> ProbeError:
    """List why each address failed, those without a route from here last."""
    errors = {
        address: (attempt.exception() if attempt.done() else None) or TimeoutError()
        for attempt, address in attempts.items()
    }
    reasons: dict[str, list[str]] = {}
    for address in sorted(errors, key=lambda name: _is_out_of_reach(errors[name])):
        reasons.setdefault(reason_of(errors[address]), []).append(address)
    message = "; ".join(
        f"{' and '.join(addresses)} port {port}: {reason}"
        for reason, addresses in reasons.items()
    )
    near = [error for error in errors.values() if not _is_out_of_reach(error)]
    is_late = all(isinstance(error, TimeoutError) for error in near)
    kind = "silent" if is_late else "connect"
    said, cure = _nature(attempts.values())
    if not (near or cure):
        # Outside their network, nobody has a route to private addresses.
        kind = "private" if said else "no-route"
    return ProbeError(kind, message + said, cure)


def _nature(addresses: Iterable[str]) -> tuple[str, str]:
    """Return what one of the addresses is, as a clause, and the cure if it is wrong."""
    for address in addresses:
        if words := kind_of(address, "nowhere", "inside"):
            cure = not_public(address) if kind_of(address, "nowhere") else ""
            return f"; {address} is {words}", cure
    return "", ""


def not_public(address: str) -> str:
    """Return the cure for an address in DNS that is not on the internet."""
    return str(texts()["addresses"]["public"]).format(address=address)


_NO_ROUTE = frozenset((errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


def _is_out_of_reach(error: BaseException) -> bool:
    """Return whether this machine has no route to the address, as without IPv6."""
    return isinstance(error, OSError) and error.errno in _NO_ROUTE


def reason_of(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if _is_out_of_reach(error):
        return "this machine has no way there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def failures(kind: str, place: Callable[[], str], prefix: str = "") -> Iterator[None]:
    """Raise ProbeError for whatever fails in the block, its message after the place.

    *place* returns the address of the server, with what identifies the port, or "".
    *kind* and *prefix* are those of an error that is neither TLS nor a timeout.
    """
    try:
        yield
    except ProbeError as error:
        found, cause = error, error.__cause__
    except TimeoutError as error:
        found, cause = ProbeError("timeout", _TOO_LATE), error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if kind == "http" and isinstance(error, ConnectionError):
            kind, error = "closed", ConnectionError("the server hangs up")
        found, cause = ProbeError(kind, f"{prefix}{reason_of(error)[:200]}"), error
        # In TLS 1.3 a server judges the client's part when the client has long gone on
        # (RFC 8446, section 4.4.2.4): its alert arrives with the first answer.
        if isinstance(error, ssl.SSLError):
            end = "the server hangs up after the TLS handshake"
            found = tls.explained(error, "TLS breaks off", end)
    else:
        return
    where, message = place(), str(found)
    if where and where.partition(" ")[0] not in message:
        message = f"{where}: {message}"
    raise ProbeError(found.kind, message, found.cure) from cause
