"""Comparisons of what clients set up, with each other and with the file."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from ....address import NOBODY, Address
from ....config.ports import MAIL_TYPES
from ....config.tables import Provider
from ....documents import Recipient, activesync, apple, outlook
from ....documents.setups import (
    Account,
    MeaninglessError,
    Setup,
    read_outlook,
    read_profile,
)
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
from .. import texts
from ..context import Context, Document, Play, request_of, requests_of
from ..facts import Request, each_of
from ..findings import FAILURE, WARNING, Case, Finding, finding
from . import connections, documents, servers, single, sources, web

# What keeps this program, but not clients, from settings.
_UNTOLD = ("http.limited", *web.SHUT)


def reference(context: Context) -> Document | None:
    """Return the most credible document, else that of the ISP database."""
    listed = [one.document for one in context.sources if one.document]
    by_ispdb = [it.found for it in context.plays if it.found and it.is_by_ispdb]
    if not listed:
        urls = (Request(one.url) for one in by_ispdb)
        listed, _ = documents.found(urls, context.case, context.facts)
    return next((one for one in listed if one not in context.foreign), None)


# --- Accounts ---------------------------------------------------------------------------


def differences(context: Context) -> Iterator[Finding]:
    """Yield what a client sets up other than the file, or than other sources say."""
    for play in context.own_plays:
        if play.setup is None or play.client.family == "dav" or play.failures():
            continue
        file = context.case.provider
        compared = (
            _with_file(context, play, file) if file else _without_file(context, play)
        )
        listed = [*compared]
        for one in () if context.has_document(play) else play.mail:
            if (name := one.username) in context.names_for_all:
                listed.append(_one_name(context.case, play.place, str(name)))
        for slip in play.setup.slips:
            code, said = slip.code or "document.ignored", slip.message
            listed.append(finding(code, play.place, advice=slip.cure, message=said))
        yield from (found.hurting(play.client.name) for found in listed)
    yield from sources.contradictions(context)


def _one_name(case: Case, place: str, name: str) -> Finding:
    other = name.partition("@")[2]
    if other and not case.has(other) and not documents.is_nobodys(case, name):
        code, domain = "document.other-users", case.domain
        return finding(code, place, domain=domain, others=other)
    return documents.one_name(case, place, name)


def _with_file(context: Context, play: Play, file: Provider) -> Iterator[Finding]:
    client, who = play.client, context.case.asker
    expected = _expected(context, client)
    if not play.is_by_ispdb:
        yield from _dead_exchange(context, play) or _incomplete(context, play, expected)
    # The first document may have the same other servers.
    own = [it for it in context.documents[:1] if it not in context.foreign]
    listed = servers.endpoints(context.case, own[0].provider if own else None)
    of_document = [*documents.with_file(context, file, own[0])] if own else []
    differing: dict[tuple[str, str], list[tuple[Account, Account]]] = {}
    for ours, theirs in sources.unexpected(expected, play.accounts, who):
        if play.is_by_ispdb:
            yield _in_ispdb(context, play, "the file says", ours, theirs)
            continue
        if "none" in (ours.authentication, theirs.authentication):
            told = list(connections.refused_method(context.facts, theirs, client))
            yield from told
            if told and sources.is_same(theirs._replace(authentication=""), ours, who):
                continue
        same = ours._replace(username=theirs.username)
        if same == theirs and theirs.username in context.names_for_all:
            continue
        code, is_faulty = "setup.differs", sources.is_faulty(context, theirs)
        if sources.is_faulty(context, ours) and not theirs.url and not is_faulty:
            is_right = servers.is_alive(context.facts, Endpoint.of(theirs))
            code = "setup.file-outdated" if is_right else code
        is_beside = servers.is_as_good(context, ours, theirs)
        told = [it for it in of_document if is_beside or it.status == FAILURE]
        is_elsewhere = code == "setup.differs" and ours[1:4] != theirs[1:4]
        if is_elsewhere and Endpoint.of(theirs) in listed and told:
            yield from (found.at(play.place) for found in told)
            continue
        is_beside |= any(sources.is_same(ours, one, who) for one in play.mail)
        mark = "beside" if is_beside and not is_faulty else ""
        differing.setdefault((code, mark), []).append((ours, theirs))
    way = play.found.place if play.found is not None else ""
    for (code, mark), pairs in differing.items():
        found = sources.difference(code, play.place, "the file says", who, *pairs)
        ways = [{one[3], it[3]} for one, it in pairs if one[:3] == it[:3]]
        if way == "srv":
            found = found.within("by-srv")
        elif {"SSL", "STARTTLS"} in ways and client.family in ("outlook", "apple"):
            found = found.within(f"encryption-in-{client.family}")
        elif way.startswith("mx") and not file.mx_domains:  # it is no hoster's
            found = found.within("at-mx", here=f"autoconfig.{context.case.domain}")
        yield found.marked(mark)


def _incomplete(
    context: Context, play: Play, expected: Sequence[Account]
) -> Iterator[Finding]:
    types = {account.type for account in play.accounts}
    mail = [one for one in expected if one.type in MAIL_TYPES and not one.url]
    missing = [one for one in mail if one.type not in types]
    servers = context.case.provider.servers if context.case.provider else ()
    is_meant = any(one.type in web.EXCHANGE_TYPES for _, one in servers)
    if missing and not (is_meant and _exchange(play)):
        listed = ", ".join(map(str, [*play.mail, *_exchange(play)]))
        words = enumerated([SERVERS[one.type] for one in missing], "or")
        found = f"{listed} and no {words}" if listed else "no mail account"
        ours = ", ".join(map(str, missing))
        is_there = {401, 403}.intersection(_exchange_answers(context, play))
        incomplete = finding("setup.incomplete", play.place, theirs=found, ours=ours)
        is_beside = "imap" in types and {one.type for one in missing} == {"pop3"}
        incomplete = incomplete.marked("beside" if is_beside else "")
        yield incomplete.marked("exchange" if is_there else "")


def _exchange(play: Play) -> list[Account]:
    """Return the accounts of an Exchange server, which needs no others."""
    types = ("ews", "activesync")
    return [one for one in play.accounts if one.url and one.type in types]


def _exchange_answers(context: Context, play: Play) -> Iterator[int]:
    """Yield the status of each Exchange URL, 0 where no server is there."""
    for one in _exchange(play):
        try:
            is_there = context.facts.addresses(split_url(one.url).hostname or "")
            yield context.facts.fetch(Request(one.url)).status if is_there else 0
        except ProbeError as error:
            yield 0 if error.kind == "connect" else 500
        except LookupFailed:
            yield 500


def _dead_exchange(context: Context, play: Play) -> list[Finding]:
    """Return that no URL leads to an Exchange; some may be for people inside only."""
    answers = set(_exchange_answers(context, play))
    if not answers or not answers <= {0, 404, 410}:
        return []
    reason = f"status {max(answers)}" if max(answers) else "no server is there"
    account, *_ = _exchange(play)
    return [finding("setup.dead-url", play.place, account=account, reason=reason)]


def phones(context: Context) -> Iterator[Finding]:
    """Yield a URL of ActiveSync that leads nowhere, or that phones get none of the file."""
    file = context.case.provider
    is_meant = any(it.type == "activesync" for _, it in file.servers) if file else False
    schemas = outlook.RESPONSE.encode(), activesync.NAMESPACE.encode()
    plays = (it for it in context.plays if it.client.name == OUTLOOK.name)
    for found in filter(None, (play.found for play in plays)):
        request = request_of(OUTLOOK.steps[1], context.case, found.response.url)
        request = request._replace(body=(request.body or b"").replace(*schemas))
        response, wrong = web.asked(context.case, context.facts, request)
        try:
            setup = (
                read_outlook(web.unpacked(response)) if response.status else Setup(())
            )
            for dead in _dead_exchange(context, Play(OUTLOOK, setup, found)):
                yield dead.hurting("ActiveSync phones")
        except MeaninglessError as error:
            # Phones send the password where they are asked for it.
            if is_meant and response.status not in (401, 429, 503):
                reason = wrong.seen if wrong else error
                none = finding("autodiscover.no-phones", found.url, reason=reason)
                yield none.hurting("ActiveSync phones")


def _expected(context: Context, client: Client) -> tuple[Account, ...]:
    """Return what a client would set up with the documents of the file."""
    case, setup = context.case, None
    recipient = Recipient(case.domain, case.asker, exact=case.exact)
    if case.provider is not None and client.family == "apple":
        body = apple.write(case.provider, recipient)
        with suppress(MeaninglessError):
            setup = servers.settled(context.facts, read_profile(body)) if body else None
    elif case.provider is not None and client.steps:
        ((_, reading),) = readings_of([client], case.provider, recipient)
        setup = reading.setup
    return setup.servers if setup else ()


def _without_file(context: Context, play: Play) -> Iterator[Finding]:
    """Yield accounts that do not work, and those that the ISP database differs in."""
    client, is_document = play.client, context.has_document(play)
    who = context.case.asker
    for account in play.mail:
        reason = "" if is_document else sources.of_own_network(account)
        if reason:
            code = "setup.private-host"
            found = finding(code, play.place, account=account, reason=reason)
            is_alive = servers.is_alive(context.facts, Endpoint.of(account))
            yield found.marked("beside" if is_alive else "")
        is_read = client.rules.oauth != "unknown" or account.type == "smtp"
        is_open = account.authentication == "none" and is_read
        if client.family in ("outlook", "apple") or is_open:
            yield from connections.refused_method(context.facts, account, client)
    if client.family in ("outlook", "apple"):
        types = {account.type for account in play.mail}
        missing = "" if "smtp" in types else SERVERS["smtp"]
        missing = "IMAP or POP3 server" if types <= {"smtp"} else missing
        if types and missing and not _exchange(play):
            mail = ", ".join(map(str, play.mail))
            yield finding("setup.half", play.place, theirs=mail, missing=missing)
        yield from _dead_exchange(context, play)
    provider = context.provider if client.family == "apple" else None
    listed = [it for _, it in provider.servers if it.url] if provider else []
    named = [Account(it.type, "", 0, "", it.username, url=str(it.url)) for it in listed]
    for pair in sources.unexpected(named, play.accounts, who):
        if pair[0].url == pair[1].url:  # only the user names differ
            known = ("profile.other-name", play.place, "config-v1.1.xml says")
            yield sources.difference(*known, who, pair)
    if play.is_by_ispdb and context.measure:
        accounts, whose = context.measure.accounts, sources.said_by(context.measure)
        for ours, theirs in sources.unexpected(accounts, play.accounts, who):
            yield _in_ispdb(context, play, whose, ours, theirs)


def _in_ispdb(
    context: Context, play: Play, whose: str, ours: Account, theirs: Account
) -> Finding:
    code, who = "ispdb.differs", context.case.asker
    found = sources.difference(code, play.place, whose, who, (ours, theirs))
    return found.marked("only way" if sources.is_faulty(context, theirs) else "")


def replaced_profiles(context: Context) -> Iterator[Finding]:
    """Yield that the profiles of two addresses replace each other on a device."""
    another = replace(context.case, address=Address(NOBODY, context.case.domain))
    for play in context.plays:
        if play.setup and play.client.family == "apple":
            other = single.play_profile(play.client, another, context.facts).setup
            name, accounts = play.setup.identifier, play.setup.servers
            if other and other.identifier == name and other.servers != accounts:
                found = finding("profile.one-identifier", play.place, identifier=name)
                yield found.hurting(play.client.name)


def names_for_all(context: Context) -> frozenset[str]:
    """Return the user names that everybody gets, as requests for two people show."""
    case = replace(context.case, address=context.case.asker)
    found = documents.names_for_all(context.case, context.documents)
    another = replace(case, address=Address(NOBODY, case.domain))
    for play in context.plays:
        names = {account.username or "" for account in play.mail}
        found |= {name for name in names if documents.is_nobodys(case, name)}
        suspect = {name for name in names if documents.is_anothers(case, name)} - found
        response = play.found.response if play.found else None
        setup: Setup | None = Setup(())
        if suspect and play.client.family == "apple":
            setup = single.play_profile(play.client, another, context.facts).setup
        elif suspect and response and play.client.family == "outlook":
            with suppress(ProbeError, MeaninglessError):
                request = request_of(OUTLOOK.steps[1], another, response.url)
                setup = read_outlook(web.unpacked(context.facts.fetch(request)))
        theirs = setup.servers if setup else ()
        found |= suspect & {it.username or "" for it in theirs}
    return found


# --- What is not published --------------------------------------------------------------


def nothing(context: Context) -> Iterator[Finding]:
    """Yield that there is no config-v1.1.xml where there should be one."""
    served = [one for one in context.case.families if one.name == "thunderbird"]
    codes = {found.code for play in context.plays for found in play.findings}
    is_there = context.documents or context.faulty or "document.not-read" in codes
    none = None if is_there or not served else _no_document(context, served[0])
    if context.case.provider is not None:
        yield from filter(None, [none])
        return
    plays = [play for play in context.plays if play.client.family != "dav"]
    is_found = any(play.setup is not None for play in plays)
    # Somebody has made the name for the document, or the document.
    meant = ("document.not-there", "document.misplaced", "document.none-at-domain")
    is_meant = none is not None and none.code in meant
    if none and is_meant:
        yield none.marked("first place" if is_found else "")
    if is_found:
        yield from _some(context, plays)
    elif own := [*sources.own_programs(context.facts, context.case.domain)]:
        yield from own
    elif none and not (is_meant or none.advice):  # such as another name
        met = [found for play in plays for found in play.findings]
        failed = (it for it in met if it.status == FAILURE)
        is_explained = any(it.code in _UNTOLD for it in met) or any(
            it.step == "document" or it.code == "http.empty" for it in failed
        )
        at = ""
        with suppress(LookupFailed):
            listed = context.facts.network.resolver.name_servers(context.case.domain)
            at = f" at its name servers, {enumerated(listed)}" if listed else ""
        found = finding("document.none", context.case.domain, at=at)
        yield found.marked("explained" if is_explained else "")


def _some(context: Context, plays: list[Play]) -> Iterator[Finding]:
    """Yield which clients find nothing that others find."""
    lost = [
        play.client
        for play in plays
        if play.client.steps and play.setup is None
        if all(it.code not in _UNTOLD for it in play.findings)
        if all(it.status not in (WARNING, FAILURE) for it in play.findings)
    ]
    lost.sort(key=lambda it: it.family != "thunderbird")
    for client in lost[:1]:
        domain, names = context.case.domain, [it.name for it in lost]
        name = f"{context.case.family(client.family).label}.{domain}"
        code, said = "document.some", {"askers": enumerated(names), "name": name}
        found = finding(code, domain, **said).hurting(*names)
        # Another finding tells of a host that lacks the documents of others.
        is_like = client.family == "thunderbird" and context.documents
        yield found.marked(
            "absent" if context.facts.exists(name) or not is_like else ""
        )


def _no_document(context: Context, family: Family) -> Finding:
    domain, plays = context.case.domain, context.plays
    name = f"{family.label}.{domain}"
    mark = "elsewhere" if sources.is_hosted(context) else ""
    if any(play.found and play.found.place.startswith("mx") for play in plays):
        return finding("document.none-at-domain", domain, name=name).marked(mark)
    if any(play.is_by_ispdb for play in plays):
        return finding("document.none-at-domain-ispdb", domain, name=name).marked(mark)
    own = [play for play in plays if play.client.family == family.name]
    met = (found for play in own for found in play.findings)
    has_cause = any(it.status == FAILURE or it.code == "http.limited" for it in met)
    lost = [it.client.name for it in own if it.setup is None]
    askers = enumerated(lost) if 0 < len(lost) < len(own) else family.askers
    said = {"name": name, "domain": domain, "askers": askers}
    code, advice = "document.misplaced", web.renamed(context.facts, name)
    for url in [] if has_cause or advice else _misplaced(context, name):
        return finding(code, url, **said)
    code = "document.not-published"
    none = finding(code, name, advice=advice, **said)
    if context.facts.exists(name):
        url = f"https://{name}{family.routes[0].path}"
        status = "" if has_cause else " (status 404)"
        code = "document.not-there"
        none = finding(code, url, status=status, **said)
        with suppress(ProbeError):
            none = web.with_cache(none, "caches", context.facts.fetch(Request(url)))
    is_chance = not context.case.provider and context.facts.is_by_wildcard(name, domain)
    none = none.marked("by chance" if is_chance else "")
    return none.marked("explained" if has_cause else "")


def _misplaced(context: Context, name: str) -> list[str]:
    """Return the URLs of documents that are where no client asks for them."""
    domain, paths = context.case.domain, texts.table("groups")["misplaced"]
    near = (name, domain, f"mail.{domain}")

    def look(url: str) -> Iterator[str]:
        response, _ = web.asked(context.case, context.facts, Request(url))
        if b"<clientConfig" in web.unpacked(response):
            yield url

    hosts = filter(context.facts.exists, near)
    return each_of(look, [f"https://{host}{path}" for host in hosts for path in paths])


def ispdb(context: Context) -> Iterator[Finding]:
    """Yield that the ISP database could not be asked about the domain."""
    (step,) = (step for step in THUNDERBIRD.steps if step.place == "ispdb")
    clients = [it.client.name for it in context.plays if step in it.client.steps]
    for request in requests_of(step, context.case, context.facts) if clients else ():
        try:
            status = context.facts.fetch(request).status
            reason = "" if status in (200, 404) else f"status {status}"
        except ProbeError as error:
            reason = str(error)
        if reason:
            yield finding("ispdb.not-reached", request.url, reason=reason).hurting(
                *clients
            )


def hosters(context: Context) -> Iterator[Finding]:
    """Yield empty responses of MX hosts' domains, where clients of others stop."""
    case, facts = context.case, context.facts
    step = next(step for step in THUNDERBIRD.steps if step.place == "mx domain")
    unknown = replace(case, domain="unknown.invalid", address=None)
    listed = requests_of(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{label_of(step)}.{name}{step.path}"
        listed.append(request_of(step, unknown, url))
    for request in dict.fromkeys(listed):
        _, found = web.asked(case, facts, request)
        if found is not None and found.code in web.ENDING:
            yield found._replace(marks=frozenset(("for others",)))


def each_document(context: Context) -> Iterator[Finding]:
    """Yield the addresses of a document's host that answer its request with another."""
    for document in context.documents:
        request, first = document.requests[0], document.response
        if first.redirects or not first.address:
            continue
        with suppress(ProbeError):
            for address, response in context.facts.at_addresses(request).items():
                if not isinstance(response, Response) or response.is_limited:
                    continue
                found = ""
                if response.status != first.status:
                    found = f"status {response.status}"
                elif not response.is_forged:
                    found = "another document"
                    with suppress(ConfigError, NotAutoconfigError):
                        other = documents.provider_of(web.unpacked(response))
                        found = "" if other == document.provider else found
                if found:
                    code, at = "document.at-address", document.place
                    yield finding(code, at, found=found, address=address)
