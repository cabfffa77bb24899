"""DNS: the names that clients ask for, MX, SRV, the digests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from ....address import is_ip
from ....config.tables import Provider
from ....families import Family
from ... import zone
from ...mail import Endpoint
from ...resolver import LookupFailed
from ..facts import Facts, side_by_side
from ..findings import OK, Case, Finding, failure, note, ok, warning
from . import servers, web

_LOOK_AT_SERVERS = "look at the domain's name servers"


def look(case: Case, facts: Facts, published: Provider | None) -> list[Finding]:
    """What DNS says; `published` is what the documents say, where there is no file."""
    tasks = [
        partial(_host, case, facts, family)
        for family in case.families
        if family.label and _is_needed(case, family)
    ]
    tasks.append(partial(_mx, case, facts))
    provider = case.provider or published
    if provider is not None:
        for name, wanted in _expected(provider, case.domain).items():
            tasks.append(partial(_srv, case, facts, name, wanted))
    tasks += [
        partial(_mail_host, facts, it.host) for it in servers.endpoints(case, provider)
    ]
    found = [it for each in side_by_side(tasks) for it in each]
    return [*found, *_half_answered(case, facts, provider)]


def _mail_host(facts: Facts, host: str) -> list[Finding]:
    """Look for it; that it is not found is told of the server."""
    facts.exists(host)
    return []


def _half_answered(
    case: Case, facts: Facts, provider: Provider | None
) -> Iterator[Finding]:
    """Hosts of which a name server answers for one kind of address alone."""
    hosts = {it.host for it in servers.endpoints(case, provider)}
    for host, kind in sorted(facts.network.resolver.unanswered.items()):
        if host in hosts or case.has(host):
            other = "A" if kind == "AAAA" else "AAAA"
            yield warning(
                "dns",
                host,
                f"the name server does not answer for {kind} (it does for {other})",
                "programs that ask for both wait seconds for it each time, or give up",
                f"let the domain's name servers answer for {kind}, if only that there is "
                "none (a firewall that drops such questions, or an old program, often)",
            )


def _is_needed(case: Case, family: Family) -> bool:
    return not case.provider or family.writes(case.provider, case.domain)


def failed(subject: str, error: LookupFailed, why: str = "nobody finds it") -> Finding:
    """A look-up that gave no answer."""
    cure = error.cure or _LOOK_AT_SERVERS
    return failure("dns", subject, error.reason, why, cure)


def _host(case: Case, facts: Facts, family: Family) -> list[Finding]:
    """A host of the clients' own. That it is not there is told by who misses it."""
    name = f"{family.label}.{case.domain}"
    try:
        addresses = facts.addresses(name)
        if addresses:
            return [ok("dns", name, ", ".join(addresses[:8]))]
        if facts.alias(name):
            return []  # it leads to nothing, which is told by who wants to go there
    except LookupFailed as error:
        # A loop is told by who wants to go there.
        return [] if web.is_loop(facts, name) else [failed(name, error)]
    return [
        note(
            "dns",
            name,
            "the name does not resolve",
            f"{family.askers} ask there first",
            f"publish a CNAME {name} to the host that serves the settings",
        )
    ]


# --- MX -------------------------------------------------------------------------------


def _mx(case: Case, facts: Facts) -> list[Finding]:
    subject = f"{case.domain} MX"
    try:
        hosts = facts.mx(case.domain)
        if not hosts and facts.takes_no_mail(case.domain):
            seen = "it says that the domain takes no mail (a null MX)"
            return [
                warning("dns", subject, seen, "nobody can send mail to it", _NULL_MX)
            ]
    except LookupFailed as error:
        return [failed(subject, error, "mail cannot be delivered")]
    if not hosts:
        why = "nobody can send mail to the domain"
        cure = "publish an MX record that names its mail server"
        return [warning("dns", subject, "there is none", why, cure)]
    findings = [it for host in hosts[:4] for it in _mx_host(facts, subject, host)]
    findings += _mx_domains(case, subject, hosts)
    if all(it.status == OK for it in findings):
        findings.append(ok("dns", subject, ", ".join(hosts[:4])))
    return findings


_NULL_MX = "publish the MX record of the mail server, if the domain has mail"


def _mx_host(facts: Facts, subject: str, host: str) -> Iterator[Finding]:
    why = "other servers cannot deliver mail there, or refuse to"
    if is_ip(host):
        yield failure(
            "dns",
            subject,
            f"it names the address {host}, and must name a host (RFC 5321, 5)",
            why,
            f"give {host} a name (mail IN A {host}), and let the MX record name that",
        )
        return
    try:
        target = facts.alias(host)
        addresses = facts.addresses(host)
    except LookupFailed as error:
        if web.is_loop(facts, host):
            found = web.dead_alias(facts, host, why)
            place = f"{subject} {host}"
            yield found._replace(subject=place, places=(place,))
        else:
            yield failed(f"{subject} {host}", error, why)
        return
    if target:
        yield warning(
            "dns",
            subject,
            f"{host} is an alias (CNAME) of {target}, which RFC 2181, 10.3 forbids",
            "some servers refuse to deliver mail there",
            f"let the MX record name {target} itself, or give {host} an address",
        )
    if not addresses and not target:
        cure = f"publish an address of {host}, or let the MX record name the right host"
        cure = web.without_dot(host) or cure
        yield failure("dns", subject, f"{host} has no address in DNS", why, cure)
    elif not addresses:
        yield failure("dns", subject, f"{host} leads to no address", why, _NULL_MX)


