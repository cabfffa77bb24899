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
from ...warnings import why_unreachable
from .. import texts
from ..context import Context
from ..facts import Facts, Request, each_of, side_by_side
from ..findings import FAILURE, Case, Finding, finding
from . import connections, web
from .connections import Methods, at_addresses, of_certificate, of_older_clients

_SLOW = 5.0  # seconds until a greeting
MOST = 20  # of published documents, whose authors are unknown
_GROUPS = texts.table("groups")  # of codes
_LOST = ("server.no-connection", "server.silent", "server.other-service")
_CUSTOMARY = ("mail", "imap", "pop", "smtp", "mx")  # labels of mail servers
_EXAMPLES = tuple(f".{name}" for name in texts.table("shared")["examples"].split())
# How web proxies name themselves in the header `Server`, in lower case.
_PROXIES = ("cloudflare", "cloudfront", "akamai", "sucuri", "ddos-guard", "imperva")


def endpoint_of(case: Case, server: Server | Account) -> Endpoint:
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
    server = facts.tried(endpoint)
    if isinstance(server, ProbeError):
        return server.kind not in ("private", "port", "no-route", "late")
    is_refused = server.certificate is not None and bool(server.certificate.problem)
    return is_refused or not server.mechanisms


def is_alive(facts: Facts, endpoint: Endpoint) -> bool:
    """Return whether clients can log in; False for servers that cannot be tried."""
    is_tried = isinstance(facts.tried(endpoint), MailServer)
    return is_tried and not is_dead(facts, endpoint)


def is_as_good(
    context: Context, ours: Server | Account, theirs: Server | Account
) -> bool:
    """Return whether people can log in as well with another port or method of a server."""
    one, other = (endpoint_of(context.case, each) for each in (ours, theirs))
    is_one = one[:2] == other[:2] and ours.username == theirs.username
    if not is_one or other.type not in MAIL_TYPES or other.socket_type == "plain":
        return False
    methods: Any = theirs.authentication or "password-cleartext"
    methods = (methods,) if isinstance(methods, str) else methods
    return all(it.status != FAILURE for it in of(context.facts, other, methods))


def settled(facts: Facts, setup: Setup | None) -> Setup | None:
    """Return the setup with STARTTLS where a server knows nothing else at its port.

    A profile does not say it, and a device may try both at an unusual port.
    """

    def way(account: Account) -> Account:
        other = account._replace(socket_type="STARTTLS")
        is_usual = account.port == standard_port(account.type, "SSL")
        is_sure = account.socket_type != "SSL" or is_usual
        if is_sure or is_alive(facts, Endpoint.of(account)):
            return account
        return other if is_alive(facts, Endpoint.of(other)) else account

    return setup and setup._replace(servers=tuple(map(way, setup.servers)))


def _published(context: Context) -> dict[Endpoint, Methods]:
    found = endpoints(context.case, context.provider)
    for document in () if context.case.provider else context.documents:
        if document not in context.foreign:
            found = {**endpoints(context.case, document.provider), **found}
    return found


def _set_up(context: Context) -> dict[Endpoint, list[tuple[Client, str]]]:
    """Return what clients set up, with the clients and the method that each uses."""
    found: dict[Endpoint, list[tuple[Client, str]]] = {}
    for play in context.own_plays:
        for account in play.mail:
            method = account.authentication or "password-cleartext"
            found.setdefault(Endpoint.of(account), []).append((play.client, method))
    return found


def each_address(context: Context) -> list[Finding]:
    """Return what fails at single addresses of mail servers."""
    endpoints = {**_published(context), **_set_up(context)}
    return each_of(partial(at_addresses, context.facts), endpoints)


def _elsewhere(context: Context, endpoint: Endpoint, found: Finding) -> Finding:
    """Return the finding with what DNS says: no such service, or a server that answers."""
    facts, domain = context.facts, context.case.domain
    names = {(type_, way): name for name, type_, way in zone.MAIL_SERVICES}
    record = f"{names.get((endpoint.type, endpoint.socket_type))}.{domain}"
    with suppress(LookupFailed):
        if [*dict(facts.srv(record))] == [""]:
            return found.within("not-offered", record=record)

    def addresses(name: str) -> set[str]:
        return {*facts.addresses(name)} if facts.exists(name) else set()

    def answering(name: str) -> Iterator[tuple[str, str]]:
        others = addresses(name) - addresses(endpoint.host)
        there = endpoint._replace(host=name)
        if others and isinstance(facts.tried(there), MailServer):
            yield name, min(others)

    if any(kind_of(one, "nowhere") for one in addresses(endpoint.host)):
        return found  # which names the cause
    hosts = [f"{label}.{domain}" for label in _CUSTOMARY]
    hosts += filter(context.case.has, facts.mx_hosts(domain)[:2])
    for other, address in each_of(answering, dict.fromkeys(hosts))[:1]:
        host = endpoint.host
        return found.within("answers-at", host=host, other=other, address=address)
    return found


