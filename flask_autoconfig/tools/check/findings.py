"""What a look at something gave, and what all looks start from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ...address import Address
from ...cleaning import clean
from ...config.tables import Provider
from ...errors import Problem
from ...families import Family
from ..untrusted import split_url

OK, NOTE, WARNING, FAILURE = "ok", "note", "warning", "failure"
STATUSES = (FAILURE, WARNING, NOTE, OK)  # the worst first
IF_PRIVATE = "if the network there is your own, say so with --allow-private"


@dataclass(frozen=True)
class Case:
    """What is looked at: a domain, and what is known of it beforehand."""

    domain: str  # A-labels
    families: tuple[Family, ...]  # that are meant to be served
    provider: Provider | None = None  # what the file says of it, if there is a file
    exact: bool = True  # the file claims the domain by name
    address: Address | None = None  # to ask with
    signs: bool = False  # the file has `[sign]`
    has_own_login: bool = False  # a hook of the site says the asker's login name

    def has(self, host: str) -> bool:
        """Whether a host is the domain itself, or below it."""
        return f".{host}".endswith(f".{self.domain}")

    @property
    def asker(self) -> Address:
        """Who asks: a mailbox that every domain has (RFC 5321, 4.5.1) for nobody."""
        return self.address or Address("postmaster", self.domain)


class Finding(NamedTuple):
    """One thing that was looked at, or one cause with all its places."""

    step: str  # file, dns, https, document, server, login
    subject: str  # the URL, name or server; several with ", " between
    status: str  # ok, note, warning, failure
    seen: str
    why: str = ""
    cure: str = ""
    clients: tuple[str, ...] = ()  # whom it hurts
    places: tuple[str, ...] = ()  # the subject's parts
    follows: bool = False  # it compares two things: what stops one of them comes first

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen}"

    def hurting(self, *clients: str) -> Finding:
        """The same, with the clients that it hurts."""
        return self._replace(clients=tuple(dict.fromkeys((*self.clients, *clients))))


def ok(step: str, subject: str, seen: str) -> Finding:
    """Something that is as it should be."""
    return _finding(step, subject, OK, seen)


def note(step: str, subject: str, seen: str, why: str = "", cure: str = "") -> Finding:
    """Something to know that hurts nobody."""
    return _finding(step, subject, NOTE, seen, why, cure)


def warning(step: str, subject: str, seen: str, why: str, cure: str = "") -> Finding:
    """Something that hurts some, or soon."""
    return _finding(step, subject, WARNING, seen, why, cure)


def failure(step: str, subject: str, seen: str, why: str, cure: str) -> Finding:
    """Something that keeps people from their mail."""
    return _finding(step, subject, FAILURE, seen, why, cure)


def _finding(step: str, subject: str, *parts: str) -> Finding:
    """What strangers say is in there: it is shown clean."""
    status, seen, why, cure = [*map(clean, parts), "", ""][:4]
    subject = clean(subject)
    return Finding(clean(step), subject, status, seen, why, cure, places=(subject,))


def has_failure(findings: Iterable[Finding]) -> bool:
    """Whether one of them is a failure."""
    return any(it.status == FAILURE for it in findings)


def shown(url: str) -> str:
    """A URL as people are shown it: without the query, which has nothing but who asks."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else url


def from_problem(step: str, subject: str, problem: Problem) -> Finding:
    """A client's quirk as a finding; what only PACC leaves out hurts nobody else."""
    place = f"{problem.place}: " if problem.place else ""
    is_all = problem.client.startswith("Every")
    client = f"{problem.client}: " if problem.client and not is_all else ""
    why = f"it hurts {problem.client[:1].lower()}{problem.client[1:]}"
    if not is_all:
        why = (
            f"it hurts people who use {problem.client}" if client else "it is left out"
        )
    told = note if problem.client == "PACC" else warning
    found = told(step, subject, f"{place}{client}{problem.message}", why, problem.cure)
    return found.hurting(problem.client) if problem.client else found


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One cause once, with all its places and clients; the worst first.

    Of the same status it goes by the step, as a client does: the file, the web, the
    documents, the servers, DNS, then logins. Where a server fails, what differs from the
    file comes behind it, since whoever makes the rest agree with a server that does not
    answer breaks what was right. What only compares two things comes behind all of these.
    """
    causes: dict[tuple[str, ...], Finding] = {}
    for it in findings:
        # What is well is told of each place by itself.
        place = it.subject if it.status == OK else ""
        key = (it.status, it.seen, it.why, it.cure, place)
        same = causes.get(key)
        if same is None:
            causes[key] = it
            continue
        places = tuple(dict.fromkeys((*same.places, *it.places)))
        causes[key] = same.hurting(*it.clients)._replace(
            places=places, subject=", ".join(places)
        )
    found = list(causes.values())
    is_dead = any(it.status == FAILURE and it.step == "server" for it in found)
    return sorted(found, key=partial(_weight, is_dead))


# What a cause is in before what follows from it; see `merged`.
_STEPS = ("file", "https", "document", "server", "dns", "login")


# In what is seen where something is not as the file has it.
_OF_THE_FILE = (", the file says ", "not the one that the file makes")


def _weight(is_dead: bool, it: Finding) -> tuple[int, bool, int, int]:
    step = _STEPS.index(it.step) if it.step in _STEPS else len(_STEPS)
    is_late = is_dead and any(said in it.seen for said in _OF_THE_FILE)
    late = max(step, _STEPS.index("dns")) if is_late else step
    return STATUSES.index(it.status), it.follows, late, step
