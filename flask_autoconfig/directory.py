"""Which provider serves this address's domain, or the host that was asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .address import host_of
from .config.reading import Loaded


class Match(NamedTuple):
    """Which provider serves a request, and the domain that it names, if it does."""

    provider_index: int
    domain: str | None  # A-labels
    exact: bool  # the provider claims that domain by name, not by a pattern
    mx_domain: str | None = None  # of the MX hosts that were asked, without a domain


class Directory:
    """Every claim of the providers, ready for look-ups that do not depend on size.

    `labels` are the first labels of host names that clients put before the domain that
    they ask about, as `autoconfig`.
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
        """Who claims the name itself."""
        return self._claims.get(name.encode())

    def _below(self, name: str) -> int | None:
        """Who claims all below it."""
        return self._claims.get(b"*." + name.encode())

    def by_id(self, identity: str, domain: str) -> Match | None:
        """The provider of that id, for a domain that the file does not know."""
        index = self._ids.get(identity)
        return None if index is None else Match(index, domain, False)

    def by_domain(self, domain: str) -> Match | None:
        """By an address's folded domain: by name, by the longest pattern, by `*`."""
        index = self._exactly(domain)
        if index is not None:
            return Match(index, domain, True)
        index = self._by_pattern(domain)
        if index is None:
            index = self._any
        return None if index is None else Match(index, domain, False)

    def _by_pattern(self, domain: str) -> int | None:
        """Who claims all below one of the names that hold it, the longest first."""
        _, dot, parent = domain.partition(".")
        while dot:
            index = self._below(parent)
            if index is not None:
                return index
            _, dot, parent = parent.partition(".")
        return None

    def claims(self, domain: str) -> bool:
        """Whether a provider names the domain, also by a pattern or as that of MX hosts."""
        return (
            self._exactly(domain) is not None
            or self._by_pattern(domain) is not None
            or domain in self._mx
        )

    def by_mx(self, domain: str) -> Match | None:
        """By the domain of MX hosts, which says nothing of the customer's."""
        index = self._mx.get(domain)
        return None if index is None else Match(index, None, False, domain)

    def by_host(self, authority: str) -> Match | None:
        """By the Host header: the longest match upwards from the host."""
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
        """The only provider, if the file has just one."""
        return None if self._only is None else Match(self._only, None, False)

    def asked_domain(self, authority: str) -> str:
        """The mail domain that a Host header stands for, "" where it names none."""
        return self._asked_domain(host_of(authority))

    def _asked_domain(self, host: str) -> str:
        for label in self._labels:
            if host.startswith(label):
                return host[len(label) :]
        return host
