"""Plays a client: its steps in order, until it has settings or gives up."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from ...address import NOBODY, parse_address
from ...documents.setups import (
    Account,
    MeaninglessError,
    RedirectedError,
    Setup,
    read_outlook,
)
from ...documents.xml import NotXmlError, parse
from .. import reading
from ..clients import OUTLOOK, POX, Client, Step, label_of
from ..net.http import REDIRECTS, Reply
from ..net.untrusted import split_url
from ..zone import MAIL_SERVICES
from .facts import Ask, Facts
from .findings import FAILURE, Case, Finding, finding, shown
from .rules import causes, web
from .rules.web import ABSENT, ENDING
from .scene import Outcome, Play, ask_of, asks, steps_of

_MOST_LED = 10  # redirects in answers
_SLOW = 3.0  # seconds, of the five that Thunderbird waits


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return what a client with steps sets up, and what it met on the way."""
    played = Play(client)
    requests = _Requests(client, case, facts)
    met: list[Outcome] = []
    for outcome in requests.outcomes():
        if outcome.trouble and outcome.trouble.code == "document.hidden":
            met = [one for one in met if one.url != outcome.url]  # it has the cause
        met.append(outcome)
        if outcome.setup is not None:
            played.setup, played.found = outcome.setup, outcome
        if outcome.setup is not None or _ends(client, outcome):
            break
    played.findings = list(_on_the_way(played, case, facts, met))
    if played.found and played.found.reply.status and not played.is_by_ispdb:
        played.findings += _with_settings(case, facts, played.found.reply)
    return played


def _ends(client: Client, outcome: Outcome) -> bool:
    """Return whether the client takes an empty response for an answer, and stops."""
    if outcome.trouble is None or outcome.trouble.code not in ENDING:
        return False
    is_404 = outcome.reply.status in (404, 410)
    return client.takes_empty_404 if is_404 else client.takes_empty


# --- Findings ---------------------------------------------------------------------------


def _on_the_way(
    played: Play, case: Case, facts: Facts, met: list[Outcome]
) -> Iterator[Finding]:
    client, causes = played.client, set[str]()
    troubles = [outcome.trouble for outcome in met if outcome.trouble]
    is_shut = any(found.code in web.SHUT for found in troubles)
    for outcome in met:
        found = outcome.trouble
        if found and played.setup and found.code == "autodiscover.asks-login":
            # The login is not intended where another URL needs none.
            found, is_shut = found._replace(code="http.login-wanted"), False
        if found is None or (ABSENT in found.marks and found.code not in ENDING):
            continue
        if outcome.setup is not None or _ends(client, outcome):
            found = found._replace(marks=frozenset())
        else:
            # Clients only ask there after everything else failed.
            is_far = outcome.place.startswith(("srv", "mx"))
            is_last = is_far or outcome.url.startswith("http:")
            is_new = bool(causes) and found.seen not in causes
            found = found.marked(
                *_circumstances(played, outcome, case, facts),
                "exchange" if is_shut else "",
                "elsewhere" if is_new and is_last else "",
            )
        if found.status == FAILURE:
            causes.add(found.seen)
        yield found


def _circumstances(
    played: Play, outcome: Outcome, case: Case, facts: Facts
) -> Iterator[str]:
    host = split_url(outcome.url).hostname or ""
    outlook = f"{label_of(OUTLOOK.steps[0])}.{case.domain}"
    family = played.client.family
    is_meant = family == "thunderbird" and played.setup is None
    is_pox = split_url(outcome.url).path == POX
    # Outlook shows people a security alert or a prompt, and not where version 2 fails.
    is_seen = outcome.reply.is_forged or outcome.reply.status == 401
    alerts = family == "outlook" and is_pox and is_seen
    chance = "first place" if alerts else "by chance"
    if outcome.place == "domain" and is_pox:
        # A web site without Autodiscover refuses a POST request.
        is_refusal = outcome.reply.status in (200, 400, 403, 405, 501)
        if is_refusal and not facts.exists(outlook):
            yield chance
    elif outcome.place == "host" and not is_meant:
        yield chance if facts.is_by_wildcard(host, case.domain) else ""
    if case.provider is None and family != "outlook" and host == outlook:
        # It may be the Autodiscover host of another organization.
        yield "" if case.has(web.names_of(facts, outlook)[-1]) else "exchange"
    if played.setup is not None:
        is_first = outcome.place == "host" and outcome.url.startswith("https:")
        by_http = played.found and played.found.url.startswith(f"http://{host}/")
        if by_http and not outcome.reply.status:
            is_first = False  # port 443 need not be open where http redirects
        if case.provider and case.provider.autodiscover_host:
            # Clients get a redirect from http there: the name needs no certificate.
            is_first = is_first and host != outlook
        is_alert = alerts and outcome.place == "domain"
        yield "first place" if is_first or is_alert else "elsewhere"


