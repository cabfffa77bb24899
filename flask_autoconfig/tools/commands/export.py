"""`export`: writes every answer that depends only on the domain as a file."""

import hashlib
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from ... import families
from ...answers import OK, Answer, Request
from ...service import Service
from .. import options, project, terminal
from ..files import write_all
from ..templates import template

_DOCUMENTS = "documents"  # the folder of the documents, below the exported one
_MARK = b"%AUTOCONFIG-DOMAIN%"  # nginx replaces it by the domain of the request
_Static = tuple[str, str, Answer]  # a domain, a path, and its answer


@options.command("export")
def command(args: options.Asked) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cleans up first
    for note in export(project.service(), args.directory, for_nginx=args.nginx):
        terminal.print_line(f"note: {note}", err=True)


def export(service: Service, directory: Path, *, for_nginx: bool = False) -> list[str]:
    """Write the tree `directory/DOMAIN/PATH`, byte for byte what is served.

    With *for_nginx* each document is written once, with a map for nginx. Return notes.
    Raises ConfigError.
    """
    notes: list[str] = []
    answers = _static_answers(service, notes)
    tree = ((Path(domain + path), answer.body) for domain, path, answer in answers)
    files = _files_for_nginx(answers, directory) if for_nginx else tree
    written = {directory / path for path in write_all(directory, files)}
    paths = families.static_paths(families.FAMILIES)
    existing = {file for path in paths for file in directory.glob("*" + path)}
    advice = "is no longer served; remove it if nothing else needs it"
    return [*notes, *(f"{file} {advice}" for file in sorted(existing - written))]


def _static_answers(service: Service, notes: list[str]) -> Iterator[_Static]:
    for provider in service.snapshot.loaded.providers:
        for domain in dict.fromkeys(provider.all_domains):
            if domain.startswith("*"):
                notes.append(f"{domain} has no static files: only a service can answer")
                continue
            for path in families.static_paths(service.families):
                answer = service.answer(Request(path, host=domain))
                if answer is not None and answer.status == OK:
                    yield domain, path, answer


def _files_for_nginx(
    answers: Iterable[_Static], directory: Path
) -> Iterator[tuple[Path, bytes]]:
    """Yield the path and the content of each file below the directory.

    Most documents of a tree differ at most by the domain in them. So each file is named
    by the digest of its content, nginx inserts the domain, and each domain is one line of
    a `map $host`. The documents come before the files that name them, and so are moved
    first.
    """
    written: set[str] = set()
    # By path: the documents' names by domain, the headers, and the previous document.
    names: dict[str, dict[str, str]] = {}
    headers: dict[str, dict[str, str]] = {}
    previous: dict[str, bytes] = {}
    for domain, path, answer in answers:
        text = answer.body
        # A document that several domains share lists them all, and stays as it is.
        if text != previous.get(path):
            text = text.replace(domain.encode(), _MARK)
        previous[path] = answer.body
        digest = hashlib.sha256(text).hexdigest()[:32]
        name = f"{digest[:2]}/{digest[2:]}{Path(path).suffix}"
        if name not in written:
            written.add(name)
            yield Path(_DOCUMENTS, name), text
        names.setdefault(path, {})[domain] = name
        headers.setdefault(path, dict(answer.headers))

    maps: list[dict[str, str]] = []  # paths with the same documents share a map
    for documents in names.values():
        if documents not in maps:
            maps.append(documents)
    values = {
        "labels": families.labels(),
        "domains": list(dict.fromkeys(chain.from_iterable(maps))),
        "maps": maps,
        "names": names,
        "headers": headers,
        "root": str(directory.absolute() / _DOCUMENTS),
        "mark": _MARK.decode(),
    }
    for config in ("nginx-locations.conf", "nginx-map.conf"):
        yield Path(config), template(config).render(values).encode()
