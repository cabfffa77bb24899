"""Turns a parsed TOML document into the tables, gathering every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from msgspec import NODEFAULT, inspect

from ..errors import Problem
from .places import below, holder
from .servers import Server
from .values import quote

_KINDS = {
    inspect.StrType: "a string",
    inspect.BoolType: "true or false",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
    inspect.VarTupleType: "a list",
}
_MOST_GUESSED = 1000  # unlike words of a file that are compared with known ones


@cache
def _type_of(cls: type) -> inspect.StructType:
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
    fields = _type_of(cls).fields
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
        self._homes = {head: keys_of(cls)[0] for head, cls in (homes or {}).items()}
        self._file = file
        self.problems: list[Problem] = []
        self._read: list[tuple[str, Any]] = []  # the tables, each with its place
        self._guessed: set[str] = set()  # words that were compared with known ones
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

    def domains(self) -> list[str]:
        """What each provider of the file is known by, as far as the file says so."""
        tables = next((raw.get("provider") for _, raw in self._read), None)
        return list(map(_domain_in, tables)) if isinstance(tables, list) else []

    def in_order(self) -> list[Problem]:
        """Every problem, in the file's order."""
        if len(self.problems) < 2:
            return self.problems
        faulty = self._faulty
        read = (it for at, raw in self._read for it in _places_in(raw, at, faulty))
        positions = {place: number for number, place in enumerate(read)}

        def position(problem: Problem) -> int:
            place = problem.place
            while place and place not in positions:
                place = holder(place)
            return positions.get(place, -1)

        return sorted(self.problems, key=position)

    def struct(self, cls: type, raw: Any, place: str) -> Any:
        """Build a struct; what is faulty in it gets its default, so that rules run."""
        self._read.append((place, raw))
        return self._struct(_type_of(cls), raw, place)

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
        from .explain import cures

        cure, meant = cures.for_unknown_key(raw, key, known, self._homes)
        if not cure:
            meant = self._nearest(key, known)
            cure = f"did you mean {meant}?" if meant else ""
        if meant:
            self._misspelt.add(below(place, meant))
        cure = cure or f"known are {', '.join(known)}"
        self.add(below(place, key), f"there is no key {quote(key)} here", cure)

    def _nearest(self, word: str, words: Iterable[str]) -> str:
        """The one of the words that was probably meant, "" for none."""
        from .explain import cures

        if len(self._guessed) < _MOST_GUESSED:
            self._guessed.add(word)
        return cures.nearest(word, tuple(words)) if word in self._guessed else ""

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

        from .explain import cures

        self.add(at, *cures.for_type(kind, raw, at))
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
            from .explain import cures

            self.add(
                at, f"expected a list, got {quote(raw)}", cures.for_list(kind, raw, at)
            )
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
            from .explain import cures

            message, cure = cures.without_secret(at, raw, *error.args)
            self.add(at, message, cure)
            return NODEFAULT

    def _literal(self, kind: inspect.LiteralType, raw: str, at: str) -> Any:
        if raw in kind.values:
            return raw
        from .explain import cures

        words = {str(word).lower(): str(word) for word in kind.values}
        near = words.get(self._nearest(raw, words), "")
        self.add(at, *cures.for_word(list(words.values()), raw, at, near))
        return NODEFAULT


class Found(NamedTuple):
    """A string of a raw document: the table that it stands in, its key, the two's place."""

    table: dict[str, Any]
    key: str
    holder: str  # the table's place
    place: str  # the string's own


def strings_read_by(
    accept: Callable[[str], str], cls: type, raw: dict[str, Any], place: str
) -> Iterator[Found]:
    """Every string of a raw table of that type which `accept` is to read."""
    for field in _type_of(cls).fields:
        value = raw.get(field.encode_name)
        if not value:
            continue
        at = below(place, field.encode_name)
        kind, extra = unwrapped(field.type, value)
        if extra.get("value") is accept and isinstance(value, str):
            yield Found(raw, field.encode_name, place, at)
        elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
            yield from strings_read_by(accept, kind.cls, value, at)
        elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list | tuple):
            item = unwrapped(kind.item_type)[0]
            if isinstance(item, inspect.StructType):
                for index, table in enumerate(value):
                    yield from strings_read_by(
                        accept, item.cls, table, f"{at}[{index}]"
                    )


def _places_in(raw: Any, place: str, among: set[str]) -> Iterator[str]:
    """The place of every key and every item of a list that is one of those, in order."""
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(raw, dict):
        inner = ((below(place, key), value) for key, value in raw.items())
    elif isinstance(raw, list):
        inner = ((f"{place}[{index}]", item) for index, item in enumerate(raw))
    for at, value in inner:
        if at in among:
            yield at
            yield from _places_in(value, at, among)


def _domain_in(raw: Any) -> str:
    """The first domain of a raw provider, its id where it has none, or ""."""
    if not isinstance(raw, dict):
        return ""
    domains = raw.get("domains")
    names = [*domains[:1], raw.get("id")] if isinstance(domains, list) else [domains]
    texts = [it.strip() for it in (*names, raw.get("id")) if isinstance(it, str)]
    return next((quote(it)[1:-1] for it in texts if it), "")


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


def expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return f"an integer from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f'"{word}"' for word in kind.values)
    return _KINDS[type(kind)]


def last_key(at: str) -> str:
    """The key that a place ends with."""
    return at.rpartition(".")[2].partition("[")[0]
