"""Plays a client: its steps one after the other, until it has settings or gives up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from ...address import NOBODY
from ...documents import outlook_reader
from ...documents.setups import Account, MeaninglessError, Setup
from .. import reading
from ..clients import POX, Client, Step
from ..net.http import REDIRECTS, Reply
from ..net.resolver import LookupFailed
from ..net.tcp import ProbeError
from ..net.untrusted import split_url
from ..zone import MAIL_SERVICES
from .asking import ask_of, asks, steps_of
from .facts import Ask, Facts
from .findings import Case, Finding, finding, shown
from .plays import (
    Outcome,
    Play,
    host_of,
    is_by_chance,
    is_elsewhere,
    is_way_out,
)
from .rules import web
from .weigh import FAILURE, OK

_SLOW = 3.0  # seconds, of the five that Thunderbird waits


# --- Playing --------------------------------------------------------------------------


def play(client: Client, case: Case, facts: Facts) -> Play:
    """What a client with steps sets up, or what stops it."""
    played = Play(client.name, client.family)
    met: list[Outcome] = []
    for step in steps_of(client, case):
        for ask in asks(step, case, facts):
            outcome = _outcome(client, step, ask, case, facts)
            met.append(outcome)
            if outcome.setup is not None:
                played.setup, played.found = outcome.setup, outcome
            if outcome.setup is not None or _ends(client, outcome):
                break
        else:
            continue
        break
    if played.setup is None and client.srv:
        by_srv = _by_srv(client, case, facts)
        if by_srv is not None:
            met.append(by_srv)
            played.setup = by_srv.setup
            played.found = by_srv if by_srv.setup is not None else None
    _tell(played, client, case, facts, met)
    return played


def _ends(client: Client, outcome: Outcome) -> bool:
    """Whether the client takes it for an answer and looks no further."""
    if outcome.trouble is None or outcome.trouble.code not in web.ENDING:
        return False
    status = outcome.reply.status if outcome.reply else 0
    return client.takes_empty_404 if status in (404, 410) else client.takes_empty


def _tell(
    played: Play, client: Client, case: Case, facts: Facts, met: list[Outcome]
) -> None:
    """What it met on its way, each with its circumstances: whether it stopped there."""
    causes: set[str] = set()
    meets_exchange = any(
        it.trouble and it.trouble.code == "http.exchange" for it in met
    )
    for outcome in met:
        found = outcome.trouble
        if found is None or (
            web.ABSENT in found.marks and found.code not in web.ENDING
        ):
            continue
        if _ends(client, outcome):
            found = found._replace(marks=frozenset())
        else:
            found = found.marked(
                *_circumstances(played, outcome, case, facts),
                "exchange" * meets_exchange,
                "elsewhere"
                * bool(causes and is_way_out(outcome) and found.seen not in causes),
            )
        if found.status == FAILURE:
            causes.add(found.seen)
        played.findings.append(found.hurting(client.name))
    reply = played.found.reply if played.found else None
    for each in _beside(case, facts, reply) if reply else ():
        hurt = () if each.status == OK else (client.name,)
        played.findings.append(each.hurting(*hurt))


def _circumstances(
    played: Play, outcome: Outcome, case: Case, facts: Facts
) -> Iterator[str]:
    """The marks of what a client met: whether it was meant, and whether it went on."""
    if is_by_chance(played, outcome, case, facts):
        yield "by chance"
    if is_elsewhere(played, outcome, case, facts):
        yield "exchange"
    if played.setup is not None:
        is_own = outcome.place == "host" and outcome.url.startswith("https:")
        yield "first place" if is_own else "elsewhere"


def _beside(case: Case, facts: Facts, reply: Reply) -> Iterator[Finding]:
    """What is wrong with the requests that led to settings nevertheless."""
    first = shown(reply.redirects[0] if reply.redirects else reply.url)
    if reply.redirects:
        yield finding("http.redirected", first, target=shown(reply.url))
    hop = web.unencrypted_hop(reply)
    if hop:
        yield finding("http.downgraded", first, target=shown(hop))
    elif not first.startswith("https:") and not _is_there_by_https(case, facts, reply):
        yield finding("http.unencrypted", first)
    if reply.seconds > _SLOW:
        yield finding("http.slow", first, seconds=f"{reply.seconds:.0f}")


def _is_there_by_https(case: Case, facts: Facts, reply: Reply) -> bool:
    """Whether what came by http is there by https too, for all who ask so."""
    first = reply.redirects[0] if reply.redirects else reply.url
    url = first.replace("http:", "https:", 1)
    with suppress(ProbeError):
        return web.of_reply(case, facts.answer(Ask(url)), url) is None
    return False


def _outcome(client: Client, step: Step, ask: Ask, case: Case, facts: Facts) -> Outcome:
    try:
        reply = facts.answer(ask)
    except ProbeError as error:
        trouble = web.of_error(facts, case, ask.url, error)
        trouble = web.by_redirect(facts, ask, trouble)
        told = web.by_name(case, facts, trouble, ask.url)
        return Outcome(ask.url, step.place, trouble=told)
    if step.kind == "302":
        return _redirected(client, step, ask, case, facts)
    outcome = Outcome(ask.url, step.place, reply)
    found = web.of_reply(case, reply, ask.url)
    if found is not None and web.ABSENT in found.marks and step.place == "host":
        found = web.by_redirect(facts, ask, found)
    if found is not None and _is_exchange(case, reply):
        host = host_of(reply.url)
        at_exchange = finding("http.exchange", shown(ask.url), host=host)
        return outcome._replace(trouble=at_exchange)
    if step.kind == "xml":
        found = _because_of_form(step, ask, case, facts, found)
    if found is None and step.kind != "v2":
        found, setup = _read(client, step, ask, case, facts, reply)
        if setup is not None:
            return outcome._replace(setup=setup)
    if step.kind == "v2" and found is None:
        return _by_v2(client, step, outcome, case, facts)
    found = web.by_name(case, facts, found, ask.url)
    if step.kind == "v2":
        return _without_v2(outcome, found)
    return outcome._replace(trouble=found)


def _is_exchange(case: Case, reply: Reply) -> bool:
    """Whether somebody else's host asks for a login first, and there is no file."""
    wants_login = reply.status == 401 and "www-authenticate" in reply.headers
    return case.provider is None and wants_login and not case.has(host_of(reply.url))


