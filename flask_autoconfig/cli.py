"""The commands: `flask-autoconfig` by itself, `flask autoconfig` in a Flask project.

Exit codes: 0 done, 1 the thing asked about is wrong, 2 wrong usage. What can be piped
goes to stdout, everything else to stderr. Each command imports what it needs by itself,
since every `flask` command of a project imports this module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from .errors import ConfigError, Problem

if TYPE_CHECKING:
    from flask import Flask


DEFAULT_FILE = "autoconfig.toml"


class _Group(click.Group):
    """Turns our errors into a message and exit code 1: the only place that does."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(f"Error: {error}", err=True)
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


def _file_of_project(ctx: click.Context) -> Path | None:
    """In `flask autoconfig …`, the file that the project's app was registered with."""
    from flask.cli import NoAppException, ScriptInfo

    info = ctx.find_object(ScriptInfo)
    if info is None:
        return None
    try:
        app = info.load_app()
    except NoAppException:
        return None
    except ConfigError as error:  # the app stops at a faulty file; name that file
        if error.file.endswith(".toml"):
            return Path(error.file)
        raise
    service = app.extensions.get("autoconfig")
    return None if service is None else Path(service.live.file)


@cli.command()
@click.option(
    "--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT"
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
    from .service import BAD_ADDRESS, Answer, Service

    service = Service(_file())
    query = f"emailaddress={quote(address)}" if "@" in address else ""
    found = service.find(query, "" if "@" in address else address)
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
    click.echo(text, nl=False)


@cli.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def export(directory: Path) -> None:
    """Write every document as a file, in the layout that a plain web server needs."""
    from . import transfer

    result = transfer.export(_file(), directory)
    for sentence in result.notes:
        click.echo(f"note: {sentence}", err=True)
    click.echo(f"{result.written} files written below {directory}", err=True)


@cli.command()
def schema() -> None:
    """Print the file's JSON Schema, for editors."""
    from . import model

    click.echo(json.dumps(model.schema(), indent=2, ensure_ascii=False))
