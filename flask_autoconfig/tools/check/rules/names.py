"""DNS: the names that clients ask for, MX, SRV, the digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from ....address import is_ip
from ....config.tables import Provider
from ....families import Family
from ... import zone
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ..facts import Facts, side_by_side
from ..findings import Case, Finding, finding
from ..weigh import OK
from . import servers, web

if TYPE_CHECKING:
    from ..scene import Scene


def hosts(scene: Scene) -> list[Finding]:
    """The hosts that clients ask, by the labels of the families."""
    case = scene.case
    tasks = [
        partial(_host, case, scene.facts, family)
        for family in case.families
        if family.label and _is_needed(case, family)
    ]
    return [it for each in side_by_side(tasks) for it in each]


def services(scene: Scene) -> list[Finding]:
    """The SRV records of what the file or the documents say."""
    case, provider = scene.case, scene.provider
    expected = _expected(provider, case.domain) if provider else {}
    tasks = [partial(_srv, case, scene.facts, *it) for it in expected.items()]
    return [it for each in side_by_side(tasks) for it in each]


def all_services(case: Case, facts: Facts) -> list[Callable[[], object]]:
    """What looks up every service."""
    names = [it[0] for it in (*zone.MAIL_SERVICES, *zone.URL_SERVICES)]
    return [partial(facts.srv, f"{it}.{case.domain}") for it in names]


def half_answered(scene: Scene) -> Iterator[Finding]:
    """Hosts of which a name server answers for one kind of address alone."""
    case, facts = scene.case, scene.facts
    hosts = {it.host for it in servers.endpoints(case, scene.provider)}
    side_by_side(partial(facts.exists, it) for it in hosts)
    for host, kind in sorted(facts.network.resolver.unanswered.items()):
        if host in hosts or case.has(host):
            other = "A" if kind == "AAAA" else "AAAA"
            yield finding("dns.half-answered", host, kind=kind, other=other)


def _is_needed(case: Case, family: Family) -> bool:
    return not case.provider or family.writes(case.provider, case.domain)


def failed(
    subject: str, error: LookupFailed, code: str = "dns.lookup-failed"
) -> Finding:
    """A lookup that gave no answer."""
    return finding(code, subject, advice=error.cure, reason=error.reason)


def _host(case: Case, facts: Facts, family: Family) -> list[Finding]:
    """A host of the clients' own. That it is not there is told by who misses it."""
    name = f"{family.label}.{case.domain}"
    try:
        addresses = facts.addresses(name)
        if addresses:
            return [finding("dns.address", name, addresses=", ".join(addresses[:8]))]
        if facts.alias(name):
            return []  # it leads to nothing, which is told by who wants to go there
    except LookupFailed as error:
        # A loop is told by who wants to go there.
        return [] if web.is_loop(facts, name) else [failed(name, error)]
    return [finding("dns.no-name", name, askers=family.askers, name=name)]


# --- MX -------------------------------------------------------------------------------


def mx(scene: Scene) -> list[Finding]:
    """The MX records, and the hosts that they name."""
    case, facts = scene.case, scene.facts
    subject = f"{case.domain} MX"
    try:
        hosts = facts.mx(case.domain)
        if not hosts and facts.takes_no_mail(case.domain):
            return [finding("mx.null", subject)]
    except LookupFailed as error:
        return [failed(subject, error, "mx.lookup-failed")]
    if not hosts:
        return [finding("mx.missing", subject)]
    findings = [it for host in hosts[:4] for it in _mx_host(facts, subject, host)]
    findings += _mx_domains(case, subject, hosts)
    if all(it.status == OK for it in findings):
        findings.append(finding("mx.found", subject, hosts=", ".join(hosts[:4])))
    return findings


def _mx_host(facts: Facts, subject: str, host: str) -> Iterator[Finding]:
    if is_ip(host):
        yield finding("mx.is-address", subject, host=host)
        return
    try:
        target = facts.alias(host)
        addresses = facts.addresses(host)
    except LookupFailed as error:
        if web.is_loop(facts, host):
            yield web.dead_alias("mx", facts, host).at(f"{subject} {host}")
        else:
            yield failed(f"{subject} {host}", error, "mx.host-lookup-failed")
        return
    if target:
        yield finding("mx.is-alias", subject, host=host, target=target)
    if not addresses and not target:
        advice = web.without_dot(host)
        yield finding("mx.no-address", subject, advice=advice, host=host)
    elif not addresses:
        yield finding("mx.dead-alias", subject, host=host)


def _mx_domains(case: Case, subject: str, hosts: list[str]) -> Iterator[Finding]:
    mx_domains = case.provider.mx_domains if case.provider else ()
    if mx_domains and not any(
        host == name or host.endswith(f".{name}")
        for host in hosts
        for name in mx_domains
    ):
        yield finding("mx.unlisted", subject, hosts=", ".join(hosts[:4]))


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
            code = "srv.differs" if case.provider else "srv.contradicts"
            return [_wrong(code, subject, f"TXT {paths[0]}", wanted.path)]
        listed = _listed(offered) or "not offered, as the file says"
        good = finding("srv.found", subject, targets=listed)
        return [good, *_targets(facts, subject, offered)]
    if not targets:
        if not case.provider:
            return []
        return [finding("srv.missing", subject, wanted=_listed(wanted.targets))]
    if not case.provider and not (offered and wanted.targets):
        return []  # what only one of the two names is no contradiction
    is_dead = any(_is_dead(facts, name, it) for it in wanted.targets)
    if not case.provider and is_dead:
        return []  # what the documents say is what is wrong, and it is told
    code = "srv.file-outdated" if is_dead else "srv.differs"
    code = code if case.provider else "srv.contradicts"
    seen = _listed(offered) or "“not offered”"
    return [_wrong(code, subject, seen, _listed(wanted.targets) or "“not offered”")]


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
            yield finding("srv.is-alias", subject, host=host, target=alias)


def _listed(targets: list[tuple[str, int]]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in targets[:4])


def _wrong(code: str, subject: str, found: str, wanted: str) -> Finding:
    missing = [web.without_dot(it.partition(":")[0]) for it in found.split(", ")]
    dots = "".join(f"; {it}" for it in missing if it)
    return finding(code, subject, found=found, wanted=wanted, dots=dots)
