"""The check of one domain: plays every client, applies the rules, and makes the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

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
from .catalog import RULES, RULES_OF_FILE, Rule
from .facts import Ask, Facts, each_of, side_by_side
from .findings import Case, Finding, finding
from .playing import play
from .plays import Play
from .rules import comparing, dav, documents, names, profile, single
from .scene import Scene
from .weigh import FAILURE, OK, WARNING, merged, weighed

_SECONDS = 13.0  # for a domain, at most
_TIMEOUTS = 2.6  # for a domain, at most so many times the network's timeout
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Fare:
    """The result for one client, as `--json` has it."""

    client: str
    works: bool | None  # None: nothing is published for it
    sets_up: Setup | None
    stopped_by: str


@dataclass(frozen=True)
class Report:
    """The result for a domain."""

    domain: str
    fares: tuple[Fare, ...]
    findings: tuple[Finding, ...]
    provider: Provider | None  # whose servers were checked
    is_trusted: bool  # it is from the file, or came completely over verified https
    ignored: frozenset[str] = frozenset()  # codes of findings to leave out

    def with_findings(self, more: Iterable[Finding]) -> Report:
        """Return the report with further findings."""
        kept = [found for found in more if found.code not in self.ignored]
        return replace(self, findings=tuple(merged([*self.findings, *kept])))


# --- The network ------------------------------------------------------------------------


def reach(case: Case, network: Network) -> Network:
    """Return the network for a domain: with its deadline, and the file's hosts allowed."""
    return _with_hosts(case, network).step(seconds(network))


def seconds(network: Network) -> float:
    """Return how long the check of one domain may wait for servers."""
    return min(_SECONDS, _TIMEOUTS * network.timeout)


def unhurried(case: Case, network: Network) -> Network:
    """Return the network for a login, which servers may delay."""
    return _with_hosts(case, network).step(PATIENCE + network.timeout)


def _with_hosts(case: Case, network: Network) -> Network:
    return replace(network, own=network.own | frozenset(_hosts(case)))


def _hosts(case: Case) -> Iterator[tuple[str, int]]:
    """Yield the hosts and ports of the file, and of the domain's web servers.

    A domain that matches a pattern of the file belongs to somebody else, and its DNS may
    name any host.
    """
    if case.provider is None:
        return
    if case.exact:
        labels = [f"{family.label}." for family in case.families if family.label]
        for label in ("", "www.", *labels):
            yield from ((f"{label}{case.domain}", port) for port in (80, 443))
    for _, server in case.provider.servers:
        host = with_domain(server.hostname or "", case.domain)
        yield host, server.port or 0
        for socket_type in ("SSL", "STARTTLS"):  # ports that are tried as well
            yield host, standard_port(server.type, socket_type) or 0
        parts = split_url(with_domain(server.url or "", case.domain))
        port = parts.port or (80 if parts.scheme == "http" else 443)
        yield parts.hostname or "", port


# --- The check --------------------------------------------------------------------------


def unpublished(case: Case, facts: Facts, tell: Tell) -> Report:
    """Check the servers of the file only."""
    tell(f"{case.domain}: asking the servers of the file")
    findings = _by_rules(RULES_OF_FILE, Scene(case, facts, case.provider))
    report = Report(case.domain, (), (), case.provider, True, case.ignored)
    return report.with_findings(findings)


def published(case: Case, facts: Facts, tell: Tell) -> Report:
    """Check what is published: play every client, and find what stops it."""
    tell(f"{case.domain}: asking DNS and the web for what clients ask")
    clients = clients_of(case)
    requests: list[Ask] = []
    lost, _ = side_by_side(
        (
            partial(_lost_domain, case, facts),
            partial(_fetch, case, facts, clients, requests),
        )
    )
    if lost is not None and lost.code not in case.ignored:
        return _failed(case, lost)
    found, faulty = documents.found(_xml_asks(requests), case, facts)
    plays = side_by_side(partial(_play, case, facts, client) for client in clients)

    document = None
    if case.provider is None:
        document = comparing.reference(case, facts, found, plays)
    provider = document.provider if document else case.provider
    tell(f"{case.domain}: asking the servers, and comparing the results")
    scene = Scene(
        case,
        facts,
        provider,
        clients=tuple(clients),
        plays=tuple(plays),
        asks=tuple(requests),
        documents=tuple(found),
        faulty=tuple(faulty),
    )
    findings = _findings(scene)
    fares = tuple(_fare(case, played, findings) for played in plays)
    is_trusted = document.is_verified if document else case.provider is not None
    return Report(
        case.domain, fares, tuple(findings), provider, is_trusted, case.ignored
    )


def _findings(scene: Scene) -> list[Finding]:
    case, findings = scene.case, _by_rules(RULES, scene)
    if case.provider is None:
        findings = list(comparing.with_alternatives(scene, findings))
    for played in scene.plays:
        findings += played.findings
    return weighed(found for found in findings if found.code not in case.ignored)


def _by_rules(rules: Iterable[Rule], scene: Scene) -> list[Finding]:
    return each_of(lambda rule: rule.find(scene), rules)


def unchecked(case: Case, reason: str) -> Report:
    """Return the report for a domain whose check failed."""
    return _failed(case, finding("check.failed", case.domain, reason=reason[:300]))


