"""Mail servers: whether they can be reached and offer what is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import get_args

from ....address import with_domain
from ....config.ports import MAIL_TYPES, standard_port
from ....config.tables import AuthenticationMethod, Method, Provider, Server, SocketType
from ....documents.setups import Account, Setup
from ... import zone
from ...clients import Client
from ...net.mail import MECHANISMS, Endpoint, MailServer
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import is_public
from ...warnings import why_unreachable
from .. import texts
from ..facts import Ask, Facts, each_of
from ..findings import FAILURE, Case, Finding, finding
from ..scene import Scene
from . import web
from .connections import at_addresses, of_certificate, of_older_clients

_SLOW = 5.0  # seconds until a greeting
MOST = 20  # of published documents, whose authors are unknown


def endpoint_of(case: Case, server: Server) -> Endpoint:
    """Return the endpoint of a provider's mail server for the domain."""
    host = with_domain(server.hostname or "", case.domain)
    return Endpoint(server.type, host, server.port or 0, server.socket_type or "SSL")


def endpoints(
    case: Case, provider: Provider | None
) -> dict[Endpoint, tuple[Method, ...]]:
    """Return the mail servers of a provider with their published methods."""
    found: dict[Endpoint, tuple[Method, ...]] = {}
    for _, server in provider.servers if provider else ():
        if server.type in MAIL_TYPES and server.hostname:
            endpoint = endpoint_of(case, server)
            methods = (*found.get(endpoint, ()), *server.authentication)
            found[endpoint] = tuple(dict.fromkeys(methods))
    return found


def is_dead(facts: Facts, endpoint: Endpoint) -> bool:
    """Return whether no client can log in; False for servers that cannot be tried."""
    try:
        server = facts.server(endpoint)
    except ProbeError as error:
        return error.kind not in ("private", "no-route", "late")
    is_refused = server.certificate is not None and bool(server.certificate.problem)
    return is_refused or not server.mechanisms


def is_alive(facts: Facts, endpoint: Endpoint) -> bool:
    """Return whether clients can log in; False for servers that cannot be tried."""
    with suppress(ProbeError):
        facts.server(endpoint)
        return not is_dead(facts, endpoint)
    return False


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


def of_file(case: Case, facts: Facts) -> list[Callable[[], object]]:
    """Return the connections to the mail servers of the file."""
    return [
        partial(facts.server, endpoint) for endpoint in endpoints(case, case.provider)
    ]


def _published(scene: Scene) -> dict[Endpoint, tuple[Method, ...]]:
    """Return the mail servers of the file or the documents, with their methods."""
    found = endpoints(scene.case, scene.provider)
    for document in () if scene.case.provider else scene.documents:
        if document not in scene.foreign:
            found = {**endpoints(scene.case, document.provider), **found}
    return found


def _set_up(scene: Scene) -> dict[Endpoint, tuple[str, ...]]:
    found: dict[Endpoint, tuple[str, ...]] = {}
    for play in scene.own_plays:
        for endpoint in map(Endpoint.of, play.mail):
            found[endpoint] = (*found.get(endpoint, ()), play.client)
    return found


def each_address(scene: Scene) -> list[Finding]:
    """Return what fails at single addresses of mail servers."""
    endpoints = {**_published(scene), **_set_up(scene)}
    return each_of(partial(at_addresses, scene.facts), endpoints)


# Ends of the codes of faults of one port, beside which another may let people log in, and
# of those whose cure is an encryption: Autodiscover has other words for it.
_ONE_PORT = (".no-tls", ".no-starttls", ".masked", ".tls-later", ".no-encryption")
_ENCRYPTION = (".wrong-encryption", ".wrong-port", ".starttls-first", ".unencrypted")


