"""Looks at one domain: plays every client, compares, and finds the causes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...address import NOBODY, with_domain
from ...config.ports import standard_port
from ...config.tables import Provider
from ...documents.setups import Account, Setup
from ..clients import CLIENTS, Client
from ..net.mail import PATIENCE
from ..net.resolver import LookupFailed
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from .asking import asks, steps_of
from .catalog import OF_THE_FILE, RULES, Rule
from .facts import Ask, Facts, side_by_side
from .findings import Case, Finding, finding
from .playing import play
from .plays import Play
from .rules import comparing, dav, documents, names, profile, single
from .scene import Scene
from .weigh import FAILURE, OK, WARNING, merged, weighed

_SECONDS = 13.0  # for a domain, whatever happens, at the timeout that is the default
_TIMEOUTS = 2.6  # so many of them, where another is told
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Fare:
    """How one client fares: what `--json` says of it."""

    client: str
    works: bool | None  # None: nothing is published for it
    sets_up: Setup | None
    stopped_by: str


@dataclass(frozen=True)
class Report:
    """All that was found of a domain."""

    domain: str
    fares: tuple[Fare, ...]
    findings: tuple[Finding, ...]
    provider: Provider | None  # whose servers were looked at
    is_trusted: bool  # they stand in the file, or came whole over verified https
    ignored: frozenset[str] = frozenset()  # codes of findings that are left out

    def with_findings(self, more: Iterable[Finding]) -> Report:
        """The same with further findings."""
        kept = [it for it in more if it.code not in self.ignored]
        return replace(self, findings=tuple(merged([*self.findings, *kept])))


def reach(case: Case, network: Network) -> Network:
    """The network for a domain: what its file names is one's own; one deadline for all."""
    network = replace(network, own=network.own | frozenset(_own(case)))
    return network.step(seconds(network))


def seconds(network: Network) -> float:
    """How long waiting for the servers of one domain may take."""
    return min(_SECONDS, _TIMEOUTS * network.timeout)


def unhurried(case: Case, network: Network) -> Network:
    """The same for logins, which servers hold back."""
    network = replace(network, own=network.own | frozenset(_own(case)))
    return network.step(PATIENCE + network.timeout)


def _own(case: Case) -> Iterator[tuple[str, int]]:
    """Hosts and ports that one's own file names, and those of the web for its domain.

    The domain of a pattern is its customer's, whose DNS may say anything.
    """
    if case.provider is None:
        return
    if case.exact:
        labels = [f"{family.label}." for family in case.families if family.label]
        for label in ("", "www.", *labels):  # where sites lead on to
            yield from ((f"{label}{case.domain}", port) for port in (80, 443))
    for _, server in case.provider.servers:
        host = with_domain(server.hostname or "", case.domain)
        yield host, server.port or 0
        for socket_type in ("SSL", "STARTTLS"):  # where it is looked for, too
            yield host, standard_port(server.type, socket_type) or 0
        parts = split_url(with_domain(server.url or "", case.domain))
        yield (
            parts.hostname or "",
            parts.port or (80 if parts.scheme == "http" else 443),
        )


def unpublished(case: Case, facts: Facts, tell: Tell) -> Report:
    """The file's own servers, before anything is published."""
    tell(f"{case.domain}: asking the servers of the file")
    findings = _by_rules(OF_THE_FILE, Scene(case, facts, case.provider))
    report = Report(case.domain, (), (), case.provider, True, case.ignored)
    return report.with_findings(findings)


