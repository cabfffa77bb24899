"""`import`: turns what other servers have into one TOML."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from ...errors import ConfigError
from .. import importers, terminal


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
def command(files: tuple[str, ...]) -> None:
    """Print one TOML file with the settings of other servers' files.

    FILE is a config-v1.1.xml file, an Autodiscover answer, an Apple profile, a database
    or seed of automx2 or a configuration of automx, or the https URL of one. What
    has no place in the TOML is reported as a warning.
    """
    try:
        text, notes = importers.import_files(
            name if "://" in name else Path(name) for name in files
        )
    except ConfigError as error:
        _warn(getattr(error, "__notes__", []))
        raise
    _warn(notes)
    terminal.write(text.encode())  # TOML is UTF-8 in every locale


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        terminal.tell(f"warning: {note}", err=True)
