"""Mail servers: whether they can be reached and offer what is published."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, get_args

from ....address import with_domain
from ....config.ports import MAIL_TYPES, standard_port
from ....config.tables import Provider, Server, SocketType
from ....documents.setups import Account, Setup
from ... import zone
from ...clients import Client
from ...net.mail import PASSWORDS, Endpoint, MailServer
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.tls import Certificate, matches
from ...net.untrusted import kind_of
from .. import texts
from ..context import Context
from ..facts import Facts, Request, gather, run_concurrently
from ..findings import FAILURE, Case, Finding, finding, has_failure
from . import connections, web
from .connections import (
    Methods,
    failures_at_addresses,
    of_certificate,
    of_older_clients,
)

_SLOW = 5.0  # seconds until a greeting
MOST = 20  # of published documents, whose authors are unknown
_GROUPS = texts.table("groups")  # of codes
_NO_SERVER = ("server.no-connection", "server.silent", "server.other-service")
_USUAL_LABELS = ("mail", "imap", "pop", "smtp", "mx")  # labels of mail servers
# How web proxies name themselves in the header `Server`, in lower case.
_PROXIES = ("cloudflare", "cloudfront", "akamai", "sucuri", "ddos-guard", "imperva")


def endpoint_of(case: Case, server: Server | Account) -> Endpoint:
    """Return the endpoint of a server, with the domain instead of its placeholder."""
    host = with_domain(server.hostname or "", case.domain)
    return Endpoint(server.type, host, server.port or 0, server.socket_type or "SSL")


def endpoints(case: Case, provider: Provider | None) -> dict[Endpoint, Methods]:
    """Return the mail servers of a provider with their published methods."""
    found: dict[Endpoint, Methods] = {}
    for _, server in provider.servers if provider else ():
        if server.type in MAIL_TYPES and server.hostname:
            endpoint = endpoint_of(case, server)
            methods = (*found.get(endpoint, ()), *server.authentication)
            found[endpoint] = tuple(dict.fromkeys(methods))
    return found


def is_dead(facts: Facts, endpoint: Endpoint) -> bool:
    """Return whether no client can log in; False for servers that cannot be tried."""
    server = facts.mail_server(endpoint)
    if isinstance(server, ProbeError):
        return server.kind not in ("private", "port", "no-route", "late")
    is_refused = server.certificate is not None and bool(server.certificate.problem)
    return is_refused or not server.mechanisms


def is_alive(facts: Facts, endpoint: Endpoint) -> bool:
    """Return whether clients can log in; False for servers that cannot be tried."""
    is_reached = isinstance(facts.mail_server(endpoint), MailServer)
    return is_reached and not is_dead(facts, endpoint)


def works_as_well(
    context: Context, account: Server | Account, other: Server | Account
) -> bool:
    """Return whether *other* is the same server with a port and method that work too."""
    first, second = map(partial(endpoint_of, context.case), (account, other))
    is_same = first[:2] == second[:2] and account.username == other.username
    if not is_same or second.type not in MAIL_TYPES or second.socket_type == "plain":
        return False
    methods: Any = other.authentication or "password-cleartext"
    methods = (methods,) if isinstance(methods, str) else methods
    return not has_failure(findings_of(context.facts, second, methods))


def with_starttls(facts: Facts, setup: Setup | None) -> Setup | None:
    """Return the setup with STARTTLS for accounts whose server has no TLS at the port.

    A profile does not name the encryption, and a device may try both at an unusual port.
    """

    def settle(account: Account) -> Account:
        other = account._replace(socket_type="STARTTLS")
        is_usual = account.port == standard_port(account.type, "SSL")
        is_sure = account.socket_type != "SSL" or is_usual
        if is_sure or is_alive(facts, Endpoint.of(account)):
            return account
        return other if is_alive(facts, Endpoint.of(other)) else account

    return setup and setup._replace(servers=tuple(map(settle, setup.servers)))


def _published(context: Context) -> dict[Endpoint, Methods]:
    """Return the mail servers of the file or, without one, of all documents."""
    published = endpoints(context.case, context.provider)
    for document in () if context.case.provider else context.documents:
        if document not in context.foreign:
            published = {**endpoints(context.case, document.provider), **published}
    return published


def _set_up(context: Context) -> dict[Endpoint, list[tuple[Client, str]]]:
    set_up: dict[Endpoint, list[tuple[Client, str]]] = {}
    for play in context.own_plays:
        for account in play.mail:
            method = account.authentication or "password-cleartext"
            set_up.setdefault(Endpoint.of(account), []).append((play.client, method))
    return set_up


def each_address(context: Context) -> list[Finding]:
    """Report failures at single addresses of mail servers."""
    set_up = _set_up(context)

    def look(endpoint: Endpoint) -> Iterator[Finding]:
        clients = [client.name for client, _ in set_up.get(endpoint, ())]
        for found in failures_at_addresses(context.facts, endpoint):
            # Clients only go on to another address where they cannot connect.
            yield found.hurting(*(clients if "undecided" in found.marks else ()))

    return gather(look, {**_published(context), **set_up})


def _with_dns(context: Context, endpoint: Endpoint, found: Finding) -> Finding:
    """Return the finding with what DNS says: no such service, or another host with it."""
    facts, domain = context.facts, context.case.domain
    services = {(type_, socket): name for name, type_, socket in zone.MAIL_SERVICES}
    record = f"{services.get((endpoint.type, endpoint.socket_type))}.{domain}"
    with suppress(LookupFailed):
        if [*dict(facts.srv(record))] == [""]:
            return found.within("not-offered", record=record)

    def addresses(name: str) -> set[str]:
        return {*facts.addresses(name)} if facts.exists(name) else set()

    def other_hosts(name: str) -> Iterator[tuple[str, str]]:
        others = addresses(name) - addresses(endpoint.host)
        if others and isinstance(
            facts.mail_server(endpoint._replace(host=name)), MailServer
        ):
            yield name, min(others)

    if any(kind_of(address, "nowhere") for address in addresses(endpoint.host)):
        return found  # which names the cause
    names = [f"{label}.{domain}" for label in _USUAL_LABELS]
    names += filter(context.case.has, facts.mx_hosts(domain)[:2])
    for other, address in gather(other_hosts, dict.fromkeys(names))[:1]:
        host = endpoint.host
        return found.within("answers-at", host=host, other=other, address=address)
    return found


def mail(context: Context) -> Iterator[Finding]:
    """Report problems of the servers that are published or set up by a client."""
    case, facts = context.case, context.facts
    published, set_up = _published(context), _set_up(context)
    all_endpoints = list({**published, **set_up})
    checked = all_endpoints if case.provider else all_endpoints[:MOST]
    stopped = (play.client for play in context.plays if play.setup is None)
    # Clients that refuse a document because of a server without encryption.
    refusing = [client.name for client in stopped if client.rules.all_or_nothing]
    working = [
        (source.place, endpoint)
        for source in context.sources
        for endpoint in map(Endpoint.of, source.accounts[:MOST])
        if endpoint.type in MAIL_TYPES and is_alive(facts, endpoint)
    ]

    def check(endpoint: Endpoint) -> Iterator[Finding]:
        # Another rule reports documents with servers that the file does not have.
        is_unlisted = case.provider is not None and endpoint not in published
        for found in findings_of(facts, endpoint, published.get(endpoint, ())):
            found = found.marked("unlisted" if is_unlisted else "")
            lacking = dict(found.values).get("method")  # which the server lacks
            users = set_up.get(endpoint, [])
            clients = [client for client, by in users if lacking in (None, by)]
            if "one of several" in found.marks:  # other clients take what is offered
                found = found.marked("" if clients else "beside")
            if found.code in _GROUPS["encryption"] and endpoint not in published:
                families = {client.family for client in clients}
                if families in ({"outlook"}, {"apple"}):
                    found = found.within(f"encryption-in-{min(families)}")
            # Without a file, another source may have a server that works.
            is_relay = found.code.startswith("server.port-25")
            for place, other in working if found.status == FAILURE or is_relay else ():
                is_other = other.type == endpoint.type and other.host != endpoint.host
                is_better = is_relay and other.type == "smtp" and other.port != 25
                if is_better or (is_other and is_dead(facts, endpoint)):
                    found = found.within("elsewhere", whose=place, other=other)
                    break
            else:
                if found.code in _NO_SERVER and case.has(endpoint.host):
                    found = _with_dns(context, endpoint, found)
            # Some findings have their clients.
            names = [] if found.clients else [client.name for client in clients]
            if found.code == "server.port-25-shut" and endpoint.socket_type == "plain":
                names = [*refusing, *names]
            yield found.hurting(*names)

    yield from gather(check, checked)
    rest = all_endpoints[len(checked) :]
    if rest:
        hosts = ", ".join(endpoint.host for endpoint in rest)[:500]
        yield finding("server.not-asked", case.domain, count=len(rest), hosts=hosts)


def findings_of(
    facts: Facts, endpoint: Endpoint, methods: Methods = ()
) -> Iterator[Finding]:
    """Report the problems of a server, or that it is good."""
    software = ("software", facts.mail_server(endpoint).software)
    for found in _problems(facts, endpoint, methods):
        yield found._replace(values=(software, *found.values))


def _problems(facts: Facts, endpoint: Endpoint, methods: Methods) -> Iterator[Finding]:
    server = facts.mail_server(endpoint)
    subject, host, certificate = str(endpoint), endpoint.host, server.certificate
    if certificate is not None:
        advice = _certificate_cure(facts, host, certificate)
        found = of_certificate("server", subject, certificate, host, advice)
        at_one = failures_at_addresses(facts, endpoint) if certificate.problem else ()
        found = next((other for other in at_one if other.code == found.code), found)
        if certificate.problem or isinstance(server, MailServer):
            yield found
    if isinstance(server, ProbeError):
        found = _unreachable(facts, endpoint, server)
        others = _usual_endpoints(endpoint) if found.code in _GROUPS["one_port"] else ()
        if other := next((other for other in others if is_alive(facts, other)), None):
            port, socket_type = other.port, other.socket_type
            found = found.within("beside", port=port, socket_type=socket_type)
        yield found
        return
    if certificate and not certificate.problem:
        yield from of_older_clients(facts, subject, endpoint, certificate)
    if server.greeting_seconds > min(_SLOW, facts.network.timeout):
        yield finding(
            "server.slow-greeting", subject, seconds=f"{server.greeting_seconds:.0f}"
        )
    no_login = connections.without_login(endpoint, methods, server)
    if endpoint.type == "smtp" and endpoint.port == 25:
        is_shut = no_login not in ("", "server.good-without-login")
        yield finding("server.port-25-shut" if is_shut else "server.port-25", subject)
        if is_shut:  # another port is the cure, whatever the encryption
            return
    if endpoint.socket_type == "plain":
        if no_login != "server.starttls-first":
            yield finding("server.unencrypted", subject)
    elif endpoint.socket_type == "STARTTLS" and server.before_tls & PASSWORDS:
        yield finding("server.plain-before-tls", subject)
    yield from connections.private_addresses(
        facts, "server", subject, host, endpoint.port
    )
    yield from connections.of_logins(endpoint, methods, server, no_login)


def _certificate_cure(facts: Facts, host: str, certificate: Certificate) -> str:
    """Return the cure for a certificate of other names, of which one may do, or ""."""
    if certificate.kind != "name":
        return ""
    names = certificate.names
    for name in (web.alias_chain(facts, host)[-1], *names[:5]):
        is_certified = any(matches(name, pattern) for pattern in names)
        if is_certified and name != host and web.is_same_host(facts, host, name):
            return str(texts.table("shared")["other_name"]).format(name=name, host=host)
    return ""


def _web_proxy(facts: Facts, host: str) -> str:
    """Return the name of a web proxy that responds for the host, or ""."""
    with suppress(ProbeError):
        name = facts.response(Request(f"http://{host}/")).headers.get("server", "")
        return name[:40] if name.lower().startswith(_PROXIES) else ""
    return ""


def _unreachable(facts: Facts, endpoint: Endpoint, error: ProbeError) -> Finding:
    """Return the finding with the cause, and a port or encryption that works instead."""
    subject, host, kind, advice = str(endpoint), endpoint.host, error.kind, error.cure
    if kind == "dns" and len(web.alias_chain(facts, host)) > 1:
        return web.broken_alias("server", facts, host).at(subject)
    if kind == "dns":
        advice = web.renaming_advice(facts, host) or advice
    if kind in ("connect", "silent"):
        inside = connections.private_addresses(
            facts, "server", subject, host, endpoint.port
        )
        advice = next((found.cure for found in inside), advice)
    if kind in ("connect", "silent", "timeout") and (proxy := _web_proxy(facts, host)):
        code = "server.web-proxy"
        return finding(code, subject, reason=error, host=host, proxy=proxy)
    others = _other_endpoints(endpoint, error)
    results = run_concurrently(partial(facts.mail_server, other) for other in others)
    pairs = zip(others, results, strict=True)
    answers = [
        (other, server) for other, server in pairs if isinstance(server, MailServer)
    ]
    other, server = answers[0] if answers else (endpoint, MailServer())
    software = server.software if other.type == endpoint.type else ""
    reason: object = error  # whose kind the finding needs
    is_later = (endpoint.socket_type, other.socket_type) == ("SSL", "STARTTLS")
    is_plain, cure = endpoint.socket_type == "plain", ""
    if other == endpoint:
        code, cure = texts.code_on("server", kind, "server.no-connection"), advice
    elif kind in ("connect", "silent") and other.port == 25:
        code, cure = "server.other-service", advice
    elif other.port != endpoint.port:
        code = "server.wrong-port"
        failures = (
            found for found in findings_of(facts, other) if found.status == FAILURE
        )
        if failure := next(failures, None):
            port = other.port
            reason = f"{error}; at port {port}, {failure.seen}"
            cure = f"{failure.cure}; then publish port {port}, {other.socket_type}"
    elif other.socket_type == "plain":
        code = "server.no-encryption"
    elif endpoint.port == standard_port(endpoint.type, "SSL") and is_later:
        code = "server.tls-later"
    else:
        code = "server.wrong-encryption"
    return finding(
        code,
        subject,
        advice=cure,
        reason=reason,
        host=host,
        port=other.port,
        socket_type=other.socket_type,
        type=endpoint.type.upper(),
        other_type=other.type.upper(),
        usual=standard_port(endpoint.type, "SSL" if is_plain else endpoint.socket_type),
        said="".join(server.heard[:1])[:100],
        software=software or error.software,
    )


def _usual_endpoints(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Yield the server's endpoints at the standard ports, if these are others."""
    for socket_type in ("SSL", "STARTTLS"):
        port = standard_port(endpoint.type, socket_type) or endpoint.port
        if port != endpoint.port:
            yield endpoint._replace(port=port, socket_type=socket_type)


def _other_endpoints(endpoint: Endpoint, error: ProbeError) -> list[Endpoint]:
    """Return other ports, encryptions and protocols to try after an error."""
    is_closed = error.kind in ("connect", "silent")
    is_relay = endpoint.type == "smtp" and endpoint.port == 25
    others = list(_usual_endpoints(endpoint)) if is_closed or is_relay else []
    if is_closed:  # the host of a mail filter, or a server without submission
        others.append(Endpoint("smtp", endpoint.host, 25, "plain"))
    # Where STARTTLS was accepted, the encryption and the protocol are right.
    is_accepted = error.kind == "tls" or isinstance(error.__cause__, TimeoutError)
    is_accepted = is_accepted and endpoint.socket_type == "STARTTLS"
    if error.kind in ("tls", "starttls", "timeout", "protocol") and not is_accepted:
        names = [name for name in get_args(SocketType) if name != endpoint.socket_type]
        others += [endpoint._replace(socket_type=name) for name in names]
    return others
