"""The command `schema`."""

import json

import click

from ...config import writing
from .. import terminal


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the TOML file.

    Editors use it to complete keys and to mark mistakes while you type.
    """
    terminal.echo(json.dumps(writing.schema(), indent=2, ensure_ascii=False))
