"""The warnings of `validate`: what clients cannot take of the settings.

Each client is played over the documents that it would be served (:mod:`clients`). Faults
that no client's rules explain come from the rules of :mod:`advice`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from ..address import Address, unfold
from ..config.rules import Origin
from ..config.tables import FamilyName, Provider
from ..documents import Recipient, apple, outlook, pacc
from ..errors import Problem
from ..families import FAMILIES, Family
from . import advice, zone
from .clients import CLIENTS, Client, readings_of
from .reading import Fault, Reading, in_words

_EVERYBODY, _BY_SRV = "Every client", "Programs that go by SRV records"
_SITE = "Your own site"
_LITERAL = "Clients that use the URL as it is"


class Rule(NamedTuple):
    """A rule of :mod:`advice` and the client that it is about."""

    client: str
    findings: Callable[[Provider], advice.Findings]
    family: FamilyName | None = None  # the rule holds where this family is served
    ours: bool = False  # the rule is about documents and records that we make


# What does most harm comes first. A word stands for the faults of played clients that
# have this effect, "id" for identities that two providers share.
_ORDER: tuple[Rule | str, ...] = (
    Rule(_EVERYBODY, advice.unencrypted_mail),
    Rule(_EVERYBODY, advice.unencrypted_urls),
    Rule(_EVERYBODY, advice.unreachable_hosts),
    Rule(_EVERYBODY, advice.misplaced_servers),
    Rule(_EVERYBODY, advice.unknown_domains, ours=True),
    Rule(_EVERYBODY, advice.shared_usernames),
    Rule("Thunderbird", advice.replaced_servers, "thunderbird"),
    Rule(_EVERYBODY, advice.broken_placeholders),
    Rule(_EVERYBODY, advice.unexpected_ports),
    Rule(_EVERYBODY, advice.assumed_urls),
    Rule(_LITERAL, advice.urls_without_path),
    Rule(_EVERYBODY, advice.missing_oauth2),
    Rule(_EVERYBODY, advice.unreachable_urls),
    "document",
    Rule("Kontact and Evolution", advice.encrypted_passwords, "thunderbird"),
    "server",
    "setting",
    Rule(_EVERYBODY, advice.long_lists),
    Rule(_EVERYBODY, advice.long_names),
    "id",
    Rule(_SITE, advice.repeated_domains, ours=True),
    Rule("The page", advice.pale_colours, "page"),
    Rule(
        "Outlook (classic)",
        advice.left_out(outlook.left_out, "the server is not offered", "Outlook"),
        "outlook",
        ours=True,
    ),
    Rule(
        "iPhone, iPad and Mac",
        advice.left_out(apple.left_out, "profiles leave it out", "Apple's programs"),
        "apple",
        ours=True,
    ),
    Rule(
        _BY_SRV,
        advice.left_out(zone.left_out, "it has no record", "those programs"),
        ours=True,
    ),
    Rule(_BY_SRV, advice.usernames_without_srv, ours=True),
    Rule(
        "PACC",
        advice.left_out(pacc.left_out, "its document leaves it out", "PACC's clients"),
        "pacc",
        ours=True,
    ),
)


def find_warnings(
    providers: Sequence[Provider],
    served: Iterable[Family] = FAMILIES,
    origins: Sequence[Origin] = (),
    *,
    ours: bool = True,
) -> list[Problem]:
    """Return what clients cannot take, the worst first, else in the file's order.

    Only clients of the families *served* count. *origins* say where each provider stands,
    by default all in one file. With ``ours=False`` somebody else publishes the settings:
    no client is played, and rules about our own documents and records are left out.
    """
    families = {family.name: family for family in served}
    rules = [
        rule
        for rule in _ORDER
        if isinstance(rule, Rule)
        and (rule.family is None or rule.family in families)
        and (ours or not rule.ours)
    ]
    one_file = (Origin("", f"provider[{number}]", "") for number in count())
    problems: dict[Rule | str, list[Problem]] = {key: [] for key in _ORDER}
    first_of: dict[str, Origin] = {}
    for provider, origin in zip(providers, origins or one_file, strict=False):
        first = first_of.setdefault(provider.identity, origin)
        if first is not origin:
            problems["id"].append(_shared_id(provider, origin, first))
        for rule in rules:
            for finding in rule.findings(provider):
                problems[rule].append(_problem(finding, rule.client, origin))
        for client, fault in _played(provider, families) if ours else ():
            finding = advice.Finding(fault.place, fault.message, fault.cure)
            problems[fault.effect].append(_problem(finding, client, origin))
    return [problem for found in problems.values() for problem in found]


def _problem(finding: advice.Finding, client: str, origin: Origin) -> Problem:
    place = f"{origin.place}.{finding.place}" if finding.place else origin.place
    return Problem(place, finding.message, finding.cure, client, origin.file)


def _shared_id(provider: Provider, origin: Origin, first: Origin) -> Problem:
    message = f"{first.seen_from(origin)} has the id {unfold(provider.identity)} too"
    cure = "give it another: find_provider reaches only the first"
    return Problem(f"{origin.place}.id", message, cure, _SITE, origin.file)


def _played(
    provider: Provider, families: Mapping[str, Family]
) -> Iterator[tuple[str, Fault]]:
    """Yield the faults that clients find in the documents that they would be served."""
    domain = next(iter(provider.exact_domains), "")
    exact = bool(domain)
    if not exact:  # take any domain that the pattern matches
        pattern = next(iter(provider.domains), "*")
        domain = pattern.replace("*", "example" if "." in pattern else "example.com")
    recipient = Recipient(domain, Address("postmaster", domain), exact=exact)
    clients = [
        client for client in CLIENTS if client.steps and client.family in families
    ]
    all_names = [client.name for client in clients if client.family == "thunderbird"]
    for names, fault in by_fault(readings_of(clients, provider, recipient)):
        is_all = names == all_names
        yield families["thunderbird"].askers if is_all else in_words(names), fault


def by_fault(
    readings: Iterable[tuple[Client, Reading]],
) -> Iterable[tuple[list[str], Fault]]:
    """Return each fault once, with the names of all clients that find it."""
    found: dict[Fault, list[str]] = {}
    for client, reading in readings:
        for fault in reading.faults:
            found.setdefault(fault, []).append(client.name)
    return [(names, fault) for fault, names in found.items()]