def published(case: Case, facts: Facts, tell: Tell) -> Report:
    """Play every client, and find what stops it."""
    tell(f"{case.domain}: asking DNS and the web for what clients ask")
    clients = _clients(case)
    looks: list[Callable[[], Any]] = [
        partial(_without_dns, case, facts),
        partial(_fetch, case, facts, clients),
    ]
    lost, asks = side_by_side(looks)
    if lost is not None and lost.code not in case.ignored:
        return _failed(case, lost)
    found, faulty = documents.found(_xml_asks(asks), case, facts)
    plays = side_by_side(partial(_play, case, facts, it) for it in clients)

    provider = case.provider or comparing.read(case, facts, found, plays)
    tell(f"{case.domain}: asking the servers, and holding all of it side by side")
    scene = Scene(
        *(case, facts, provider, tuple(clients), tuple(plays), tuple(asks)),
        documents=tuple(found),
        faulty=tuple(faulty),
    )
    findings = _by_rules(RULES, scene)
    if case.provider is None:
        findings = list(comparing.with_living(scene, findings))
    for played in plays:
        findings += played.findings
    listed = weighed(it for it in findings if it.code not in case.ignored)
    fares = tuple(_fare(case, it, listed) for it in plays)
    is_trusted = case.provider is not None or comparing.is_trusted(provider, found)
    return Report(case.domain, fares, tuple(listed), provider, is_trusted, case.ignored)


def _by_rules(rules: Iterable[Rule], scene: Scene) -> list[Finding]:
    """What the rules find, all of them side by side."""
    found = side_by_side(partial(_listed, it, scene) for it in rules)
    return [it for each in found for it in each]


def _listed(rule: Rule, scene: Scene) -> list[Finding]:
    return list(rule.find(scene))


def unchecked(case: Case, reason: str) -> Report:
    """The report on a domain where the check itself failed."""
    return _failed(case, finding("check.failed", case.domain, reason=reason[:300]))


def _failed(case: Case, found: Finding) -> Report:
    """The report where one finding stops every client."""
    clients = [it.name for it in _clients(case)]
    told = found.hurting(*clients)
    fares = tuple(Fare(it, False, None, str(told)) for it in clients)
    return Report(case.domain, fares, (told,), case.provider, False)


def _without_dns(case: Case, facts: Facts) -> Finding | None:
    """Where DNS says nothing of the domain at all: whatever else fails, fails by that."""
    errors: list[LookupFailed] = []

    def look(of: Callable[[str], object]) -> None:
        try:
            of(case.domain)
        except LookupFailed as error:
            errors.append(error)

    looks: list[Callable[[str], object]] = [facts.mx, facts.addresses]
    side_by_side(partial(look, of) for of in looks)
    if not errors and _is_unknown(case, facts):
        return finding("domain.unknown", case.domain)
    if len(errors) < 2:
        return None
    return names.failed(case.domain, errors[0], "domain.lookup-failed")


def _is_unknown(case: Case, facts: Facts) -> bool:
    """Whether there is no such domain; some name servers say so of what is only empty."""
    if facts.mx(case.domain) or facts.addresses(case.domain):
        return False
    hosts = [f"{it.label}.{case.domain}" for it in case.families if it.label]
    return not facts.is_known(case.domain) and not any(map(facts.exists, hosts))


# --- Playing --------------------------------------------------------------------------


def _clients(case: Case) -> list[Client]:
    """Whose ways count: those of the families that are served, any other's too."""
    served = {family.name for family in case.families}
    known = [it for it in CLIENTS if it.family in served]
    families = {it.family for it in CLIENTS}
    others = [
        Client(family.askers or family.name, family.name)  # type: ignore[arg-type]
        for family in case.families
        if family.name not in families and family.label and family.formats
    ]
    return [*known, *others]


