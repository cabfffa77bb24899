"""Comparisons of what clients set up, with each other and with the file."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ....address import NOBODY, Address
from ....config.ports import MAIL_TYPES
from ....config.tables import Provider
from ....documents import Recipient, activesync, apple, outlook, setups
from ....documents.setups import Account, Setup, UnusableDocumentError
from ....documents.thunderbird_reader import NotAutoconfigError
from ....errors import ConfigError
from ....families import Family
from ...clients import OUTLOOK, THUNDERBIRD, Client, label_of, readings_of
from ...naming import SERVERS
from ...net.http import Response
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from ...reading import in_words as enumerated
from ..context import Context, Document, Play, request_of, requests_of
from ..facts import Request
from ..findings import FAILURE, WARNING, Case, Finding, finding, has_failure
from . import connections, documents, servers, single, sources, web

# What keeps this program, but not clients, from settings.
_UNTOLD = ("http.limited", *web.PASSWORD_PROMPTS)
_WITHOUT_CHOICE = ("outlook", "apple")  # families of clients that try one setup alone


def reference_document(context: Context) -> Document | None:
    """Return the document of the best source, else that of the ISP database."""
    published = [source.document for source in context.sources if source.document]
    if not published:
        outcomes = [play.outcome for play in context.plays if play.is_by_ispdb]
        requests = (Request(outcome.url) for outcome in outcomes if outcome)
        published, _ = documents.read_documents(requests, context.case, context.facts)
    return next((doc for doc in published if doc not in context.foreign), None)


# --- Accounts ---------------------------------------------------------------------------


def differences(context: Context) -> Iterator[Finding]:
    """Yield how the setups of clients differ from the file, or from other sources."""
    file = context.case.provider
    for play in context.own_plays:
        if play.setup is None or play.client.family == "dav" or play.failures():
            continue
        compared = _with_file(context, play, file) if file else _faults(context, play)
        findings = [*compared]
        for account in () if context.has_document(play) else play.mail:
            if account.username in context.shared_usernames:
                name = str(account.username)
                findings.append(_shared_name(context.case, play.place, name))
        for slip in play.setup.slips:
            code, values = slip.code or "document.ignored", {"message": slip.message}
            findings.append(finding(code, play.place, advice=slip.cure, **values))
        yield from (found.hurting(play.client.name) for found in findings)
    yield from sources.contradictions(context)


def _shared_name(case: Case, place: str, name: str) -> Finding:
    other = name.partition("@")[2]
    if other and not case.has(other) and not documents.is_unusable_username(case, name):
        code, domain = "document.other-users", case.domain
        return finding(code, place, domain=domain, others=other)
    return documents.shared_name(case, place, name)


def _with_file(context: Context, play: Play, file: Provider) -> Iterator[Finding]:
    """Yield how the accounts of a client differ from those of the file."""
    facts, asker = context.facts, context.case.asker
    expected = _expected(context, play.client, file)
    pairs = [*sources.unexpected(expected, play.accounts, asker)]
    if play.is_by_ispdb:
        yield from (_in_ispdb(context, play, "the file says", pair) for pair in pairs)
        return
    dead = _dead_exchange(context, play)
    yield from dead or _incomplete(context, play, file, expected)
    differing: dict[tuple[str, str], list[sources.Pair]] = {}
    for wanted, actual in pairs:
        if "none" in (wanted.authentication, actual.authentication):
            refused = [*connections.refused_method(facts, actual, play.client)]
            yield from refused
            without_method = actual._replace(authentication="")
            if refused and sources.is_same(without_method, wanted, asker):
                continue
        is_same_server = actual == wanted._replace(username=actual.username)
        if is_same_server and actual.username in context.shared_usernames:
            continue  # the user name has a finding of its own
        code, mark = _code_and_mark(context, play, wanted, actual)
        if not (mark and context.has_document(play)):  # whose finding says it
            differing.setdefault((code, mark), []).append((wanted, actual))
    for (code, mark), alike in differing.items():
        found = sources.difference(code, play.place, "the file says", asker, *alike)
        yield found.marked(mark)


def _code_and_mark(
    context: Context, play: Play, wanted: Account, actual: Account
) -> tuple[str, str]:
    """Return the code for an account that differs from the file's, and its mark."""
    is_faulty = sources.is_faulty(context, actual)
    is_moved = not (is_faulty or actual.url) and sources.is_faulty(context, wanted)
    is_moved = is_moved and servers.is_alive(context.facts, Endpoint.of(actual))
    is_same = partial(sources.is_same, wanted, asker=context.case.asker)
    is_beside = any(map(is_same, play.mail))
    is_beside = is_beside or servers.works_as_well(context, wanted, actual)
    code = "setup.file-outdated" if is_moved else "setup.differs"
    return code, "beside" if is_beside and not is_faulty else ""


