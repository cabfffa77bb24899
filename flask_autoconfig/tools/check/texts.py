"""The texts of findings, from `texts.toml`: what was seen, why it matters, the cure."""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

Values = tuple[tuple[str, str], ...]
# What stands around a finding, with its values; the innermost first.
Around = tuple[tuple[str, Values], ...]
_PARTS = ("step", "seen", "why", "cure")


class Text(NamedTuple):
    """The texts of one finding."""

    step: str
    seen: str
    why: str
    cure: str


@cache
def _file() -> dict[str, Any]:
    path = Path(__file__).with_name("texts.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def template(code: str) -> Text:
    """The texts of *code*, with their placeholders; raises KeyError for no code."""
    own = _file()[code]
    like = template(own["like"])._asdict() if "like" in own else {}
    return Text(*(own.get(part, like.get(part, "")) for part in _PARTS))


def shared() -> dict[str, str]:
    """The texts that several codes have in common, by name."""
    return dict(_file()["shared"])


def codes() -> list[str]:
    """Every code, in the order of the file."""
    return [key for key in _file() if "." in key]


def means(code: str) -> str:
    """What *code* stands for, as a sentence."""
    return str(_file()[code]["means"])


@cache
def status(code: str) -> str:
    """The status of *code* by itself: ok, note, warning or failure."""
    return str(_file()[code].get("status", "failure"))


def follows(code: str) -> str:
    """What findings of *code* are told behind: "a dead server", "anything" or ""."""
    return str(_file()[code].get("follows", ""))


@lru_cache(maxsize=4096)  # bounded: the values are of strangers
def text_of(code: str, values: Values, around: Around = (), advice: str = "") -> Text:
    """The texts of a finding; *advice* takes the place of the code's own cure."""
    shared = _file()["shared"]
    known = {**shared, **dict(values)}
    step, *own = template(code)
    seen, why, cure = (it.format_map(known) for it in own)
    cure = advice or cure
    for name, more in around:
        outer = _file()["around"][name]
        known = {**shared, **dict(more), "seen": seen}
        seen = outer.get("seen", "{seen}").format_map(known)
        why = outer["why"].format_map(known) if "why" in outer else why
        if "cure" in outer:
            behind = f"{outer['then']}{cure}" if cure and "then" in outer else ""
            cure = outer["cure"].format_map(known) + behind
    return Text(step, seen, why, cure)
