"""`import`: turns what other servers have into one TOML."""

from pathlib import Path

import click

from .. import importers, terminal


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
def command(files: tuple[str, ...]) -> None:
    """Print one TOML file with the settings of other servers' files.

    FILE is a config-v1.1.xml file, an Autodiscover answer, an Apple profile, a database
    or seed of automx2 or a configuration of automx, or the https URL of one. What
    has no place in the TOML is reported as a warning.
    """
    text = importers.import_files(
        (name if "://" in name else Path(name) for name in files),
        lambda note: terminal.tell(f"warning: {note}", err=True),
    )
    terminal.write(text.encode())  # TOML is UTF-8 in every locale
