"""The mail servers themselves: reachable, encrypted, offering what is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import get_args

from ....address import with_domain
from ....config.ports import MAIL_TYPES, standard_port
from ....config.tables import AuthenticationMethod, Method, Provider, Server, SocketType
from ... import zone
from ...mail import MECHANISMS, Endpoint, MailServer
from ...network import ProbeError, is_out_of_reach
from ...resolver import LookupFailed
from ...untrusted import is_public
from ..facts import Facts, side_by_side
from ..findings import (
    IF_PRIVATE,
    NOTE,
    OK,
    Case,
    Finding,
    failure,
    note,
    ok,
    warning,
)
from ..setups import Account
from . import web
from .certificates import of_certificate

_MOST_SERVERS = 20  # of those that a stranger names, that are talked to
_NO_LOGIN = "no client can log in there"


def endpoint_of(case: Case, server: Server) -> Endpoint:
    """Where a mail server of the provider is for this domain."""
    host = with_domain(server.hostname or "", case.domain)
    return Endpoint(server.type, host, server.port or 0, server.socket_type or "SSL")


def endpoints(
    case: Case, provider: Provider | None
) -> dict[Endpoint, tuple[Method, ...]]:
    """The mail servers of a provider, each with the methods that are published."""
    found: dict[Endpoint, tuple[Method, ...]] = {}
    for _, server in provider.servers if provider else ():
        if server.type in MAIL_TYPES and server.hostname:
            endpoint = endpoint_of(case, server)
            methods = (*found.get(endpoint, ()), *server.authentication)
            found[endpoint] = tuple(dict.fromkeys(methods))
    return found


def is_dead(facts: Facts, endpoint: Endpoint) -> bool:
    """Whether it was tried, and no client gets as far as a login there."""
    try:
        seen = facts.server(endpoint)
    except ProbeError as error:
        return error.kind != "private" and not is_out_of_reach(error)
    is_refused = seen.certificate is not None and bool(seen.certificate.problem)
    return is_refused or not seen.mechanisms


def has_dead(case: Case, facts: Facts, provider: Provider) -> bool:
    """Whether one of its mail servers is dead."""
    listed = list(endpoints(case, provider))[:_MOST_SERVERS]
    return any(side_by_side(partial(is_dead, facts, it) for it in listed))


def look(
    case: Case,
    facts: Facts,
    published: Mapping[Endpoint, tuple[Method, ...]],
    set_up: Mapping[Endpoint, tuple[str, ...]],
) -> list[Finding]:
    """Every server that is published, or that a client would set up.

    `set_up` are the clients that would.
    """
    listed = list(dict.fromkeys((*published, *set_up)))
    asked = listed if case.provider else listed[:_MOST_SERVERS]
    tasks = [partial(_server, facts, it, published.get(it, ())) for it in asked]
    findings = [
        _weighed(case, each, endpoint in published).hurting(*set_up.get(endpoint, ()))
        for endpoint, found in zip(asked, side_by_side(tasks), strict=True)
        for each in found
    ]
    if len(listed) > len(asked):
        seen = f"{len(listed) - len(asked)} more servers are not asked: "
        seen += ", ".join(it.host for it in listed[len(asked) :])
        why = "nobody needs so many, and a stranger names them"
        findings.append(warning("server", case.domain, seen[:500], why))
    return findings


def _weighed(case: Case, finding: Finding, is_published: bool) -> Finding:
    """What is wrong with a server that the file does not name comes second.

    That a document names it is the fault, and is told.
    """
    if case.provider is None or is_published or finding.status == OK:
        return finding
    return finding._replace(status=NOTE)


def set_up_by(
    plays: Iterable[tuple[str, Iterable[Account]]],
) -> dict[Endpoint, tuple[str, ...]]:
    """The mail servers that clients set up, each with these clients."""
    found: dict[Endpoint, tuple[str, ...]] = {}
    for client, accounts in plays:
        for it in accounts:
            if it.type in MAIL_TYPES and not it.url:
                found[it.endpoint] = (*found.get(it.endpoint, ()), client)
    return found


def _server(
    facts: Facts, endpoint: Endpoint, methods: tuple[Method, ...]
) -> list[Finding]:
    subject = str(endpoint)
    try:
        seen = facts.server(endpoint)
    except ProbeError as error:
        return [_unreachable(facts, endpoint, error)]

    findings = []
    if seen.certificate is not None:
        host = endpoint.host
        findings = of_certificate("server", subject, seen.certificate, host)
    if endpoint.socket_type == "plain":
        why = "mail and passwords can be read on the way"
        cure = 'offer TLS and publish socket_type = "SSL"'
        findings.append(warning("server", subject, "unencrypted", why, cure))
    elif endpoint.socket_type == "STARTTLS" and seen.plain_before_tls:
        findings.append(_plain_before_tls(subject))
    findings += _private(facts, endpoint)
    if endpoint.type == "smtp" and endpoint.port == 25:
        why = "most networks shut port 25 to all but mail servers: sending fails there"
        cure = "offer submission on port 465 (SSL) or 587 (STARTTLS), and publish that"
        findings.append(warning("server", subject, "port 25 for sending", why, cure))
    return findings + _methods(
        endpoint.type,
        subject,
        methods,
        seen,
        is_plain=endpoint.socket_type == "plain",
    )


def _private(facts: Facts, endpoint: Endpoint) -> list[Finding]:
    """That an address is none of the internet: right in one's own network alone."""
    network, host = facts.network, endpoint.host
    if network.allow_private or (host, endpoint.port) in network.connect_to:
        return []
    addresses: list[str] = []
    with suppress(LookupFailed):
        addresses = [it for it in facts.addresses(host) if not is_public(it)]
    if not addresses:
        return []
    return [
        note(
            "server",
            str(endpoint),
            f"{host} leads to {', '.join(addresses[:4])}, which is not on the internet",
            "people outside of your own network do not get there",
            "publish the address that the internet knows; if your own name server alone "
            "says so, ask a public one (--resolver), and if it is meant, say "
            "--allow-private",
        )
    ]


