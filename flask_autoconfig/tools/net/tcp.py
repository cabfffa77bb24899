"""TCP and TLS connections to the servers of a domain, within one deadline."""

from __future__ import annotations

import errno
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from . import tls
from .resolver import LookupFailed, Resolver
from .tls import Certificate, HandshakeError, address_of
from .untrusted import is_public


class ProbeError(Exception):
    """Why a conversation came to nothing; `kind` says what stage it was.

    `cure` says what to do, where the stage knows.
    """

    def __init__(self, kind: str, message: str, cure: str = "") -> None:
        self.kind = kind
        self.cure = cure
        super().__init__(message)


# Below 1024 only what mail and web servers have: nobody's document leads us elsewhere.
_SERVICE_PORTS = frozenset((25, 80, 110, 143, 443, 465, 587, 993, 995))
_FIRST_USER_PORT = 1024
_LONGEST_HOST = 254  # characters (RFC 1035, section 2.3.4), with a dot at the end
_MOST_ADDRESSES = 8  # of a host, that are tried
_HEAD_START = 0.25  # seconds before the next address is tried as well (RFC 8305)


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
    only: str = ""  # of a host's addresses, go to this one

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
        if not 0 < port < 65536:
            raise ProbeError("connect", f"the port of {host[:80]} is none")
        if len(host) > _LONGEST_HOST:
            raise ProbeError("dns", f"{host[:80]}… is no host name")
        mapped = self.connect_to.get((host, port))
        is_own = self.allow_private or mapped is not None or (host, port) in self.own
        host, port = mapped or (host, port)
        try:
            addresses = self.resolver.addresses(host)
        except LookupFailed as error:
            raise ProbeError("dns", str(error), error.cure) from error
        if not addresses:
            raise ProbeError("dns", f"{host} has no address in DNS")
        if not is_own:
            _refuse_private(host, port, addresses)
        return addresses

    def addresses(self, host: str, port: int) -> list[str]:
        """Where connections to it may go; raises ProbeError where none may."""
        return self._judged(host, port)[:_MOST_ADDRESSES]

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection to the first address that answers; raises ProbeError.

        The addresses are tried side by side, each with a head start before the next
        (RFC 8305), so that a silent one costs no more than that.
        """
        mapped = self.connect_to.get((host, port))
        addresses = self.addresses(host, port)
        port = mapped[1] if mapped else port
        if self.only:
            addresses = [it for it in addresses if it == self.only] or [self.only]
        if len(addresses) == 1:
            try:
                return self.dial(addresses[0], port, self.left())
            except OSError as error:
                raise _no_connection({addresses[0]: error}, port) from error
        return self._first_of(addresses, port)

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        """A TCP connection to one address; raises OSError."""
        return socket.create_connection((address, port), seconds)

    def handshake(
        self, connect: Callable[[], socket.socket], host: str
    ) -> tuple[socket.socket, Certificate]:
        """TLS over a connection; see :func:`.tls.start_tls`."""
        return tls.start_tls(connect, host)

    def start_tls(
        self, connect: Callable[[], socket.socket], host: str, where: str = ""
    ) -> tuple[socket.socket, Certificate]:
        """TLS over a connection, with the certificate judged; raises ProbeError.

        Where no client would take the certificate the conversation goes on without
        believing it. *where* is what an error says of the place.
        """
        address = ""

        def connected() -> socket.socket:
            nonlocal address
            connection = connect()
            address = address_of(connection)
            return connection

        try:
            return self.handshake(connected, host)
        except HandshakeError as error:
            message = f"{address}{where}: {error}"
            raise ProbeError("tls", message, error.cure) from error

    def _first_of(self, addresses: list[str], port: int) -> socket.socket:
        until = time.monotonic() + self.left()
        errors: dict[str, Exception] = {}
        tries: dict[Future[socket.socket], str] = {}
        for number, address in enumerate(addresses):
            tries[_beside(partial(self.dial, address, port), until)] = address
            is_last = number + 1 == len(addresses)
            # The last of them waits for all that are still under way.
            while pending := [it for it in tries if tries[it] not in errors]:
                left = until - time.monotonic()
                patience = left if is_last else min(left, _HEAD_START)
                done, _ = wait(pending, max(patience, 0), FIRST_COMPLETED)
                for each in done:
                    error = each.exception()
                    if error is None:
                        _close_others(tries, each)
                        return each.result()
                    assert isinstance(error, Exception)  # noqa: S101 (nothing else is put in)
                    errors[tries[each]] = error
                if not done:
                    break
        _close_others(tries, None)
        late = {it: TimeoutError() for it in addresses if it not in errors}
        raise _no_connection({**errors, **late}, port)


def _beside(
    dial: Callable[[float], socket.socket], until: float
) -> Future[socket.socket]:
    """A connection that comes about in a thread of its own."""
    future: Future[socket.socket] = Future()

    def run() -> None:
        try:
            left = max(until - time.monotonic(), 0.01)
            future.set_result(dial(left))
        except Exception as error:  # whatever it is, it is who waits that wants to know
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _close_others(
    tries: Mapping[Future[socket.socket], str], taken: Future[socket.socket] | None
) -> None:
    def close(future: Future[socket.socket]) -> None:
        if future.exception() is None:
            future.result().close()

    for each in tries:
        if each is not taken:
            each.add_done_callback(close)


def _no_connection(errors: Mapping[str, Exception], port: int) -> ProbeError:
    """That nobody is there, with each address; those out of reach from here come last."""
    reasons: dict[str, list[str]] = {}
    for address, error in sorted(errors.items(), key=lambda it: is_out_of_reach(it[1])):
        reasons.setdefault(reason_of(error), []).append(address)
    told = "; ".join(
        f"{' and '.join(addresses)} port {port}: {reason}"
        for reason, addresses in reasons.items()
    )
    is_late = all(isinstance(it, TimeoutError) for it in errors.values())
    return ProbeError("silent" if is_late else "connect", told)


_NO_WAY = frozenset((errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


def is_out_of_reach(error: BaseException) -> bool:
    """Whether this machine has no way there at all, as without IPv6."""
    return isinstance(error, OSError) and error.errno in _NO_WAY


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


def reason_of(error: Exception) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if is_out_of_reach(error):
        return "this machine has no way there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def clock(network: Network, what: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Close the connection when the step is over: that ends whatever reads from it.

    However the server drips, and whichever connection it is by then.
    """

    def watch() -> None:
        seconds = max(network.until - time.monotonic(), 0)
        while not done.wait(min(seconds, threading.TIMEOUT_MAX)):
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
        if isinstance(error, ProbeError) and error.kind in ("silent", "dns"):
            raise  # which says who did not answer
        if over or isinstance(error, TimeoutError):
            raise ProbeError("timeout", _TOO_LATE) from error
        raise
    finally:
        done.set()
    if over:  # what looked like the answer's end was ours
        raise ProbeError("timeout", _TOO_LATE)


_AGAIN = 0.1  # seconds after which a connection that came too late is closed as well
