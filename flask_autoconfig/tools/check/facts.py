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

from ..clients import THUNDERBIRD
from ..net.http import PATIENCE, Response, fetch_once, follow_redirects
from ..net.http import Request as Request
from ..net.mail import Endpoint, MailServer, first_messages, mail_server
from ..net.resolver import LookupFailed, Resolver
from ..net.tcp import Network, ProbeError
from ..net.tls import NO_CIPHER, PADDING, STAPLE, TOO_LONG
from ..net.untrusted import split_url
from . import texts

S = TypeVar("S")
T = TypeVar("T")
_WORKERS = 32
# Requests to one web server: an office's many computers ask at once, but not all clients.
_AT_ONCE = 8
_LONGEST_WAIT = 0.5  # seconds for the others to end: a silent server must not stop all
# A server that limits the rate of requests is asked again later, with pauses.
_REFUSALS = frozenset((429, 503))
_FIRST_PAUSE, _PAUSE, _LONGEST_PAUSE = 1.0, 0.2, 4.0  # seconds
_MOST_TRIES, _MOST_KNOWN = 5, 8
_PAUSES_ALONE = (1.0, 2.0, 3.0)  # seconds before tries of a response that came late


# What one of a host's addresses answers.
AtAddress = Response | MailServer | ProbeError
# By the kind of a result, and what it is of.
_Futures = dict[tuple[str, Hashable], Future[Any]]


class _WebServer:
    def __init__(self) -> None:
        self.room = threading.BoundedSemaphore(_AT_ONCE)
        self.turn = threading.Lock()
        self.pause = 0.0  # seconds between requests, where it limits their rate
        self.answered = deque[Request](maxlen=30)  # the last that were not refused
        self.down: set[str] = set()  # hosts whose service is unavailable
        self.alone: dict[Request, float] = {}  # seconds of responses to single requests
        self.is_slow = False  # also where a request is the only one
        self.is_shut = False  # to this address, after too many requests


def _kept(lookup: Callable[[Resolver, str], T]) -> Callable[["Facts", str], T]:
    """Return a method of facts that makes a lookup once for each name."""

    def kept(facts: "Facts", name: str) -> T:
        look = partial(lookup, facts.network.resolver, name)
        return facts._once(lookup.__name__, name, look)

    return kept


