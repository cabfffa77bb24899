"""The command group: `flask-autoconfig` by itself, `flask autoconfig` in a project.

Exit codes: 0 done, 1 the subject of the command is faulty, 2 wrong usage. Output that may
be piped goes to stdout, everything else to stderr. Every `flask` command of every project
loads this module, so it imports next to nothing: a command is imported when it runs.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, Problem
from ..files import DEFAULT_FILE

# A line for the list and examples of each, in the order of use: from nothing to a domain
# that works, then the helpers.
_COMMANDS = {
    "init": ("find a domain's mail servers, write the file", ["init example.com"]),
    "validate": (
        "report errors and warnings of the file",
        ["validate", "--config /etc/autoconfig.toml validate --json"],
    ),
    "serve": (
        "answer mail clients, under gunicorn",
        ["serve", "serve --bind 0.0.0.0:8000 --workers 4 --proxies 1"],
    ),
    "dns": ("print the DNS records to publish", ["dns --target www.example.com"]),
    "check": (
        "test a domain as each mail client would",
        ["check example.com", "check fred@example.com --login"],
    ),
    "import": (
        "convert another server's files to TOML",
        ["import old/*.xml > autoconfig.toml", "import /var/lib/automx2/db.sqlite"],
    ),
    "export": ("write the documents as static files", ["export /srv/autoconfig"]),
    "show": (
        "print the document that a client gets",
        ["show fred@example.com", "show fred@example.com --format outlook"],
    ),
    "schema": (
        "print the file's JSON Schema, for editors",
        ["schema > autoconfig.schema.json"],
    ),
}


class _Group(click.Group):
    """Imports a command when it runs, and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = "import_" if cmd_name == "import" else cmd_name
        command: click.Command = import_module(f".commands.{name}", __package__).command
        _, examples = _COMMANDS[cmd_name]
        heading = "Example:" if len(examples) == 1 else "Examples:"
        lines = [f"  {ctx.command_path} {example}" for example in examples]
        command.epilog = "\n".join(["\b", heading, *lines])
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands from the table, which imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[0]) for name, row in _COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that *args* names; suggest one for a misspelt name."""
        name = args[0]
        close = get_close_matches(name, _COMMANDS, n=1)
        if name not in _COMMANDS and not name.startswith("-") and close:
            ctx.fail(f"No such command {name!r}; did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **extra: Any
    ) -> click.Context:
        with _errors_reported():  # --help prints here already
            try:
                return super().make_context(info_name, args, *more, **extra)
            except click.NoSuchOption as error:
                command = next((word for word in args if word in _COMMANDS), "")
                raise _misplaced(error, self, command) from None

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_reported():
            try:
                return super().invoke(ctx)
            except click.NoSuchOption as error:
                raise _misplaced(error, self, ctx.invoked_subcommand or "") from None


def _misplaced(
    error: click.NoSuchOption, group: click.Group, name: str
) -> click.UsageError:
    """Return the error for an option on the wrong side of the command, else *error*."""
    ctx, option = error.ctx, error.option_name
    command = group.get_command(ctx, name) if ctx else None
    if ctx is None or command is None:
        return error
    path = (ctx if ctx.command is group else ctx.parent or ctx).command_path
    if _has_option(group, option):
        value = "FILE " if option == "--config" else ""
        message = f"{option} goes before the command: {path} {option} {value}{name}"
    elif _has_option(command, option):
        message = f"{option} goes after the command: {path} {name} {option}"
    else:
        return error
    return click.UsageError(message, ctx)


def _has_option(command: click.Command, name: str) -> bool:
    return any(name in parameter.opts for parameter in command.params)


# --- Errors ------------------------------------------------------------------------------


@contextmanager
def _errors_reported() -> Iterator[None]:
    """Report an error that the user can act on, and end with its exit code."""
    try:
        yield
    except ConfigError as error:
        _report(error)
        _discard_unwritten()
        raise click.exceptions.Exit(1) from None
    except (OSError, KeyboardInterrupt, click.Abort) as error:
        raise click.exceptions.Exit(_exit_code(error)) from None
    except click.ClickException as error:
        raise _cleaned(error) from None


def _cleaned(error: click.ClickException) -> click.ClickException:
    """Return an error whose message is clean: click quotes arguments and file names."""
    from ..cleaning import clean_lines

    message = error.format_message()
    cleaned = clean_lines(message)
    if cleaned == message:
        return error
    if isinstance(error, click.UsageError):
        return click.UsageError(cleaned, error.ctx)
    return click.ClickException(cleaned)


def _exit_code(error: BaseException) -> int:
    """Report *error* unless a person or a closed pipe caused it; return the exit code."""
    from . import ending

    code = ending.code_of(error)
    if isinstance(error, OSError):
        if code is None:
            _report_os_error(error)
        _discard_unwritten()
    elif code is None:
        raise error
    return code or 1


# Errors of writing to stdout, which carry no file name.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _report_os_error(error: OSError) -> None:
    message, cure = error.strerror or str(error), ""
    if error.filename:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    elif error.errno in _NO_SPACE:
        message = f"cannot write the output: {error.strerror}"
        cure = "make room there, or send it to another file"
    _report(ConfigError([Problem("", message, cure)]))


def _report(error: ConfigError) -> None:
    from . import problems, terminal

    with suppress(OSError):
        for line in problems.of_error(error, terminal.width(err=True)):
            terminal.echo(line, styled=True, err=True)


def _report_unexpected(*error: Any) -> None:
    """Print the traceback of a fault of this package, cleaned of what it quotes."""
    import traceback

    from . import terminal

    terminal.echo("".join(traceback.format_exception(*error)), nl=False, err=True)


def _discard_unwritten() -> None:
    """Drop unwritten output, which Python would try to write again, and fail, at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before this process started
                stream.flush()
        except OSError:
            os.dup2(devnull, stream.fileno())
    os.close(devnull)


# --- The group ---------------------------------------------------------------------------


def _named(
    _ctx: click.Context, _option: click.Parameter, name: str | None
) -> Path | None:
    if name == "":
        raise click.BadParameter("the name of the file is empty")
    return None if name is None else Path(name)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    callback=_named,
    help="The TOML file to work on. Default: the file that the environment variable "
    f"AUTOCONFIG_FILE names, else ./{DEFAULT_FILE}.",
)
@click.option(
    "--color/--no-color",
    "color",
    default=None,
    help="Colour the output, or do not. Default: colours on a terminal, unless the "
    "environment variable NO_COLOR is set.",
)
@click.version_option(package_name="flask-autoconfig", prog_name="flask-autoconfig")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, color: bool | None) -> None:
    """Publish a domain's mail settings, so that mail clients set themselves up."""
    if color is None and os.environ.get("NO_COLOR"):
        color = False
    if color is not None:
        ctx.color = color
    ctx.meta["flask_autoconfig.file"] = config


def main() -> None:
    """Run the command group as `flask-autoconfig`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack letters
            stream.reconfigure(errors="backslashreplace")
    sys.excepthook = _report_unexpected
    try:
        cli(prog_name="flask-autoconfig")
    except OSError as error:  # while click itself wrote, for example the help
        _report_os_error(error)
        _discard_unwritten()
        sys.exit(1)
