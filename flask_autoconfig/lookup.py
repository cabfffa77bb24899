"""Looks up the provider of a request: in the configuration, then in the site's hooks."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from .address import NOBODY, Address, address_in_query, host_of, parse_address
from .answers import BAD_ADDRESS, NOT_SERVED, UNAVAILABLE, Refused
from .hooks import HookedProvider, HookFailed
from .reload import log
from .snapshot import Match, Served, Snapshot

_AN_HOUR = 3600.0
_MAX_LOGGED = 100  # domains an hour


class UnservedLog:
    """Logs requested domains that are not served, each once an hour.

    The number of lines is limited, since anybody can make up domains.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._until = 0.0  # on the monotonic clock

    def add(self, domain: str) -> None:
        now = time.monotonic()
        if now > self._until:
            self._logged, self._until = set(), now + _AN_HOUR
        if not domain or domain in self._logged or len(self._logged) > _MAX_LOGGED:
            return
        self._logged.add(domain)
        if len(self._logged) > _MAX_LOGGED:
            log.warning("More domains are requested and not served than are logged")
        else:
            log.warning("%s was requested and is not served", domain)


class Lookup:
    """Lookups in one configuration. A request uses one instance from start to end."""

    def __init__(
        self,
        snapshot: Snapshot,
        renderer: Callable[[], Any],  # returns the module that renders the page
        paths: Mapping[str, str],  # the first path of each served family, by its name
        unserved: UnservedLog,
    ) -> None:
        self.snapshot = snapshot
        self.hooks = snapshot.hooks
        self.renderer = renderer
        self.paths = paths
        self._directory = snapshot.directory
        self._hook_max_age = snapshot.loaded.tables.hook_max_age
        self._unserved = unserved
        # Until a valid configuration is loaded, an empty one is used, which was not read.
        self.is_ready = snapshot.loaded.modified > 0

    def find(self, query: str, host: str, *, only_domain: bool = False) -> Served:
        """Look up the address in the query, else the host; raises Refused.

        With `only_domain`, all addresses of a domain get the same result.
        """
        if not self.is_ready:
            raise Refused(UNAVAILABLE)
        text = address_in_query(query)
        try:
            address = parse_address(text) if text else None
        except ValueError:
            raise Refused(BAD_ADDRESS) from None
        if address and only_domain:
            address = Address(NOBODY, address.domain)
        if (served := self.find_address(address, host)) is None:
            raise Refused(NOT_SERVED)
        return served

    def find_for_person(self, query: str, host: str) -> Served:
        """Look up an address that a person typed.

        Unlike for a program, an unknown domain does not get the host's settings, since it
        is probably mistyped, unless the provider knows customers by their MX records alone.
        """
        served = self.find(query, host)
        address = served.address
        if served.hooked or address is None or served.provider.mx_domains:
            return served
        if self._from_address_hook(address) or self.find_domain(address.domain):
            return served
        raise Refused(NOT_SERVED)

    def find_address(self, address: Address | None, host: str) -> Served | None:
        """Look up an address, else the host; log a domain that is not served."""
        served = self.look_up(address, host)
        if served is None:
            self._unserved.add(address.domain if address else host_of(host))
        return served

    def look_up(self, address: Address | None, host: str) -> Served | None:
        """Look up an address, else the host, without logging."""
        directory = self._directory
        if address is None:
            return (
                self._from_file(directory.by_host(host))
                or self._from_domain_hook(directory.without_label(host_of(host)))
                or self._from_file(directory.only_provider())
            )

        served = self._from_address_hook(address) or self._by_domain(
            address.domain, host
        )
        if served is None:
            return None
        login, is_personal = None, False
        if address.local != NOBODY:
            is_personal = self.hooks.has("find_provider_by_address")
            if self.hooks.has("find_username"):
                hook, is_personal = self.hooks.cached["find_username"], True
                login = hook.get(str(address), self._hook_max_age)
        snapshot, match, hooked = self.snapshot, served.match, served.hooked
        return Served(snapshot, match, address, hooked, login, is_personal)

    def find_domain(self, domain: str) -> Served | None:
        """Look up a folded domain, of an address or of an MX host."""
        match = self._directory.by_domain(domain) or self._directory.by_mx(domain)
        return self._from_file(match) or self._from_domain_hook(domain)

    def serves_host(self, host: str) -> bool:
        """Whether clients send requests to this host: a served domain or its label.

        Where a provider serves any domain (`*`), only names with a client's label count.
        """
        directory, name = self._directory, host_of(host)
        domain = directory.without_label(name)
        if not name:
            return False
        if name in self.snapshot.autodiscover_hosts:
            return True
        if domain != name and "." in domain and directory.by_domain(domain):
            return True
        names = {name, domain}
        is_claimed = any(map(directory.claims, names))
        return is_claimed or any(map(self._from_domain_hook, names))

    def is_shared_host(self, host: str) -> bool:
        """Whether the host is an `autodiscover_host` that does not tell the domain."""
        name = host_of(host)
        if name not in self.snapshot.autodiscover_hosts:
            return False
        match = self._directory.by_domain(name)
        is_claimed = match and match.exact
        return self._directory.without_label(name) == name and not is_claimed

    def _by_domain(self, domain: str, host: str) -> Served | None:
        match = self._directory.by_domain(domain)
        served = self._from_file(match) or self._from_domain_hook(domain)
        if served is None and (match := self._directory.by_host(host)):
            return self._from_file(Match(match.provider_index, domain, False))
        return served

    def _from_address_hook(self, address: Address) -> Served | None:
        name = "find_provider_by_address"
        if address.local == NOBODY or not self.hooks.has(name):
            return None
        return self._from_hook(name, str(address))

    def _from_domain_hook(self, domain: str) -> Served | None:
        return self._from_hook("find_provider", domain)

    def _from_hook(self, name: str, key: str) -> Served | None:
        """Call a hook with a domain or an address."""
        if not self.hooks.has(name):
            return None
        hook, domain = self.hooks.cached[name], key.rpartition("@")[2]
        result = hook.get(key, self._hook_max_age)
        if result is None:
            return None
        if isinstance(result, HookedProvider):
            return Served(self.snapshot, Match(-1, domain, True), hooked=result)
        match = self._directory.by_id(result, domain)
        if match is None:
            hook.log_failure(key, f"it named {result!r}, which the file does not have")
            raise HookFailed(UNAVAILABLE, name)
        return self._from_file(match)

    def _from_file(self, match: Match | None) -> Served | None:
        return match and Served(self.snapshot, match)
