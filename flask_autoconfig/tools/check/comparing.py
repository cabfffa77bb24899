"""Holds what clients would set up side by side, and each with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

from msgspec import structs

from ...address import NOBODY, Address
from ...config.ports import MAIL_TYPES
from ...config.tables import Provider
from ...documents import Recipient, outlook, thunderbird
from ..network import ProbeError
from ..resolver import LookupFailed
from . import journeys, reading, setups
from .asking import ask_of, asks
from .causes import documents, profile, servers, web
from .facts import Facts
from .findings import (
    FAILURE,
    NOTE,
    OK,
    WARNING,
    Case,
    Finding,
    failure,
    note,
)
from .journeys import Client
from .playing import EXCHANGE, NO_SETTINGS
from .plays import Outcome, Play
from .setups import Account, Setup


def read(
    case: Case, facts: Facts, seen: list[documents.Document], plays: list[Play]
) -> Provider | None:
    """What is published, where there is no file: the document that clients take.

    Of several that differ, one whose servers all work comes first.
    """
    taken = [
        document.provider
        for played in plays
        for document in seen
        if played.found and played.found.url in {ask.url for ask in document.asks}
    ]
    listed = [*taken, *(document.provider for document in seen)]
    if len(seen) > 1:
        listed.sort(key=lambda it: servers.has_dead(case, facts, it))
    return listed[0] if listed else None


def readers(plays: list[Play]) -> dict[str, tuple[str, ...]]:
    readers: dict[str, tuple[str, ...]] = {}
    for it in plays:
        if it.found is not None:
            readers[it.found.url] = (*readers.get(it.found.url, ()), it.client)
    return readers


def is_trusted(provider: Provider | None, seen: list[documents.Document]) -> bool:
    return any(it.provider is provider and it.is_verified for it in seen)


def differences(
    case: Case,
    facts: Facts,
    clients: list[Client],
    plays: list[Play],
    findings: list[Finding],
    for_all: frozenset[str],
) -> Iterator[Finding]:
    """What a client would set up otherwise than the file, or than the first client.

    Where there is no file, a server that was tried and fails is compared with nothing:
    it is the fault, and whoever sets up another one is right. So is a user name that is
    one `for_all`.
    """
    is_faulty = partial(_is_faulty, facts, for_all)
    told = {
        name
        for it in findings
        if it.status == FAILURE and it.step == "document"
        for name in it.clients
    }
    with_mail = [it for it in plays if it.setup is not None and it.setup.servers]
    first = min(
        with_mail, key=lambda it: sum(map(is_faulty, _mail_of(it))), default=None
    )
    for client, played in zip(clients, plays, strict=True):
        if played.setup is None or client.name in told or client.family == "dav":
            continue
        if played.stopping():
            continue  # there is a cause, and it comes first
        for their in _mail_of(played) if case.provider is None else ():
            yield from _of_account(facts, client, played, their, for_all)
        ours, whose = _reference(case, client, first)
        if ours is None or (case.provider is None and played is first):
            continue
        for our, their in setups.differences(ours, played.setup, case.asker):
            if case.provider is None and (is_faulty(our) or is_faulty(their)):
                continue
            if _is_choice(case, first, played, our):
                continue
            is_one = _is_one(case, facts, played, our)
            yield (
                (note if is_one else failure)(
                    "document",
                    played.place,
                    f"{setups.in_words(their, our)} would be set up, "
                    f"{whose} {setups.in_words(our, their)}",
                    "people get other settings than you think",
                    _cure(case, is_faulty(our) and not is_faulty(their)),
                )
                ._replace(follows=case.provider is None)
                .hurting(client.name)
            )


def _of_account(
    facts: Facts,
    client: Client,
    played: Play,
    account: Account,
    for_all: frozenset[str],
) -> Iterator[Finding]:
    """What is wrong with a server that a client sets up, whatever others do."""
    name = account.username or ""
    if name in for_all:
        cure = "let it be the name of whoever asks"
        yield documents.one_name(played.place, name, cure).hurting(client.name)
    if client.family == "outlook":
        yield from servers.refused_method(facts, account, client.name)


def names_for_all(
    case: Case, facts: Facts, seen: list[documents.Document], plays: list[Play]
) -> frozenset[str]:
    """The user names that everybody gets, in documents and for Outlook."""
    found = documents.names_for_all(case, seen)
    step = journeys.OUTLOOK.steps[1]
    another = replace(case, address=Address(NOBODY, case.domain))
    for played in plays:
        names = {it.username or "" for it in _mail_of(played)}
        found |= set(filter(documents.is_unfilled, names))
        suspect = {it for it in names if documents.is_anothers(case, it)} - found
        reply = played.found.reply if played.found else None
        if not suspect or reply is None or played.family != "outlook":
            continue
        with suppress(ProbeError, setups.MeaninglessError):
            other = facts.answer(ask_of(step, another, reply.url))
            told = setups.of_pox(web.unpacked(other)).servers
            found |= suspect & {it.username or "" for it in told}
    return found


def _is_choice(case: Case, first: Play | None, played: Play, our: Account) -> bool:
    """Whether two clients take different servers of one document: a quirk, told as one."""
    if case.provider is not None or first is None:
        return False
    theirs = [it.endpoint for it in _of_type(played, our.type)]
    body = _body(first.found)
    is_same = body is not None and body == _body(played.found)
    return is_same and our.endpoint not in theirs


def _is_one(case: Case, facts: Facts, played: Play, our: Account) -> bool:
    """Whether another client takes the same server, by another of its names."""
    addresses = _addresses(facts, our)
    return case.provider is None and any(
        it[2:4] == our[2:4] and it[1] != our[1] and addresses == _addresses(facts, it)
        for it in _of_type(played, our.type)
        if addresses
    )


def _mail_of(played: Play) -> list[Account]:
    accounts = played.setup.servers if played.setup else ()
    return [it for it in accounts if it.type in MAIL_TYPES and not it.url]


def _of_type(played: Play, type_: str) -> list[Account]:
    return [it for it in _mail_of(played) if it.type == type_]


def _body(outcome: Outcome | None) -> bytes | None:
    return outcome.reply.body if outcome and outcome.reply else None


def _addresses(facts: Facts, account: Account) -> list[str]:
    with suppress(LookupFailed):
        return sorted(facts.addresses(account.hostname))
    return []


def with_living(
    facts: Facts,
    findings: list[Finding],
    plays: list[Play],
    for_all: frozenset[str],
) -> Iterator[Finding]:
    """What fails at a server that is published, with one that another client sets up."""
    living = {
        it.type: it
        for played in plays
        for it in _mail_of(played)
        if not _is_faulty(facts, for_all, it)
    }
    for it in findings:
        other = living.get(it.subject.partition(" ")[0])
        if it.step == "server" and it.status == FAILURE and other:
            found = f"{other} works, which others are told of: publish that everywhere"
            it = it._replace(cure=f"{found}; or {it.cure}" if it.cure else found)
        yield it


def _is_faulty(facts: Facts, for_all: frozenset[str], account: Account) -> bool:
    """Whether whoever sets it up gets no mail, as far as was tried."""
    if account.url or account.type not in MAIL_TYPES:
        return False
    return account.username in for_all or servers.is_dead(facts, account.endpoint)


def _cure(case: Case, is_files_fault: bool) -> str:
    if case.provider is None:
        return "publish the same settings in every form"
    if is_files_fault:
        return "correct the file: what is published works, what the file says does not"
    return "serve what the file says there: reload what serves it"


def _reference(
    case: Case, client: Client, first: Play | None
) -> tuple[Setup | None, str]:
    if case.provider is None:
        if first is None:
            return None, ""
        # Not every form can say every method: that is the quirks' matter.
        accounts = first.setup.servers if first.setup else ()
        setup = Setup(tuple(it._replace(authentication="") for it in accounts))
        return setup, f"{first.client} sets up"
    says = "the file says"
    if client.steps:
        return expected(client, case), says
    if client.family == "apple":
        return profile.expected(case), says
    return None, says


def expected(client: Client, case: Case) -> Setup | None:
    """What the client would set up if it got what the file makes; None without."""
    if case.provider is None:
        return None
    who = case.asker
    if client.family == "outlook":
        body = outlook.write(case.provider, Recipient(case.domain, who))
        with suppress(setups.MeaninglessError):
            return setups.of_pox(body) if body else None
        return None
    alone = structs.replace(case.provider, list_domains=False)
    document = thunderbird.write(alone, Recipient(case.domain, exact=case.exact))
    with suppress(reading.UnreadableError):
        return reading.read(document, client.rules, who)
    return None


# --- What is not published ----------------------------------------------------------


def nothing(
    case: Case, facts: Facts, seen: list[documents.Document], plays: list[Play]
) -> Iterator[Finding]:
    """That there is no document where there should be one."""
    wants = any(family.name == "thunderbird" for family in case.families)
    if seen or not wants:
        return
    if case.provider is None:
        has_any = any(it.setup is not None for it in plays if it.client != "Calendars")
        if has_any:
            return
        is_exchange = any(
            it.why == EXCHANGE for played in plays for it in played.findings
        )
        is_there = any(
            it.step == "document" or "an empty answer" in it.seen
            for played in plays
            for it in played.stopping()
        )
        yield (note if is_exchange or is_there else failure)(
            "document",
            case.domain,
            "no document with mail settings is published",
            "a mail client can only guess the servers",
            "make a file with `flask-autoconfig init`, serve it, publish the DNS records",
        )
        return
    if any(it.found and it.found.place.startswith("mx") for it in plays):
        yield note(
            "document",
            case.domain,
            "no document is published at the domain itself",
            "clients that look at the MX host find the settings there, others nothing",
            "publish the names too (see `flask-autoconfig dns`), for all of them",
        )
        return
    family = next(it for it in case.families if it.name == "thunderbird")
    name = f"{family.label}.{case.domain}"
    has_cause = any(it.stopping() for it in plays if it.family == "thunderbird")
    told = note if has_cause else failure
    if facts.exists(name):
        url = f"https://{name}{family.routes[0].path}"
        yield told(
            "https",
            url,
            f"there is no document for {case.domain} (status 404)"
            if not has_cause
            else f"there is no document for {case.domain}",
            f"{family.askers} get nothing",
            "serve the document there; if it is this service that answers, add the "
            "domain to its file, or let the proxy pass the host name on",
        )
        return
    yield told(
        "dns",
        name,
        "no document with mail settings is published for the domain",
        f"{family.askers} ask there first",
        f"publish a CNAME {name} to the host that serves the settings, and serve them "
        "there",
    )


def hosters(case: Case, facts: Facts) -> Iterator[Finding]:
    """What the MX host's domain answers, for this domain and for one that nobody has.

    It is 404 with words, or settings: other clients take anything else for an answer.
    """
    (step,) = [it for it in journeys.THUNDERBIRD.steps if it.place == "mx domain"]
    unknown = replace(case, domain="unknown.invalid", address=None)
    listed = asks(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{journeys.label_of(step)}.{name}{step.path}"
        listed.append(ask_of(step, unknown, url))
    for ask in dict.fromkeys(listed):
        with suppress(ProbeError):
            trouble = web.of_reply(case, facts.answer(ask), ask.url)
            if trouble is not None and trouble.ends:
                yield trouble.finding._replace(status=WARNING)


def _is_told(quirk: Finding, told: set[tuple[str, str]]) -> bool:
    return any((quirk.subject, it) in told and it in quirk.seen for it in _SAME)


# What a quirk and a client's own way say of the same fault.
_SAME = ("byte order mark", "attribute beside type", "username>", "socketType")


def without_quirks_told(findings: list[Finding]) -> Iterator[Finding]:
    """A client that stopped at a fault is not warned of the same as well."""
    told = {
        (place, fault)
        for it in findings
        if it.why == NO_SETTINGS
        for place in it.places
        for fault in _SAME
        if fault.strip(">") in it.seen
    }
    for it in findings:
        is_quirk = it.why.startswith("it hurts")
        if not (is_quirk and _is_told(it, told)):
            yield it


def once(findings: list[Finding]) -> Iterator[Finding]:
    """One thing at one place is told once, as the worst that it is to somebody."""
    worst: dict[tuple[str, str], Finding] = {}
    for it in findings:
        for place in it.places:
            key = (place, it.seen)
            other = worst.get(key)
            if other is None:
                worst[key] = it._replace(subject=place, places=(place,))
            else:
                order = (FAILURE, WARNING, NOTE, OK)
                keep, drop = sorted(
                    (other, it), key=lambda each: order.index(each.status)
                )
                hurt = drop.clients if keep.status == drop.status else ()
                keep = keep.hurting(*hurt)._replace(subject=place, places=(place,))
                worst[key] = keep
    yield from worst.values()
