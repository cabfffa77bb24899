"""`import`: from what other servers have to one TOML."""

from __future__ import annotations

from pathlib import Path

import click

from .. import terminal, transfer


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(path_type=Path),
)
def command(files: tuple[Path, ...]) -> None:
    """Turn config-v1.1.xml files, or what automx2 and automx have, into one TOML."""
    text, lost = transfer.import_files(files)
    for sentence in lost:
        terminal.tell(f"warning: {sentence}", err=True)
    terminal.write(text.encode())  # TOML is UTF-8 wherever it is written
