"""The command `check`."""

import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from typing import Any

import click

from ... import families
from ...cleaning import clean
from ...config.explain.lines import with_lines
from ...errors import ConfigError, Problem
from ...files import file_in_environment, table_beside
from ...service import Service
from .. import ending, options, project, terminal
from ..check import findings, report, run, texts
from ..check import login as logins
from ..check.facts import Facts
from ..check.findings import FAILURE, Case, Finding, finding, has_failure
from ..check.run import Report
from ..net.tcp import Network
from ..warnings import ASKED, find_warnings

_MOST_DOMAINS = 50  # of a file, checked without --all
_SIDE_BY_SIDE = 10  # domains at a time, unless a server limits the rate of requests
_PASSES = 3  # of the check of a domain, if its time is not enough
_MARGIN = 10.0  # seconds for computing, in addition to waiting for servers


def _known_code(code: str) -> str:
    if code not in texts.codes():
        raise click.BadParameter(f"there is no code {code!r}; --list lists all codes")
    return code


@options.command("check", "resolver", "network", ignored=_known_code)
def command(asked: options.Asked) -> int:
    if asked.is_list:
        for code in texts.codes():
            row = texts.row(code)
            terminal.echo(f"{code:30}  {row.status:7}  {row.means}")
        return 0
    asked.login = asked.login or asked.password_fd is not None
    asked.address = project.address(asked.subject) if "@" in asked.subject else None
    asked.service = _service(asked.subject)
    if problem := _misuse(asked):
        raise click.UsageError(problem)
    cases = _cases(asked)
    return 1 if _check(asked, cases, options.network(asked)) else 0


def _check(asked: options.Asked, cases: list[Case], network: Network) -> list[str]:
    """Check the domains and print the reports; return those that failed."""
    failed: list[str] = []
    is_several = asked.every or len(cases) > 1
    known: report.Known | None = {} if is_several else None
    look = run.unpublished if asked.unpublished else run.published
    notify = report.Progress()
    notify(
        f"checking {cases[0].domain if len(cases) == 1 else f'{len(cases)} domains'}"
    )
    with ending.at_once():
        for case, checked in _side_by_side(cases, look, network, notify):
            result = checked.with_findings(_of_file(asked.service, case))
            notify.end()
            if asked.login:
                result = _with_logins(asked, case, network, result)
            if has_failure(result.findings):
                failed.append(result.domain)
            _print(asked, result, known)
        if is_several and not asked.quiet:
            terminal.print_line(report.closing(len(cases), failed), err=True)
    return failed


# --- What to check ----------------------------------------------------------------------


def _misuse(asked: options.Asked) -> str:
    """Return what is wrong with the options together, "" for nothing."""
    service, is_piped = asked.service, asked.login and not sys.stdin.isatty()
    misuses = {
        "login-without-address": asked.login and asked.address is None,
        "all-and-one": asked.every and asked.subject,
        "no-file": service is None and (asked.every or asked.unpublished),
        "no-subject": service is None and not asked.subject,
        "no-password": is_piped and asked.password_fd is None,
        "no-answer": is_piped and not (service or asked.yes),
    }
    said = table_beside(options.__file__, "options.toml")["misuse"]
    return next((said[name] for name, is_so in misuses.items() if is_so), "")


def _service(subject: str) -> Service | None:
    """Return the service of a file that is named, or that is here and has the domain."""
    is_named = project.named_file() or file_in_environment()
    if not is_named and not project.is_there():
        return None
    service = project.service()
    try:
        if subject:
            project.served(service, project.domain(subject))
    except ConfigError:
        if is_named:
            raise
        return None
    return service


def _cases(asked: options.Asked) -> list[Case]:
    service: Service | None = asked.service
    subject, address, ignored = asked.subject, asked.address, frozenset(asked.ignored)
    if service is None:
        usual = families.chosen(None, "")
        domain = project.domain(subject)
        return [Case(domain, usual, address=address, ignored=ignored)]

    names = project.domains(service, subject)
    if len(names) > _MOST_DOMAINS and not asked.every:
        message = f"the file has {len(names)} domains: name one, or add --all"
        raise click.UsageError(message)
    signs = service.snapshot.loaded.tables.sign is not None
    cases = []
    for name in names:
        served = project.served(service, name, address)
        known = (served.provider, served.match.exact, address, signs)
        has_own_login = served.login is not None
        case = Case(name, service.families, *known, has_own_login, ignored)
        cases.append(case)
    return cases


def _of_file(service: Service | None, case: Case) -> list[Finding]:
    """Return the problems of the file that concern the domain's provider."""
    if service is None:
        return []
    file, loaded = service.live.file, service.snapshot.loaded
    name = case.provider.identity if case.provider else ""
    at = [n for n, it in enumerate(loaded.providers) if it.identity == name][:1]
    providers = [loaded.providers[n] for n in at]
    origins = [loaded.origins[n] for n in at if loaded.origins]
    warnings = find_warnings(providers, service.families, origins, without=ASKED)
    problems: list[Problem] = [*loaded.skipped, *loaded.warnings]
    problems += with_lines(warnings, file, providers, origins)
    return [
        findings.from_problem("file", it.source(str(file)), it) for it in problems
    ] or [finding("file.good", str(file))]


# --- Several domains --------------------------------------------------------------------