def _fetch(case: Case, facts: Facts, clients: list[Client]) -> list[Ask]:
    """Ask for all that clients and rules need at once; gives the clients' requests.

    What is silent costs one timeout so.
    """

    def quietly(look: Callable[..., Any], *arguments: Any) -> None:
        with suppress(ProbeError, LookupFailed):
            look(*arguments)

    steps = list(dict.fromkeys(step for it in clients for step in steps_of(it, case)))
    far = [step for step in steps if step.place.startswith("mx")]
    listed = [
        ask for step in steps if step not in far for ask in asks(step, case, facts)
    ]
    for client in clients:
        listed += _asks_of(client, case)

    def by_mx() -> None:
        quietly(facts.mx, case.domain)
        further = [ask for step in far for ask in asks(step, case, facts)]
        side_by_side(partial(quietly, facts.answer, ask) for ask in further)

    tasks: list[Callable[[], None]] = [by_mx]
    tasks += [partial(quietly, facts.answer, ask) for ask in dict.fromkeys(listed)]
    tasks += [
        partial(quietly, fetch) for it in RULES for fetch in it.fetches(case, facts)
    ]
    side_by_side(tasks)
    return list(dict.fromkeys(listed))


def _asks_of(client: Client, case: Case) -> list[Ask]:
    """The requests of a client that has no steps."""
    if client.family == "apple":
        return profile.asks(case)
    if client.family == "dav":
        return [dav.ask_for(url) for _, url in dav.well_known(case)]
    families = [it for it in case.families if it.name == client.family]
    return [] if client.steps else [Ask(single.url_of(case, it)) for it in families]


def _xml_asks(listed: list[Ask]) -> list[Ask]:
    paths = {step.path for it in CLIENTS for step in it.steps if step.kind == "xml"}
    found = [it for it in listed if split_url(it.url).path in paths]
    return sorted(found, key=lambda it: NOBODY in it.url)  # people's own come first


def _play(case: Case, facts: Facts, client: Client) -> Play:
    if client.steps:
        return play(client, case, facts)
    played = Play(client.name, client.family)
    if client.family == "apple":
        seen = profile.look(case, facts)
        played.findings, played.setup, played.url = seen
    elif client.family == "dav":
        ways = dav.play(case, facts)
        accounts = tuple(it.account for it in ways if it.account is not None)
        played.setup = Setup(accounts) if accounts else None
        played.findings = [found for it in ways for found in it.findings]
        if case.provider is not None and not accounts:
            played.findings = [it.marked("only way") for it in played.findings]
    else:
        (family,) = [it for it in case.families if it.name == client.family]
        seen_ = single.look(case, facts, family)
        played.findings = seen_.findings
        host = f"{family.label}.{case.domain}"
        if seen_.reply is None and facts.is_by_wildcard(host, case.domain):
            played.findings = [it.marked("by chance") for it in seen_.findings]
        played.setup, played.url = seen_.setup, single.url_of(case, family)
        if seen_.reply is not None and played.setup is None:
            played.setup = Setup(())
    hurt = (client.name,)
    played.findings = [
        it if it.status == OK else it.hurting(*hurt) for it in played.findings
    ]
    return played


# --- The verdict ----------------------------------------------------------------------


def _fare(case: Case, played: Play, findings: list[Finding]) -> Fare:
    causes = [
        it for it in findings if it.status == FAILURE and played.client in it.clients
    ]
    setup = played.setup
    if setup is not None and case.address is None:
        setup = Setup(tuple(_for_anybody(case, it) for it in setup.servers))
    if causes:
        first = causes[0]
        return Fare(played.client, False, setup, f"{first.places[0]}: {first.seen}")
    if setup is None:
        near = [
            it
            for it in played.findings
            if it.status == WARNING and played.family in _OF_ONE_PLACE
        ]
        stopped_by = f"{near[0].places[0]}: {near[0].seen}" if near else ""
        return Fare(played.client, None, None, stopped_by)
    return Fare(played.client, True, setup, "")


# Families whose clients have one place to look at: what is wrong there is all they meet.
_OF_ONE_PLACE = ("apple", "pacc", "dav")


def _for_anybody(case: Case, account: Account) -> Account:
    """Without the name of who asked for nobody in particular."""
    name = account.username
    if name == str(case.asker):
        return account._replace(username="%EMAILADDRESS%")
    if name == case.asker.local:
        return account._replace(username="%EMAILLOCALPART%")
    return account