def _shut(facts: Facts, listed: list[Endpoint], host: str) -> list[str]:
    """Return the ports for TLS of a host if nothing listens at any of them."""
    ours = [it for it in listed if web.is_same_host(facts, it.host, host)]
    ours = [it for it in ours if it.socket_type == "SSL"]
    kinds = {getattr(facts.tried(one), "kind", "") for one in ours}
    return sorted({str(one.port) for one in ours if kinds == {"connect"}})


def look(context: Context) -> Iterator[Finding]:
    """Yield what is wrong with each server that is published or set up by a client."""
    case, published, set_up = context.case, _published(context), _set_up(context)
    listed = list({**published, **set_up})
    # They drop a document with a server without encryption.
    lost = (play.client for play in context.plays if play.setup is None)
    droppers = [client.name for client in lost if client.rules.all_or_nothing]
    asked = listed if case.provider else listed[:MOST]
    working = [
        (source.place, Endpoint.of(one))
        for source in context.sources
        for one in source.accounts[:MOST]
        if one.type in MAIL_TYPES and is_alive(context.facts, Endpoint.of(one))
    ]

    by_ispdb = {it.is_by_ispdb for it in context.plays if it.setup is not None}
    is_ispdb_alone = not case.provider and by_ispdb == {True}

    def check(endpoint: Endpoint) -> Iterator[Finding]:
        # Another rule reports documents with servers that the file does not have.
        is_unlisted = case.provider is not None and endpoint not in published
        for found in of(context.facts, endpoint, published.get(endpoint, ())):
            found = found.marked("unlisted" if is_unlisted else "")
            is_way = found.code in _GROUPS["encryption"] and endpoint not in published
            method = dict(found.values).get("method")  # which the server lacks
            clients = [
                it for it, by in set_up.get(endpoint, []) if method in (None, by)
            ]
            if "one of several" in found.marks:  # other clients take what is offered
                found = found.marked("" if clients else "beside")
            whose = {client.family for client in clients}
            if is_way and len(whose) == 1 and whose <= {"outlook", "apple"}:
                found = found.within(f"encryption-in-{min(whose)}")
            # Without a file, another source may have a server that works.
            is_relay = found.code.startswith("server.port-25")
            for place, one in working if found.status == FAILURE or is_relay else ():
                is_other = one.type == endpoint.type and one.host != endpoint.host
                is_better = is_relay and one.type == "smtp" and one.port != 25
                if is_better or (is_other and is_dead(context.facts, endpoint)):
                    found = found.within("elsewhere", whose=place, other=one)
                    break
            else:
                if found.status == FAILURE and is_ispdb_alone:
                    found = found.within("ispdb-alone")
                elif found.code in _LOST and case.has(endpoint.host):
                    found = _elsewhere(context, endpoint, found)
            is_of_some = bool(found.clients)
            if found.code == "server.port-25-shut" and endpoint.socket_type == "plain":
                found = found.hurting(*droppers)
            is_other = found.code == "server.other-service" and not found.around
            shut = _shut(context.facts, asked, endpoint.host) if is_other else []
            if len(shut) > 1:
                values = (("ports", " and ".join(shut)), *found.values)
                found = found._replace(code="server.no-tls-ports", values=values)
            if found.code == "tls.small-key":
                clients = [client for client in clients if not client.takes_small_keys]
            who = () if is_of_some else (client.name for client in clients)
            yield found.hurting(*who)

    yield from each_of(check, asked)
    rest = listed[len(asked) :]
    if rest:
        hosts = ", ".join(endpoint.host for endpoint in rest)[:500]
        yield finding("server.not-asked", case.domain, count=len(rest), hosts=hosts)


def of(facts: Facts, endpoint: Endpoint, methods: Methods = ()) -> Iterator[Finding]:
    """Yield what is wrong with a server, or that it is right."""
    software = ("software", facts.tried(endpoint).software)
    for found in _of(facts, endpoint, methods):
        yield found._replace(values=(software, *found.values))


def _of(facts: Facts, endpoint: Endpoint, methods: Methods) -> Iterator[Finding]:
    server = facts.tried(endpoint)
    subject, host, certificate = str(endpoint), endpoint.host, server.certificate
    if certificate is not None:
        advice = _better(facts, host, certificate)
        shown = of_certificate("server", subject, certificate, host, advice)
        at_one = at_addresses(facts, endpoint) if certificate.problem else ()
        shown = next((one for one in at_one if one.code == shown.code), shown)
        if certificate.problem or isinstance(server, MailServer):
            yield shown
    if isinstance(server, ProbeError):
        found = _unreachable(facts, endpoint, server)
        others = _usual(endpoint) if found.code in _GROUPS["one_port"] else ()
        other = next((each for each in others if is_alive(facts, each)), None)
        if other:
            way = other.socket_type
            found = found.within("beside", port=other.port, socket_type=way)
        yield found
        return
    if certificate and not certificate.problem:
        yield from of_older_clients(facts, subject, endpoint, certificate)
    if server.greeted > min(_SLOW, facts.network.timeout):
        yield finding("server.slow-greeting", subject, seconds=f"{server.greeted:.0f}")
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
    yield from connections.inside(facts, "server", subject, host, endpoint.port)
    yield from connections.of_logins(endpoint, methods, server, no_login)


