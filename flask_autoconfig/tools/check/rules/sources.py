"""The sources that publish settings, and how they contradict each other without a file."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product

from ....address import Address, fill_in, is_ip
from ....config.ports import MAIL_TYPES
from ....documents.setups import Account
from ... import zone
from ...naming import named
from ...net.mail import Endpoint
from ...warnings import why_unreachable
from .. import texts
from ..context import Context, Source
from ..facts import Facts, side_by_side
from ..findings import Finding, finding
from . import documents, servers, web

SRV = "the SRV records"
_INCOMING = ("imap", "pop3")


def ranked(context: Context) -> tuple[Source, ...]:
    """Return the sources of settings, the most credible first.

    Those for other domains, or with what works for nobody, come last. Among equals those
    come first that more others and the MX host agree with, then in user names as well.
    """
    found = (*_published(context), *_srv(context))

    def with_faults(source: Source) -> Source:
        accounts = source.accounts[: servers.MOST]
        faults = side_by_side(partial(is_faulty, context, one) for one in accounts)
        return source._replace(faults=sum(faults))

    listed = side_by_side(partial(with_faults, source) for source in found)
    rated = [one._replace(votes=_votes(context, one, listed)) for one in listed]
    if not rated:
        return ()
    names_of = partial(_names_of, context.case.asker)
    names = [*map(names_of, rated)]
    first, *others = sorted(rated, key=lambda it: (it.rank, -names.count(names_of(it))))
    against = [one for one in others if any(disagreements(context, first, one))]
    tried = len(first.accounts[: servers.MOST])
    if first.is_foreign and 0 < tried <= first.faults:
        against = others  # nobody can log in there anyway
        first = first._replace(is_contradicted=True)
    is_decided = not first.faults and all(one.rank > first.rank for one in against)
    rest = (one._replace(is_contradicted=one in against) for one in others)
    return first._replace(is_decided=is_decided), *rest


def _names_of(who: Address, source: Source) -> object:
    names = {it.username for it in source.accounts if it.username}
    return {fill_in(name, who.domain, who) for name in names} or source  # like no other


def _published(context: Context) -> Iterator[Source]:
    """Yield the documents, and what clients set up by other means."""
    # What clients set up by a faulty document is no measure.
    urls = {request.url for faulty in context.faulty for request in faulty.requests}
    foreign: list[Source] = []
    for document in context.documents:
        urls |= {request.url for request in document.requests}
        accounts = tuple(
            Account(*servers.endpoint_of(context.case, server), server.username)
            for _, server in document.provider.servers
            if server.type in MAIL_TYPES and server.hostname
        )
        readers = tuple(context.readers(document))
        parts = (document.place, accounts, readers, document)
        is_personal = documents.is_personal(context.case, document)
        source = Source(*parts, documents.is_foreign(context, document), is_personal)
        foreign += [source] if source.is_foreign else []
        yield source
    others: dict[str, Source] = {}
    for play in context.plays:
        # What the ISP database says has findings of its own, and so have SRV records.
        found = play.found if not play.is_by_ispdb else None
        is_other = found and found.response.status and found.url not in urls
        if play.mail and is_other:
            # Not every format can express every method.
            accounts = tuple(one._replace(authentication="") for one in play.mail)
            known = others.setdefault(play.place, Source(play.place, accounts))
            clients = (*known.clients, play.client.name)
            others[play.place] = known._replace(clients=clients)
    theirs = {account.hostname for one in foreign for account in one.accounts}
    for source in others.values():
        hosts = {account.hostname for account in source.accounts}
        yield source._replace(is_foreign=bool(hosts) and hosts <= theirs)


def _srv(context: Context) -> Iterator[Source]:
    accounts = [
        Account(type_, *target, socket_type)
        for name, type_, socket_type in zone.MAIL_SERVICES
        for target in context.facts.targets(f"{name}.{context.case.domain}")[:1]
    ]
    if accounts:
        yield Source(SRV, tuple(accounts))


def is_faulty(context: Context, account: Account) -> bool:
    """Return whether an account gets no mail, as far as it can be tried."""
    if account.url or account.type not in MAIL_TYPES:
        return False
    if account.username in context.names_for_all or of_own_network(account):
        return True
    return servers.is_dead(context.facts, Endpoint.of(account))


def of_own_network(account: Account) -> str:
    """Return why nobody outside reaches the address that is the host, or ""."""
    return why_unreachable(account.hostname) if is_ip(account.hostname) else ""


def _votes(context: Context, source: Source, listed: list[Source]) -> int:
    """Return how many sources without faults agree with a source; the MX host counts."""
    types = {account.type for account in source.accounts}
    # Who says no user name is not right for that.
    alone = [
        one._replace(accounts=tuple(it._replace(username=None) for it in one.accounts))
        for one in (source, *listed)
    ]
    agreeing = [
        other
        for other in alone[1:]
        if other.place != source.place and not other.is_foreign and not other.faults
        if not types.isdisjoint(account.type for account in other.accounts)
        if not any(disagreements(context, alone[0], other))
    ]
    hosts = context.facts.mx_hosts(context.case.domain)[:1]
    receiving = [one.hostname for one in source.accounts if one.type != "smtp"]
    is_same_host = partial(web.is_same_host, context.facts)
    is_at_mx = any(is_same_host(*pair) for pair in product(receiving, hosts))
    return 2 * len(agreeing) + is_at_mx


def own_programs(facts: Facts, domain: str) -> Iterator[Finding]:
    """Yield that mail programs cannot read mail at the provider of the MX hosts."""
    for host in facts.mx_hosts(domain)[:1]:
        for hoster, row in texts.table("own_programs").items():
            if host.endswith(tuple(row["mx"])):
                code, how = "document.own-programs", row["how"]
                yield finding(code, domain, hoster=hoster, how=how)


def is_hosted(context: Context) -> bool:
    """Return whether the settings at the MX host are meant for the domain, too."""
    case, plays = context.case, [play for play in context.plays if play.setup]
    found = [play.found for play in plays if play.found]
    by_mx = [it.response.body for it in found if it.place.startswith("mx")]
    if case.provider is None:  # or somebody has published others in the domain
        listed = rf">({re.escape(case.domain)}|%EMAILDOMAIN%)</domain".encode()
        return len(by_mx) < len(found) or any(re.search(listed, it) for it in by_mx)
    return bool(by_mx) and documents.is_of_mx(context, case.provider.mx_domains)


# --- Comparisons ------------------------------------------------------------------------


def contradictions(context: Context) -> Iterator[Finding]:
    """Yield what other formats say against the first source; SRV has a rule."""
    measure = context.measure
    for source in context.sources if measure else ():
        if measure is None or source is measure or source.is_foreign:
            continue
        if source.place == SRV or (source.document and measure.document):
            continue
        differing = disagreements(context, measure, source, strict=True)
        pairs = [
            it for it in differing if not any(map(partial(is_faulty, context), it))
        ]
        whose, who = said_by(measure), context.case.asker
        is_same = all(is_one_server(context, *pair) for pair in pairs)
        if pairs:
            found = difference("setup.contradicts", source.place, whose, who, *pairs)
            found = found.marked("same server" if is_same else "")
            yield found.hurting(*source.clients)


def said_by(source: Source) -> str:
    """Return who says it, as the beginning of a sentence."""
    return f"{source.place} {'say' if source.place == SRV else 'says'}"


def disagreements(
    context: Context, ours: Source, theirs: Source, *, strict: bool = False
) -> Iterator[tuple[Account, Account]]:
    """Yield an account of each type that two sources disagree about: ours, and theirs.

    One server in common is enough, except for SRV records, each of which leads somebody.
    Unless *strict*, another port or name of the same server is the same.
    """
    who = context.case.asker

    def agree(one: Account, other: Account) -> bool:
        is_like = not strict and is_one_server(context, one, other)
        return is_like or is_same(one, other, who)

    for type_ in dict.fromkeys(account.type for account in ours.accounts):
        our = [one for one in ours.accounts if one.type == type_]
        their = [one for one in theirs.accounts if one.type == type_]
        pairs = [(one, other) for one in our for other in their]
        agreeing = [pair for pair in pairs if agree(*pair)]
        if SRV in (ours.place, theirs.place):
            side = 0 if ours.place == SRV else 1
            led = {pair[side] for pair in agreeing}
            yield from [pair for pair in pairs if pair[side] not in led][:1]
        elif pairs and not agreeing:
            yield pairs[0]
    incoming = [
        {one.type: one for one in reversed(source.accounts) if one.type in _INCOMING}
        for source in (ours, theirs)
    ]
    if all(incoming) and incoming[0].keys().isdisjoint(incoming[1]):
        yield next(iter(incoming[0].values())), next(iter(incoming[1].values()))


def unexpected(
    expected: Iterable[Account], accounts: Iterable[Account], who: Address
) -> Iterator[tuple[Account, Account]]:
    """Yield each account that is not expected, after the first expected of its type."""
    for account in accounts:
        same_type = [other for other in expected if other.type == account.type]
        if same_type and not any(is_same(it, account, who) for it in same_type):
            yield same_type[0], account


def is_same(one: Account, other: Account, who: Address) -> bool:
    """Return whether two accounts are the same, as far as both sides say."""
    if one.url or other.url:
        is_one = one.url.rstrip("/") == other.url.rstrip("/")
        return is_one and _have_one_name(one, other, who)
    if one[1:4] != other[1:4]:
        return False
    if len({one.authentication, other.authentication} - {""}) > 1:
        return False
    return _have_one_name(one, other, who)


def _have_one_name(one: Account, other: Account, who: Address) -> bool:
    names = [fill_in(each.username, who.domain, who) for each in (one, other)]
    return not all(names) or names[0] == names[1]


def is_one_server(context: Context, one: Account, other: Account) -> bool:
    """Return whether it is one server, with several ports or names, and one user name."""
    who, hosts = context.case.asker, (one.hostname, other.hostname)
    is_like = one.type == other.type and _have_one_name(one, other, who)
    return is_like and web.is_same_host(context.facts, *hosts)


def difference(
    code: str, place: str, whose: str, who: Address, *pairs: tuple[Account, Account]
) -> Finding:
    """Return that accounts differ from what another source says: ours, and theirs."""
    listed = [text for pair in pairs for text in _differing(whose, who, *pair)]
    return finding(code, place, differences="; ".join(listed))


def _differing(
    whose: str, who: Address, ours: Account, theirs: Account
) -> Iterator[str]:
    if ours.url.rstrip("/") != theirs.url.rstrip("/") or ours.type != theirs.type:
        yield f"clients set up {theirs}, {whose} {ours}"
        return
    for key, our, their in zip(Account._fields, ours, theirs, strict=True):
        is_known = bool(our and their) and our != their
        if is_known and (key != "username" or not _have_one_name(ours, theirs, who)):
            place = named(f".{key}", {"": ours.type})
            yield f"{place} is {their}, {whose} {our}"
