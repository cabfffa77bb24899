"""`check`: does what is published work?"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ... import families
from ...address import Address, parse_address
from ...config.reading import with_lines
from ...errors import ConfigError
from ...files import file_in_environment
from ...service import Service
from .. import check, options, project, quirks
from ..check import FAILURE, OK, WARNING, Case, Finding
from ..cleaning import clean
from ..network import Network

_MOST_DOMAINS = 50  # of a file, checked unasked


@click.command("check")
@click.argument("subject", metavar="[ADDRESS|DOMAIN]", default="")
@click.option("--login", is_flag=True, help="Log in too; asks for the password.")
@click.option(
    "--password-fd",
    type=click.IntRange(0),
    help="Read the password from this file descriptor (implies --login).",
)
@click.option(
    "--yes",
    is_flag=True,
    help="Without a file: log in at the published servers without being asked.",
)
@click.option(
    "--unpublished",
    is_flag=True,
    help="Only the file and its servers, before anything is published.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@options.network_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    subject: str,
    login: bool,
    password_fd: int | None,
    yes: bool,
    unpublished: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Does it work? DNS, HTTPS, documents and servers, the way a client goes.

    With a file, what is published is held against it; without one, what is published for
    the domain is checked by itself.
    """
    address = _address(subject)
    login = login or password_fd is not None
    if login and address is None:
        raise click.UsageError("--login takes an ADDRESS to log in with")
    service = _service_to_check(subject)
    cases = _cases(service, subject, address)
    if unpublished and service is None:
        raise click.UsageError("--unpublished takes a file that serves the domain")
    if login and not (service or yes or sys.stdin.isatty()):
        message = "without a file --login asks at a terminal; name a file, or say --yes"
        raise click.UsageError(message)

    findings = _of_file(service) if service else []
    around = options.network(**network)
    for case in cases:
        reach = check.reach(case, around)
        look = check.unpublished if unpublished else check.published
        outcome = look(case, reach)
        findings += outcome.findings
        if login:
            findings += _logins(case, around, outcome, password_fd, yes)
    findings = list(dict.fromkeys(findings))
    _report(findings, as_json)
    ctx.exit(1 if any(it.status == FAILURE for it in findings) else 0)


def _logins(
    case: Case,
    around: Network,
    outcome: check.Outcome,
    password_fd: int | None,
    yes: bool,
) -> list[Finding]:
    """Real logins, if a person who sees where the password goes wants them.

    Without a file strangers name the servers, and so it takes settings that came whole
    over verified https, and a yes.
    """
    if outcome.provider is None:
        return []
    subject = str(case.address)
    if not outcome.is_trusted:
        seen = "not tried: the settings did not come whole over verified https"
        why = "whoever stands between could have named servers of his own"
        return [check.failure("login", subject, seen, why, _NAME_A_FILE)]
    servers, findings = check.servers.for_login(
        case, outcome.provider, outcome.findings
    )
    if not servers:
        return findings

    endpoints = [str(check.servers.endpoint_of(case, server)) for server in servers]
    # Whole, however long: what is not seen must not get the password.
    where = f"{clean(subject)} at {', '.join(map(clean, endpoints))}"
    is_sure = yes or case.provider is not None
    if not (is_sure or click.confirm(f"Send the password of {where}?", err=True)):
        return [*findings, check.warning("login", subject, "not tried", "you said no")]
    password = _password(password_fd, where)
    network = check.reach(case, around)
    return findings + check.servers.log_in_at(case, network, servers, password)


_NAME_A_FILE = "name a file with --config that says what the servers are"


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
    service: Service | None, subject: str, address: Address | None
) -> list[Case]:
    if service is None:
        if not subject:
            message = "name an ADDRESS or DOMAIN, or a file with --config"
            raise click.UsageError(message)
        usual = families.chosen(None, "")
        return [Case(project.domain(subject), usual, address=address)]

    names = project.domains(service, subject)
    if len(names) > _MOST_DOMAINS:
        raise click.UsageError(f"the file has {len(names)} domains: name one")
    cases = []
    for name in names:
        served = project.served(service, name)
        if address is not None:
            served = project.served_address(service, address)
        exact = served.match.exact
        cases.append(Case(name, service.speaking, served.provider, exact, address))
    return cases


def _of_file(service: Service) -> list[Finding]:
    file, loaded = service.live.file, service.snapshot.loaded
    skipped = [*loaded.skipped, *loaded.unmatched, *loaded.ended]
    found = quirks.warnings(loaded.providers, service.speaking, loaded.origins)
    found = with_lines(found, file, loaded.providers, loaded.origins)
    problems = [*skipped, *found]
    if not problems:
        return [check.ok("file", str(file), "no problems, no warnings")]
    return [check.from_problem("file", it.source(str(file)), it) for it in problems]


def _password(descriptor: int | None, where: str) -> str:
    if descriptor is None:
        text = f"Password of {where}"
        password: str = click.prompt(text, hide_input=True, err=True)
        return password
    click.echo(f"Logging in as {where}", err=True)
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise click.BadParameter(
            f"no password can be read from {descriptor}", param_hint="--password-fd"
        ) from None


_COLOURS = {OK: "green", WARNING: "yellow", FAILURE: "red"}


def _report(findings: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([it._asdict() for it in findings], indent=2))
        return
    for it in findings:
        status = click.style(f"{it.status:8}", fg=_COLOURS[it.status], bold=True)
        click.echo(f"{status}{it.step:9}{it.subject}: {it.seen}")
        if it.why:
            click.echo(f"{'':17}why: {it.why}")
        if it.cure:
            click.echo(f"{'':17}do:  {it.cure}")
    counts = {name: sum(it.status == name for it in findings) for name in _COLOURS}
    told = f"{counts[OK]} ok, {counts[WARNING]} warnings, {counts[FAILURE]} failures"
    click.echo(told, err=True)
