"""`check`: does what is published work?"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import click

from ... import families
from ...address import Address, parse_address
from ...cleaning import clean
from ...config.explain.lines import with_lines
from ...errors import ConfigError, Problem
from ...files import file_in_environment
from ...service import Service
from .. import check, ending, options, project, quirks, terminal
from ..check import (
    FAILURE,
    WARNING,
    Case,
    Facts,
    Finding,
    Report,
    findings,
    report,
    texts,
)
from ..check import login as logins
from ..check.findings import finding
from ..check.rules.servers import endpoint_of
from ..check.weigh import has_failure
from ..network import Network

_MOST_DOMAINS = 50  # of a file, checked unasked
_SIDE_BY_SIDE = 10  # domains at a time
_MARGIN = 10.0  # seconds that computing may take, beside waiting for servers


def _known_codes(
    _ctx: click.Context, _option: click.Parameter, codes: tuple[str, ...]
) -> frozenset[str]:
    known = texts.codes()
    for code in codes:
        if code not in known:
            near = difflib.get_close_matches(code, known, 1)
            cure = f"did you mean {near[0]}?" if near else "--list lists all codes"
            raise click.BadParameter(f"there is no code {code!r}; {cure}")
    return frozenset(codes)


def _list_codes(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    width = max(map(len, texts.codes()))
    for code in texts.codes():
        terminal.echo(f"{code:{width}}  {texts.status(code):7}  {texts.means(code)}")
    ctx.exit()


@click.command("check")
@click.argument("subject", metavar="[ADDRESS|DOMAIN]", default="")
@click.option(
    "--all", "every", is_flag=True, help="Every domain of the file, fit for cron."
)
@click.option("--login", is_flag=True, help="Log in too; asks for the password.")
@click.option(
    "--password-fd",
    type=click.IntRange(0),
    help="Read the password from this file descriptor (implies --login).",
)
@click.option(
    "--yes",
    is_flag=True,
    help="Ask nothing: log in at the published servers without a file, and try a "
    "refused login once more with the other name.",
)
@click.option(
    "--unpublished",
    is_flag=True,
    help="Only the file and its servers, before anything is published.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only what is wrong.")
@click.option("-v", "--verbose", is_flag=True, help="What is well, too.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="As JSON, an object; of several domains one a line.",
)
@click.option(
    "--ignore",
    "ignored",
    metavar="CODE",
    multiple=True,
    callback=_known_codes,
    help="Leave out findings of this code; may be given several times.",
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_codes,
    help="List the codes of all findings with their meaning, and exit.",
)
@options.network_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    subject: str,
    every: bool,
    login: bool,
    password_fd: int | None,
    yes: bool,
    unpublished: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    ignored: frozenset[str],
    **network: Any,
) -> None:
    """Does it work? Plays every client: DNS, HTTPS, documents and servers.

    The verdict comes first, then what is wrong, the worst first, each with its cause and
    what to do. With a file, what is published is held against it; without one, what is
    published for the domain is checked by itself.
    """
    address = _address(subject)
    login = login or password_fd is not None
    if login and address is None:
        raise click.UsageError("--login takes an ADDRESS to log in with")
    if every and subject:
        raise click.UsageError("--all takes no ADDRESS or DOMAIN: it is every domain")
    service = _service_to_check(subject)
    for option in ("--all" * every, "--unpublished" * unpublished):
        if option and service is None:
            message = f"{option} takes a file that serves the domain: name one with "
            message += "--config, or let `flask-autoconfig init DOMAIN` write one"
            raise click.UsageError(message)
    cases = [
        replace(case, ignored=ignored)
        for case in _cases(service, subject, address, every)
    ]
    if login and password_fd is None and not sys.stdin.isatty():
        message = "--login asks for the password at a terminal, and stdin is none: "
        message += "give it with --password-fd N (--password-fd 0 reads stdin)"
        raise click.UsageError(message)
    if login and not (service or yes or sys.stdin.isatty()):
        message = "without a file --login asks at a terminal; name a file, or say --yes"
        raise click.UsageError(message)

    tell = _Progress()
    tell(f"checking {_counted(cases)}")
    around = options.network(**network)
    facts = Facts(around)
    look = check.unpublished if unpublished else check.published
    with_file = partial(_of_file, service)
    several = every or len(cases) > 1
    failed: list[str] = []
    late: list[str] = []
    known: report.Known | None = {} if several else None
    with ending.at_once():
        for case, found in _side_by_side(cases, look, facts, around, tell, late):
            told = found.with_findings(with_file(case))
            if login:
                tell.end()
                told = _with_logins(case, around, found, told, password_fd, yes)
            if has_failure(told.findings):
                failed.append(told.domain)
            tell.end()
            _print(told, as_json, quiet, verbose, known)
        tell.end()
        if several and not quiet:
            terminal.tell(report.closing(len(cases), failed), err=True)
    if late:  # the interpreter would wait for their threads
        os._exit(1)
    ctx.exit(1 if failed else 0)


def _counted(cases: list[Case]) -> str:
    return cases[0].domain if len(cases) == 1 else f"{len(cases)} domains"


class _Progress:
    """One line on a terminal's stderr that says what is being done; silent elsewhere."""

    def __init__(self) -> None:
        self._length = 0

    def __call__(self, text: str) -> None:
        """Say it in the place of what was said before."""
        most = _room()
        if most > 0:
            text = clean(text, min(most, 78))
            blank = " " * max(self._length - len(text), 0)
            terminal.replace_line(text + blank)
            self._length = len(text)

    def end(self) -> None:
        """Take the line away."""
        if self._length:
            terminal.replace_line(" " * self._length)
            terminal.replace_line("")
            self._length = 0