def _better(facts: Facts, host: str, certificate: Certificate) -> str:
    """Return a cure for a certificate of other names that may need no new one, or ""."""
    names, shared = certificate.names, texts.table("shared")
    if certificate.kind != "name":
        return ""
    for name in (web.names_of(facts, host)[-1], *names[:5]):
        is_meant = any(matches(name, one) for one in names)
        if is_meant and name != host and web.is_same_host(facts, host, name):
            return str(shared["other_name"]).format(name=name, host=host)
    return f"{certificate.cure}; {shared['moved'].format(host=host)}"


# --- Servers that cannot be reached -----------------------------------------------------


def _web_proxy(facts: Facts, host: str) -> str:
    with suppress(ProbeError):
        named = facts.response(Request(f"http://{host}/")).headers.get("server", "")
        return named[:40] if named.lower().startswith(_PROXIES) else ""
    return ""


def _unreachable(facts: Facts, endpoint: Endpoint, error: ProbeError) -> Finding:
    """Return why nobody can log in, with the port or encryption that works instead."""
    subject, host, kind, advice = str(endpoint), endpoint.host, error.kind, error.cure
    if kind == "dns" and len(web.names_of(facts, host)) > 1:
        return web.dead_alias("server", facts, host).at(subject)
    if kind == "dns":
        advice = web.renamed(facts, host) or advice
    if kind in ("connect", "silent"):
        inside = connections.inside(facts, "server", subject, host, endpoint.port)
        advice = next((found.cure for found in inside), advice)
    if kind in ("connect", "silent", "timeout") and (proxy := _web_proxy(facts, host)):
        code = "server.web-proxy"
        return finding(code, subject, reason=error, host=host, proxy=proxy)
    others = _others(endpoint, error)
    tried = side_by_side(partial(facts.tried, one) for one in others)
    pairs = zip(others, tried, strict=True)
    answering = [(one, it) for one, it in pairs if isinstance(it, MailServer)]
    other, server = answering[0] if answering else (endpoint, MailServer())
    software = server.software if other.type == endpoint.type else ""
    reason: object = error  # whose kind the finding needs
    said = "".join(server.heard[:1])[:100]
    is_later = (endpoint.socket_type, other.socket_type) == ("SSL", "STARTTLS")
    is_example = f".{host}".endswith(_EXAMPLES)
    copied = "it is an example's" if is_example else why_unreachable(host)
    cure = ""
    if other == endpoint:
        code, cure = texts.code_on("server", kind, "server.no-connection"), advice
        is_unknown = kind == "dns" and not isinstance(error.__cause__, LookupFailed)
        if copied and (is_unknown or host == "localhost"):
            code = "server.copied-host"
    elif kind in ("connect", "silent") and other.port == 25:
        code, cure = "server.other-service", advice
    elif other.type != endpoint.type:
        code = "server.other-type"
    elif other.port != endpoint.port:
        code = "server.wrong-port"
        stops = (one for one in of(facts, other) if one.status == FAILURE)
        if stop := next(stops, None):
            reason = f"{error}; at port {other.port}, {stop.seen}"
            cure = f"{stop.cure}; then publish port {other.port}, {other.socket_type}"
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
        usual=standard_port(
            endpoint.type, endpoint.socket_type.replace("plain", "SSL")
        ),
        copied=copied,
        said=said,
        software=software or error.software,
    )


def _usual(endpoint: Endpoint) -> Iterator[Endpoint]:
    for way in ("SSL", "STARTTLS"):
        port = standard_port(endpoint.type, way) or endpoint.port
        if port != endpoint.port:
            yield endpoint._replace(port=port, socket_type=way)


def _others(endpoint: Endpoint, error: ProbeError) -> list[Endpoint]:
    """Return other ports, encryptions and protocols to try after an error."""
    is_shut = error.kind in ("connect", "silent")
    is_relay = endpoint.type == "smtp" and endpoint.port == 25
    others = list(_usual(endpoint)) if is_shut or is_relay else []
    if is_shut:  # of a mail filter, or of a server without submission
        others.append(Endpoint("smtp", endpoint.host, 25, "plain"))
    is_begun = error.kind == "tls" or isinstance(error.__cause__, TimeoutError)
    is_begun = is_begun and endpoint.socket_type == "STARTTLS"
    if error.kind in ("tls", "starttls", "timeout", "protocol") and not is_begun:
        names = [name for name in get_args(SocketType) if name != endpoint.socket_type]
        others += [endpoint._replace(socket_type=name) for name in names]
        others += [
            Endpoint(type_, endpoint.host, endpoint.port, socket_type)
            for _, type_, socket_type in zone.MAIL_SERVICES
            if type_ != endpoint.type
            and standard_port(type_, socket_type) == endpoint.port
        ]
    return others
