"""`export`: writes every static document as a file."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from .. import project, terminal
from ..export import export


@click.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--nginx",
    is_flag=True,
    help="Write each document only once, and a map that leads nginx to it: for thousands "
    "of domains.",
)
def command(directory: Path, nginx: bool) -> None:
    """Write every document that needs no program into the folder DIR.

    A plain web server can serve them: there is a folder for each domain, with a file for
    each path that mail clients ask for.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    result = export(project.service(), directory, for_nginx=nginx)
    for sentence in result.notes:
        terminal.tell(f"note: {sentence}", err=True)
    files = "1 file" if result.written == 1 else f"{result.written} files"
    terminal.echo(f"{files} written below {directory}", err=True)
