"""`import`: turns what other servers have into one TOML."""

from pathlib import Path

import click

from .. import importers, terminal


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
def command(files: tuple[str, ...]) -> None:
    text = importers.import_files(
        (name if "://" in name else Path(name) for name in files),
        lambda note: terminal.tell(f"warning: {note}", err=True),
    )
    terminal.write(text.encode())  # TOML is UTF-8 in every locale
