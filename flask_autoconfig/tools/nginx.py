"""`export --nginx`: writes each document once, with a map for nginx.

A tree of `DOMAIN/PATH` has six files for each domain, and most differ at most by the
domain in them. Here a file is named by the digest of its content, nginx inserts the
domain, and each domain is one line of a `map $host`.
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
_MARK = b"%AUTOCONFIG-DOMAIN%"  # nginx replaces it by the domain of the request
# Headers that nginx writes itself, or that differ between domains.
_OMITTED = {"Content-Length", "Content-Disposition", "ETag", "Last-Modified"}
_MAP_HEAD = """\
# The document of each domain; written by `flask-autoconfig export --nginx`.
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

# A domain, a path, and the answer there.
Static = tuple[str, str, Answer]


def stage(static: Iterable[Static], directory: Path, staging: Folder) -> Iterator[Path]:
    """Write each file under its number; yield the path that it will have.

    The documents come first, so that the files that name them are moved last.
    """
    count = 0
    names: dict[str, str] = {}  # digest -> the document's name below DOCUMENTS
    found: dict[str, dict[str, str]] = {}  # path -> domain -> the document's name
    headers: dict[str, list[Header]] = {}  # by path
    for (domain, path, answer), is_shared in _with_sharing(static):
        text = answer.body if is_shared else _marked(answer.body, domain.encode())
        digest = hashlib.sha256(text).hexdigest()[:32]
        if digest not in names:
            names[digest] = f"{digest[:2]}/{digest[2:]}{Path(path).suffix}"
            staging.write(str(count), text)
            count += 1
            yield Path(DOCUMENTS, names[digest])
        found.setdefault(path, {})[domain] = names[digest]
        headers.setdefault(path, answer.headers)

    groups = _groups(found)
    variables = {
        path: f"autoconfig_document_{number}"
        for number, paths in enumerate(groups)
        for path in paths
    }
    root = _quoted(str(directory.absolute() / DOCUMENTS))
    configs = {
        LOCATIONS: _locations(variables, headers, root),
        MAP: _map([found[paths[0]] for paths in groups]),
    }
    for name, config in configs.items():
        staging.write(str(count), config.encode())
        count += 1
        yield Path(name)


def _with_sharing(static: Iterable[Static]) -> Iterator[tuple[Static, bool]]:
    """Yield each answer with whether the domain before or after it has the same one.

    Such a document lists all domains, and a mark in place of one would change it.
    """
    last: dict[str, tuple[Static, bool]] = {}  # by path
    for current in static:
        _, path, answer = current
        is_shared = False
        if path in last:
            previous, was_shared = last[path]
            is_shared = previous[2].body == answer.body
            yield previous, was_shared or is_shared
        last[path] = current, is_shared
    yield from last.values()


def _marked(body: bytes, domain: bytes) -> bytes:
    """Return the document with the mark for the domain, if that can be reversed."""
    marked = body.replace(domain, _MARK)
    return marked if marked.replace(_MARK, domain) == body else body


def _groups(found: dict[str, dict[str, str]]) -> list[list[str]]:
    """Return the paths, grouped by having the same document for every domain."""
    groups: list[list[str]] = []
    for path, documents in found.items():
        for paths in groups:
            if found[paths[0]] == documents:
                paths.append(path)
                break
        else:
            groups.append([path])
    return groups


def _map(groups: list[dict[str, str]]) -> str:
    labels = families.labels()
    domains = dict.fromkeys(domain for documents in groups for domain in documents)
    # Domains that look like a client's host name for another domain.
    exact = [domain for domain in domains if domain.partition(".")[0] in labels]
    text = _MAP_HEAD.format(
        size=max(2048, 2 * len(domains)),
        exact="".join(f"    {domain} {domain};\n" for domain in exact),
        labels="|".join(map(re.escape, labels)),
    )
    for number, documents in enumerate(groups):
        lines = "".join(f"    {domain} {name};\n" for domain, name in documents.items())
        variable = f"$autoconfig_document_{number}"
        text += (
            f"\nmap $autoconfig_domain {variable} {{\n    default none;\n{lines}}}\n"
        )
    return text


def _locations(
    variables: dict[str, str], headers: dict[str, list[Header]], root: str
) -> str:
    names = ", ".join(f"{label}.*" for label in families.labels())
    text = _LOCATIONS_HEAD.format(names=names)
    for path, variable in variables.items():
        values = dict(headers[path])
        content_type = values.pop("Content-Type")
        text += _LOCATION.format(
            path=path,
            root=root,
            variable=variable,
            content_type=content_type,
            mark=_MARK.decode(),
            headers="".join(
                f"    add_header {name} {_quoted(value)};\n"
                for name, value in values.items()
                if name not in _OMITTED
            ),
        )
    return text


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def obsolete(directory: Path, written: set[Path]) -> Iterator[str]:
    """Yield a note about older documents: nginx needs them until it has the new map."""
    files = (directory / DOCUMENTS).glob("??/*")
    old = [file for file in files if file.relative_to(directory) not in written]
    if old:
        number = "1 older document" if len(old) == 1 else f"{len(old)} older documents"
        yield (
            f"{number} in {directory / DOCUMENTS}, such as {min(old).name}, are not in "
            "the map any more; remove them once nginx has read it"
        )
