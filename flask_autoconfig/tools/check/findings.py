"""Findings: what a rule found, as a code with values, and what all rules start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...address import Address
from ...cleaning import clean
from ...config.tables import Provider
from ...errors import Problem
from ...families import Family
from ..net.untrusted import split_url
from . import texts, weigh
from .texts import Around, Text, Values


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
    ignored: frozenset[str] = frozenset()  # codes of findings that are left out

    def has(self, host: str) -> bool:
        """Whether a host is the domain itself, or below it."""
        return f".{host}".endswith(f".{self.domain}")

    @property
    def asker(self) -> Address:
        """Who asks: a mailbox that every domain has (RFC 5321, 4.5.1) for nobody."""
        return self.address or Address("postmaster", self.domain)


class Finding(NamedTuple):
    """One thing that was found, or one cause with all its places."""

    code: str  # of texts.toml, as "tls.expired"
    step: str  # file, dns, https, document, server, login
    subject: str  # the URL, name or server; several with ", " between
    values: Values = ()  # of the placeholders in the code's texts
    around: Around = ()
    advice: str = ""  # in the place of the code's own cure
    marks: frozenset[str] = frozenset()  # the circumstances that weigh.py knows
    clients: tuple[str, ...] = ()  # whom it hurts
    places: tuple[str, ...] = ()  # the subject's parts

    @property
    def status(self) -> str:
        """Its status: ok, note, warning or failure."""
        return weigh.status_of(self.code, self.marks)

    @property
    def text(self) -> Text:
        """Its texts, filled in."""
        return texts.text_of(self.code, self.values, self.around, self.advice)

    @property
    def seen(self) -> str:
        """What was seen."""
        return self.text.seen

    @property
    def why(self) -> str:
        """Whom it hurts, and how."""
        return self.text.why

    @property
    def cure(self) -> str:
        """What to do about it."""
        return self.text.cure

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen}"

    def hurting(self, *clients: str) -> Finding:
        """The same, with the clients that it hurts."""
        return self._replace(clients=tuple(dict.fromkeys((*self.clients, *clients))))

    def marked(self, *marks: str) -> Finding:
        """The same in these circumstances as well; an empty one counts for nothing."""
        return self._replace(marks=self.marks | {it for it in marks if it})

    def within(self, name: str, **values: object) -> Finding:
        """The same with the text of `around` in texts.toml that has that name."""
        return self._replace(around=(*self.around, (name, _clean(values))))

    def at(self, subject: str) -> Finding:
        """The same at another place."""
        return self._replace(subject=subject, places=(subject,))


def finding(
    code: str, subject: str, *, step: str = "", advice: str = "", **values: object
) -> Finding:
    """A finding; *step* and *advice* replace what texts.toml has for the code.

    Values come from strangers, and so they are cleaned.
    """
    subject = clean(subject)
    step = step or texts.template(code).step
    places = (subject,)
    return Finding(
        code, step, subject, _clean(values), advice=clean(advice), places=places
    )


def _clean(values: dict[str, object]) -> Values:
    return tuple((name, clean(str(value))) for name, value in values.items())


def shown(url: str) -> str:
    """A URL as people are shown it: without the query, which has nothing but who asks."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else url


def from_problem(
    step: str, subject: str, problem: Problem, clients: Sequence[str] = ()
) -> Finding:
    """Return a warning as a finding; what only PACC leaves out hurts nobody else.

    `clients` are the names in `problem.client`, where it names several.
    """
    place = f"{problem.place}: " if problem.place else ""
    is_all = problem.client.startswith("Every")
    client = f"{problem.client}: " if problem.client and not is_all else ""
    harm = f"it hurts {problem.client[:1].lower()}{problem.client[1:]}"
    if not is_all:
        harm = (
            f"it hurts people who use {problem.client}" if client else "it is left out"
        )
    found = finding(
        f"{step}.{'pacc' if problem.client == 'PACC' else 'warning'}",
        subject,
        advice=problem.cure,
        place=place,
        client=client,
        message=problem.message,
        harm=harm,
    )
    return found.hurting(*(clients or filter(None, [problem.client])))
