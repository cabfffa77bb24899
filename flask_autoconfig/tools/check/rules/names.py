"""DNS: the host names that clients ask, MX records and SRV records."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain

from ....address import is_ip
from ....documents.setups import Account
from ... import zone
from ...clients import OUTLOOK
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ...net.untrusted import unquoted
from ..context import Context
from ..facts import Facts, gather, run_concurrently
from ..findings import FAILURE, Case, Finding, finding, has_failure
from . import connections, documents, servers, sources, web

_MOST = 4  # records of a name that are looked at
Target = tuple[str, int]  # host and port
# The data of an SRV record, or a host, with or without a port.
_DATA = re.compile(r"(\d+\s+){0,3}[\w-]+(\.[\w-]+)+\.?(:\d+)?")
_UNENCRYPTED = {25, 80, 5232, 8008}  # of services that have the name rightly


# --- Hosts ----------------------------------------------------------------------------


def hosts(context: Context) -> list[Finding]:
    case, facts = context.case, context.facts
    names = {
        f"{family.label}.{case.domain}": family.askers
        for family in case.families
        if family.label
        and (not case.provider or family.writes_document(case.provider, case.domain))
    }

    def look(name: str) -> Iterator[Finding]:
        """Report whether a host exists; clients report a dead alias or a loop."""
        try:
            addresses = facts.addresses(name)
            is_meant = case.provider is None
            yield from connections.private_addresses(
                facts, "dns", name, name, 443, is_meant
            )
            if addresses:
                yield finding("dns.address", name, addresses=", ".join(addresses[:8]))
            elif not facts.alias(name) and (advice := web.renaming_advice(facts, name)):
                code, askers = "dns.misnamed", names[name]
                yield _weighed(
                    context, finding(code, name, advice=advice, askers=askers)
                )
        except LookupFailed as error:
            if not web.leads_nowhere(facts, name):
                yield web.failed(name, error)

    return gather(look, names)


def only_ipv6(context: Context) -> Iterator[Finding]:
    """Report hosts without IPv4."""
    case, facts = context.case, context.facts
    hosts = {endpoint.host for endpoint in servers.endpoints(case, context.provider)}
    run_concurrently(partial(facts.exists, host) for host in hosts)
    for host in sorted({*hosts, *case.hosts}):
        is_name = facts.exists(host) and not is_ip(host)
        if is_name and all(":" in address for address in facts.addresses(host)):
            yield finding("dns.only-ipv6", host)


# --- MX -------------------------------------------------------------------------------


def mx(context: Context) -> list[Finding]:
    case, facts = context.case, context.facts
    subject = f"{case.domain} MX"
    try:
        hosts = facts.mx(case.domain)
        if not hosts and (target := facts.alias(case.domain)):
            return [finding("mx.hidden", subject, target=target)]
        if not hosts:  # by a null MX record (RFC 7505), or none
            is_null = facts.network.resolver.records(case.domain, "MX")
            absent = finding("mx.null" if is_null else "mx.missing", subject)
            return [absent if is_null else _weighed(context, absent)]
    except LookupFailed as error:
        return [web.failed(subject, error, "mx.lookup-failed")]

    first, listed = hosts[:_MOST], ", ".join(hosts[:_MOST])
    by_host = [list(_mx_host(facts, subject, host)) for host in first]
    findings = list(chain.from_iterable(by_host))
    failing = [found for found in findings if found.status == FAILURE]
    if not all(map(has_failure, by_host)):
        spare = [found.marked("beside").within("spare-mx") for found in failing]
        findings = [found for found in findings if found not in failing] + spare
    domains = case.provider.mx_domains if case.provider else ()
    if domains and not documents.has_mx_in(context, domains):
        findings.append(finding("mx.unlisted", subject, hosts=listed))
    findings += sources.other_hosters(context)
    return findings or [finding("mx.found", subject, hosts=listed)]


def _mx_host(facts: Facts, subject: str, host: str) -> Iterator[Finding]:
    if is_ip(host):
        yield finding("mx.is-address", subject, host=host)
        return
    if problem := web.unresolved("mx", facts, host, "mx.host-lookup-failed"):
        yield problem.at(f"{subject} {host}")
        return
    for target in web.alias_chain(facts, host)[1:2]:
        yield finding("mx.is-alias", subject, host=host, target=target)
    if not facts.exists(host):
        advice = web.target_advice(host, subject.removesuffix(" MX"), facts)
        advice = advice or web.renaming_advice(facts, host)
        yield finding("mx.no-address", subject, advice=advice, host=host)


# --- SRV ------------------------------------------------------------------------------


def services(context: Context) -> list[Finding]:
    """Report whether the SRV records are those of the file, or lead to live servers."""
    provider, domain = context.case.provider, context.case.domain
    paths: dict[str, str] = {}  # the texts of TXT records
    usual = () if provider else zone.MAIL_SERVICES
    targets: dict[str, list[Target]] = {name: [] for name, *_ in usual}
    for record in zone.service_records(provider, domain) if provider else ():
        wanted = targets.setdefault(record.name, [])
        if record.type == "TXT":
            paths[record.name] = record.data.strip('"')
            continue
        _, _, port, host = record.data.split()
        if host != ".":
            wanted.append((host.removesuffix("."), int(port)))

    web_services = [family.srv for family in context.case.families if family.srv]
    web_services += [] if provider else [name for name, _ in zone.URL_SERVICES]

    def look(name: str) -> Iterator[Finding]:
        if name in targets:
            return _service(context, name, targets[name], paths.get(name, ""))
        return _web_service(context, name)

    return gather(look, [*targets, *web_services])


def _service(
    context: Context, name: str, wanted: list[Target], path: str
) -> Iterator[Finding]:
    """Report how the records of a service differ from the file, or lead clients astray."""
    case, facts = context.case, context.facts
    full_name = f"{name}.{case.domain}"
    subject = f"{full_name} SRV"
    try:
        targets = facts.srv(full_name)
        paths = facts.txt(full_name) if path else []
    except LookupFailed as error:
        yield web.failed(subject, error)
        return
    offered = [target for target in targets if target[0]]
    if fault := next(_faults(facts, subject, offered), None):
        yield fault
    elif not targets:
        yield from _no_records(context, name, wanted)
    elif found := _astray(context, name, wanted, offered):
        yield found
    elif paths and path not in map(unquoted, paths):  # dav.py reports quotation marks
        record = f"TXT {paths[0]}"
        yield finding("srv.differs", subject, found=record, wanted=path, dots="", by="")
    else:
        listed = _listed(offered) if offered else "not offered, as expected"
        yield finding("srv.found", subject, targets=listed)
        for host, _ in offered[:_MOST]:  # RFC 2782 forbids aliases
            for target in web.alias_chain(facts, host)[1:2]:
                yield finding("srv.is-alias", subject, host=host, target=target)


def _astray(
    context: Context, name: str, wanted: list[Target], offered: list[Target]
) -> Finding | None:
    """Return the finding if records lead to other servers or to dead ones, else None."""
    case, facts = context.case, context.facts
    rows = [row for row in zone.MAIL_SERVICES if row[0] == name]

    def endpoints_of(targets: list[Target]) -> list[Endpoint]:
        return [Endpoint(row[1], *target, row[2]) for row in rows for target in targets]

    if case.provider and {*offered} == {*wanted}:
        return None
    # A spare server may sleep, but not one of those that clients try first.
    preferred = _preferred(facts, f"{name}.{case.domain}", offered)
    # The rule of servers reports what is wrong with those that other sources publish.
    others = (source for source in context.sources if source.place != sources.SRV)
    known = {Endpoint.of(account) for other in others for account in other.accounts}
    subject, tried = f"{name}.{case.domain} SRV", endpoints_of(preferred)
    failing = None
    for server in (server for server in tried if server not in known):
        if failing := _failing(facts, subject, server):
            break
    is_file_dead = any(map(partial(servers.is_dead, facts), endpoints_of(wanted)))
    if failing and (failing.code == "srv.other-service" or is_file_dead or not wanted):
        for play in context.plays:
            # Of records with one priority, clients of SRV records may take each.
            is_srv = play.outcome is not None and play.outcome.place == "srv"
            led = tried if is_srv else [server]
            is_misled = not {*led}.isdisjoint(map(Endpoint.of, play.mail))
            failing = failing.hurting(*[play.client.name] if is_misled else ())
        return failing
    if case.provider is None:
        return _contradicted(context, *rows[0])
    code = "srv.file-outdated" if is_file_dead else "srv.differs"
    differs = _difference(code, subject, _listed(offered), _listed(wanted))
    extra = [target for target in offered if target not in wanted]
    if wanted and {*wanted} < {*offered}:
        advice = f"remove the records that name {_listed(extra)}"
        differs = differs._replace(advice=advice)
    # The file's servers beside others or spare ones, or their other names and ports.
    is_same = {*wanted} <= {*preferred} and not failing
    is_same = is_same or _are_of_file(case, facts, endpoints_of(offered))
    return differs.marked("same server" if is_same and not is_file_dead else "")


def _web_service(context: Context, name: str) -> Iterator[Finding]:
    """Report misplaced or faulty records of a service that clients reach by https."""
    full_name = f"{name}.{context.case.domain}"
    with suppress(LookupFailed):
        targets = context.facts.srv(full_name)
        if not targets:
            yield from _no_records(context, name, [])
        set_up = {play.client.name for play in context.plays if play.setup}
        client = OUTLOOK.name if name == "_autodiscover._tcp" else "Calendars"
        for fault in _faults(context.facts, f"{full_name} SRV", targets):
            yield fault.marked("" if client in set_up else "only way").hurting(client)


def _weighed(context: Context, found: Finding) -> Finding:
    """Return the finding, as a failure if no client finds the settings of a server."""
    is_found = any(play.mail for play in context.plays)
    return found.marked("" if is_found else "only way")


def _preferred(facts: Facts, name: str, offered: list[Target]) -> list[Target]:
    ranks = [record.priority for record in facts.network.resolver.records(name, "SRV")]
    return offered[: ranks.count(min(ranks, default=0))]


def _no_records(context: Context, name: str, wanted: list[Target]) -> Iterator[Finding]:
    """Report where the records of a service are instead, or that there are none."""
    domain, right = context.case.domain, f"{name}.{context.case.domain}"
    types = {row[0]: row[1] for row in zone.MAIL_SERVICES}
    served = {key for key in types if context.facts.targets(f"{key}.{domain}")}
    is_served = types.get(name) in {types[key] for key in served}  # imap, pop3 or smtp
    if other := _of_other_type(context.facts, right, domain):
        type_, data = other
        code, place = "srv.other-type", f"{right} {type_}"
        yield _weighed(context, finding(code, place, type=type_, data=data))
    elif not is_served and (misnamed := _misnamed(context, name, wanted)):
        code = "srv.udp" if "._udp." in misnamed else "srv.misnamed"
        place = f"{misnamed} SRV"
        yield _weighed(context, finding(code, place, right=right))
    elif context.case.provider and wanted:
        yield finding("srv.missing", f"{name}.{domain} SRV", wanted=_listed(wanted))


def _of_other_type(facts: Facts, name: str, domain: str) -> tuple[str, str] | None:
    """Return the type and data of a record that should be an SRV record, or None."""
    records = facts.network.resolver.records
    with suppress(LookupFailed):
        for type_ in ("CNAME", "TXT", "A"):
            by_chance = records(f"no-such-name-e3b0c442.{domain}", type_)
            for data in records(name, type_) if not by_chance else ():
                text = str(data).replace('"', "")
                if type_ != "TXT" or _DATA.fullmatch(text):
                    return type_, text
    return None


def _are_of_file(case: Case, facts: Facts, offered: list[Endpoint]) -> bool:
    """Return whether the offered servers are other ports or names of the file's."""
    hosts = {endpoint.host for endpoint in servers.endpoints(case, case.provider)}
    return bool(offered) and all(
        any(web.is_same_host(facts, endpoint.host, host) for host in hosts)
        and servers.is_alive(facts, endpoint)
        for endpoint in offered
    )


