"""`init`: a domain's real servers, written down."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ...cleaning import clean
from ...config.writing import dumps
from ...errors import ConfigError, Problem
from ...files import DEFAULT_FILE
from .. import ending, options, project, terminal
from ..discover import discover, seconds
from ..files import check_replaceable, write_file
from ..problems import trouble

_MARGIN = 10.0  # seconds that computing may take, beside waiting for servers


@click.command("init")
@click.argument("domain")
@click.option(
    "-o",
    "--output",
    default=DEFAULT_FILE,
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file to write; - prints it.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@options.network_options
def command(domain: str, output: Path, force: bool, **network: Any) -> None:
    """Find the mail servers of DOMAIN and write a TOML file with them.

    They are looked for in DNS, in published settings and under common host names.
    """
    domain = project.domain(domain)
    to_stdout = str(output) == "-"
    if not to_stdout and os.path.lexists(output) and not force:
        message = "it is there already, and is left alone"
        cure = "name another file with -o, or overwrite it with --force"
        raise ConfigError([Problem(str(output), message, cure)])
    if not to_stdout:
        _check_writable(output)

    def tell(line: str) -> None:
        terminal.tell(line, err=True)

    around = options.network(**network)
    with ending.at_once(), ending.within(2 * seconds(around) + _MARGIN, domain):
        try:
            discovery = discover(domain, around, tell)
        except (OSError, ConfigError):
            raise
        except Exception as error:  # an answer that nobody has thought of
            reason = f"could not be looked at: {type(error).__name__}: {error}"
            cure = "this is a fault of `init`: report it as an issue"
            raise ConfigError([Problem(domain, clean(reason, 300), cure)]) from error
    for note in discovery.notes:
        tell(f"note: {note}")
    if discovery.config is None:
        problem = Problem(domain, "too little was found", discovery.cure)
        raise ConfigError([problem])
    for warning in discovery.warnings:
        terminal.tell(f"warning: {warning}", err=True, fg="yellow", bold=True)
    head = f"# {domain}: what `flask-autoconfig init` found\n"
    head += "".join(f"# Warning: {clean(it)}\n" for it in discovery.warnings)
    text = head + _explained(dumps(discovery.config), discovery.reasons)
    if to_stdout:
        terminal.write(text.encode())
        return
    _write(output, text, force)
    # To be copied: a command that is wrapped here is none.
    terminal.echo(f"{output} is written; next: {_next(output)}", err=True)


def _explained(text: str, reasons: Mapping[str, list[str]]) -> str:
    """The TOML with the reason of each server above it, as a comment."""
    left = {f"[[provider.{key}]]": list(it) for key, it in reasons.items()}
    lines = []
    for line in text.splitlines():
        if left.get(line):
            lines.append(f"# {clean(left[line].pop(0))}")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _next(output: Path) -> str:
    """The command that fits: this file's servers, before anything is published."""
    program = click.get_current_context().find_root().info_name or "flask-autoconfig"
    if program == "flask":
        program = "flask autoconfig"
    file = (
        "" if str(output) == DEFAULT_FILE else f" --config {shlex.quote(str(output))}"
    )
    parameters = click.get_current_context().params
    options = [f"{program}{file} check --unpublished"]
    if parameters.get("resolver"):
        host, port = parameters["resolver"]
        options.append(f"--resolver {f'[{host}]' if ':' in host else host}:{port}")
    for (host, port), (real, real_port) in parameters.get("connect_to") or ():
        options.append(f"--connect-to {host}:{port}:{real}:{real_port}")
    return " ".join(options)


def _check_writable(output: Path) -> None:
    """Raise ConfigError where the file cannot be written, before all the work."""
    folder = output.absolute().parent
    number = 0
    if not folder.is_dir():
        number = errno.ENOTDIR if folder.exists() else errno.ENOENT
    elif not os.access(folder, os.W_OK | os.X_OK):
        number = errno.EACCES
    if number:
        message = f"cannot write it: {folder}: {os.strerror(number)}"
        cure = "name a file in another folder with -o, or print it with -o -"
        raise ConfigError([Problem(str(output), message, cure)])
    try:
        check_replaceable(output)
    except OSError as error:
        raise ConfigError([trouble(error, output)]) from error


def _write(output: Path, text: str, force: bool) -> None:
    try:
        write_file(output, text.encode(), replace=force)
    except OSError as error:
        raise ConfigError([trouble(error, output)]) from error
