"""Certificates: whether clients accept them, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ...network import ProbeError
from ...tls import Certificate
from ...untrusted import split_url
from ..findings import Finding, finding

if TYPE_CHECKING:
    from ..scene import Scene

_FEW_DAYS = 14  # before the expiry date
# The code for each `kind` of a Certificate's problem.
_CODES = {
    "expired": "tls.expired",
    "early": "tls.not-yet-valid",
    "name": "tls.name-mismatch",
    "chain": "tls.incomplete-chain",
    "self-signed": "tls.self-signed",
    "unknown": "tls.unknown-authority",
}


def bad_certificate(
    step: str, subject: str, certificate: Certificate, host: str
) -> Finding:
    """Return why no client accepts a certificate.

    The texts of web servers do not contain the host: so equal causes can be merged.
    """
    problem, cure = certificate.problem, certificate.cure
    if step == "https" and certificate.kind == "name":
        problem = problem.replace(f"not for {host}", "not for the requested name")
        cure = "get a certificate that contains these names too"
    if step == "https":
        cure = cure.replace(f"for {host} ", "for each of these names ")
    if certificate.address:
        problem += f" ({certificate.address})"
    code = _CODES.get(certificate.kind, "tls.bad")
    return finding(code, subject, step=step, advice=cure, problem=problem, host=host)


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str
) -> Finding:
    """Return whether clients accept a certificate, and for how long."""
    days = certificate.days_left
    if certificate.problem:
        return bad_certificate(step, subject, certificate, host)
    if days is not None and days < _FEW_DAYS:
        words = {0: "less than a day", 1: "1 day"}.get(days, f"{days} days")
        return finding("tls.ends-soon", subject, step=step, days=words)
    at = f" ({certificate.address}, {certificate.version})"
    return finding("tls.good", subject, step=step, days=days, at=at)


def web(scene: Scene) -> Iterator[Finding]:
    """Yield how long the certificates of web servers are valid.

    Bad ones are findings of the clients that meet them.
    """
    hosts: set[str] = set()
    for ask in scene.asks:
        with suppress(ProbeError):
            reply = scene.facts.reply(ask)
            host = split_url(reply.url).hostname or ""
            certificate = reply.certificate
            if certificate and not certificate.problem and host not in hosts:
                hosts.add(host)
                yield of_certificate("https", f"{host}:443", certificate, host)
