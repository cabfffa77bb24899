"""Hosts with several addresses: what fails at some of them only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ....config.ports import MAIL_TYPES
from ...mail import Endpoint
from ...network import ProbeError, is_out_of_reach
from ...untrusted import split_url
from ..facts import AtAddress, Facts, each_of
from ..findings import Finding, finding
from .certificates import bad_certificate

if TYPE_CHECKING:
    from ..scene import Scene


def mail(scene: Scene) -> list[Finding]:
    """Return what fails at single addresses of mail servers."""
    return _each(scene.facts, [*scene.published, *scene.set_up])


def web(scene: Scene) -> list[Finding]:
    """Return what fails at single addresses of web servers; https counts before http."""
    schemes: dict[str, set[str]] = {}
    for ask in scene.asks:
        parts = split_url(ask.url)
        with suppress(ProbeError):
            scene.facts.reply(ask)
            schemes.setdefault(parts.hostname or "", set()).add(parts.scheme)
    return _each(
        scene.facts,
        [
            Endpoint("https", host, 443, "SSL")
            if "https" in found
            else Endpoint("http", host, 80, "plain")
            for host, found in schemes.items()
        ],
    )


def _each(facts: Facts, endpoints: Iterable[Endpoint]) -> list[Finding]:
    return each_of(partial(_look, facts), dict.fromkeys(endpoints))


def _look(facts: Facts, endpoint: Endpoint) -> Iterator[Finding]:
    try:
        results = facts.at_addresses(endpoint)
    except ProbeError:
        return  # another rule reports hosts that cannot be reached at all
    good = [result for result in results if result.error is None]
    count = len(results)
    for result in results if good else ():
        if result.error is not None:
            yield _unreachable(endpoint, count, result.address, result.error)
        elif _is_bad(result) and not all(map(_is_bad, good)):
            yield _with_bad_certificate(endpoint, count, result)


def _is_bad(result: AtAddress) -> bool:
    return result.certificate is not None and bool(result.certificate.problem)


def _place(endpoint: Endpoint) -> tuple[str, str, str]:
    """Return the step, the subject, and how a sentence about the host begins.

    For web servers it does not name the host: so equal causes can be merged.
    """
    if endpoint.type in MAIL_TYPES:
        return "server", str(endpoint), f"{endpoint.host} has"
    return "https", f"{endpoint.host}:{endpoint.port}", "it has"


def _with_bad_certificate(endpoint: Endpoint, count: int, result: AtAddress) -> Finding:
    assert result.certificate is not None  # noqa: S101 (see _is_bad)
    step, subject, whose = _place(endpoint)
    bad = bad_certificate(step, subject, result.certificate, endpoint.host)
    return bad.within("address", whose=whose, count=count, address=result.address)


def _unreachable(
    endpoint: Endpoint, count: int, address: str, error: ProbeError
) -> Finding:
    step, subject, whose = _place(endpoint)
    reason = str(error)
    is_far = "this machine has no way there" in reason or is_out_of_reach(error)
    return finding(
        "address.out-of-reach" if is_far else "address.dead",
        subject,
        step=step,
        whose=whose,
        count=count,
        reason=reason if address in reason else f"{address}: {reason}",
        kind="AAAA" if ":" in address else "A",
    )