def _mx_domains(case: Case, subject: str, hosts: list[str]) -> Iterator[Finding]:
    mx_domains = case.provider.mx_domains if case.provider else ()
    if mx_domains and not any(
        host == name or host.endswith(f".{name}")
        for host in hosts
        for name in mx_domains
    ):
        yield warning(
            "dns",
            subject,
            f"{', '.join(hosts[:4])}: none is below mx_domains",
            "clients that go by the MX host do not get here",
            "list the MX host's domain in mx_domains",
        )


# --- SRV ------------------------------------------------------------------------------


@dataclass
class _Service:
    """What the file, or what is published, says of a service."""

    targets: list[tuple[str, int]] = field(default_factory=list)
    path: str = ""


def _expected(provider: Provider, domain: str) -> dict[str, _Service]:
    expected: dict[str, _Service] = {}
    for record in zone.service_records(provider, domain):
        service = expected.setdefault(record.name, _Service())
        if record.type == "TXT":
            service.path = record.data.strip('"')
            continue
        _, _, port, host = record.data.split()
        if host != ".":
            service.targets.append((host.removesuffix("."), int(port)))
    return expected


def _srv(case: Case, facts: Facts, name: str, wanted: _Service) -> list[Finding]:
    subject = f"{name}.{case.domain} SRV"
    try:
        targets = facts.srv(f"{name}.{case.domain}")
        paths = facts.txt(f"{name}.{case.domain}") if wanted.path else []
    except LookupFailed as error:
        return [failed(subject, error)]
    offered = [target for target in targets if target[0]]
    is_part = bool(set(offered) & set(wanted.targets)) and not case.provider
    if is_part or set(offered) == set(wanted.targets):
        if not targets:
            return []
        if wanted.path and paths and wanted.path not in paths:
            return [_wrong(case, subject, f"TXT {paths[0]}", wanted.path)]
        seen = _listed(offered) or "not offered, as the file says"
        return [ok("dns", subject, seen), *_targets(facts, subject, offered)]
    if not targets:
        if not case.provider:
            return []
        why = "Evolution, calendar programs and others look there"
        cure = f"publish it: {_listed(wanted.targets)} (see `flask-autoconfig dns`)"
        return [note("dns", subject, "there is none", why, cure)]
    if not case.provider and not (offered and wanted.targets):
        return []  # what only one of the two names is no contradiction
    if not case.provider and any(_is_dead(facts, name, it) for it in wanted.targets):
        return []  # what the documents say is what is wrong, and it is told
    seen = _listed(offered) or "“not offered”"
    found = _wrong(case, subject, seen, _listed(wanted.targets) or "“not offered”")
    if any(_is_dead(facts, name, it) for it in wanted.targets):
        cure = "correct the file first: clients do not get to the server that it names"
        found = found._replace(cure=cure, follows=True)
    return [found]


def _is_dead(facts: Facts, name: str, target: tuple[str, int]) -> bool:
    """Whether the mail server of a service's record is tried and fails."""
    for service, type_, socket_type in zone.MAIL_SERVICES:
        if service == name:
            return servers.is_dead(facts, Endpoint(type_, *target, socket_type))
    return False


def _targets(
    facts: Facts, subject: str, targets: list[tuple[str, int]]
) -> Iterator[Finding]:
    """RFC 2782 wants a host with an address of its own there."""
    for host, _ in targets[:4]:
        try:
            alias = facts.alias(host)
        except LookupFailed:
            continue
        if alias:
            yield note(
                "dns",
                subject,
                f"{host} is an alias (CNAME) of {alias}, which RFC 2782 forbids",
                "most clients bear it",
                f"let the record name {alias}",
            )


def _listed(targets: list[tuple[str, int]]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in targets[:4])


def _wrong(case: Case, subject: str, seen: str, wanted: str) -> Finding:
    says = "the file says" if case.provider else "the documents say"
    missing = [web.without_dot(it.partition(":")[0]) for it in seen.split(", ")]
    dots = "; ".join(filter(None, missing))
    return failure(
        "dns",
        subject,
        f"it says {seen}, {says} {wanted}",
        "clients that go by it set up something else",
        f"publish {wanted} (see `flask-autoconfig dns`)"
        + (f"; {dots}" if dots else ""),
    )._replace(follows=case.provider is None)