def _room() -> int:
    """The columns that a line on stderr may take, 0 where that is no terminal.

    One less than there are: in the last one some terminals begin a new line. COLUMNS may
    say that there are more, and such a line could not be taken away.
    """
    told = terminal.width(err=True)
    if told is None:
        return 0
    with suppress(OSError, ValueError):
        told = min(told, os.get_terminal_size(sys.stderr.fileno()).columns or told)
    return told - 1


def _side_by_side(
    cases: list[Case],
    look: Any,
    facts: Facts,
    around: Network,
    tell: _Progress,
    late: list[str],
) -> Iterator[tuple[Case, Report]]:
    """The reports in the cases' order, each as soon as those before it are told.

    An error in the check of one domain is a finding of that domain alone. `late` gets
    the domains whose check did not end: its thread still runs.
    """

    def one(case: Case) -> Report:
        said: Any = tell if len(cases) == 1 else (lambda _: None)
        try:
            found: Report = look(case, facts.within(check.reach(case, around)), said)
        except Exception as error:  # an answer that nobody has thought of
            return check.unchecked(case, f"{type(error).__name__}: {error}")
        return found

    pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
    futures = [pool.submit(one, case) for case in cases]
    for number, (case, future) in enumerate(zip(cases, futures, strict=True)):
        if len(cases) > 1:
            tell(f"{case.domain} ({number + 1} of {len(cases)} domains)")
        seconds = 2 * check.seconds(around) + _MARGIN
        with ending.within(seconds + _MARGIN, case.domain):
            try:
                found = future.result(seconds)
            except TimeoutError:  # a computation; what waits for servers ends in time
                reason = f"it did not end within {seconds:.0f} seconds"
                found = check.unchecked(case, reason)
                late.append(case.domain)
        yield case, found
    pool.shutdown(wait=False)


def _with_logins(
    case: Case,
    around: Network,
    found: Report,
    told: Report,
    password_fd: int | None,
    yes: bool,
) -> Report:
    """The report with real logins, if a person who sees where the password goes wants them.

    Without a file strangers name the servers, and so it takes settings that came whole
    over verified https, and a yes.
    """
    subject = str(case.address)
    if found.provider is None:
        return told.with_findings([finding("login.no-settings", subject)])
    if not found.is_trusted:
        # With a file nothing was asked, for want of DNS.
        code = "login.domain-faulty" if case.provider else "login.untrusted"
        return told.with_findings([finding(code, subject)])
    servers, others = logins.for_login(case, found.provider, found.findings)
    told = told.with_findings(others)
    if not servers and not others:
        return told.with_findings([finding("login.no-server", subject)])
    if not servers:
        return told

    endpoints = [str(endpoint_of(case, server)) for server in servers]
    # Whole, however long: what is not seen must not get the password.
    where = f"{clean(subject)} at {', '.join(map(clean, endpoints))}"
    is_sure = yes or case.provider is not None
    if not (is_sure or _confirmed(f"Send the password of {where}?")):
        return told.with_findings([finding("login.declined", subject)])
    password = _password(password_fd, where)
    tries = logins.log_in_at(case, check.unhurried(case, around), servers, password)
    may = partial(_may_try, yes)
    network = check.unhurried(case, around)
    again = logins.once_more(case, network, tries, password, may)
    more = logins.told(case, tries, again)
    more = logins.hurting(more, tries, told.fares)
    fares = logins.fares_after(told.fares, more)
    return replace(told, fares=fares).with_findings(more)


