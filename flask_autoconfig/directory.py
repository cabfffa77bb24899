"""Finds the provider that serves an address's domain or a requested host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .address import host_of
from .config.reading import Loaded


class Match(NamedTuple):
    """The provider of a request, and the domain if the request names one."""

    provider_index: int
    domain: str | None  # A-labels
    exact: bool  # the provider claims the domain by name, not by a pattern
    mx_domain: str | None = None  # where only the domain of MX hosts is known


class Directory:
    """An index of the providers' domains; a lookup takes the same time at any size.

    `labels` are the first labels that clients put before the domain, as `autoconfig`.
    """

    def __init__(self, loaded: Loaded, labels: Iterable[str] = ()) -> None:
        self._labels = tuple(f"{label}." for label in labels)
        self._claims = loaded.claims
        self._any = loaded.claims.get(b"*")
        self._mx: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        self._only = 0 if len(loaded.providers) == 1 else None
        for index, provider in enumerate(loaded.providers):
            self._ids.setdefault(provider.identity, index)
            for domain in provider.mx_domains:
                self._mx.setdefault(domain, index)

    def _exactly(self, name: str) -> int | None:
        return self._claims.get(name.encode())

    def _below(self, name: str) -> int | None:
        return self._claims.get(b"*." + name.encode())

    def by_id(self, identity: str, domain: str) -> Match | None:
        """Find the provider with that id, for a domain that is not in the file."""
        index = self._ids.get(identity)
        return None if index is None else Match(index, domain, False)

    def by_domain(self, domain: str) -> Match | None:
        """Find by a folded domain: by name, then the longest pattern, then `*`."""
        index = self._exactly(domain)
        if index is not None:
            return Match(index, domain, True)
        index = self._by_pattern(domain)
        if index is None:
            index = self._any
        return None if index is None else Match(index, domain, False)

    def _by_pattern(self, domain: str) -> int | None:
        """Find the longest pattern (`*.example.com`) that matches the domain."""
        _, dot, parent = domain.partition(".")
        while dot:
            index = self._below(parent)
            if index is not None:
                return index
            _, dot, parent = parent.partition(".")
        return None

    def claims(self, domain: str) -> bool:
        """Whether a provider names the domain, by pattern or as that of MX hosts too."""
        return (
            self._exactly(domain) is not None
            or self._by_pattern(domain) is not None
            or domain in self._mx
        )

    def by_mx(self, domain: str) -> Match | None:
        """Find by the domain of MX hosts; the customer's domain stays unknown."""
        index = self._mx.get(domain)
        return None if index is None else Match(index, None, False, domain)

    def by_host(self, authority: str) -> Match | None:
        """Find by the Host header: the longest match upwards from the host."""
        host = host_of(authority)
        asked = self._asked_domain(host)
        index = self._exactly(host) if host != asked else None
        if index is not None:
            return Match(index, host, True)

        name = asked
        while name:
            parent = name.partition(".")[2]
            index = self._exactly(name)
            if index is not None:
                return Match(index, name, True)
            if name in self._mx:
                return self.by_mx(name)
            index = self._below(parent)
            if index is not None:
                return Match(index, asked, False)
            name = parent
        if self._any is not None and "." in asked:
            return Match(self._any, asked, False)
        return None

    def only(self) -> Match | None:
        """Return the provider of a file that has only one, or None."""
        return None if self._only is None else Match(self._only, None, False)

    def asked_domain(self, authority: str) -> str:
        """Return the mail domain of a Host header, without the client's label, or ""."""
        return self._asked_domain(host_of(authority))

    def _asked_domain(self, host: str) -> str:
        for label in self._labels:
            if host.startswith(label):
                return host[len(label) :]
        return host
