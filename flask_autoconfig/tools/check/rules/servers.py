"""The mail servers themselves: reachable, encrypted, offering what is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, get_args

from ....address import with_domain
from ....config.ports import MAIL_TYPES, standard_port
from ....config.tables import AuthenticationMethod, Method, Provider, Server, SocketType
from ....documents.setups import Account
from ... import zone
from ...mail import MECHANISMS, Endpoint, MailServer
from ...network import ProbeError, is_out_of_reach
from ...resolver import LookupFailed
from ...untrusted import is_public
from ..facts import Facts, side_by_side
from ..findings import Case, Finding, finding
from . import web
from .certificates import of_certificate

if TYPE_CHECKING:
    from ..scene import Scene

_MOST_SERVERS = 20  # of those that a stranger names, that are talked to


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


def look(scene: Scene) -> list[Finding]:
    """Every server that is published, or that a client would set up."""
    case, published, set_up = scene.case, scene.published, scene.set_up
    listed = list(dict.fromkeys((*published, *set_up)))
    asked = listed if case.provider else listed[:_MOST_SERVERS]
    tasks = [partial(_server, scene.facts, it, published.get(it, ())) for it in asked]
    findings = []
    for endpoint, found in zip(asked, side_by_side(tasks), strict=True):
        # That a document names a server which the file does not is told as the fault.
        is_unlisted = case.provider is not None and endpoint not in published
        mark, hurt = "unlisted" * is_unlisted, set_up.get(endpoint, ())
        findings += [each.marked(mark).hurting(*hurt) for each in found]
    if len(listed) > len(asked):
        hosts = ", ".join(it.host for it in listed[len(asked) :])[:500]
        count = len(listed) - len(asked)
        told = finding("server.not-asked", case.domain, count=count, hosts=hosts)
        findings.append(told)
    return findings


def of_file(case: Case, facts: Facts) -> list[Callable[[], object]]:
    """What asks the servers of the file."""
    return [partial(facts.server, it) for it in endpoints(case, case.provider)]


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
        findings.append(finding("server.unencrypted", subject))
    elif endpoint.socket_type == "STARTTLS" and seen.plain_before_tls:
        findings.append(finding("server.plain-before-tls", subject))
    findings += _private(facts, endpoint)
    if endpoint.type == "smtp" and endpoint.port == 25:
        findings.append(finding("server.port-25", subject))
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
    listed = ", ".join(addresses[:4])
    return [
        finding("server.address-private", str(endpoint), host=host, addresses=listed)
    ]


def refused_method(facts: Facts, account: Account, client: str) -> Iterator[Finding]:
    """That a client would use a method that the server does not offer."""
    wanted = MECHANISMS.get(account.authentication)  # type: ignore[call-overload]
    try:
        seen = facts.server(Endpoint.of(account))
    except ProbeError:
        return
    if wanted and seen.mechanisms and not wanted & seen.mechanisms:
        yield finding(
            "autodiscover.spa-not-offered",
            str(Endpoint.of(account)),
            client=client,
            method=account.authentication,
            offered=", ".join(sorted(seen.mechanisms)),
        ).hurting(client)


# --- Not reached ------------------------------------------------------------------------

# The code for each kind of ProbeError.
_CODES = {
    "private": "server.private",
    "silent": "server.silent",
    "starttls": "server.no-starttls",
    "timeout": "server.timeout",
    "tls": "server.no-tls",
    "protocol": "server.no-protocol",
}


def _unreachable(facts: Facts, endpoint: Endpoint, error: ProbeError) -> Finding:
    """Why nobody gets as far as a login; another way in is the cure where there is one."""
    subject, kind = str(endpoint), error.kind
    if kind == "dns":
        return _no_address(facts, endpoint, error)
    code = _CODES.get(kind, "server.no-connection")
    found = finding(code, subject, advice=error.cure, reason=error)
    other = None
    if kind in ("connect", "silent"):
        for away in _private(facts, endpoint):
            found = found._replace(advice=away.cure)
        other = _at_other_ports(facts, endpoint)
    elif kind in ("tls", "starttls", "timeout", "protocol"):
        is_refused = kind == "tls" and "STARTTLS" in str(error)
        other = None if is_refused else _with_other_encryption(facts, endpoint)
    if other is None:
        return found
    code, there = other
    return finding(
        code, subject, reason=error, port=there.port, socket_type=there.socket_type
    )


def _no_address(facts: Facts, endpoint: Endpoint, error: ProbeError) -> Finding:
    host = endpoint.host
    if len(web.names_of(facts, host)) > 1:
        return web.dead_alias("server", facts, host).at(str(endpoint))
    return finding(
        "server.unknown-host",
        str(endpoint),
        advice=error.cure,
        reason=error,
        host=host,
    )


def _at_other_ports(facts: Facts, endpoint: Endpoint) -> tuple[str, Endpoint] | None:
    others = []
    for _, type_, socket_type in zone.MAIL_SERVICES:
        port = standard_port(type_, socket_type)
        if type_ == endpoint.type and port and port != endpoint.port:
            others.append(Endpoint(type_, endpoint.host, port, socket_type))
    answering = _answering(facts, others)
    return ("server.wrong-port", answering[0]) if answering else None


def _with_other_encryption(
    facts: Facts, endpoint: Endpoint
) -> tuple[str, Endpoint] | None:
    kinds = get_args(SocketType)
    others = [
        endpoint._replace(socket_type=it) for it in kinds if it != endpoint.socket_type
    ]
    for it in _answering(facts, others):
        is_plain = it.socket_type == "plain"
        return "server.no-encryption" if is_plain else "server.wrong-encryption", it
    return None


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
    is_shut = not seen.mechanisms - {"LOGIN"}
    if is_plain and seen.starttls and is_shut:
        return [finding("server.starttls-first", subject)]
    if seen.login_disabled and is_shut:
        return [finding("server.logindisabled", subject)]
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
        code, better = _better(seen.mechanisms)
        findings.append(
            finding(
                code,
                subject,
                method=name,
                offered=offered,
                better=better,
                switch_on=_SWITCH_ON[endpoint_type],
            )
        )
    at = f" ({seen.address})" if seen.address else ""
    return findings or [finding("server.good", subject, offered=offered, at=at)]


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
        return finding("server.good-without-login", subject)
    if seen.before_tls:
        return finding("server.auth-before-tls", subject)
    return finding("server.no-login", subject, switch_on=_SWITCH_ON[endpoint_type])


# What all clients know: the others are left out by some.
_FOR_ALL = ("password-cleartext", "password-encrypted")


def _better(mechanisms: set[str]) -> tuple[str, Method | None]:
    """The code for a server with these mechanisms, and the method to publish instead."""
    for method, names in MECHANISMS.items():
        if names & mechanisms:
            is_usual = method in _FOR_ALL
            return f"server.method-{'not-offered' if is_usual else 'unusual'}", method
    return "server.method-unknown", None
