"""The list of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .facts import Facts
from .findings import Case, Finding
from .rules import comparing, connections, dav, documents, names, servers
from .scene import Scene


class Rule(NamedTuple):
    """A function that yields findings, and one that yields lookups to start early."""

    find: Callable[[Scene], Iterable[Finding]]
    lookups: Callable[[Case, Facts], Iterable[Callable[[], object]]] | None = None


# Rules that only need the file, and apply before anything is published.
RULES_OF_FILE = (
    Rule(servers.look, servers.of_file),
    Rule(connections.mail),
    Rule(dav.look),
)
RULES = (
    Rule(names.hosts),
    Rule(names.mx),
    Rule(names.services, names.all_services),
    Rule(names.half_answered),
    *RULES_OF_FILE,
    Rule(connections.web),
    Rule(documents.look),
    Rule(documents.faulty),
    Rule(connections.certificates),
    Rule(comparing.differences),
    Rule(comparing.nothing),
    Rule(comparing.hosters),
)
