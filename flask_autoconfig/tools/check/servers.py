"""The servers themselves: reachable, encrypted, offering what is published, and logins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, get_args

from ...address import fill_in, fill_in_url, known_part, with_domain
from ...config.ports import MAIL_TYPES, standard_port
from ...config.tables import Provider, Server, SocketType
from .. import zone
from ..mail import MECHANISMS, Endpoint, MailServer, log_in, mail_server
from ..network import Network, ProbeError
from .findings import (
    FAILURE,
    IF_PRIVATE,
    Case,
    Finding,
    Task,
    failure,
    of_certificate,
    ok,
    side_by_side,
    warning,
)
from .web import ask

_URL_TYPES = ("caldav", "carddav", "webdav", "jmap")
_LOGINS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}


_MOST_SERVERS = 20  # of those that a stranger names, that are talked to


def look(case: Case, network: Network, provider: Provider) -> list[Finding]:
    """Every server of the provider."""
    servers = list(dict.fromkeys(server for _, server in provider.servers))
    asked = servers if case.provider else servers[:_MOST_SERVERS]
    findings = side_by_side(_looks(case, network, asked))
    if len(servers) > len(asked):
        names = [server.hostname or server.url or "" for server in servers]
        seen = f"{len(servers) - len(asked)} more servers are not asked: "
        seen += ", ".join(names[len(asked) :])
        why = "nobody needs so many, and a stranger names them"
        findings.append(warning("server", case.domain, seen[:500], why))
    return findings


def for_login(
    case: Case, provider: Provider, findings: Iterable[Finding]
) -> tuple[list[Server], list[Finding]]:
    """The servers to log in at, and what is to say of the others.

    A server that something is wrong with gets no password: that comes first. Nor does
    one that was not looked at.
    """
    seen = [it for it in findings if it.step == "server"]
    faulty = {it.subject for it in seen if it.status == FAILURE}
    sound = {it.subject for it in seen} - faulty
    servers, others = [], []
    for _, server in provider.servers:
        if server.type not in MAIL_TYPES or not server.username:
            continue
        subject = str(endpoint_of(case, server))
        if subject in faulty:
            why = "what is wrong with the server comes first"
            others.append(warning("login", subject, "not tried", why))
        elif subject in sound and server not in servers:
            servers.append(server)
    return servers, others


def log_in_at(
    case: Case, network: Network, servers: Iterable[Server], password: str
) -> list[Finding]:
    """A real login at each of the servers."""
    return side_by_side(
        partial(_login, case, network, server, password) for server in servers
    )


def _looks(case: Case, network: Network, servers: list[Server]) -> Iterator[Task]:
    for server in servers:
        if server.type in MAIL_TYPES and server.hostname:
            yield partial(_mail_server, case, network, server)
        elif server.type in _URL_TYPES and server.url:
            yield partial(_url_server, case, network, server)


def endpoint_of(case: Case, server: Server) -> Endpoint:
    """Where a mail server of the provider is for this domain."""
    host = with_domain(server.hostname or "", case.domain)
    return Endpoint(server.type, host, server.port or 0, server.socket_type or "SSL")


# --- Mail -----------------------------------------------------------------------------


def _mail_server(case: Case, network: Network, server: Server) -> list[Finding]:
    endpoint = endpoint_of(case, server)
    subject = str(endpoint)
    try:
        seen = mail_server(network, endpoint)
    except ProbeError as error:
        return [_unreachable(network, endpoint, error)]

    findings = []
    if seen.certificate is not None:
        host = endpoint.host
        findings = of_certificate("server", subject, seen.certificate, host)
    if endpoint.socket_type == "plain":
        why = "mail and passwords can be read on the way"
        cure = 'offer TLS and publish socket_type = "SSL"'
        findings.append(warning("server", subject, "unencrypted", why, cure))
    elif endpoint.socket_type == "STARTTLS" and seen.plain_before_tls:
        findings.append(
            warning(
                "server",
                subject,
                "it takes passwords before encryption too",
                "a client that is told not to encrypt sends them in the clear",
                "switch plain text off before TLS (Dovecot: "
                "disable_plaintext_auth = yes, Postfix: smtpd_tls_auth_only = yes)",
            )
        )
    return findings + _methods(subject, server, seen)


def _unreachable(network: Network, endpoint: Endpoint, error: ProbeError) -> Finding:
    cure = "start the server, open its port, or publish the one that works"
    if error.kind == "dns":
        cure = f"publish an address of {endpoint.host}, or correct the hostname"
    elif error.kind == "private":
        cure = IF_PRIVATE
    elif error.kind == "connect":
        cure = _at_other_ports(network, endpoint) or cure
    elif error.kind in ("tls", "starttls", "timeout", "protocol"):
        cure = _with_other_encryption(network, endpoint) or cure
    why = "no client can log in there"
    return failure("server", str(endpoint), str(error), why, cure)


def _at_other_ports(network: Network, endpoint: Endpoint) -> str:
    network = network.step()
    for _, type_, socket_type in zone.MAIL_SERVICES:
        port = standard_port(type_, socket_type)
        if type_ == endpoint.type and port and port != endpoint.port:
            with suppress(ProbeError):
                other = Endpoint(type_, endpoint.host, port, socket_type)
                mail_server(network, other)
                return (
                    f"the server answers at port = {port}, "
                    f'socket_type = "{socket_type}": publish that'
                )
    return ""


def _with_other_encryption(network: Network, endpoint: Endpoint) -> str:
    network = network.step()
    for socket_type in get_args(get_args(SocketType)[0]):
        if socket_type != endpoint.socket_type:
            with suppress(ProbeError):
                mail_server(network, endpoint._replace(socket_type=socket_type))
                if socket_type == "plain":
                    return "the server has no encryption there: give it a certificate"
                return f'the server speaks socket_type = "{socket_type}" there'
    return ""


def _methods(subject: str, server: Server, seen: MailServer) -> list[Finding]:
    """Whether what is published is really offered, once encrypted."""
    offered = ", ".join(sorted(seen.mechanisms)) or "no method"
    if seen.login_disabled and not seen.mechanisms - {"LOGIN"}:
        why, cure = "nobody can log in there", "allow logins once encrypted"
        return [failure("server", subject, "LOGINDISABLED", why, cure)]

    findings = []
    for method in server.authentication:
        name = method if isinstance(method, str) else method.name
        wanted = MECHANISMS.get(method)
        if not isinstance(method, str) and method.system == "sasl":
            wanted = frozenset((method.name.upper(),))
        if wanted is None or wanted & seen.mechanisms:
            continue
        findings.append(
            failure(
                "server",
                subject,
                f"{name} is published, the server offers {offered}",
                "Evolution and Kontact obey it to the letter: every login fails",
                _better(seen.mechanisms),
            )
        )
    return findings or [ok("server", subject, f"it offers {offered}")]


def _better(mechanisms: set[str]) -> str:
    for method, names in MECHANISMS.items():
        if names & mechanisms:
            return f'publish authentication = "{method}"'
    return "switch the method on in the server"


# --- What speaks HTTP -----------------------------------------------------------------


def _url_server(case: Case, network: Network, server: Server) -> list[Finding]:
    url = fill_in_url(server.url, case.domain, case.address)
    url = url or known_part(server.url or "", case.domain)
    if not url:
        why = "whose host name takes an address"
        return [warning("server", server.url or "", "not tried", why)]
    method = "GET" if server.type == "jmap" else "OPTIONS"

    reply, findings = ask(network, url, "server", method=method)
    if reply is None:
        return [*findings]
    speaks = "dav" in reply.headers or server.type == "jmap"
    if reply.status == 401 or (reply.status in (200, 204) and speaks):
        return [*findings, ok("server", url, f"{server.type}: it answers")]
    seen = f"status {reply.status}" + ("" if speaks else ", no DAV header")
    why = f"no client finds {server.type} there"
    cure = "correct the url, or start the service"
    return [*findings, failure("server", url, seen, why, cure)]


# --- Login ----------------------------------------------------------------------------


def _login(
    case: Case, network: Network, server: Server, password: str
) -> list[Finding]:
    """A real login, with the published name and method."""
    endpoint = endpoint_of(case, server)
    user = fill_in(server.username, case.domain, case.address)
    method = next((it for it in server.authentication if it in _LOGINS), None)
    shown = method or server.authentication[0]
    subject = f"{endpoint.type} {endpoint.host}:{endpoint.port} {shown}"
    if method is None:
        return [warning("login", subject, "not tried: only passwords can be", "")]
    if endpoint.socket_type == "plain":
        why = "a password must not travel in the clear"
        return [warning("login", subject, "not tried: unencrypted", why)]

    try:
        offered = mail_server(network, endpoint).mechanisms
        known = _LOGINS[method]
        mechanism = next((it for it in known if it in offered), known[0])
        refusal = log_in(
            network, endpoint, mechanism=mechanism, user=user, password=password
        )
    except ProbeError as error:
        refusal = str(error)

    if not refusal:
        return [ok("login", subject, f"{user} is let in")]
    return [
        failure(
            "login",
            subject,
            f"{user} is refused: {refusal}",
            "a person who types the same is refused too",
            "look at the user name that is published, the method and the password",
        )
    ]
