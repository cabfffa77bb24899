"""What documents say: each by the clients' quirks, against the file, against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import structs

from ....address import DOMAIN_PLACEHOLDER, with_domain
from ....config.reading import from_raw
from ....config.tables import SERVER_KEYS, AuthenticationMethod, Provider
from ....documents import Recipient, thunderbird
from ....documents.thunderbird_reader import NotAutoconfigError, Reader
from ....errors import ConfigError
from ... import quirks, written
from ...network import ProbeError, Reply
from ..facts import Ask, Facts
from ..findings import OK, Case, Finding, failure, from_problem, ok, shown, warning
from . import web


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


def found(asks: Iterable[Ask], case: Case, facts: Facts) -> list[Document]:
    """The documents among the answers, each once."""
    documents: dict[bytes, Document] = {}
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
            with suppress(NotAutoconfigError, ConfigError):
                (provider,) = from_raw({"provider": [Reader().read(body)]}).providers
                documents[body] = Document(
                    (ask,), reply, body, provider, reply.is_verified
                )
    return list(documents.values())


def look(
    case: Case,
    documents: list[Document],
    readers: Mapping[str, tuple[str, ...]],
) -> list[Finding]:
    """What there is to say of them.

    `readers` are the clients that took their settings at a URL (without its query).
    """
    findings: list[Finding] = []
    reference = documents[0] if documents else None
    for it in documents:
        told = list(_by_quirks(case, it))
        told += _domains(case, it)
        if case.provider is not None:
            told += _against_the_file(case, it)
        elif reference is not None and it is not reference:
            told += _against_another(case, it, reference)
        hurt = [name for ask in it.asks for name in readers.get(ask.url, ())]
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
    return ok("document", it.place, f"it is valid{agreed}: {servers}")


# Its journey stops at what the quirk says of it.
_TOLD_BY_JOURNEYS = frozenset(("FairEmail",))


def _by_quirks(case: Case, it: Document) -> Iterator[Finding]:
    problems = written.document_warnings(it.body)
    if case.provider is None:  # a file's own warnings are the file's step
        problems += [
            each._replace(place=each.place.removeprefix("provider[0]."))
            for each in quirks.warnings([it.provider], ours=False)
            if each.client not in _TOLD_BY_JOURNEYS
        ]
    for problem in problems:
        yield from_problem("document", it.place, problem)


def _domains(case: Case, it: Document) -> Iterator[Finding]:
    """Whether it is for this domain, and not copied from a template."""
    patterns = it.provider.domains
    if any(_covers(pattern, case.domain) for pattern in patterns):
        return
    is_mx = case.domain in it.provider.mx_domains
    if is_mx or not patterns:
        return
    others = ", ".join(patterns[:4]) + (" …" if len(patterns) > 4 else "")
    yield warning(
        "document",
        it.place,
        f"it lists other domains than {case.domain}: {others}",
        "Mustang takes it only if the domain asked for stands there; "
        "it may have been copied from somebody else's",
        f"write <domain>{case.domain}</domain>, and see that its servers are yours",
    )


def _covers(pattern: str, domain: str) -> bool:
    if pattern in (domain, DOMAIN_PLACEHOLDER):
        return True
    return pattern == "*"  # %EMAILDOMAIN%, as the reader spells it


# --- Against the file, or another ---------------------------------------------------------


def _against_the_file(case: Case, it: Document) -> Iterator[Finding]:
    cached = web.from_cache(it.reply)
    for place, theirs, ours in differences(case, _of_the_file(case), it.provider):
        seen = f"{place} is {theirs}, the file says {ours}"
        cure = "reload what serves it, or publish the file that is meant"
        if cached:
            seen, cure = f"{seen}; {cached}", web.PURGE
        why = "clients get other settings than you think"
        yield failure("document", it.place, seen, why, cure)


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
    cached = web.from_cache(it.reply) or web.from_cache(other.reply)
    cure = "serve one document at all of them"
    cure = f"{web.PURGE}; {cure}" if cached else cure
    for place, theirs, ours in differences(case, other.provider, it.provider):
        yield failure(
            "document",
            it.place,
            f"{place} is {theirs}, but {ours} at {where}"
            + (f"; {cached}" * bool(cached)),
            "which servers a person gets depends on the client",
            cure,
        )


def differences(
    case: Case, ours: Provider, theirs: Provider
) -> Iterator[tuple[str, str, str]]:
    """Where two providers' servers differ: the place, theirs, ours."""
    for key in SERVER_KEYS:
        one, other = getattr(ours, key), getattr(theirs, key)
        if len(one) != len(other):
            yield key, _counted(len(other)), str(len(one))
            continue
        for index, (our, their) in enumerate(zip(one, other, strict=True)):
            for field in structs.fields(our):
                mine, its = getattr(our, field.name), getattr(their, field.name)
                if case.has_own_login and field.name == "username":
                    continue  # who asks without an address is told of no login
                if _filled(case, mine) != _filled(case, its):
                    yield f"{key}[{index}].{field.name}", in_words(its), in_words(mine)


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
