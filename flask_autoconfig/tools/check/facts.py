"""Facts: results of lookups and requests, each obtained once and shared by threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ...config.ports import MAIL_TYPES
from ..net.http import Reply, fetch_once, following
from ..net.mail import Endpoint, MailServer, first_messages, mail_server
from ..net.resolver import LookupFailed
from ..net.tcp import Network, ProbeError
from ..net.tls import STAPLE, Certificate, address_of

S = TypeVar("S")
T = TypeVar("T")
_WORKERS = 32


class Ask(NamedTuple):
    """An HTTP request, as a client sends it."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


class AtAddress(NamedTuple):
    """The result of a connection to one of a host's addresses."""

    address: str
    error: ProbeError | None = None
    certificate: Certificate | None = None


class Facts:
    """Lookups and requests on a network, up to its deadline.

    Results are kept, and a second caller waits for the first. *shared* are facts to share
    results with; their network may have another deadline.
    """

    def __init__(self, network: Network, shared: Facts | None = None) -> None:
        self.network = network
        self._lock: threading.Lock = shared._lock if shared else threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = shared._futures if shared else {}

    def _once(self, kind: str, key: Hashable, look: Callable[[], T]) -> T:
        """Return the kept result, or that of *look*; raise what it raises.

        An error after the deadline is not kept: another caller may have more time.
        """
        with self._lock:
            is_first = (kind, key) not in self._futures
            future = self._futures.setdefault((kind, key), Future())
        if is_first:
            try:
                future.set_result(look())
            except BaseException as error:
                if time.monotonic() >= self.network.until:
                    with self._lock:
                        self._futures.pop((kind, key), None)
                future.set_exception(error)
        result: T = future.result()
        return result

    # --- DNS: each raises LookupFailed ---------------------------------------------

    def _dns(self, lookup: Callable[[str], T], name: str) -> T:
        return self._once(lookup.__name__, name, partial(lookup, name))

    def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, IPv6 first."""
        return self._dns(self.network.resolver.addresses, host)

    def alias(self, name: str) -> str:
        """Return the target of the name's CNAME record, or ""."""
        return self._dns(self.network.resolver.alias, name)

    def is_known(self, name: str) -> bool:
        """Return whether the name exists in DNS."""
        return self._dns(self.network.resolver.is_known, name)

    def mx(self, domain: str) -> list[str]:
        """Return the domain's MX hosts, in order of preference."""
        return self._dns(self.network.resolver.mx, domain)

    def takes_no_mail(self, domain: str) -> bool:
        """Return whether the domain has a null MX record (RFC 7505)."""
        return self._dns(self.network.resolver.takes_no_mail, domain)

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Return host and port of each SRV record; the host is "" for "not offered"."""
        return self._dns(self.network.resolver.srv, name)

    def txt(self, name: str) -> list[str]:
        """Return the TXT records of a name."""
        return self._dns(self.network.resolver.txt, name)

    def exists(self, host: str) -> bool:
        """Return whether the host has an address; False where the lookup fails."""
        with suppress(LookupFailed):
            return bool(self.addresses(host))
        return False

    def is_by_wildcard(self, host: str, domain: str) -> bool:
        """Return whether the host has the addresses of a random name in the domain."""
        with suppress(LookupFailed):
            addresses = self.addresses(f"no-such-name-e3b0c442.{domain}")
            return bool(addresses) and set(addresses) == set(self.addresses(host))
        return False

    # --- Connections: each raises ProbeError ---------------------------------------

    def reply(self, ask: Ask) -> Reply:
        """Return the response to a request, without following redirects."""

        def look() -> Reply:
            network = self.network.step()
            return fetch_once(network, ask.url, ask.method, ask.body, dict(ask.headers))

        return self._once("reply", ask, look)

    def answer(self, ask: Ask) -> Reply:
        """Return the response to a request, after its redirects."""
        return following(lambda url: self.reply(ask._replace(url=url)), ask.url)

    def server(self, endpoint: Endpoint) -> MailServer:
        """Return what a mail server offers."""
        look = partial(mail_server, replace(self.network, only=""), endpoint)
        return self._once("server", endpoint, look)

    def first_messages(self, endpoint: Endpoint, *, staple: bool = False) -> set[int]:
        """Return what a client of TLS 1.2 gets from a server; an empty set if unknown.

        nginx fetches a *staple* only when the first client has asked for it.
        """
        network = replace(self.network, only="")

        def look() -> set[int]:
            with suppress(OSError, ProbeError):
                messages = first_messages(network, endpoint)
                if staple and STAPLE not in messages:
                    time.sleep(1)
                    messages = first_messages(network, endpoint)
                return messages
            return set()

        return self._once("first messages", endpoint, look)

    def at_addresses(self, endpoint: Endpoint) -> list[AtAddress]:
        """Connect to each address of a host; return [] for a host with only one."""

        def look() -> list[AtAddress]:
            addresses = self.network.addresses(endpoint.host, endpoint.port)
            if len(addresses) < 2:
                return []
            return side_by_side(partial(self._at, endpoint, one) for one in addresses)

        return self._once("at addresses", endpoint, look)

    def _at(self, endpoint: Endpoint, address: str) -> AtAddress:
        network = replace(self.network, only=address)
        try:
            if endpoint.type in MAIL_TYPES:
                return AtAddress(
                    address, None, mail_server(network, endpoint).certificate
                )
            return AtAddress(address, None, _web_server(network.step(), endpoint))
        except ProbeError as error:
            return AtAddress(address, error)


def _web_server(network: Network, endpoint: Endpoint) -> Certificate | None:
    """Connect to a web server by TCP, and by TLS unless it is for plain http."""
    host, port = endpoint.host, endpoint.port

    def connect() -> Any:
        return network.connect(host, port)

    try:
        if endpoint.type == "http":
            connect().close()
            return None
        secure, certificate = network.start_tls(connect, host, f" port {port}")
        certificate.address = certificate.address or address_of(secure)
        secure.close()
    except OSError as error:
        message = f"{network.only} port {port}: no answer"
        raise ProbeError("timeout", message) from error
    return certificate


def side_by_side(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """Run the tasks in threads; return their results in order."""
    listed = list(tasks)
    if not listed:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(listed))) as pool:
        futures = [pool.submit(task) for task in listed]
        return [future.result() for future in futures]


def each_of(find: Callable[[S], Iterable[T]], items: Iterable[S]) -> list[T]:
    """Call *find* for each item in threads; return all that it yields, in order."""

    def listed(item: S) -> list[T]:
        return list(find(item))

    found = side_by_side(partial(listed, item) for item in items)
    return [one for several in found for one in several]
