"""Other programs' names for keys, tables, values and placeholders: words.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _file() -> dict[str, Any]:
    path = Path(__file__).with_name("words.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def names_in(table: str, key: str = "") -> dict[str, list[str]]:
    """Return our words of a table, or of its subtable *key*, each with other names."""
    found = _file()[table]
    found = found.get(key, {}) if key else found
    return {ours: names.split() for ours, names in found.items()}
