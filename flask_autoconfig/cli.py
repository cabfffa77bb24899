"""The commands: `flask-autoconfig` by itself, `flask autoconfig` in a Flask project.

Exit codes: 0 done, 1 the thing asked about is wrong, 2 wrong usage. What can be piped
goes to stdout, everything else to stderr. Each command imports what it needs by itself,
since every `flask` command of a project imports this module.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from .errors import ConfigError, Problem

if TYPE_CHECKING:
    from flask import Flask

    from .check import Finding
    from .model import Config, Provider
    from .probe import Network
    from .service import Service


DEFAULT_FILE = "autoconfig.toml"


class _Group(click.Group):
    """Turns our errors into a message and exit code 1: the only place that does."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {error}", err=True)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read along has seen enough
                raise
            click.echo(f"Error: {error.strerror or error}", err=True)
        ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"The TOML file; AUTOCONFIG_FILE or ./{DEFAULT_FILE} by default.",
)
@click.version_option(package_name="flask-autoconfig", prog_name="flask-autoconfig")
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Publish a domain's mail settings, so that mail clients set themselves up."""
    ctx.meta["flask_autoconfig.file"] = config


def main() -> None:
    """Run the command group by itself, as `flask-autoconfig`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not have every letter
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="flask-autoconfig")


def _file() -> Path:
    """The file to work on: as told, else the Flask project's own, else the default."""
    ctx = click.get_current_context()
    told: Path | None = ctx.meta["flask_autoconfig.file"]
    if told is not None:
        return told
    of_project = _file_of_project(ctx)
    if of_project is not None:
        return of_project
    return Path(os.environ.get("AUTOCONFIG_FILE") or DEFAULT_FILE)


def _service() -> Service:
    """What a client would ask: of a Flask project the app's own, with its hooks."""
    from .service import Service

    ctx = click.get_current_context()
    app = None if ctx.meta["flask_autoconfig.file"] else _app_of_project(ctx)
    service = app.extensions.get("autoconfig") if app else None
    if app is None or service is None:
        return Service(_file())
    ctx.with_resource(app.app_context())  # hooks may ask the site's database
    assert isinstance(service, Service)  # noqa: S101 (nobody else has that name)
    return service


def _app_of_project(ctx: click.Context) -> Flask | None:
    """In `flask autoconfig …`, the project's app; raises ConfigError if it is faulty."""
    from flask.cli import NoAppException, ScriptInfo

    info = ctx.find_object(ScriptInfo)
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path:  # one was named, and is not there
            raise
        return None


def _file_of_project(ctx: click.Context) -> Path | None:
    """In `flask autoconfig …`, the file that the project's app was registered with."""
    try:
        app = _app_of_project(ctx)
    except ConfigError as error:  # the app stops at a faulty file; name that file
        if Path(error.file).is_absolute():
            return Path(error.file)
        raise
    service = app.extensions.get("autoconfig") if app else None
    return None if service is None else Path(service.live.file)


def _checked_bind(_ctx: object, _option: object, value: str) -> str:
    """What gunicorn takes: an address with a port, or unix: or fd: and its own words."""
    port = value.rpartition(":")[2]
    if value.startswith(("unix:", "fd:")) or (port.isdigit() and int(port) < 65536):
        return value
    raise click.BadParameter(f"{value!r} is no HOST:PORT", param_hint="--bind")


@cli.command()
@click.option(
    "--bind",
    default="127.0.0.1:8000",
    show_default=True,
    metavar="HOST:PORT",
    callback=_checked_bind,
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 1024))
@click.option(
    "--proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 16),
    help="How many proxies in front may say the host; with 0 none is believed.",
)
def serve(bind: str, workers: int, proxies: int) -> None:
    """Run the service by itself, under gunicorn."""
    from . import standalone

    app = standalone.create_app(_file(), proxies=proxies)
    click.echo(f"Serving {app.config['AUTOCONFIG_FILE']} at {bind}", err=True)

    def load() -> Flask:
        return app

    standalone.serve(load, bind=bind, workers=workers)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def validate(ctx: click.Context, as_json: bool) -> None:
    """Tell every problem of the file, and what single clients cannot take."""
    from . import clients, model

    file = _file()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    try:
        warnings = clients.warnings(model.load(file))
    except ConfigError as error:
        problems = error.problems
    if as_json:
        click.echo(json.dumps(_report(file, problems, warnings), indent=2))
    else:
        for problem in problems:
            click.echo(problem)
        _echo_warnings(warnings)
        counts = f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"
        click.echo(f"{file}: {counts}", err=True)
    ctx.exit(1 if problems else 0)


