"""The page's style and script: files of the package, the same for everybody."""

from __future__ import annotations

from email.utils import formatdate
from functools import cache
from pathlib import Path

from ..answers import Answer, Request, kept_for, public
from ..snapshot import Lookup

STATIC = Path(__file__).parent / "static"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_SECONDS = 3600


def answer(_lookup: Lookup, request: Request) -> Answer:
    """The file that the requested path ends with."""
    return _file(request.path.rpartition("/")[2])


@cache
def _file(name: str) -> Answer:
    file = STATIC / name
    modified = formatdate(file.stat().st_mtime, usegmt=True)
    kind = _TYPES[name.rpartition(".")[2]]
    return public(
        file.read_bytes(),
        [("Content-Type", kind)],
        cache_control=kept_for(_SECONDS),
        modified=modified,
    )