def look(scene: Scene) -> Iterator[Finding]:
    """Yield what is wrong with each server that is published or set up by a client."""
    case, published, set_up = scene.case, _published(scene), _set_up(scene)
    listed = list({**published, **set_up})
    # They drop a document with a server without encryption.
    droppers = [
        client.name
        for client, play in zip(scene.clients, scene.plays, strict=True)
        if client.rules.all_or_nothing and play.setup is None
    ]
    families = {one.name: one.family for one in scene.clients}
    asked = listed if case.provider else listed[:MOST]
    working = [
        (source.place, Endpoint.of(one))
        for source in scene.sources
        for one in source.accounts[:MOST]
        if one.type in MAIL_TYPES and is_alive(scene.facts, Endpoint.of(one))
    ]

    def check(endpoint: Endpoint) -> Iterator[Finding]:
        # Another rule reports documents with servers that the file does not have.
        is_unlisted = case.provider is not None and endpoint not in published
        for found in of(scene.facts, endpoint, published.get(endpoint, ())):
            found = found.marked("unlisted" if is_unlisted else "")
            is_in_words = found.code.endswith(_ENCRYPTION) and endpoint not in published
            whose = {families[name] for name in set_up.get(endpoint, ())}
            if is_in_words and len(whose) == 1 and whose <= {"outlook", "apple"}:
                found = found.within(f"encryption-in-{min(whose)}")
            # Without a file, another source may have a server that works.
            for place, one in working if found.status == FAILURE else ():
                is_other = one.type == endpoint.type and one.host != endpoint.host
                if is_other and is_dead(scene.facts, endpoint):
                    found = found.within("elsewhere", whose=place, other=one)
                    break
            if found.code == "server.port-25-shut" and endpoint.socket_type == "plain":
                found = found.hurting(*droppers)
            yield found.hurting(*set_up.get(endpoint, ()))

    yield from each_of(check, asked)
    rest = listed[len(asked) :]
    if rest:
        hosts = ", ".join(endpoint.host for endpoint in rest)[:500]
        yield finding("server.not-asked", case.domain, count=len(rest), hosts=hosts)


def of(
    facts: Facts, endpoint: Endpoint, methods: tuple[Method, ...] = ()
) -> Iterator[Finding]:
    """Yield what is wrong with a server, or that it is right."""
    subject = str(endpoint)
    try:
        server = facts.server(endpoint)
    except ProbeError as error:
        if error.certificate is not None and error.certificate.problem:
            yield of_certificate("server", subject, error.certificate, endpoint.host)
        found = _unreachable(facts, endpoint, error)
        others = _usual(endpoint) if found.code.endswith(_ONE_PORT) else ()
        other = next((each for each in others if is_alive(facts, each)), None)
        if other:
            way = other.socket_type
            found = found.within("beside", port=other.port, socket_type=way)
        yield found
        return
    if server.certificate is not None:
        host = endpoint.host
        alias_of = web.names_of(facts, host)[-1]
        yield of_certificate("server", subject, server.certificate, host, alias_of)
        if not server.certificate.problem:
            shown = server.certificate
            yield from of_older_clients(facts, subject, endpoint, shown)
    if server.greeted > min(_SLOW, facts.network.timeout):
        yield finding("server.slow-greeting", subject, seconds=f"{server.greeted:.0f}")
    without_login = _without_login(endpoint, methods, server)
    if endpoint.type == "smtp" and endpoint.port == 25:
        is_shut = without_login not in ("", "server.good-without-login")
        yield finding("server.port-25-shut" if is_shut else "server.port-25", subject)
        if is_shut:  # another port is the cure, whatever the encryption
            return
    if endpoint.socket_type == "plain":
        if without_login != "server.starttls-first":
            yield finding("server.unencrypted", subject)
    elif endpoint.socket_type == "STARTTLS" and server.plain_before_tls:
        yield finding("server.plain-before-tls", subject)
    yield from _private(facts, endpoint)
    yield from _logins(endpoint, methods, server, without_login)


def _private(facts: Facts, endpoint: Endpoint) -> Iterator[Finding]:
    """Yield that addresses of the host are private, unless that is allowed."""
    network, host = facts.network, endpoint.host
    is_meant = network.allow_private or (host, endpoint.port) in network.connect_to
    with suppress(LookupFailed):
        addresses = [one for one in facts.addresses(host) if not is_public(one)]
        if is_meant:  # but for what is no address of a host
            addresses = [one for one in addresses if one in ("0.0.0.0", "::")]  # noqa: S104
        if addresses:
            code, listed = "server.address-private", ", ".join(addresses[:4])
            yield finding(code, str(endpoint), host=host, addresses=listed)


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


