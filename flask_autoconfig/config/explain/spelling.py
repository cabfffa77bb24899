"""Values and assignments spelled as TOML, for the cures in messages."""

from __future__ import annotations

import re
from functools import cache

from msgspec import inspect

from .. import tables
from ..building import keys_of
from ..values import quote

_VALID = re.compile(r"""[+-]?[0-9][0-9_]*|true|false|"[^"\\]*"|'[^']*'|\{.*\}""")
CURLY = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"', "＂": '"'} | {
    "‘": "'", "’": "'", "‚": "'", "′": "'", "`": "'", "´": "'",
}  # fmt: skip
BOOLEANS = {
    "true": "true", "yes": "true", "on": "true", "1": "true",
    "false": "false", "no": "false", "off": "false", "0": "false",
}  # fmt: skip


def value_of(raw: str) -> str:
    """Return what was written as a value, as TOML spells it."""
    text = without_comment(raw).strip().rstrip(",;").strip()
    if _VALID.fullmatch(text):
        return text
    if text.startswith("["):
        items = text.strip("[] ").split(",")
        return f"[{', '.join(value_of(item) for item in items if item.strip())}]"
    return quote(text.strip("\"' \\" + "".join(CURLY)) or "…")


def without_comment(raw: str) -> str:
    """Return the end of a line without its comment."""
    return re.split(r"\s#|^#", raw, maxsplit=1)[0]


def assignment(key: str, raw: str) -> str:
    """Return the cure that says what to write for a key."""
    kind = _kinds().get(key.rpartition(".")[2])
    value = value_of(raw)
    if kind is inspect.IntType:
        number = re.match(r"\D*([0-9]+)", raw)
        value = number[1].lstrip("0") or "0" if number else "a number"
    elif kind is inspect.BoolType:
        word = without_comment(raw).strip("\"' ").lower()
        value = BOOLEANS.get(word, "true or false")
    return f"write {key} = {value}"


@cache
def _kinds() -> dict[str, type]:
    """The type of each key's value, by the key."""
    classes = [cls for cls in vars(tables).values() if isinstance(cls, type)]
    return {
        key: type(kind.value[0])
        for cls in classes
        if issubclass(cls, tables.Table)
        for key, kind in keys_of(cls)[0].items()
    }