def _side_by_side(
    cases: list[Case],
    look: Callable[[Case, Facts, run.Notify], Report],
    network: Network,
    notify: run.Notify,
) -> Iterator[tuple[Case, Report]]:
    """Yield the reports in order, each as soon as those before it are printed.

    An error in the check of one domain only affects that domain. A computation that does
    not end (waiting for servers does) ends the process.
    """
    facts = Facts(network)
    turn = threading.Lock()

    def once(case: Case, asked: list[Any]) -> Report:
        for _ in range(_PASSES):  # each asks only what the one before had no time for
            within = Facts(run.reach(case, network), facts)
            checked = look(case, within, notify if len(cases) == 1 else lambda _: None)
            asked += within.asked
            if not within.is_late or within.waited < network.timeout:
                break  # or the time went to servers that do not answer
        is_told = not within.is_late or has_failure(checked.findings)
        late = [] if is_told else [finding("check.no-time", case.domain)]
        return checked.with_findings(late)

    def check(case: Case) -> Report:
        asked: list[Any] = []
        try:
            with turn if facts.is_limited else nullcontext():
                checked = once(case, asked)
            if len(cases) > 1 and facts.is_limited and checked.has("http.limited"):
                with turn:
                    facts.forget_refusals()
                    checked = once(case, asked)
            return checked
        except Exception as error:  # an unexpected response
            reason = f"{type(error).__name__}: {error}"[:300]
            return run.failed(case, finding("check.failed", case.domain, reason=reason))
        finally:
            facts.forget(case.domain, asked)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        waiting = iter(cases)
        first = islice(waiting, 2 * _SIDE_BY_SIDE)
        futures = deque(pool.submit(check, case) for case in first)
        for number, case in enumerate(cases, 1):
            if len(cases) > 1:
                notify(f"{case.domain} ({number} of {len(cases)} domains)")
            seconds = (1 + _PASSES) * run.seconds(network) + _MARGIN
            seconds *= _SIDE_BY_SIDE if len(cases) > 1 and facts.is_limited else 1
            with ending.within(seconds, case.domain):
                checked = futures.popleft().result()
            futures += [pool.submit(check, it) for it in islice(waiting, 1)]
            yield case, checked


def _print(asked: options.Asked, result: Report, known: report.Known | None) -> None:
    """Print a report; *known* are the findings of other domains, None without any."""
    bad = (findings.FAILURE, findings.WARNING)
    wrong = tuple(one for one in result.findings if one.status in bad)
    if asked.as_json:
        result = replace(result, findings=wrong) if asked.quiet else result
        indent = 2 if known is None else None
        terminal.echo(json.dumps(report.as_json(result), indent=indent))
        return
    if asked.quiet and not wrong:
        return
    verbose, quiet, width = asked.verbose, asked.quiet, terminal.width()
    terminal.show(report.verdict(result, width))
    if known is None or has_failure(result.findings) or verbose or quiet:
        quiet = quiet or known is not None
        terminal.show(
            report.details(
                result, verbose=verbose, quiet=quiet, width=width, known=known
            )
        )


# --- Logins -----------------------------------------------------------------------------


def _with_logins(
    asked: options.Asked, case: Case, network: Network, result: Report
) -> Report:
    """Return the result with that of real logins, where the password may be sent.

    Without a file, other people name the servers: the settings must have come completely
    over verified https, and the user must agree.
    """
    subject = str(case.address)

    def untried(code: str) -> Report:
        return result.with_findings([finding(code, subject)])

    if result.provider is None:
        return untried("login.no-settings")
    if not result.is_trusted:
        # With a file this means that the lookup of the domain failed.
        return untried("login.domain-faulty" if case.provider else "login.untrusted")
    listed = [it for _, it in result.provider.servers]
    listed += [*result.led_to, *logins.as_published(case, listed, result.results)]
    servers, others = logins.for_login(case, listed, result.findings)
    result = result.with_findings(others)
    if not servers:
        return result if others else untried("login.no-server")

    endpoints = dict.fromkeys(logins.place_of(case, server) for server in servers)
    # Never shortened: a server that is not shown must not get the password.
    where = f"{clean(subject)} at {', '.join(map(clean, endpoints))}"
    is_sure = asked.yes or case.provider is not None
    if not (is_sure or _confirmed(f"Send the password of {where}?")):
        return untried("login.declined")

    def may_retry(user: str, server: str) -> bool:
        text = f"Refused. Try once more as {clean(user)} at {clean(server)} only?"
        return asked.yes or (sys.stdin.isatty() and _confirmed(text))

    password = _password(asked.password_fd, where)
    more, results = logins.logged_in(
        case, network, servers, password, may_retry, result.results
    )
    whose = "the file" if case.provider else "config-v1.1.xml"
    told = [*logins.informed(result.findings, more, whose)]
    stopped = {name for it in told if it.status == FAILURE for name in it.clients}
    freed = (it for it in results if it.sets_up and it.client not in stopped)
    names = {it.client for it in freed}
    results = tuple(
        replace(it, works=True, stopped_by="") if it.client in names else it
        for it in results
    )
    return replace(result, results=results, findings=()).with_findings(told)


def _confirmed(question: str) -> bool:
    with ending.asking():
        return click.confirm(question, err=True)


def _password(descriptor: int | None, where: str) -> str:
    if descriptor is None:
        with ending.asking():
            asked = click.prompt(f"Password of {where}", hide_input=True, err=True)
        return str(asked)
    terminal.echo(f"Logging in as {where}", err=True)
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        message = f"the password cannot be read from file descriptor {descriptor}"
        raise click.BadParameter(message, param_hint="--password-fd") from None
