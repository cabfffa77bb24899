"""Findings: their status, and which are merged or dropped; the case of a check."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...address import Address
from ...cleaning import clean
from ...config.tables import Provider
from ...errors import Problem
from ...families import Family
from ..net.untrusted import split_url
from . import texts
from .texts import Around, Row, Values

OK, NOTE, WARNING, FAILURE = "ok", "note", "warning", "failure"
STATUSES = (FAILURE, WARNING, NOTE, OK)  # the worst first

# The worst status of a finding with one of these marks.
_MARKS: dict[str, str] = texts.table("marks")
_GROUPS = texts.table("groups")  # of codes
_ONLY_WAY = "only way"  # nothing else leads to the settings: a warning is a failure
_BAD_VALUES = ("document.bad-value", "document.bad-username", "setup.private-host")

# The place of a code among those of its status, by its `follows` in texts.toml.
_ORDER = {"nothing": -1, "anything": 1, "mail": 2}

# The order of steps: causes before their consequences.
_STEPS = ("file", "https", "document", "server", "dns", "login")


@dataclass(frozen=True)
class Case:
    """The domain to check, and what is known before the check."""

    domain: str  # A-labels
    families: tuple[Family, ...]  # that should be served
    provider: Provider | None = None  # of the file, if there is a file
    exact: bool = True  # the file claims the domain by name
    address: Address | None = None  # to ask with
    signs: bool = False  # the file has `[sign]`
    has_own_login: bool = False  # a hook of the site returns the login name
    ignored: frozenset[str] = frozenset()  # codes of findings to leave out

    def family(self, name: str) -> Family:
        return next(family for family in self.families if family.name == name)

    @property
    def hosts(self) -> list[str]:
        """The hosts of the families' documents."""
        labels = (family.label for family in self.families)
        return [f"{label}.{self.domain}" for label in labels if label]

    def has(self, host: str) -> bool:
        """Return whether the host is the domain or below it."""
        return f".{host}".endswith(f".{self.domain}")

    @property
    def asker(self) -> Address:
        """The address in requests; the default exists in every domain (RFC 5321, 4.5.1)."""
        return self.address or Address("postmaster", self.domain)


class Finding(NamedTuple):
    """A code with values at one place, or at several that share the cause."""

    code: str  # of texts.toml, such as "tls.expired"
    step: str  # file, dns, https, document, server or login
    subject: str  # the URL, name or server; several are joined by ", "
    values: Values = ()  # of the placeholders in the texts
    around: Around = ()  # texts that surround those of the code
    advice: str = ""  # replaces the cure of the code
    marks: frozenset[str] = frozenset()  # circumstances, such as those of _MARKS
    clients: tuple[str, ...] = ()  # that are affected
    places: tuple[str, ...] = ()  # the parts of the subject

    @property
    def status(self) -> str:
        status = texts.row(self.code).status
        if _ONLY_WAY in self.marks and status == WARNING:
            status = FAILURE
        limits = (_MARKS[mark] for mark in self.marks & _MARKS.keys())
        return max((status, *limits), key=STATUSES.index)

    @property
    def text(self) -> Row:
        protocol = self.subject.partition(" ")[0]  # of a mail server, such as imap
        return texts.text_of(self.code, self.values, self.around, self.advice, protocol)

    @property
    def seen(self) -> str:
        return self.text.seen

    @property
    def why(self) -> str:
        return self.text.why

    @property
    def cure(self) -> str:
        return self.text.cure

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen}"

    def hurting(self, *clients: str) -> "Finding":
        """Return the finding with further affected clients."""
        return self._replace(clients=tuple(dict.fromkeys((*self.clients, *clients))))

    def marked(self, *marks: str) -> "Finding":
        """Return the finding with further marks; empty strings are ignored."""
        return self._replace(marks=self.marks | set(filter(None, marks)))

    def within(self, name: str, **values: object) -> "Finding":
        """Return the finding wrapped in the text `around.NAME` of texts.toml."""
        return self._replace(around=(*self.around, (name, _clean(values))))

    def at(self, subject: str) -> "Finding":
        """Return the finding at another place."""
        return self._replace(subject=subject, places=(subject,))


def finding(
    code: str, subject: str, *, step: str = "", advice: str = "", **values: object
) -> Finding:
    """Return a finding; *step* and *advice* replace those of the code in texts.toml.

    A URL as the subject loses its query. All values are cleaned: servers choose them.
    """
    subject = clean(shown(subject))
    row = texts.row(code)
    error_kinds = {getattr(value, "kind", "") for value in values.values()}
    marks = frozenset(row.marks) | (error_kinds & {"late"})
    first = (code, step or row.step, subject, _clean(values))
    return Finding(*first, advice=clean(advice), marks=marks, places=(subject,))


def _clean(values: dict[str, object]) -> Values:
    return tuple((name, clean(str(value))) for name, value in values.items())