def _count(things: Sequence[Problem], word: str) -> str:
    number = str(len(things) or "no")
    return f"{number} {word}{'' if len(things) == 1 else 's'}"


def _report(
    file: Path, problems: Sequence[Problem], warnings: Sequence[Problem]
) -> dict[str, Any]:
    from msgspec.structs import asdict

    return {
        "file": str(file),
        "problems": [asdict(problem) for problem in problems],
        "warnings": [asdict(problem) for problem in warnings],
    }


def _echo_warnings(warnings: Sequence[Problem]) -> None:
    for client in dict.fromkeys(warning.client for warning in warnings):
        click.echo(f"{client}:")
        for it in warnings:
            if it.client == client:
                click.echo(f"  warning: {it.place}: {it.message}; {it.cure}")


FORMATS = ("thunderbird", "outlook", "apple", "pacc")


@cli.command()
@click.argument("address", default="")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="thunderbird",
    show_default=True,
)
def show(address: str, format_: str) -> None:
    """Print the document that a client gets for ADDRESS (or a domain, or nobody)."""
    from .service import BAD_ADDRESS, NOT_SERVED, Answer

    service = _service()
    if "@" in address:
        found = service.find(f"emailaddress={quote(address)}", "")
    else:
        domain = _domain(address) if address else ""
        is_served = not domain or service.serves_domain(domain)
        found = service.find("", domain) if is_served else NOT_SERVED
    if found is BAD_ADDRESS:
        raise click.BadParameter(
            f"{address!r} is no e-mail address", param_hint="ADDRESS"
        )
    answer = found
    if not isinstance(found, Answer):
        answer = getattr(found.snapshot, format_)(found)
    assert isinstance(answer, Answer)  # noqa: S101 (both ways lead to one)
    if answer.status != "200 OK":
        whom = f"for {address}" if address else "without an address"
        cure = "name an address, or add its domain to a provider's domains"
        if not isinstance(found, Answer):
            cure = f"{format_} has no place for any server of its provider"
        raise ConfigError(
            [Problem("", f"nothing is served {whom}", cure)], str(service.live.file)
        )
    click.echo(answer.body, nl=False)


@cli.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(path_type=Path, dir_okay=False),
)
def import_(files: tuple[Path, ...]) -> None:
    """Turn config-v1.1.xml files into one TOML, a provider for each file."""
    from . import transfer

    text, lost = transfer.import_files(files)
    for sentence in lost:
        click.echo(f"warning: {sentence}", err=True)
    click.echo(text.encode(), nl=False)  # TOML is UTF-8 wherever it is written


@cli.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def export(directory: Path) -> None:
    """Write every document as a file, in the layout that a plain web server needs."""
    from . import transfer

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    result = transfer.export(_service(), directory)
    for sentence in result.notes:
        click.echo(f"note: {sentence}", err=True)
    click.echo(f"{result.written} files written below {directory}", err=True)


@cli.command()
def schema() -> None:
    """Print the file's JSON Schema, for editors."""
    from . import model

    click.echo(json.dumps(model.schema(), indent=2, ensure_ascii=False))


# --- From nothing to a working domain ------------------------------------------------


class _Place(click.ParamType[tuple[str, int]]):
    """HOST or HOST:PORT; an IPv6 address in brackets."""

    name = "HOST[:PORT]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, port = value, "53"
        if value.startswith("["):
            host, _, rest = value[1:].partition("]")
            port = rest.removeprefix(":") or port
        elif value.count(":") == 1:
            host, _, port = value.partition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return host, int(port)


class _ConnectTo(click.ParamType[tuple[tuple[str, int], tuple[str, int]]]):
    """HOST:PORT:HOST:PORT, as curl's --connect-to."""

    name = "HOST:PORT:HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, int], tuple[str, int]]:
        parts = value.split(":")
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return (parts[0].lower(), int(parts[1])), (parts[2], int(parts[3]))


def _network_options(command: Any) -> Any:
    for option in (
        click.option(
            "--resolver",
            type=_Place(),
            help="The name server to ask, not the system's.",
        ),
        click.option(
            "--timeout",
            default=5.0,
            show_default=True,
            type=click.FloatRange(0.1, 600),
            help="Seconds for each step.",
        ),
        click.option(
            "--connect-to",
            multiple=True,
            type=_ConnectTo(),
            help="Go there for that host and port, as curl does; to try a server "
            "before DNS points to it.",
        ),
    ):
        command = option(command)
    return command


