"""`init`: finds a domain's servers and writes the file that fits them."""

import os
import shlex
from collections.abc import Mapping
from functools import partial

import click

from ...cleaning import clean
from ...config.writing import dumps
from ...errors import ConfigError
from ...files import DEFAULT_FILE
from .. import ending, options, project, terminal
from ..discover import discover, seconds
from ..files import check_replaceable, errors_reported, write_file

_MARGIN = 10.0  # seconds for computing, in addition to waiting for servers


@options.command("init", "resolver", "network")
def command(args: options.Asked) -> None:
    domain, output = project.domain(args.domain), args.output
    to_stdout = str(output) == "-"
    if not to_stdout:
        if os.path.lexists(output) and not args.force:
            message = "the file exists already, and is left alone"
            cure = "name another file with -o, or overwrite it with --force"
            raise ConfigError.of(str(output), message, cure, "")
        with errors_reported(output):
            check_replaceable(output)
    network = options.network(args)
    with ending.at_once(), ending.within(2 * seconds(network) + _MARGIN):
        discovery = discover(domain, network, partial(terminal.print_line, err=True))
    for note in discovery.notes:
        terminal.print_line(f"note: {note}", err=True)
    if discovery.config is None:
        raise ConfigError.of(domain, "too little was found", discovery.cure, "")
    for warning in discovery.warnings:
        terminal.print_line(f"warning: {warning}", err=True, fg="yellow", bold=True)

    head = f"# {domain}: what `flask-autoconfig init` found\n"
    head += "".join(f"# Warning: {clean(warning)}\n" for warning in discovery.warnings)
    content = (head + _explained(dumps(discovery.config), discovery.reasons)).encode()
    if to_stdout:
        terminal.write(content)
        return
    with errors_reported(output):
        write_file(output, content, replace=args.force)
    is_plugin = click.get_current_context().find_root().info_name == "flask"
    program = "flask autoconfig" if is_plugin else "flask-autoconfig"
    if str(output) != DEFAULT_FILE:
        program += f" --config {shlex.quote(str(output))}"
    # Not wrapped, since a command that is wrapped cannot be copied.
    terminal.echo(f"{output} is written; next: {program} check --unpublished", err=True)


def _explained(text: str, reasons: Mapping[str, list[str]]) -> str:
    """Add the reasons for the servers of each key as comments above their tables."""
    remaining = {f"[[provider.{key}]]": list(reasons[key]) for key in reasons}
    lines = []
    for line in text.splitlines():
        if remaining.get(line):
            lines.append(f"# {clean(remaining[line].pop(0))}")
        lines.append(line)
    return "\n".join(lines) + "\n"
