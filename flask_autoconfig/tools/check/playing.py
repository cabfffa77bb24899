"""Plays a client: its steps in order, until it has settings or gives up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from ...address import NOBODY
from ...documents import outlook_reader
from ...documents.setups import Account, MeaninglessError, Setup
from .. import reading
from ..clients import OUTLOOK, POX, Client, Step, label_of
from ..network import REDIRECTS, ProbeError, Reply
from ..resolver import LookupFailed
from ..untrusted import split_url
from ..zone import MAIL_SERVICES
from .asking import ask_of, asks, steps_of
from .facts import Ask, Facts
from .findings import Case, Finding, finding, shown
from .plays import Outcome, Play
from .rules import web
from .weigh import FAILURE, OK

_SLOW = 3.0  # seconds, of the five that Thunderbird waits


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return what a client with steps sets up, and what it met on the way."""
    played = Play(client.name, client.family)
    met: list[Outcome] = []
    for outcome in _outcomes(client, case, facts):
        met.append(outcome)
        if outcome.setup is not None:
            played.setup, played.found = outcome.setup, outcome
            break
        if _ends(client, outcome):
            break
    played.findings = list(_on_the_way(played, client, case, facts, met))
    if played.found is not None and played.found.reply is not None:
        for found in _with_settings(case, facts, played.found.reply):
            names = () if found.status == OK else (client.name,)
            played.findings.append(found.hurting(*names))
    return played


def _outcomes(client: Client, case: Case, facts: Facts) -> Iterator[Outcome]:
    """Yield the outcome of each request, and last that of SRV records."""
    for step in steps_of(client, case):
        for ask in asks(step, case, facts):
            yield _outcome(client, step, ask, case, facts)
    if client.srv == "mail":
        yield from _mail_by_srv(case, facts)
    elif client.srv:
        yield from _outlook_by_srv(client, case, facts)


def _ends(client: Client, outcome: Outcome) -> bool:
    """Return whether the client takes an empty response for an answer, and stops."""
    if outcome.trouble is None or outcome.trouble.code not in web.ENDING:
        return False
    status = outcome.reply.status if outcome.reply else 0
    return client.takes_empty_404 if status in (404, 410) else client.takes_empty


# --- Findings ---------------------------------------------------------------------------


def _on_the_way(
    played: Play, client: Client, case: Case, facts: Facts, met: list[Outcome]
) -> Iterator[Finding]:
    """Yield what is wrong with the outcomes, with marks that say how much it matters."""
    causes: set[str] = set()
    troubles = [outcome.trouble for outcome in met if outcome.trouble]
    meets_exchange = any(found.code == "http.exchange" for found in troubles)
    for outcome in met:
        found = outcome.trouble
        if found is None or (
            web.ABSENT in found.marks and found.code not in web.ENDING
        ):
            continue
        if _ends(client, outcome):
            found = found._replace(marks=frozenset())
        else:
            found = found.marked(*_circumstances(played, outcome, case, facts))
            is_new = bool(causes) and found.seen not in causes
            found = found.marked(
                "exchange" if meets_exchange else "",
                "elsewhere" if is_new and _is_fallback(outcome) else "",
            )
        if found.status == FAILURE:
            causes.add(found.seen)
        yield found.hurting(client.name)


def _circumstances(
    played: Play, outcome: Outcome, case: Case, facts: Facts
) -> Iterator[str]:
    if _is_by_chance(played, outcome, case, facts):
        yield "by chance"
    if _is_exchange_host(played, outcome, case, facts):
        yield "exchange"
    if played.setup is not None:
        is_first = outcome.place == "host" and outcome.url.startswith("https:")
        yield "first place" if is_first else "elsewhere"


def _is_by_chance(played: Play, outcome: Outcome, case: Case, facts: Facts) -> bool:
    """Return whether a wildcard record or a web site answers, and nobody meant it to."""
    is_pox = outcome.place == "domain" and split_url(outcome.url).path == POX
    status = outcome.reply.status if outcome.reply else 0
    is_refused = is_pox and status in (200, 400, 403, 405, 501)
    if is_refused and not facts.exists(_outlook_host(case)):
        return True  # a web site without Autodiscover refuses a POST request
    is_meant = played.family == "thunderbird" and played.setup is None
    if outcome.place != "host" or is_meant:
        return False
    return facts.is_by_wildcard(_host_of(outcome.url), case.domain)


def _is_exchange_host(played: Play, outcome: Outcome, case: Case, facts: Facts) -> bool:
    """Return whether it is the Autodiscover host of another organization."""
    if case.provider is not None or played.family == "outlook":
        return False
    host = _outlook_host(case)
    return _host_of(outcome.url) == host and not case.has(web.names_of(facts, host)[-1])


