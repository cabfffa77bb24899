"""The command group: `flask-autoconfig` by itself, `flask autoconfig` in a project.

Exit codes: 0 done, 1 the subject of the command is faulty, 2 wrong usage. Output that may
be piped goes to stdout, everything else to stderr. Every `flask` command of every project
imports this module, so it imports little itself: a command is imported when it runs.
"""

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from ..errors import ConfigError, Problem
from ..files import DEFAULT_FILE, table_beside

_commands = partial(table_beside, __file__, "commands.toml")


class _Group(click.Group):
    """Imports a command when it runs, and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _commands():
            if close := get_close_matches(cmd_name, _commands(), n=1):
                ctx.fail(f"No such command {cmd_name!r}; did you mean {close[0]!r}?")
            return None
        name = "import_" if cmd_name == "import" else cmd_name
        command: click.Command = import_module(f".commands.{name}", __package__).command
        texts = _commands()[cmd_name]
        command.help, examples = texts["help"], texts["examples"]
        heading = "Example:" if len(examples) == 1 else "Examples:"
        lines = [f"  {ctx.command_path} {example}" for example in examples]
        command.epilog = "\n".join(["\b", heading, *lines])
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(key, row["does"]) for key, row in _commands().items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _errors_reported():  # --help prints here already
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_reported():
            try:
                return super().invoke(ctx)
            except click.NoSuchOption as error:
                option, name = error.option_name, ctx.invoked_subcommand
                if not any(option in parameter.opts for parameter in self.params):
                    raise
                value = "FILE " if option == "--config" else ""
                example = f"{ctx.command_path} {option} {value}{name}"
                ctx.fail(f"{option} goes before the command: {example}")


@contextmanager
def _errors_reported() -> Iterator[None]:
    """Report an error that the user can act on, and end with its exit code."""
    try:
        yield
    except ConfigError as error:
        _report(error)
        raise click.exceptions.Exit(1) from None
    except (KeyboardInterrupt, click.Abort) as error:
        # click raises Abort for Ctrl-C at a question, and for the end of the input.
        if not isinstance(error.__context__ or error, KeyboardInterrupt):
            raise
        raise click.exceptions.Exit(128 + signal.SIGINT) from None
    except OSError as error:
        _end(error)
    except click.ClickException as error:
        from ..cleaning import clean_lines

        # It quotes arguments and files. In click's newest release it is declared final.
        error.message = clean_lines(error.message)  # type: ignore[misc]
        raise


def _end(error: OSError) -> NoReturn:
    """Report an error of the system, and exit; a closed pipe is not reported."""
    message = error.strerror or str(error)
    if error.filename:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    if error.errno != errno.EPIPE:
        _report(ConfigError([Problem("", message, "")]))
    if error.filename:
        raise click.exceptions.Exit(1) from None
    # At a normal exit, Python would flush stdout once more, and fail.
    os._exit(128 + signal.SIGPIPE if error.errno == errno.EPIPE else 1)


def _report(error: ConfigError) -> None:
    from . import problems, terminal

    with suppress(OSError):
        terminal.show(problems.error_lines(error, terminal.width(err=True)), err=True)


def _report_unexpected(*error: Any) -> None:
    """Print the traceback of a bug, without control characters from data."""
    import traceback

    from . import terminal

    terminal.echo("".join(traceback.format_exception(*error)), nl=False, err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
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
        if isinstance(stream, io.TextIOWrapper):  # its encoding may lack characters
            stream.reconfigure(errors="backslashreplace")
    sys.excepthook = _report_unexpected
    cli(prog_name="flask-autoconfig")
