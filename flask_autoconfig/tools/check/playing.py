"""Plays a client: its steps one after the other, until it has settings or gives up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from ...address import NOBODY
from ..network import REDIRECTS, ProbeError, Reply
from ..resolver import LookupFailed
from ..untrusted import split_url
from ..zone import MAIL_SERVICES
from . import journeys, reading, setups
from .asking import ask_of, asks, steps_of
from .causes import web
from .causes.web import Trouble
from .facts import Ask, Facts
from .findings import (
    FAILURE,
    NOTE,
    OK,
    WARNING,
    Case,
    Finding,
    failure,
    note,
    ok,
    shown,
    warning,
)
from .journeys import Client, Step
from .plays import (
    Outcome,
    Play,
    host_of,
    is_by_chance,
    is_elsewhere,
    is_way_out,
)
from .setups import Account, Setup

NO_SETTINGS = "it finds no settings in the document"
EXCHANGE = "Exchange and Microsoft 365 show their settings only after a login"
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
    if outcome.trouble is None or not outcome.trouble.ends:
        return False
    status = outcome.reply.status if outcome.reply else 0
    return client.takes_empty_404 if status in (404, 410) else client.takes_empty


def _tell(
    played: Play, client: Client, case: Case, facts: Facts, met: list[Outcome]
) -> None:
    """What it met on its way: a failure where it stopped there, else less."""
    causes: set[str] = set()
    troubles = [it.trouble.finding.why for it in met if it.trouble is not None]
    for outcome in met:
        trouble = outcome.trouble
        if trouble is None or (trouble.is_absent and not trouble.ends):
            continue
        finding = trouble.finding
        is_further = bool(causes) and is_way_out(outcome) and finding.seen not in causes
        is_chance = is_by_chance(played, outcome, case, facts)
        is_exchanges = EXCHANGE in troubles or is_elsewhere(
            played, outcome, case, facts
        )
        is_less = trouble.is_absent or is_further or is_chance or is_exchanges
        is_stop = played.setup is None and not is_less
        if is_stop or _ends(client, outcome):
            status = FAILURE
            causes.add(finding.seen)
        else:
            is_own = outcome.place == "host" and outcome.url.startswith("https:")
            is_own = is_own and not (trouble.is_absent or is_chance or is_exchanges)
            status = WARNING if is_own else NOTE
        played.findings.append(finding._replace(status=status).hurting(client.name))
    found = played.found
    if found is not None and found.reply is not None:
        for each in _beside(case, facts, found.reply):
            hurt = () if each.status == OK else (client.name,)
            played.findings.append(each.hurting(*hurt))


def _beside(case: Case, facts: Facts, reply: Reply) -> Iterator[Finding]:
    """What hurts of a way that led to settings nevertheless."""
    first = shown(reply.redirects[0] if reply.redirects else reply.url)
    if reply.redirects:
        yield ok("https", first, f"it leads to {shown(reply.url)}")
    hop = web.unencrypted_hop(reply)
    if hop:
        yield warning(
            "https",
            first,
            f"it redirects from https to http: {shown(hop)}",
            "whoever stands between can name servers of his own, and some clients "
            "refuse it",
            "redirect to https, or answer there",
        )
    elif not first.startswith("https:") and not _is_there_by_https(case, facts, reply):
        yield warning(
            "https",
            first,
            "the settings come over unencrypted http alone",
            "whoever stands between can name servers of his own",
            "make https work there",
        )
    if reply.seconds > _SLOW:
        yield warning(
            "https",
            first,
            f"it takes {reply.seconds:.0f} seconds to answer",
            "Thunderbird gives up after 5",
            "look at what the service waits for",
        )


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
    trouble_ = web.of_reply(case, reply, ask.url)
    if trouble_ is not None and trouble_.is_absent and step.place == "host":
        trouble_ = web.by_redirect(facts, ask, trouble_)
    if trouble_ is not None and _is_exchange(case, reply):
        told_ = note("https", shown(ask.url), _at_exchange(reply), EXCHANGE)
        return outcome._replace(trouble=Trouble(told_))
    if step.kind == "xml":
        trouble_ = _because_of_form(step, ask, case, facts, trouble_)
    if trouble_ is None and step.kind != "v2":
        trouble_, setup = _read(client, step, ask, case, facts, reply)
        if setup is not None:
            return outcome._replace(setup=setup)
    if step.kind == "v2" and trouble_ is None:
        return _by_v2(client, step, outcome, case, facts)
    trouble_ = web.by_name(case, facts, trouble_, ask.url)
    if step.kind == "v2":
        return _without_v2(outcome, trouble_)
    return outcome._replace(trouble=trouble_)


def _is_exchange(case: Case, reply: Reply) -> bool:
    """Whether somebody else's host asks for a login first, and there is no file."""
    wants_login = reply.status == 401 and "www-authenticate" in reply.headers
    return case.provider is None and wants_login and not case.has(host_of(reply.url))


def _at_exchange(reply: Reply) -> str:
    return f"it leads to {host_of(reply.url)}, which wants a login first"


