"""Documents that are one at one host: PACC's, and those of any family without more ways."""

from __future__ import annotations

from typing import NamedTuple

from ....documents import Recipient, pacc_reader
from ....documents.setups import MeaninglessError, Setup
from ....families import Family
from ...net.http import Reply
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding, shown
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
    if trouble is not None and web.ABSENT in trouble.marks and expected is not None:
        return Seen([not_served(family, family.askers, url, trouble)])
    if trouble is not None:
        return _without(trouble)
    findings = _content(family, reply, expected)
    setup = None
    if family.name == "pacc":
        try:
            setup = pacc_reader.read(reply.body)
        except MeaninglessError as error:
            told = finding(
                "document.meaningless", url, reason=error, askers=family.askers
            )
            return Seen([told], reply)
    return Seen([*findings, *_digest(case, facts, family, reply)], reply, setup)


def _without(trouble: Finding) -> Seen:
    return Seen([] if web.ABSENT in trouble.marks else [trouble])


def not_served(family: Family, askers: str, url: str, trouble: Finding) -> Finding:
    """That a host answers which has not what the file makes."""
    return finding(
        "document.not-served",
        shown(url),
        reason=trouble.seen,
        family=family.name,
        askers=askers,
    )


def _content(family: Family, reply: Reply, expected: bytes | None) -> list[Finding]:
    url = shown(reply.redirects[0] if reply.redirects else reply.url)
    wanted = family.formats[0].content_type.partition(";")[0]
    if reply.content_type != wanted:
        kind = reply.content_type or "missing"
        return [
            finding(
                "document.content-type",
                url,
                found=kind,
                wanted=wanted,
                askers=family.askers,
            )
        ]
    if expected is None or reply.body == expected:
        return [finding("document.served", url)]
    stale = finding("document.stale", url, askers=family.askers)
    cached = web.from_cache(reply)
    return [stale.within("cache", cached=cached) if cached else stale]


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
    code = "digest.differs" if values else "digest.missing"
    if wanted.replace(" ", "") in [it.replace(" ", "") for it in values]:
        code = "digest.found"
    return [finding(code, name, name=name, wanted=wanted, askers=family.askers)]
