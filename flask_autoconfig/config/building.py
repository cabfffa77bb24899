"""Builds the tables from a parsed TOML document, and gathers every problem."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from types import ModuleType
from typing import Any, NamedTuple

from msgspec import NODEFAULT, inspect

from ..errors import ConfigError, Problem
from .tables import Server
from .values import quote

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,78}")


def below(place: str, key: str) -> str:
    """Return the place of a key in a table, quoted unless it is a bare key."""
    name = key if _BARE_KEY.fullmatch(key) else quote(key)
    return f"{place}.{name}" if place else name


def holder(place: str) -> str:
    """Return the place that holds this one: `a.b` for `a.b[0]`, and `a` for `a.b`."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]


class Key(NamedTuple):
    """The type of a key's value, with the `extra` of its `Meta`."""

    value: tuple[inspect.Type, dict[str, Any]]
    table: tuple[inspect.Type, dict[str, Any]]  # the same if the value is a table


@cache
def keys_of(cls: type) -> tuple[dict[str, Key], tuple[str, ...]]:
    """Return the keys of a table's type, and the required ones."""
    kind = inspect.type_info(cls)
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    keys = {
        field.encode_name: Key(unwrapped(field.type), unwrapped(field.type, {}))
        for field in fields
    }
    return keys, tuple(field.encode_name for field in fields if field.required)


class Builder:
    """Builds structs from parsed TOML, and collects problems."""

    def __init__(self, file: str = "") -> None:
        """`file` is the included file that problems name, "" for the main one."""
        self._file = file
        self.problems: list[Problem] = []
        self._misspelt: set[str] = set()  # places of the keys that were meant
        self._faulty: set[str] = set()  # places with a problem, and their holders

    def add(self, place: str, message: str, cure: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(place, message, cure, file=self._file))
        while place and place not in self._faulty:
            self._faulty.add(place)
            place = holder(place)

    def add_missing(self, place: str, message: str, cure: str, *keys: str) -> None:
        """Add that keys are missing, unless one of them is there and faulty."""
        if not any(self.is_faulty(below(place, key)) for key in keys):
            self.add(place, message, cure)

    def is_faulty(self, place: str) -> bool:
        """Whether there is a problem at a place, or inside it."""
        return place in self._misspelt or place in self._faulty

    @cached_property
    def _hints(self) -> ModuleType:
        from .explain import hints

        return hints

    def struct(self, cls: type, raw: dict[str, Any], place: str = "") -> Any:
        """Build a struct; a faulty value gets its default, so that rules can run."""
        keys, required = keys_of(cls)
        values = {}
        for key, value in raw.items():
            at = below(place, key)
            if key not in keys:
                cure, meant = self._hints.unknown_key(key, raw, keys, self._file)
                if meant:
                    self._misspelt.add(below(place, meant))
                self.add(at, f"there is no key {quote(key)} here", cure)
                continue
            kind = keys[key].table if isinstance(value, dict) else keys[key].value
            built = self._value(*kind, value, at)
            if built is not NODEFAULT:
                values[key] = built

        for key in required:
            if key not in raw and below(place, key) not in self._misspelt:
                example = keys[key].value[1].get("example", "…")
                self.add(place, f"{key} is missing", f'add {key} = "{example}"')
            values.setdefault(key, "")
        table = cls(**values)
        return table.completed() if isinstance(table, Server) else table

    def _value(
        self, kind: inspect.Type, extra: dict[str, Any], raw: Any, at: str
    ) -> Any:
        """Return the value, or NODEFAULT after a problem."""
        if isinstance(kind, inspect.StructType) and isinstance(raw, dict):
            return self.struct(kind.cls, raw, at)
        if isinstance(kind, inspect.DictType) and isinstance(raw, dict):
            texts = {}
            for key, value in raw.items():
                where = below(at, key)
                self._value(*unwrapped(kind.key_type), key, where)
                texts[key] = self._value(*unwrapped(kind.value_type), value, where)
            return texts
        if isinstance(kind, inspect.VarTupleType) and isinstance(raw, list):
            return self._tuple(kind, extra, raw, at)
        if isinstance(kind, inspect.VarTupleType) and extra.get("single"):
            value = self._value(*unwrapped(kind.item_type, raw), raw, at)
            return NODEFAULT if value is NODEFAULT else (value,)
        if isinstance(kind, inspect.StrType) and isinstance(raw, str):
            try:
                return extra["value"](raw)
            except ValueError as error:
                self.add(at, *self._hints.refused(error, raw, at))
                return NODEFAULT
        if isinstance(kind, inspect.IntType):
            is_good = type(raw) is int and (kind.ge or 0) <= raw <= (kind.le or 0)
        elif isinstance(kind, inspect.LiteralType):
            is_good = raw in kind.values
        else:
            is_good = isinstance(kind, inspect.BoolType) and isinstance(raw, bool)
        if is_good:
            return raw
        self.add(at, *self._hints.wrong(kind, raw, at))
        return NODEFAULT

    def _tuple(
        self, kind: inspect.VarTupleType, extra: dict[str, Any], raw: list[Any], at: str
    ) -> Any:
        if kind.min_length and not raw:
            cure = f"name a {extra['item']}, or remove the key"
            self.add(at, "the list is empty", cure)
            return NODEFAULT

        item, item_extra = unwrapped(kind.item_type)
        if isinstance(item, inspect.StrType) and set(map(type, raw)) == {str}:
            with suppress(ValueError):  # a list of thousands of domains, at once
                return tuple(map(item_extra["value"], raw))
        values = [
            self._value(*unwrapped(kind.item_type, value), value, f"{at}[{index}]")
            for index, value in enumerate(raw)
        ]
        # A list without its faulty items would give the others a wrong index.
        return NODEFAULT if NODEFAULT in values else tuple(values)


def unwrapped(
    kind: inspect.Type, raw: Any = None
) -> tuple[inspect.Type, dict[str, Any]]:
    """Return the type without wrappers; of a union, the member for `raw`."""
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
        else:
            members = [it for it in kind.types if not isinstance(it, inspect.NoneType)]
            tables = [it for it in members if isinstance(it, inspect.StructType)]
            kind = tables[0] if tables and isinstance(raw, dict) else members[0]
    return kind, extra


# --- From a mapping, such as a row of a database ------------------------------------------

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
        items = enumerate(value)
        return [plain(item, f"{place}[{index}]", depth + 1) for index, item in items]
    return value


def is_mapping(value: Any) -> bool:
    """Whether a value has keys, as a row of sqlite3 has that is not a Mapping."""
    return isinstance(value, Mapping) or (
        hasattr(value, "keys") and hasattr(value, "__getitem__")
    )
