"""What rules look at: the case, its facts, the clients' plays and the documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
    """Everything that rules know of a domain."""

    case: Case
    facts: Facts
    provider: Provider | None = None  # of the file, or of the document to compare with
    clients: tuple[Client, ...] = ()
    plays: tuple[Play, ...] = ()  # one for each client
    asks: tuple[Ask, ...] = ()  # the clients' requests, except those to MX hosts
    documents: tuple[Document, ...] = ()
    faulty: tuple[Faulty, ...] = ()

    @cached_property
    def published(self) -> Mapping[Endpoint, tuple[Method, ...]]:
        """The mail servers of the file or the documents, with their methods."""
        found = servers.endpoints(self.case, self.provider)
        for document in () if self.case.provider else self.documents:
            found = {**servers.endpoints(self.case, document.provider), **found}
        return found

    @cached_property
    def set_up(self) -> Mapping[Endpoint, tuple[str, ...]]:
        """The mail servers that clients set up, with the names of the clients."""
        found: dict[Endpoint, tuple[str, ...]] = {}
        for play in self.plays:
            for account in play.mail:
                endpoint = Endpoint.of(account)
                found[endpoint] = (*found.get(endpoint, ()), play.client)
        return found

    def readers(self, document: Document | Faulty) -> list[str]:
        """Return the clients that took their settings from a document."""
        urls = {ask.url for ask in document.asks}
        return [
            play.client for play in self.plays if play.found and play.found.url in urls
        ]

    @cached_property
    def names_for_all(self) -> frozenset[str]:
        """The user names that everybody gets; empty with a file."""
        return frozenset() if self.case.provider else comparing.names_for_all(self)
