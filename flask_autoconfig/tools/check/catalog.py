"""Every rule of `check`, in one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .facts import Facts
from .findings import Case, Finding
from .rules import certificates, comparing, connections, dav, documents, names, servers
from .scene import Scene

Fetch = Callable[[], object]  # asks for a fact, which is kept


def _nothing(case: Case, facts: Facts) -> Iterable[Fetch]:
    """For a rule that looks at what clients ask for anyway."""
    return ()


class Rule(NamedTuple):
    """What it finds, and the facts that it needs from the start."""

    find: Callable[[Scene], Iterable[Finding]]
    fetches: Callable[[Case, Facts], Iterable[Fetch]] = _nothing


# Those that need nothing but a file, and hold before anything is published.
OF_THE_FILE = (
    Rule(servers.look, servers.of_file),
    Rule(connections.mail),
    Rule(dav.look),
)
RULES = (
    Rule(names.hosts),
    Rule(names.mx),
    Rule(names.services, names.all_services),
    Rule(names.half_answered),
    *OF_THE_FILE,
    Rule(connections.web),
    Rule(documents.look),
    Rule(documents.faulty),
    Rule(certificates.web),
    Rule(comparing.differences),
    Rule(comparing.nothing),
    Rule(comparing.hosters),
)
