"""What a request gets, from the live configuration and the site's hooks.

Nothing here knows Flask, nor which families there are: the table of families says what
is at which path, and the doors ask :class:`Service`.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from itertools import islice
from typing import Any, NamedTuple

from . import families
from .address import NOBODY, Address, address_in_query, host_of, parse_address
from .answers import (
    BAD_ADDRESS,
    FAILED,
    NOT_SERVED,
    UNAVAILABLE,
    Answer,
    Request,
    preflight,
    wrong_method,
)
from .config.reading import Loaded
from .directory import Directory, Match
from .documents import Format, Recipient
from .families import Family, Place, Places, Route
from .hooks import HookFailed, Hooks, Own
from .page.alone import ALONE
from .page.document_words import CatalogWords
from .reload import Live, Still, tell_of
from .signals import answered
from .snapshot import Served, Snapshot, Stage

log = logging.getLogger("flask_autoconfig")

_AN_HOUR = 3600.0
_MOST_COMPARED = 100  # domains of a file whose documents an edit is held against
_MOST_TOLD = 100  # domains that the log tells of in an hour


class Current(NamedTuple):
    """What is served now."""

    snapshot: Snapshot | None  # None before there is a sound configuration
    families: tuple[Family, ...]
    places: Places


class Unavailable(Exception):  # noqa: N818 (what is so, not what is wrong)
    """There is no sound configuration yet."""


class Service:
    """What one app serves: the live configuration, the families, the site's hooks."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Loaded,
        *,
        clients: Any = None,
        fixed: bool = False,
        hooks: Hooks | None = None,
        strict: bool = True,
        stage: Stage = ALONE,
    ) -> None:
        """Read the file, or take what was read; raises ConfigError.

        `clients` are names of families that go before the file's own; with `fixed` the
        families stay what they are now, whatever the file will say. Unless it is
        `strict`, a file that is faulty or not there stops nothing but the answers, until
        it is mended. `stage` is what shows the page.
        """
        self.hooks = hooks or Hooks()
        self.stage = stage
        self._words = CatalogWords(stage)
        self._override = families.overriding(clients)  # None: the file's own count
        self._fixed: tuple[Family, ...] | None = None  # those that were registered
        self._unserved = _Unserved()
        self.live: Live[Current]
        if isinstance(source, Loaded):
            source = source._replace(modified=time.time())
            self.live = Still(self._made_of(source))
            tell_of(source)
        else:
            instead = None if strict else self._without()
            self.live = Live(source, self._made_of, instead, self._change)
        self.at_start = self.live.built.families
        if not self.at_start:
            log.warning("AUTOCONFIG_CLIENTS names no family: nothing is served")
        if fixed:
            self._fixed = self.at_start

    def _without(self) -> Current:
        """What is served before there is a sound configuration: 503."""
        usual = self._override or families.chosen(None, "clients")
        return Current(None, usual, Places(usual))

    def _made_of(self, loaded: Loaded) -> Current:
        wanted = self._override
        if wanted is None:
            wanted = families.chosen(loaded.tables.clients, "clients")
        if self._fixed is not None and wanted != self._fixed:
            log.warning(
                "The new `clients` of %s take effect at a restart", self.live.file
            )
        served = wanted if self._fixed is None else self._fixed
        snapshot = Snapshot(loaded, families.labels(), self._words)
        return Current(snapshot, served, Places(served))

    def _change(self, before: Current, now: Current) -> str:
        """Return which digests in DNS an edit has made outdated, "" for none."""
        if before.snapshot is None or now.snapshot is None:
            return ""
        old, new = before.snapshot.loaded, now.snapshot.loaded
        if max(len(old.claims), len(new.claims)) > _MOST_COMPARED:
            return ""  # a reload takes no longer for it
        has_own_logins = self.hooks.find_username is not None
        digested = [
            format_
            for it in now.families
            if it.digest and not (it.implies_login and has_own_logins)
            for format_ in it.formats
        ]

        def document(format_: Format, of: Loaded, name: bytes) -> bytes | None:
            provider = of.providers[of.claims[name]]
            return format_.write(provider, Recipient(name.decode()))

        changes = []
        for format_ in digested:
            changed = [
                name.decode()
                for name in new.claims.keys() & old.claims.keys()
                if not name.startswith(b"*")
                and document(format_, old, name) != document(format_, new, name)
            ]
            if changed:
                more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
                changes.append(
                    f"the {format_.name} document of {min(changed)}{more} changed: "
                    "publish its digest, `flask-autoconfig dns --diff`"
                )
        return "; ".join(changes)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are served now."""
        return self.live.current().families

    @property
    def speaking(self) -> tuple[Family, ...]:
        """Those of them that have something to say, whatever logins the site tells."""
        has_own_logins = self.hooks.find_username is not None
        return tuple(
            it for it in self.families if not (it.implies_login and has_own_logins)
        )

    @property
    def snapshot(self) -> Snapshot:
        """The configuration that answers now; raises Unavailable before there is one."""
        snapshot = self.live.current().snapshot
        if snapshot is None:
            raise Unavailable
        return snapshot

    def some_domains(self, most: int = 3) -> list[str]:
        """A few of the domains that the configuration names, none before there is one."""
        snapshot = self.live.current().snapshot
        providers = snapshot.loaded.providers if snapshot else ()
        names = (name for provider in providers for name in provider.exact_domains)
        return list(islice(names, most))

    # --- Answers ---------------------------------------------------------------------

    def place_of(self, path: str) -> Place | None:
        """Where a request of that path comes in, None where it is not ours."""
        return self.live.current().places.find(path)

    def answer(self, request: Request) -> Answer | None:
        """What a request gets, or None where its path is not ours."""
        place = self.place_of(request.path)
        return None if place is None else self.answer_at(place, request)

    def answer_at(self, place: Place, request: Request) -> Answer:
        """What a request that came in at that place gets, whatever happens."""
        try:
            answer = self._answer_at(place.route, request)
            if request.environ is not None:
                answer = answer.for_request(request.environ)
        except (Unavailable, HookFailed):
            answer = UNAVAILABLE
        except Exception as error:
            if self.stage.takes(error):
                raise
            log_fault(place.family, error)
            answer = FAILED
        if answered.receivers:
            self._signal(place.family, answer.outcome)
        return answer

    def _signal(self, family: str, outcome: str) -> None:
        try:
            answered.send(self, family=family, outcome=outcome)
        except Exception as error:  # who counts must not keep clients from answers
            log_fault("A receiver of the signal", error)

    def _answer_at(self, route: Route, request: Request) -> Answer:
        if not route.takes(request.method):
            if request.method == "OPTIONS" and route.is_document:
                return preflight(route.allowed)
            return wrong_method(route.allowed, preflights=route.is_document)
        return route.handler(self, request)

    def path_of(self, family: str) -> str | None:
        """Where a family is asked first, None for one that is not served."""
        for it in self.families:
            if it.name == family:
                return it.routes[0].path
        return None

    @property
    def family_names(self) -> frozenset[str]:
        """The names of the families that are served."""
        return frozenset(it.name for it in self.families)

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

    def find_person(self, query: str, host: str) -> Served | Answer:
        """The same of a person's question: a slip in an address is served by nobody.

        A program that asks at a hoster's host gets its settings for any domain; a person
        who types a domain that nobody named has most likely mistyped it, unless the
        provider serves customers whom only their MX records name.
        """
        served = self.find(query, host)
        if isinstance(served, Answer) or served.own or served.address is None:
            return served
        is_named = self.find_domain(served.address.domain) is not None
        return served if is_named or served.provider.mx_domains else NOT_SERVED

    def find_address(self, address: Address | None, host: str) -> Served | None:
        """By an address, else by host; the log has a domain that is not served."""
        found = self.look_up(address, host)
        if found is None:
            self._unserved.tell(address.domain if address else host_of(host))
        return found

    def look_up(self, address: Address | None, host: str) -> Served | None:
        """The same for somebody who is no client, so that nothing is told."""
        found = self._found(self.snapshot, address, host)
        if found is None:
            return None
        asks = self.hooks.find_username is not None and address is not None
        if address is None or not asks or address.local == NOBODY:
            return found
        login = self.hooks.login_of(str(address), self._hook_max_age)
        return found._replace(login=login, login_was_asked=True)

    def find_domain(self, domain: str) -> Served | None:
        """By a folded domain alone, that of an address or of an MX host."""
        snapshot = self.snapshot
        directory = snapshot.directory
        match = directory.by_domain(domain) or directory.by_mx(domain)
        return (
            self._served(snapshot, match) if match else self._hooked(snapshot, domain)
        )

    def serves_host(self, host: str) -> bool:
        """Whether clients ask at this host name: a domain served, or a label before one.

        Where a provider serves any domain (`*`), only names with such a label count.
        """
        snapshot = self.snapshot
        directory = snapshot.directory
        name, asked = host_of(host), directory.asked_domain(host)
        if not name:
            return False
        if asked != name and "." in asked and directory.by_domain(asked):
            return True
        names = {name, asked}
        return any(map(directory.claims, names)) or any(
            self._hooked(snapshot, it) for it in names
        )

    def _found(
        self, snapshot: Snapshot, address: Address | None, host: str
    ) -> Served | None:
        directory = snapshot.directory
        if address is None:
            return self._by_host(snapshot, directory, host)
        domain = address.domain
        match = directory.by_domain(domain)
        if match is None:
            own = self._hooked(snapshot, domain)
            if own is not None:
                return own._replace(address=address)
            by_host = directory.by_host(host)
            match = by_host and Match(by_host.provider_index, domain, False)
        return self._served(snapshot, match, address=address) if match else None

    def _by_host(
        self, snapshot: Snapshot, directory: Directory, host: str
    ) -> Served | None:
        match = directory.by_host(host)
        if match is None:
            own = self._hooked(snapshot, directory.asked_domain(host))
            if own is not None:
                return own
            match = directory.only()
        return self._served(snapshot, match) if match else None

    def _served(
        self,
        snapshot: Snapshot,
        match: Match,
        own: Own | None = None,
        address: Address | None = None,
    ) -> Served:
        has_own_logins = self.hooks.find_username is not None
        return Served(snapshot, match, address, own=own, has_own_logins=has_own_logins)

    # --- The site's own database -----------------------------------------------------

    @property
    def _hook_max_age(self) -> int:
        return self.snapshot.loaded.tables.hook_max_age

    def _hooked(self, snapshot: Snapshot, domain: str) -> Served | None:
        told = self.hooks.provider_of(domain, self._hook_max_age)
        if told is None:
            return None
        if isinstance(told, Own):
            return self._served(snapshot, Match(-1, domain, True), told)
        match = snapshot.directory.by_id(told, domain)
        if match is None:
            words = f"it named {told!r}, which the file does not have"
            raise self.hooks.refuse(domain, words)
        return self._served(snapshot, match)


def log_fault(what: str, error: Exception) -> None:
    """Log where an error was raised, without its message, which may hold an address."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed at %s\n%s", what, type(error).__name__, frames)


class _Unserved:
    """Tells the log of domains that are asked for and not served, each once an hour.

    A domain is no mailbox. Strangers make domains up: of too many none is told.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._until = 0.0  # on the monotonic clock

    def tell(self, domain: str) -> None:
        """Write a line, if none was for this domain."""
        now = time.monotonic()
        if now > self._until:
            self._told, self._until = set(), now + _AN_HOUR
        if not domain or domain in self._told or len(self._told) > _MOST_TOLD:
            return
        self._told.add(domain)
        if len(self._told) > _MOST_TOLD:
            log.warning("More domains are asked for and not served than are told")
            return
        log.warning("%s is asked for and not served", domain)
