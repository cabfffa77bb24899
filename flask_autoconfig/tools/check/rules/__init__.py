"""The list of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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

Rule = Callable[[Scene], Iterable[Finding]]
# Lookups that rules need, to start early.
LOOKUPS: tuple[Callable[[Case, Facts], Iterable[Callable[[], object]]], ...]
LOOKUPS = (servers.of_file, names.all_services)
# Rules that only need the file, and apply before anything is published.
RULES_OF_FILE: tuple[Rule, ...] = (servers.look, servers.each_address, dav.look)
RULES: tuple[Rule, ...] = (
    names.hosts,
    names.mx,
    names.services,
    single.autodiscover,
    names.half_answered,
    name_servers.dnssec,
    name_servers.authorities,
    *RULES_OF_FILE,
    connections.each_address,
    documents.look,
    comparing.each_document,
    connections.certificates,
    comparing.differences,
    comparing.nothing,
    comparing.ispdb,
    single.missing,
    single.paths,
    comparing.hosters,
)
