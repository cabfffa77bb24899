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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..errors import ConfigError, Problem
from ..files import DEFAULT_FILE


class _Entry(NamedTuple):
    """A command as the list shows it, which needs no import."""

    module: str  # in `commands`; it has a function `command`
    summary: str
    examples: tuple[str, ...]


# In the order of the way: from nothing to a domain that works, then what helps with it.
_COMMANDS = {
    "init": _Entry(
        "init",
        "find a domain's servers, write the file",
        ("init example.com",),
    ),
    "validate": _Entry(
        "validate",
        "tell what is wrong with the file",
        ("validate", "--config /etc/autoconfig.toml validate --json"),
    ),
    "serve": _Entry(
        "serve",
        "answer mail clients, under gunicorn",
        ("serve", "serve --bind 0.0.0.0:8000 --workers 4 --proxies 1"),
    ),
    "dns": _Entry(
        "dns",
        "print the DNS records to publish",
        ("dns --target www.example.com",),
    ),
    "check": _Entry(
        "check",
        "see whether it works, as each client goes",
        ("check example.com", "check fred@example.com --login"),
    ),
    "import": _Entry(
        "import_",
        "make the file from what you have",
        ("import old/*.xml > autoconfig.toml", "import /var/lib/automx2/db.sqlite"),
    ),
    "export": _Entry(
        "export",
        "write the documents as files",
        ("export /srv/autoconfig",),
    ),
    "show": _Entry(
        "show",
        "print the document that a client gets",
        ("show fred@example.com", "show fred@example.com --format outlook"),
    ),
    "schema": _Entry(
        "schema",
        "print the file's JSON Schema, for editors",
        ("schema > autoconfig.schema.json",),
    ),
}


class _Group(click.Group):
    """Imports a command when it is run, and turns our errors into exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f".commands.{entry.module}", __package__)
        command: click.Command = module.command
        head = "Example:" if len(entry.examples) == 1 else "Examples:"
        lines = [f"  {ctx.command_path} {example}" for example in entry.examples]
        command.epilog = "\n".join(["\b", head, *lines])
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """All of them, none cut; no command is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, it.summary) for name, it in _COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command of that name; of one that is misspelt, what was probably meant."""
        name = args[0] if args else ""
        close = get_close_matches(name, _COMMANDS, n=1)
        if name and name not in _COMMANDS and not name.startswith("-") and close:
            ctx.fail(f"No such command {name!r}; did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the arguments; this already prints the help where that is wanted."""
        with _cleaned():
            return self._made(*args, **options)

    def _made(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except click.NoSuchOption as error:
            raise _better(error, self, args[1] if len(args) > 1 else []) from None
        except (OSError, KeyboardInterrupt, click.Abort) as error:
            raise click.exceptions.Exit(_end_of(error)) from None

    def invoke(self, ctx: click.Context) -> Any:
        with _cleaned():
            return self._invoked(ctx)

    def _invoked(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.option_name in {opt for it in self.params for opt in it.opts}:
                name = error.option_name
                value = "FILE " if name == "--config" else ""
                example = f"{ctx.command_path} {name} {value}{ctx.invoked_subcommand}"
                message = f"{name} goes before the command: {example}"
                raise click.UsageError(message, error.ctx) from None
            raise
        except ConfigError as error:
            _tell_problems(error)
            _give_up_unwritten()
            ctx.exit(1)
        except (OSError, KeyboardInterrupt, click.Abort) as error:
            ctx.exit(_end_of(error))


@contextmanager
def _cleaned() -> Iterator[None]:
    """Clean what click prints of an error, which quotes arguments and names of files."""
    try:
        yield
    except click.ClickException as error:
        from ..cleaning import clean_lines

        message = error.format_message()
        cleaned = clean_lines(message)
        if cleaned == message:
            raise
        if isinstance(error, click.UsageError):
            raise click.UsageError(cleaned, error.ctx) from None
        raise click.ClickException(cleaned) from None


def _better(
    error: click.NoSuchOption, group: click.Group, words: list[str]
) -> click.UsageError:
    """Of an option that is a command's, and stands before it: where it goes."""
    ctx = error.ctx
    name = next((it for it in words if it in _COMMANDS), None)
    command = group.get_command(ctx, name) if ctx and name else None
    options = {opt for it in command.params for opt in it.opts} if command else set()
    if ctx is None or error.option_name not in options:
        return error
    example = f"{ctx.command_path} {name} {error.option_name}"
    return click.UsageError(
        f"{error.option_name} goes behind the command: {example}", ctx
    )


def _end_of(error: BaseException) -> int:
    """Say what an error says, if anything is to be said; the exit code."""
    from . import ending

    code = ending.code_of(error)
    if isinstance(error, OSError):
        if code is None:
            _tell(*_words_of(error))
        _give_up_unwritten()
    elif code is None:
        raise error
    return code or 1


def _tell_problems(error: ConfigError) -> None:
    from . import problems, terminal

    with suppress(OSError):
        for line in problems.of_error(error, terminal.width(err=True)):
            terminal.echo(line, styled=True, err=True)


def _words_of(error: OSError) -> tuple[str, str]:
    """What is wrong, with the file that it is about, and the cure where it is known."""
    if error.filename:
        return f"{os.fsdecode(error.filename)}: {error.strerror}", ""
    if error.errno in _OF_A_STREAM:
        cure = "make room there, or send it to another file"
        return f"cannot write the output: {error.strerror}", cure
    return error.strerror or str(error), ""


# What writing to stdout ends with, which has no name that could be told.
_OF_A_STREAM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _tell(message: str, cure: str = "") -> None:
    _tell_problems(ConfigError([Problem("", message, cure)]))


def _tell_unexpected(*error: Any) -> None:
    """Print the traceback of an error in our own code, which may quote strangers."""
    import traceback

    from . import terminal

    terminal.echo("".join(traceback.format_exception(*error)), nl=False, err=True)


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


class _File(click.Path):
    """A file's path, which an empty text is not."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if value == "":
            self.fail("an empty text names no file", param, ctx)
        return super().convert(value, param, ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    metavar="FILE",
    type=_File(path_type=Path, dir_okay=False),
    help=f"The TOML file; AUTOCONFIG_FILE or ./{DEFAULT_FILE} by default.",
)
@click.option(
    "--color/--no-color",
    "color",
    default=None,
    help="Colours; by default at a terminal where NO_COLOR is not set.",
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
    """Run the command group by itself, as `flask-autoconfig`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not have every letter
            stream.reconfigure(errors="backslashreplace")
    sys.excepthook = _tell_unexpected
    try:
        cli(prog_name="flask-autoconfig")
    except OSError as error:  # of what click itself writes, as the help
        _tell(*_words_of(error))
        _give_up_unwritten()
        sys.exit(1)
