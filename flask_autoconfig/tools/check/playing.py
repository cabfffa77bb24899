"""Plays a client: its steps in order, until it has settings or gives up."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ...address import NOBODY, parse_address
from ...documents.setups import (
    Account,
    RedirectedError,
    Setup,
    UnusableDocumentError,
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

_MAX_REDIRECTS = 10  # by documents
_SLOW = 3.0  # seconds, of the five that Thunderbird waits


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Play a client with steps; return what it sets up, and the findings on the way."""
    played = Play(client)
    outcomes: list[Outcome] = []
    for outcome in _Player(client, case, facts).outcomes():
        if outcome.problem and outcome.problem.code == "document.hidden":
            # The finding replaces the one that the URL had.
            outcomes = [other for other in outcomes if other.url != outcome.url]
        outcomes.append(outcome)
        if outcome.setup is not None:
            played.setup, played.outcome = outcome.setup, outcome
        if outcome.setup is not None or _is_final(client, outcome):
            break
    played.findings = list(_findings_of(outcomes, played, case, facts))
    if played.outcome and played.outcome.response.status and not played.is_by_ispdb:
        played.findings += _of_response(case, facts, played.outcome.response)
    return played


def _is_final(client: Client, outcome: Outcome) -> bool:
    """Return whether the client stops at an empty response, as if it were settings."""
    if outcome.problem is None or outcome.problem.code not in ENDING:
        return False
    is_404 = outcome.response.status in (404, 410)
    return client.takes_empty_404 if is_404 else client.takes_empty


def _findings_of(
    outcomes: list[Outcome], played: Play, case: Case, facts: Facts
) -> Iterator[Finding]:
    """Yield the problems that matter to the client, marked with their circumstances."""
    client, causes = played.client, set[str]()
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    is_shut = any(found.code in web.PASSWORD_PROMPTS for found in problems)
    for outcome in outcomes:
        found = outcome.problem
        if found and played.setup and found.code == "autodiscover.asks-login":
            # The login is not intended where another URL needs none.
            found, is_shut = found._replace(code="http.login-wanted"), False
        if found is None or (ABSENT in found.marks and found.code not in ENDING):
            continue
        if outcome.setup is not None or _is_final(client, outcome):
            found = found._replace(marks=frozenset())
        else:
            # Clients only send these requests after all others failed.
            is_far = outcome.place.startswith(("srv", "mx"))
            is_last = is_far or outcome.url.startswith("http:")
            is_new = bool(causes) and found.seen not in causes
            found = found.marked(
                *_marks(played, outcome, case, facts),
                "exchange" if is_shut else "",
                "elsewhere" if is_new and is_last else "",
            )
        if found.status == FAILURE or outcome.response.is_limited:
            causes.add(found.seen)
        yield found


def _marks(played: Play, outcome: Outcome, case: Case, facts: Facts) -> Iterator[str]:
    """Yield the marks for the problem of an outcome; "" is no mark."""
    host = split_url(outcome.url).hostname or ""
    outlook_host = f"{label_of(OUTLOOK.steps[0])}.{case.domain}"
    family = played.client.family
    is_pox = split_url(outcome.url).path == POX
    # Outlook shows people a security alert or a prompt, and not where version 2 fails.
    is_visible = outcome.response.is_forged or outcome.response.status == 401
    is_alert = family == "outlook" and is_pox and is_visible
    by_chance = "first place" if is_alert else "by chance"
    if outcome.place == "domain" and is_pox:
        # A web site without Autodiscover refuses a POST request.
        is_refusal = outcome.response.status in (200, 400, 403, 405, 501)
        if is_refusal and not facts.exists(outlook_host):
            yield by_chance
    elif outcome.place == "host" and (family != "thunderbird" or played.setup):
        yield by_chance if facts.is_from_wildcard(host, case.domain) else ""
    if case.provider is None and family != "outlook" and host == outlook_host:
        # It may be the Autodiscover host of another organization.
        yield "" if case.has(web.alias_chain(facts, outlook_host)[-1]) else "exchange"
    if played.setup is not None:
        is_first = outcome.place == "host" and outcome.url.startswith("https:")
        by_http = played.outcome and played.outcome.url.startswith(f"http://{host}/")
        if by_http and not outcome.response.status:
            is_first = False  # port 443 need not be open where http redirects
        if case.provider and case.provider.autodiscover_host:
            # Clients get a redirect from http there: the name needs no certificate.
            is_first = is_first and host != outlook_host
        is_alert = is_alert and outcome.place == "domain"
        yield "first place" if is_first or is_alert else "elsewhere"


