"""The command `schema`."""

import json

import click

from ...config import writing
from .. import terminal


@click.command("schema")
def command() -> None:
    terminal.echo(json.dumps(writing.schema(), indent=2, ensure_ascii=False))
