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
from ..check.findings import Case, Finding, finding, has_failure
from ..check.run import Report
from ..net.tcp import Network
from ..warnings import TESTED_BY_CHECK, find_warnings

_MAX_DOMAINS = 50  # of a file, checked without --all
_SIDE_BY_SIDE = 10  # domains at a time, unless a server limits the rate of requests
_PASSES = 3  # of the check of a domain, where one is too short
_MARGIN = 10.0  # seconds for computing, in addition to waiting for servers


def _known_code(code: str) -> str:
    if code not in texts.codes():
        raise click.BadParameter(f"there is no code {code!r}; --list lists all codes")
    return code


@options.command("check", "resolver", "network", ignored=_known_code)
def command(args: options.Asked) -> int:
    if args.is_list:
        for code in texts.codes():
            row = texts.row(code)
            terminal.echo(f"{code:30}  {row.status:7}  {row.means}")
        return 0
    args.login = args.login or args.password_fd is not None
    subject = args.subject
    args.address = project.address(subject) if "@" in subject else None
    args.service = _service(subject)
    if problem := _misuse(args):
        raise click.UsageError(problem)
    cases = _cases(args)
    return 1 if _check(args, cases, options.network(args)) else 0


def _check(args: options.Asked, cases: list[Case], network: Network) -> list[str]:
    """Check the domains and print the reports; return those that failed."""
    failed: list[str] = []
    is_several = args.every or len(cases) > 1
    earlier: report.Earlier | None = {} if is_several else None
    check = run.check_file if args.unpublished else run.check_published

    def notify(text: str) -> None:
        if not args.quiet and terminal.width(err=True) is not None:
            terminal.print_line(text, err=True)

    with ending.at_once():
        for case, result in _side_by_side(cases, check, network, notify):
            result = result.with_findings(_findings_of_file(args.service, case))
            if args.login:
                result = _with_logins(args, case, network, result)
            if has_failure(result.findings):
                failed.append(result.domain)
            _print(args, result, earlier)
        if is_several and not args.quiet:
            terminal.print_line(report.closing(len(cases), failed), err=True)
    return failed


# --- What to check ----------------------------------------------------------------------


def _misuse(args: options.Asked) -> str:
    """Return the message about options that do not go together, or ""."""
    service, is_piped = args.service, args.login and not sys.stdin.isatty()
    misuses = {
        "login-without-address": args.login and args.address is None,
        "all-and-one": args.every and args.subject,
        "no-file": service is None and (args.every or args.unpublished),
        "no-subject": service is None and not args.subject,
        "no-password": is_piped and args.password_fd is None,
        "no-answer": is_piped and not (service or args.yes),
    }
    messages = table_beside(options.__file__, "options.toml")["misuse"]
    return next((messages[name] for name, is_so in misuses.items() if is_so), "")


def _service(subject: str) -> Service | None:
    """Return the service of the named file, or of the usual one if it has the domain."""
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


def _cases(args: options.Asked) -> list[Case]:
    service: Service | None = args.service
    address, ignored = args.address, frozenset(args.ignored)
    if service is None:
        domain, usual = project.domain(args.subject), families.chosen(None, "")
        return [Case(domain, usual, address=address, ignored=ignored)]

    domains = project.domains(service, args.subject)
    if len(domains) > _MAX_DOMAINS and not args.every:
        message = f"the file has {len(domains)} domains: name one, or add --all"
        raise click.UsageError(message)
    signs = service.snapshot.loaded.tables.sign is not None
    cases = []
    for domain in domains:
        served = project.served(service, domain, address)
        settings = (served.provider, served.match.exact, address, signs)
        has_own_login = served.login is not None
        cases.append(Case(domain, service.families, *settings, has_own_login, ignored))
    return cases


def _findings_of_file(service: Service | None, case: Case) -> list[Finding]:
    """Return the problems of the file that concern the domain's provider."""
    if service is None:
        return []
    file, loaded = service.live.file, service.snapshot.loaded
    identity = case.provider.identity if case.provider else ""
    identities = [provider.identity for provider in loaded.providers]
    index = identities.index(identity) if identity in identities else len(identities)
    providers = [*loaded.providers[index : index + 1]]
    origins = [*loaded.origins[index : index + 1]]
    warnings = find_warnings(
        providers, service.families, origins, without=TESTED_BY_CHECK
    )
    problems: list[Problem] = [*loaded.skipped, *loaded.warnings]
    problems += with_lines(warnings, file, providers, origins)
    return [
        findings.from_problem("file", problem.source(str(file)), problem)
        for problem in problems
    ] or [finding("file.good", str(file))]


# --- Several domains --------------------------------------------------------------------