def counts(reply: Reply) -> bool:
    """Return whether a response is an answer for a client that tries no other URL then."""
    if reply.is_forged or not 200 <= reply.status < 300:
        return False
    with suppress(NotXmlError, ValueError):
        if reply.content_type in ("text/xml", "application/xml"):
            parse(web.unpacked(reply))
        elif reply.content_type in ("text/json", "application/json"):
            json.loads(reply.body)
        return True
    return False


def _with_settings(case: Case, facts: Facts, reply: Reply) -> Iterator[Finding]:
    first, *_ = urls = [*reply.redirects, reply.url]
    if reply.redirects:
        yield finding("http.redirected", first, target=shown(reply.url))
    hops = [url for url in urls if split_url(url).scheme == "http"]
    if first.startswith("https:"):
        for hop in hops[:1]:
            yield finding("http.downgraded", first, target=shown(hop))
    else:
        ask = Ask(first.replace("http:", "https:", 1))
        answer, wrong = web.asked(case, facts, ask)
        if wrong is not None and not answer.is_limited:
            yield finding("http.unencrypted", first)
    if reply.seconds > _SLOW:
        yield finding("http.slow", first, seconds=f"{reply.seconds:.0f}")


# --- Requests ---------------------------------------------------------------------------


class _NotReadError(MeaninglessError):
    """A document that this program does not read, for its own safety."""


