"""What a look at something gave, and what all looks start from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from ...address import Address
from ...config.tables import Provider
from ...errors import Problem
from ...families import Family
from ..cleaning import clean
from ..network import Certificate

OK, WARNING, FAILURE = "ok", "warning", "failure"
IF_PRIVATE = "if the network there is your own, say so with --allow-private"
_FEW_DAYS = 14  # before a certificate's end that deserve a warning
_WORKERS = 16


@dataclass(frozen=True)
class Case:
    """What is looked at: a domain, and what is known of it beforehand."""

    domain: str  # A-labels
    families: tuple[Family, ...]  # that are meant to be served
    provider: Provider | None = None  # what the file says of it, if there is a file
    exact: bool = True  # the file claims the domain by name
    address: Address | None = None  # to ask with


class Finding(NamedTuple):
    """One thing that was looked at."""

    step: str  # file, dns, https, document, server, login
    subject: str  # the URL, name or server
    status: str  # ok, warning, failure
    seen: str
    why: str = ""
    cure: str = ""


def ok(step: str, subject: str, seen: str) -> Finding:
    """Something that is as it should be."""
    return _finding(step, subject, OK, seen)


def warning(step: str, subject: str, seen: str, why: str, cure: str = "") -> Finding:
    """Something that hurts some, or soon."""
    return _finding(step, subject, WARNING, seen, why, cure)


def failure(step: str, subject: str, seen: str, why: str, cure: str) -> Finding:
    """Something that keeps people from their mail."""
    return _finding(step, subject, FAILURE, seen, why, cure)


def _finding(*parts: str) -> Finding:
    """What strangers say is in there: it is shown clean."""
    return Finding(*map(clean, parts))


def has_failure(findings: Iterable[Finding]) -> bool:
    """Whether one of them is a failure."""
    return any(it.status == FAILURE for it in findings)


def from_problem(step: str, subject: str, problem: Problem) -> Finding:
    """A client's quirk as a finding."""
    place = f"{problem.place}: " if problem.place else ""
    seen = f"{place}{problem.message}"
    return warning(step, subject, seen, problem.client, problem.cure)


Task = Callable[[], list[Finding]]


def side_by_side(tasks: Iterable[Task]) -> list[Finding]:
    """The tasks' findings in the tasks' order. The tasks share nothing that changes."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = [pool.submit(task) for task in tasks]
        return [finding for result in results for finding in result.result()]


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str
) -> list[Finding]:
    """Whether clients take it, and for how long."""
    if certificate.problem:
        return [
            failure(
                step,
                subject,
                f"the certificate is not good for {host}: {certificate.problem}",
                "clients refuse to connect",
                f"install a valid certificate for {host}, with its chain",
            )
        ]

    days = certificate.days_left
    if days is not None and days < _FEW_DAYS:
        seen = f"the certificate ends in {days} days"
        why = "clients will refuse to connect"
        return [warning(step, subject, seen, why, "renew it")]
    return [ok(step, subject, f"the certificate is good for {days} days")]
