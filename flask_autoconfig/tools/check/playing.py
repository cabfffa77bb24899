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
from ..net.http import REDIRECTS, Response
from ..net.untrusted import split_url
from ..zone import MAIL_SERVICES
from .context import Outcome, Play, request_of, requests_of, steps_of
from .facts import Facts, Request
from .findings import FAILURE, Case, Finding, finding, shown
from .rules import causes, web
from .rules.web import ABSENT, ENDING

_MOST_LED = 10  # redirects in answers
_SLOW = 3.0  # seconds, of the five that Thunderbird waits


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return what a client with steps sets up, and what it met on the way."""
    played = Play(client)
    player = _Player(client, case, facts)
    met: list[Outcome] = []
    for outcome in player.outcomes():
        if outcome.trouble and outcome.trouble.code == "document.hidden":
            met = [one for one in met if one.url != outcome.url]  # it has the cause
        met.append(outcome)
        if outcome.setup is not None:
            played.setup, played.found = outcome.setup, outcome
        if outcome.setup is not None or _ends(client, outcome):
            break
    played.findings = list(_on_the_way(played, case, facts, met))
    if played.found and played.found.response.status and not played.is_by_ispdb:
        played.findings += _with_settings(case, facts, played.found.response)
    return played


def _ends(client: Client, outcome: Outcome) -> bool:
    """Return whether the client takes an empty response for an answer, and stops."""
    if outcome.trouble is None or outcome.trouble.code not in ENDING:
        return False
    is_404 = outcome.response.status in (404, 410)
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
    is_seen = outcome.response.is_forged or outcome.response.status == 401
    alerts = family == "outlook" and is_pox and is_seen
    chance = "first place" if alerts else "by chance"
    if outcome.place == "domain" and is_pox:
        # A web site without Autodiscover refuses a POST request.
        is_refusal = outcome.response.status in (200, 400, 403, 405, 501)
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
        if by_http and not outcome.response.status:
            is_first = False  # port 443 need not be open where http redirects
        if case.provider and case.provider.autodiscover_host:
            # Clients get a redirect from http there: the name needs no certificate.
            is_first = is_first and host != outlook
        is_alert = alerts and outcome.place == "domain"
        yield "first place" if is_first or is_alert else "elsewhere"


def counts(response: Response) -> bool:
    """Return whether a response is an answer for a client that tries no other URL then."""
    if response.is_forged or not 200 <= response.status < 300:
        return False
    with suppress(NotXmlError, ValueError):
        if response.content_type in ("text/xml", "application/xml"):
            parse(web.unpacked(response))
        elif response.content_type in ("text/json", "application/json"):
            json.loads(response.body)
        return True
    return False


def _with_settings(case: Case, facts: Facts, response: Response) -> Iterator[Finding]:
    first, *_ = urls = [*response.redirects, response.url]
    if response.redirects:
        yield finding("http.redirected", first, target=shown(response.url))
    hops = [url for url in urls if split_url(url).scheme == "http"]
    if first.startswith("https:"):
        for hop in hops[:1]:
            yield finding("http.downgraded", first, target=shown(hop))
    else:
        request = Request(first.replace("http:", "https:", 1))
        answer, wrong = web.asked(case, facts, request)
        if wrong is not None and not answer.is_limited:
            yield finding("http.unencrypted", first)
    if response.seconds > _SLOW:
        yield finding("http.slow", first, seconds=f"{response.seconds:.0f}")


# --- Requests ---------------------------------------------------------------------------


class _NotReadError(MeaninglessError):
    """A document that this program does not read, for its own safety."""


@dataclass(frozen=True)
class _Player:
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
            for request in requests_of(step, self.case, self.facts):
                outcome = self._outcome(step, request)
                first = firsts.get(group)
                if first is None:
                    yield outcome
                elif outcome.setup and first.trouble and first.trouble.step == "https":
                    got, url = first.trouble.seen, shown(request.url)
                    hidden = finding("document.hidden", first.url, got=got, url=url)
                    yield first._replace(trouble=hidden)
                    firsts[group] = first._replace(trouble=None)  # it is told once
                if self.client.takes_first_2xx and group and counts(outcome.response):
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
            request = request_of(step, self.case, f"https://{authority}{step.path}")
            outcome = self._outcome(step, request)
            wrong = outcome.trouble
            if wrong and wrong.code not in web.SHUT:  # which may be right
                wrong = wrong.within("by-record", record=service)
            yield outcome._replace(place="srv", trouble=wrong)

    def _outcome(self, step: Step, request: Request) -> Outcome:
        response, wrong = web.asked(self.case, self.facts, request)
        outcome = Outcome(request.url, step.place, response)
        if step.place.startswith("ispdb"):
            # What is wrong there is the concern of a rule, and stops no client.
            with suppress(MeaninglessError):
                if wrong is None:
                    setup = self._read(step, web.unpacked(response))
                    return outcome._replace(setup=setup)
            return outcome
        if step.kind == "302" and response.status:
            return self._redirected(step, request)

        is_absent = wrong and ABSENT in wrong.marks and step.place == "host"
        is_lost = is_absent or not response.status
        if wrong and (is_lost or wrong.code == "http.forbidden"):
            wrong = web.by_redirect(self.facts, request, wrong, "redirect")
        if wrong and not response.status:
            return self._failed(outcome, request, wrong)
        if wrong is not None and wrong.code == "http.exchange":
            return outcome._replace(trouble=wrong)
        if step.kind == "v2":
            return self._by_v2(step, outcome, wrong)
        if wrong is not None and step.kind in ("xml", "pox"):
            here = (self.case, self.facts, step, request)
            wrong = causes.by_query(*here, response, causes.by_form(*here, wrong))
            wrong = causes.by_login(self.facts, request, response, wrong)
        if wrong is not None:
            return self._failed(outcome, request, wrong)
        response = replace(
            response, seconds=self.facts.seconds(request, response, _SLOW)
        )
        made = self._made_of(
            step, request, outcome._replace(response=response), response
        )
        # A document that cannot be read would not be read with other headers either.
        wrong = self._refused(step, request, response) if made.setup else None
        return (
            self._failed(made._replace(setup=None), request, wrong) if wrong else made
        )

    def _made_of(
        self, step: Step, request: Request, outcome: Outcome, response: Response
    ) -> Outcome:
        try:
            setup = self._read(step, web.unpacked(response))
        except RedirectedError as error:
            return self._led(step, outcome, error.target)
        except MeaninglessError as error:
            is_read, cure = not isinstance(error, _NotReadError), error.cure
            code = "document.unusable" if is_read else "document.not-read"
            wrong = finding(code, outcome.url, advice=cure, reason=error)
            is_get = step.kind == "pox by get"  # an invalid request for most servers
            types = set(
                re.findall(rb'<incomingServer type="(imap|pop3)"', response.body)
            )
            mark = "POP3 alone" if types == {b"pop3"} else ""
            wrong = wrong.marked(ABSENT if is_get else mark)
            return self._failed(outcome, request, wrong)
        if step.kind != "xml":
            trouble = web.unfilled(outcome.url, response)
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
            trouble, response = there.trouble, there.response
            is_end = trouble and trouble.code.startswith("autodiscover.redirect-")
            if there.setup is not None or is_end:
                return there._replace(url=outcome.url)
            if self.case.provider is None and response.status == 401:
                host = split_url(response.url).hostname or ""
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
            yield self._outcome(pox, request_of(pox, self.case, target))
        with suppress(ValueError):
            who = parse_address(target)
            case = replace(self.case, domain=who.domain, address=who)
            yield from replace(self, case=case, way=(*self.way, target)).outcomes()

    def _failed(self, outcome: Outcome, request: Request, wrong: Finding) -> Outcome:
        if wrong.code == "http.no-connection" and self._is_redirecting(outcome.url):
            return outcome._replace(trouble=wrong.marked(ABSENT))
        trouble = causes.by_name(self.case, self.facts, wrong, request)
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

    def _refused(
        self, step: Step, request: Request, response: Response
    ) -> Finding | None:
        client, coding = self.client, response.headers.get("content-encoding", "")
        if len(response.redirects) > client.redirects:
            code, most = "http.many-redirects", str(client.redirects)
            number = len(response.redirects)
            return finding(
                code, request.url, number=number, client=client.name, most=most
            )
        if response.seconds > client.patience:
            code, most = "http.too-slow", f"{client.patience:.0f}"
            return finding(code, request.url, client=client.name, most=most)
        if client.takes_no_compression and coding:
            return finding("http.compressed", response.url, coding=coding[:40])
        for hop in response.redirects if client.needs_absolute_location else ():
            headers = self.facts.response(request._replace(url=hop)).headers
            location = headers.get("location", "")
            if "://" not in location:
                return finding("http.relative-location", hop, location=location[:80])
        is_by_header = step.kind == "xml" and client.needs_xml_type
        is_xml = response.content_type in ("text/xml", "application/xml")
        if is_by_header and not web.is_in_charset(response):
            return finding("http.charset", response.url, charset=response.charset[:20])
        if is_by_header and not is_xml:
            kind = response.content_type or "missing"
            count = [name for name, _ in response.every].count("content-type")
            first = f" (the first of {count} Content-Type headers)" if count > 1 else ""
            return finding("http.content-type", response.url, found=f"{kind}{first}")
        if client.agent and response.seconds < _SLOW:
            response, wrong = web.asked(
                self.case, self.facts, request.with_agent(client.agent)
            )
            if wrong and response.status and not response.is_limited:
                return finding("http.agent-refused", request.url, got=wrong.seen)
        return None

    # --- Outlook ----------------------------------------------------------------------

    def _by_v2(self, step: Step, outcome: Outcome, wrong: Finding | None) -> Outcome:
        """Follow the URL of version 2, unless it is one that Outlook asks anyway."""
        response = outcome.response
        if wrong is not None:
            # Outlook goes on where version 2 is missing or refused.
            is_harmless = 400 <= response.status < 500 and not response.is_forged
            wrong = wrong.marked(ABSENT if is_harmless else "")
            return self._failed(outcome, Request(outcome.url), wrong)
        target = web.url_of_v2(response)
        if not target:
            wrong = finding("autodiscover.v2-without-url", outcome.url)
            return outcome._replace(trouble=wrong)
        steps = self.client.steps
        listed = [
            request.url
            for it in steps
            for request in requests_of(it, self.case, self.facts)
        ]
        if target in listed:
            good = finding("autodiscover.v2", outcome.url)
            return outcome._replace(trouble=good.marked(ABSENT))

        pox = step._replace(kind="pox")
        there = self._outcome(pox, request_of(pox, self.case, target))
        if there.setup is not None:
            return there
        got = there.trouble.seen if there.trouble else "nothing"
        status = there.response.status
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
        (request,) = requests_of(step, self.case, self.facts)
        is_there = split_url(request.url).netloc == split_url(url).netloc
        response, _ = web.asked(self.case, self.facts, request)
        return is_there and bool(response.redirects or response.status in REDIRECTS)

    def _redirected(self, step: Step, request: Request) -> Outcome:
        """Follow a 302 redirect from http to https; Outlook ignores other responses."""
        response = self.facts.response(request)
        if response.status == 302 and response.target.startswith("https:"):
            pox = step._replace(kind="pox")
            post = request_of(pox, self.case, response.target)
            return self._outcome(pox, post)._replace(url=request.url)
        wrong = web.of_response(self.case, response, request.url)
        if wrong is None or response.status in REDIRECTS:
            got = f"status {response.status}"
            if response.status in REDIRECTS:
                got += f" to {shown(response.headers.get('location', ''))}"
            wrong = finding("autodiscover.no-302", request.url, got=got)
        wrong = causes.by_login(self.facts, request, response, wrong)
        return Outcome(request.url, "domain", response, trouble=wrong)
