"""Facts: results of lookups and requests, each obtained once and shared by threads."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from ..net.http import PATIENCE, Response, fetch_once, follow_redirects
from ..net.http import Request as Request
from ..net.mail import Endpoint, MailServer, mail_server, refusal_of_tls12
from ..net.resolver import LookupFailed, Resolver
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url

S = TypeVar("S")
T = TypeVar("T")
_WORKERS = 32
_MAX_CACHED = 2_000  # results: those of some two dozen domains
# Requests at a time to one web server: those of an office, but not those of all clients.
_MAX_CONCURRENT = 8
_LONGEST_WAIT = 0.5  # seconds for the others to end: a silent server must not stop all
# Where a server limits the rate of requests, they are repeated one by one, with pauses.
_REFUSALS = frozenset((429, 503))
_SIGNS = _REFUSALS | {403}  # of a limit, where the request was answered before
_PAUSE, _REST = 0.2, 1.0  # seconds before such a request, and before a repetition

AddressResult = Response | MailServer | ProbeError  # at one of a host's addresses
# Of a result: its kind, and the name, the endpoint or the request.
_Key = tuple[str, Hashable]


class _WebServer:
    """What requests showed about the limits and the speed of a web server."""

    def __init__(self) -> None:
        self.places = threading.BoundedSemaphore(_MAX_CONCURRENT)
        self.turn = threading.Lock()  # for requests that are sent alone
        self.is_limiting = False  # the rate of requests
        self.answered = deque[Request](maxlen=30)  # the last not refused
        self.down: set[str] = set()  # hosts whose service is unavailable
        self.seconds_alone: dict[Request, float] = {}  # of requests sent alone
        self.is_slow = False  # even for a request that is sent alone
        self.is_blocking = False  # it refuses this machine after too many requests


def _lookup(method: Callable[[Resolver, str], T]) -> Callable[["Facts", str], T]:
    """Return a method of `Facts` that makes a lookup once for each name."""

    def lookup(facts: "Facts", name: str) -> T:
        obtain = partial(method, facts.network.resolver, name)
        return facts._cached(method.__name__, name, obtain)

    return lookup


class Facts:
    """Lookups and requests on a network, up to its deadline.

    Results are cached, and a second caller waits for the first. *shared* are other facts,
    with the same cache; their network may have another deadline.
    """

    def __init__(self, network: Network, shared: "Facts | None" = None) -> None:
        self.network = network
        self.is_late = False  # whether the check ran out of its own time
        self.waited = 0.0  # seconds for responses that arrived, and for turns
        self._unfinished: list[_Key] = []
        self._lock: threading.Lock = shared._lock if shared else threading.Lock()
        self._futures: dict[_Key, Future[Any]] = shared._futures if shared else {}
        # By an address of each; the name of a host that has none.
        self._servers: dict[str, _WebServer] = shared._servers if shared else {}

    def _cached(self, kind: str, of: Hashable, obtain: Callable[[], T]) -> T:
        """Return the cached result, or that of *obtain*; raise what it raises."""
        key = (kind, of)
        with self._lock:
            is_first = key not in self._futures
            future = self._futures.pop(key, None) or Future()
            self._futures[key] = future
            if len(self._futures) > _MAX_CACHED:
                del self._futures[next(iter(self._futures))]  # the least recently used
        if is_first:
            time_left = self.network.until - time.monotonic()
            try:
                future.set_result(obtain())
            except BaseException as error:
                is_over = time.monotonic() >= self.network.until
                # Requests to a server with limits also wait for their turn.
                is_queued = kind == "response" and self.is_limited
                # With more time the result may be another: it is not cached.
                if is_over and (is_queued or time_left < self.network.timeout):
                    with self._lock:
                        self._futures.pop(key, None)
                    self.is_late, error.kind = True, "late"  # type: ignore
                future.set_exception(error)
        result: T = future.result()
        if self.is_late and getattr(result, "is_limited", False):
            self._unfinished.append(key)
        return result

    def forget_unfinished(self) -> None:
        """Forget the results that may be others with more time."""
        with self._lock:
            for key in self._unfinished:
                self._futures.pop(key, None)

    # --- DNS: each raises LookupFailed ---------------------------------------------

    addresses = _lookup(Resolver.addresses)  # of a host, IPv6 first
    alias = _lookup(Resolver.alias)  # the target of a CNAME record, or ""
    is_known = _lookup(Resolver.is_known)  # whether the name exists
    mx = _lookup(Resolver.mx)  # the MX hosts of a domain, in order of preference
    srv = _lookup(Resolver.srv)  # hosts and ports; the host is "" for "not offered"
    txt = _lookup(Resolver.txt)

    def exists(self, host: str) -> bool:
        """Return whether the host has an address; False where the lookup fails."""
        with suppress(LookupFailed):
            return bool(self.addresses(host))
        return False

    def mx_hosts(self, domain: str) -> list[str]:
        """Return the MX hosts of a domain; none where the lookup fails."""
        with suppress(LookupFailed):
            return self.mx(domain)
        return []

    def targets(self, name: str) -> list[tuple[str, int]]:
        """Return the hosts and ports of SRV records; none where the lookup fails."""
        with suppress(LookupFailed):
            return [target for target in self.srv(name) if target[0]]
        return []

    def is_from_wildcard(self, host: str, domain: str) -> bool:
        """Return whether the host has the addresses of a random name in the domain."""
        with suppress(LookupFailed):
            addresses = self.addresses(f"no-such-name-e3b0c442.{domain}")
            return bool(addresses) and set(addresses) == set(self.addresses(host))
        return False

    # --- Connections: each raises ProbeError ---------------------------------------

    def response(self, request: Request) -> Response:
        """Return the response to a request, without following redirects."""
        return self._cached("response", request, partial(self._send_limited, request))

    def _server_of(self, request: Request) -> _WebServer:
        host = _host_of(request)
        with suppress(LookupFailed):
            host = next(iter(self.addresses(host)), host)
        with self._lock:
            return self._servers.setdefault(host, _WebServer())

    def seconds(self, request: Request, response: Response, most: float) -> float:
        """Return the seconds of a response; if more than *most*, measure them again, alone.

        A server may delay the many requests of a check, and not those of a client.
        """
        if response.seconds <= most:
            return response.seconds
        server, request = self._server_of(request), request._replace(url=response.url)
        with server.turn:
            if not (server.is_slow or request in server.seconds_alone):
                if time.monotonic() + _REST + most >= self.network.until:
                    self.is_late = True
                    return most
                time.sleep(_REST)
                with suppress(ProbeError):
                    server.seconds_alone[request] = self._send(request).seconds
            seconds = server.seconds_alone.get(request, response.seconds)
            server.is_slow = server.is_slow or seconds > most
        return seconds

    def _send_limited(self, request: Request) -> Response:
        server, response = self._server_of(request), None
        if not server.is_limiting:
            has_place = server.places.acquire(timeout=_LONGEST_WAIT)
            try:
                response = self._send(request)
            finally:
                if has_place:
                    server.places.release()
        if response is None or response.status in _REFUSALS:
            return self._send_in_turn(server, request, response)
        if response.status == 403:
            is_blocked = self._refuses_now(server, request)
            server.is_blocking = server.is_blocking or is_blocked
            return replace(response, is_limited=is_blocked)
        server.answered.append(request)
        return response

    def _send(self, request: Request) -> Response:
        network = self.network.step(PATIENCE * self.network.timeout)
        response = fetch_once(network, request)
        self.waited += response.seconds
        return response

    def _send_in_turn(
        self, server: _WebServer, request: Request, refusal: Response | None
    ) -> Response:
        """Send a request alone, after a pause, up to twice while the server refuses it.

        A host that refuses it both times is unavailable, unless the server also refuses a
        request that it answered before: then it limits their rate.
        """
        host, started = _host_of(request), time.monotonic()
        with server.turn:
            for pause in (_PAUSE if server.is_limiting else _REST, _REST):
                if refusal is not None and host in server.down:
                    break
                if time.monotonic() + pause >= self.network.until:
                    self.is_late = True
                    break
                time.sleep(pause)
                response = self._send(request)
                if response.status not in _REFUSALS:
                    server.is_limiting = True
                    self.waited += time.monotonic() - started
                    return response
                refusal = response
                is_limiting = server.is_limiting or self._refuses_now(server, request)
                server.is_limiting = is_limiting
            else:
                if not server.is_limiting:
                    server.down.add(host)
            response = refusal or self._send(request)
            is_limited = response.status in _REFUSALS and server.is_limiting
            return replace(response, is_limited=is_limited)

    def _refuses_now(self, server: _WebServer, request: Request) -> bool:
        """Return whether a request is refused that is like this one and was answered."""
        host, path = split_url(request.url)[1:3]

        def likeness(other: Request) -> tuple[bool, bool]:
            parts = split_url(other.url)
            return parts.netloc == host, parts.path == path

        answered = sorted(server.answered, key=likeness)
        with suppress(ProbeError):
            return bool(answered) and self._send(answered[-1]).status in _SIGNS
        return False

    @property
    def is_limited(self) -> bool:
        """Whether a web server limits requests, by their rate or by a block."""
        servers = list(self._servers.values())
        return any(server.is_limiting or server.is_blocking for server in servers)

    def fetch(self, request: Request) -> Response:
        """Return the response to a request, after its redirects."""
        return follow_redirects(
            lambda url: self.response(request._replace(url=url)), request.url
        )

    def mail_server(self, endpoint: Endpoint) -> MailServer | ProbeError:
        """Return the mail server and its capabilities, or the error of the connection."""
        obtain = partial(mail_server, self.network, endpoint)
        try:
            return self._cached("server", endpoint, obtain)
        except ProbeError as error:
            return error

    def refusal_of_tls12(self, endpoint: Endpoint) -> str:
        """Return why a client of TLS 1.2 is refused: version, ciphers, or "" (none)."""

        def obtain() -> str:
            refusal = ""
            for rest in (0, 1):  # servers that need a rest hang up too
                time.sleep(rest)
                refusal = ""
                with suppress(OSError, ProbeError):
                    refusal = refusal_of_tls12(self.network, endpoint)
                if refusal != "ciphers":
                    break
            return refusal

        return self._cached("TLS 1.2", endpoint, obtain)

    def at_addresses(self, target: Request | Endpoint) -> dict[str, AddressResult]:
        """Return the result at each address of a host; {} for a host with only one."""
        if isinstance(target, Request):
            parts = split_url(target.url)
            usual = 443 if parts.scheme == "https" else 80
            host, port = parts.hostname or "", parts.port or usual
        else:
            host, port = target.host, target.port
        addresses = self.network.addresses(host, port)
        if len(addresses) < 2:
            return {}
        tasks = (partial(self._result_at, address, target) for address in addresses)
        return dict(zip(addresses, run_concurrently(tasks), strict=True))

    def _result_at(self, address: str, target: Request | Endpoint) -> AddressResult:
        network = replace(self.network, only=address)

        def obtain() -> AddressResult:
            if isinstance(target, Request):
                facts = Facts(network)
                facts._servers = self._servers  # with what is known of their limits
                return facts.response(target)
            return mail_server(network, target)

        try:
            return self._cached("at address", (target, address), obtain)
        except ProbeError as error:
            return error


def _host_of(request: Request) -> str:
    return split_url(request.url).hostname or ""


def run_concurrently(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """Run the tasks in threads, the last in this one; return their results in order."""
    pending = list(tasks)
    with ThreadPoolExecutor(_WORKERS) as pool:
        futures = [pool.submit(task) for task in pending[:-1]]
        last = [task() for task in pending[-1:]]
        return [*(future.result() for future in futures), *last]


def gather(find: Callable[[S], Iterable[T]], items: Iterable[S]) -> list[T]:
    """Call *find* for each item, in threads; return all that it yields, in order."""

    def find_all(item: S) -> list[T]:
        return list(find(item))

    return list(chain(*run_concurrently(partial(find_all, item) for item in items)))
