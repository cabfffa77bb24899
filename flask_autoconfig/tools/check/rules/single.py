"""Families with one document at one host, such as PACC."""

from __future__ import annotations

from collections.abc import Iterator

from ....documents import Recipient
from ....documents.setups import MeaninglessError, Setup, read_pacc
from ....families import Family
from ...net.http import Reply
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding
from ..plays import Play
from . import web
from .names import failed


def url_of(case: Case, family: Family) -> str:
    """Return the URL that the family's clients ask."""
    return f"https://{family.label}.{case.domain}{family.routes[0].path}"


def play(case: Case, facts: Facts, family: Family, client: str) -> Play:
    """Return what a client of the family sets up, and what is wrong with the document.

    The document is compared with that of the file and with the digest in DNS.
    """
    url = url_of(case, family)
    played = Play(client, family.name, url=url)
    expected = _expected(case, family)
    if expected is None and case.provider:
        return played
    try:
        reply = facts.answer(Ask(url))
    except ProbeError as error:
        wrong: Finding | None = web.of_error(facts, case, url, error)
    else:
        wrong = web.by_name(case, facts, web.of_reply(case, reply, url), url)
        if wrong is not None and web.ABSENT in wrong.marks and expected:
            wrong = not_served(family, family.askers, url, wrong)
    if wrong is None:
        played.findings, played.setup = _read(family, reply, expected)
        if played.setup is not None:
            played.findings += _digest(case, facts, family, reply)
        played.setup = played.setup or Setup(())
    elif web.ABSENT not in wrong.marks:
        host = f"{family.label}.{case.domain}"
        is_wildcard = facts.is_by_wildcard(host, case.domain)
        played.findings = [wrong.marked("by chance" if is_wildcard else "")]
    return played


def _expected(case: Case, family: Family) -> bytes | None:
    recipient = Recipient(case.domain, exact=case.exact)
    return family.formats[0].write(case.provider, recipient) if case.provider else None


def _read(
    family: Family, reply: Reply, expected: bytes | None
) -> tuple[list[Finding], Setup | None]:
    """Return what is wrong with the document, and its setup; None if it has none."""
    try:
        setup = read_pacc(reply.body) if family.name == "pacc" else Setup(())
    except MeaninglessError as error:
        url, askers = (*reply.redirects, reply.url)[0], family.askers
        return [finding("document.meaningless", url, reason=error, askers=askers)], None
    return [_content(family, reply, expected)], setup


def not_served(family: Family, askers: str, url: str, trouble: Finding) -> Finding:
    """Return that a host answers, but not with the document of the file."""
    return finding(
        "document.not-served",
        url,
        reason=trouble.seen,
        family=family.name,
        askers=askers,
    )


def _content(family: Family, reply: Reply, expected: bytes | None) -> Finding:
    url = (*reply.redirects, reply.url)[0]
    wanted = family.formats[0].content_type.partition(";")[0]
    if reply.content_type != wanted:
        return finding(
            "document.content-type",
            url,
            found=reply.content_type or "missing",
            wanted=wanted,
            askers=family.askers,
        )
    if expected is None or reply.body == expected:
        return finding("document.served", url)
    stale = finding("document.stale", url, askers=family.askers)
    return web.with_cache(stale, "cache", reply)


def _digest(
    case: Case, facts: Facts, family: Family, reply: Reply
) -> Iterator[Finding]:
    digest = family.digest
    if digest is None:
        return
    name = f"{digest.name}.{case.domain}"
    wanted = digest.value(reply.body)
    try:
        values = facts.txt(name)
    except LookupFailed as error:
        yield failed(name, error)
        return
    code = "digest.differs" if values else "digest.missing"
    if wanted.replace(" ", "") in [value.replace(" ", "") for value in values]:
        code = "digest.found"
    yield finding(code, name, name=name, wanted=wanted, askers=family.askers)