def _failed(case: Case, found: Finding) -> Report:
    """Return the report where one finding stops every client."""
    clients = [client.name for client in clients_of(case)]
    found = found.hurting(*clients)
    fares = tuple(Fare(client, False, None, str(found)) for client in clients)
    return Report(case.domain, fares, (found,), case.provider, False)


def _lost_domain(case: Case, facts: Facts) -> Finding | None:
    """Return that DNS has nothing for the domain, which explains all other failures."""
    errors = []
    for lookup in (facts.mx, facts.addresses):
        try:
            lookup(case.domain)
        except LookupFailed as error:
            errors.append(error)
    if not errors and _is_unknown(case, facts):
        return finding("domain.unknown", case.domain)
    if len(errors) < 2:
        return None
    return names.failed(case.domain, errors[0], "domain.lookup-failed")


def _is_unknown(case: Case, facts: Facts) -> bool:
    """Return whether the domain does not exist.

    Its hosts count too: some name servers say that a name does not exist where only
    names below it do.
    """
    if facts.mx(case.domain) or facts.addresses(case.domain):
        return False
    hosts = [
        f"{family.label}.{case.domain}" for family in case.families if family.label
    ]
    return not facts.is_known(case.domain) and not any(map(facts.exists, hosts))


# --- Clients ----------------------------------------------------------------------------


def clients_of(case: Case) -> list[Client]:
    """Return the clients of the families that are served.

    A family without a row in the table of clients counts as one client.
    """
    served = {family.name for family in case.families}
    known = {client.family for client in CLIENTS}
    others = [
        Client(family.askers or family.name, family.name)  # type: ignore[arg-type]
        for family in case.families
        if family.name not in known and family.label and family.formats
    ]
    clients = (client for client in CLIENTS if client.in_check)
    return [*(client for client in clients if client.family in served), *others]


def _fetch(
    case: Case, facts: Facts, clients: list[Client], requests: list[Ask]
) -> None:
    """Fetch in advance all that clients and rules need; list the clients' requests.

    All at once, so that servers that do not respond cost one timeout in total.
    """
    steps = list(dict.fromkeys(step for one in clients for step in steps_of(one, case)))
    far = [step for step in steps if step.place.startswith("mx")]
    near = [ask for step in steps if step not in far for ask in asks(step, case, facts)]
    for client in clients:
        near += _asks_of(client, case)
    requests += dict.fromkeys(near)

    def by_mx() -> None:
        further = [ask for step in far for ask in asks(step, case, facts)]
        side_by_side(partial(_quietly, partial(facts.answer, ask)) for ask in further)

    lookups: list[Callable[[], object]] = [by_mx]
    lookups += [partial(facts.answer, ask) for ask in requests]
    for rule in RULES:
        lookups += rule.lookups(case, facts) if rule.lookups else ()
    side_by_side(partial(_quietly, lookup) for lookup in lookups)


def _quietly(lookup: Callable[[], object]) -> None:
    with suppress(ProbeError, LookupFailed):
        lookup()


def _asks_of(client: Client, case: Case) -> list[Ask]:
    """Return the requests of a client without steps."""
    if client.steps:
        return []
    if client.family == "apple":
        return profile.asks(case)
    if client.family == "dav":
        return [dav.ask_for(url) for url in dav.well_known(case).values()]
    families = [family for family in case.families if family.name == client.family]
    return [Ask(single.url_of(case, family)) for family in families]


def _xml_asks(listed: list[Ask]) -> list[Ask]:
    """Return the requests for config-v1.1.xml; those with a real address come first."""
    paths = {step.path for one in CLIENTS for step in one.steps if step.kind == "xml"}
    found = [ask for ask in listed if split_url(ask.url).path in paths]
    return sorted(found, key=lambda ask: NOBODY in ask.url)


def _play(case: Case, facts: Facts, client: Client) -> Play:
    if client.steps:
        return play(client, case, facts)
    if client.family == "apple":
        played = profile.play(case, facts, client.name)
    elif client.family == "dav":
        played = dav.play(case, facts, client.name)
    else:
        family = next(each for each in case.families if each.name == client.family)
        played = single.play(case, facts, family, client.name)
    played.findings = [
        found if found.status == OK else found.hurting(client.name)
        for found in played.findings
    ]
    return played


# --- The result for a client ------------------------------------------------------------

# Families whose clients look in one place only: a warning there is all that they meet.
_IN_ONE_PLACE = ("apple", "pacc", "dav")


def _fare(case: Case, played: Play, findings: list[Finding]) -> Fare:
    client, setup = played.client, played.setup
    if setup is not None and case.address is None:
        setup = Setup(tuple(_for_anybody(case, account) for account in setup.servers))
    for found in findings:
        if found.status == FAILURE and client in found.clients:
            return Fare(client, False, setup, f"{found.places[0]}: {found.seen}")
    if setup is not None:
        return Fare(client, True, setup, "")
    for found in played.findings:
        if found.status == WARNING and played.family in _IN_ONE_PLACE:
            return Fare(client, None, None, f"{found.places[0]}: {found.seen}")
    return Fare(client, None, None, "")


def _for_anybody(case: Case, account: Account) -> Account:
    """Return the account with placeholders for the address that was asked with."""
    placeholders = {
        str(case.asker): "%EMAILADDRESS%",
        case.asker.local: "%EMAILLOCALPART%",
    }
    name = account.username
    return account._replace(username=placeholders.get(name or "", name))
