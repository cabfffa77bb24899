"""DNS: the names that clients ask for, MX, SRV, the digest of PACC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...config.tables import Provider
from ...families import Family
from .. import zone
from ..network import Network
from ..resolver import LookupFailed
from .findings import Case, Finding, Task, failure, ok, side_by_side, warning

_LOOK_AT_SERVERS = "look at the domain's name servers"


def look(
    case: Case,
    network: Network,
    documents: Sequence[Provider],
    bodies: Mapping[str, bytes],
) -> list[Finding]:
    """What DNS says; `documents` and `bodies` are what the web servers were seen to serve.

    `bodies` are those of other families, by name.
    """
    tasks: list[Task] = []
    for family in case.families:
        if family.label and _is_needed(case, family):
            tasks.append(partial(_host, case, network, family, bool(documents)))
    tasks.append(partial(_mx, case, network))
    for family in case.families:
        if family.digest and family.name in bodies:
            tasks.append(partial(_digest, case, network, family, bodies[family.name]))
    if case.provider:
        expected = _expected(case.provider, case.domain)
        tasks += [
            partial(_srv, case, network, name, it) for name, it in expected.items()
        ]
    return side_by_side(tasks)


def _is_needed(case: Case, family: Family) -> bool:
    return not case.provider or family.writes(case.provider, case.domain)


def _failed(subject: str, error: LookupFailed) -> Finding:
    return failure("dns", subject, str(error), "nobody finds it", _LOOK_AT_SERVERS)


def _host(
    case: Case, network: Network, family: Family, is_published: bool
) -> list[Finding]:
    """A host of the clients' own: without any document, Thunderbird's has to be there."""
    name = f"{family.label}.{case.domain}"
    try:
        addresses = network.resolver.addresses(name)
    except LookupFailed as error:
        return [_failed(name, error)]
    if addresses:
        return [ok("dns", name, ", ".join(addresses[:4]))]

    essential = family.name == "thunderbird" and not is_published
    told = failure if essential else warning
    return [
        told(
            "dns",
            name,
            "the name does not resolve",
            f"{family.askers} ask there first",
            f"publish a CNAME {name} to the host that serves the settings",
        )
    ]


def _mx(case: Case, network: Network) -> list[Finding]:
    subject = f"{case.domain} MX"
    try:
        hosts = network.resolver.mx(case.domain)
    except LookupFailed as error:
        why = "mail cannot be delivered"
        return [failure("dns", subject, str(error), why, _LOOK_AT_SERVERS)]
    if not hosts:
        why = "nobody can send mail to the domain"
        cure = "publish an MX record that names its mail server"
        return [warning("dns", subject, "there is none", why, cure)]

    mx_domains = case.provider.mx_domains if case.provider else ()
    if mx_domains and not any(
        host == name or host.endswith(f".{name}")
        for host in hosts
        for name in mx_domains
    ):
        return [
            warning(
                "dns",
                subject,
                f"{', '.join(hosts)}: none is below mx_domains",
                "clients that go by the MX host do not get here",
                "list the MX host's domain in mx_domains",
            )
        ]
    return [ok("dns", subject, ", ".join(hosts))]


def _digest(
    case: Case, network: Network, family: Family, document: bytes
) -> list[Finding]:
    digest = family.digest
    assert digest is not None  # noqa: S101 (see look)
    name = f"{digest.name}.{case.domain}"
    wanted = digest.value(document)
    try:
        values = network.resolver.txt(name)
    except LookupFailed as error:
        return [_failed(name, error)]
    why = f"{family.askers} believe only a document whose digest is in DNS"
    cure = f'publish {name} TXT "{wanted}"'
    if not values:
        return [warning("dns", name, "there is no digest", why, cure)]
    if wanted in values:
        return [ok("dns", name, "the digest is that of the document served")]
    seen = "the digest is not that of the document served"
    return [failure("dns", name, seen, why, cure)]


# --- SRV ------------------------------------------------------------------------------


@dataclass
class _Service:
    """What the file says of a service."""

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


def _srv(case: Case, network: Network, name: str, expected: _Service) -> list[Finding]:
    subject = f"{name}.{case.domain} SRV"
    try:
        targets = network.resolver.srv(f"{name}.{case.domain}")
        paths = network.resolver.txt(f"{name}.{case.domain}")
    except LookupFailed as error:
        return [_failed(subject, error)]
    offered = [target for target in targets if target[0]]
    seen, wanted = _listed(offered), _listed(expected.targets)

    if set(offered) == set(expected.targets):
        if not targets:
            return []
        if expected.path and paths and expected.path not in paths:
            return [_wrong(subject, f"TXT {paths[0]}", expected.path)]
        return [ok("dns", subject, seen or "not offered, as the file says")]
    if not targets:
        why = "Evolution, calendar programs and others look there"
        cure = f"publish it: {wanted} (see `flask-autoconfig dns`)"
        return [warning("dns", subject, "there is none", why, cure)]
    return [_wrong(subject, seen or "“not offered”", wanted or "“not offered”")]


def _listed(targets: list[tuple[str, int]]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in targets)


def _wrong(subject: str, seen: str, wanted: str) -> Finding:
    return failure(
        "dns",
        subject,
        f"it says {seen}, the file says {wanted}",
        "clients that go by it set up something else",
        f"publish {wanted} (see `flask-autoconfig dns`)",
    )
