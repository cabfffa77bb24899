"""Documents that are one at one host: PACC's, and those of any family without more ways."""

from __future__ import annotations

from typing import NamedTuple

from ....documents import Recipient
from ....families import Family
from ...network import ProbeError, Reply
from ...resolver import LookupFailed
from .. import setups
from ..facts import Ask, Facts
from ..findings import Case, Finding, failure, ok, shown, warning
from ..setups import Setup
from . import web
from .names import failed


class Seen(NamedTuple):
    """What a client of the family got."""

    findings: list[Finding]
    reply: Reply | None = None  # it is there, whatever is wrong with it
    setup: Setup | None = None


def url_of(case: Case, family: Family) -> str:
    """Where its clients ask."""
    return f"https://{family.label}.{case.domain}{family.routes[0].path}"


def look(case: Case, facts: Facts, family: Family) -> Seen:
    """The document of the family, held against the file's and the digest in DNS."""
    expected = None
    if case.provider:
        recipient = Recipient(case.domain, exact=case.exact)
        expected = family.formats[0].write(case.provider, recipient)
        if expected is None:
            return Seen([])
    url = url_of(case, family)
    try:
        reply = facts.answer(Ask(url))
    except ProbeError as error:
        return _without(web.of_error(facts, case, url, error))
    trouble = web.by_name(case, facts, web.of_reply(case, reply, url), url)
    if trouble is not None and trouble.is_absent and expected is not None:
        return Seen([not_served(family, family.askers, url, trouble)])
    if trouble is not None:
        return _without(trouble)
    findings = _content(family, reply, expected)
    setup = None
    if family.name == "pacc":
        try:
            setup = setups.of_pacc(reply.body)
        except setups.MeaninglessError as error:
            cure = "let this service answer there"
            told = failure("document", url, str(error), _why(family), cure)
            return Seen([told], reply)
    return Seen([*findings, *_digest(case, facts, family, reply)], reply, setup)


def _without(trouble: web.Trouble) -> Seen:
    return Seen([] if trouble.is_absent else [trouble.finding])


def not_served(family: Family, who: str, url: str, trouble: web.Trouble) -> Finding:
    """That a host answers which has not what the file makes."""
    return warning(
        "https",
        shown(url),
        f"there is nothing ({trouble.finding.seen}), the file serves {family.name}",
        f"{who} find no settings",
        "let this service answer there, or leave the family out of `clients` in the file",
    )


def _why(family: Family) -> str:
    return f"{family.askers} find no settings"


def _content(family: Family, reply: Reply, expected: bytes | None) -> list[Finding]:
    url = shown(reply.redirects[0] if reply.redirects else reply.url)
    wanted = family.formats[0].content_type.partition(";")[0]
    if reply.content_type != wanted:
        seen = f"content type {reply.content_type or 'missing'}"
        cure = f"let this service answer there, as {wanted}"
        return [failure("https", url, seen, _why(family), cure)]
    if expected is None or reply.body == expected:
        return [ok("document", url, "it is served")]
    cached = web.from_cache(reply)
    seen = "the document is not the one that the file makes"
    cure = web.PURGE if cached else "reload what serves it"
    seen = f"{seen}; {cached}" if cached else seen
    return [failure("document", url, seen, _why(family), cure)]


def _digest(case: Case, facts: Facts, family: Family, reply: Reply) -> list[Finding]:
    digest = family.digest
    if digest is None:
        return []
    name = f"{digest.name}.{case.domain}"
    wanted = digest.value(reply.body)
    try:
        values = facts.txt(name)
    except LookupFailed as error:
        return [failed(name, error)]
    why = f"{family.askers} believe only a document whose digest is in DNS"
    cure = f'publish {name} TXT "{wanted}"'
    if wanted.replace(" ", "") in [it.replace(" ", "") for it in values]:
        return [ok("dns", name, "the digest is that of the document served")]
    if not values:
        return [failure("dns", name, "there is no digest", why, cure)]
    seen = "the digest is not that of the document served"
    return [failure("dns", name, seen, why, cure)]
