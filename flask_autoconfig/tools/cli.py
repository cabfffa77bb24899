"""The command group: `flask-autoconfig` by itself, `flask autoconfig` in a project.

Exit codes: 0 done, 1 the thing asked about is wrong, 2 wrong usage. What can be piped
goes to stdout, everything else to stderr. Every `flask` command of every project loads
this module, so that it imports next to nothing: a command is imported when it is run.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError
from ..files import DEFAULT_FILE

# Each command's module in `commands`, which has a function `command`.
_MODULES = {
    "check": "check",
    "dns": "dns",
    "export": "export",
    "import": "import_",
    "init": "init",
    "schema": "schema",
    "serve": "serve",
    "show": "show",
    "validate": "validate",
}


class _Group(click.Group):
    """Imports a command when it is run, and turns our errors into exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f".commands.{_MODULES[cmd_name]}", __package__)
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _tell(error.shown())
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read along has seen enough
                raise
            _tell(error.strerror or str(error))
        _give_up_unwritten()
        ctx.exit(1)


def _tell(message: str) -> None:
    from .cleaning import clean_lines

    with suppress(OSError):
        click.echo(clean_lines(f"Error: {message}"), err=True)


def _give_up_unwritten() -> None:
    """What could not be written must not be tried again, and fail, as Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before we began
                stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


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
    try:
        cli(prog_name="flask-autoconfig")
    except OSError as error:  # of what click itself writes, as the help
        _tell(error.strerror or str(error))
        _give_up_unwritten()
        sys.exit(1)
