"""Every address of a name, IPv6 first: what works at one may not at the next."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ...net.mail import Endpoint
from ...net.tcp import ProbeError, is_out_of_reach
from ...net.untrusted import split_url
from ..facts import AtAddress, Facts, side_by_side
from ..findings import Finding, finding
from .certificates import certificate_trouble

if TYPE_CHECKING:
    from ..scene import Scene

Target = Endpoint | tuple[str, int]


def mail(scene: Scene) -> list[Finding]:
    """What single addresses of mail servers lack, where others have it."""
    return _each(scene.facts, [*scene.published, *scene.set_up])


def web(scene: Scene) -> list[Finding]:
    """The same of the web servers that answered."""
    found: dict[tuple[str, int], None] = {}
    for ask in scene.asks:
        parts = split_url(ask.url)
        with suppress(ProbeError):
            scene.facts.reply(ask)
            found[parts.hostname or "", 443 if parts.scheme == "https" else 80] = None
    return _each(
        scene.facts,
        [it for it in found if it[1] == 443 or (it[0], 443) not in found],
    )


def _each(facts: Facts, targets: Iterable[Target]) -> list[Finding]:
    tasks = [partial(_look, facts, it) for it in dict.fromkeys(targets)]
    return [it for found in side_by_side(tasks) for it in found]


def _look(facts: Facts, target: Target) -> list[Finding]:
    try:
        seen = facts.at_addresses(target)
    except ProbeError:
        return []  # nobody gets there: that is told elsewhere
    good = [it for it in seen if it.error is None]
    if not good:
        return []
    host = target.host if isinstance(target, Endpoint) else target[0]
    step = "server" if isinstance(target, Endpoint) else "https"
    subject = str(target) if isinstance(target, Endpoint) else f"{host}:{target[1]}"
    findings = []
    for it in seen:
        if it.error is not None:
            findings.append(_lost(step, subject, host, len(seen), it, it.error))
        elif _is_bad(it) and not all(map(_is_bad, good)):
            assert it.certificate is not None  # noqa: S101 (a bad one is there)
            told = certificate_trouble(step, subject, it.certificate, host)
            whose = _whose(step, host)
            findings.append(
                told.within("address", whose=whose, count=len(seen), address=it.address)
            )
    return findings


def _is_bad(it: AtAddress) -> bool:
    return it.certificate is not None and bool(it.certificate.problem)


def _whose(step: str, host: str) -> str:
    """Of the web one cause is told once for all names that lead to the address."""
    return "it has" if step == "https" else f"{host} has"


def _lost(
    step: str, subject: str, host: str, count: int, it: AtAddress, error: ProbeError
) -> Finding:
    words = str(error)
    if it.address not in words:
        words = f"{it.address}: {words}"
    is_far = "this machine has no way there" in words or is_out_of_reach(error)
    return finding(
        "address.out-of-reach" if is_far else "address.dead",
        subject,
        step=step,
        whose=_whose(step, host),
        count=count,
        reason=words,
        kind="AAAA" if ":" in it.address else "A",
    )
