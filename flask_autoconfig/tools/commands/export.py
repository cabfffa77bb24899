"""`export`: writes every answer that depends on the domain alone as a file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from ... import families
from ...answers import OK, Request
from ...service import Service
from .. import nginx, project, terminal
from ..files import write_all


@click.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--nginx",
    is_flag=True,
    help="Write each document only once, and a map that leads nginx to it: for thousands "
    "of domains.",
)
def command(directory: Path, nginx: bool) -> None:
    """Write every document that needs no program into the folder DIR.

    A plain web server can serve them: there is a folder for each domain, with a file for
    each path that mail clients ask for.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up on the way
    for sentence in export(project.service(), directory, for_nginx=nginx):
        terminal.tell(f"note: {sentence}", err=True)


def export(service: Service, directory: Path, *, for_nginx: bool = False) -> list[str]:
    """Write the tree `directory/DOMAIN/PATH`, byte for byte what is served.

    With *for_nginx* each document is written once, with a map for nginx. Return notes.
    Raises ConfigError.
    """
    notes: list[str] = []
    static = _static_answers(service, notes)
    files: Iterable[tuple[Path, bytes]] = (
        (Path(domain + path), answer.body) for domain, path, answer in static
    )
    if for_nginx:
        files = nginx.files(static, directory)
    written = write_all(directory, files)

    kept = set(written)
    for known_path in families.static_paths(families.FAMILIES):
        for file in sorted(directory.glob("*" + known_path)):
            if file.relative_to(directory) not in kept:
                notes.append(
                    f"{file} is no longer served; remove it if nothing else needs it"
                )
    return notes


def _static_answers(service: Service, notes: list[str]) -> Iterator[nginx.Static]:
    """Yield every answer that depends on the domain alone."""
    for provider in service.snapshot.loaded.providers:
        for domain in dict.fromkeys(provider.all_domains):
            if domain.startswith("*"):
                notes.append(f"{domain} has no static files: only a service can answer")
                continue
            for path in families.static_paths(service.families):
                answer = service.answer(Request(path, host=domain))
                if answer is not None and answer.status == OK:
                    yield domain, path, answer
