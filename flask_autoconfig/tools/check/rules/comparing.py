"""Holds what clients would set up side by side, and each with the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ....address import NOBODY, Address, fill_in
from ....config.ports import MAIL_TYPES
from ....config.tables import Provider
from ....documents import Recipient, outlook_reader
from ....documents.setups import Account, MeaninglessError, Setup
from ...clients import OUTLOOK, THUNDERBIRD, Client, label_of, readings_of
from ...mail import Endpoint
from ...network import ProbeError
from ...resolver import LookupFailed
from ..asking import ask_of, asks
from ..facts import Facts
from ..findings import Case, Finding, finding
from ..weigh import FAILURE
from . import documents, profile, servers, web

if TYPE_CHECKING:
    from ..plays import Outcome, Play
    from ..scene import Scene


def read(
    case: Case,
    facts: Facts,
    seen: Sequence[documents.Document],
    plays: Iterable[Play],
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


def is_trusted(provider: Provider | None, seen: Iterable[documents.Document]) -> bool:
    return any(it.provider is provider and it.is_verified for it in seen)


def differences(scene: Scene) -> Iterator[Finding]:
    """What a client would set up otherwise than the file, or than the first client.

    Where there is no file, a server that was tried and fails is compared with nothing:
    it is the fault, and whoever sets up another one is right. So is a user name that
    everybody gets.
    """
    case, facts, plays = scene.case, scene.facts, scene.plays
    is_faulty = partial(_is_faulty, scene)
    with_mail = [it for it in plays if it.setup is not None and it.setup.servers]
    first = min(
        with_mail, key=lambda it: sum(map(is_faulty, _mail_of(it))), default=None
    )
    for client, played in zip(scene.clients, plays, strict=True):
        if played.setup is None or client.family == "dav":
            continue
        if played.stopping():
            continue  # there is a cause, and it comes first
        for their in _mail_of(played) if case.provider is None else ():
            yield from _of_account(scene, client, played, their)
        ours, whose = _reference(case, client, first)
        if ours is None or (case.provider is None and played is first):
            continue
        for our, their in _differing(ours, played.setup, case.asker):
            if case.provider is None and (is_faulty(our) or is_faulty(their)):
                continue
            if _is_choice(case, first, played, our):
                continue
            is_outdated = is_faulty(our) and not is_faulty(their)
            code = "setup.file-outdated" if is_outdated else "setup.differs"
            is_one = _is_one(case, facts, played, our)
            yield (
                finding(
                    code if case.provider else "setup.contradicts",
                    played.place,
                    theirs=_in_words(their, our),
                    whose=whose,
                    ours=_in_words(our, their),
                )
                .marked("same server" if is_one else "")
                .hurting(client.name)
            )


def _of_account(
    scene: Scene, client: Client, played: Play, account: Account
) -> Iterator[Finding]:
    """What is wrong with a server that a client sets up, whatever others do."""
    name = account.username or ""
    if name in scene.names_for_all:
        yield documents.one_name(played.place, name).hurting(client.name)
    if client.family == "outlook":
        yield from servers.refused_method(scene.facts, account, client.name)


def names_for_all(scene: Scene) -> frozenset[str]:
    """The user names that everybody gets, in documents and for Outlook."""
    case, facts, plays = scene.case, scene.facts, scene.plays
    found = documents.names_for_all(case, scene.documents)
    step = OUTLOOK.steps[1]
    another = replace(case, address=Address(NOBODY, case.domain))
    for played in plays:
        names = {it.username or "" for it in _mail_of(played)}
        found |= set(filter(documents.is_unfilled, names))
        suspect = {it for it in names if documents.is_anothers(case, it)} - found
        reply = played.found.reply if played.found else None
        if not suspect or reply is None or played.family != "outlook":
            continue
        with suppress(ProbeError, MeaninglessError):
            other = facts.answer(ask_of(step, another, reply.url))
            told = outlook_reader.read(web.unpacked(other)).servers
            found |= suspect & {it.username or "" for it in told}
    return found


def _is_choice(case: Case, first: Play | None, played: Play, our: Account) -> bool:
    """Whether two clients take different servers of one document: a quirk, told as one."""
    if case.provider is not None or first is None:
        return False
    theirs = [Endpoint.of(it) for it in _of_type(played, our.type)]
    body = _body(first.found)
    is_same = body is not None and body == _body(played.found)
    return is_same and Endpoint.of(our) not in theirs


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


def with_living(scene: Scene, findings: Iterable[Finding]) -> Iterator[Finding]:
    """What fails at a server that is published, with one that another client sets up."""
    living = {
        it.type: it
        for played in scene.plays
        for it in _mail_of(played)
        if not _is_faulty(scene, it)
    }
    for it in findings:
        other = living.get(it.subject.partition(" ")[0])
        is_servers = it.step == "server" and not it.code.startswith("autodiscover.")
        if is_servers and it.status == FAILURE and other:
            it = it.within("another-works", other=other)
        yield it


def _is_faulty(scene: Scene, account: Account) -> bool:
    """Whether whoever sets it up gets no mail, as far as was tried."""
    if account.url or account.type not in MAIL_TYPES:
        return False
    if account.username in scene.names_for_all:
        return True
    return servers.is_dead(scene.facts, Endpoint.of(account))


def _reference(
    case: Case, client: Client, first: Play | None
) -> tuple[Setup | None, str]:
    if case.provider is None:
        if first is None:
            return None, ""
        # Not every format has every method; warnings.py reports that.
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
    recipient = Recipient(case.domain, case.asker, exact=case.exact)
    ((_, seen),) = readings_of([client], case.provider, recipient)
    return seen.setup


# --- Two setups --------------------------------------------------------------------


def _differing(
    ours: Setup, theirs: Setup, who: Address
) -> Iterator[tuple[Account, Account]]:
    """Yield the servers of one type that two set up differently: ours, theirs."""
    for our in ours.servers:
        same_type = [it for it in theirs.servers if it.type == our.type]
        if same_type and not any(_is_same(our, it, who) for it in same_type):
            yield our, same_type[0]


def _is_same(one: Account, other: Account, who: Address) -> bool:
    if one.url or other.url:
        return one.url.rstrip("/") == other.url.rstrip("/")
    if one[1:4] != other[1:4]:
        return False
    methods = {one.authentication, other.authentication} - {""}
    if len(methods) > 1:
        return False
    names = [fill_in(it.username, who.domain, who) for it in (one, other)]
    return not all(names) or names[0] == names[1]


def _in_words(account: Account, beside: Account) -> str:
    """Return a server in words, with what else differs from the one beside it."""
    words = str(account)
    if account.username != beside.username and account.username:
        words += f", user name {account.username}"
    methods = {account.authentication, beside.authentication}
    if len(methods) > 1 and "" not in methods:
        words += f", {account.authentication}"
    return words


# --- What is not published ----------------------------------------------------------


def nothing(scene: Scene) -> Iterator[Finding]:
    """That there is no document where there should be one."""
    case, facts, plays = scene.case, scene.facts, scene.plays
    wants = any(family.name == "thunderbird" for family in case.families)
    if scene.documents or scene.faulty or not wants:
        return
    if case.provider is None:
        has_any = any(it.setup is not None for it in plays if it.client != "Calendars")
        if has_any:
            return
        met = [it for played in plays for it in played.findings]
        is_explained = any(
            it.code == "http.exchange"
            or (it.status == FAILURE and (it.step == "document" or _is_empty(it)))
            for it in met
        )
        none = finding("document.none", case.domain)
        yield none.marked("explained") if is_explained else none
        return
    if any(it.found and it.found.place.startswith("mx") for it in plays):
        yield finding("document.none-at-domain", case.domain)
        return
    family = next(it for it in case.families if it.name == "thunderbird")
    name = f"{family.label}.{case.domain}"
    has_cause = any(it.stopping() for it in plays if it.family == "thunderbird")
    if facts.exists(name):
        none = finding(
            "document.not-there",
            f"https://{name}{family.routes[0].path}",
            domain=case.domain,
            status="" if has_cause else " (status 404)",
            askers=family.askers,
        )
    else:
        none = finding("document.not-published", name, name=name, askers=family.askers)
    yield none.marked("explained") if has_cause else none


def _is_empty(it: Finding) -> bool:
    return it.code == "http.empty"


def hosters(scene: Scene) -> Iterator[Finding]:
    """What the MX host's domain answers, for this domain and for one that nobody has.

    It is 404 with words, or settings: other clients take anything else for an answer.
    """
    case, facts = scene.case, scene.facts
    (step,) = [it for it in THUNDERBIRD.steps if it.place == "mx domain"]
    unknown = replace(case, domain="unknown.invalid", address=None)
    listed = asks(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{label_of(step)}.{name}{step.path}"
        listed.append(ask_of(step, unknown, url))
    for ask in dict.fromkeys(listed):
        with suppress(ProbeError):
            found = web.of_reply(case, facts.answer(ask), ask.url)
            if found is not None and found.code in web.ENDING:
                yield found._replace(marks=frozenset(("for others",)))
