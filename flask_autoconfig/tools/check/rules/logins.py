"""Whether mail servers offer a login, and the published methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ....config.tables import AuthenticationMethod, Method
from ....documents.setups import Account
from ...clients import Client
from ...net.mail import MECHANISMS, Endpoint, MailServer
from ...net.tcp import ProbeError
from .. import texts
from ..facts import Facts
from ..findings import Finding, finding

# Methods that need a Windows domain or a certificate.
_INSIDE = ("GSSAPI", "NTLM", "TLS-client-cert")


def of_logins(
    endpoint: Endpoint, methods: tuple[Method, ...], server: MailServer, code: str
) -> Iterator[Finding]:
    subject = str(endpoint)
    if code:
        yield finding(code, subject)
        return
    offered = ", ".join(sorted(server.mechanisms))
    outside = (one for one in MECHANISMS if one not in _INSIDE)
    possible = (one for one in outside if MECHANISMS[one] & server.mechanisms)
    better = next(possible, None)
    is_usual = better == "password-cleartext"  # all clients support it
    code = "server.method-not-offered" if is_usual else "server.method-unusual"
    missing = [method for method in methods if not _is_offered(method, server)]
    for method in missing:
        yield finding(
            code if better else "server.method-unknown",
            subject,
            method=method if isinstance(method, str) else method.name,
            offered=offered,
            better=better,
        )
    if not missing:
        at = f" ({server.address})" if server.address else ""
        yield finding("server.good", subject, offered=offered, at=at)


def without_login(
    endpoint: Endpoint, methods: tuple[Method, ...], server: MailServer
) -> str:
    """Return the code for a server on which nobody can log in, or ""."""
    is_shut = server.mechanisms <= {"LOGIN"}
    if endpoint.socket_type == "plain" and server.starttls and is_shut:
        return "server.starttls-first"
    if server.login_disabled and is_shut:
        return "server.logindisabled"
    if server.mechanisms:
        return ""
    if methods and not any(method in MECHANISMS for method in methods):
        return "server.good-without-login"
    return "server.auth-before-tls" if server.before_tls else "server.no-login"


def _is_offered(method: Method, server: MailServer) -> bool:
    wanted = MECHANISMS.get(method)
    if isinstance(method, AuthenticationMethod) and method.system == "sasl":
        wanted = frozenset((method.name.upper(),))
    return wanted is None or bool(wanted & server.mechanisms)


def refused_method(facts: Facts, account: Account, client: Client) -> Iterator[Finding]:
    """Yield that a client would use a method that the server does not offer, or none."""
    wanted = MECHANISMS.get(account.authentication)  # type: ignore[call-overload]
    endpoint = Endpoint.of(account)
    at = str(endpoint)
    with suppress(ProbeError):
        offered = facts.server(endpoint).mechanisms
        listed = ", ".join(sorted(offered))
        if wanted and offered and not wanted & offered:
            usual = offered & MECHANISMS["password-cleartext"]
            code = "autodiscover.spa-not-offered" if usual else "autodiscover.no-method"
            if client.family == "apple":
                code = "profile.method-not-offered"
            method, name = account.authentication, client.name
            found = finding(code, at, method=method, client=name, offered=listed)
            yield found.hurting(name)
        # A relay at port 25 may know people by their network.
        if account.authentication == "none" and offered and account.port != 25:
            cure = texts.table("log_in")[client.family]
            found = finding("autodiscover.no-auth", at, advice=cure, offered=listed)
            yield found.hurting(client.name)
