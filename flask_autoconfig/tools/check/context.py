"""What rules look at: the case, its facts, the clients' requests and plays, documents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import punctuation
from typing import NamedTuple
from urllib.parse import quote

from ...address import NOBODY, Address
from ...config.ports import MAIL_TYPES
from ...config.tables import Provider, Server
from ...documents import outlook
from ...documents.setups import Account, Setup
from ...errors import Problem
from ..clients import ISPDB, Client, Step, family_of, label_of
from ..naming import base_domain
from ..net.http import Response
from .facts import Facts, Request
from .findings import FAILURE, Case, Finding, shown

# What a client may leave unencoded in a request line.
_UNENCODED = "".join({*punctuation} - {*'"<>\\'})


class Outcome(NamedTuple):
    """The response to one request of a client, and the settings or problem in it."""

    url: str
    place: str = "host"  # of the client's step, or "srv"
    response: Response = Response("")  # of status 0 where there is none
    setup: Setup | None = None
    problem: Finding | None = None


@dataclass
class Play:
    """The settings that a client set up, and the findings on the way."""

    client: Client
    setup: Setup | None = None
    outcome: Outcome | None = None  # that has the settings
    findings: list[Finding] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The URL of the settings, or the name of the client."""
        return shown(self.outcome.url) if self.outcome else self.client.name

    @property
    def is_by_ispdb(self) -> bool:
        return self.outcome is not None and self.outcome.place.startswith("ispdb")

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.setup.servers if self.setup else ()

    @property
    def mail(self) -> list[Account]:
        """The mail accounts of the setup that have a host and a port."""
        mail = (account for account in self.accounts if account.type in MAIL_TYPES)
        return [account for account in mail if not account.url]

    def reads(self, document: "Document | FaultyDocument") -> bool:
        """Return whether the settings are those of a document."""
        urls = [request.url for request in document.requests]
        return self.outcome is not None and self.outcome.url in urls

    def failures(self) -> list[Finding]:
        return [found for found in self.findings if found.status == FAILURE]


class Document(NamedTuple):
    """A config-v1.1.xml that can be read."""

    requests: tuple[Request, ...]  # whose response it is
    response: Response  # to the first of them
    body: bytes
    provider: Provider
    is_verified: bool  # at least one request was answered over verified https only

    @property
    def types(self) -> dict[str, str]:
        return {place: server.type for place, server in self.provider.servers}

    @property
    def place(self) -> str:
        return shown(self.requests[0].url)


class FaultyDocument(NamedTuple):
    """A document with values that no client can use."""

    requests: tuple[Request, ...]
    body: bytes
    types: Mapping[str, str]  # of its servers, by their place
    problems: tuple[Problem, ...]


class Source(NamedTuple):
    """A source of settings, such as a document, and its mail accounts."""

    place: str  # for people: a URL, or what it is
    accounts: tuple[Account, ...]
    clients: tuple[str, ...] = ()  # that take their settings from it
    document: Document | None = None
    is_foreign: bool = False  # the settings are for other domains
    is_personal: bool = False  # one person's user name is set for everybody
    faults: int = 0  # accounts that work for nobody
    votes: int = 0  # of other sources
    is_decided: bool = False  # the first, if no source as credible contradicts it
    is_contradicted: bool = False  # by the first

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """Lower for a more credible source."""
        return self.is_foreign, self.faults, self.is_personal, -self.votes


@dataclass(frozen=True)
class Context:
    """Everything that rules know of a domain."""

    case: Case
    facts: Facts
    provider: Provider | None = None  # of the file, or of the document to compare with
    plays: tuple[Play, ...] = ()  # one for each client
    requests: tuple[Request, ...] = ()  # of the clients, except those to MX hosts
    documents: tuple[Document, ...] = ()
    faulty: tuple[FaultyDocument, ...] = ()
    shared_usernames: frozenset[str] = frozenset()  # user names that everybody gets
    sources: tuple[Source, ...] = ()  # without a file: the most credible first
    foreign: tuple[Document, ...] = ()  # that belong to another customer
    led_to: tuple[Server, ...] = ()  # without a file: calendars that clients find

    @property
    def reference(self) -> Source | None:
        """The source to compare others with, where there is no file."""
        first = next(iter(self.sources), None)
        return None if first is None or first.is_foreign else first

    def is_foreign(self, play: Play) -> bool:
        """Return whether a client got the servers of another customer's document."""
        if any(map(play.reads, self.foreign)):
            return True
        providers = (document.provider for document in self.foreign)
        servers = (pair[1] for provider in providers for pair in provider.servers)
        hosts = {account.hostname for account in play.mail}
        return bool(hosts) and hosts <= {server.hostname for server in servers}

    @property
    def own_plays(self) -> list[Play]:
        """The plays without those that led to the settings of another customer."""
        return [play for play in self.plays if not self.is_foreign(play)]

    def readers(self, document: Document | FaultyDocument) -> list[str]:
        """Return the clients that took their settings from a document."""
        return [play.client.name for play in self.plays if play.reads(document)]

    def has_document(self, play: Play) -> bool:
        documents: list[Document | FaultyDocument] = [*self.documents, *self.faulty]
        return any(map(play.reads, documents))


def mx_domains(hosts: list[str], domain: str) -> list[str]:
    """Return the domains of MX hosts: each without its first label, and registered."""
    pairs = ((host.partition(".")[2], base_domain(host)) for host in hosts[:2])
    names = dict.fromkeys(name for pair in pairs for name in pair)
    return [name for name in names if "." in name and name != domain]


def steps_of(client: Client, case: Case) -> list[Step]:
    """Return the steps of a client; with a file, those of the families that it serves."""
    if case.provider is None:
        return list(client.steps)
    served = {family.name for family in case.families}
    return [step for step in client.steps if family_of(step) in served]


def requests_of(step: Step, case: Case, facts: Facts) -> list[Request]:
    """Return the requests of a step; one that uses MX records may have two."""
    names = facts.mx_hosts(case.domain) if "mx" in step.place else [case.domain]
    if "mx" in step.place and step.place != "mx host":
        names = mx_domains(names, case.domain)
    if step.place.startswith("ispdb"):
        return [Request(f"{ISPDB}{name}") for name in names[:2]]
    label = "" if step.place == "domain" else f"{label_of(step)}."
    start = f"{step.scheme}://{label}"
    return [request_of(step, case, f"{start}{name}{step.path}") for name in names[:2]]


def request_of(step: Step, case: Case, url: str) -> Request:
    """Return the request of a step to a URL, with the address in the step's form."""
    address = str(case.asker)
    if step.kind == "pox":
        headers = (("Content-Type", "text/xml"),)
        return Request(url, "POST", outlook.request(address), headers)
    if step.kind == "v2":
        query = f"Email={quote(address)}&Protocol=AutodiscoverV1&RedirectCount=1"
        return Request(f"{url}?{query}")
    if step.form == "none":
        return Request(url)
    if step.form == "evolution":
        address = str(Address(NOBODY, case.domain))
    quoted = quote(address, safe=_UNENCODED if step.form == "raw" else "/")
    return Request(f"{url}?emailaddress={quoted}")