def shown(url: str) -> str:
    """Return a URL without its query, which is about the person who asks."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else url


def from_problem(
    step: str, subject: str, problem: Problem, clients: Sequence[str] = ()
) -> Finding:
    """Return the finding for a problem of the file or of a document.

    *clients* are the clients that `problem.client` names, if several.
    """
    name, client = problem.client, ""
    harm = texts.table("harms").get(problem.place, "the setting is ignored")
    if name.startswith("Every"):
        harm = f"this affects every{name.removeprefix('Every')}"
    elif name:
        client, harm = f"{name}: ", f"this affects people who use {name}"
    found = finding(
        f"{step}.{'pacc' if name == 'PACC' else 'warning'}",
        subject,
        advice=problem.cure,
        place=f"{problem.place}: " if problem.place else "",
        client=client,
        message=problem.message,
        harm=harm,
    )
    return found.hurting(*(clients or filter(None, [name])))


def has_failure(findings: Iterable[Finding]) -> bool:
    return any(found.status == FAILURE for found in findings)


def weighed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without consequences; equal ones are merged, the worst first."""
    return merged(_distinct(_without_consequences(list(findings))))


def affected_by(findings: Iterable[Finding], *codes: str) -> set[str]:
    """Return the clients that are affected by findings with one of the codes."""
    return {name for found in findings if found.code in codes for name in found.clients}


def _without_consequences(findings: list[Finding]) -> Iterator[Finding]:
    """Yield the findings that are not caused by others, such as one of a bad value."""
    failures = [found for found in findings if found.status == FAILURE]
    differing = [found for found in failures if found.code == "document.differs"]
    bad_values = [found for found in failures if found.code in _BAD_VALUES]
    places_of_bad_values = {place for found in bad_values for place in found.places}
    clients_of_bad_values = affected_by(failures, *_BAD_VALUES)
    lacking = (found for found in findings if found.code.startswith("server.method-un"))
    servers_without_method = {found.subject for found in lacking}
    cached_names = {found.subject for found in findings if found.code == "dns.cached"}
    of_documents = (found for found in failures if found.step == "document")
    unread = (found for found in of_documents if not found.code.startswith("setup."))
    clients_without_setup = {client for found in unread for client in found.clients}
    for found in findings:
        if found.code == "document.stale" and differing:
            # The service has the same older file for all documents.
            same = differing[0]._replace(clients=found.clients)
            found = same.at(found.subject)
        is_failure, clients = found.status == FAILURE, {*found.clients}
        is_by_values = bool(clients) and clients <= clients_of_bad_values
        is_caused = found.step == "server" and is_failure and is_by_values
        if found.code == "document.unusable":
            has_bad_value = found.subject in places_of_bad_values
            is_caused = has_bad_value and (is_by_values or not is_failure)
        elif found.code in _GROUPS["methods"]:
            is_caused = found.subject in servers_without_method
        elif found.code.startswith("setup."):
            is_caused = clients <= clients_without_setup
        follows_from = texts.row(found.code).follows_from
        worse = (other for other in findings if _badness(other) <= _badness(found))
        stopped = affected_by(worse, *follows_from) if follows_from else set()
        if not (is_caused or set() < clients <= stopped):
            is_cached = not cached_names.isdisjoint(found.places)
            yield found.marked("explained" if is_cached else "")


def _distinct(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield each finding once for each place, with the worst status that it has there."""
    worst: dict[tuple[str, str], Finding] = {}
    for found in findings:
        for place in found.places:
            at_place, key = found.at(place), (place, found.seen)
            kept, dropped = sorted((worst.get(key, at_place), at_place), key=_badness)
            clients = dropped.clients if kept.status == dropped.status else ()
            worst[key] = kept.hurting(*clients)
    yield from worst.values()


def _badness(found: Finding) -> int:
    return STATUSES.index(found.status)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return equal findings as one, with all places and clients; the worst first.

    Findings of one status are in the order of a client's steps: the file, HTTPS,
    documents, servers, DNS, logins. Where a server fails, differences from the file come
    after it: to adapt the rest to a dead server would break what is right.
    """
    findings = list(findings)
    is_file_wrong = any(found.code in _GROUPS["file_is_wrong"] for found in findings)
    causes: dict[tuple[str, ...], Finding] = {}
    for found in findings:
        is_by_file = texts.row(found.code).follows == "a dead server"
        if is_file_wrong and is_by_file:  # what the file has would break what works
            found = found.within("wrong-file", whose="the file").marked("explained")
        place = found.subject if found.status == OK else ""  # these are not merged
        key = (found.status, found.seen, found.why, found.cure, place)
        first = causes.setdefault(key, found)
        places = tuple(dict.fromkeys((*first.places, *found.places)))
        first = first.at(", ".join(places)).hurting(*found.clients)
        causes[key] = first._replace(places=places)

    of_servers = [found for found in causes.values() if found.step == "server"]
    is_dead = has_failure(of_servers)

    def weight(found: Finding) -> tuple[int, int, int]:
        step, follows = _STEPS.index(found.step), texts.row(found.code).follows
        if follows and (is_dead or is_file_wrong):
            step = len(_STEPS) if is_file_wrong else max(step, _STEPS.index("dns"))
        return _badness(found), _ORDER.get(follows, 0), step

    return sorted(causes.values(), key=weight)
