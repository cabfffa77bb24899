"""`schema`: what an editor checks the file by."""

from __future__ import annotations

import json

import click

from ...config import writing
from .. import terminal


@click.command("schema")
def command() -> None:
    """Print the file's JSON Schema, for editors."""
    terminal.echo(json.dumps(writing.schema(), indent=2, ensure_ascii=False))
