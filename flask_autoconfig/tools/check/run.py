"""The check of one domain: plays every client, applies the rules, and makes the report."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ...address import NOBODY, with_domain
from ...config.ports import standard_port
from ...config.tables import Provider, Server
from ...documents.setups import Setup
from ..clients import CLIENTS, Client, Step
from ..net.http import Response
from ..net.resolver import LookupFailed
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from .context import Context, Play, requests_of, steps_of
from .facts import Facts, Request, gather, run_concurrently
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

_ABSENT = ("document.no", "document.some")  # the start of codes
_TIMEOUTS = 2.6  # for a domain, at most so many times the network's timeout
_MAIL_PATIENCE = 30  # seconds that every client waits for a mail server

_Rule = Callable[[Context], Iterable[Finding]]
# Rules that only need the file, and apply before anything is published.
_RULES_OF_FILE: tuple[_Rule, ...] = (servers.mail, servers.each_address, dav.check_urls)
_RULES: tuple[_Rule, ...] = (
    names.hosts,
    names.mx,
    names.services,
    single.autodiscover,
    names.only_ipv6,
    name_servers.dnssec,
    name_servers.delegation,
    name_servers.authorities,
    *_RULES_OF_FILE,
    documents.check_documents,
    comparing.documents_at_addresses,
    connections.web_servers,
    comparing.differences,
    comparing.activesync_urls,
    comparing.missing_document,
    comparing.ispdb,
    single.missing,
    single.paths,
    comparing.unanswered_hosters,
)
# The requests of clients without steps, and how they are played, by family.
_WITHOUT_STEPS = {
    "apple": (single.profile_requests, single.play_profile),
    "dav": (dav.url_requests, dav.play),
}
_USUAL = (single.document_requests, single.play)


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
    is_trusted: bool  # from the file, or received completely over verified https
    ignored: frozenset[str] = frozenset()  # codes of findings to leave out
    led_to: tuple[Server, ...] = ()  # calendars that no document lists

    def has(self, code: str) -> bool:
        return any(found.code == code for found in self.findings)

    def with_findings(self, more: Iterable[Finding]) -> "Report":
        """Return the report with further findings, without those to leave out."""
        shown = [found for found in more if found.code not in self.ignored]
        return replace(self, findings=tuple(merged([*self.findings, *shown])))


def reach(case: Case, network: Network, wait: float | None = None) -> Network:
    """Return the network for a domain: with its deadline, and the file's hosts allowed.

    *wait* is how many seconds it may wait for servers, by default :func:`seconds`.
    """
    allowed = replace(network, own=network.own | frozenset(_hosts(case)))
    return allowed.step(seconds(network) if wait is None else wait)


def seconds(network: Network) -> float:
    """Return the most seconds that the check of one domain waits for servers."""
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


def check_file(case: Case, facts: Facts) -> Report:
    """Check the servers of the file only."""
    context = Context(case, facts, case.provider)
    findings = gather(lambda rule: rule(context), _RULES_OF_FILE)
    report = Report(case.domain, (), (), case.provider, True, case.ignored)
    return report.with_findings(findings)


def check_published(case: Case, facts: Facts) -> Report:
    """Check what is published: play every client, and find what stops it."""
    clients = clients_of(case)
    requests: list[Request] = []
    fetch = partial(_fetch, case, facts, clients, requests)
    missing, _ = run_concurrently((partial(_missing_domain, case, facts), fetch))
    if missing is not None and missing.code not in case.ignored:
        return failed(case, missing)
    steps = (step for client in CLIENTS for step in client.steps)
    paths = {step.path for step in steps if step.kind == "xml"}
    by_xml = [request for request in requests if split_url(request.url).path in paths]
    by_xml.sort(key=lambda request: NOBODY in request.url)  # real addresses first
    found, faulty = documents.read_documents(by_xml, case, facts)
    plays = run_concurrently(partial(_play, case, facts, client) for client in clients)
    parked = _parked_domain(case, facts, plays)
    if parked is not None and parked.code not in case.ignored:
        return failed(case, parked)
    context = Context(case, facts, case.provider, tuple(plays), tuple(requests))
    context = replace(context, documents=tuple(found), faulty=tuple(faulty))
    context = replace(context, shared_usernames=comparing.shared_usernames(context))
    context = replace(context, sources=() if case.provider else sources.ranked(context))
    context = replace(context, foreign=documents.foreign(context))
    is_trusted = case.provider is not None
    if not is_trusted and (document := comparing.reference_document(context)):
        context = replace(context, provider=document.provider)
        is_trusted = document.is_verified
    context = replace(context, led_to=tuple(dav.led_to(context)))

    found_by_rules = gather(lambda rule: rule(context), _RULES)
    findings = [causes.by_alias(case, facts, found) for found in found_by_rules]
    if facts.is_late:  # what seems to be absent may not have been asked for
        findings = [
            found.marked("late" if found.code.startswith(_ABSENT) else "")
            for found in findings
        ]
    for played in plays:
        findings += played.findings
    findings = weighed(found for found in findings if found.code not in case.ignored)
    results = tuple(_result_of(case, facts, played, findings) for played in plays)
    of_servers = (found for found in findings if found.step == "server")
    places = {place for found in of_servers for place in found.places}
    calendars = tuple(server for server in context.led_to if server.url in places)
    settings = (context.provider, is_trusted, case.ignored, calendars)
    return Report(case.domain, results, tuple(findings), *settings)


def _findings_of(case: Case, played: Play) -> Iterator[Finding]:
    """Yield the findings of a client; notes for families that the file has nothing for.

    Another service may have settings for these clients, such as an Exchange server.
    """
    families = [family for family in case.families if family.label and family.formats]
    empty = [
        family
        for family in families
        if case.provider and not family.writes_document(case.provider, case.domain)
    ]
    hosts = {f"{family.label}.{case.domain}" for family in empty}
    is_empty = any(family.name == played.client.family for family in empty)
    for found in played.findings:
        found = found if found.status == OK else found.hurting(played.client.name)
        is_unserved = is_empty or split_url(found.subject).hostname in hosts
        yield found.marked("absent" if is_unserved and found.step != "server" else "")


def failed(case: Case, found: Finding) -> Report:
    """Return the report for a domain with a finding that stops every client."""
    clients = [client.name for client in clients_of(case)]
    found = found.hurting(*clients)
    results = tuple(ClientResult(client, False, None, str(found)) for client in clients)
    return Report(case.domain, results, (found,), case.provider, False)


def _missing_domain(case: Case, facts: Facts) -> Finding | None:
    """Return the finding that DNS has nothing for the domain: nothing else can work.

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
    if errors or has_records or facts.is_known(case.domain):
        return None
    if any(map(facts.exists, case.hosts)):
        return None
    return finding("domain.unknown", case.domain)