def _read(
    client: Client, step: Step, ask: Ask, case: Case, facts: Facts, reply: Reply
) -> tuple[Finding | None, Setup | None]:
    """What the client makes of a document, or why nothing."""
    gate = _gate(client, step, ask, facts, reply)
    if gate is not None:
        return gate, None
    document = web.unpacked(reply)
    if step.kind == "xml":
        seen = reading.read(document, client.rules, case.asker)
        setup, reason, cure = seen.setup, seen.reason, seen.cure
    else:
        setup, reason, cure = _of_pox(document)
    if setup is not None:
        return None, _as_told(case, setup)
    place = shown(ask.url)
    return finding("document.unusable", place, advice=cure, reason=reason), None


def _of_pox(document: bytes) -> tuple[Setup | None, str, str]:
    """What Outlook sets up; None with the reason and the cure where it cannot."""
    try:
        return outlook_reader.read(document), "", ""
    except MeaninglessError as error:
        return None, str(error), error.cure


def _as_told(case: Case, setup: Setup) -> Setup:
    """With whoever asked in the place of Evolution's stand-in for him."""
    return Setup(
        tuple(
            it._replace(
                username=it.username and it.username.replace(NOBODY, case.asker.local)
            )
            for it in setup.servers
        )
    )


def _gate(
    client: Client, step: Step, ask: Ask, facts: Facts, reply: Reply
) -> Finding | None:
    """What makes a client put an answer away unread."""
    url = shown(reply.url)
    coding = reply.headers.get("content-encoding", "")
    if client.takes_no_compression and coding:
        return finding("http.compressed", url, coding=coding[:40])
    for hop in reply.redirects if client.needs_absolute_location else ():
        location = facts.reply(ask._replace(url=hop)).headers.get("location", "")
        if "://" not in location:
            return finding("http.relative-location", shown(hop), location=location[:80])
    is_xml = reply.content_type in ("text/xml", "application/xml")
    if step.kind == "xml" and client.needs_xml_type and not is_xml:
        return finding("http.content-type", url, found=reply.content_type or "missing")
    return None


def _because_of_form(
    step: Step, ask: Ask, case: Case, facts: Facts, trouble: Finding | None
) -> Finding | None:
    """Whether the answer would be there for a request of another form."""
    if trouble is None or step.form not in ("none", "evolution"):
        return trouble
    other = ask_of(step._replace(form="address"), case, ask.url.partition("?")[0])
    try:
        reply = facts.answer(other)
    except ProbeError:
        return trouble
    if web.of_reply(case, reply, other.url) is not None:
        return trouble
    url, got = shown(ask.url), trouble.seen
    if step.form == "evolution":
        return finding("http.local-part-counts", url, got=got)
    status = facts.answer(ask).status
    is_lost = status in (400, 404, 410, 421)
    got = f"the server gives {got}" if status == 200 else f"the server answers {status}"
    return finding("http.host-lost" if is_lost else "http.address-wanted", url, got=got)


