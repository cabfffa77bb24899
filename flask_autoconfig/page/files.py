"""Serves the style sheet and the script of the page."""

from __future__ import annotations

from email.utils import formatdate
from functools import cache
from pathlib import Path

from ..answers import Answer, Request, kept_for, public
from ..lookup import Lookup

STATIC = Path(__file__).parent / "static"
_MAX_AGE = 3600  # seconds


def style(_lookup: Lookup, _request: Request) -> Answer:
    """Return the style sheet."""
    return _answer("style.css", "text/css; charset=utf-8")


def script(_lookup: Lookup, _request: Request) -> Answer:
    """Return the script."""
    return _answer("script.js", "text/javascript; charset=utf-8")


@cache
def _answer(name: str, content_type: str) -> Answer:
    file = STATIC / name
    return public(
        file.read_bytes(),
        [("Content-Type", content_type)],
        cache_control=kept_for(_MAX_AGE),
        modified=formatdate(file.stat().st_mtime, usegmt=True),
    )