def _parked_domain(case: Case, facts: Facts, plays: list[Play]) -> Finding | None:
    """Return the finding that a domain without settings and mail has a parking page."""
    findings = (found for play in plays for found in play.findings)
    parked = (found.subject for found in findings if found.code == "http.parked")
    hosts = [split_url(url).hostname or "" for url in parked]
    is_parked = any(web.is_same_host(facts, case.domain, host) for host in hosts)
    if not is_parked or any(play.setup for play in plays):
        return None
    mx_hosts = [host for host in facts.mx_hosts(case.domain) if host != "localhost"]
    if any(_may_have_mail(case, facts, host) for host in mx_hosts):
        return None
    return finding("domain.parked", case.domain)


def _may_have_mail(case: Case, facts: Facts, host: str) -> bool:
    """Return whether an MX host may be another than that of a parking page."""
    try:
        exists = bool(facts.addresses(host))
    except LookupFailed:
        return True
    is_parking = web.is_same_host(facts, host, case.domain)
    return exists and not (is_parking and facts.is_from_wildcard(host, case.domain))


def clients_of(case: Case) -> list[Client]:
    """Return the clients of the families that are served.

    A family without a row in the table of clients counts as one client.
    """
    served = {family.name for family in case.families}
    in_table = {client.family for client in CLIENTS}
    others = [
        Client(family.askers or family.name, family.name)  # type: ignore[arg-type]
        for family in case.families
        if family.name not in in_table and family.label and family.formats
    ]
    clients = (client for client in CLIENTS if client.in_check)
    return [*(client for client in clients if client.family in served), *others]


def _fetch(
    case: Case, facts: Facts, clients: list[Client], requests: list[Request]
) -> None:
    """Fetch in advance all that clients and rules need; add to the clients' requests.

    All at once, so that servers that do not respond cost one timeout in total.
    """
    steps = {step: None for client in clients for step in steps_of(client, case)}
    near = [step for step in steps if not step.is_far]
    first = [request for step in near for request in requests_of(step, case, facts)]
    for client in clients:
        make_requests, _ = _WITHOUT_STEPS.get(client.family, _USUAL)
        first += [] if client.steps else make_requests(client, case)
    requests += dict.fromkeys(first)

    def responses(request: Request) -> Iterator[Response]:
        with suppress(ProbeError):
            yield facts.fetch(request)

    def responses_of(step: Step) -> list[Response]:
        return gather(responses, requests_of(step, case, facts))

    context = Context(case, facts, case.provider)
    tasks: list[Callable[[], object]] = [partial(gather, responses, requests)]
    tasks += [partial(responses_of, step) for step in steps if step.is_far]
    early = (names.services, *_RULES_OF_FILE)
    tasks += [partial(gather, rule, [context]) for rule in early]
    run_concurrently(tasks)


def _play(case: Case, facts: Facts, client: Client) -> Play:
    _, play_other = _WITHOUT_STEPS.get(client.family, _USUAL)
    played = (play if client.steps else play_other)(client, case, facts)
    played.findings = [*_findings_of(case, played)]
    return played


def _result_of(
    case: Case, facts: Facts, played: Play, findings: list[Finding]
) -> ClientResult:
    """Return the result for a client, by the findings that affect it."""
    client, setup = played.client.name, played.setup
    if setup is not None and case.address is None:
        address, local = str(case.asker), case.asker.local
        placeholders = {address: "%EMAILADDRESS%", local: "%EMAILLOCALPART%"}
        accounts = []
        for account in setup.servers:
            name = placeholders.get(account.username or "", account.username)
            accounts.append(account._replace(username=name))
        setup = Setup(tuple(accounts))
    works = None if setup is None else True
    of_client = [found for found in findings if client in found.clients]
    stops = [found for found in of_client if found.status == FAILURE]
    if stops:
        waits_longer = {  # than the check
            "server.timeout": seconds(facts.network) < _MAIL_PATIENCE,
            "http.timeout": facts.network.timeout < played.client.patience,
        }
        decided = [
            found
            for found in stops
            if not waits_longer.get(found.code) and "undecided" not in found.marks
        ]
        works, stops = (False, decided) if decided else (None, stops)
    elif setup is None:
        stops = [found for found in of_client if found.status == WARNING]
    elif stops := [found for found in of_client if found.code == "ispdb.differs"]:
        works = None  # either may be out of date
    stopped_by = f"{stops[0].places[0]}: {stops[0].seen}" if stops else ""
    return ClientResult(client, works, setup, stopped_by)
