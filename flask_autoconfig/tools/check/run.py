"""The check of one domain: plays every client, applies the rules, and makes the report."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ...address import NOBODY, with_domain
from ...config.ports import standard_port
from ...config.tables import Provider, Server
from ...documents.setups import Setup
from .. import zone
from ..clients import CLIENTS, Client, Step
from ..net.http import Response
from ..net.resolver import LookupFailed
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from . import texts
from .context import Context, Play, requests_of, steps_of
from .facts import Facts, Request, each_of, side_by_side
from .findings import FAILURE, OK, WARNING, Case, Finding, finding, merged, weighed
from .playing import play
from .rules import (
    causes,
    comparing,
    connections,
    dav,
    documents,
    name_servers,
    names,
    servers,
    single,
    sources,
    web,
)

_ABSENT = ("document.no", "document.some")  # codes of what is not published
_TIMEOUTS = 2.6  # for a domain, at most so many times the network's timeout
_PATIENCE = 30  # seconds that every client waits for a mail server
Notify = Callable[[str], None]

_Rule = Callable[[Context], Iterable[Finding]]
# Rules that only need the file, and apply before anything is published.
_RULES_OF_FILE: tuple[_Rule, ...] = (servers.look, servers.each_address, dav.look)
_RULES: tuple[_Rule, ...] = (
    names.hosts,
    names.mx,
    names.services,
    single.autodiscover,
    single.consent,
    names.half_answered,
    name_servers.dnssec,
    name_servers.delegation,
    name_servers.authorities,
    *_RULES_OF_FILE,
    documents.look,
    comparing.each_document,
    connections.web_servers,
    comparing.differences,
    comparing.replaced_profiles,
    comparing.phones,
    comparing.nothing,
    comparing.ispdb,
    single.missing,
    single.paths,
    comparing.hosters,
)
# What clients without steps request, and how they are played, by family.
_OTHERS = {
    "apple": (single.profile_requests, single.play_profile),
    "dav": (dav.url_requests, dav.play),
}
_USUAL = (single.family_requests, single.play)


@dataclass(frozen=True)
class ClientResult:
    """The result for one client, as `--json` has it."""

    client: str
    works: bool | None  # None: nothing is published for it, or it is not known
    sets_up: Setup | None
    stopped_by: str


@dataclass(frozen=True)
class Report:
    """The result for a domain."""

    domain: str
    results: tuple[ClientResult, ...]
    findings: tuple[Finding, ...]
    provider: Provider | None  # whose servers were checked
    is_trusted: bool  # it is from the file, or came completely over verified https
    ignored: frozenset[str] = frozenset()  # codes of findings to leave out
    led_to: tuple[Server, ...] = ()  # calendars that no document lists

    def has(self, code: str) -> bool:
        """Return whether there is a finding with this code."""
        return any(found.code == code for found in self.findings)

    def with_findings(self, more: Iterable[Finding]) -> "Report":
        """Return the report with further findings."""
        kept = [found for found in more if found.code not in self.ignored]
        return replace(self, findings=tuple(merged([*self.findings, *kept])))


# --- The network ------------------------------------------------------------------------


def reach(case: Case, network: Network, wait: float | None = None) -> Network:
    """Return the network for a domain: with its deadline, and the file's hosts allowed.

    *wait* is how many seconds it may wait for servers, by default :func:`seconds`.
    """
    allowed = replace(network, own=network.own | frozenset(_hosts(case)))
    return allowed.step(seconds(network) if wait is None else wait)


def seconds(network: Network) -> float:
    """Return how long the check of one domain may wait for servers."""
    return _TIMEOUTS * network.timeout


def _hosts(case: Case) -> Iterator[tuple[str, int]]:
    """Yield the hosts and ports of the file, and of the domain's web servers.

    A domain that matches a pattern of the file belongs to somebody else, and its DNS may
    name any host.
    """
    if case.provider is None:
        return
    if case.exact:
        for host in (case.domain, f"www.{case.domain}", *case.hosts):
            yield from ((host, port) for port in (80, 443))
    for _, server in case.provider.servers:
        host = with_domain(server.hostname or "", case.domain)
        yield host, server.port or 0
        for socket_type in ("SSL", "STARTTLS"):  # ports that are tried as well
            yield host, standard_port(server.type, socket_type) or 0
        parts = split_url(with_domain(server.url or "", case.domain))
        port = parts.port or (80 if parts.scheme == "http" else 443)
        yield parts.hostname or "", port


# --- The check --------------------------------------------------------------------------


def unpublished(case: Case, facts: Facts, notify: Notify) -> Report:
    """Check the servers of the file only."""
    notify(f"{case.domain}: asking the servers of the file")
    context = Context(case, facts, case.provider)
    findings = each_of(lambda rule: rule(context), _RULES_OF_FILE)
    report = Report(case.domain, (), (), case.provider, True, case.ignored)
    return report.with_findings(findings)


def published(case: Case, facts: Facts, notify: Notify) -> Report:
    """Check what is published: play every client, and find what stops it."""
    notify(f"{case.domain}: asking DNS and the web for what clients ask")
    clients = clients_of(case)
    requests: list[Request] = []
    fetch = partial(_fetch, case, facts, clients, requests)
    lost, _ = side_by_side((partial(_lost_domain, case, facts), fetch))
    if lost is not None and lost.code not in case.ignored:
        return failed(case, lost)
    paths = {step.path for one in CLIENTS for step in one.steps if step.kind == "xml"}
    xml_requests = [
        request for request in requests if split_url(request.url).path in paths
    ]
    xml_requests.sort(
        key=lambda request: NOBODY in request.url
    )  # those with a real address first
    found, faulty = documents.found(xml_requests, case, facts)
    plays = side_by_side(partial(_play, case, facts, client) for client in clients)
    lost = _parked(case, facts, plays)
    if lost is not None and lost.code not in case.ignored:
        return failed(case, lost)
    known = (case, facts, case.provider, tuple(plays), tuple(requests))
    context = Context(*known, documents=tuple(found), faulty=tuple(faulty))
    context = replace(context, names_for_all=comparing.names_for_all(context))
    context = replace(context, sources=() if case.provider else sources.ranked(context))
    context = replace(context, foreign=documents.foreign(context))
    document = comparing.reference(context) if case.provider is None else None
    is_trusted = document.is_verified if document else case.provider is not None
    context = replace(
        context, provider=document.provider if document else case.provider
    )
    context = replace(context, led_to=tuple(dav.led_to(context)))

    notify(f"{case.domain}: asking the servers, and comparing the results")
    found_by_rules = each_of(lambda rule: rule(context), _RULES)
    findings = [causes.by_alias(case, facts, one) for one in found_by_rules]
    if facts.is_late:  # what seems to be absent may not have been asked for
        absent = [one for one in findings if one.code.startswith(_ABSENT)]
        findings = [one.marked("late" if one in absent else "") for one in findings]
    for played in plays:
        findings += played.findings
    kept = weighed(found for found in findings if found.code not in case.ignored)
    results = tuple(_fare(case, facts, played, kept) for played in plays)
    places = {place for it in kept if it.step == "server" for place in it.places}
    led_to = tuple(it for it in context.led_to if it.url in places)
    servers = (context.provider, is_trusted, case.ignored, led_to)
    return Report(case.domain, results, tuple(kept), *servers)


def _at_ours(case: Case, played: Play) -> Iterator[Finding]:
    """Yield the findings of a client; notes for families that the file has nothing for.

    Others may serve these clients, such as an Exchange.
    """
    provider, domain = case.provider, case.domain
    listed = [it for it in case.families if it.label and it.formats]
    empty = [it for it in listed if provider and not it.writes(provider, domain)]
    hosts = {f"{it.label}.{domain}" for it in empty}
    is_empty = any(it.name == played.client.family for it in empty)
    for found in played.findings:
        found = found if found.status == OK else found.hurting(played.client.name)
        is_others = is_empty or split_url(found.subject).hostname in hosts
        yield found.marked("absent" if is_others and found.step != "server" else "")


def failed(case: Case, found: Finding) -> Report:
    """Return the report for a domain with a finding that stops every client."""
    clients = [client.name for client in clients_of(case)]
    found = found.hurting(*clients)
    results = tuple(ClientResult(client, False, None, str(found)) for client in clients)
    return Report(case.domain, results, (found,), case.provider, False)


def _lost_domain(case: Case, facts: Facts) -> Finding | None:
    """Return that DNS has nothing for the domain, which explains all other failures.

    The families' hosts count too: some name servers say that a name does not exist where
    only names below it do.
    """
    errors, has_records = [], False
    for lookup in (facts.mx, facts.addresses):
        try:
            has_records = bool(lookup(case.domain)) or has_records
        except LookupFailed as error:
            errors.append(error)
    if len(errors) == 2:
        return web.failed(case.domain, errors[0], "domain.lookup-failed")
    if above := _domain_above(case, facts):
        return finding("domain.is-host", case.domain, parent=above, name=case.domain)
    if errors or has_records or facts.is_known(case.domain):
        return None
    if any(map(facts.exists, case.hosts)):
        return None
    _, _, parent = case.domain.partition(".")
    with suppress(LookupFailed):
        if "." in parent and (facts.mx(parent) or facts.addresses(parent)):
            return finding("domain.not-in-zone", case.domain, parent=parent)
    return finding("domain.unknown", case.domain)


def _domain_above(case: Case, facts: Facts) -> str:
    """Return the domain of addresses that the name is a host of, or ""."""
    label, _, above = case.domain.partition(".")
    own = filter(facts.exists, case.hosts)
    is_own = any(not facts.is_by_wildcard(it, above) for it in own)
    services = [row[0] for row in zone.MAIL_SERVICES]
    is_own = is_own or any(facts.targets(f"{it}.{case.domain}") for it in services)
    if case.provider or facts.mx_hosts(case.domain) or is_own or "." not in above:
        return ""
    hosts = {host for it in services for host, _ in facts.targets(f"{it}.{above}")}
    hosts |= {*facts.mx_hosts(above)}
    is_host = label in texts.table("shared")["host_labels"].split()
    return above if hosts and (is_host or case.domain in hosts) else ""


def _parked(case: Case, facts: Facts, plays: list[Play]) -> Finding | None:
    met = (found for play in plays for found in play.findings)
    pages = [split_url(it.subject).hostname for it in met if it.code == "http.parked"]
    is_parked = any(web.is_same_host(facts, case.domain, str(it)) for it in pages)
    if not is_parked or any(play.setup for play in plays):
        return None
    hosts = [host for host in facts.mx_hosts(case.domain) if host != "localhost"]
    if any(_may_have_mail(case, facts, host) for host in hosts):
        return None
    return finding("domain.parked", case.domain)


def _may_have_mail(case: Case, facts: Facts, host: str) -> bool:
    """Return whether an MX host may be another than that of a parking page."""
    try:
        is_there = bool(facts.addresses(host))
    except LookupFailed:
        return True
    is_parking = web.is_same_host(facts, host, case.domain)
    return is_there and not (is_parking and facts.is_by_wildcard(host, case.domain))


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
    case: Case, facts: Facts, clients: list[Client], requests: list[Request]
) -> None:
    """Fetch in advance all that clients and rules need; list the clients' requests.

    All at once, so that servers that do not respond cost one timeout in total.
    """
    steps = list(dict.fromkeys(step for one in clients for step in steps_of(one, case)))
    near = [
        request
        for step in steps
        if not step.is_far
        for request in requests_of(step, case, facts)
    ]
    for client in clients:
        make_requests, _ = _OTHERS.get(client.family, _USUAL)
        near += [] if client.steps else make_requests(client, case)
    requests += dict.fromkeys(near)

    def answered(request: Request) -> Iterator[Response]:
        with suppress(ProbeError):
            yield facts.fetch(request)

    def elsewhere(step: Step) -> list[Response]:
        return each_of(answered, requests_of(step, case, facts))

    by_file = Context(case, facts, case.provider)
    lookups: list[Callable[[], object]] = [partial(each_of, answered, requests)]
    lookups += [partial(elsewhere, step) for step in steps if step.is_far]
    early = (names.services, *_RULES_OF_FILE)
    lookups += [partial(each_of, rule, [by_file]) for rule in early]
    side_by_side(lookups)


def _play(case: Case, facts: Facts, client: Client) -> Play:
    _, play_other = _OTHERS.get(client.family, _USUAL)
    played = (play if client.steps else play_other)(client, case, facts)
    played.findings = [*_at_ours(case, played)]
    return played


def _fare(
    case: Case, facts: Facts, played: Play, findings: list[Finding]
) -> ClientResult:
    client, setup = played.client.name, played.setup
    if setup is not None and case.address is None:
        # With placeholders for the address that was asked with.
        who = case.asker
        names = {str(who): "%EMAILADDRESS%", who.local: "%EMAILLOCALPART%"}
        used = [(one, names.get(one.username or "")) for one in setup.servers]
        listed = (one._replace(username=name or one.username) for one, name in used)
        setup = Setup(tuple(listed))
    works = None if setup is None else True
    met = [found for found in findings if client in found.clients]
    stops = [found for found in met if found.status == FAILURE]
    if stops:
        is_silent = {it.code for it in stops} == {"server.timeout"}
        works = None if is_silent and seconds(facts.network) < _PATIENCE else False
    elif setup is None:
        stops = [found for found in met if found.status == WARNING]
    elif stops := [found for found in met if found.code == "ispdb.differs"]:
        works = None  # either may be out of date
    stopped_by = f"{stops[0].places[0]}: {stops[0].seen}" if stops else ""
    return ClientResult(client, works, setup, stopped_by)