def _is_fallback(outcome: Outcome) -> bool:
    """Return whether clients only ask there after everything else failed."""
    is_far = outcome.place == "srv" or outcome.place.startswith("mx")
    return is_far or outcome.url.startswith("http:")


def _outlook_host(case: Case) -> str:
    return f"{label_of(OUTLOOK.steps[0])}.{case.domain}"


def _host_of(url: str) -> str:
    return split_url(url).hostname or ""


def _with_settings(case: Case, facts: Facts, reply: Reply) -> Iterator[Finding]:
    """Yield what is wrong with the response that has the settings."""
    first = reply.redirects[0] if reply.redirects else reply.url
    if reply.redirects:
        yield finding("http.redirected", first, target=shown(reply.url))
    hop = web.unencrypted_hop(reply)
    if hop:
        yield finding("http.downgraded", first, target=shown(hop))
    elif not first.startswith("https:") and not _is_served_by_https(case, facts, first):
        yield finding("http.unencrypted", first)
    if reply.seconds > _SLOW:
        yield finding("http.slow", first, seconds=f"{reply.seconds:.0f}")


def _is_served_by_https(case: Case, facts: Facts, url: str) -> bool:
    url = url.replace("http:", "https:", 1)
    with suppress(ProbeError):
        return web.of_reply(case, facts.answer(Ask(url)), url) is None
    return False


# --- One request ------------------------------------------------------------------------


def _outcome(client: Client, step: Step, ask: Ask, case: Case, facts: Facts) -> Outcome:
    try:
        reply = facts.answer(ask)
    except ProbeError as error:
        trouble = web.of_error(facts, case, ask.url, error)
        trouble = web.by_redirect(facts, ask, trouble)
        found = web.by_name(case, facts, trouble, ask.url)
        return Outcome(ask.url, step.place, trouble=found)
    if step.kind == "302":
        return _redirected(client, step, ask, case, facts)

    outcome = Outcome(ask.url, step.place, reply)
    wrong = web.of_reply(case, reply, ask.url)
    if wrong is not None and web.ABSENT in wrong.marks and step.place == "host":
        wrong = web.by_redirect(facts, ask, wrong)
    if wrong is not None and _is_exchange(case, reply):
        host = _host_of(reply.url)
        return outcome._replace(trouble=finding("http.exchange", ask.url, host=host))
    if step.kind == "v2":
        return _by_v2(client, step, outcome, wrong, case, facts)
    if step.kind == "xml":
        wrong = _because_of_form(step, ask, case, facts, wrong)
    wrong = wrong or _refused(client, step, ask, facts, reply)
    if wrong is None:
        try:
            setup = _read(client, step, web.unpacked(reply), case)
            return outcome._replace(setup=setup)
        except MeaninglessError as error:
            wrong = finding(
                "document.unusable", ask.url, advice=error.cure, reason=error
            )
    return outcome._replace(trouble=web.by_name(case, facts, wrong, ask.url))


def _is_exchange(case: Case, reply: Reply) -> bool:
    """Return whether another organization's host requires authentication."""
    wants_login = reply.status == 401 and "www-authenticate" in reply.headers
    return case.provider is None and wants_login and not case.has(_host_of(reply.url))


def _read(client: Client, step: Step, document: bytes, case: Case) -> Setup:
    """Return what the client makes of a document; raise MeaninglessError."""
    if step.kind != "xml":
        setup = outlook_reader.read(document)
    else:
        seen = reading.read(document, client.rules, case.asker)
        if seen.setup is None:
            raise MeaninglessError(seen.reason, seen.cure)
        setup = seen.setup
    # Evolution asks with a made-up local part.
    local = case.asker.local
    return Setup(
        tuple(
            account._replace(
                username=account.username and account.username.replace(NOBODY, local)
            )
            for account in setup.servers
        )
    )


def _refused(
    client: Client, step: Step, ask: Ask, facts: Facts, reply: Reply
) -> Finding | None:
    """Return why a client does not read a response, or None."""
    coding = reply.headers.get("content-encoding", "")
    if client.takes_no_compression and coding:
        return finding("http.compressed", reply.url, coding=coding[:40])
    for hop in reply.redirects if client.needs_absolute_location else ():
        location = facts.reply(ask._replace(url=hop)).headers.get("location", "")
        if "://" not in location:
            return finding("http.relative-location", hop, location=location[:80])
    is_xml = reply.content_type in ("text/xml", "application/xml")
    if step.kind == "xml" and client.needs_xml_type and not is_xml:
        kind = reply.content_type or "missing"
        return finding("http.content-type", reply.url, found=kind)
    return None


