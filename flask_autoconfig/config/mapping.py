"""Reads a configuration from a mapping, such as a row of a site's database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, Problem
from .building import below
from .values import quote

_DEEPEST = 16  # tables in tables; the TOML has five


def plain(value: Any, place: str = "", depth: int = 0) -> Any:
    """Return a value as parsed TOML: dicts and lists, without values that are None.

    Raises ConfigError for a key that is not a string, and for deep or endless nesting.
    """
    if depth > _DEEPEST:
        problem = Problem(place, "it is nested too deeply", "nest it as TOML would")
        raise ConfigError([problem])
    if is_mapping(value):
        table = {}
        for key in value.keys():  # noqa: SIM118 (a row of sqlite3 iterates over values)
            if not isinstance(key, str):
                message = f"the key {quote(key)} is not a string"
                raise ConfigError([Problem(place, message, "write it as a string")])
            if value[key] is not None:
                table[key] = plain(value[key], below(place, key), depth + 1)
        return table
    if isinstance(value, list | tuple):
        places = (f"{place}[{index}]" for index in range(len(value)))
        return [plain(*item, depth + 1) for item in zip(value, places, strict=True)]
    return value


def is_mapping(value: Any) -> bool:
    """Whether a value has keys, as a row of sqlite3 has that is not a Mapping."""
    return isinstance(value, Mapping) or (
        hasattr(value, "keys") and hasattr(value, "__getitem__")
    )