def _side_by_side(
    cases: list[Case],
    check: Callable[[Case, Facts], Report],
    network: Network,
    notify: Callable[[str], None],
) -> Iterator[tuple[Case, Report]]:
    """Yield the cases with their reports, in order, each as soon as it is known.

    An error in the check of one domain only affects that domain. A computation that does
    not end (waiting for servers does) ends the process.
    """
    facts = Facts(network)  # of all domains
    turn = threading.Lock()  # for one domain at a time, while a server limits requests
    is_one = len(cases) == 1

    def check_in_passes(case: Case) -> Report:
        for _ in range(_PASSES):  # each requests what the last one had no time for
            of_case = Facts(run.reach(case, network), facts)
            result = check(case, of_case)
            if not of_case.is_late or of_case.waited < network.timeout:
                break  # complete, or the time went to servers that do not respond
            of_case.forget_unfinished()
        if of_case.is_late and not has_failure(result.findings):
            return result.with_findings([finding("check.no-time", case.domain)])
        return result

    def check_safely(case: Case) -> Report:
        try:
            with turn if facts.is_limited else nullcontext():
                return check_in_passes(case)
        except Exception as error:  # an unexpected response
            reason = f"{type(error).__name__}: {error}"[:300]
            return run.failed(case, finding("check.failed", case.domain, reason=reason))

    pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
    tasks = (pool.submit(check_safely, case) for case in cases)  # not all at once
    futures = deque(islice(tasks, 2 * _SIDE_BY_SIDE))
    try:
        for number, case in enumerate(cases, 1):
            which = "" if is_one else f" ({number} of {len(cases)} domains)"
            notify(f"checking {case.domain}{which}")
            seconds = (1 + _PASSES) * run.seconds(network) + _MARGIN
            seconds *= _SIDE_BY_SIDE if not is_one and facts.is_limited else 1
            with ending.within(seconds):
                result = futures.popleft().result()
            futures += islice(tasks, 1)
            yield case, result
    finally:
        pool.shutdown(cancel_futures=True)  # such as when stdout is a closed pipe


def _print(args: options.Asked, result: Report, earlier: report.Earlier | None) -> None:
    """Print a report; *earlier* is None for a single domain."""
    bad_statuses = (findings.FAILURE, findings.WARNING)
    bad = tuple(found for found in result.findings if found.status in bad_statuses)
    if args.as_json:
        result = replace(result, findings=bad) if args.quiet else result
        indent = 2 if earlier is None else None
        terminal.echo(json.dumps(report.as_json(result), indent=indent))
        return
    if args.quiet and not bad:
        return
    verbose, quiet, width = args.verbose, args.quiet, terminal.width()
    terminal.show(report.verdict(result, width))
    if earlier is None or has_failure(result.findings) or verbose or quiet:
        quiet = quiet or earlier is not None
        terminal.show(
            report.details(
                result, verbose=verbose, quiet=quiet, width=width, earlier=earlier
            )
        )


# --- Logins -----------------------------------------------------------------------------


def _with_logins(
    args: options.Asked, case: Case, network: Network, result: Report
) -> Report:
    """Return the report with real logins, at the servers that may get the password.

    Without a file, others name the servers: the settings must have been received
    completely over verified https, and the user must agree.
    """
    subject = str(case.address)

    def without_login(code: str) -> Report:
        return result.with_findings([finding(code, subject)])

    if result.provider is None:
        return without_login("login.no-settings")
    if not result.is_trusted:
        # With a file this means that the lookup of the domain failed.
        code = "login.domain-faulty" if case.provider else "login.untrusted"
        return without_login(code)
    servers = [server for _, server in result.provider.servers]
    servers += result.led_to
    servers, others = logins.servers_for_login(case, servers, result.findings)
    result = result.with_findings(others)
    if not servers:
        return result if others else without_login("login.no-server")

    places = dict.fromkeys(logins.place_of(case, server) for server in servers)
    # Never shortened: a server that is not shown must not get the password.
    where = f"{clean(subject)} at {', '.join(map(clean, places))}"
    is_agreed = args.yes or case.provider is not None
    if not (is_agreed or _confirm(f"Send the password of {where}?")):
        return without_login("login.declined")

    def may_retry(user: str, server: str) -> bool:
        text = f"Refused. Try once more as {clean(user)} at {clean(server)} only?"
        return args.yes or (sys.stdin.isatty() and _confirm(text))

    password = _password(args.password_fd, where)
    of_logins = logins.log_in_everywhere(
        case, network, servers, password, may_retry, result.results
    )
    whose = "the file" if case.provider else "config-v1.1.xml"
    combined = [*logins.combined(result.findings, [*of_logins], whose)]
    results = tuple(logins.with_logins(client, combined) for client in result.results)
    return replace(result, results=results, findings=()).with_findings(combined)


def _confirm(question: str) -> bool:
    with ending.asking():
        return click.confirm(question, err=True)


def _password(descriptor: int | None, where: str) -> str:
    if descriptor is None:
        with ending.asking():
            return str(click.prompt(f"Password of {where}", hide_input=True, err=True))
    terminal.echo(f"Logging in as {where}", err=True)
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        message = f"the password cannot be read from file descriptor {descriptor}"
        raise click.BadParameter(message, param_hint="--password-fd") from None
