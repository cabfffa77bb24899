"""`export --nginx`: writes each document once, with a map for nginx.

A tree of `DOMAIN/PATH` has six files for each domain, and most differ at most by the
domain in them. Here a file is named by the digest of its content, nginx inserts the
domain, and each domain is one line of a `map $host`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from .. import families
from ..answers import Answer

DOCUMENTS = "documents"  # the folder of the documents, below the exported one
_MARK = b"%AUTOCONFIG-DOMAIN%"  # nginx replaces it by the domain of the request
# Headers that nginx writes itself, or that differ between domains.
_OMITTED = {
    *("Content-Type", "Content-Length", "Content-Disposition", "ETag", "Last-Modified"),
}

# A domain, a path, and the answer there.
Static = tuple[str, str, Answer]


def files(static: Iterable[Static], directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the path and the content of each file below the directory.

    The documents come first, so that the files that name them are moved last.
    """
    written: set[str] = set()
    found: dict[str, dict[str, str]] = {}  # path -> domain -> the document's name
    headers: dict[str, dict[str, str]] = {}  # by path
    last: dict[str, bytes] = {}  # by path
    for domain, path, answer in static:
        text = answer.body
        # A document that several domains share lists them all, and stays as it is.
        if text != last.get(path):
            text = text.replace(domain.encode(), _MARK)
        last[path] = answer.body
        digest = hashlib.sha256(text).hexdigest()[:32]
        name = f"{digest[:2]}/{digest[2:]}{Path(path).suffix}"
        if name not in written:
            written.add(name)
            yield Path(DOCUMENTS, name), text
        found.setdefault(path, {})[domain] = name
        headers.setdefault(path, dict(answer.headers))

    maps: list[dict[str, str]] = []  # paths with the same documents have one
    for documents in found.values():
        if documents not in maps:
            maps.append(documents)
    labels = families.labels()
    domains = dict.fromkeys(domain for documents in maps for domain in documents)
    environment = Environment(  # noqa: S701 (no HTML)
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = _quoted
    values = {
        "labels": labels,
        "maps": maps,
        "numbers": {path: maps.index(found[path]) for path in found},
        "size": max(2048, 2 * len(domains)),
        # Domains that look like a client's host name for another domain.
        "exact": [name for name in domains if name.partition(".")[0] in labels],
        "headers": headers,
        "omitted": _OMITTED,
        "root": directory.absolute() / DOCUMENTS,
        "mark": _MARK.decode(),
    }
    for config in ("nginx-locations.conf", "nginx-map.conf"):
        yield Path(config), environment.get_template(config).render(values).encode()


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
