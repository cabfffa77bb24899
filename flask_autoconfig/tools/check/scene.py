"""What rules look at: a domain, its facts, what its clients set up and were told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...config.ports import MAIL_TYPES
from ...config.tables import Method, Provider
from ..clients import Client
from ..net.mail import Endpoint
from .facts import Ask, Facts
from .findings import Case
from .plays import Play
from .rules import comparing, servers
from .rules.documents import Document, Faulty


@dataclass(frozen=True)
class Scene:
    """All that is known of a domain when rules look at it."""

    case: Case
    facts: Facts
    provider: Provider | None = None  # the file's, or what is published
    clients: tuple[Client, ...] = ()
    plays: tuple[Play, ...] = ()  # how each client fared
    asks: tuple[Ask, ...] = ()  # the clients' requests, but for those at MX hosts
    documents: tuple[Document, ...] = ()
    faulty: tuple[Faulty, ...] = ()

    @cached_property
    def published(self) -> Mapping[Endpoint, tuple[Method, ...]]:
        """The mail servers that the file or the documents name, with their methods."""
        found = servers.endpoints(self.case, self.provider)
        for it in () if self.case.provider else self.documents:
            found = {**servers.endpoints(self.case, it.provider), **found}
        return found

    @cached_property
    def set_up(self) -> Mapping[Endpoint, tuple[str, ...]]:
        """The mail servers that clients set up, each with these clients."""
        found: dict[Endpoint, tuple[str, ...]] = {}
        for play in self.plays:
            for it in play.setup.servers if play.setup else ():
                if it.type in MAIL_TYPES and not it.url:
                    at = Endpoint.of(it)
                    found[at] = (*found.get(at, ()), play.client)
        return found

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The clients that took their settings at a URL."""
        found: dict[str, tuple[str, ...]] = {}
        for it in self.plays:
            if it.found is not None:
                found[it.found.url] = (*found.get(it.found.url, ()), it.client)
        return found

    @cached_property
    def names_for_all(self) -> frozenset[str]:
        """The user names that everybody gets, where there is no file."""
        return frozenset() if self.case.provider else comparing.names_for_all(self)