def _read(
    client: Client, step: Step, ask: Ask, case: Case, facts: Facts, reply: Reply
) -> tuple[Trouble | None, Setup | None]:
    """What the client makes of a document, or why nothing."""
    gate = _gate(client, step, ask, facts, reply)
    if gate is not None:
        return gate, None
    document = web.unpacked(reply)
    try:
        if step.kind != "xml":
            return None, _as_told(case, setups.of_pox(document))
        setup = reading.read(document, client.rules, case.asker)
    except (reading.UnreadableError, setups.MeaninglessError) as error:
        told = failure("document", shown(ask.url), str(error), NO_SETTINGS, error.cure)
        return Trouble(told), None
    return None, _as_told(case, setup)


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
) -> Trouble | None:
    """What makes a client put an answer away unread."""
    url = shown(reply.url)
    coding = reply.headers.get("content-encoding", "")
    if client.takes_no_compression and coding:
        return Trouble(
            failure(
                "https",
                url,
                f"compressed unasked ({coding[:40]})",
                "Delta Chat reads no compression",
                "switch it off for this path",
            )
        )
    if client.needs_absolute_location:
        for hop in reply.redirects:
            location = facts.reply(ask._replace(url=hop)).headers.get("location", "")
            if "://" not in location:
                return Trouble(
                    failure(
                        "https",
                        shown(hop),
                        f"it redirects to {location[:80]}, which is no whole URL",
                        "Delta Chat follows only a Location with scheme and host",
                        "write the whole URL into Location",
                    )
                )
    is_xml = reply.content_type in ("text/xml", "application/xml")
    if step.kind == "xml" and client.needs_xml_type and not is_xml:
        return Trouble(
            failure(
                "https",
                url,
                f"content type {reply.content_type or 'missing'}",
                "Thunderbird reads only text/xml and application/xml",
                "send Content-Type: text/xml",
            )
        )
    return None


def _because_of_form(
    step: Step, ask: Ask, case: Case, facts: Facts, trouble: Trouble | None
) -> Trouble | None:
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
    got = trouble.finding.seen
    if step.form == "evolution":
        finding = failure(
            "https",
            shown(ask.url),
            f"for another local part of the domain the server answers otherwise: {got}",
            "Evolution asks for nobody in particular, and others learn which mailboxes "
            "there are",
            "answer for the domain, whoever asks",
        )
        return Trouble(finding, ends=trouble.ends)
    status = facts.answer(ask).status if "status" in got else 0
    said = f"the server answers {status}" if status else f"the server gives {got}"
    is_lost = status in (400, 404, 410, 421)
    cure = "look at its log: it must answer by the host name where no address is given"
    if is_lost:
        cure = (
            "answer by the host name; a proxy must pass it on (nginx: proxy_set_header "
            "X-Forwarded-Host $host; and `serve --proxies 1`)"
        )
    finding = failure(
        "https",
        shown(ask.url),
        f"without an address {said}",
        "Kontact, K-9 and Delta Chat ask without one",
        cure,
    )
    return Trouble(finding, ends=trouble.ends)


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
        seen = "version 2's answer names no https URL"
        cure = "answer with Protocol and Url, or with 404"
        told = failure("https", url, seen, "Outlook asks it first", cure)
        return outcome._replace(trouble=Trouble(told))
    known = {ask.url for it in client.steps for ask in asks(it, case, facts)}
    if target in known:
        told = note("https", url, "version 2 is there")
        return outcome._replace(trouble=Trouble(told, is_absent=True))
    pox = step._replace(kind="pox")
    there = _outcome(client, pox, ask_of(pox, case, target), case, facts)
    if there.setup is not None:
        return there
    got = there.trouble.finding.seen if there.trouble else "nothing"
    status = there.reply.status if there.reply else 0
    if status in (401, 403):  # as Exchange does, which shows nobody else its settings
        got = f"which wants a login first (status {status})"
    cure = "let it name this service's own URL, if the mail is not there"
    why = "Outlook asks version 2 first, and goes where it leads"
    seen = f"version 2 leads to {shown(target)}: {got}"
    told = (note if case.provider is None and status in (401, 403) else warning)(
        "https", url, seen, why, cure
    )
    return outcome._replace(trouble=Trouble(told, is_absent=told.status == NOTE))


def _without_v2(outcome: Outcome, trouble: Trouble | None) -> Outcome:
    """That version 2 is refused or not there hurts nobody: Outlook goes on."""
    reply = outcome.reply
    quiet = reply is not None and 400 <= reply.status < 500 and not reply.is_forged
    if trouble is not None and quiet:
        trouble = trouble._replace(is_absent=True)
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
    seen = f"status {reply.status}, not a 302 to https"
    why = "Outlook ignores anything else there, and asks no further that way"
    cure = "redirect it by 302 to https (this service does, behind a trusted proxy)"
    finding = failure("https", url, seen, why, cure)
    return Outcome(ask.url, "domain", reply, trouble=Trouble(finding))


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
            step = Step("host", journeys.pox_path(), kind="pox")
            ask = ask_of(step, case, f"https://{authority}{step.path}")
            return _outcome(client, step, ask, case, facts)._replace(place="srv")
    return None
