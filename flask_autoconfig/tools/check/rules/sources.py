"""The sources that publish settings, and how they contradict each other without a file."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product

from ....address import Address, fill_in, is_ip
from ....config.ports import MAIL_TYPES
from ....documents.setups import Account
from ... import zone
from ...clients import OUTLOOK
from ...naming import named
from ...net.mail import Endpoint
from ...warnings import why_unreachable
from .. import texts
from ..context import Context, Document, Source
from ..facts import Facts, Request, gather, run_concurrently
from ..findings import Finding, finding
from . import documents, servers, web

SRV = "the SRV records"
_INCOMING = ("imap", "pop3")
Pair = tuple[Account, Account]  # of two sources, for the same purpose


def ranked(context: Context) -> tuple[Source, ...]:
    """Return the sources of settings, the most credible first.

    Sources for other domains, or with accounts that work for nobody, come last. Among
    equals, those come first that more other sources and the MX host agree with, then
    those whose user names more sources have.
    """

    def with_faults(source: Source) -> Source:
        accounts = source.accounts[: servers.MOST]
        tasks = (partial(is_faulty, context, account) for account in accounts)
        return source._replace(faults=sum(run_concurrently(tasks)))

    published = [_source_of(context, document) for document in context.documents]
    found = (*published, *_other_setups(context, published), *_srv_records(context))
    tried = run_concurrently(partial(with_faults, source) for source in found)
    rated = [source._replace(votes=_votes(context, source, tried)) for source in tried]
    if not rated:
        return ()
    usernames_of = partial(_usernames_of, context.case.asker)
    names = [*map(usernames_of, rated)]
    rated.sort(key=lambda source: (source.rank, -names.count(usernames_of(source))))
    first, *others = rated
    against = [other for other in others if any(disagreements(context, first, other))]
    most_faults = len(first.accounts[: servers.MOST])
    if first.is_foreign and 0 < most_faults <= first.faults:
        against = others  # nobody can log in there anyway
        first = first._replace(is_contradicted=True)
    is_decided = not first.faults and all(first.rank < other.rank for other in against)
    rest = (source._replace(is_contradicted=source in against) for source in others)
    return first._replace(is_decided=is_decided), *rest


def _usernames_of(asker: Address, source: Source) -> object:
    """Return the user names of a source; without any, it is like no other source."""
    names = {account.username for account in source.accounts if account.username}
    return {fill_in(name, asker.domain, asker) for name in names} or source


def _source_of(context: Context, document: Document) -> Source:
    accounts = tuple(
        Account(*servers.endpoint_of(context.case, server), server.username)
        for _, server in document.provider.servers
        if server.type in MAIL_TYPES and server.hostname
    )
    readers = tuple(context.readers(document))
    is_foreign = documents.is_foreign(context, document)
    is_personal = documents.is_personal(context.case, document)
    return Source(document.place, accounts, readers, document, is_foreign, is_personal)


def _other_setups(context: Context, published: list[Source]) -> Iterator[Source]:
    """Yield what clients set up from other responses than the published documents."""
    others: dict[str, Source] = {}
    for play in context.plays:
        # The ISP database has findings of its own, and so have SRV records, whose
        # outcome has no response. A setup from a faulty document proves nothing.
        has_response = play.outcome is not None and play.outcome.response.status
        is_compared = has_response and not play.is_by_ispdb
        if play.mail and is_compared and not context.has_document(play):
            # Not every format can express every method.
            mail = (account._replace(authentication="") for account in play.mail)
            source = others.setdefault(play.place, Source(play.place, tuple(mail)))
            clients = (*source.clients, play.client.name)
            others[play.place] = source._replace(clients=clients)
    foreign = (source.accounts for source in published if source.is_foreign)
    foreign_hosts = {account.hostname for accounts in foreign for account in accounts}
    for source in others.values():
        hosts = {account.hostname for account in source.accounts}
        yield source._replace(is_foreign=bool(hosts) and hosts <= foreign_hosts)


def _srv_records(context: Context) -> list[Source]:
    accounts = [
        Account(type_, *target, socket_type)
        for name, type_, socket_type in zone.MAIL_SERVICES
        for target in context.facts.targets(f"{name}.{context.case.domain}")[:1]
    ]
    return [Source(SRV, tuple(accounts))] if accounts else []


def is_faulty(context: Context, account: Account) -> bool:
    """Return whether nobody gets mail with an account, as far as it can be tried."""
    if account.url or account.type not in MAIL_TYPES:
        return False
    if account.username in context.shared_usernames or of_own_network(account):
        return True
    return servers.is_dead(context.facts, Endpoint.of(account))


def of_own_network(account: Account) -> str:
    """Return why the host, an IP address, cannot be reached from outside, or ""."""
    return why_unreachable(account.hostname) if is_ip(account.hostname) else ""


def _votes(context: Context, source: Source, sources: list[Source]) -> int:
    """Return the votes for a source: two of each that agrees, one of the MX host."""

    def without_usernames(source: Source) -> Source:
        accounts = (account._replace(username=None) for account in source.accounts)
        return source._replace(accounts=tuple(accounts))

    types = {account.type for account in source.accounts}
    # A source is not more credible for having no user names.
    servers_alone = without_usernames(source)
    agreeing = [
        other
        for other in map(without_usernames, sources)
        if other.place != source.place and not other.is_foreign and not other.faults
        if not types.isdisjoint(account.type for account in other.accounts)
        if not any(disagreements(context, servers_alone, other))
    ]
    hosts = [account.hostname for account in source.accounts if account.type != "smtp"]
    mx_hosts = context.facts.mx_hosts(context.case.domain)[:1]
    is_same_host = partial(web.is_same_host, context.facts)
    is_at_mx = any(is_same_host(*pair) for pair in product(hosts, mx_hosts))
    return 2 * len(agreeing) + is_at_mx


def misplaced(context: Context, name: str) -> list[str]:
    """Return the URLs of documents that are where no client asks for them."""
    domain, paths = context.case.domain, texts.table("groups")["misplaced"]

    def look(url: str) -> Iterator[str]:
        response, _ = web.fetch(context.case, context.facts, Request(url))
        if b"<clientConfig" in web.decompressed(response):
            yield url

    hosts = filter(context.facts.exists, (name, domain, f"mail.{domain}"))
    return gather(look, [f"https://{host}{path}" for host in hosts for path in paths])


# --- Providers --------------------------------------------------------------------------


def own_programs(facts: Facts, domain: str) -> Iterator[Finding]:
    """Report a provider whose mail only its own programs can read, by the MX host."""
    for host in facts.mx_hosts(domain)[:1]:
        for hoster, row in texts.table("own_programs").items():
            if host.endswith(tuple(row["mx"])):
                code, how = "document.own-programs", row["how"]
                yield finding(code, domain, hoster=hoster, how=how)


def is_hosted(context: Context) -> bool:
    """Return whether the settings at the MX host are meant for the domain, too."""
    case = context.case
    outcomes = [play.outcome for play in context.plays if play.setup and play.outcome]
    at_mx = (outcome for outcome in outcomes if outcome.place.startswith("mx"))
    by_mx = [outcome.response.body for outcome in at_mx]
    if case.provider is not None:
        return bool(by_mx) and documents.has_mx_in(context, case.provider.mx_domains)
    listed = rf">({re.escape(case.domain)}|%EMAILDOMAIN%)</domain".encode()
    has_own_settings = len(by_mx) < len(outcomes)
    return has_own_settings or any(re.search(listed, body) for body in by_mx)


def other_hosters(context: Context) -> Iterator[Finding]:
    """Report MX hosts and Autodiscover of other providers than the mail servers."""
    case, facts = context.case, context.facts
    published = [host for _, host, *_ in _incoming(context) if facts.exists(host)]
    hosts = [f"{label}.{case.domain}" for label in ("imap", "mail")]  # clients guess
    guesses = (Endpoint("imap", host, 993, "SSL") for host in hosts)
    alive = (guess.host for guess in guesses if servers.is_alive(facts, guess))
    reading = published or [*alive][:1]
    if not reading:
        return
    names = [name for host in reading for name in web.alias_chain(facts, host)]
    mx_hosts = facts.mx_hosts(case.domain)
    owners, receivers = texts.hosters("read", names), texts.hosters("mx", mx_hosts)
    target = web.alias_chain(facts, reading[0])[-1]
    is_own = target in reading or case.has(target)
    server = reading[0] if is_own else f"{reading[0]} (an alias of {target})"

    families = [family for family in case.families if family.srv and published]
    for autodiscover in [f"{family.label}.{case.domain}" for family in families[:1]]:
        chain = web.alias_chain(facts, autodiscover)
        former = texts.hosters("asked", chain[1:])
        for hoster in former - owners - receivers:
            code, values = "dns.old-hoster", {"hoster": hoster, "server": server}
            found = finding(code, autodiscover, target=chain[1], **values)
            yield found.hurting(OUTLOOK.name)

    for hoster in receivers - owners:
        code = "mx.elsewhere" if published else "mx.guess-elsewhere"
        values = {"hoster": hoster, "server": server}
        found = finding(code, f"{case.domain} MX", host=mx_hosts[0], **values)
        yield found.marked("filter" if hoster == "Microsoft 365" else "")


def _incoming(context: Context) -> list[Endpoint]:
    """Return the servers where people read their mail, of the file or the best source."""
    of_source = context.reference.accounts if context.reference else ()
    accounts = context.provider.incoming if context.provider else of_source
    read = (account for account in accounts if account.type != "smtp")
    fixed = [account for account in read if "%" not in (account.hostname or "%")]
    return [servers.endpoint_of(context.case, account) for account in fixed]


# --- Comparisons ------------------------------------------------------------------------


def contradictions(context: Context) -> Iterator[Finding]:
    """Report how other formats than documents and SRV contradict the first source."""
    reference, asker = context.reference, context.case.asker
    has_fault, names_of = partial(is_faulty, context), partial(_usernames_of, asker)
    names = [*map(names_of, context.sources)]
    if reference is None:
        return
    for source in context.sources:
        are_documents = source.document and reference.document
        is_compared = not (source.is_foreign or source.place == SRV or are_documents)
        if source is reference or not is_compared:
            continue
        differing = disagreements(context, reference, source, strict=True)
        pairs = [pair for pair in differing if not any(map(has_fault, pair))]
        if pairs:
            by, code = attribution(reference), "setup.contradicts"
            found = difference(code, source.place, by, asker, *pairs)
            is_one = all(is_one_server(context, *pair) for pair in pairs)
            found = found.marked("same server" if is_one else "")
            # Either may be right, if no other source has the user names of the first.
            if not reference.is_decided and names.count(names_of(reference)) == 1:
                found = found.marked("undecided").hurting(*reference.clients)
            yield found.hurting(*source.clients)


def attribution(source: Source) -> str:
    """Return who says it, as the beginning of a sentence."""
    return f"{source.place} {'say' if source.place == SRV else 'says'}"


def disagreements(
    context: Context, ours: Source, theirs: Source, *, strict: bool = False
) -> Iterator[Pair]:
    """Yield an account of each of two sources for each type that they disagree about.

    One server in common is enough, except for SRV records, each of which some client
    follows. Unless *strict*, another port or name of the same server is no difference.
    """

    def agree(account: Account, other: Account) -> bool:
        is_like = not strict and is_one_server(context, account, other)
        return is_like or is_same(account, other, context.case.asker)

    for type_ in dict.fromkeys(account.type for account in ours.accounts):
        our = [account for account in ours.accounts if account.type == type_]
        their = [account for account in theirs.accounts if account.type == type_]
        pairs = [*product(our, their)]
        agreeing = [pair for pair in pairs if agree(*pair)]
        if SRV in (ours.place, theirs.place):
            side = 0 if ours.place == SRV else 1
            confirmed = {pair[side] for pair in agreeing}
            yield from [pair for pair in pairs if pair[side] not in confirmed][:1]
        elif pairs and not agreeing:
            yield pairs[0]
    # One has IMAP alone and the other POP3 alone.
    our_incoming, their_incoming = (
        {key.type: key for key in reversed(source.accounts) if key.type in _INCOMING}
        for source in (ours, theirs)
    )
    has_both = our_incoming and their_incoming
    if has_both and our_incoming.keys().isdisjoint(their_incoming):
        yield next(iter(our_incoming.values())), next(iter(their_incoming.values()))


def unexpected(
    expected: Iterable[Account], accounts: Iterable[Account], asker: Address
) -> Iterator[Pair]:
    """Yield each account that is not expected, after the first expected of its type."""
    for account in accounts:
        same_type = [other for other in expected if other.type == account.type]
        if same_type and not any(is_same(other, account, asker) for other in same_type):
            yield same_type[0], account


def is_same(account: Account, other: Account, asker: Address) -> bool:
    """Return whether two accounts are the same, as far as both have the values."""
    methods = {account.authentication, other.authentication} - {""}
    if account.url or other.url:
        is_server = account.url.rstrip("/") == other.url.rstrip("/")
    else:
        is_server = account[1:4] == other[1:4] and len(methods) < 2
    return is_server and _have_same_username(account, other, asker)


def _have_same_username(account: Account, other: Account, asker: Address) -> bool:
    pair = (account.username, other.username)
    names = {fill_in(name, asker.domain, asker) for name in pair}
    return not all(names) or len(names) == 1


def is_one_server(context: Context, account: Account, other: Account) -> bool:
    """Return whether it is one server, with several ports or names, and one user name."""
    is_like = account.type == other.type
    is_like = is_like and _have_same_username(account, other, context.case.asker)
    return is_like and web.is_same_host(context.facts, account.hostname, other.hostname)


def difference(code: str, place: str, by: str, asker: Address, *pairs: Pair) -> Finding:
    """Return the finding for pairs of accounts that differ: the expected, and the actual.

    *by* says whose the expected ones are, such as "the file says".
    """
    listed = [text for pair in pairs for text in _difference(by, asker, *pair)]
    return finding(code, place, differences="; ".join(listed))


def _difference(
    by: str, asker: Address, expected: Account, actual: Account
) -> Iterator[str]:
    is_same_url = expected.url.rstrip("/") == actual.url.rstrip("/")
    if not is_same_url or expected.type != actual.type:
        yield f"clients set up {actual}, {by} {expected}"
        return
    have_same_username = _have_same_username(expected, actual, asker)
    for key, wanted, value in zip(Account._fields, expected, actual, strict=True):
        is_same_value = key == "username" and have_same_username
        if wanted and value and wanted != value and not is_same_value:
            place = named(f".{key}", {"": expected.type})
            yield f"{place} is {value}, {by} {wanted}"