def _may_try(yes: bool, user: str, server: str) -> bool:
    """Whether a refused login may be tried once more, with another name."""
    if yes or not sys.stdin.isatty():
        return yes
    text = f"Refused. Try once more as {clean(user)} at {clean(server)}, there alone?"
    return _confirmed(text)


def _confirmed(question: str) -> bool:
    with ending.asking():
        return click.confirm(question, err=True)


def _address(subject: str) -> Address | None:
    if "@" not in subject:
        return None
    try:
        return parse_address(subject)
    except ValueError:
        raise click.BadParameter(f"{subject!r} is no e-mail address") from None


def _service_to_check(subject: str) -> Service | None:
    """What is to be served, None unless a file is named, or one here serves the domain."""
    told = project.named_file() or file_in_environment()
    if not told and not project.is_there():
        return None
    service = project.service()
    if subject:
        try:
            project.served(service, project.domain(subject))
        except ConfigError:
            if told:
                raise
            return None
    return service


def _cases(
    service: Service | None, subject: str, address: Address | None, every: bool
) -> list[Case]:
    if service is None:
        if not subject:
            message = "name an ADDRESS or DOMAIN, or a file with --config"
            raise click.UsageError(message)
        usual = families.chosen(None, "")
        return [Case(project.domain(subject), usual, address=address)]

    names = project.domains(service, subject)
    if len(names) > _MOST_DOMAINS and not every:
        message = f"the file has {len(names)} domains: name one, or say --all"
        raise click.UsageError(message)
    signs = service.snapshot.loaded.tables.sign is not None
    cases = []
    for name in names:
        served = project.served(service, name)
        if address is not None:
            served = project.served_address(service, address)
        case = Case(name, service.families, served.provider, served.match.exact)
        has_login = served.login is not None
        cases.append(
            replace(case, address=address, signs=signs, has_own_login=has_login)
        )
    return cases


def _of_file(service: Service | None, case: Case | None = None) -> list[Finding]:
    """What the file itself has against the domain's provider, or against all of them."""
    if service is None:
        return []
    file, loaded = service.live.file, service.snapshot.loaded
    skipped: Iterable[Problem] = [*loaded.skipped, *loaded.unmatched, *loaded.unsafe]
    own, origins = list(loaded.providers), list(loaded.origins)
    if case is not None:
        name = case.provider.identity if case.provider else ""
        at = [n for n, it in enumerate(own) if it.identity == name][:1]
        own, origins = [own[n] for n in at], [origins[n] for n in at if origins]
    found = quirks.warnings(own, service.families, origins)
    problems = [*skipped, *with_lines(found, file, own, origins)]
    if not problems:
        return [finding("file.good", str(file))]
    return [findings.from_problem("file", it.source(str(file)), it) for it in problems]


def _password(descriptor: int | None, where: str) -> str:
    if descriptor is None:
        text = f"Password of {where}"
        with ending.asking():
            password: str = click.prompt(text, hide_input=True, err=True)
        return password
    terminal.echo(f"Logging in as {where}", err=True)
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise click.BadParameter(
            f"no password can be read from {descriptor}", param_hint="--password-fd"
        ) from None


def _print(
    told: Report, as_json: bool, quiet: bool, verbose: bool, known: report.Known | None
) -> None:
    """`known` is what was told of other domains, None where there is one alone."""
    several = known is not None
    wrong = tuple(it for it in told.findings if it.status in (FAILURE, WARNING))
    if as_json:
        told = replace(told, findings=wrong) if quiet else told
        found = report.line(told)
        text = found if several else json.dumps(report.as_json(told), indent=2)
        terminal.echo(text)
        return
    if quiet and not wrong:
        return
    is_failed = has_failure(told.findings)
    width = terminal.width()
    for line in report.verdict(told, width):
        terminal.echo(line, styled=True)
    if several and not (is_failed or verbose or quiet):
        return
    for line in report.details(
        told, verbose=verbose, quiet=quiet or several, width=width, known=known
    ):
        terminal.echo(line, styled=True)