def _faults(facts: Facts, subject: str, offered: list[Target]) -> Iterator[Finding]:
    name, usual = subject.removesuffix(" SRV"), {143, 110, 443, 465, 587, 993, 995}
    for host, port in offered:
        if is_ip(host):
            yield finding("srv.is-address", subject, host=host)
        if port == 25 and name.startswith("_submission"):
            yield finding("srv.port-25", subject, host=host)
        if port == 80 and name.startswith("_autodiscover"):
            yield finding("srv.port-80", subject, host=host)
    for record in facts.network.resolver.records(name, "SRV"):
        ports = usual & {record.priority, record.weight}
        if ports and record.port not in usual:
            port, host = min(ports), record.target
            yield finding("srv.order", subject, record=record, usual=port, host=host)


def _misnamed(context: Context, name: str, wanted: list[Target]) -> str:
    """Return the name that has the records of a service by mistake, or "".

    Such a name lacks `._tcp`, has that or the domain twice (from a web form), is below
    the name of a host, or is misspelt.
    """
    domain, facts = context.case.domain, context.facts
    names = [name.partition(".")[0], f"{name}.{domain}", name.replace("_tcp", "_udp")]
    names.append(f"{name}._tcp")
    near = [host for host, _ in wanted] + facts.mx_hosts(domain)
    hosts = [host.removesuffix(f".{domain}") for host in near if context.case.has(host)]
    names += [*zone.below(name, hosts[:_MOST]), *zone.slips(name)]
    full_names = [f"{name}.{domain}" for name in names]
    # A wildcard record answers for any name.
    if facts.targets(f"_no-such-name.{domain}"):
        return ""
    targets = run_concurrently(partial(facts.targets, name) for name in full_names)
    for full_name, offered in zip(full_names, targets, strict=True):
        if {port for _, port in offered} - _UNENCRYPTED:
            return full_name
    return ""


