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
_AS_IT_IS = "".join({*punctuation} - {*'"<>\\'})


class Outcome(NamedTuple):
    """What a client got from one request."""

    url: str
    place: str = "host"  # of the client's step, or "srv"
    response: Response = Response("")  # of status 0 where there is none
    setup: Setup | None = None
    trouble: Finding | None = None


@dataclass
class Play:
    """What a client set up, and what it met on the way."""

    client: Client
    setup: Setup | None = None
    found: Outcome | None = None  # that has the settings
    findings: list[Finding] = field(default_factory=list)

    @property
    def place(self) -> str:
        return shown(self.found.url) if self.found else self.client.name

    @property
    def is_by_ispdb(self) -> bool:
        return self.found is not None and self.found.place.startswith("ispdb")

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.setup.servers if self.setup else ()

    @property
    def mail(self) -> list[Account]:
        """The mail accounts of the setup that have a host and a port."""
        return [it for it in self.accounts if it.type in MAIL_TYPES and not it.url]

    def reads(self, document: "Document | FaultyDocument") -> bool:
        """Return whether the settings are those of a document."""
        urls = [request.url for request in document.requests]
        return self.found is not None and self.found.url in urls

    def failures(self) -> list[Finding]:
        return [found for found in self.findings if found.status == FAILURE]


class Document(NamedTuple):
    """A config-v1.1.xml that can be read."""

    requests: tuple[Request, ...]  # the requests that it answers
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
    """The mail accounts of one source that publishes settings."""

    place: str  # for people: a URL, or what it is
    accounts: tuple[Account, ...]
    clients: tuple[str, ...] = ()  # that take their settings from it
    document: Document | None = None
    is_foreign: bool = False  # it is for other domains
    is_personal: bool = False  # it has one person's user name for everybody
    faults: int = 0  # accounts that work for nobody
    votes: int = 0  # of other sources
    is_decided: bool = False  # it is the first, and nothing as credible contradicts it
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
    requests: tuple[
        Request, ...
    ] = ()  # the clients' requests, except those to MX hosts
    documents: tuple[Document, ...] = ()
    faulty: tuple[FaultyDocument, ...] = ()
    names_for_all: frozenset[str] = frozenset()  # user names that everybody gets
    sources: tuple[Source, ...] = ()  # without a file: the most credible first
    foreign: tuple[Document, ...] = ()  # that belong to another customer
    led_to: tuple[Server, ...] = ()  # without a file: calendars that clients find

    @property
    def measure(self) -> Source | None:
        """The source to compare others with, where there is no file."""
        first = next(iter(self.sources), None)
        return None if first is None or first.is_foreign else first

    def is_foreign(self, play: Play) -> bool:
        """Return whether a client got the servers of another customer's document."""
        pairs = (pair for one in self.foreign for pair in one.provider.servers)
        theirs = {server.hostname for _, server in pairs}
        hosts = {account.hostname for account in play.mail}
        is_there = any(map(play.reads, self.foreign))
        return is_there or (bool(hosts) and hosts <= theirs)

    @property
    def own_plays(self) -> list[Play]:
        """The plays that did not end at the settings of another customer."""
        return [play for play in self.plays if not self.is_foreign(play)]

    def readers(self, document: Document | FaultyDocument) -> list[str]:
        """Return the clients that took their settings from a document."""
        return [play.client.name for play in self.plays if play.reads(document)]

    def has_document(self, play: Play) -> bool:
        """Return whether a client took its settings from a config-v1.1.xml."""
        listed: list[Document | FaultyDocument] = [*self.documents, *self.faulty]
        return any(map(play.reads, listed))


# --- The requests of a client ---------------------------------------------------------


def mx_domains(hosts: list[str], domain: str) -> list[str]:
    """Return the domains of MX hosts: without the first label, and registered ones."""
    parts = [(it.partition(".")[2], base_domain(it)) for it in hosts[:2]]
    names = [name for each in parts for name in each]
    return [name for name in dict.fromkeys(names) if "." in name and name != domain]


def steps_of(client: Client, case: Case) -> list[Step]:
    """Return the steps of a client, without those for families that the file leaves out."""
    served = {family.name for family in case.families}
    every = case.provider is None
    return [step for step in client.steps if every or family_of(step) in served]


def requests_of(step: Step, case: Case, facts: Facts) -> list[Request]:
    """Return the requests of a step, one for each MX host where it goes by those."""
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
    who = str(case.asker)
    if step.kind == "pox":
        headers = (("Content-Type", "text/xml"),)
        return Request(url, "POST", outlook.request(who), headers)
    if step.kind == "v2":
        return Request(
            f"{url}?Email={quote(who)}&Protocol=AutodiscoverV1&RedirectCount=1"
        )
    if step.form == "none":
        return Request(url)
    if step.form == "evolution":
        who = str(Address(NOBODY, case.domain))
    named = quote(who, safe=_AS_IT_IS if step.form == "raw" else "/")
    return Request(f"{url}?emailaddress={named}")
