"""Builds the tables from a parsed TOML document, and gathers every problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import NODEFAULT, inspect

from ..errors import Problem
from .tables import Server
from .values import quote

if TYPE_CHECKING:
    from .explain.faults import Faults

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,78}")


def is_bare(key: str) -> bool:
    """Whether a key needs no quotes in TOML."""
    return _BARE_KEY.fullmatch(key) is not None


def below(place: str, key: str) -> str:
    """Return the place of a key in a table, quoted unless it is a bare key."""
    name = key if is_bare(key) else quote(key)
    return f"{place}.{name}" if place else name


def holder(place: str) -> str:
    """Return the place that holds this one: `a.b` for `a.b[0]`, and `a` for `a.b`."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]


@cache
def type_of(cls: type) -> inspect.StructType:
    """Return msgspec's description of a struct."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)  # noqa: S101 (for the type checker)
    return kind


class Key(NamedTuple):
    """The type of a key's value, with the `extra` of its `Meta`."""

    value: tuple[inspect.Type, dict[str, Any]]
    table: tuple[inspect.Type, dict[str, Any]]  # the same if the value is a table


@cache
def keys_of(cls: type) -> tuple[dict[str, Key], tuple[str, ...]]:
    """Return the keys of a table's type, and the required ones."""
    fields = type_of(cls).fields
    keys = {
        field.encode_name: Key(unwrapped(field.type), unwrapped(field.type, {}))
        for field in fields
    }
    return keys, tuple(field.encode_name for field in fields if field.required)


