"""DNS: the host names that clients ask, MX records and SRV records."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from ....address import is_ip
from ....config.ports import MAIL_TYPES
from ....documents.setups import Account
from ... import zone
from ...clients import OUTLOOK
from ...naming import base_domain
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ...net.untrusted import unquoted
from .. import texts
from ..context import Context
from ..facts import Facts, each_of, side_by_side
from ..findings import FAILURE, Case, Finding, finding
from . import connections, servers, sources, web

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
        and (not case.provider or family.writes(case.provider, case.domain))
    }

    def look(name: str) -> Iterator[Finding]:
        """Yield whether a host exists; clients report a dead alias or a loop."""
        try:
            addresses = facts.addresses(name)
            is_meant = case.provider is None
            yield from connections.inside(facts, "dns", name, name, 443, is_meant)
            if addresses:
                yield finding("dns.address", name, addresses=", ".join(addresses[:8]))
            elif not facts.alias(name):
                advice = web.renamed(facts, name)
                code, said = f"dns.{'misnamed' if advice else 'no-name'}", names[name]
                none = finding(code, name, advice=advice, askers=said, name=name)
                yield _weighed(context, none) if advice else none
        except LookupFailed as error:
            if not web.leads_nowhere(facts, name):
                yield web.failed(name, error)

    return each_of(look, names)


def half_answered(context: Context) -> Iterator[Finding]:
    """Yield hosts with answers for one type of address only, or without IPv4."""
    case, facts = context.case, context.facts
    hosts = {endpoint.host for endpoint in servers.endpoints(case, context.provider)}
    side_by_side(partial(facts.exists, host) for host in hosts)
    unanswered = facts.network.resolver.unanswered
    for host in sorted({*hosts, *case.hosts}):
        is_whole = facts.exists(host) and host not in unanswered and not is_ip(host)
        if is_whole and all(":" in address for address in facts.addresses(host)):
            yield finding("dns.only-ipv6", host)
    for host, kind in sorted(unanswered.items()):
        if host in hosts or case.has(host):
            other = "A" if kind == "AAAA" else "AAAA"
            yield finding("dns.half-answered", host, kind=kind, other=other)


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
            none = finding("mx.null" if is_null else "mx.missing", subject)
            return [none if is_null else _weighed(context, none)]
    except LookupFailed as error:
        return [web.failed(subject, error, "mx.lookup-failed")]

    first, listed = hosts[:_MOST], ", ".join(hosts[:_MOST])
    findings = [found for host in first for found in _mx_host(facts, subject, host)]
    names = case.provider.mx_domains if case.provider else ()
    ends = tuple(f".{name}" for name in names)
    if names and not any(f".{host}".endswith(ends) for host in hosts):
        findings.append(finding("mx.unlisted", subject, hosts=listed))
    findings += _at_another_hoster(context, subject, hosts)
    return findings or [finding("mx.found", subject, hosts=listed)]


def _at_another_hoster(
    context: Context, subject: str, hosts: list[str]
) -> Iterator[Finding]:
    """Yield that mail arrives at a provider where nobody reads it."""
    case, facts = context.case, context.facts
    by_others = context.measure.accounts if context.measure else ()
    incoming = context.provider.incoming if context.provider else by_others
    every = [it.hostname for it in incoming if it.type != "smtp"]
    named = (host for host in every if host and "%" not in host)
    listed = [host for host in named if facts.exists(host)]
    labels = ("imap", "mail")  # of the servers that clients guess
    usual = [Endpoint("imap", f"{it}.{case.domain}", 993, "SSL") for it in labels]
    read = listed or [it.host for it in usual if servers.is_alive(facts, it)][:1]
    if not read:
        return
    names = [name for host in read for name in web.names_of(facts, host)]
    at, end = read[0], web.names_of(facts, read[0])[-1]
    at += "" if end in read or case.has(end) else f" (an alias of {end})"
    owners, arrives = texts.hosters("read", names), texts.hosters("mx", hosts)
    asked = next((f"{it.label}.{case.domain}" for it in case.families if it.srv), "")
    led = web.names_of(facts, asked)[1:] if asked and listed else []
    askers = texts.hosters("asked", led)
    met = [it for play in context.plays for it in play.findings]
    shut = [dict(it.values) for it in met if it.code == "http.exchange"]
    ways = [it["how"] for it in shut if it["host"] in (asked, *led)]
    is_found = any(it.setup for it in context.plays if it.client == OUTLOOK)
    if ways and listed and not (askers or is_found):
        # One organization has domains below several top-level domains.
        known = {base_domain(it).split(".")[0] for it in (*hosts, *names)}
        other = {base_domain(it) for it in led[:1]}
        askers = {it for it in other if it.split(".")[0] not in known}
        # A Windows login at a host of its own, and another program has the mail.
        mail = [it for it in incoming if it.type in MAIL_TYPES and it.hostname]
        tried = [servers.endpoint_of(case, it) for it in mail[: servers.MOST]]
        programs = {facts.tried(it).software.partition(" ")[0] for it in tried}
        is_left = any(ways) and facts.exists(asked) and programs - {"", "Microsoft"}
        is_there = any(web.is_same_host(facts, asked, it) for it in names)
        askers = askers or ({[asked, *led][-1]} if is_left and not is_there else set())
    for hoster in askers - owners - arrives:
        target = (led or facts.addresses(asked))[0]
        found = finding(
            "dns.old-hoster", asked, target=target, hoster=hoster, server=at
        )
        yield found.hurting(OUTLOOK.name)
    for hoster in (arrives or _mailboxes_of(facts, hosts, names)) - owners:
        code = "mx.elsewhere" if listed else "mx.guess-elsewhere"
        found = finding(code, subject, hoster=hoster, host=hosts[0], server=at)
        yield found.marked("filter" if hoster == "Microsoft 365" else "")


def _mailboxes_of(facts: Facts, hosts: list[str], ours: list[str]) -> set[str]:
    """Return the domain of MX hosts that let people log in, as no filter does.

    There is none where it is that of one of our hosts, or the MX host is one of them.
    """
    first, domain = hosts[0], base_domain(hosts[0])
    there = {it for it in (*hosts, *ours) if f".{it}".endswith(f".{domain}")}
    is_ours = any(web.is_same_host(facts, first, each) for each in ours)
    is_other = there == {*hosts} and not is_ours
    imap = Endpoint("imap", first, 993, "SSL")
    return {domain} if is_other and servers.is_alive(facts, imap) else set()


def _mx_host(facts: Facts, subject: str, host: str) -> Iterator[Finding]:
    if is_ip(host):
        yield finding("mx.is-address", subject, host=host)
        return
    if lost := web.unresolved("mx", facts, host, "mx.host-lookup-failed"):
        yield lost.at(f"{subject} {host}")
        return
    for target in web.names_of(facts, host)[1:2]:
        yield finding("mx.is-alias", subject, host=host, target=target)
    if not facts.exists(host):
        meant = web.in_full(host, subject.removesuffix(" MX"), facts)
        advice = meant or web.renamed(facts, host)
        yield finding("mx.no-address", subject, advice=advice, host=host)


# --- SRV ------------------------------------------------------------------------------


def services(context: Context) -> list[Finding]:
    """Return whether the SRV records are those of the file, or lead to live servers."""
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

    others = [family.srv for family in context.case.families if family.srv]
    others += [] if provider else [name for name, _ in zone.URL_SERVICES]

    def look(name: str) -> Iterator[Finding]:
        if name in targets:
            return _service(context, name, targets[name], paths.get(name, ""))
        return _by_web(context, name)

    return each_of(look, [*targets, *others])


def _service(
    context: Context, name: str, wanted: list[Target], path: str
) -> Iterator[Finding]:
    """Yield how the records of a service differ, or whom they lead astray."""
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
    service = next((row for row in zone.MAIL_SERVICES if row[0] == name), None)
    is_right = set(offered) == set(wanted)
    if fault := next(_faults(facts, subject, offered), None):
        yield fault
        return
    if not targets:
        yield from _no_records(context, name, wanted)
        return
    others = (source for source in context.sources if source.place != sources.SRV)
    known = {Endpoint.of(account) for one in others for account in one.accounts}

    def servers_of(listed: list[Target]) -> list[Endpoint]:
        return [Endpoint(service[1], *it, service[2]) for it in listed if service]

    # The rule of servers tells what is wrong with those that the file or others name.
    # A spare server may sleep, but not one of those that clients try first.
    first = [] if case.provider and is_right else _first(facts, full_name, offered)
    tried = servers_of(first)
    found = (_failing(facts, subject, it) for it in tried if it not in known)
    failing = next(filter(None, found), None)
    is_dead = case.provider is not None and not is_right
    is_dead &= any(servers.is_dead(facts, it) for it in servers_of(wanted))
    if failing and (failing.code == "srv.other-service" or is_dead or not wanted):
        led = [it for it in context.plays if {*map(Endpoint.of, it.mail)} & {*tried}]
        yield failing.hurting(*(play.client.name for play in led))
    elif case.provider and not is_right:
        code = "srv.file-outdated" if is_dead else "srv.differs"
        differs = _wrong(code, subject, _listed(offered), _listed(wanted))
        extra = [target for target in offered if target not in wanted]
        if wanted and {*wanted} < {*offered}:
            advice = f"remove the records that name {_listed(extra)}"
            differs = differs._replace(advice=advice)
        is_ours = {*wanted} <= {*first} and not failing  # beside equal or spare servers
        is_ours = is_ours or _are_of_file(case, facts, servers_of(offered))
        is_ours = is_ours and not is_dead
        yield differs.marked("same server" if is_ours else "")
    elif service and not case.provider and (wrong := _contradicted(context, service)):
        yield wrong
    elif paths and path not in map(unquoted, paths):  # dav.py tells of quotation marks
        yield _wrong("srv.differs", subject, f"TXT {paths[0]}", path)
    else:
        listed = _listed(offered) if offered else "not offered, as expected"
        yield finding("srv.found", subject, targets=listed)
        for host, _ in offered[:_MOST]:  # RFC 2782 forbids aliases
            if len(way := web.names_of(facts, host)) > 1:
                yield finding("srv.is-alias", subject, host=host, target=way[1])


def _by_web(context: Context, name: str) -> Iterator[Finding]:
    """Yield where the records of a service are that clients reach by https."""
    full_name = f"{name}.{context.case.domain}"
    with suppress(LookupFailed):
        targets = context.facts.srv(full_name)
        if not targets:
            yield from _no_records(context, name, [])
        for fault in _faults(context.facts, f"{full_name} SRV", targets):
            who = OUTLOOK.name if name == "_autodiscover._tcp" else "Calendars"
            by_them = (it.setup for it in context.plays if it.client.name == who)
            yield fault.marked("" if any(by_them) else "only way").hurting(who)


def _weighed(context: Context, found: Finding) -> Finding:
    """Return the finding as a failure if no client finds the settings of a server."""
    is_lost = not any(play.mail for play in context.plays)
    return found.marked("only way" if is_lost else "")


def _first(facts: Facts, name: str, offered: list[Target]) -> list[Target]:
    """Return the targets of the best priority."""
    ranks = [it.priority for it in facts.network.resolver.records(name, "SRV")]
    return offered[: ranks.count(min(ranks, default=0))]


def _no_records(context: Context, name: str, wanted: list[Target]) -> Iterator[Finding]:
    """Yield where the records of a service are instead, or that there are none."""
    domain, right = context.case.domain, f"{name}.{context.case.domain}"
    types = {row[0]: row[1] for row in zone.MAIL_SERVICES}
    same = (it for it in types if types[it] == types.get(name))  # imap, pop3 or smtp
    is_served = any(context.facts.targets(f"{it}.{domain}") for it in same)
    if other := _of_other_type(context.facts, right, domain):
        type_, data = other
        code, at = "srv.other-type", f"{right} {type_}"
        yield _weighed(context, finding(code, at, type=type_, data=data))
    elif not is_served and (misnamed := _misnamed(context, name, wanted)):
        is_slip = misnamed.removesuffix(f".{domain}") in zone.slips(name)
        code = "srv.udp" if "._udp." in misnamed else "srv.misnamed"
        code, at = "srv.other-name" if is_slip else code, f"{misnamed} SRV"
        yield _weighed(context, finding(code, at, domain=domain, right=right))
    elif name == "_submissions._tcp" and not (is_served or context.case.provider):
        read = any(context.facts.targets(f"{it}.{domain}") for it in types)
        if read and not any(play.mail for play in context.plays):
            yield finding("srv.reading-alone", f"{right} SRV")
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
    """Return whether they are further ports or names of the file's servers."""
    ours = {it.host for it in servers.endpoints(case, case.provider)}
    return bool(offered) and all(
        any(web.is_same_host(facts, it.host, host) for host in ours)
        and servers.is_alive(facts, it)
        for it in offered
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
    for it in facts.network.resolver.records(name, "SRV"):
        if it.port not in usual and (meant := usual & {it.priority, it.weight}):
            port, host = min(meant), it.target
            yield finding("srv.order", subject, record=it, usual=port, host=host)


def _misnamed(context: Context, name: str, wanted: list[Target]) -> str:
    """Return the name that has the records of a service by mistake, or "".

    It lacks `._tcp`, has that or the domain twice, by a web form, is below that of a
    host, is misspelt, or has another service.
    """
    domain, facts = context.case.domain, context.facts
    names = [name.partition(".")[0], f"{name}.{domain}", name.replace("_tcp", "_udp")]
    names.append(f"{name}._tcp")
    near = [host for host, _ in wanted] + facts.mx_hosts(domain)
    hosts = [host.removesuffix(f".{domain}") for host in near if context.case.has(host)]
    names += [*zone.below(name, hosts[:_MOST]), *zone.slips(name)]
    listed = [f"{each}.{domain}" for each in names]
    # A wildcard record answers for any name.
    if facts.targets(f"_no-such-name.{domain}"):
        return ""
    side_by_side(partial(facts.targets, each) for each in listed)
    ports = {each: {port for _, port in facts.targets(each)} for each in listed}
    return next((each for each in listed if ports[each] - _UNENCRYPTED), "")


def _failing(facts: Facts, subject: str, first: Endpoint) -> Finding | None:
    """Return that the first target of a record fails as its service is used, or None."""
    stops = (one for one in servers.of(facts, first) if one.status == FAILURE)
    found = next(stops, None)
    if found is None or not servers.is_dead(facts, first):
        return None
    service, spoken = subject.removesuffix(" SRV"), dict(found.values)
    by_type = {row[1:]: row[0] for row in zone.MAIL_SERVICES}
    other = by_type.get((first.type, spoken.get("socket_type", "")), "")
    is_other = found.code in ("server.wrong-encryption", "server.tls-later") and other
    dots = web.in_full(first.host, service.split(".", 2)[2], facts)
    return finding(
        "srv.other-service" if is_other else "srv.dead",
        subject,
        target=f"{first.host}:{first.port}",
        way="STARTTLS" if first.socket_type == "STARTTLS" else "implicit TLS",
        dots=f"; {dots}" if dots else "",
        reason=found.seen,
        service=service,
        other=other,
    )


def _contradicted(context: Context, service: tuple[str, str, str]) -> Finding | None:
    """Return that the most credible other source contradicts a record, or None."""
    name, type_, socket_type = service
    subject = f"{name}.{context.case.domain} SRV"
    targets = context.facts.srv(subject.removesuffix(" SRV"))
    others = (one for one in context.sources if one.place != sources.SRV)
    measure = next(others, None)
    if measure is None or measure.is_foreign:
        return None
    listed = [one for one in measure.accounts if one.type == type_]
    alive = [one for one in listed if not sources.is_faulty(context, one)]
    by = sources.said_by(measure)
    wanted = _listed([(one.hostname, one.port) for one in alive])
    if not targets[0][0]:
        records = (one for one in context.sources if one.place == sources.SRV)
        offered = {account.type for source in records for account in source.accounts}
        # Somebody may want POP3 beside IMAP; the encryption is the server's choice.
        if type_ in offered or socket_type not in {one.socket_type for one in alive}:
            return None
        mark = "elsewhere" if type_ == "pop3" and "imap" in offered else ""
        return finding("srv.denied", subject, by=by, wanted=wanted).marked(mark)
    first = _first(context.facts, subject.removesuffix(" SRV"), targets)
    led = [Account(type_, *target, socket_type) for target in first]
    pairs = ((theirs, ours) for theirs in led for ours in alive)
    if not alive or any(sources.is_one_server(context, *pair) for pair in pairs):
        return None
    is_decided = measure is context.measure and measure.is_decided
    code = "srv.contradicts" if is_decided else "srv.undecided"
    return _wrong(code, subject, _listed(targets[:1]), wanted, by)


def _listed(targets: list[Target]) -> str:
    listed = ", ".join(f"{host}:{port}" for host, port in targets[:_MOST])
    return listed or "“not offered”"


def _wrong(code: str, subject: str, found: str, wanted: str, by: str = "") -> Finding:
    domain = subject.removesuffix(" SRV").split(".", 2)[2]
    hosts = (part.partition(":")[0] for part in found.split(", "))
    dots = "".join(f"; {it}" for host in hosts if (it := web.in_full(host, domain)))
    return finding(code, subject, found=found, wanted=wanted, dots=dots, by=by)
