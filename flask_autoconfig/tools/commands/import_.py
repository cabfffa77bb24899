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
    """Print one TOML file with the settings of other servers' files.

    FILE is a config-v1.1.xml file, a database of automx2 or a configuration of automx.
    What has no place in the TOML is reported as a warning.
    """
    text, lost = transfer.import_files(files)
    for sentence in lost:
        terminal.tell(f"warning: {sentence}", err=True)
    terminal.write(text.encode())  # TOML is UTF-8 wherever it is written