def counts(response: Response) -> bool:
    """Return whether clients with `takes_first_2xx` try no other URL after a response."""
    if response.is_forged or not 200 <= response.status < 300:
        return False
    with suppress(NotXmlError, ValueError):
        if response.content_type in ("text/xml", "application/xml"):
            parse(web.decompressed(response))
        elif response.content_type in ("text/json", "application/json"):
            json.loads(response.body)
        return True
    return False


def _of_response(case: Case, facts: Facts, response: Response) -> Iterator[Finding]:
    """Yield findings about the redirects, the encryption and the speed of a response."""
    first, *_ = urls = [*response.redirects, response.url]
    if response.redirects:
        yield finding("http.redirected", first, target=shown(response.url))
    if first.startswith("https:"):
        unencrypted = [url for url in urls if split_url(url).scheme == "http"]
        for url in unencrypted[:1]:
            yield finding("http.downgraded", first, target=shown(url))
    else:
        request = Request(first.replace("http:", "https:", 1))
        by_https, problem = web.fetch(case, facts, request)
        if problem is not None and not by_https.is_limited:
            yield finding("http.unencrypted", first)
    if response.seconds > _SLOW:
        yield finding("http.slow", first, seconds=f"{response.seconds:.0f}")


class _UnsafeError(UnusableDocumentError):
    """A document that this program refuses to read, for its own safety."""