# --- Outlook --------------------------------------------------------------------------


def _by_v2(
    client: Client, step: Step, outcome: Outcome, case: Case, facts: Facts
) -> Outcome:
    """Version 2 says where the settings are: at the URLs asked anyway, or elsewhere."""
    url = shown(outcome.url)
    try:
        target = str(json.loads(outcome.reply.body)["Url"]) if outcome.reply else ""
    except (ValueError, TypeError, KeyError, RecursionError):
        target = ""
    parts = split_url(target)
    if parts.scheme != "https" or not parts.hostname or not target.isprintable():
        return outcome._replace(trouble=finding("autodiscover.v2-without-url", url))
    known = {ask.url for it in client.steps for ask in asks(it, case, facts)}
    if target in known:
        there_ = finding("autodiscover.v2", url).marked(web.ABSENT)
        return outcome._replace(trouble=there_)
    pox = step._replace(kind="pox")
    there = _outcome(client, pox, ask_of(pox, case, target), case, facts)
    if there.setup is not None:
        return there
    got = there.trouble.seen if there.trouble else "nothing"
    status = there.reply.status if there.reply else 0
    is_shut = status in (401, 403)  # as Exchange is, which shows nobody its settings
    if is_shut:
        got = f"which wants a login first (status {status})"
    told = finding("autodiscover.v2-elsewhere", url, target=shown(target), got=got)
    if is_shut and case.provider is None:
        told = told.marked(web.ABSENT)
    return outcome._replace(trouble=told)


def _without_v2(outcome: Outcome, trouble: Finding | None) -> Outcome:
    """That version 2 is refused or not there hurts nobody: Outlook goes on."""
    reply = outcome.reply
    quiet = reply is not None and 400 <= reply.status < 500 and not reply.is_forged
    if trouble is not None and quiet:
        trouble = trouble.marked(web.ABSENT)
    return outcome._replace(trouble=trouble)


def _redirected(
    client: Client, step: Step, ask: Ask, case: Case, facts: Facts
) -> Outcome:
    """Outlook's third step: a 302 from http to https, anything else is ignored."""
    reply = facts.reply(ask)
    url = shown(ask.url)
    if reply.status == 302 and reply.target.startswith("https:"):
        post = ask_of(step._replace(kind="pox"), case, reply.target)
        told = _outcome(client, step._replace(kind="pox"), post, case, facts)
        return told._replace(url=ask.url)
    trouble = web.of_reply(case, reply, ask.url)
    if trouble is not None and reply.status not in REDIRECTS:
        return Outcome(ask.url, "domain", reply, trouble=trouble)
    no_302 = finding("autodiscover.no-302", url, status=reply.status)
    return Outcome(ask.url, "domain", reply, trouble=no_302)


def _by_srv(client: Client, case: Case, facts: Facts) -> Outcome | None:
    return (
        _mail_by_srv(case, facts)
        if client.srv == "mail"
        else _outlook_by_srv(client, case, facts)
    )


def _mail_by_srv(case: Case, facts: Facts) -> Outcome | None:
    """What SRV records alone say (RFC 6186); None where they say nothing."""
    found: dict[str, Account] = {}
    for service, type_, socket_type in MAIL_SERVICES:
        with suppress(LookupFailed):
            for host, port in facts.srv(f"{service}.{case.domain}"):
                if host:
                    found.setdefault(type_, Account(type_, host, port, socket_type))
    incoming = found.get("imap") or found.get("pop3")
    if incoming is None or "smtp" not in found:
        return None
    setup = Setup((incoming, found["smtp"]))
    return Outcome(f"{case.domain} SRV", "srv", setup=setup)


def _outlook_by_srv(client: Client, case: Case, facts: Facts) -> Outcome | None:
    targets: list[tuple[str, int]] = []
    with suppress(LookupFailed):
        targets = facts.srv(f"_autodiscover._tcp.{case.domain}")
    for host, port in targets[:1]:
        if host:
            authority = host if port == 443 else f"{host}:{port}"
            step = Step("host", POX, kind="pox")
            ask = ask_of(step, case, f"https://{authority}{step.path}")
            return _outcome(client, step, ask, case, facts)._replace(place="srv")
    return None