def _incomplete(
    context: Context, play: Play, file: Provider, expected: Sequence[Account]
) -> Iterator[Finding]:
    types, exchange = {account.type for account in play.accounts}, _exchange(play)
    mail = [account for account in expected if account.type in MAIL_TYPES]
    missing = [one for one in mail if not one.url and one.type not in types]
    has_exchange = any(server.type in web.EXCHANGE_TYPES for _, server in file.servers)
    if missing and not (has_exchange and exchange):
        set_up = ", ".join(map(str, [*play.mail, *exchange]))
        words = enumerated([SERVERS[account.type] for account in missing], "or")
        theirs = f"{set_up} and no {words}" if set_up else "no mail account"
        ours = ", ".join(map(str, missing))
        found = finding("setup.incomplete", play.place, theirs=theirs, ours=ours)
        is_beside = "imap" in types and all(one.type == "pop3" for one in missing)
        is_alive = not {401, 403}.isdisjoint(_exchange_statuses(context, play))
        found = found.marked("beside" if is_beside else "")
        yield found.marked("exchange" if is_alive else "")


def _exchange(play: Play) -> list[Account]:
    """Return the accounts of an Exchange server, which needs no others."""
    urls = [account for account in play.accounts if account.url]
    return [account for account in urls if account.type in ("ews", "activesync")]


def _exchange_statuses(context: Context, play: Play) -> Iterator[int]:
    """Yield the status of each Exchange URL, 0 if no server is there."""
    for account in _exchange(play):
        try:
            has_host = context.facts.addresses(split_url(account.url).hostname or "")
            yield context.facts.fetch(Request(account.url)).status if has_host else 0
        except ProbeError as error:
            yield 0 if error.kind == "connect" else 500
        except LookupFailed:
            yield 500


def _dead_exchange(context: Context, play: Play) -> list[Finding]:
    """Report an Exchange none of whose URLs answers; some may do so inside only."""
    statuses = set(_exchange_statuses(context, play))
    if not statuses or not statuses <= {0, 404, 410}:
        return []
    reason = f"status {max(statuses)}" if max(statuses) else "no server is there"
    account, *_ = _exchange(play)
    return [finding("setup.dead-url", play.place, account=account, reason=reason)]


def activesync_urls(context: Context) -> Iterator[Finding]:
    """Report URLs of ActiveSync that lead nowhere, or that phones do not get."""
    case, provided = context.case, context.case.provider
    is_meant = provided and any(row.type == "activesync" for _, row in provided.servers)
    schemas = outlook.RESPONSE.encode(), activesync.NAMESPACE.encode()
    for play in context.plays:
        if play.client != OUTLOOK or play.outcome is None:
            continue
        request = request_of(OUTLOOK.steps[1], case, play.outcome.response.url)
        request = request._replace(body=(request.body or b"").replace(*schemas))
        response, problem = web.fetch(case, context.facts, request)
        try:
            body = web.decompressed(response)
            setup = setups.read_outlook(body) if response.status else Setup(())
            for dead in _dead_exchange(context, replace(play, setup=setup)):
                yield dead.hurting("ActiveSync phones")
        except UnusableDocumentError as error:
            # Phones send the password where they are asked for it.
            if is_meant and response.status not in (401, 429, 503):
                reason, url = problem.seen if problem else error, play.outcome.url
                found = finding("autodiscover.no-phones", url, reason=reason)
                yield found.hurting("ActiveSync phones")


def _expected(context: Context, client: Client, file: Provider) -> tuple[Account, ...]:
    """Return what a client would set up with the documents of the file."""
    case, setup = context.case, None
    recipient = Recipient(case.domain, case.asker, exact=case.exact)
    if client.family == "apple" and (profile := apple.write(file, recipient)):
        with suppress(UnusableDocumentError):
            setup = servers.with_starttls(context.facts, setups.read_profile(profile))
    elif client.steps:
        ((_, reading),) = readings_of([client], file, recipient)
        setup = reading.setup
    return setup.servers if setup else ()