@dataclass(frozen=True)
class _Player:
    """The requests of a client, and what each of them leads to."""

    client: Client
    case: Case
    facts: Facts
    visited: tuple[str, ...] = ()  # URLs and addresses of redirects by documents

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each request, and those of SRV records last."""
        firsts: dict[str, Outcome] = {}  # of the requests that are alternatives
        for step in steps_of(self.client, self.case):
            group = "" if step.is_far else step.kind
            for request in requests_of(step, self.case, self.facts):
                outcome = self._outcome_of(step, request)
                first = firsts.get(group)
                if first is None:
                    yield outcome
                elif outcome.setup and first.problem and first.problem.step == "https":
                    got, url = first.problem.seen, shown(request.url)
                    hidden = finding("document.hidden", first.url, got=got, url=url)
                    yield first._replace(problem=hidden)
                    firsts[group] = first._replace(problem=None)  # reported once
                if self.client.takes_first_2xx and group and counts(outcome.response):
                    firsts.setdefault(group, outcome)
        if self.client.srv == "mail":
            yield from self._outcomes_of_mail_services()
        elif self.client.srv == "outlook" and "pox" not in firsts:
            yield from self._outcomes_of_autodiscover_service()

    def _outcomes_of_mail_services(self) -> Iterator[Outcome]:
        """Yield the outcome of the SRV records of RFC 6186, if they suffice."""
        accounts: dict[str, Account] = {}
        for service, type_, socket_type in MAIL_SERVICES:
            for host, port in self.facts.targets(f"{service}.{self.case.domain}"):
                accounts.setdefault(type_, Account(type_, host, port, socket_type))
        incoming = accounts.get("imap") or accounts.get("pop3")
        if incoming is not None and "smtp" in accounts:
            setup = Setup((incoming, accounts["smtp"]))
            yield Outcome(f"{self.case.domain} SRV", "srv", setup=setup)

    def _outcomes_of_autodiscover_service(self) -> Iterator[Outcome]:
        """Yield the outcome at the first host of the SRV record for Autodiscover."""
        service = f"_autodiscover._tcp.{self.case.domain}"
        for host, port in self.facts.targets(service)[:1]:
            authority = host if port == 443 else f"{host}:{port}"
            step = Step("host", POX, kind="pox")
            request = request_of(step, self.case, f"https://{authority}{step.path}")
            outcome = self._outcome_of(step, request)
            problem = outcome.problem
            # A password prompt may be intended.
            if problem and problem.code not in web.PASSWORD_PROMPTS:
                problem = problem.within("by-record", record=service)
            yield outcome._replace(place="srv", problem=problem)

    def _outcome_of(self, step: Step, request: Request) -> Outcome:
        response, problem = web.fetch(self.case, self.facts, request)
        outcome = Outcome(request.url, step.place, response)
        if step.place.startswith("ispdb"):
            # `comparing.ispdb` reports problems there; they stop no client.
            with suppress(UnusableDocumentError):
                if problem is None:
                    setup = self._read(step, web.decompressed(response))
                    return outcome._replace(setup=setup)
            return outcome
        if step.kind == "302" and response.status:
            return self._follow_302(step, request)

        if problem:
            is_absent = ABSENT in problem.marks and step.place == "host"
            is_forbidden = problem.code == "http.forbidden"
            if is_absent or is_forbidden or not response.status:
                problem = causes.by_redirect(self.facts, request, problem, "redirect")
        if problem and not response.status:
            return self._explain(outcome, request, problem)
        if problem is not None and problem.code == "http.exchange":
            return outcome._replace(problem=problem)
        if step.kind == "v2":
            return self._by_v2(step, outcome, problem)
        if problem is not None and step.kind in ("xml", "pox"):
            about = (self.case, self.facts, step, request)
            problem = causes.by_form(*about, problem)
            problem = causes.by_query(*about, response, problem)
            problem = causes.by_login(self.facts, request, response, problem)
        if problem is not None:
            return self._explain(outcome, request, problem)
        seconds = self.facts.seconds(request, response, _SLOW)
        response = replace(response, seconds=seconds)
        outcome = self._with_setup(step, request, outcome._replace(response=response))
        if outcome.setup is None:
            return outcome
        problem = self._refusal(step, request, response)
        if problem is not None:
            outcome = outcome._replace(setup=None)
            return self._explain(outcome, request, problem)
        return outcome

    def _with_setup(self, step: Step, request: Request, outcome: Outcome) -> Outcome:
        """Return the outcome with the settings of the response, or their problem."""
        response = outcome.response
        try:
            setup = self._read(step, web.decompressed(response))
        except RedirectedError as error:
            return self._follow_redirect(step, outcome, error.target)
        except UnusableDocumentError as error:
            is_unsafe = isinstance(error, _UnsafeError)
            code = "document.not-read" if is_unsafe else "document.unusable"
            unusable = finding(code, outcome.url, advice=error.cure, reason=error)
            is_get = step.kind == "pox by get"  # an invalid request for most servers
            pattern = rb'<incomingServer type="(imap|pop3)"'
            has_pop3_alone = set(re.findall(pattern, response.body)) == {b"pop3"}
            mark = "POP3 alone" if has_pop3_alone else ""
            unusable = unusable.marked(ABSENT if is_get else mark)
            return self._explain(outcome, request, unusable)
        unfilled = None if step.kind == "xml" else web.unfilled(outcome.url, response)
        return outcome._replace(setup=setup, problem=unfilled)

    def _follow_redirect(self, step: Step, outcome: Outcome, target: str) -> Outcome:
        """Return the outcome of a redirectUrl or redirectAddr (MS-OXDSCLI, 3.1.5.4)."""
        visited, target = (*self.visited, shown(outcome.url)), target[:200]
        if shown(target) in visited or len(visited) > _MAX_REDIRECTS:
            way = " → ".join((*visited, shown(target)))
            problem = finding("autodiscover.redirect-loop", visited[0], way=way)
            return outcome._replace(problem=problem)
        got = ""
        player = replace(self, visited=visited)
        for redirected in player._redirect_outcomes(step, target):
            found, response = redirected.problem, redirected.response
            is_end = found and found.code.startswith("autodiscover.redirect-")
            if redirected.setup is not None or is_end:
                return redirected._replace(url=outcome.url)
            if self.case.provider is None and response.status == 401:
                host = split_url(response.url).hostname or ""
                exchange = finding("http.exchange", outcome.url, host=host, how="")
                return outcome._replace(problem=exchange)
            if found and ("@" not in target or ABSENT not in found.marks):
                got = got or found.seen
        got = got or "Outlook finds nothing there (it takes an https URL or an address)"
        code = "autodiscover.redirect-fails"
        problem = finding(code, outcome.url, target=shown(target), got=got)
        return outcome._replace(problem=problem)

    def _redirect_outcomes(self, step: Step, target: str) -> Iterator[Outcome]:
        """Yield the outcomes at the target of a redirect: a URL or a mail address."""
        if target.startswith("https:"):
            pox = step._replace(kind="pox")
            yield self._outcome_of(pox, request_of(pox, self.case, target))
        with suppress(ValueError):
            address = parse_address(target)
            case = replace(self.case, domain=address.domain, address=address)
            visited = (*self.visited, target)
            yield from replace(self, case=case, visited=visited).outcomes()

    def _explain(self, outcome: Outcome, request: Request, problem: Finding) -> Outcome:
        """Return the outcome with the problem, and with the cause that DNS has for it."""
        if problem.code == "http.no-connection" and self._is_redirecting(outcome.url):
            return outcome._replace(problem=problem.marked(ABSENT))
        problem = causes.by_name(self.case, self.facts, problem, request)
        return outcome._replace(problem=problem)

    def _read(self, step: Step, document: bytes) -> Setup:
        """Return the settings of a document; raise UnusableDocumentError without any."""
        asker = self.case.asker
        if step.kind != "xml":
            is_outlook = self.client.family == "outlook"
            return read_outlook(document, ignores="" if is_outlook else "Action")
        result = reading.read(document, self.client.rules, asker)
        if result.setup is None:
            is_unsafe = result.faults[0].code == "not-read"
            error = _UnsafeError if is_unsafe else UnusableDocumentError
            raise error(result.reason, result.cure)
        accounts = []
        for account in result.setup.servers:
            # Evolution sends a made-up local part.
            name = account.username and account.username.replace(NOBODY, asker.local)
            accounts.append(account._replace(username=name))
        return Setup(tuple(accounts))

    def _refusal(
        self, step: Step, request: Request, response: Response
    ) -> Finding | None:
        """Return the finding that the client refuses a response with settings, if so."""
        client, number = self.client, len(response.redirects)
        to_client = partial(finding, subject=request.url, client=client.name)
        if number > client.redirects:
            most = client.redirects
            return to_client("http.many-redirects", number=number, most=most)
        if response.seconds > client.patience:
            return to_client("http.too-slow", most=f"{client.patience:.0f}")
        coding = response.headers.get("content-encoding", "")
        if client.takes_no_compression and coding:
            return finding("http.compressed", response.url, coding=coding[:40])
        for url in response.redirects if client.needs_absolute_location else ():
            headers = self.facts.response(request._replace(url=url)).headers
            location = headers.get("location", "")
            if "://" not in location:
                return finding("http.relative-location", url, location=location[:80])
        needs_type = step.kind == "xml" and client.needs_xml_type
        is_xml = response.content_type in ("text/xml", "application/xml")
        if needs_type and not web.is_in_charset(response):
            return finding("http.charset", response.url, charset=response.charset[:20])
        if needs_type and not is_xml:
            type_ = response.content_type or "missing"
            count = [name for name, _ in response.every].count("content-type")
            first = f" (the first of {count} Content-Type headers)" if count > 1 else ""
            return finding("http.content-type", response.url, found=f"{type_}{first}")
        if response.seconds < _SLOW:
            return causes.by_agent(self.case, self.facts, client, request)
        return None

    def _by_v2(self, step: Step, outcome: Outcome, problem: Finding | None) -> Outcome:
        """Follow the URL in a response of version 2, unless Outlook requests it anyway."""
        response = outcome.response
        if problem is not None:
            # Outlook goes on where version 2 is missing or refused.
            is_harmless = 400 <= response.status < 500 and not response.is_forged
            problem = problem.marked(ABSENT if is_harmless else "")
            return self._explain(outcome, Request(outcome.url), problem)
        target = web.autodiscover_v2_url(response)
        if not target:
            problem = finding("autodiscover.v2-without-url", outcome.url)
            return outcome._replace(problem=problem)
        for other_step in self.client.steps:
            requests = requests_of(other_step, self.case, self.facts)
            if target in (request.url for request in requests):
                good = finding("autodiscover.v2", outcome.url)
                return outcome._replace(problem=good.marked(ABSENT))

        pox = step._replace(kind="pox")
        by_pox = self._outcome_of(pox, request_of(pox, self.case, target))
        if by_pox.setup is not None:
            return by_pox
        got = by_pox.problem.seen if by_pox.problem else "nothing"
        code = "autodiscover.v2-elsewhere"
        problem = finding(code, outcome.url, target=shown(target), got=got)
        # An Exchange server answers only with a login.
        is_exchange = by_pox.response.status in (401, 403) and not self.case.provider
        return outcome._replace(problem=problem.marked(ABSENT if is_exchange else ""))

    def _is_redirecting(self, url: str) -> bool:
        """Return whether the host of a URL redirects Autodiscover, and needs no https."""
        (step,) = (step for step in OUTLOOK.steps if step.kind == "302")
        (request,) = requests_of(step, self.case, self.facts)
        is_same_host = split_url(request.url).netloc == split_url(url).netloc
        response, _ = web.fetch(self.case, self.facts, request)
        is_redirect = bool(response.redirects) or response.status in REDIRECTS
        return is_same_host and is_redirect

    def _follow_302(self, step: Step, request: Request) -> Outcome:
        """Follow a 302 redirect from http to https; Outlook ignores other responses."""
        response = self.facts.response(request)
        if response.status == 302 and response.target.startswith("https:"):
            pox = step._replace(kind="pox")
            post = request_of(pox, self.case, response.target)
            return self._outcome_of(pox, post)._replace(url=request.url)
        problem = web.response_problem(self.case, response, request.url)
        if problem is None or response.status in REDIRECTS:
            got = f"status {response.status}"
            if response.status in REDIRECTS:
                got += f" to {shown(response.headers.get('location', ''))}"
            problem = finding("autodiscover.no-302", request.url, got=got)
        problem = causes.by_login(self.facts, request, response, problem)
        return Outcome(request.url, "domain", response, problem=problem)
