"""The settings that a domain or its hoster publishes, for `init`."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..address import NOBODY, fold
from ..config import values
from ..config.reading import from_raw
from ..config.tables import Method
from ..documents.thunderbird_reader import NotAutoconfigError, Reader
from ..errors import ConfigError
from ..families import FAMILIES
from .check.context import mx_domains
from .check.facts import Facts, run_concurrently
from .check.findings import Case
from .check.playing import play
from .check.rules import dav, documents
from .check.rules.servers import endpoints
from .clients import CALENDARS, CONFIG, ISPDB, OUTLOOK, THUNDERBIRD
from .importers import leave_out_invalid
from .importers.imported import DAV
from .net.common import texts
from .net.http import Request, Response, fetch_once, follow_redirects
from .net.mail import Endpoint
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .zone import MAIL_SERVICES

Entry = tuple[dict[str, Any], str]  # a server's table, and why it was taken
Notify = Callable[[str], None]


def is_host_name(host: str) -> bool:
    with suppress(ValueError):
        return fold(host) == host
    return False


class Hosted(NamedTuple):
    """Published settings: the provider's table, and the URL of the document."""

    provider: dict[str, Any]
    url: str
    notes: list[str]
    servers: dict[Endpoint, tuple[Method, ...]]
    is_own: bool  # the document names the domain, and is for all its users


class Publications:
    """Finds the settings published for a domain; `notify` gets a line for each step."""

    def __init__(self, domain: str, net: Network, notify: Notify) -> None:
        self.domain, self.net, self.notify = domain, net, notify
        self.case, self.facts = Case(domain, FAMILIES), Facts(net)
        self.notes: list[str] = []
        self.lookup_errors: list[LookupFailed] = []
        # The SRV names that say "not offered", by type and socket type.
        self.denied: dict[tuple[str, str], str] = {}

    def note_lookup_error(self, type_: str, name: str, error: LookupFailed) -> None:
        self.notify(f"{type_} {name}: {error}")
        self.lookup_errors.append(error)

    def find_by_srv(self) -> Iterator[Endpoint]:
        """Yield the mail servers of the domain's SRV records."""
        for service, type_, socket_type in MAIL_SERVICES:
            name, targets = f"{service}.{self.domain}", []
            try:
                targets = self.net.resolver.srv(name)
            except LookupFailed as error:
                self.note_lookup_error("SRV", name, error)
            for host, port in targets:
                offer = f"{host} {port}" if host else "not offered"
                self.notify(f"SRV {name}: {offer}")
                if not host:
                    # POP3 is denied as a whole; of IMAP and submission, which a domain
                    # needs, only the encryption of this record.
                    kinds = ("SSL", "STARTTLS") if type_ == "pop3" else (socket_type,)
                    self.denied |= {(type_, kind): name for kind in kinds}
                elif port and is_host_name(host):
                    yield Endpoint(type_, host, port, socket_type)
                else:
                    fault = "not a host name" if port else "at port 0 in its SRV record"
                    self.notes.append(f"{host} is left out: it is {fault}")

    def find_own(self) -> Hosted | None:
        """Return the settings that the domain itself publishes for all its users."""
        path, well_known = (step.path for step in THUNDERBIRD.steps[:2])
        first = f"https://autoconfig.{self.domain}{path}{self._query}"
        urls = [first, f"https://{self.domain}{well_known}"]
        return next((hosted for hosted in self._read_all(urls) if hosted.is_own), None)

    def find_hosted(self, hosts: list[str]) -> Hosted | None:
        """Return the first complete settings, in the order of Thunderbird's requests.

        *hosts* name the hoster: the first MX host (a move may have left others), aliases.
        """
        urls = [f"{ISPDB}{self.domain}"]
        for base in mx_domains(hosts, self.domain):
            config = f"https://autoconfig.{base}{CONFIG}{self._query}"
            urls += [config, f"{ISPDB}{base}"]
        return next(self._read_all(urls), None)

    @property
    def _query(self) -> str:
        return f"?emailaddress={NOBODY}%40{self.domain}"

    def _read_all(self, urls: list[str]) -> Iterator[Hosted]:
        return filter(None, run_concurrently(partial(self._read, url) for url in urls))

    def _fetch(self, url: str) -> Response:
        return fetch_once(self.net.step(), Request(url))

    def _read(self, url: str) -> Hosted | None:
        """Return the settings at a URL, None if no client can set up an account by them."""
        try:
            response = follow_redirects(self._fetch, url)
        except ProbeError as error:
            if error.kind != "dns" or url.startswith(ISPDB):
                self.notify(f"{url.partition('?')[0]}: {error}")
            return None
        with suppress(NotAutoconfigError, ConfigError):
            if response.status != 200 or not response.is_verified:
                return None
            reader = Reader()
            document = reader.read(response.body)
            provider = {**document, "domains": [self.domain]}
            provider.pop("mx_domains", None)
            notes = [*reader.lost, *leave_out_invalid(provider, reader.where)]
            notes += self._remove_unusable_names(provider)
            (typed,) = from_raw({"provider": [provider]}).tables.provider
            if provider.get("incoming") and provider.get("outgoing"):
                names = [server.username for _, server in typed.servers]
                is_for_all = all("%" in str(name) for name in names if name)
                is_own = self.domain in document["domains"] and is_for_all
                servers = endpoints(self.case, typed)
                return Hosted(provider, url.partition("?")[0], notes, servers, is_own)
        return None

    def _remove_unusable_names(self, provider: dict[str, Any]) -> Iterator[str]:
        """Remove user names that nobody has from a provider; yield a note for each."""
        keys = ("incoming", "outgoing", *DAV.values())
        for table in (table for key in keys for table in provider.get(key, ())):
            name = table.get("username", "")
            if name and documents.is_unusable_username(self.case, name):
                del table["username"]
                server = table.get("hostname") or table.get("url")
                yield texts()["init"]["nobodys"].format(name=name, server=server)

    def find_autodiscover(self) -> list[Endpoint]:
        """Return the mail servers that Autodiscover names, if https is verified."""
        outlook = play(OUTLOOK, self.case, self.facts)
        code = "autodiscover.asks-login"
        urls = [found.subject for found in outlook.findings if found.code == code]
        self.notes += [f"{url} {texts()['init']['shut']}" for url in urls[:1]]
        if outlook.outcome is None or not outlook.outcome.response.is_verified:
            return []
        return list(map(Endpoint.of, outlook.mail))

    def find_calendars(self) -> dict[str, list[Entry]]:
        """Return the tables of the calendars and address books that a client finds."""
        calendars = dav.play(CALENDARS, self.case, self.facts)
        for failure in calendars.failures():
            self.notes.append(f"{failure.places[0]}: {failure.seen}")
        servers: dict[str, list[Entry]] = {}
        for account in calendars.setup.servers if calendars.setup else ():
            self.notify(f"{account.type} {account.url}")
            try:
                table = {"type": account.type, "url": values.url(account.url)}
            except ValueError as error:
                self.notes.append(f"{account.type} {account.url} is left out: {error}")
            else:
                reason = "SRV records or a .well-known URL of the domain lead to it"
                servers.setdefault(DAV[account.type], []).append((table, reason))
        return servers
