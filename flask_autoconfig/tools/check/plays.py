"""How a client fared, and whether what it met on its way counts against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ...documents.setups import Setup
from ..clients import OUTLOOK, POX, label_of
from ..net.http import Reply
from ..net.untrusted import split_url
from .facts import Facts
from .findings import Case, Finding, shown
from .rules import web
from .weigh import FAILURE


class Outcome(NamedTuple):
    """What a request gave to a client."""

    url: str
    place: str
    reply: Reply | None = None
    setup: Setup | None = None
    trouble: Finding | None = None


@dataclass
class Play:
    """How a client fared."""

    client: str
    family: str
    setup: Setup | None = None
    found: Outcome | None = None  # where the settings came from
    findings: list[Finding] = field(default_factory=list)
    url: str = ""  # where the settings came from, without the query

    @property
    def place(self) -> str:
        """Where the settings came from, as people are shown it."""
        return shown(self.found.url) if self.found else self.url or self.client

    def stopping(self) -> list[Finding]:
        """What keeps its people from their mail, as far as it met it."""
        return [it for it in self.findings if it.status == FAILURE]


# --- Whether it counts ------------------------------------------------------------------


def is_by_chance(played: Play, outcome: Outcome, case: Case, facts: Facts) -> bool:
    """Whether a wildcard record led there, and nobody meant to publish anything."""
    if _is_sites_own(outcome, case, facts):
        return True
    is_meant = played.family == "thunderbird" and played.setup is None
    if outcome.place != "host" or is_meant:
        return False
    return facts.is_by_wildcard(host_of(outcome.url), case.domain)


def is_elsewhere(played: Play, outcome: Outcome, case: Case, facts: Facts) -> bool:
    """Whether Outlook's host is somebody else's, where no other client is expected."""
    if case.provider is not None or played.family == "outlook":
        return False
    host = f"{label_of(OUTLOOK.steps[0])}.{case.domain}"
    is_outlooks = host_of(outcome.url) == host
    return is_outlooks and not case.has(web.names_of(facts, host)[-1])


def _is_sites_own(outcome: Outcome, case: Case, facts: Facts) -> bool:
    """Whether a web site that knows nothing of Autodiscover refuses a POST there."""
    path = POX
    is_pox = outcome.place == "domain" and outcome.url.partition("?")[0].endswith(path)
    status = outcome.reply.status if outcome.reply else 0
    refuses = status in (200, 400, 403, 405, 501)
    host = f"{label_of(OUTLOOK.steps[0])}.{case.domain}"
    return is_pox and refuses and not facts.exists(host)


def is_way_out(outcome: Outcome) -> bool:
    """Whether a client only goes there because nothing else worked."""
    is_far = outcome.place == "srv" or outcome.place.startswith("mx")
    return is_far or outcome.url.startswith("http:")


def host_of(url: str) -> str:
    """The host of a URL, "" where it has none."""
    return split_url(url).hostname or ""
