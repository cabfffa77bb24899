"""What was looked up: each thing once, whoever asks for it, side by side.

A host's addresses, a certificate, a server's greeting, a document: clients and rules
ask here, from threads of their own, and who comes second waits for the first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..net.http import Reply, fetch_once, following
from ..net.mail import Endpoint, MailServer, mail_server
from ..net.resolver import LookupFailed
from ..net.tcp import Network, ProbeError
from ..net.tls import Certificate, address_of

T = TypeVar("T")
_WORKERS = 32


class Ask(NamedTuple):
    """One HTTP request, as a client sends it."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


class AtAddress(NamedTuple):
    """What one of a host's addresses gave."""

    address: str
    error: ProbeError | None = None
    certificate: Certificate | None = None


class Known:
    """The results, shared by all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def once(self, key: Hashable, look: Callable[[], T], until: float) -> T:
        """What `look` gives, or what it gave before; raises what it raises.

        What failed for want of time is forgotten: another has more of it.
        """
        with self._lock:
            future = self._futures.get(key)
            if future is not None:
                mine = False
            else:
                mine, future = True, Future()
                self._futures[key] = future
        if mine:
            try:
                future.set_result(look())
            except BaseException as error:
                if time.monotonic() >= until:
                    with self._lock:
                        self._futures.pop(key, None)
                future.set_exception(error)
        result: T = future.result()
        return result


class Facts:
    """What is known of the world, in the time that a network has."""

    def __init__(self, network: Network, known: Known | None = None) -> None:
        self.network = network
        self._known = known or Known()

    def within(self, network: Network) -> Facts:
        """The same knowledge for one who has another time, or hosts of his own."""
        return Facts(network, self._known)

    def _once(self, *key: Hashable, look: Callable[[], T]) -> T:
        return self._known.once(key, look, self.network.until)

    # --- DNS ---------------------------------------------------------------------

    def addresses(self, host: str) -> list[str]:
        """The addresses of a host, IPv6 first; raises LookupFailed."""
        look = partial(self.network.resolver.addresses, host)
        return self._once("addresses", host, look=look)

    def exists(self, host: str) -> bool:
        """Whether DNS has an address of it, as far as DNS answers."""
        with suppress(LookupFailed):
            return bool(self.addresses(host))
        return False

    def is_by_wildcard(self, host: str, domain: str) -> bool:
        """Whether a name below a domain is there only as every other name is."""
        other = f"no-such-name-e3b0c442.{domain}"
        with suppress(LookupFailed):
            addresses = self.addresses(other)
            return bool(addresses) and set(addresses) == set(self.addresses(host))
        return False

    def alias(self, name: str) -> str:
        """What the name is another name of, "" for its own; raises LookupFailed."""
        return self._once(
            "alias", name, look=partial(self.network.resolver.alias, name)
        )

    def is_known(self, name: str) -> bool:
        """Whether DNS knows the name at all."""
        return self._once(
            "known", name, look=partial(self.network.resolver.is_known, name)
        )

    def mx(self, domain: str) -> list[str]:
        """The hosts that take the domain's mail; raises LookupFailed."""
        return self._once("mx", domain, look=partial(self.network.resolver.mx, domain))

    def takes_no_mail(self, domain: str) -> bool:
        """Whether it says so by a null MX; raises LookupFailed."""
        look = partial(self.network.resolver.takes_no_mail, domain)
        return self._once("null mx", domain, look=look)

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Host and port of a service; raises LookupFailed."""
        return self._once("srv", name, look=partial(self.network.resolver.srv, name))

    def txt(self, name: str) -> list[str]:
        """The TXT records of a name; raises LookupFailed."""
        return self._once("txt", name, look=partial(self.network.resolver.txt, name))

    # --- Connections -------------------------------------------------------------

    def reply(self, ask: Ask) -> Reply:
        """What one request got, no redirect followed; raises ProbeError."""

        def look() -> Reply:
            network = self.network.step()
            headers = dict(ask.headers)
            return fetch_once(network, ask.url, ask.method, ask.body, headers)

        return self._once("reply", ask, look=look)

    def answer(self, ask: Ask) -> Reply:
        """What a request got, redirects followed; raises ProbeError."""
        return following(lambda url: self.reply(ask._replace(url=url)), ask.url)

    def server(self, endpoint: Endpoint) -> MailServer:
        """What a mail server offers; raises ProbeError."""
        return self._once("server", endpoint, look=partial(self._server, endpoint, ""))

    def _server(self, endpoint: Endpoint, address: str) -> MailServer:
        return mail_server(replace(self.network, only=address), endpoint)

    def at_addresses(self, endpoint: Endpoint | tuple[str, int]) -> list[AtAddress]:
        """What each address of a host gives, if it has several; raises ProbeError.

        Of a mail server the whole conversation, of a host and port of the web TCP and,
        but for port 80, TLS.
        """

        def look() -> list[AtAddress]:
            host, port = endpoint[:2]
            if isinstance(endpoint, Endpoint):
                host, port = endpoint.host, endpoint.port
            addresses = self.network.addresses(str(host), int(port))
            if len(addresses) < 2:
                return []
            return side_by_side(partial(self._at, endpoint, it) for it in addresses)

        return self._once("addresses of", endpoint, look=look)

    def _at(self, endpoint: Endpoint | tuple[str, int], address: str) -> AtAddress:
        try:
            if isinstance(endpoint, Endpoint):
                server = self._server(endpoint, address)
                return AtAddress(address, certificate=server.certificate)
            return AtAddress(address, certificate=self._web(*endpoint, address))
        except ProbeError as error:
            return AtAddress(address, error)

    def _web(self, host: str, port: int, address: str) -> Certificate | None:
        network = replace(self.network, only=address).step()

        def connect() -> Any:
            return network.connect(host, port)

        try:
            if port == 80:
                connect().close()
                return None
            secure, certificate = network.start_tls(connect, host, f" port {port}")
            certificate.address = certificate.address or address_of(secure)
            secure.close()
        except OSError as error:
            raise ProbeError("timeout", f"{address} port {port}: no answer") from error
        return certificate


def side_by_side(tasks: Iterable[Callable[[], T]]) -> list[T]:
    """What the tasks give, in their order."""
    listed: Sequence[Callable[[], T]] = list(tasks)
    if not listed:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(listed))) as pool:
        return [it.result() for it in [pool.submit(task) for task in listed]]
