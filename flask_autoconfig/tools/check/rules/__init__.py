"""The list of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..facts import Facts
from ..findings import Case, Finding
from ..scene import Scene
from . import (
    comparing,
    connections,
    dav,
    documents,
    name_servers,
    names,
    servers,
    single,
)


class Rule(NamedTuple):
    """A function that yields findings, and one that yields lookups to start early."""

    find: Callable[[Scene], Iterable[Finding]]
    lookups: Callable[[Case, Facts], Iterable[Callable[[], object]]] | None = None


# Rules that only need the file, and apply before anything is published.
RULES_OF_FILE = (
    Rule(servers.look, servers.of_file),
    Rule(servers.each_address),
    Rule(dav.look),
)
RULES = (
    Rule(names.hosts),
    Rule(names.mx),
    Rule(names.services, names.all_services),
    Rule(single.autodiscover),
    Rule(names.half_answered),
    Rule(name_servers.dnssec),
    Rule(name_servers.authorities),
    *RULES_OF_FILE,
    Rule(connections.each_address),
    Rule(documents.look),
    Rule(comparing.each_document),
    Rule(connections.certificates),
    Rule(comparing.differences),
    Rule(comparing.nothing),
    Rule(comparing.ispdb),
    Rule(single.missing),
    Rule(single.paths),
    Rule(comparing.hosters),
)
