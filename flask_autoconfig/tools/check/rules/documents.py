"""What documents say: by the clients' rules, against the file, against each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from msgspec import structs

from ....address import DOMAIN_PLACEHOLDER, PLACEHOLDERS, is_for_all, with_domain
from ....config.explain.foreign import login_for, theirs_in
from ....config.reading import from_raw
from ....config.tables import SERVER_KEYS, AuthenticationMethod, Provider
from ....config.values import quote
from ....documents import Recipient, thunderbird
from ....documents.thunderbird_reader import NotAutoconfigError, Reader
from ....errors import ConfigError, Problem
from ...clients import readings_of
from ...network import ProbeError, Reply
from ...reading import in_words as enumerated
from ...reading import read
from ...untrusted import split_url
from ...warnings import by_fault, find_warnings
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding, from_problem, shown
from ..weigh import OK
from . import servers, web

if TYPE_CHECKING:
    from ..scene import Scene


class Document(NamedTuple):
    """A config-v1.1.xml that was found and can be read."""

    asks: tuple[Ask, ...]  # all that it was found with
    reply: Reply  # the first of them
    body: bytes
    provider: Provider
    is_verified: bool  # it came, once at least, whole over https with good certificates

    @property
    def place(self) -> str:
        """Where it was found first."""
        return shown(self.asks[0].url)


class Faulty(NamedTuple):
    """A config-v1.1.xml that was found, with values that no client can take."""

    asks: tuple[Ask, ...]
    problems: tuple[Problem, ...]


def found(
    asks: Iterable[Ask], case: Case, facts: Facts
) -> tuple[list[Document], list[Faulty]]:
    """The documents among the answers, each once, and those that are faulty."""
    documents: dict[bytes, Document] = {}
    faulty: dict[bytes, Faulty] = {}
    for ask in asks:
        with suppress(ProbeError):
            reply = facts.answer(ask)
            if reply.is_forged or web.of_reply(case, reply, ask.url) is not None:
                continue
            body = web.unpacked(reply)
            known = documents.get(body)
            if known is not None:
                documents[body] = known._replace(
                    asks=(*known.asks, ask),
                    is_verified=known.is_verified or reply.is_verified,
                )
                continue
            with suppress(NotAutoconfigError):
                try:
                    raw = Reader().read(body)
                    (provider,) = from_raw({"provider": [raw]}).providers
                except ConfigError as error:
                    known_ = faulty.get(body, Faulty((), tuple(error.problems)))
                    faulty[body] = known_._replace(asks=(*known_.asks, ask))
                    continue
                documents[body] = Document(
                    (ask,), reply, body, provider, reply.is_verified
                )
    return list(documents.values()), list(faulty.values())


_MOST_PROBLEMS = 3  # of a faulty document


def faulty(scene: Scene) -> Iterator[Finding]:
    """What is wrong with documents that cannot be held against anything."""
    for it in scene.faulty:
        hurt = [name for ask in it.asks for name in scene.readers.get(ask.url, ())]
        for problem in it.problems[:_MOST_PROBLEMS]:
            place = problem.place.removeprefix("provider[0].")
            told = f"{place}: {problem.message}" if place else problem.message
            is_name = place.endswith(".username")
            yield finding(
                "document.bad-username" if is_name else "document.bad-value",
                shown(it.asks[0].url),
                advice=problem.cure,
                problem=told,
            ).hurting(*hurt)


def look(scene: Scene) -> list[Finding]:
    """What there is to say of each document."""
    case, facts, documents = scene.case, scene.facts, scene.documents
    findings: list[Finding] = []
    reference = documents[0] if documents else None
    if len(documents) > 1 and case.provider is None:
        # The one that works is what the others are held against.
        dead = [servers.has_dead(case, facts, it.provider) for it in documents]
        reference = documents[dead.index(min(dead))]
    for it in documents:
        told = [*_by_clients(scene, it), *_by_advice(case, it)]
        told += _domains(case, it)
        if case.provider is not None:
            told += _against_the_file(case, it)
        elif reference is not None and it is not reference:
            told += _against_another(case, it, reference)
        hurt = [name for ask in it.asks for name in scene.readers.get(ask.url, ())]
        if not any(each.status != OK for each in told):
            told.append(_good(case, it))
        findings += [
            each if each.status == OK or each.clients else each.hurting(*hurt)
            for each in told
        ]
    return findings


def _good(case: Case, it: Document) -> Finding:
    agreed = " and agrees with the file" if case.provider else ""
    servers = ", ".join(
        f"{each.type} {each.hostname}:{each.port}"
        for _, each in it.provider.servers
        if each.hostname
    )
    return finding("document.good", it.place, agreed=agreed, servers=servers)


def _by_clients(scene: Scene, it: Document) -> Iterator[Finding]:
    """What those stumble over who set up what it says; others say what stops them.

    What they stumble over in the file's own document is told of the file.
    """
    case = scene.case
    names = {name for ask in it.asks for name in scene.readers.get(ask.url, ())}
    readers = [client for client in scene.clients if client.name in names]
    known: set[tuple[str, str]] = set()
    if case.provider is not None:
        recipient = Recipient(case.domain, case.asker, exact=case.exact)
        for _, own in readings_of(readers, case.provider, recipient):
            known |= {(each.code, each.place) for each in own.faults}
    readings = ((who, read(it.body, who.rules, case.asker)) for who in readers)
    for clients, fault in by_fault(readings):
        if (fault.code, fault.place) not in known:
            told = Problem(fault.place, fault.message, fault.cure)
            told = told._replace(client=enumerated(clients))
            yield from_problem("document", it.place, told, clients)


def _by_advice(case: Case, it: Document) -> Iterator[Finding]:
    """What is unwise in it; of a file's own settings the file is told."""
    if case.provider is not None:
        return
    for_all = names_for_all(case, [it])
    names = {f"{at}.username": server.username for at, server in it.provider.servers}
    for problem in find_warnings([it.provider], ours=False):
        place = problem.place.removeprefix("provider[0].")
        if names.get(place) not in for_all:
            yield from_problem("document", it.place, problem._replace(place=place))
    for name in sorted(for_all):
        cure = f"write <username>{login_for(name)}</username>"
        yield one_name(it.place, name, cure)


