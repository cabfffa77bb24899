"""`init`: a domain's real servers, written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...config.writing import dumps
from ...errors import ConfigError, Problem
from ...files import DEFAULT_FILE
from .. import options, project
from ..cleaning import clean
from ..discover import discover


@click.command("init")
@click.argument("domain")
@click.option(
    "-o",
    "--output",
    default=DEFAULT_FILE,
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file to write; - for stdout.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@options.network_options
def command(domain: str, output: Path, force: bool, **network: Any) -> None:
    """Look for DOMAIN's real servers and write the TOML that fits them."""
    domain = project.domain(domain)
    to_stdout = str(output) == "-"
    if not to_stdout and output.exists() and not force:
        message = "it is there already, and is left alone"
        cure = "name another file with -o, or overwrite it with --force"
        raise ConfigError([Problem(str(output), message, cure)], "init")

    def tell(line: str) -> None:
        click.echo(clean(line), err=True)

    discovery = discover(domain, options.network(**network), tell)
    for note in discovery.notes:
        tell(f"note: {note}")
    if discovery.config is None:
        cure = (
            "write the file by hand (examples/autoconfig.toml shows how), or give the "
            "servers SRV records or customary names such as imap. and smtp."
        )
        raise ConfigError([Problem(domain, "too little was found", cure)], "init")
    head = f"# {domain}: what `flask-autoconfig init` found\n"
    text = head + dumps(discovery.config)
    if to_stdout:
        click.echo(text, nl=False)
        return
    _write(output, text, force)
    tell(f"{output} is written; next: flask-autoconfig check")


def _write(output: Path, text: str, force: bool) -> None:
    try:
        if not force:
            with output.open("x", encoding="utf-8") as out:
                out.write(text)
            return
        beside = output.with_name(f".{output.name}.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(output)
    except OSError as error:
        problem = Problem(str(output), f"cannot write it: {error.strerror}", "try -o")
        raise ConfigError([problem], "init") from error
