"""Turns a parsed TOML document into the tables, gathering every problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import NODEFAULT, inspect

from ..errors import Problem
from .servers import Server
from .values import quote

if TYPE_CHECKING:
    from .explain.faults import Faults

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,78}")


def is_bare(key: str) -> bool:
    """Whether TOML takes a key without quotes."""
    return _BARE_KEY.fullmatch(key) is not None


def below(place: str, key: str) -> str:
    """The place of a key, spelled as TOML would: in quotes unless it is a bare key."""
    name = key if is_bare(key) else quote(key)
    return f"{place}.{name}" if place else name


def holder(place: str) -> str:
    """The place of what holds this one: of `a.b[0]` it is `a.b`, then `a`."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]


@cache
def type_of(cls: type) -> inspect.StructType:
    """The type of a struct as msgspec describes it."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)  # noqa: S101 (it is given structs)
    return kind


class Key(NamedTuple):
    """A key of a table: what its value is read as, with what a type's `Meta` has."""

    value: tuple[inspect.Type, dict[str, Any]]
    table: tuple[inspect.Type, dict[str, Any]]  # the same where it is a table


@cache
def keys_of(cls: type) -> tuple[dict[str, Key], tuple[str, ...]]:
    """The keys of a table's type, and those that must be there."""
    fields = type_of(cls).fields
    keys = {
        field.encode_name: Key(unwrapped(field.type), unwrapped(field.type, {}))
        for field in fields
    }
    return keys, tuple(field.encode_name for field in fields if field.required)


class Builder:
    """Builds values of msgspec's types from what TOML gives, and collects problems."""

    def __init__(self, homes: Mapping[str, type] | None = None, file: str = "") -> None:
        """`homes` are the tables by their heading: where a stray key may belong.

        `file` is where the values stand, if problems are to name it.
        """
        self._homes = homes or {}
        self._file = file
        self.problems: list[Problem] = []
        self._read: list[tuple[str, Any]] = []  # the tables, each with its place
        self._misspelt: set[str] = set()  # places of keys that stand there misspelt
        self._faulty: set[str] = set()  # places with a problem, and what holds them
        # Of a list that lost faulty items: the number that each other one had.
        self._numbers: dict[str, list[int]] = {}

    def add(self, place: str, message: str, cure: str) -> None:
        """Remember a problem."""
        self.problems.append(Problem(place, message, cure, file=self._file))
        while place and place not in self._faulty:
            self._faulty.add(place)
            place = holder(place)

    def is_faulty(self, place: str) -> bool:
        """Whether a problem is known there or in what it holds."""
        return place in self._misspelt or place in self._faulty

    def item(self, place: str, index: int) -> str:
        """The place of an item of a list as it was built, which has no faulty ones."""
        numbers = self._numbers.get(place)
        return f"{place}[{numbers[index] if numbers else index}]"

    @cached_property
    def _faults(self) -> Faults:
        from .explain.faults import Faults  # which few files need

        return Faults(self._homes)

    def domains(self) -> list[str]:
        """What each provider of the file is known by, as far as the file says so."""
        return self._faults.domains(self._read)

    def in_order(self) -> list[Problem]:
        """Every problem, in the file's order."""
        if len(self.problems) < 2:
            return self.problems
        return self._faults.in_order(self.problems, self._read, self._faulty)

    def struct(self, cls: type, raw: Any, place: str) -> Any:
        """Build a struct; what is faulty in it gets its default, so that rules run."""
        self._read.append((place, raw))
        return self._struct(type_of(cls), raw, place)

    def _struct(self, kind: inspect.StructType, raw: Any, place: str) -> Any:
        keys, required = keys_of(kind.cls)
        values = {}
        for key, value in raw.items():
            if key not in keys:
                self._unknown_key(place, raw, key, keys)
                continue
            at = f"{place}.{key}" if place else key  # which is a bare key
            of_key = keys[key].table if isinstance(value, dict) else keys[key].value
            built = self._read_as(*of_key, value, at)
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
        """The value, or NODEFAULT after a problem."""
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

        self.add(at, *self._faults.wrong_type(kind, raw, at))
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
        good = [index for index, it in enumerate(values) if it is not NODEFAULT]
        if len(good) == len(values):
            return tuple(values)
        if isinstance(unwrapped(item_type)[0], inspect.StructType):
            return NODEFAULT  # no table may get the number of another
        self._numbers[at] = good
        return tuple(values[index] for index in good)

    def _all_good(self, kind: inspect.Type, raw: list[Any]) -> Any:
        """The strings of a long list, None if one of them has a problem."""
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
        self.add(at, *self._faults.wrong_word(kind, raw, at))
        return NODEFAULT


def unwrapped(
    kind: inspect.Type, raw: Any = None
) -> tuple[inspect.Type, dict[str, Any]]:
    """The type without its wrapping; of a union, the member that `raw` is meant for."""
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            extra |= kind.extra or {}
            kind = kind.type
            continue
        members = [it for it in kind.types if not isinstance(it, inspect.NoneType)]
        tables = [it for it in members if isinstance(it, inspect.StructType)]
        kind = tables[0] if tables and isinstance(raw, dict) else members[0]
    return kind, extra
