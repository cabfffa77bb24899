"""`export --nginx`: each document once, and the map by which nginx finds it.

A tree of `DOMAIN/PATH` has six files for each domain, most of them the same, or the same
but for the domain in them. Here a file has the digest of what is in it for a name, nginx
puts the domain in, and of thousands of domains each is a line of a `map $host`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import families
from ..answers import Answer, Header
from .files import Folder

DOCUMENTS = "documents"  # the folder of the documents, below the exported one
MAP = "nginx-map.conf"
LOCATIONS = "nginx-locations.conf"
_MARK = (
    b"%AUTOCONFIG-DOMAIN%"  # in a document, where the domain of whoever asks belongs
)
# What nginx says of a file by itself, or is another for another domain.
_OF_ONE = {"Content-Length", "Content-Disposition", "ETag", "Last-Modified"}
_MAP_HEAD = """\
# Which document a domain gets; written by `flask-autoconfig export --nginx`.
# Include it in nginx's http block. A name may have 253 characters:
map_hash_bucket_size 512;
map_hash_max_size {size};

map $host $autoconfig_domain {{
    default $host;
{exact}    "~^(?:{labels})\\.(?<autoconfig_rest>.+)$" $autoconfig_rest;
}}
"""
_LOCATIONS_HEAD = f"""\
# The paths that clients ask; written by `flask-autoconfig export --nginx`.
# Include it in the server block of the clients' names ({{names}})
# and in that of the domains themselves. It takes {MAP} in the http block.
"""
_LOCATION = """
location = {path} {{
    root {root};
    try_files /${variable} =404;
    types {{ }}
    default_type "{content_type}";
    sub_filter "{mark}" $autoconfig_domain;
    sub_filter_once off;
    sub_filter_types *;
    sub_filter_last_modified on;
{headers}}}
"""

# A domain, a path, and what is answered there.
Static = tuple[str, str, Answer]


def stage(static: Iterable[Static], directory: Path, staging: Folder) -> Iterator[Path]:
    """Write each file there by its number; gives the path that it is to have.

    The documents come first: what names them is in place last.
    """
    count = 0
    names: dict[str, str] = {}  # digest -> the document's name below DOCUMENTS
    found: dict[str, dict[str, str]] = {}  # path -> domain -> the document's name
    headers: dict[str, list[Header]] = {}  # of a path
    for (domain, path, answer), is_shared in _with_neighbours(static):
        text = answer.body if is_shared else _marked(answer.body, domain.encode())
        digest = hashlib.sha256(text).hexdigest()[:32]
        if digest not in names:
            names[digest] = f"{digest[:2]}/{digest[2:]}{Path(path).suffix}"
            staging.write(str(count), text)
            count += 1
            yield Path(DOCUMENTS, names[digest])
        found.setdefault(path, {})[domain] = names[digest]
        headers.setdefault(path, answer.headers)

    kinds = _kinds(found)
    variables = {
        path: f"autoconfig_document_{number}"
        for number, paths in enumerate(kinds)
        for path in paths
    }
    root = _quoted(str(directory.absolute() / DOCUMENTS))
    ours = {
        LOCATIONS: _locations(variables, headers, root),
        MAP: _map([found[paths[0]] for paths in kinds]),
    }
    for name, config in ours.items():
        staging.write(str(count), config.encode())
        count += 1
        yield Path(name)


def _with_neighbours(static: Iterable[Static]) -> Iterator[tuple[Static, bool]]:
    """Each with whether the domain before or after it has the same document.

    Such a one lists them all: the mark in the place of one would make it another.
    """
    last: dict[str, tuple[Static, bool]] = {}  # of each path
    for it in static:
        _, path, answer = it
        is_shared = False
        if path in last:
            before, was_shared = last[path]
            is_shared = before[2].body == answer.body
            yield before, was_shared or is_shared
        last[path] = it, is_shared
    yield from last.values()


def _marked(body: bytes, domain: bytes) -> bytes:
    """The document with the mark for the domain, where that leads back to the same."""
    marked = body.replace(domain, _MARK)
    return marked if marked.replace(_MARK, domain) == body else body


def _kinds(found: dict[str, dict[str, str]]) -> list[list[str]]:
    """The paths, those together at which every domain gets the same."""
    kinds: list[list[str]] = []
    for path, documents in found.items():
        for paths in kinds:
            if found[paths[0]] == documents:
                paths.append(path)
                break
        else:
            kinds.append([path])
    return kinds


def _map(kinds: list[dict[str, str]]) -> str:
    labels = families.labels()
    domains = dict.fromkeys(domain for documents in kinds for domain in documents)
    # A domain that looks like the name that clients ask about another one.
    exact = [it for it in domains if it.partition(".")[0] in labels]
    head = _MAP_HEAD.format(
        size=max(2048, 2 * len(domains)),
        exact="".join(f"    {it} {it};\n" for it in exact),
        labels="|".join(map(re.escape, labels)),
    )
    maps = []
    for number, documents in enumerate(kinds):
        lines = "".join(f"    {domain} {it};\n" for domain, it in documents.items())
        variable = f"$autoconfig_document_{number}"
        text = f"\nmap $autoconfig_domain {variable} {{\n    default none;\n{lines}}}\n"
        maps.append(text)
    return head + "".join(maps)


def _locations(
    variables: dict[str, str], headers: dict[str, list[Header]], root: str
) -> str:
    names = ", ".join(f"{label}.*" for label in families.labels())
    text = _LOCATIONS_HEAD.format(names=names)
    for path, variable in variables.items():
        said = dict(headers[path])
        content_type = said.pop("Content-Type")
        text += _LOCATION.format(
            path=path,
            root=root,
            variable=variable,
            content_type=content_type,
            mark=_MARK.decode(),
            headers="".join(
                f"    add_header {name} {_quoted(value)};\n"
                for name, value in said.items()
                if name not in _OF_ONE
            ),
        )
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def left_over(directory: Path, written: set[Path]) -> Iterator[str]:
    """Tell of the documents of before: nginx needs them until it has the new map."""
    files = (directory / DOCUMENTS).glob("??/*")
    old = [it for it in files if it.relative_to(directory) not in written]
    if old:
        number = "1 document" if len(old) == 1 else f"{len(old)} documents"
        yield (
            f"{number} of before in {directory / DOCUMENTS}, as {min(old).name}, "
            "are not in the map any more; remove them once nginx has read it"
        )
