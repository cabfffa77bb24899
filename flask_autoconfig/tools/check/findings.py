"""Findings, and the case that a check starts from."""

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
    """The domain to check, and what is known before the check."""

    domain: str  # A-labels
    families: tuple[Family, ...]  # that should be served
    provider: Provider | None = None  # of the file, if there is a file
    exact: bool = True  # the file claims the domain by name
    address: Address | None = None  # to ask with
    signs: bool = False  # the file has `[sign]`
    has_own_login: bool = False  # a hook of the site returns the login name
    ignored: frozenset[str] = frozenset()  # codes of findings to leave out

    def has(self, host: str) -> bool:
        """Return whether the host is the domain or below it."""
        return f".{host}".endswith(f".{self.domain}")

    @property
    def asker(self) -> Address:
        """The address to ask with; every domain has the default (RFC 5321, 4.5.1)."""
        return self.address or Address("postmaster", self.domain)


class Finding(NamedTuple):
    """A code with values at one place, or at several that share the cause."""

    code: str  # of texts.toml, such as "tls.expired"
    step: str  # file, dns, https, document, server or login
    subject: str  # the URL, name or server; several are joined by ", "
    values: Values = ()  # of the placeholders in the texts
    around: Around = ()
    advice: str = ""  # replaces the cure of the code
    marks: frozenset[str] = frozenset()  # circumstances that weigh.py knows
    clients: tuple[str, ...] = ()  # that are affected
    places: tuple[str, ...] = ()  # the parts of the subject

    @property
    def status(self) -> str:
        return weigh.status_of(self.code, self.marks)

    @property
    def text(self) -> Text:
        return texts.text_of(self.code, self.values, self.around, self.advice)

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

    def hurting(self, *clients: str) -> Finding:
        """Return the finding with further affected clients."""
        return self._replace(clients=tuple(dict.fromkeys((*self.clients, *clients))))

    def marked(self, *marks: str) -> Finding:
        """Return the finding with further marks; empty strings are ignored."""
        return self._replace(marks=self.marks | set(filter(None, marks)))

    def within(self, name: str, **values: object) -> Finding:
        """Return the finding wrapped in the text `around.NAME` of texts.toml."""
        return self._replace(around=(*self.around, (name, _clean(values))))

    def at(self, subject: str) -> Finding:
        """Return the finding at another place."""
        return self._replace(subject=subject, places=(subject,))


def finding(
    code: str, subject: str, *, step: str = "", advice: str = "", **values: object
) -> Finding:
    """Return a finding; *step* and *advice* replace those of the code in texts.toml.

    A URL as the subject loses its query. All values are cleaned: servers choose them.
    """
    subject = clean(shown(subject))
    step = step or texts.template(code).step
    kinds = {getattr(value, "kind", "") for value in values.values()}  # of errors
    at, late = (subject,), frozenset({"late"} & kinds)
    return Finding(code, step, subject, _clean(values), (), clean(advice), late, (), at)


def _clean(values: dict[str, object]) -> Values:
    return tuple((name, clean(str(value))) for name, value in values.items())


def shown(url: str) -> str:
    """Return a URL without its query, which only says who asks."""
    parts = split_url(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else url


def from_problem(
    step: str, subject: str, problem: Problem, clients: Sequence[str] = ()
) -> Finding:
    """Return the finding for a problem of the file or of a document.

    *clients* are the names in `problem.client`, where it contains several.
    """
    name, client = problem.client, ""
    harm = "the setting is ignored"
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
