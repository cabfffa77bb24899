"""Finds the provider that serves an address's domain or a requested host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        self._is_alone = len(loaded.providers) == 1
        for index, provider in enumerate(loaded.providers):
            self._ids.setdefault(provider.identity, index)
            for domain in provider.mx_domains:
                self._mx.setdefault(domain, index)

    def by_id(self, identity: str, domain: str) -> Match | None:
        """Find the provider with that id, for a domain that is not in the file."""
        index = self._ids.get(identity)
        return None if index is None else Match(index, domain, False)

    def by_domain(self, domain: str) -> Match | None:
        """Find by a folded domain: by name, then the longest pattern, then `*`."""
        index = self._claims.get(domain.encode())
        if index is not None:
            return Match(index, domain, True)
        index = self._by_pattern(domain)
        if index is None:
            index = self._any
        return None if index is None else Match(index, domain, False)

    def _by_pattern(self, domain: str) -> int | None:
        """Find the longest pattern (`*.example.com`) that matches the domain."""
        patterns = (b"*." + name.encode() for name in _upwards(domain))
        next(patterns, None)  # `*.example.com` does not match example.com itself
        found = (self._claims.get(pattern) for pattern in patterns)
        return next((index for index in found if index is not None), None)

    def claims(self, domain: str) -> bool:
        """Whether a provider names the domain, by pattern or as that of MX hosts too."""
        is_named = domain.encode() in self._claims or domain in self._mx
        return is_named or self._by_pattern(domain) is not None

    def by_mx(self, domain: str) -> Match | None:
        """Find by the domain of MX hosts; the customer's domain stays unknown."""
        index = self._mx.get(domain)
        return None if index is None else Match(index, None, False, domain)

    def by_host(self, authority: str) -> Match | None:
        """Find by the Host header: the longest match upwards from the host."""
        host = host_of(authority)
        asked = self.asked_domain(host)
        index = self._claims.get(host.encode()) if host != asked else None
        if index is not None:
            return Match(index, host, True)
        for name in _upwards(asked):
            index = self._claims.get(name.encode())
            if index is not None:
                return Match(index, name, True)
            if name in self._mx:
                return self.by_mx(name)
            index = self._claims.get(b"*." + name.partition(".")[2].encode())
            if index is not None:
                return Match(index, asked, False)
        if self._any is not None and "." in asked:
            return Match(self._any, asked, False)
        return None

    def only(self) -> Match | None:
        """Return the provider of a file that has only one, or None."""
        return Match(0, None, False) if self._is_alone else None

    def asked_domain(self, host: str) -> str:
        """Return the mail domain of a folded host name, without the client's label."""
        for label in self._labels:
            if host.startswith(label):
                return host[len(label) :]
        return host


def _upwards(name: str) -> Iterator[str]:
    """Yield a name, and the names above it."""
    while name:
        yield name
        name = name.partition(".")[2]