# --- Servers that cannot be reached -----------------------------------------------------

# How web proxies name themselves in the header `Server`, in lower case.
_EXAMPLES = tuple(f".{name}" for name in texts.table("shared")["examples"].split())
_PROXIES = ("cloudflare", "cloudfront", "akamai", "sucuri", "ddos-guard", "imperva")


def _web_proxy(facts: Facts, host: str) -> str:
    """Return the name of the web proxy that a host leads to, or ""."""
    with suppress(ProbeError):
        named = facts.reply(Ask(f"http://{host}/")).headers.get("server", "")
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
        advice = next((found.cure for found in _private(facts, endpoint)), advice)
    if kind in ("connect", "silent", "timeout") and (proxy := _web_proxy(facts, host)):
        code = "server.web-proxy"
        return finding(code, subject, reason=error, host=host, proxy=proxy)

    def answering(each: Endpoint) -> Iterator[Endpoint]:
        with suppress(ProbeError):
            facts.server(each)
            yield each

    other = next(iter(each_of(answering, _others(endpoint, error))), endpoint)
    is_later = (endpoint.socket_type, other.socket_type) == ("SSL", "STARTTLS")
    is_example = f".{host}".endswith(_EXAMPLES)
    copied = "it is an example's" if is_example else why_unreachable(host)
    if other == endpoint:
        code = texts.code_on("server", kind, "server.no-connection")
        is_unknown = kind == "dns" and not isinstance(error.__cause__, LookupFailed)
        if copied and (is_unknown or host == "localhost"):
            code = "server.copied-host"
    elif other.type != endpoint.type:
        code = "server.other-type"
    elif other.port != endpoint.port:
        code = "server.wrong-port"
    elif other.socket_type == "plain":
        code = "server.no-encryption"
    elif endpoint.port == standard_port(endpoint.type, "SSL") and is_later:
        code = "server.tls-later"
    else:
        code = "server.wrong-encryption"
    return finding(
        code,
        subject,
        advice=advice if other == endpoint else "",
        reason=error,
        host=host,
        port=other.port,
        socket_type=other.socket_type,
        type=endpoint.type.upper(),
        other_type=other.type.upper(),
        usual=standard_port(endpoint.type, "SSL"),
        copied=copied,
    )


def _usual(endpoint: Endpoint) -> Iterator[Endpoint]:
    for way in ("SSL", "STARTTLS"):
        port = standard_port(endpoint.type, way) or endpoint.port
        if port != endpoint.port:
            yield endpoint._replace(port=port, socket_type=way)


def _others(endpoint: Endpoint, error: ProbeError) -> Iterable[Endpoint]:
    """Return other ports, encryptions and protocols to try after an error."""
    is_shut = error.kind in ("connect", "silent")
    is_relay = endpoint.type == "smtp" and endpoint.port == 25
    others = list(_usual(endpoint)) if is_shut or is_relay else []
    is_begun = error.kind == "tls" and endpoint.socket_type == "STARTTLS"
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


# --- Logins -----------------------------------------------------------------------------


def _logins(
    endpoint: Endpoint, methods: tuple[Method, ...], server: MailServer, code: str
) -> Iterator[Finding]:
    subject = str(endpoint)
    switch_on = texts.table("shared")[f"switch_on_{endpoint.type}"]
    if code:
        yield finding(code, subject, switch_on=switch_on)
        return
    offered = ", ".join(sorted(server.mechanisms))
    possible = (one for one, names in MECHANISMS.items() if names & server.mechanisms)
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
            switch_on=switch_on,
        )
    if not missing:
        at = f" ({server.address})" if server.address else ""
        yield finding("server.good", subject, offered=offered, at=at)


def _without_login(
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
