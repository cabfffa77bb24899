"""Holds what is published against what is true, the way a client goes.

The steps are DNS (`names`), the web with the documents found there (`web`), and every
server that the file or the documents name (`servers`). Each gives findings: what was
seen, and for what is not well, why it matters and what to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

from ...address import with_domain
from ...config.ports import standard_port
from ...config.tables import Provider
from ..network import Network
from . import names, servers, web
from .findings import (
    FAILURE,
    OK,
    WARNING,
    Case,
    Finding,
    failure,
    from_problem,
    ok,
    warning,
)

__all__ = [
    "FAILURE",
    "OK",
    "WARNING",
    "Case",
    "Finding",
    "Outcome",
    "failure",
    "from_problem",
    "ok",
    "published",
    "reach",
    "servers",
    "unpublished",
    "warning",
]

_STEPS = 4  # so many timeouts long may a domain take altogether


class Outcome(NamedTuple):
    """What was found, and who may get a password."""

    findings: list[Finding]
    provider: Provider | None  # whose servers were looked at
    is_trusted: bool  # the servers stand in the file, or came whole over verified https


def reach(case: Case, network: Network) -> Network:
    """The network for a domain: what its file names is one's own; one deadline for all."""
    network = replace(network, own=frozenset(_own(case)))
    return network.step(_STEPS * network.timeout)


def _own(case: Case) -> Iterator[tuple[str, int]]:
    """Hosts and ports that one's own file names, and those of the web for its domain.

    The domain of a pattern is its customer's, whose DNS may say anything.
    """
    if case.provider is None:
        return
    if case.exact:
        labels = [f"{family.label}." for family in case.families if family.label]
        for label in ("", *labels):
            yield from ((f"{label}{case.domain}", port) for port in (80, 443))
    for _, server in case.provider.servers:
        host = with_domain(server.hostname or "", case.domain)
        yield host, server.port or 0
        for socket_type in ("SSL", "STARTTLS"):  # where it is looked for, too
            yield host, standard_port(server.type, socket_type) or 0
        parts = urlsplit(with_domain(server.url or "", case.domain))
        yield (
            parts.hostname or "",
            parts.port or (80 if parts.scheme == "http" else 443),
        )


def published(case: Case, network: Network) -> Outcome:
    """DNS, the web, and the servers of the file, or without one those published."""
    seen = web.look(case, network)  # first: DNS is held against what it saw
    findings = names.look(case, network, seen.documents, dict(seen.bodies))
    if not seen.documents and not case.provider:
        findings.append(_nothing_published(case))
    findings += seen.findings
    provider = case.provider or next(iter(seen.documents), None)
    if provider is None:
        return Outcome(findings, None, False)
    findings += servers.look(case, network, provider)
    is_trusted = case.provider is not None or provider in seen.verified
    return Outcome(findings, provider, is_trusted)


def unpublished(case: Case, network: Network) -> Outcome:
    """The file's own servers, before anything is published."""
    assert case.provider is not None  # noqa: S101 (the command sees to it)
    findings = servers.look(case, network, case.provider)
    return Outcome(findings, case.provider, True)


def _nothing_published(case: Case) -> Finding:
    return failure(
        "document",
        case.domain,
        "no document with mail settings is published",
        "a mail client can only guess the servers",
        "make a file with `flask-autoconfig init`, serve it, publish the DNS records",
    )