def refused_method(facts: Facts, account: Account, client: str) -> Iterator[Finding]:
    """That a client would use a method that the server does not offer."""
    wanted = MECHANISMS.get(account.authentication)  # type: ignore[call-overload]
    try:
        seen = facts.server(account.endpoint)
    except ProbeError:
        return
    if wanted and seen.mechanisms and not wanted & seen.mechanisms:
        offered = ", ".join(sorted(seen.mechanisms))
        yield failure(
            "server",
            str(account.endpoint),
            f"{client} is told {account.authentication}, the server offers {offered}",
            "its logins fail",
            "let Autodiscover say <SPA>off</SPA>",
        ).hurting(client)


def _plain_before_tls(subject: str) -> Finding:
    return warning(
        "server",
        subject,
        "it takes passwords before encryption too",
        "a client that is told not to encrypt sends them in the clear",
        "switch plain text off before TLS (Dovecot: "
        "disable_plaintext_auth = yes, Postfix: smtpd_tls_auth_only = yes)",
    )


# --- Not reached ------------------------------------------------------------------------

_CURES = {
    "private": IF_PRIVATE,
    "silent": "open the port in the firewall, or correct the address in DNS: packets to "
    "it are dropped",
    "starttls": "give the server a certificate and switch STARTTLS on (Dovecot: ssl = "
    "yes, Postfix: smtpd_tls_security_level = may)",
    "timeout": "see in the server's log what it waits for (a slow name server, often)",
}


def _unreachable(facts: Facts, endpoint: Endpoint, error: ProbeError) -> Finding:
    cure = error.cure or _CURES.get(
        error.kind, "start the server, open its port, or publish the one that works"
    )
    seen = str(error)
    if error.kind == "dns":
        seen, cure = _no_address(facts, endpoint, error)
    elif error.kind in ("connect", "silent"):
        away = "".join(it.cure for it in _private(facts, endpoint))
        cure = _at_other_ports(facts, endpoint) or away or cure
    elif error.kind in ("tls", "starttls", "timeout", "protocol"):
        other = _with_other_encryption(facts, endpoint)
        if other and not (error.kind == "tls" and "STARTTLS" in seen):
            cure = other
    return failure("server", str(endpoint), seen, _NO_LOGIN, cure)


def _no_address(facts: Facts, endpoint: Endpoint, error: ProbeError) -> tuple[str, str]:
    host = endpoint.host
    if len(web.names_of(facts, host)) > 1:
        told = web.dead_alias(facts, host, _NO_LOGIN)
        return told.seen, told.cure
    cure = f"publish an address of {host}, or correct the hostname"
    return str(error), error.cure or cure


def _at_other_ports(facts: Facts, endpoint: Endpoint) -> str:
    others = []
    for _, type_, socket_type in zone.MAIL_SERVICES:
        port = standard_port(type_, socket_type)
        if type_ == endpoint.type and port and port != endpoint.port:
            others.append(Endpoint(type_, endpoint.host, port, socket_type))
    for it in _answering(facts, others):
        return (
            f"the server answers at port = {it.port}, "
            f'socket_type = "{it.socket_type}": publish that'
        )
    return ""


