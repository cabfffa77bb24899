"""Builds the tables from a parsed TOML document, and gathers every problem."""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from types import ModuleType
from typing import Any, NamedTuple, cast

from msgspec import NODEFAULT, inspect

from ..errors import ConfigError, Problem
from .tables import Server
from .values import quote

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,78}")


def below(place: str, key: str) -> str:
    """Return the place of a key in a table, quoted unless it is a bare key."""
    name = key if _BARE_KEY.fullmatch(key) else quote(key)
    return f"{place}.{name}" if place else name


def parent(place: str) -> str:
    """Return the place that contains this one: `a.b` for `a.b[0]`, and `a` for `a.b`."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]


class Kind(NamedTuple):
    """The type of a value."""

    type: inspect.Type
    extra: dict[str, Any]  # of its `Meta`
    table: inspect.StructType | None  # the table that the value may be instead


def kind_of(type_: inspect.Type) -> Kind:
    extra: dict[str, Any] = {}
    table = None
    while isinstance(type_, inspect.Metadata | inspect.UnionType):
        if isinstance(type_, inspect.Metadata):
            extra |= type_.extra or {}
            type_ = type_.type
        else:
            tables = (t for t in type_.types if isinstance(t, inspect.StructType))
            type_, table = type_.types[0], next(tables, None)  # None comes last
    return Kind(type_, extra, table)


@cache
def keys_of(cls: type) -> tuple[dict[str, Kind], tuple[str, ...]]:
    fields = cast(inspect.StructType, inspect.type_info(cls)).fields
    keys = {field.encode_name: kind_of(field.type) for field in fields}
    return keys, tuple(field.encode_name for field in fields if field.required)


class Builder:
    """Builds structs from parsed TOML, and collects problems."""

    def __init__(self, file: str = "") -> None:
        """`file` is the included file that problems name, "" for the main one."""
        self.file = file
        self.problems: list[Problem] = []
        # Places with a problem, those that contain them, and keys that were misspelt.
        self._faulty: set[str] = set()

    def add(self, place: str, message: str, cure: str) -> None:
        self.problems.append(Problem(place, message, cure, file=self.file))
        while place and place not in self._faulty:
            self._faulty.add(place)
            place = parent(place)

    def add_missing(self, place: str, message: str, cure: str, *keys: str) -> None:
        """Add a problem for missing keys, unless one of them is there and faulty."""
        if not any(self.is_faulty(below(place, key)) for key in keys):
            self.add(place, message, cure)

    def is_faulty(self, place: str) -> bool:
        """Whether there is a problem at a place, or inside it."""
        return place in self._faulty

    def struct(self, cls: type, raw: dict[str, Any], place: str = "") -> Any:
        """Build a struct; a faulty value gets its default, so that rules can run."""
        keys, required = keys_of(cls)
        values = {}
        for key, raw_value in raw.items():
            key_place = below(place, key)
            if key in keys:
                value = self._value(keys[key], raw_value, key_place)
                if value is not NODEFAULT:
                    values[key] = value
                continue
            cure, similar_key = self._hints.unknown_key(key, raw, keys, self.file)
            if similar_key:
                self._faulty.add(below(place, similar_key))
            self.add(key_place, f"there is no key {quote(key)} here", cure)
        for key in required:
            if key not in raw and not self.is_faulty(below(place, key)):
                example = keys[key].extra.get("example", "…")
                self.add(place, f"{key} is missing", f'add {key} = "{example}"')
            values.setdefault(key, "")
        table = cls(**values)
        return table.completed() if isinstance(table, Server) else table

    @cached_property
    def _hints(self) -> ModuleType:
        from .explain import hints

        return hints

    def _value(self, kind: Kind, raw: Any, place: str) -> Any:
        """Return the value, or NODEFAULT after a problem."""
        type_ = kind.table if kind.table and isinstance(raw, dict) else kind.type
        match type_:
            case inspect.StructType() if isinstance(raw, dict):
                return self.struct(type_.cls, raw, place)
            case inspect.DictType() if isinstance(raw, dict):
                language, text = kind_of(type_.key_type), kind_of(type_.value_type)
                places = {key: below(place, key) for key in raw}
                for key in raw:
                    self._value(language, key, places[key])
                return {key: self._value(text, raw[key], places[key]) for key in raw}
            case inspect.VarTupleType() if isinstance(raw, list):
                return self._tuple(type_, kind.extra, raw, place)
            case inspect.VarTupleType() if kind.extra.get("single"):
                value = self._value(kind_of(type_.item_type), raw, place)
                return value if value is NODEFAULT else (value,)
            case inspect.StrType() if isinstance(raw, str):
                try:
                    return kind.extra["value"](raw)
                except ValueError as error:
                    self.add(place, *self._hints.invalid_text(error, raw, place))
                    return NODEFAULT
            case inspect.IntType(ge=low, le=high):
                if type(raw) is int and (low or 0) <= raw <= (high or 0):
                    return raw
            case inspect.LiteralType(values=words):
                if raw in words:
                    return raw
            case inspect.BoolType() if isinstance(raw, bool):
                return raw
        self.add(place, *self._hints.invalid_value(type_, raw, place))
        return NODEFAULT

    def _tuple(
        self,
        type_: inspect.VarTupleType,
        extra: dict[str, Any],
        raw: list[Any],
        place: str,
    ) -> Any:
        if type_.min_length and not raw:
            cure = f"name a {extra['item']}, or remove the key"
            self.add(place, "the list is empty", cure)
            return NODEFAULT

        kind = kind_of(type_.item_type)
        if isinstance(kind.type, inspect.StrType) and set(map(type, raw)) == {str}:
            with suppress(ValueError):  # fast, for a list of thousands of domains
                return tuple(map(kind.extra["value"], raw))
        items = enumerate(raw)
        values = [self._value(kind, item, f"{place}[{n}]") for n, item in items]
        if isinstance(kind.type, inspect.StructType) and NODEFAULT in values:
            return NODEFAULT
        # A faulty text becomes "", so that rules see the others, each at its index.
        return tuple("" if value is NODEFAULT else value for value in values)


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
    """Whether a value has keys. A row of sqlite3 does, though it is no Mapping."""
    return isinstance(value, Mapping) or (
        hasattr(value, "keys") and hasattr(value, "__getitem__")
    )