def _faults(context: Context, play: Play) -> Iterator[Finding]:
    client, asker = play.client, context.case.asker
    has_one_setup = client.family in _WITHOUT_CHOICE
    for account in play.mail:
        reason = "" if context.has_document(play) else sources.of_own_network(account)
        if reason:
            code = "setup.private-host"
            found = finding(code, play.place, account=account, reason=reason)
            is_alive = servers.is_alive(context.facts, Endpoint.of(account))
            yield found.marked("beside" if is_alive else "")
        is_read = client.rules.oauth != "unknown" or account.type == "smtp"
        is_chosen = not has_one_setup and context.has_document(play)
        if not is_chosen or (account.authentication == "none" and is_read):
            yield from connections.refused_method(context.facts, account, client)
    if has_one_setup:
        types = {account.type for account in play.mail}
        missing = "" if "smtp" in types else SERVERS["smtp"]
        missing = "IMAP or POP3 server" if types <= {"smtp"} else missing
        if types and missing and not _exchange(play):
            mail = ", ".join(map(str, play.mail))
            yield finding("setup.half", play.place, theirs=mail, missing=missing)
        yield from _dead_exchange(context, play)
    provider = context.provider if client.family == "apple" else None
    expected = [
        Account(server.type, "", 0, "", server.username, url=server.url)
        for _, server in (provider.servers if provider else ())
        if server.url
    ]
    for pair in sources.unexpected(expected, play.accounts, asker):
        if pair[0].url == pair[1].url:  # only the user names differ
            code, by = "profile.other-name", "config-v1.1.xml says"
            yield sources.difference(code, play.place, by, asker, pair)
    if play.is_by_ispdb and context.reference:
        accounts, by = (
            context.reference.accounts,
            sources.attribution(context.reference),
        )
        pairs = sources.unexpected(accounts, play.accounts, asker)
        yield from (_in_ispdb(context, play, by, pair) for pair in pairs)


def _in_ispdb(context: Context, play: Play, by: str, pair: sources.Pair) -> Finding:
    asker, is_faulty = context.case.asker, sources.is_faulty(context, pair[1])
    found = sources.difference("ispdb.differs", play.place, by, asker, pair)
    return found.marked("only way" if is_faulty else "")


def shared_usernames(context: Context) -> frozenset[str]:
    """Return the user names that everybody gets, as requests for two people show."""
    case = replace(context.case, address=context.case.asker)
    another = replace(case, address=Address(NOBODY, case.domain))
    shared = documents.shared_usernames(context.case, context.documents)
    for play in context.plays:
        names = {account.username or "" for account in play.mail}
        shared |= {name for name in names if documents.is_unusable_username(case, name)}
        suspect = {
            name for name in names if documents.is_others_username(case, name)
        } - shared
        response = play.outcome.response if play.outcome else None
        setup: Setup | None = Setup(())
        if suspect and play.client.family == "apple":
            setup = single.play_profile(play.client, another, context.facts).setup
        elif suspect and response and play.client.family == "outlook":
            with suppress(ProbeError, UnusableDocumentError):
                request = request_of(OUTLOOK.steps[1], another, response.url)
                setup = setups.read_outlook(
                    web.decompressed(context.facts.fetch(request))
                )
        accounts = setup.servers if setup else ()
        shared |= suspect & {account.username or "" for account in accounts}
    return shared


# --- What is not published --------------------------------------------------------------


def missing_document(context: Context) -> Iterator[Finding]:
    """Report that there is no config-v1.1.xml where there should be one."""
    served = [kind for kind in context.case.families if kind.name == "thunderbird"]
    codes = {found.code for play in context.plays for found in play.findings}
    is_there = context.documents or context.faulty or "document.not-read" in codes
    absent = None if is_there or not served else _no_document(context, served[0])
    if context.case.provider is not None:
        yield from filter(None, [absent])
        return
    plays = [play for play in context.plays if play.client.family != "dav"]
    is_found = any(play.setup is not None for play in plays)
    # Somebody has made the name for the document, or the document.
    meant = ("document.not-there", "document.misplaced", "document.none-at-domain")
    is_meant = absent is not None and absent.code in meant
    if absent and is_meant:
        yield absent.marked("first place" if is_found else "")
    if is_found:
        yield from _some(context, plays)
    elif own := [*sources.own_programs(context.facts, context.case.domain)]:
        yield from own
    elif absent and not (is_meant or absent.advice):  # such as another name
        met = [found for play in plays for found in play.findings]
        bad = [one for one in met if one.step == "document" or one.code == "http.empty"]
        is_explained = has_failure(bad) or any(found.code in _UNTOLD for found in met)
        found = finding("document.none", context.case.domain)
        yield found.marked("explained" if is_explained else "")


