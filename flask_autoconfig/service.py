"""What a request gets, from the live configuration and the site's hooks.

Nothing here knows Flask, nor which families there are: the table of families says what
is at which path, and the doors ask :class:`Service`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from . import families
from .address import NOBODY, Address, address_in_query, fold, host_of, parse_address
from .answers import BAD_ADDRESS, NOT_SERVED, Answer, Request
from .config.reading import Loaded
from .config.values import placeholder_text
from .directory import Directory, Match
from .families import Family, Route
from .reload import Live, log
from .snapshot import Served, Snapshot

Hook = Callable[[str], str | None]


class Hooks:
    """A site's own functions; they may be set after the service was made."""

    find_provider: Hook | None = None  # domain -> provider id
    find_username: Hook | None = None  # address -> login name


class Current(NamedTuple):
    """What is served now."""

    snapshot: Snapshot
    families: tuple[Family, ...]
    routes: dict[str, Route]  # of those paths with one spelling


class Service:
    """What one app serves: the live configuration, the families, the site's hooks."""

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        clients: Any = None,
        fixed: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        """Read the file; raises ConfigError.

        `clients` are names of families that go before the file's own; with `fixed` the
        families stay what they are now, whatever the file will say.
        """
        self.hooks = hooks or Hooks()
        self._override = families.overriding(clients)  # None: the file's own count
        self._fixed: tuple[Family, ...] | None = None  # those that were registered
        self.live = Live(file, self._made_of)
        self.at_start = self.live.built.families
        if not self.at_start:
            log.warning("AUTOCONFIG_CLIENTS names no family: nothing is served")
        if fixed:
            self._fixed = self.at_start

    def _made_of(self, loaded: Loaded) -> Current:
        wanted = self._override
        if wanted is None:
            wanted = families.chosen(loaded.tables.clients, "clients")
        if self._fixed is not None and wanted != self._fixed:
            log.warning(
                "The new `clients` of %s take effect at a restart", self.live.file
            )
        served = wanted if self._fixed is None else self._fixed
        snapshot = Snapshot(loaded, families.labels())
        return Current(snapshot, served, families.exact_routes(served))

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are served now."""
        return self.live.current().families

    @property
    def snapshot(self) -> Snapshot:
        """The configuration that answers now."""
        return self.live.current().snapshot

    def answer(self, request: Request) -> Answer | None:
        """What a GET gets, or None where its path is none of those with one spelling."""
        route = self.live.current().routes.get(request.path)
        if route is None or route.in_flask:
            return None
        return route.handler(self, request)

    def path_of(self, family: str) -> str | None:
        """Where a family is asked first, None for one that is not served."""
        for it in self.families:
            if it.name == family:
                return it.routes[0].path
        return None

    # --- Whom a request is about ----------------------------------------------------

    def find(self, query: str, host: str) -> Served | Answer:
        """By the address in the query, else by host; the answer if that is nobody."""
        text = address_in_query(query)
        address = None
        if text:
            try:
                address = parse_address(text)
            except ValueError:
                return BAD_ADDRESS
        return self.find_address(address, host) or NOT_SERVED

    def find_address(self, address: Address | None, host: str) -> Served | None:
        """By an address, else by host."""
        snapshot = self.snapshot
        match = self._match(snapshot.directory, address, host)
        if match is None:
            return None
        if self.hooks.find_username is None or address is None:
            return Served(snapshot, match, address)
        if address.local == NOBODY:
            return Served(snapshot, match, address)
        return Served(snapshot, match, address, self._login(address), True)

    def find_domain(self, domain: str) -> Served | None:
        """By a folded domain alone, that of an address or of an MX host."""
        snapshot = self.snapshot
        directory = snapshot.directory
        match = directory.by_domain(domain) or directory.by_mx(domain)
        match = match or self._hooked(directory, domain)
        return None if match is None else Served(snapshot, match)

    def serves_host(self, host: str) -> bool:
        """Whether clients ask at this host name: a domain served, or a label before one.

        Where a provider serves any domain (`*`), only names with such a label count.
        """
        directory = self.snapshot.directory
        name, asked = host_of(host), directory.asked_domain(host)
        if not name:
            return False
        if asked != name and "." in asked and directory.by_domain(asked):
            return True
        names = {name, asked}
        return any(map(directory.claims, names)) or any(
            self._hooked(directory, it) for it in names
        )

    def _match(
        self, directory: Directory, address: Address | None, host: str
    ) -> Match | None:
        if address is None:
            match = directory.by_host(host)
            match = match or self._hooked(directory, directory.asked_domain(host))
            return match or directory.only()
        domain = address.domain
        match = directory.by_domain(domain) or self._hooked(directory, domain)
        if match is None:
            by_host = directory.by_host(host)
            match = by_host and Match(by_host.provider_index, domain, False)
        return match

    # --- The site's own database -----------------------------------------------------

    def _login(self, address: Address) -> str | None:
        hook = self.hooks.find_username
        assert hook is not None  # noqa: S101 (see find_address)
        try:
            login = hook(str(address))
        except Exception as error:
            # Its text or its traceback may hold the address: only its kind is logged.
            log.error("find_username failed (%s)", type(error).__name__)
            return None
        try:
            return None if login is None else placeholder_text(login)
        except (ValueError, TypeError):
            log.error("find_username gave what can be no login name")
            return None

    def _hooked(self, directory: Directory, domain: str) -> Match | None:
        if self.hooks.find_provider is None or not domain:
            return None
        try:
            identity = self.hooks.find_provider(domain)
            if identity is None:
                return None
            match = directory.by_id(fold(identity), domain)
        except Exception:
            log.exception("find_provider failed; answering as if it were not there")
            return None
        if match is None:
            log.error("find_provider named %r, which the file does not have", identity)
        return match
