"""What somebody wrote, spelled as TOML would have it: what errors propose."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from msgspec import structs

from .. import tables
from ..values import quote

_SOUND = re.compile(r"""[+-]?[0-9][0-9_]*|true|false|"[^"\\]*"|'[^']*'|\{.*\}""")
CURLY = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"', "＂": '"'} | {
    "‘": "'", "’": "'", "‚": "'", "′": "'", "`": "'", "´": "'",
}  # fmt: skip
SMALL = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def value_of(raw: str) -> str:
    """A value as TOML has it, of what somebody wrote for it."""
    text = without_comment(raw).strip().rstrip(",;").strip()
    if _SOUND.fullmatch(text):
        return text
    if text.startswith("["):
        items = text.strip("[] ").split(",")
        return f"[{', '.join(value_of(it) for it in items if it.strip())}]"
    small = SMALL.get(text.lower(), text.lower())
    if small in ("true", "false"):
        return small
    return quote(text.strip("\"' " + "".join(CURLY)) or "…")


def without_comment(raw: str) -> str:
    """The line's end without its comment."""
    return re.split(r"\s#|^#", raw, maxsplit=1)[0]


def line_of(key: str, raw: str) -> str:
    """The sentence that says what to write for a key."""
    return f"write {key} = {_fitting(key, raw)}"


def _fitting(key: str, raw: str) -> str:
    """The value as this key takes it."""
    kind = kinds().get(key.rpartition(".")[2])
    number = re.match(r"\D*([0-9]+)", raw)
    if kind == "int":
        return number[1].lstrip("0") or "0" if number else "a number"
    value = value_of(raw)
    if kind == "bool" and value not in ("true", "false"):
        return "true or false"
    return value


@cache
def kinds() -> dict[str, str]:
    """The keys that take a number, or true or false."""
    kinds = {}
    for table in vars(tables).values():
        if isinstance(table, type) and issubclass(table, tables.Table):
            for field in structs.fields(table):
                if found := re.search(r"\b(?:int|bool)\b", str(field.type)):
                    kinds[field.name] = found[0]
    return kinds


def plain_letters(text: str) -> str:
    """The text in ASCII: letters without their accents, and no others."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def cut(key: str) -> str:
    """A key as a message has it: neither too long nor with what cannot be seen."""
    return quote(key)[1:-1]
