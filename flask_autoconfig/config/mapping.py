"""A configuration that no file says: a mapping of a site's, a row of its database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, Problem
from .building import below
from .values import quote

_DEEPEST = 16  # tables in tables; the TOML has five


def plain(value: Any, place: str = "", depth: int = 0) -> Any:
    """The same as TOML would give it: dicts, lists and what stands in them.

    What is None is left out: it is a database's "not set". Raises ConfigError for a key
    that is no text, and for what is nested too deeply, in itself perhaps.
    """
    if depth > _DEEPEST:
        raise _problem(place, "it is nested too deeply", "give what TOML could hold")
    if is_mapping(value):
        table = {}
        for key in value.keys():  # noqa: SIM118 (a row of sqlite3 iterates over values)
            if not isinstance(key, str):
                raise _problem(
                    place, f"the key {quote(key)} is no text", "write it as one"
                )
            if value[key] is not None:
                table[key] = plain(value[key], below(place, key), depth + 1)
        return table
    if isinstance(value, list | tuple):
        return [
            plain(it, f"{place}[{index}]", depth + 1) for index, it in enumerate(value)
        ]
    return value


def is_mapping(value: Any) -> bool:
    """Whether it has keys and values: a row of sqlite3 does, and is no Mapping."""
    return isinstance(value, Mapping) or (
        hasattr(value, "keys") and hasattr(value, "__getitem__")
    )


def _problem(place: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(place, message, cure)])