@dataclass(frozen=True)
class _Requests:
    """The requests of a client, and what it makes of the responses."""

    client: Client
    case: Case
    facts: Facts
    way: tuple[str, ...] = ()  # of the redirects in answers: URLs and addresses

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each request, and last that of SRV records."""
        firsts: dict[str, Outcome] = {}  # the only answers that count
        for step in steps_of(self.client, self.case):
            group = "" if step.is_far else step.kind
            for ask in asks(step, self.case, self.facts):
                outcome = self._outcome(step, ask)
                first = firsts.get(group)
                if first is None:
                    yield outcome
                elif outcome.setup and first.trouble and first.trouble.step == "https":
                    got, url = first.trouble.seen, shown(ask.url)
                    hidden = finding("document.hidden", first.url, got=got, url=url)
                    yield first._replace(trouble=hidden)
                    firsts[group] = first._replace(trouble=None)  # it is told once
                if self.client.takes_first_2xx and group and counts(outcome.reply):
                    firsts.setdefault(group, outcome)
        found: dict[str, Account] = {}
        for service, type_, way in MAIL_SERVICES if self.client.srv == "mail" else ():
            for host, port in self.facts.targets(f"{service}.{self.case.domain}"):
                found.setdefault(type_, Account(type_, host, port, way))
        incoming = found.get("imap") or found.get("pop3")
        if incoming is not None and "smtp" in found:  # RFC 6186
            setup = Setup((incoming, found["smtp"]))
            yield Outcome(f"{self.case.domain} SRV", "srv", setup=setup)
        service = f"_autodiscover._tcp.{self.case.domain}"
        is_asked = self.client.srv == "outlook" and "pox" not in firsts
        for host, port in self.facts.targets(service)[:1] if is_asked else ():
            authority = host if port == 443 else f"{host}:{port}"
            step = Step("host", POX, kind="pox")
            ask = ask_of(step, self.case, f"https://{authority}{step.path}")
            outcome = self._outcome(step, ask)
            wrong = outcome.trouble
            if wrong and wrong.code not in web.SHUT:  # which may be right
                wrong = wrong.within("by-record", record=service)
            yield outcome._replace(place="srv", trouble=wrong)

    def _outcome(self, step: Step, ask: Ask) -> Outcome:
        reply, wrong = web.asked(self.case, self.facts, ask)
        outcome = Outcome(ask.url, step.place, reply)
        if step.place.startswith("ispdb"):
            # What is wrong there is the concern of a rule, and stops no client.
            with suppress(MeaninglessError):
                if wrong is None:
                    setup = self._read(step, web.unpacked(reply))
                    return outcome._replace(setup=setup)
            return outcome
        if step.kind == "302" and reply.status:
            return self._redirected(step, ask)

        is_absent = wrong and ABSENT in wrong.marks and step.place == "host"
        is_lost = is_absent or not reply.status
        if wrong and (is_lost or wrong.code == "http.forbidden"):
            wrong = web.by_redirect(self.facts, ask, wrong, "redirect")
        if wrong and not reply.status:
            return self._failed(outcome, ask, wrong)
        if wrong is not None and wrong.code == "http.exchange":
            return outcome._replace(trouble=wrong)
        if step.kind == "v2":
            return self._by_v2(step, outcome, wrong)
        if wrong is not None and step.kind in ("xml", "pox"):
            here = (self.case, self.facts, step, ask)
            wrong = causes.by_query(*here, reply, causes.by_form(*here, wrong))
            wrong = causes.by_login(self.facts, ask, reply, wrong)
        if wrong is not None:
            return self._failed(outcome, ask, wrong)
        reply = replace(reply, seconds=self.facts.seconds(ask, reply, _SLOW))
        made = self._made_of(step, ask, outcome._replace(reply=reply), reply)
        # A document that cannot be read would not be read with other headers either.
        wrong = self._refused(step, ask, reply) if made.setup else None
        return self._failed(made._replace(setup=None), ask, wrong) if wrong else made

    def _made_of(self, step: Step, ask: Ask, outcome: Outcome, reply: Reply) -> Outcome:
        try:
            setup = self._read(step, web.unpacked(reply))
        except RedirectedError as error:
            return self._led(step, outcome, error.target)
        except MeaninglessError as error:
            is_read, cure = not isinstance(error, _NotReadError), error.cure
            code = "document.unusable" if is_read else "document.not-read"
            wrong = finding(code, outcome.url, advice=cure, reason=error)
            is_get = step.kind == "pox by get"  # an invalid request for most servers
            types = set(re.findall(rb'<incomingServer type="(imap|pop3)"', reply.body))
            mark = "POP3 alone" if types == {b"pop3"} else ""
            wrong = wrong.marked(ABSENT if is_get else mark)
            return self._failed(outcome, ask, wrong)
        if step.kind != "xml":
            trouble = web.unfilled(outcome.url, reply)
            return outcome._replace(setup=setup, trouble=trouble)
        return outcome._replace(setup=setup)

    def _led(self, step: Step, outcome: Outcome, target: str) -> Outcome:
        """Return what redirectUrl or redirectAddr lead to (MS-OXDSCLI, 3.1.5.4)."""
        way, target = (*self.way, shown(outcome.url)), target[:200]
        if shown(target) in way or len(way) > _MOST_LED:
            listed = " → ".join((*way, shown(target)))
            wrong = finding("autodiscover.redirect-loop", way[0], way=listed)
            return outcome._replace(trouble=wrong)
        got = ""
        for there in replace(self, way=way)._leads(step, target):
            trouble, reply = there.trouble, there.reply
            is_end = trouble and trouble.code.startswith("autodiscover.redirect-")
            if there.setup is not None or is_end:
                return there._replace(url=outcome.url)
            if self.case.provider is None and reply.status == 401:
                host = split_url(reply.url).hostname or ""
                exchange = finding("http.exchange", outcome.url, host=host, how="")
                return outcome._replace(trouble=exchange)
            if trouble and ("@" not in target or ABSENT not in trouble.marks):
                got = got or trouble.seen
        got = got or "Outlook finds nothing there (it takes an https URL or an address)"
        code, named = "autodiscover.redirect-fails", shown(target)
        wrong = finding(code, outcome.url, target=named, got=got)
        return outcome._replace(trouble=wrong)

    def _leads(self, step: Step, target: str) -> Iterator[Outcome]:
        if target.startswith("https:"):
            pox = step._replace(kind="pox")
            yield self._outcome(pox, ask_of(pox, self.case, target))
        with suppress(ValueError):
            who = parse_address(target)
            case = replace(self.case, domain=who.domain, address=who)
            yield from replace(self, case=case, way=(*self.way, target)).outcomes()

    def _failed(self, outcome: Outcome, ask: Ask, wrong: Finding) -> Outcome:
        if wrong.code == "http.no-connection" and self._is_redirecting(outcome.url):
            return outcome._replace(trouble=wrong.marked(ABSENT))
        trouble = causes.by_name(self.case, self.facts, wrong, ask)
        return outcome._replace(trouble=trouble)

    def _read(self, step: Step, document: bytes) -> Setup:
        asker = self.case.asker
        if step.kind != "xml":
            is_outlook = self.client.family == "outlook"
            return read_outlook(document, ignores="" if is_outlook else "Action")
        seen = reading.read(document, self.client.rules, asker)
        if seen.setup is None:
            is_read = seen.faults[0].code != "not-read"
            error = MeaninglessError if is_read else _NotReadError
            raise error(seen.reason, seen.cure)
        accounts = []
        for account in seen.setup.servers:
            # Evolution asks with a made-up local part.
            name = account.username and account.username.replace(NOBODY, asker.local)
            accounts.append(account._replace(username=name))
        return Setup(tuple(accounts))

    def _refused(self, step: Step, ask: Ask, reply: Reply) -> Finding | None:
        client, coding = self.client, reply.headers.get("content-encoding", "")
        if len(reply.redirects) > client.redirects:
            code, most = "http.many-redirects", str(client.redirects)
            number = len(reply.redirects)
            return finding(code, ask.url, number=number, client=client.name, most=most)
        if reply.seconds > client.patience:
            code, most = "http.too-slow", f"{client.patience:.0f}"
            return finding(code, ask.url, client=client.name, most=most)
        if client.takes_no_compression and coding:
            return finding("http.compressed", reply.url, coding=coding[:40])
        for hop in reply.redirects if client.needs_absolute_location else ():
            headers = self.facts.reply(ask._replace(url=hop)).headers
            location = headers.get("location", "")
            if "://" not in location:
                return finding("http.relative-location", hop, location=location[:80])
        is_by_header = step.kind == "xml" and client.needs_xml_type
        is_xml = reply.content_type in ("text/xml", "application/xml")
        if is_by_header and not web.is_in_charset(reply):
            return finding("http.charset", reply.url, charset=reply.charset[:20])
        if is_by_header and not is_xml:
            kind = reply.content_type or "missing"
            count = [name for name, _ in reply.every].count("content-type")
            first = f" (the first of {count} Content-Type headers)" if count > 1 else ""
            return finding("http.content-type", reply.url, found=f"{kind}{first}")
        if client.agent and reply.seconds < _SLOW:
            reply, wrong = web.asked(self.case, self.facts, ask.by(client.agent))
            if wrong and reply.status and not reply.is_limited:
                return finding("http.agent-refused", ask.url, got=wrong.seen)
        return None

    # --- Outlook ----------------------------------------------------------------------

    def _by_v2(self, step: Step, outcome: Outcome, wrong: Finding | None) -> Outcome:
        """Follow the URL of version 2, unless it is one that Outlook asks anyway."""
        reply = outcome.reply
        if wrong is not None:
            # Outlook goes on where version 2 is missing or refused.
            is_harmless = 400 <= reply.status < 500 and not reply.is_forged
            wrong = wrong.marked(ABSENT if is_harmless else "")
            return self._failed(outcome, Ask(outcome.url), wrong)
        target = web.url_of_v2(reply)
        if not target:
            wrong = finding("autodiscover.v2-without-url", outcome.url)
            return outcome._replace(trouble=wrong)
        steps = self.client.steps
        listed = [ask.url for it in steps for ask in asks(it, self.case, self.facts)]
        if target in listed:
            good = finding("autodiscover.v2", outcome.url)
            return outcome._replace(trouble=good.marked(ABSENT))

        pox = step._replace(kind="pox")
        there = self._outcome(pox, ask_of(pox, self.case, target))
        if there.setup is not None:
            return there
        got = there.trouble.seen if there.trouble else "nothing"
        status = there.reply.status
        is_exchange = status in (401, 403)
        if is_exchange:
            got = f"status {status}, which requires authentication"
        code = "autodiscover.v2-elsewhere"
        wrong = finding(code, outcome.url, target=shown(target), got=got)
        is_meant = is_exchange and self.case.provider is None
        return outcome._replace(trouble=wrong.marked(ABSENT if is_meant else ""))

    def _is_redirecting(self, url: str) -> bool:
        """Return whether a host redirects Autodiscover by http, and needs no https."""
        (step,) = (it for it in OUTLOOK.steps if it.kind == "302")
        (ask,) = asks(step, self.case, self.facts)
        is_there = split_url(ask.url).netloc == split_url(url).netloc
        reply, _ = web.asked(self.case, self.facts, ask)
        return is_there and bool(reply.redirects or reply.status in REDIRECTS)

    def _redirected(self, step: Step, ask: Ask) -> Outcome:
        """Follow a 302 redirect from http to https; Outlook ignores other responses."""
        reply = self.facts.reply(ask)
        if reply.status == 302 and reply.target.startswith("https:"):
            pox = step._replace(kind="pox")
            post = ask_of(pox, self.case, reply.target)
            return self._outcome(pox, post)._replace(url=ask.url)
        wrong = web.of_reply(self.case, reply, ask.url)
        if wrong is None or reply.status in REDIRECTS:
            got = f"status {reply.status}"
            if reply.status in REDIRECTS:
                got += f" to {shown(reply.headers.get('location', ''))}"
            wrong = finding("autodiscover.no-302", ask.url, got=got)
        wrong = causes.by_login(self.facts, ask, reply, wrong)
        return Outcome(ask.url, "domain", reply, trouble=wrong)
