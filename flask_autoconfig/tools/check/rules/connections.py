"""Connections: certificates, what fails at single addresses of a host, and logins."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from ....config.ports import MAIL_TYPES
from ....config.tables import AuthenticationMethod, Method
from ....documents.setups import Account
from ...clients import Client
from ...net.mail import MECHANISMS, Endpoint, MailServer
from ...net.tcp import ProbeError, not_public
from ...net.tls import NO_CIPHER, REFUSED_VERSION, STAPLE, TOO_LONG, Certificate
from ...net.untrusted import is_public, kind_of, split_url
from .. import texts
from ..context import Context
from ..facts import Facts, Request, each_of
from ..findings import Finding, finding

Methods = tuple[Method, ...]  # for a login at a server, as published
_MOST_DAYS = 825  # that Apple's programs let a certificate be valid for
_FEW_DAYS = 14  # before the expiry date; a third of what a short-lived one has
# Methods that need a Windows domain or a certificate.
_INSIDE = ("GSSAPI", "NTLM", "TLS-client-cert")


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str, advice: str = ""
) -> Finding:
    """Return whether clients accept a certificate, and for how long.

    *advice* replaces its cure.
    The texts for web servers do not name the host, so that equal causes can be merged.
    """
    problem, days = certificate.problem, certificate.days_left
    cure = advice or certificate.cure
    few = min(_FEW_DAYS, -(-certificate.lifetime // 3) or _FEW_DAYS)
    if not problem and days is not None and days < few:
        words = {0: "less than a day", 1: "1 day"}.get(days, f"{days} days")
        return finding("tls.ends-soon", subject, step=step, days=words)
    if not problem:
        at = f" ({certificate.address}, {certificate.version})"
        return finding("tls.good", subject, step=step, days=days, at=at)

    if step == "https":
        problem = problem.replace(f"not for {host}", "not for the requested name")
        cure = cure.replace(f"the name {host}", "these names")
        cure = cure.replace(f"for {host} ", "for each of these names ")
    if certificate.address:
        problem += f" ({certificate.address})"
    code = texts.code_on("tls", certificate.kind, "tls.bad")
    return finding(code, subject, step=step, advice=cure, problem=problem, host=host)


def of_older_clients(
    facts: Facts, subject: str, endpoint: Endpoint, certificate: Certificate
) -> Iterator[Finding]:
    """Yield what a good certificate does not help against: clients that still fail."""
    step = "server" if endpoint.type in MAIL_TYPES else "https"
    told = partial(finding, subject=subject, step=step)
    if (days := certificate.lifetime) > _MOST_DAYS:
        yield told("tls.too-long", days=days).hurting("iPhone")
    if cipher := certificate.old_cipher:
        yield told("tls.old-ciphers", cipher=cipher).hurting("Delta Chat")
    messages = facts.first_messages(endpoint, staple=certificate.wants_staple)
    is_refused = bool(messages) and messages <= {REFUSED_VERSION, NO_CIPHER}
    if certificate.version == "TLSv1.3" and is_refused:
        yield told("tls.new-only" if REFUSED_VERSION in messages else "tls.new-ciphers")
    mark = "first place" if step == "https" else ""  # Thunderbird goes on to http
    if certificate.wants_staple and messages and STAPLE not in messages:
        yield told("tls.no-staple").marked(mark).hurting("Thunderbird")
    if TOO_LONG in messages:
        yield told("tls.long-hello").marked(mark).hurting("Thunderbird")


def web_servers(context: Context) -> list[Finding]:
    """Return how long certificates are valid, and what fails at single addresses.

    Bad certificates are findings of the clients that meet them.
    """
    facts, answered = context.facts, dict[str, tuple[Request, Certificate | None]]()
    for request in context.requests:
        host = split_url(request.url).hostname or ""
        with suppress(ProbeError):
            certificate = facts.response(request).certificate
            if host not in answered or not answered[host][1]:
                answered[host] = request, certificate  # https counts before http

    met = [found for play in context.plays for found in play.findings]
    met = [found for found in met if "at-address" in dict(found.around)]
    told = {split_url(found.subject).hostname for found in met}

    def look(host: str) -> Iterator[Finding]:
        request, certificate = answered[host]
        subject, endpoint = f"{host}:443", Endpoint("https", host, 443, "SSL")
        by_http = Endpoint("http", host, 80, "plain")
        for found in at_addresses(facts, endpoint if certificate else by_http, request):
            yield found.marked("explained" if host in told else "")
        if certificate is not None and not certificate.problem:
            yield of_certificate("https", subject, certificate, host)
            yield from of_older_clients(facts, subject, endpoint, certificate)

    return each_of(look, answered)


def at_addresses(
    facts: Facts, endpoint: Endpoint, request: Request | None = None
) -> Iterator[Finding]:
    """Yield what fails at some of the addresses of the endpoint's host only.

    *request* is a request to a web server, which each of the addresses gets.
    """
    try:
        results = facts.at_addresses(request or endpoint)
    except ProbeError:
        return  # another rule reports hosts that cannot be reached at all
    tried = (it for it in results.values() if not isinstance(it, ProbeError))
    good = [it.certificate for it in tried]
    # For web servers the texts do not name the host, so that equal causes can be merged.
    step, subject, whose = "https", f"{endpoint.host}:{endpoint.port}", "it has"
    if endpoint.type in MAIL_TYPES:
        step, subject, whose = "server", str(endpoint), f"{endpoint.host} has"
    count = len(results)
    are_bad = all(certificate and certificate.problem for certificate in good)
    for address, found in results.items() if good else ():
        certificate = found.certificate
        if isinstance(found, ProbeError):
            # Another finding names an address of no host.
            if kind_of(address, "nowhere") or found.kind == "late":
                continue
            reason = str(found)
            yield finding(
                texts.code_on("address", found.kind, "address.dead"),
                subject,
                step=step,
                whose=whose,
                count=count,
                reason=reason if address in reason else f"{address}: {reason}",
                kind="AAAA" if ":" in address else "A",
            )
        elif certificate and certificate.problem and not are_bad:
            bad = of_certificate(step, subject, certificate, endpoint.host)
            yield bad.within("address", whose=whose, count=count, address=address)


def inside(
    facts: Facts, prefix: str, at: str, host: str, port: int, is_meant: bool = False
) -> Iterator[Finding]:
    """Yield that addresses of a host are not on the internet, unless that is meant."""
    network, every = facts.network, facts.addresses(host) if facts.exists(host) else []
    is_meant |= network.allow_private or (host, port) in network.connect_to
    addresses = [one for one in every if not is_public(one)]
    natures = {one: kind_of(one, "nowhere", "inside") for one in every}
    wrong = [one for one in addresses if kind_of(one, "nowhere")]
    is_mixed = len(set(map(bool, natures.values()))) > 1
    if is_mixed and not wrong:
        wrong = [one for one in addresses if natures[one]]
    for first in (wrong or addresses)[:1]:
        is_nowhere = bool(kind_of(first, "nowhere"))
        if is_meant and not is_nowhere:
            continue
        found = finding(
            f"{prefix}.address-{'nowhere' if is_nowhere else 'private'}",
            at,
            advice=not_public(first) if wrong else "",
            host=host,
            addresses=", ".join((wrong or addresses)[:4]),
            nature=f": {natures[first]}" if natures[first] else "",
        )
        # Alike, they may be what the own network's name server returns to this machine.
        yield found.marked("" if is_mixed or is_nowhere else "inside")


# --- Logins -----------------------------------------------------------------------------


def of_logins(
    endpoint: Endpoint, methods: Methods, server: MailServer, code: str
) -> Iterator[Finding]:
    subject = str(endpoint)
    if code:
        yield finding(code, subject)
        return
    offered = ", ".join(sorted(server.mechanisms))
    possible = (it for it, names in MECHANISMS.items() if names & server.mechanisms)
    better = next((one for one in possible if one not in _INSIDE), None)
    is_usual = better == "password-cleartext"  # all clients support it
    code = "server.method-not-offered" if is_usual else "server.method-unusual"
    missing = [method for method in methods if not _is_offered(method, server)]
    for method in missing:
        name = method if isinstance(method, str) else method.name
        wrong = code if better else "server.method-unknown"
        found = finding(wrong, subject, method=name, offered=offered, better=better)
        yield found.marked("one of several" if len(missing) < len(methods) else "")
    # Thunderbird's SmtpClient reads no other form; servers may announce both.
    said = [line[4:].upper() for line in server.heard if line.startswith("250")]
    starts = {line[:5] for line in said if line.startswith("AUTH")}
    if endpoint.type == "smtp" and starts == {"AUTH="}:
        yield finding("server.auth-old-form", subject).hurting("Thunderbird")
    if not missing:
        at = f" ({server.address})" if server.address else ""
        yield finding("server.good", subject, offered=offered, at=at)


def without_login(endpoint: Endpoint, methods: Methods, server: MailServer) -> str:
    """Return the code for a server on which nobody can log in, or ""."""
    is_shut = server.mechanisms <= {"LOGIN"}
    if endpoint.socket_type == "plain" and server.starttls and is_shut:
        return "server.starttls-first"
    if endpoint.socket_type == "SSL" and server.starttls and is_shut:
        return "server.starttls-inside"
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
    method, code, cure = account.authentication, "", ""
    wanted = MECHANISMS.get(method)  # type: ignore[call-overload]
    endpoint = Endpoint.of(account)
    server = facts.tried(endpoint)
    offered = server.mechanisms if isinstance(server, MailServer) else frozenset()
    if wanted and offered and not wanted & offered:
        usual = offered & MECHANISMS["password-cleartext"]
        code = "autodiscover.spa-not-offered" if usual else "autodiscover.no-method"
        code = "profile.method-not-offered" if client.family == "apple" else code
    # A relay at port 25 may know people by their network.
    if method == "none" and offered and account.port != 25:
        code, cure = "autodiscover.no-auth", texts.table("log_in")[client.family]
    if code:
        said = {"method": method, "client": client.name}
        said["offered"] = ", ".join(sorted(offered))
        found = finding(code, str(endpoint), advice=cure, **said)
        yield found.hurting(client.name)
