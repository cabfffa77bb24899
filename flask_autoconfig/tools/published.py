"""What a domain publishes for `init`, and the settings that its hoster publishes."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..address import NOBODY
from ..config import values
from ..config.reading import from_raw
from ..config.tables import Method
from ..documents.thunderbird_reader import NotAutoconfigError, Reader
from ..errors import ConfigError
from ..families import FAMILIES
from .check.context import mx_domains
from .check.facts import Facts, side_by_side
from .check.findings import Case
from .check.playing import play
from .check.rules import dav, documents
from .check.rules.servers import endpoints
from .clients import CALENDARS, CONFIG, ISPDB, OUTLOOK, THUNDERBIRD
from .importers import leave_out_invalid
from .importers.imported import DAV
from .net.common import texts
from .net.http import Request, fetch_once, follow_redirects
from .net.mail import Endpoint
from .net.tcp import Network, ProbeError

Entry = tuple[dict[str, Any], str]  # a server's table, and why it was taken
Notify = Callable[[str], None]


class Hosted(NamedTuple):
    """Settings that are published: the provider's table, and where they are."""

    provider: dict[str, Any]
    url: str
    notes: list[str]
    servers: dict[Endpoint, tuple[Method, ...]]
    is_own: bool  # the document is for the domain by name, and for everybody in it


class Publications:
    """What is published for a domain; `notify` gets a line for each step."""

    def __init__(self, domain: str, net: Network, notify: Notify) -> None:
        self.domain, self.net, self.notify = domain, net, notify
        self.case, self.facts = Case(domain, FAMILIES), Facts(net)
        self.notes: list[str] = []

    def find_own(self) -> Hosted | None:
        """Return the settings that the domain publishes itself, for everybody in it."""
        at_host, at_domain = (step.path for step in THUNDERBIRD.steps[:2])
        host = f"https://autoconfig.{self.domain}{at_host}{self._query}"
        urls = [host, f"https://{self.domain}{at_domain}"]
        return next((it for it in self._each(urls) if it.is_own), None)

    def find_hosted(self, hosts: list[str]) -> Hosted | None:
        """Return the first complete settings in the order in which Thunderbird asks.

        *hosts* are the first MX host (others may be left over from a move) and the like.
        """
        urls = [f"{ISPDB}{self.domain}"]
        for base in mx_domains(hosts, self.domain):
            host = f"https://autoconfig.{base}{CONFIG}{self._query}"
            urls += [host, f"{ISPDB}{base}"]
        return next(self._each(urls), None)

    @property
    def _query(self) -> str:
        return f"?emailaddress={NOBODY}%40{self.domain}"

    def _each(self, urls: list[str]) -> Iterator[Hosted]:
        return filter(None, side_by_side(partial(self._read, url) for url in urls))

    def _read(self, url: str) -> Hosted | None:
        """Return the settings at a URL, None if no client can set an account up by them."""
        try:
            response = follow_redirects(
                lambda each: fetch_once(self.net.step(), Request(each)), url
            )
        except ProbeError as error:
            if error.kind != "dns" or url.startswith(ISPDB):
                self.notify(f"{url.partition('?')[0]}: {error}")
            return None
        with suppress(NotAutoconfigError, ConfigError):
            if response.status != 200 or not response.is_verified:
                return None
            reader = Reader()
            read = reader.read(response.body)
            provider = {**read, "domains": [self.domain]}
            provider.pop("mx_domains", None)
            notes = [*reader.lost, *leave_out_invalid(provider, reader.where)]
            notes += self._with_sound_names(provider)
            (typed,) = from_raw({"provider": [provider]}).tables.provider
            if provider.get("incoming") and provider.get("outgoing"):
                names = [one.username for _, one in typed.servers if one.username]
                is_for_all = all("%" in str(name) for name in names)
                is_own = self.domain in read["domains"] and is_for_all
                found = endpoints(self.case, typed)
                return Hosted(provider, url.partition("?")[0], notes, found, is_own)
        return None

    def _with_sound_names(self, provider: dict[str, Any]) -> Iterator[str]:
        """Take user names that nobody has out of a provider; yield what was said."""
        keys = ("incoming", "outgoing", *DAV.values())
        for table in (it for key in keys for it in provider.get(key, ())):
            name = table.get("username", "")
            if name and documents.is_nobodys(self.case, name):
                del table["username"]
                server = table.get("hostname") or table.get("url")
                yield texts()["init"]["nobodys"].format(name=name, server=server)

    def find_autodiscover(self) -> list[Endpoint]:
        played = play(OUTLOOK, self.case, self.facts)
        code = "autodiscover.asks-login"
        shut = [it.subject for it in played.findings if it.code == code]
        self.notes += [f"{url} {texts()['init']['shut']}" for url in shut[:1]]
        response = played.found.response if played.found else None
        return [
            Endpoint.of(one) for one in played.mail if response and response.is_verified
        ]

    def find_calendars(self) -> dict[str, list[Entry]]:
        """Return the tables of calendars and address books that a client finds."""
        played = dav.play(CALENDARS, self.case, self.facts)
        self.notes += [f"{it.places[0]}: {it.seen}" for it in played.failures()]
        servers: dict[str, list[Entry]] = {}
        for account in played.setup.servers if played.setup else ():
            self.notify(f"{account.type} {account.url}")
            try:
                table = {"type": account.type, "url": values.url(account.url)}
            except ValueError as error:
                self.notes.append(f"{account.type} {account.url} is left out: {error}")
            else:
                reason = "SRV records or a .well-known URL of the domain lead to it"
                servers.setdefault(DAV[account.type], []).append((table, reason))
        return servers