def one_name(place: str, name: str, cure: str = "") -> Finding:
    """That everybody gets one user name."""
    return finding("document.one-username", place, advice=cure, name=quote(name))


_OURS = re.compile("|".join(PLACEHOLDERS))
_OTHERS = re.compile(r"%\w+%")  # placeholders that no client knows


def is_unfilled(username: str) -> bool:
    """Whether it holds a placeholder that no client fills in."""
    theirs = theirs_in(username) or _OTHERS.search(_OURS.sub("", username))
    return bool(theirs)


def is_anothers(case: Case, username: str) -> bool:
    """Whether it is one name, and not that of who asks, whose address is known."""
    who = case.address
    return bool(username) and (
        who is not None
        and is_for_all(username)
        and username not in (str(who), who.local)
    )


def names_for_all(case: Case, documents: Iterable[Document]) -> frozenset[str]:
    """The user names that everybody gets, and that no client makes a login of.

    A site may know each person's login: so one name is everybody's only if it is told
    to who asks for another person, or for nobody.
    """
    return frozenset(
        name
        for it in documents
        for _, server in it.provider.servers
        if (name := server.username or "")
        and (
            is_unfilled(name)
            or (
                is_anothers(case, name) and not all(map(partial(_is_of, case), it.asks))
            )
        )
    )


def _is_of(case: Case, ask: Ask) -> bool:
    """Whether a request names the asker."""
    return unquote(split_url(ask.url).query) == f"emailaddress={case.asker}"


def _domains(case: Case, it: Document) -> Iterator[Finding]:
    """Whether it is for this domain, and not copied from a template."""
    patterns = it.provider.domains
    if any(_covers(pattern, case.domain) for pattern in patterns):
        return
    is_mx = case.domain in it.provider.mx_domains
    if is_mx or not patterns:
        return
    others = ", ".join(patterns[:4]) + (" …" if len(patterns) > 4 else "")
    yield finding("document.other-domain", it.place, domain=case.domain, others=others)


