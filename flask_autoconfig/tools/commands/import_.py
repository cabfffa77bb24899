"""`import`: converts the files of other servers to one TOML."""

from pathlib import Path

import click

from .. import importers, options, terminal


@options.command("import", files=click.Path())
def command(args: options.Asked) -> None:
    text = importers.import_files(
        (name if "://" in name else Path(name) for name in args.files),
        lambda note: terminal.print_line(f"warning: {note}", err=True),
    )
    terminal.write(text.encode())  # TOML is UTF-8 in every locale
