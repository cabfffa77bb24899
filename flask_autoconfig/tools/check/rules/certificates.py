"""What a certificate is worth to clients, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ...net.tcp import ProbeError
from ...net.tls import Certificate
from ...net.untrusted import split_url
from ..findings import Finding, finding

if TYPE_CHECKING:
    from ..scene import Scene

_FEW_DAYS = 14  # before a certificate's end that deserve a warning
# The code for each kind of problem of a Certificate.
_CODES = {
    "expired": "tls.expired",
    "early": "tls.not-yet-valid",
    "name": "tls.name-mismatch",
    "chain": "tls.incomplete-chain",
    "self-signed": "tls.self-signed",
    "unknown": "tls.unknown-authority",
}


def certificate_trouble(
    step: str, subject: str, certificate: Certificate, host: str
) -> Finding:
    """Why no client takes it."""
    problem, cure = certificate.problem, certificate.cure
    if certificate.kind == "name" and step == "https":
        # One cause, and not one for each name of the web: the place says which it is.
        problem = problem.replace(f"not for {host}", "not for the name that is asked")
        cure = "get a certificate that has these names too"
    if step == "https":
        cure = cure.replace(f"for {host} ", "for each of these names ")
    if certificate.address:
        problem += f" ({certificate.address})"
    code = _CODES.get(certificate.kind, "tls.bad")
    return finding(code, subject, step=step, advice=cure, problem=problem, host=host)


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str
) -> list[Finding]:
    """Whether clients take it, and for how long."""
    if certificate.problem:
        return [certificate_trouble(step, subject, certificate, host)]

    days = certificate.days_left
    if days is not None and days < _FEW_DAYS:
        words = {0: "less than a day", 1: "1 day"}.get(days, f"{days} days")
        return [finding("tls.ends-soon", subject, step=step, days=words)]
    at = f" ({certificate.address}, {certificate.version})"
    return [finding("tls.good", subject, step=step, days=days, at=at)]


def web(scene: Scene) -> Iterator[Finding]:
    """How long the web's certificates are good; a bad one is told by who meets it."""
    told: set[str] = set()
    for ask in scene.asks:
        with suppress(ProbeError):
            reply = scene.facts.reply(ask)
            host = split_url(reply.url).hostname or ""
            certificate = reply.certificate
            if certificate is None or certificate.problem or host in told:
                continue
            told.add(host)
            yield from of_certificate("https", f"{host}:443", certificate, host)