def _some(context: Context, plays: list[Play]) -> Iterator[Finding]:
    """Report clients that find nothing, unlike others, and meet no problem."""
    clients = [
        play.client
        for play in plays
        if play.client.steps and play.setup is None
        if all(found.code not in _UNTOLD for found in play.findings)
        if all(found.status not in (WARNING, FAILURE) for found in play.findings)
    ]
    clients.sort(key=lambda client: client.family != "thunderbird")
    for client in clients[:1]:
        domain, names = context.case.domain, [client.name for client in clients]
        host = f"{context.case.family(client.family).label}.{domain}"
        found = finding("document.some", domain, askers=enumerated(names), name=host)
        # Another finding reports a host that lacks the documents of others.
        is_reported = client.family == "thunderbird" and context.documents
        is_absent = context.facts.exists(host) or not is_reported
        yield found.hurting(*names).marked("absent" if is_absent else "")


def _no_document(context: Context, family: Family) -> Finding:
    """Return the finding for a config-v1.1.xml that is not there, or elsewhere."""
    domain, plays, facts = context.case.domain, context.plays, context.facts
    name = f"{family.label}.{domain}"
    mark = "elsewhere" if sources.is_hosted(context) else ""
    if any(play.outcome and play.outcome.place.startswith("mx") for play in plays):
        return finding("document.none-at-domain", domain, name=name).marked(mark)
    if any(play.is_by_ispdb for play in plays):
        return finding("document.none-at-domain-ispdb", domain, name=name).marked(mark)
    own = [play for play in plays if play.client.family == family.name]
    codes = {found.code for play in own for found in play.findings}
    has_cause = "http.limited" in codes or any(play.failures() for play in own)
    stopped = [play.client.name for play in own if play.setup is None]
    askers = enumerated(stopped) if 0 < len(stopped) < len(own) else family.askers
    values = {"name": name, "domain": domain, "askers": askers}
    code, advice = "document.misplaced", web.renaming_advice(facts, name)
    for url in [] if has_cause or advice else sources.misplaced(context, name):
        return finding(code, url, **values)
    code = "document.not-published"
    absent = finding(code, name, advice=advice, **values)
    if facts.exists(name):
        url = f"https://{name}{family.routes[0].path}"
        code, status = "document.not-there", "" if has_cause else " (status 404)"
        absent = finding(code, url, status=status, **values)
        with suppress(ProbeError):
            absent = web.with_cache(absent, "caches", facts.fetch(Request(url)))
    is_chance = not context.case.provider and facts.is_from_wildcard(name, domain)
    absent = absent.marked("by chance" if is_chance else "")
    return absent.marked("explained" if has_cause else "")


def ispdb(context: Context) -> Iterator[Finding]:
    """Report that the ISP database could not be asked about the domain."""
    (step,) = (step for step in THUNDERBIRD.steps if step.place == "ispdb")
    clients = [play.client.name for play in context.plays if step in play.client.steps]
    for request in requests_of(step, context.case, context.facts) if clients else ():
        try:
            status = context.facts.fetch(request).status
            reason = "" if status in (200, 404) else f"status {status}"
        except ProbeError as error:
            reason = str(error)
        if reason:
            found = finding("ispdb.not-reached", request.url, reason=reason)
            yield found.hurting(*clients)


def unanswered_hosters(context: Context) -> Iterator[Finding]:
    """Report empty responses of MX hosts' domains, at which other domains' clients stop."""
    case, facts = context.case, context.facts
    step = next(step for step in THUNDERBIRD.steps if step.place == "mx domain")
    unknown = replace(case, domain="unknown.invalid", address=None)
    requests = requests_of(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{label_of(step)}.{name}{step.path}"
        requests.append(request_of(step, unknown, url))
    for request in dict.fromkeys(requests):
        _, found = web.fetch(case, facts, request)
        if found is not None and found.code in web.ENDING:
            yield found._replace(marks=frozenset(("for others",)))


def documents_at_addresses(context: Context) -> Iterator[Finding]:
    """Report addresses of a document's host that answer its request otherwise."""
    for document in context.documents:
        request, first = document.requests[0], document.response
        if first.redirects or not first.address:
            continue
        with suppress(ProbeError):
            for address, response in context.facts.at_addresses(request).items():
                if not isinstance(response, Response) or response.is_limited:
                    continue
                other = ""
                if response.status != first.status:
                    other = f"status {response.status}"
                elif not response.is_forged:
                    other = "another document"
                    with suppress(ConfigError, NotAutoconfigError):
                        provider = documents.provider_of(web.decompressed(response))
                        other = "" if provider == document.provider else other
                if other:
                    code, place = "document.at-address", document.place
                    yield finding(code, place, found=other, address=address)
