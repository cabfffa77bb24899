"""What a certificate is worth to clients, and for how long."""

from __future__ import annotations

from ...tls import Certificate
from ..findings import Finding, failure, ok, warning

_FEW_DAYS = 14  # before a certificate's end that deserve a warning


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
    seen = f"the certificate is not good: {problem}"
    if certificate.address:
        seen += f" ({certificate.address})"
    cure = cure or f"install a valid certificate for {host}, with its chain"
    return failure(step, subject, seen, "clients refuse to connect", cure)


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str
) -> list[Finding]:
    """Whether clients take it, and for how long."""
    if certificate.problem:
        return [certificate_trouble(step, subject, certificate, host)]

    days = certificate.days_left
    if days is not None and days < _FEW_DAYS:
        seen = f"the certificate ends in {days} days"
        if days == 1:
            seen = "the certificate ends in 1 day"
        if days == 0:
            seen = "the certificate ends in less than a day"
        why = "clients will refuse to connect"
        cure = "renew it, and see that the renewal runs by itself"
        return [warning(step, subject, seen, why, cure)]
    at = f" ({certificate.address}, {certificate.version})"
    return [ok(step, subject, f"the certificate is good for {days} days{at}")]