def _failing(facts: Facts, subject: str, server: Endpoint) -> Finding | None:
    """Return the finding if nobody can use the server of a record, else None."""
    findings = servers.findings_of(facts, server)
    failure = next((found for found in findings if found.status == FAILURE), None)
    if failure is None or not servers.is_dead(facts, server):
        return None
    service, encryption = subject.removesuffix(" SRV"), dict(failure.values)
    names = {(type_, way): name for name, type_, way in zone.MAIL_SERVICES}
    other = names.get((server.type, encryption.get("socket_type", "")), "")
    is_other = failure.code in ("server.wrong-encryption", "server.tls-later") and other
    dots = web.target_advice(server.host, service.split(".", 2)[2], facts)
    return finding(
        "srv.other-service" if is_other else "srv.dead",
        subject,
        target=f"{server.host}:{server.port}",
        way="STARTTLS" if server.socket_type == "STARTTLS" else "implicit TLS",
        dots=f"; {dots}" if dots else "",
        reason=failure.seen,
        service=service,
        other=other,
    )


def _contradicted(
    context: Context, name: str, type_: str, socket_type: str
) -> Finding | None:
    """Return the finding if the best other source contradicts a record, else None."""
    full_name = f"{name}.{context.case.domain}"
    subject, targets = f"{full_name} SRV", context.facts.srv(full_name)
    others = (source for source in context.sources if source.place != sources.SRV)
    reference = next(others, None)
    if reference is None or reference.is_foreign:
        return None
    accounts = [account for account in reference.accounts if account.type == type_]
    alive = [row for row in accounts if not sources.is_faulty(context, row)]
    by = sources.attribution(reference)
    wanted = _listed([(account.hostname, account.port) for account in alive])
    if not targets[0][0]:  # the service is not offered
        records = (source for source in context.sources if source.place == sources.SRV)
        offered = {account.type for source in records for account in source.accounts}
        # Somebody may want POP3 beside IMAP; the encryption is the server's choice.
        if type_ in offered or socket_type not in {row.socket_type for row in alive}:
            return None
        mark = "elsewhere" if type_ == "pop3" and "imap" in offered else ""
        return finding("srv.denied", subject, by=by, wanted=wanted).marked(mark)
    for target in _preferred(context.facts, full_name, targets):
        account = Account(type_, *target, socket_type)
        if any(sources.is_one_server(context, account, other) for other in alive):
            return None
    if not alive:
        return None
    is_decided = reference is context.reference and reference.is_decided
    code = "srv.contradicts" if is_decided else "srv.undecided"
    return _difference(code, subject, _listed(targets[:1]), wanted, by)


def _listed(targets: list[Target]) -> str:
    listed = ", ".join(f"{host}:{port}" for host, port in targets[:_MOST])
    return listed or "“not offered”"


def _difference(
    code: str, subject: str, found: str, wanted: str, by: str = ""
) -> Finding:
    domain = subject.removesuffix(" SRV").split(".", 2)[2]
    hosts = (part.partition(":")[0] for part in found.split(", "))
    advice = filter(None, (web.target_advice(host, domain) for host in hosts))
    dots = "".join(f"; {sentence}" for sentence in advice)
    return finding(code, subject, found=found, wanted=wanted, dots=dots, by=by)
