"""Families with one document at one host, such as PACC."""

from __future__ import annotations

from collections.abc import Iterator

from ....documents import Recipient, pacc_reader
from ....documents.setups import MeaninglessError, Setup
from ....families import Family
from ...net.http import Reply
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding
from ..scene import Outcome, Play
from . import web


def url_of(case: Case, family: Family) -> str:
    """Return the URL that the family's clients ask."""
    return f"https://{family.label}.{case.domain}{family.routes[0].path}"


def play(case: Case, facts: Facts, family: Family, client: str) -> Play:
    """Return what a client of the family sets up, and what is wrong with the document.

    The document is compared with that of the file and with the digest in DNS.
    """
    url, expected = url_of(case, family), None
    played = Play(client, family.name, found=Outcome(url))
    if case.provider is not None:
        recipient = Recipient(case.domain, exact=case.exact)
        expected = family.formats[0].write(case.provider, recipient)
        if expected is None:
            return played
    try:
        reply = facts.answer(Ask(url))
        wrong = web.by_name(case, facts, web.of_reply(case, reply, url), url)
    except ProbeError as error:
        wrong = web.of_error(facts, case, url, error)
    else:
        if wrong is None:
            played.setup = Setup(())
            try:
                if family.name == "pacc":
                    played.setup = pacc_reader.read(reply.body)
                played.findings = [_content(family, reply, expected)]
                played.findings += _digest(case, facts, family, reply)
            except MeaninglessError as error:
                found = _found("document.meaningless", family, reply, reason=str(error))
                played.findings = [found]
            return played
        if web.ABSENT in wrong.marks and expected:
            wrong = not_served(family, family.askers, url, wrong)
    if web.ABSENT not in wrong.marks:
        is_wildcard = facts.is_by_wildcard(f"{family.label}.{case.domain}", case.domain)
        played.findings = [wrong.marked("by chance" if is_wildcard else "")]
    return played


def not_served(family: Family, askers: str, url: str, trouble: Finding) -> Finding:
    """Return that a host answers, but not with the document of the file."""
    reason, name = trouble.seen, family.name
    return finding(
        "document.not-served", url, reason=reason, family=name, askers=askers
    )


def _content(family: Family, reply: Reply, expected: bytes | None) -> Finding:
    """Return whether it is the document of the file, if there is a file."""
    wanted = family.formats[0].content_type.partition(";")[0]
    if reply.content_type != wanted:
        kind = reply.content_type or "missing"
        return _found("document.content-type", family, reply, found=kind, wanted=wanted)
    if expected is None or reply.body == expected:
        return _found("document.served", family, reply)
    return web.with_cache(_found("document.stale", family, reply), "cache", reply)


def _found(code: str, family: Family, reply: Reply, **values: str) -> Finding:
    """Return a finding at the URL that was asked."""
    url = (*reply.redirects, reply.url)[0]
    return finding(code, url, askers=family.askers, **values)


def _digest(
    case: Case, facts: Facts, family: Family, reply: Reply
) -> Iterator[Finding]:
    """Yield whether DNS has the document's digest, if the family has one."""
    if family.digest is None:
        return
    name = f"{family.digest.name}.{case.domain}"
    wanted = family.digest.value(reply.body)
    try:
        values = facts.txt(name)
    except LookupFailed as error:
        yield web.failed(name, error)
        return
    code = "digest.differs" if values else "digest.missing"
    if wanted.replace(" ", "") in [value.replace(" ", "") for value in values]:
        code = "digest.found"
    yield finding(code, name, name=name, wanted=wanted, askers=family.askers)