def _covers(pattern: str, domain: str) -> bool:
    if pattern in (domain, DOMAIN_PLACEHOLDER):
        return True
    return pattern == "*"  # %EMAILDOMAIN%, as the reader spells it


# --- Against the file, or another ---------------------------------------------------------


def _against_the_file(case: Case, it: Document) -> Iterator[Finding]:
    found = list(differences(case, _of_the_file(case), it.provider))
    if not found:
        return
    is_beside = all(each.is_beside for each in found)
    told = finding(
        "document.has-others" if is_beside else "document.differs",
        it.place,
        differences=_told(found, "{place} is {theirs}, the file says {ours}"),
    )
    cached = web.from_cache(it.reply)
    yield told.within("cache", cached=cached) if cached else told


_MOST_TOLD = 4  # differences of two documents, in one finding


def _told(found: list[Difference], form: str) -> str:
    listed = [form.format(**it._asdict()) for it in found[:_MOST_TOLD]]
    more = len(found) - len(listed)
    return "; ".join([*listed, *([f"and {more} more"] if more else [])])


def _of_the_file(case: Case) -> Provider:
    """What the file's provider is once it was written and read."""
    assert case.provider is not None  # noqa: S101 (see look)
    recipient = Recipient(case.domain, exact=case.exact)
    alone = structs.replace(case.provider, list_domains=False)  # only servers count
    raw = Reader().read(thunderbird.write(alone, recipient))
    (provider,) = from_raw({"provider": [raw]}).providers
    return provider


def _against_another(case: Case, it: Document, other: Document) -> Iterator[Finding]:
    """Whoever asks there sets up something else."""
    where = other.place
    if where == it.place:
        where = "the same URL, asked with another form of the address"
    found = list(differences(case, other.provider, it.provider))
    if not found:
        return
    is_beside = all(each.is_beside for each in found)
    told = finding(
        "document.has-more" if is_beside else "document.contradicts",
        it.place,
        differences=_told(found, "{place} is {theirs}, but {ours}"),
        where=where,
    )
    cached = web.from_cache(it.reply) or web.from_cache(other.reply)
    yield told.within("caches", cached=cached) if cached else told


class Difference(NamedTuple):
    """Where two providers' servers differ, in words."""

    place: str
    theirs: str
    ours: str
    is_beside: bool = False  # one has all that the other has, and more


def differences(case: Case, ours: Provider, theirs: Provider) -> Iterator[Difference]:
    """Where two providers' servers differ."""
    for key in SERVER_KEYS:
        one, other = getattr(ours, key), getattr(theirs, key)
        if len(one) != len(other):
            fewer, more = sorted((one, other), key=len)
            is_beside = bool(fewer) and all(
                any(not list(_fields(case, it, each)) for each in more) for it in fewer
            )
            yield Difference(key, _counted(len(other)), str(len(one)), is_beside)
            continue
        for index, (our, their) in enumerate(zip(one, other, strict=True)):
            for name, mine, its in _fields(case, our, their):
                place = f"{key}[{index}].{name}"
                yield Difference(place, in_words(its), in_words(mine))


def _fields(case: Case, our: Any, their: Any) -> Iterator[tuple[str, Any, Any]]:
    """The fields in which two servers differ, with each one's value."""
    for field in structs.fields(our):
        mine, its = getattr(our, field.name), getattr(their, field.name)
        if case.has_own_login and field.name == "username":
            continue  # who asks without an address is told of no login
        if _filled(case, mine) != _filled(case, its):
            yield field.name, mine, its


def _filled(case: Case, value: Any) -> Any:
    return with_domain(value, case.domain) if isinstance(value, str) else value


def _counted(number: int) -> str:
    return "1 server" if number == 1 else f"{number} servers"


def in_words(value: Any) -> str:
    """A value of the model as people write it."""
    if isinstance(value, tuple | list):
        return ", ".join(map(in_words, value)) or "nothing"
    if value is None:
        return "not there"
    if isinstance(value, AuthenticationMethod):
        return value.name
    return str(value)
