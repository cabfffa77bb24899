"""`export`: writes every answer that depends on the domain alone as a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .. import families
from ..answers import OK, Request
from ..errors import ConfigError
from ..service import Service
from . import nginx
from .files import opened
from .problems import trouble


class Exported(NamedTuple):
    """The number of files written, and notes for the user."""

    written: int
    notes: list[str]


def export(service: Service, directory: Path, *, for_nginx: bool = False) -> Exported:
    """Write the tree `directory/DOMAIN/PATH`, byte for byte what is served.

    With *for_nginx* each document is written once, with a map for nginx. All files are
    written to a staging folder and then moved, so that a failure leaves the old ones as
    they were. Nothing outside the directory is touched: a link in place of a folder or a
    file is refused. Raises ConfigError.
    """
    notes: list[str] = []
    written: list[Path] = []
    static = _static_answers(service, notes)
    files: Iterable[tuple[Path, bytes]] = (
        (Path(domain + path), answer.body) for domain, path, answer in static
    )
    if for_nginx:
        files = nginx.files(static, directory)
    try:
        with opened(directory) as root, root.staging() as staging:
            for number, (path, content) in enumerate(files):
                staging.write(str(number), content)
                written.append(path)
            root.take(staging, written)
    except OSError as error:
        raise ConfigError([trouble(error, directory)]) from error

    kept = set(written)
    for known_path in families.static_paths(families.FAMILIES):
        for file in sorted(directory.glob("*" + known_path)):
            if file.relative_to(directory) not in kept:
                notes.append(
                    f"{file} is no longer served; remove it if nothing else needs it"
                )
    return Exported(len(written), notes)


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
