"""The page's style sheet and script: files of the package, the same for everybody."""

from __future__ import annotations

from email.utils import formatdate
from functools import cache
from pathlib import Path

from ..answers import Answer, Request, kept_for, public
from ..lookup import Lookup

STATIC = Path(__file__).parent / "static"
_SECONDS = 3600


def style(_lookup: Lookup, _request: Request) -> Answer:
    """The style sheet."""
    return _answer("style.css", "text/css; charset=utf-8")


def script(_lookup: Lookup, _request: Request) -> Answer:
    """The script."""
    return _answer("script.js", "text/javascript; charset=utf-8")


@cache
def _answer(name: str, content_type: str) -> Answer:
    file = STATIC / name
    modified = formatdate(file.stat().st_mtime, usegmt=True)
    return public(
        file.read_bytes(),
        [("Content-Type", content_type)],
        cache_control=kept_for(_SECONDS),
        modified=modified,
    )
