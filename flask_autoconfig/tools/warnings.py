"""The warnings of `validate`: what clients cannot take of the settings.

Each client is played over the documents that it would be served (:mod:`clients`). Faults
that no client's rules explain come from the rules of :mod:`advice`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from ..address import Address, unfold
from ..config.rules import Origin
from ..config.tables import Provider
from ..documents import Recipient
from ..errors import Problem
from ..families import FAMILIES, Family
from . import advice
from .clients import CLIENTS, Client, readings_of
from .reading import Fault, Reading, in_words


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
    texts = advice.texts()
    problems: dict[str, list[Problem]] = {code: [] for code in texts}
    one_file = (Origin("", f"provider[{number}]", "") for number in count())
    first_of: dict[str, Origin] = {}
    for provider, origin in zip(providers, origins or one_file, strict=False):
        found = list(advice.findings(provider, ours=ours))
        first = first_of.setdefault(provider.identity, origin)
        if first is not origin:
            known = {"first": first.seen_from(origin), "id": unfold(provider.identity)}
            found.append(advice.Finding("shared-id", "id", known))
        for finding in found:
            family = texts[finding.code].get("family")
            if family is None or family in families:
                problems[finding.code].append(_at(origin, finding.problem()))
        for client, fault in _played(provider, families) if ours else ():
            problem = Problem(fault.place, fault.message, fault.cure, client)
            problems[fault.effect].append(_at(origin, problem))
    return [problem for found in problems.values() for problem in found]


def _at(origin: Origin, problem: Problem) -> Problem:
    place = f"{origin.place}.{problem.place}" if problem.place else origin.place
    return problem._replace(place=place, file=origin.file)


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