def _with_other_encryption(facts: Facts, endpoint: Endpoint) -> str:
    kinds = get_args(get_args(SocketType)[0])
    others = [
        endpoint._replace(socket_type=it) for it in kinds if it != endpoint.socket_type
    ]
    for it in _answering(facts, others):
        if it.socket_type == "plain":
            return (
                "the server has no encryption there: give it a certificate, and switch "
                "TLS on"
            )
        return f'the server speaks socket_type = "{it.socket_type}" there: publish that'
    return ""


def _answering(facts: Facts, endpoints_: list[Endpoint]) -> list[Endpoint]:
    """Those that answer when spoken to so."""

    def answers(endpoint: Endpoint) -> bool:
        with suppress(ProbeError):
            facts.server(endpoint)
            return True
        return False

    told = side_by_side(partial(answers, it) for it in endpoints_)
    return [it for it, is_there in zip(endpoints_, told, strict=True) if is_there]


# --- Methods ----------------------------------------------------------------------------


def _methods(
    endpoint_type: str,
    subject: str,
    methods: tuple[Method, ...],
    seen: MailServer,
    *,
    is_plain: bool,
) -> list[Finding]:
    """Whether what is published is really offered, once encrypted."""
    offered = ", ".join(sorted(seen.mechanisms)) or "no method"
    if is_plain and seen.starttls and not seen.mechanisms - {"LOGIN"}:
        words = "it lets people in after STARTTLS only, and no encryption is published"
        cure = 'publish socket_type = "STARTTLS" there'
        return [failure("server", subject, words, _NO_LOGIN, cure)]
    if seen.login_disabled and not seen.mechanisms - {"LOGIN"}:
        cure = "allow logins once encrypted (Dovecot: ssl = yes, with a certificate)"
        return [failure("server", subject, "LOGINDISABLED", _NO_LOGIN, cure)]
    if not seen.mechanisms:
        return [_no_method(endpoint_type, subject, seen, methods)]

    findings = []
    for method in methods:
        name = method if isinstance(method, str) else method.name
        wanted = MECHANISMS.get(method)
        if isinstance(method, AuthenticationMethod) and method.system == "sasl":
            wanted = frozenset((method.name.upper(),))
        if wanted is None or wanted & seen.mechanisms:
            continue
        findings.append(
            failure(
                "server",
                subject,
                f"{name} is published, the server offers {offered}",
                "clients that do what is published cannot log in",
                _better(endpoint_type, seen.mechanisms),
            )
        )
    at = f" ({seen.address})" if seen.address else ""
    return findings or [ok("server", subject, f"it offers {offered}{at}")]


# Where logins are switched on, by the type of the server.
_SWITCH_ON = {
    "imap": "switch logins on (Dovecot: auth_mechanisms = plain login)",
    "pop3": "switch logins on: USER in the answer to CAPA, or SASL PLAIN (Dovecot: "
    "auth_mechanisms = plain login)",
    "smtp": "switch logins on (Postfix: smtpd_sasl_auth_enable = yes for the submission "
    "service in master.cf, with Dovecot's auth socket)",
}


def _no_method(
    endpoint_type: str, subject: str, seen: MailServer, methods: tuple[Method, ...]
) -> Finding:
    needs_none = methods and not any(it in MECHANISMS for it in methods)
    if needs_none:
        return ok("server", subject, "it offers no login, and none is published")
    if seen.before_tls:
        return failure(
            "server",
            subject,
            "it offers logins (AUTH) before STARTTLS only, and none once encrypted",
            _NO_LOGIN,
            "offer AUTH inside TLS (Postfix: smtpd_sasl_auth_enable = yes for the "
            "submission service in master.cf; smtpd_tls_auth_only = yes)",
        )
    return failure(
        "server",
        subject,
        "it offers no login at all",
        _NO_LOGIN,
        _SWITCH_ON[endpoint_type],
    )


# What all clients know: the others are left out by some.
_FOR_ALL = ("password-cleartext", "password-encrypted")


def _better(endpoint_type: str, mechanisms: set[str]) -> str:
    for method, names in MECHANISMS.items():
        if names & mechanisms:
            said = f'publish authentication = "{method}"'
            if method in _FOR_ALL:
                return said
            return (
                f"{_SWITCH_ON[endpoint_type]}; or {said}, which some clients know not"
            )
    return _SWITCH_ON[endpoint_type]