def _network(
    resolver: tuple[str, int] | None, timeout: float, connect_to: Any
) -> Network:
    from .address import is_ip
    from .dns import Resolver
    from .probe import Network

    if resolver and not is_ip(resolver[0]):
        addresses = Resolver(None, timeout).addresses(resolver[0])
        if not addresses:
            raise click.BadParameter(f"{resolver[0]} has no address")
        resolver = (addresses[0], resolver[1])
    return Network(Resolver(resolver, timeout), timeout, dict(connect_to))


def _domain(text: str) -> str:
    """A domain as it was typed, or that of an address, folded."""
    from .address import fold

    try:
        return fold(text.rpartition("@")[2])
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no domain; write one like example.com", param_hint="DOMAIN"
        ) from None


@cli.command()
@click.argument("domain")
@click.option(
    "-o",
    "--output",
    default=DEFAULT_FILE,
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file to write; - for stdout.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@_network_options
def init(domain: str, output: Path, force: bool, **network: Any) -> None:
    """Look for DOMAIN's real servers and write the TOML that fits them."""
    from . import discover, model

    domain = _domain(domain)
    to_stdout = str(output) == "-"
    if not to_stdout and output.exists() and not force:
        raise ConfigError(
            [
                Problem(
                    str(output),
                    "it is there already, and is left alone",
                    "name another file with -o, or overwrite it with --force",
                )
            ],
            "init",
        )

    def tell(line: str) -> None:
        click.echo(line, err=True)

    found = discover.discover(domain, _network(**network), tell)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if found.config is None:
        cure = (
            "write the file by hand (examples/autoconfig.toml shows how), or give the "
            "servers SRV records or customary names such as imap. and smtp."
        )
        raise ConfigError([Problem(domain, "too little was found", cure)], "init")
    text = f"# {domain}: what `flask-autoconfig init` found\n" + model.dumps(
        found.config
    )
    if to_stdout:
        click.echo(text, nl=False)
        return
    _write(output, text, force)
    click.echo(f"{output} is written; next: flask-autoconfig check", err=True)


def _write(output: Path, text: str, force: bool) -> None:
    try:
        if not force:
            with output.open("x", encoding="utf-8") as out:
                out.write(text)
            return
        beside = output.with_name(f".{output.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(output)
    except OSError as error:
        problem = Problem(str(output), f"cannot write it: {error.strerror}", "try -o")
        raise ConfigError([problem], "init") from error


@cli.command("dns")
@click.argument("domain", default="")
@click.option("--target", required=True, help="The host that serves the settings.")
@click.option(
    "--previous",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of before a change: its PACC digests are published beside the new.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def dns_(domain: str, target: str, previous: Path | None, as_json: bool) -> None:
    """Print the DNS records to publish, as a zone file for each domain."""
    import time

    from . import dns, model
    from .directory import Directory

    target = _host_option(target)
    config = model.load(_file())
    directory = Directory(config)
    before = model.load(previous) if previous else None
    output: dict[str, Any] = {}
    zones = []
    for name in _domains_of(config, domain):
        match = directory.by_domain(name)
        assert match is not None  # noqa: S101 (they are the file's own)
        provider = config.provider[match.provider]
        digests = _digests_before(before, name)
        found = list(dns.records(provider, name, target, digests))
        zones.append(dns.zone(name, found, int(time.time())))
        output[name] = {
            "certificate_names": dns.certificate_names(name),
            "records": [record._asdict() for record in found],
        }
    text = json.dumps(output, indent=2) + "\n" if as_json else "\n".join(zones)
    click.echo(text, nl=False)


def _host_option(target: str) -> str:
    from .address import fold, is_ip

    try:
        if is_ip(target):
            raise ValueError("a CNAME leads to a name")
        return fold(target)
    except ValueError:
        raise click.BadParameter(
            f"{target!r} is no host name", param_hint="--target"
        ) from None


def _digests_before(before: Config | None, domain: str) -> list[str]:
    from . import dns
    from .directory import Directory

    match = Directory(before).by_domain(domain) if before else None
    if before is None or match is None:
        return []
    return dns.digest_values(before.provider[match.provider], domain)


def _domains_of(config: Config, domain: str) -> list[str]:
    """The domain asked about, or every exact domain of the file."""
    from .directory import Directory

    if domain:
        name = _domain(domain)
        if Directory(config).by_domain(name) is None:
            cure = "add it to a provider's domains"
            raise ConfigError([Problem(name, "the file does not serve it", cure)])
        return [name]
    names = [name for provider in config.provider for name in provider.exact_domains]
    if not names:
        cure = "name one of the domains that its patterns stand for"
        raise ConfigError([Problem("", "the file has no exact domain", cure)])
    return names


_MOST_DOMAINS = 50  # of a file, checked unasked


@cli.command()
@click.argument("subject", metavar="[ADDRESS|DOMAIN]", default="")
@click.option("--login", is_flag=True, help="Log in too; asks for the password.")
@click.option(
    "--password-fd",
    type=click.IntRange(0),
    help="Read the password from this file descriptor (implies --login).",
)
@click.option(
    "--unpublished",
    is_flag=True,
    help="Only the file and its servers, before anything is published.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_network_options
@click.pass_context
def check(
    ctx: click.Context,
    /,
    subject: str,
    login: bool,
    password_fd: int | None,
    unpublished: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Does it work? DNS, HTTPS, documents and servers, the way a client goes.

    With a file, what is published is held against it; without one, what is published for
    the domain is checked by itself.
    """
    from .address import parse_address
    from .check import Check

    address = None
    if "@" in subject:
        try:
            address = parse_address(subject)
        except ValueError:
            raise click.BadParameter(f"{subject!r} is no e-mail address") from None
    login = login or password_fd is not None
    if login and address is None:
        raise click.UsageError("--login takes an ADDRESS to log in with")
    findings: list[Finding] = []
    config = _config_to_check(ctx, subject, findings)
    names = [_domain(subject)] if subject else _domains_of(_needed(config), "")
    if len(names) > _MOST_DOMAINS:
        raise click.UsageError(f"the file has {len(names)} domains: name one")
    if unpublished and config is None:
        raise click.UsageError("--unpublished takes a file that serves the domain")
    password = _password(password_fd) if login else None
    for name in names:
        check = Check(name, _network(**network), address=address)
        if config is not None:
            check.provider, check.exact = _provider_of(config, name)
        findings += check.servers() if unpublished else check.everything()
        if password is not None:
            findings += check.logins(password)
    findings = list(dict.fromkeys(findings))
    _report_findings(findings, as_json)
    ctx.exit(1 if any(it.status == "failure" for it in findings) else 0)


def _needed(config: Config | None) -> Config:
    if config is None:
        raise click.UsageError("name an ADDRESS or DOMAIN, or a file with --config")
    return config


def _provider_of(config: Config, domain: str) -> tuple[Provider, bool]:
    from .directory import Directory

    match = Directory(config).by_domain(domain)
    assert match is not None  # noqa: S101 (see _config_to_check)
    return config.provider[match.provider], match.exact


def _config_to_check(
    ctx: click.Context, subject: str, findings: list[Finding]
) -> Config | None:
    """The file, if one is named or lies here and serves the domain."""
    from . import clients, model
    from .check import OK, Finding, from_problem
    from .directory import Directory

    told = ctx.meta["flask_autoconfig.file"] or os.environ.get("AUTOCONFIG_FILE")
    file = _file()
    if not told and not file.is_file():
        return None
    config = model.load(file)
    if subject and Directory(config).by_domain(_domain(subject)) is None:
        if told:
            cure = "add it to a provider's domains"
            problem = Problem(subject, "the file does not serve it", cure)
            raise ConfigError([problem], str(file))
        return None
    for it in clients.warnings(config):
        findings.append(from_problem("file", str(file), it))
    if not findings:
        findings.append(Finding("file", str(file), OK, "no problems, no warnings"))
    return config


def _password(descriptor: int | None) -> str:
    if descriptor is None:
        password: str = click.prompt("Password", hide_input=True, err=True)
        return password
    try:
        with os.fdopen(descriptor, encoding="utf-8", closefd=False) as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise click.BadParameter(
            f"no password can be read from {descriptor}", param_hint="--password-fd"
        ) from None


_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}


def _report_findings(findings: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        from msgspec.structs import asdict

        click.echo(json.dumps([asdict(it) for it in findings], indent=2))
        return
    for it in findings:
        status = click.style(f"{it.status:8}", fg=_COLOURS[it.status], bold=True)
        click.echo(f"{status}{it.step:9}{it.subject}: {it.seen}")
        if it.why:
            click.echo(f"{'':17}why: {it.why}")
        if it.cure:
            click.echo(f"{'':17}do:  {it.cure}")
    counts = {name: sum(it.status == name for it in findings) for name in _COLOURS}
    told = (
        f"{counts['ok']} ok, {counts['warning']} warnings, {counts['failure']} failures"
    )
    click.echo(told, err=True)