class Builder:
    """Builds structs from parsed TOML, and collects problems."""

    def __init__(self, homes: Mapping[str, type] | None = None, file: str = "") -> None:
        """`homes` are the tables by their heading, where a stray key may belong.

        `file` is the file that problems name, if any.
        """
        self._homes = homes or {}
        self._file = file
        self.problems: list[Problem] = []
        self._misspelt: set[str] = set()  # places of the keys that were meant
        self._faulty: set[str] = set()  # places with a problem, and their holders
        # Of a list without its faulty items: the index that each other item had.
        self._numbers: dict[str, list[int]] = {}
        self._port: Any = None  # in the table that is being read, if it has one

    def add(self, place: str, message: str, cure: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(place, message, cure, file=self._file))
        while place and place not in self._faulty:
            self._faulty.add(place)
            place = holder(place)

    def is_faulty(self, place: str) -> bool:
        """Whether there is a problem at a place, or inside it."""
        return place in self._misspelt or place in self._faulty

    def item(self, place: str, index: int) -> str:
        """Return the place of an item of a list that was built."""
        numbers = self._numbers.get(place)
        return f"{place}[{numbers[index] if numbers else index}]"

    @cached_property
    def _faults(self) -> Faults:
        from .explain.faults import Faults

        return Faults(self._homes)

    def struct(self, cls: type, raw: Any, place: str) -> Any:
        """Build a struct; a faulty value gets its default, so that rules can run."""
        return self._struct(type_of(cls), raw, place)

    def _struct(self, kind: inspect.StructType, raw: Any, place: str) -> Any:
        keys, required = keys_of(kind.cls)
        values = {}
        for key, value in raw.items():
            if key not in keys:
                self._unknown_key(place, raw, key, keys)
                continue
            at = f"{place}.{key}" if place else key  # known keys are bare keys
            self._port = raw.get("port")
            kind_of_key = (
                keys[key].table if isinstance(value, dict) else keys[key].value
            )
            built = self._read_as(*kind_of_key, value, at)
            if built is not NODEFAULT:
                values[key] = built

        for key in required:
            if key not in raw:
                self._missing(place, key, keys[key].value[1])
            values.setdefault(key, "")
        table = kind.cls(**values)
        return table.completed() if isinstance(table, Server) else table

    def _unknown_key(
        self, place: str, raw: dict[str, Any], key: str, known: dict[str, Key]
    ) -> None:
        cure, meant = self._faults.unknown_key(key, raw, known)
        if meant:
            self._misspelt.add(below(place, meant))
        self.add(below(place, key), f"there is no key {quote(key)} here", cure)

    def _missing(self, place: str, key: str, extra: dict[str, Any]) -> None:
        if below(place, key) not in self._misspelt:
            example = extra.get("example", "…")
            self.add(place, f"{key} is missing", f'add {key} = "{example}"')

    def _value(self, kind: inspect.Type, raw: Any, at: str) -> Any:
        """Return the value, or NODEFAULT after a problem."""
        return self._read_as(*unwrapped(kind, raw), raw, at)

    def _read_as(
        self, kind: inspect.Type, extra: dict[str, Any], raw: Any, at: str
    ) -> Any:
        if isinstance(kind, inspect.StructType) and isinstance(raw, dict):
            return self._struct(kind, raw, at)
        if isinstance(kind, inspect.DictType) and isinstance(raw, dict):
            return self._dict(kind, raw, at)
        if isinstance(kind, inspect.VarTupleType):
            return self._tuple(kind, raw, at, extra)
        if isinstance(kind, inspect.StrType) and isinstance(raw, str):
            return self._accepted(extra["value"], raw, at)
        if isinstance(kind, inspect.LiteralType) and isinstance(raw, str):
            return self._literal(kind, raw, at)
        if isinstance(kind, inspect.IntType) and type(raw) is int:
            low, high = kind.ge or 0, kind.le or 0
            if low <= raw <= high:
                return raw
        if isinstance(kind, inspect.BoolType) and isinstance(raw, bool):
            return raw

        self.add(at, *self._faults.wrong_type(kind, raw, at, self._port))
        return NODEFAULT

    def _dict(self, kind: inspect.DictType, raw: dict[str, Any], at: str) -> Any:
        _, key_extra = unwrapped(kind.key_type)
        texts = {}
        for key, value in raw.items():
            where = below(at, key)
            self._accepted(key_extra["value"], key, where)
            texts[key] = self._value(kind.value_type, value, where)
        return texts

    def _tuple(
        self, kind: inspect.VarTupleType, raw: Any, at: str, extra: dict[str, Any]
    ) -> Any:
        if extra.get("single") and not isinstance(raw, list):
            value = self._value(kind.item_type, raw, at)
            return NODEFAULT if value is NODEFAULT else (value,)
        if not isinstance(raw, list):
            self.add(at, *self._faults.no_list(kind, raw, at))
            return NODEFAULT
        if kind.min_length and not raw:
            cure = f"name a {extra['item']}, or remove the key"
            self.add(at, "the list is empty", cure)
            return NODEFAULT

        item_type = kind.item_type
        values = self._all_good(item_type, raw)
        if values is not None:
            return values
        values = []
        for index, item in enumerate(raw):
            values.append(self._value(item_type, item, f"{at}[{index}]"))
        good = [index for index, item in enumerate(values) if item is not NODEFAULT]
        if len(good) == len(values):
            return tuple(values)
        if isinstance(unwrapped(item_type)[0], inspect.StructType):
            return NODEFAULT  # so that no table gets the index of another
        self._numbers[at] = good
        return tuple(values[index] for index in good)

    def _all_good(self, kind: inspect.Type, raw: list[Any]) -> Any:
        """Return the strings of a list at once, None if one of them is faulty."""
        item, extra = unwrapped(kind)
        if not isinstance(item, inspect.StrType) or set(map(type, raw)) - {str}:
            return None
        try:
            return tuple(map(extra["value"], raw))
        except ValueError:
            return None

    def _accepted(self, accept: Callable[[str], str], raw: str, at: str) -> Any:
        try:
            return accept(raw)
        except ValueError as error:
            self.add(at, *self._faults.refused(error, raw, at))
            return NODEFAULT

    def _literal(self, kind: inspect.LiteralType, raw: str, at: str) -> Any:
        if raw in kind.values:
            return raw
        self.add(at, *self._faults.wrong_word(kind, raw, at, self._port))
        return NODEFAULT


def unwrapped(
    kind: inspect.Type, raw: Any = None
) -> tuple[inspect.Type, dict[str, Any]]:
    """Return the type without wrappers; of a union, the member for `raw`."""
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
            continue
        members = [
            type_ for type_ in kind.types if not isinstance(type_, inspect.NoneType)
        ]
        tables = [type_ for type_ in members if isinstance(type_, inspect.StructType)]
        kind = tables[0] if tables and isinstance(raw, dict) else members[0]
    return kind, extra