class Facts:
    """Lookups and requests on a network, up to its deadline.

    Results are kept, and a second caller waits for the first. *shared* are facts to share
    results with; their network may have another deadline.
    """

    def __init__(self, network: Network, shared: "Facts | None" = None) -> None:
        self.network = network
        self.is_late = False  # whether the check ran out of its own time
        self.waited = 0.0  # seconds for responses that arrived, and for turns
        self.asked: list[tuple[str, Hashable]] = []  # what was first looked for here
        self._lock: threading.Lock = shared._lock if shared else threading.Lock()
        self._futures: _Futures = shared._futures if shared else {}
        self._servers: dict[str, _WebServer] = shared._servers if shared else {}

    def _once(self, kind: str, key: Hashable, look: Callable[[], T]) -> T:
        """Return the kept result, or that of *look*; raise what it raises."""
        # An error after the deadline is "late" and not kept where little time was left.
        with self._lock:
            is_first = (kind, key) not in self._futures
            future = self._futures.setdefault((kind, key), Future())
        if is_first:
            self.asked.append((kind, key))
            left = self.network.until - time.monotonic()
            try:
                future.set_result(look())
            except BaseException as error:
                is_over = time.monotonic() >= self.network.until
                is_queued = (
                    kind == "response" and self.is_limited
                )  # it waits for its turn
                if is_over and (is_queued or left < self.network.timeout):
                    with self._lock:
                        self._futures.pop((kind, key), None)
                    self.is_late, error.kind = True, "late"  # type: ignore
                future.set_exception(error)
        result: T = future.result()
        return result

    def forget(self, domain: str, asked: Iterable[tuple[str, Hashable]]) -> None:
        """Forget those of the results that no other domain is checked with."""
        with self._lock:
            for kind, key in asked:
                if domain in str(key):
                    self._futures.pop((kind, key), None)
                if isinstance(key, Request):  # the others have an address
                    self._servers.pop(_host_of(key), None)
        self.network.resolver.forget(domain)

    # --- DNS: each raises LookupFailed ---------------------------------------------

    addresses = _kept(Resolver.addresses)  # of a host, IPv6 first
    alias = _kept(Resolver.alias)  # the target of a CNAME record, or ""
    is_known = _kept(Resolver.is_known)  # whether the name exists
    mx = _kept(Resolver.mx)  # the MX hosts of a domain, in order of preference
    srv = _kept(Resolver.srv)  # hosts and ports; the host is "" for "not offered"
    txt = _kept(Resolver.txt)

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

    def is_by_wildcard(self, host: str, domain: str) -> bool:
        """Return whether the host has the addresses of a random name in the domain."""
        with suppress(LookupFailed):
            addresses = self.addresses(f"no-such-name-e3b0c442.{domain}")
            return bool(addresses) and set(addresses) == set(self.addresses(host))
        return False

    # --- Connections: each raises ProbeError ---------------------------------------

    def response(self, request: Request) -> Response:
        """Return the response to a request, without following redirects."""
        return self._once("response", request, partial(self._response, request))

    def _server_of(self, request: Request) -> _WebServer:
        host = _host_of(request)
        with suppress(LookupFailed):
            host = next(iter(self.addresses(host)), host)
        with self._lock:
            return self._servers.setdefault(host, _WebServer())

    def seconds(self, request: Request, response: Response, most: float) -> float:
        """Return how long a response takes, asked for again alone if it took too long."""
        # A server may delay the many requests of a check, and not those of a client.
        if response.seconds <= most:
            return response.seconds
        server, request = self._server_of(request), request._replace(url=response.url)
        with server.turn:
            for pause in _PAUSES_ALONE:
                took = server.alone.get(request, response.seconds)
                has_time = time.monotonic() + pause + most < self.network.until
                is_known = server.is_slow or (request in server.alone and not has_time)
                if is_known or took <= most:
                    break
                if not has_time:
                    self.is_late = True
                    return most
                time.sleep(pause)
                with suppress(ProbeError):
                    server.alone[request] = self._sent(request).seconds
            took = server.alone.get(request, response.seconds)
            server.is_slow = server.is_slow or took > most
        return took

    def _response(self, request: Request) -> Response:
        server = self._server_of(request)
        if server.pause:
            return self._in_turn(server, request)
        has_room = server.room.acquire(timeout=_LONGEST_WAIT)
        try:
            response = self._sent(request)
        finally:
            if has_room:
                server.room.release()
        if response.status in _REFUSALS:
            return self._in_turn(server, request, response)
        if response.status == 403:
            return replace(response, is_limited=self._is_shut_out(server, request))
        server.answered.append(request)
        return response

    def _is_shut_out(self, server: _WebServer, request: Request) -> bool:
        """Return whether the host also refuses a request that it answered before."""
        host = _host_of(request)
        answered = [each for each in list(server.answered) if _host_of(each) == host]
        server.is_shut = server.is_shut or any(map(self._is_refused, answered[-1:]))
        return server.is_shut

    def _sent(self, request: Request) -> Response:
        """Send a request; as a client, where the name of this program is refused."""
        response = self._fetched(request)
        self.waited += response.seconds
        if "User-Agent" in dict(request.headers) or not is_wall(response):
            return response
        as_client = request.with_agent(THUNDERBIRD.agent)
        host = split_url(request.url).hostname
        is_refused = self._once(
            "the name is refused", host, lambda: not is_wall(self._fetched(as_client))
        )
        return self._fetched(as_client) if is_refused else response

    def _fetched(self, request: Request) -> Response:
        return fetch_once(self.network.step(PATIENCE * self.network.timeout), request)

    def _in_turn(
        self, server: _WebServer, request: Request, refusal: Response | None = None
    ) -> Response:
        """Send a request alone, after a pause, and again while the server limits them.

        A host that refuses the first repeated request is unavailable, unless the server
        now refuses what it answered before.
        """
        host, begun = _host_of(request), time.monotonic()
        with server.turn:
            for _ in range(_MOST_TRIES):
                pause = server.pause or _FIRST_PAUSE
                if refusal is not None and host in server.down:
                    break
                if time.monotonic() + pause >= self.network.until:
                    break
                time.sleep(pause)
                response = self._sent(request)
                if response.status not in _REFUSALS:
                    server.pause = pause if server.pause else _PAUSE
                    self.waited += time.monotonic() - begun
                    return response
                refusal = response
                # A limit may hold for some hosts and paths only.
                known = list(server.answered)  # other threads add to it
                here = [it for it in known if _host_of(it) == host]
                again = map(self._is_refused, (here or known)[:_MOST_KNOWN])
                if server.pause or any(again):
                    server.pause = min(2 * pause, _LONGEST_PAUSE)
                else:
                    server.down.add(host)
            response = refusal or self._sent(request)
            is_refused = response.status in _REFUSALS and server.pause > 0
            return replace(response, is_limited=is_refused)

    def _is_refused(self, request: Request) -> bool:
        with suppress(ProbeError):
            return self._fetched(request).status in (403, *_REFUSALS)
        return False

    @property
    def is_limited(self) -> bool:
        return any(server.pause for server in list(self._servers.values()))

    def forget_refusals(self) -> None:
        """Forget what servers refused because of their limits."""
        with self._lock:
            for key, future in list(self._futures.items()):
                is_over = future.done() and not future.exception()
                if is_over and getattr(future.result(), "is_limited", False):
                    del self._futures[key]

    def fetch(self, request: Request) -> Response:
        """Return the response to a request, after its redirects."""
        return follow_redirects(
            lambda url: self.response(request._replace(url=url)), request.url
        )

    def tried(self, endpoint: Endpoint) -> MailServer | ProbeError:
        """Return what a mail server offers, or why that is not known."""
        look = partial(mail_server, self.network, endpoint)
        try:
            return self._once("server", endpoint, look)
        except ProbeError as error:
            return error

    def first_messages(self, endpoint: Endpoint, *, staple: bool = False) -> set[int]:
        """Return what a client of TLS 1.2 gets from a server; an empty set if unknown.

        The second answer counts: nginx needs a request to fetch a *staple*, others a rest.
        """

        def said(padding: bytes) -> set[int]:
            with suppress(OSError, ProbeError):
                return first_messages(self.network, endpoint, padding)
            return set()

        def look() -> set[int]:
            messages = said(PADDING)
            if (lost := messages <= {NO_CIPHER}) or (staple and STAPLE not in messages):
                time.sleep(1)
                messages = said(b"")
                has_time = time.monotonic() + self.network.timeout < self.network.until
                if lost and has_time and messages - {NO_CIPHER}:
                    messages |= {TOO_LONG} if said(PADDING) <= {NO_CIPHER} else set()
            return messages

        return self._once("first messages", endpoint, look)

    def at_addresses(self, asked: Request | Endpoint) -> dict[str, AtAddress]:
        """Return what each address of a host answers; {} for a host with only one."""
        if isinstance(asked, Request):
            parts = split_url(asked.url)
            host, usual = parts.hostname or "", 443 if parts.scheme == "https" else 80
            addresses = self.network.addresses(host, parts.port or usual)
        else:
            addresses = self.network.addresses(asked.host, asked.port)
        if len(addresses) < 2:
            return {}
        found = side_by_side(partial(self._at, asked, one) for one in addresses)
        return dict(zip(addresses, found, strict=True))

    def _at(self, asked: Request | Endpoint, address: str) -> AtAddress:
        there = replace(self.network, only=address)

        def look() -> AtAddress:
            if isinstance(asked, Request):
                return Facts(there).response(asked)
            return mail_server(there, asked)

        try:
            return self._once("at address", (asked, address), look)
        except ProbeError as error:
            return error


def _host_of(request: Request) -> str:
    return split_url(request.url).hostname or ""


def is_wall(response: Response) -> bool:
    """Return whether a firewall or a bot protection may have refused a request."""
    is_page = b"<html" in response.body[:1000].lower()
    text = response.body[:4000].decode("utf-8", "replace") if is_page else ""
    is_challenge = texts.patterns("page")["http.challenge"].search(text) is not None
    return response.status in (403, 406) or is_challenge


def side_by_side(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """Run the tasks in threads, the last in this one; return their results in order."""
    listed = list(tasks)
    with ThreadPoolExecutor(_WORKERS) as pool:
        futures = [pool.submit(task) for task in listed[:-1]]
        last = [task() for task in listed[-1:]]
        return [*(future.result() for future in futures), *last]


def each_of(find: Callable[[S], Iterable[T]], items: Iterable[S]) -> list[T]:
    """Call *find* for each item in threads; return all that it yields, in order."""

    def listed(item: S) -> list[T]:
        return list(find(item))

    return list(chain(*side_by_side(partial(listed, item) for item in items)))
