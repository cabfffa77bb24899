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
from ...net.tls import Certificate
from ...net.untrusted import is_public, kind_of, split_url
from .. import texts
from ..context import Context
from ..facts import Facts, Request, gather
from ..findings import Finding, finding

Methods = tuple[Method, ...]  # for a login at a server, as published
_MAX_DAYS = 825  # of a certificate's lifetime, for Apple's programs
_FEW_DAYS = 14  # before the expiry date; a third of what a short-lived one has
# Methods that need a Windows domain or a certificate.
_INSIDE = ("GSSAPI", "NTLM", "TLS-client-cert")


def of_certificate(
    step: str, subject: str, certificate: Certificate, host: str, advice: str = ""
) -> Finding:
    """Return the finding about a certificate; *advice* replaces its cure.

    The texts for web servers do not name the host, so that equal causes can be merged.
    """
    problem, days = certificate.problem, certificate.days_left
    few = min(_FEW_DAYS, -(-certificate.lifetime // 3) or _FEW_DAYS)
    if not problem and days is not None and days < few:
        words = {0: "less than a day", 1: "1 day"}.get(days, f"{days} days")
        return finding("tls.ends-soon", subject, step=step, days=words)
    if not problem:
        at = f" ({certificate.address}, {certificate.version})"
        return finding("tls.good", subject, step=step, days=days, at=at)

    cure = advice or certificate.cure
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
    """Report reasons for which some clients fail in spite of a good certificate."""
    step = "server" if endpoint.type in MAIL_TYPES else "https"
    report = partial(finding, subject=subject, step=step)
    if (days := certificate.lifetime) > _MAX_DAYS:
        yield report("tls.too-long", days=days).hurting("iPhone")
    if cipher := certificate.old_cipher:
        yield report("tls.old-ciphers", cipher=cipher).hurting("Delta Chat")
    is_newest = certificate.version == "TLSv1.3"
    if is_newest and (refusal := facts.refusal_of_tls12(endpoint)):
        yield report("tls.new-only" if refusal == "version" else "tls.new-ciphers")


def web_servers(context: Context) -> list[Finding]:
    """Report good certificates, and failures at single addresses.

    Bad certificates are findings of the clients that are stopped by them.
    """
    facts, by_host = context.facts, dict[str, tuple[Request, Certificate | None]]()
    for request in context.requests:
        host = split_url(request.url).hostname or ""
        with suppress(ProbeError):
            certificate = facts.response(request).certificate
            if host not in by_host or not by_host[host][1]:
                by_host[host] = request, certificate  # https counts before http

    findings = (found for play in context.plays for found in play.findings)
    at_one = (found for found in findings if "at-address" in dict(found.around))
    explained = {split_url(found.subject).hostname for found in at_one}

    def check(host: str) -> Iterator[Finding]:
        request, certificate = by_host[host]
        subject, endpoint = f"{host}:443", Endpoint("https", host, 443, "SSL")
        if certificate is None:
            endpoint = Endpoint("http", host, 80, "plain")
        for found in failures_at_addresses(facts, endpoint, request):
            yield found.marked("explained" if host in explained else "")
        if certificate is not None and not certificate.problem:
            yield of_certificate("https", subject, certificate, host)
            yield from of_older_clients(facts, subject, endpoint, certificate)

    return gather(check, by_host)


def failures_at_addresses(
    facts: Facts, endpoint: Endpoint, request: Request | None = None
) -> Iterator[Finding]:
    """Report failures at some addresses of a host, where others work.

    *request* is a request to a web server, to be sent to each of the addresses.
    """
    try:
        results = facts.at_addresses(request or endpoint)
    except ProbeError:
        return  # another rule reports hosts that cannot be reached at all
    certificates = [
        result.certificate
        for result in results.values()
        if not isinstance(result, ProbeError)
    ]
    # For web servers the texts do not name the host, so that equal causes can be merged.
    step, subject, whose = "https", f"{endpoint.host}:{endpoint.port}", "it has"
    if endpoint.type in MAIL_TYPES:
        step, subject, whose = "server", str(endpoint), f"{endpoint.host} has"
    count = len(results)
    are_bad = all(certificate and certificate.problem for certificate in certificates)
    for address, result in results.items() if certificates else ():
        certificate = result.certificate
        if isinstance(result, ProbeError):
            # Another finding names an address of no host.
            if kind_of(address, "nowhere") or result.kind == "late":
                continue
            reason = str(result)
            yield finding(
                texts.code_on("address", result.kind, "address.dead"),
                subject,
                step=step,
                whose=whose,
                count=count,
                reason=reason if address in reason else f"{address}: {reason}",
                kind="AAAA" if ":" in address else "A",
            )
        elif certificate and certificate.problem and not are_bad:
            bad = of_certificate(step, subject, certificate, endpoint.host)
            bad = bad.within("address", whose=whose, count=count, address=address)
            yield bad.marked("undecided")  # clients may take another address


def private_addresses(
    facts: Facts, prefix: str, subject: str, host: str, port: int, allow: bool = False
) -> Iterator[Finding]:
    """Report addresses of a host that are not on the internet, unless *allow*."""
    network, every = facts.network, facts.addresses(host) if facts.exists(host) else []
    allow |= network.allow_private or (host, port) in network.connect_to
    natures = {address: kind_of(address, "nowhere", "inside") for address in every}
    addresses = [address for address in every if not is_public(address)]
    bad = [address for address in addresses if kind_of(address, "nowhere")]
    is_nowhere = bool(bad)
    is_mixed = len(set(map(bool, natures.values()))) > 1
    if is_mixed and not bad:
        bad = [address for address in addresses if natures[address]]
    if not addresses or (allow and not is_nowhere):
        return
    first, *_ = shown = bad or addresses
    found = finding(
        f"{prefix}.address-{'nowhere' if is_nowhere else 'private'}",
        subject,
        advice=not_public(first) if bad else "",
        host=host,
        addresses=", ".join(shown[:4]),
        nature=f": {natures[first]}" if natures[first] else "",
    )
    # If all are private, the own network's name server may have others for the internet.
    yield found.marked("" if is_mixed or is_nowhere else "inside")


def of_logins(
    endpoint: Endpoint, methods: Methods, server: MailServer, code: str
) -> Iterator[Finding]:
    """Report published methods that the server lacks; *code* is for one without a login."""
    subject = str(endpoint)
    if code:
        yield finding(code, subject)
        return
    offered = ", ".join(sorted(server.mechanisms))
    possible = [name for name, sasl in MECHANISMS.items() if sasl & server.mechanisms]
    better = next((method for method in possible if method not in _INSIDE), None)
    code = "server.method-unusual" if better else "server.method-unknown"
    if better == "password-cleartext":  # which all clients support
        code = "server.method-not-offered"
    missing = [method for method in methods if not _is_offered(method, server)]
    for method in missing:
        name = method if isinstance(method, str) else method.name
        found = finding(code, subject, method=name, offered=offered, better=better)
        yield found.marked("one of several" if len(missing) < len(methods) else "")
    if not missing:
        at = f" ({server.address})" if server.address else ""
        yield finding("server.good", subject, offered=offered, at=at)


def without_login(endpoint: Endpoint, methods: Methods, server: MailServer) -> str:
    """Return the code for a server on which nobody can log in, or ""."""
    lacks_mechanisms = server.mechanisms <= {"LOGIN"}
    if endpoint.socket_type == "plain" and server.starttls and lacks_mechanisms:
        return "server.starttls-first"
    if endpoint.socket_type == "SSL" and server.starttls and lacks_mechanisms:
        return "server.starttls-inside"
    if server.login_disabled and lacks_mechanisms:
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
    """Report an account with a method that the server does not offer, or without any."""
    method, code, cure = account.authentication, "", ""
    wanted = MECHANISMS.get(method)  # type: ignore[call-overload]
    endpoint = Endpoint.of(account)
    server = facts.mail_server(endpoint)
    offered = server.mechanisms if isinstance(server, MailServer) else frozenset()
    if wanted and offered and not wanted & offered:
        usual = offered & MECHANISMS["password-cleartext"]
        code = "autodiscover.spa-not-offered" if usual else "autodiscover.no-method"
        code = "profile.method-not-offered" if client.family == "apple" else code
    # A relay at port 25 may know people by their network.
    if method == "none" and offered and account.port != 25:
        code, cure = "autodiscover.no-auth", texts.table("log_in")[client.family]
    if code:
        values = {"method": method, "offered": ", ".join(sorted(offered))}
        values["client"] = client.name
        found = finding(code, str(endpoint), advice=cure, **values)
        yield found.hurting(client.name)