def _because_of_form(
    step: Step, ask: Ask, case: Case, facts: Facts, wrong: Finding | None
) -> Finding | None:
    """Return that only a request with the address is answered, else *wrong*."""
    if wrong is None or step.form not in ("none", "evolution"):
        return wrong
    other = ask_of(step._replace(form="address"), case, ask.url.partition("?")[0])
    try:
        reply = facts.answer(other)
    except ProbeError:
        return wrong
    if web.of_reply(case, reply, other.url) is not None:
        return wrong
    got = wrong.seen
    if step.form == "evolution":
        return finding("http.local-part-counts", ask.url, got=got)
    status = facts.answer(ask).status
    if status != 200:
        got = f"the server answers {status}"
    is_lost = status in (400, 404, 410, 421)
    code = "http.host-lost" if is_lost else "http.address-wanted"
    return finding(code, ask.url, got=got)


# --- Outlook ----------------------------------------------------------------------------


def _by_v2(
    client: Client,
    step: Step,
    outcome: Outcome,
    wrong: Finding | None,
    case: Case,
    facts: Facts,
) -> Outcome:
    """Follow the URL of version 2, unless it is one that Outlook asks anyway."""
    reply = outcome.reply
    assert reply is not None  # noqa: S101
    if wrong is not None:
        # Outlook goes on where version 2 is missing or refused.
        is_harmless = 400 <= reply.status < 500 and not reply.is_forged
        wrong = web.by_name(case, facts, wrong, outcome.url) or wrong
        return outcome._replace(trouble=wrong.marked(web.ABSENT if is_harmless else ""))
    target = _url_of_v2(reply)
    if not target:
        wrong = finding("autodiscover.v2-without-url", outcome.url)
        return outcome._replace(trouble=wrong)
    known = {ask.url for each in client.steps for ask in asks(each, case, facts)}
    if target in known:
        good = finding("autodiscover.v2", outcome.url)
        return outcome._replace(trouble=good.marked(web.ABSENT))

    pox = step._replace(kind="pox")
    there = _outcome(client, pox, ask_of(pox, case, target), case, facts)
    if there.setup is not None:
        return there
    got = there.trouble.seen if there.trouble else "nothing"
    status = there.reply.status if there.reply else 0
    is_exchange = status in (401, 403)
    if is_exchange:
        got = f"status {status}, which requires authentication"
    code = "autodiscover.v2-elsewhere"
    wrong = finding(code, outcome.url, target=shown(target), got=got)
    is_meant = is_exchange and case.provider is None
    return outcome._replace(trouble=wrong.marked(web.ABSENT if is_meant else ""))


def _url_of_v2(reply: Reply) -> str:
    """Return the https URL in a response of version 2, or ""."""
    try:
        target = str(json.loads(reply.body)["Url"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    parts = split_url(target)
    is_url = parts.scheme == "https" and parts.hostname and target.isprintable()
    return target if is_url else ""


def _redirected(
    client: Client, step: Step, ask: Ask, case: Case, facts: Facts
) -> Outcome:
    """Follow a 302 redirect from http to https; Outlook ignores other responses."""
    reply = facts.reply(ask)
    if reply.status == 302 and reply.target.startswith("https:"):
        pox = step._replace(kind="pox")
        post = ask_of(pox, case, reply.target)
        return _outcome(client, pox, post, case, facts)._replace(url=ask.url)
    wrong = web.of_reply(case, reply, ask.url)
    if wrong is None or reply.status in REDIRECTS:
        wrong = finding("autodiscover.no-302", ask.url, status=reply.status)
    return Outcome(ask.url, "domain", reply, trouble=wrong)


# --- SRV records ------------------------------------------------------------------------


def _mail_by_srv(case: Case, facts: Facts) -> Iterator[Outcome]:
    """Yield the setup of the mail servers' SRV records (RFC 6186), if there is one."""
    found: dict[str, Account] = {}
    for service, type_, socket_type in MAIL_SERVICES:
        with suppress(LookupFailed):
            for host, port in facts.srv(f"{service}.{case.domain}"):
                if host:
                    found.setdefault(type_, Account(type_, host, port, socket_type))
    incoming = found.get("imap") or found.get("pop3")
    if incoming is not None and "smtp" in found:
        setup = Setup((incoming, found["smtp"]))
        yield Outcome(f"{case.domain} SRV", "srv", setup=setup)


def _outlook_by_srv(client: Client, case: Case, facts: Facts) -> Iterator[Outcome]:
    """Yield the outcome at the first target of Autodiscover's SRV record."""
    targets: list[tuple[str, int]] = []
    with suppress(LookupFailed):
        targets = facts.srv(f"_autodiscover._tcp.{case.domain}")
    for host, port in targets[:1]:
        if host:
            authority = host if port == 443 else f"{host}:{port}"
            step = Step("host", POX, kind="pox")
            ask = ask_of(step, case, f"https://{authority}{step.path}")
            yield _outcome(client, step, ask, case, facts)._replace(place="srv")
