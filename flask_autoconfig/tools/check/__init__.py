"""Holds what is published against what is true, the way a client goes.

The steps are DNS (`names`), the web with the documents found there (`web`), and every
server that the file or the documents name (`servers`). Each gives findings: what was
seen, and for what is not well, why it matters and what to change.
"""

from __future__ import annotations

from ..network import Network
from . import names, servers, web
from .findings import FAILURE, OK, WARNING, Case, Finding, failure, from_problem, ok

__all__ = [
    "FAILURE",
    "OK",
    "WARNING",
    "Case",
    "Finding",
    "from_problem",
    "ok",
    "published",
    "unpublished",
]


def published(case: Case, network: Network, password: str | None) -> list[Finding]:
    """DNS, the web, and the servers of the file, or without one those published.

    With a password each mail server is logged in at, too.
    """
    seen = web.look(case, network)  # first: DNS is held against what it saw
    findings = names.look(case, network, seen.documents, seen.pacc)
    if not seen.documents and not case.provider:
        findings.append(_nothing_published(case))
    findings += seen.findings
    provider = case.provider or next(iter(seen.documents), None)
    if provider is not None:
        findings += servers.look(case, network, provider, password)
    return findings


def unpublished(case: Case, network: Network, password: str | None) -> list[Finding]:
    """The file's own servers, before anything is published."""
    assert case.provider is not None  # noqa: S101 (the command sees to it)
    return servers.look(case, network, case.provider, password)


def _nothing_published(case: Case) -> Finding:
    return failure(
        "document",
        case.domain,
        "no document with mail settings is published",
        "a mail client can only guess the servers",
        "make a file with `flask-autoconfig init`, serve it, publish the DNS records",
    )
