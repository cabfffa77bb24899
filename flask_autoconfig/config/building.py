"""Turns a parsed TOML document into the tables, gathering every problem."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from msgspec import NODEFAULT, inspect

from ..errors import Problem
from . import hints
from .hiding import is_secret
from .places import below, holder
from .spelling import SMALL
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


class _Key(NamedTuple):
    """A key of a table: what its value is read as, with what a type's `Meta` has."""

    value: tuple[inspect.Type, dict[str, Any]]
    table: tuple[inspect.Type, dict[str, Any]]  # the same where it is a table


@cache
def _keys_of(cls: type) -> tuple[dict[str, _Key], tuple[str, ...]]:
    """The keys of a table's type, and those that must be there."""
    fields = _type_of(cls).fields
    keys = {
        field.encode_name: _Key(_unwrapped(field.type), _unwrapped(field.type, {}))
        for field in fields
    }
    return keys, tuple(field.encode_name for field in fields if field.required)


class Builder:
    """Builds values of msgspec's types from what TOML gives, and collects problems."""

    def __init__(self, homes: Mapping[str, type] | None = None, file: str = "") -> None:
        """`homes` are the tables by their heading: where a stray key may belong.

        `file` is where the values stand, if problems are to name it.
        """
        self._homes = {head: _keys_of(cls)[0] for head, cls in (homes or {}).items()}
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
        keys, required = _keys_of(kind.cls)
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
        return kind.cls(**values)

    def _unknown_key(
        self, place: str, raw: dict[str, Any], key: str, known: dict[str, _Key]
    ) -> None:
        cure, meant = hints.for_key(key, raw, known) or hints.Hint("")
        name = key.lower().replace("-", "_")
        if not cure and name not in known:
            cure = self._home_of(name, raw[key])
            # The page's contact has a name, which is what others call a provider's.
            if not cure or "[provider.page" in cure:
                cure = hints.elsewhere(key, raw, self._homes) or cure
        if not cure:
            meant = self._nearest(key, known)
            cure = f"did you mean {meant}?" if meant else ""
        if meant:
            self._misspelt.add(below(place, meant))
        cure = cure or f"known are {', '.join(known)}"
        self.add(below(place, key), f"there is no key {quote(key)} here", cure)

    def _nearest(self, word: str, words: Iterable[str]) -> str:
        """The one of the words that was probably meant, "" for none."""
        if len(self._guessed) < _MOST_GUESSED:
            self._guessed.add(word)
        return _nearest(word, tuple(words)) if word in self._guessed else ""

    def _home_of(self, key: str, value: Any) -> str:
        """The cure for a key that belongs into another table, "" for any other key."""
        for head, keys in self._homes.items():
            if key not in keys:
                continue
            if not hints.is_tables(value) or not head.startswith("["):
                return f"{key} belongs into {head}"
            path = f"{head.strip('[]')}.{key}"
            is_list = isinstance(keys[key].value[0], inspect.VarTupleType)
            return (
                f"head it {f'[[{path}]]' if is_list else f'[{path}]'}, below its {head}"
            )
        return ""

    def _missing(self, place: str, key: str, extra: dict[str, Any]) -> None:
        if below(place, key) not in self._misspelt:
            example = extra.get("example", "…")
            self.add(place, f"{key} is missing", f'add {key} = "{example}"')

    def _value(self, kind: inspect.Type, raw: Any, at: str) -> Any:
        """The value, or NODEFAULT after a problem."""
        return self._read_as(*_unwrapped(kind, raw), raw, at)

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

        wanted = _expected(kind)
        if is_secret(_key(at)):
            self.add(at, f"expected {wanted}", f"write {wanted}")
        else:
            message = f"expected {wanted}, got {quote(raw)}"
            self.add(at, message, _spelling(kind, raw, at))
        return NODEFAULT

    def _dict(self, kind: inspect.DictType, raw: dict[str, Any], at: str) -> Any:
        _, key_extra = _unwrapped(kind.key_type)
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
            cure = f"write {_key(at)} = {hints.listed(raw)}"
            cure = hints.for_all(_key(at), raw) or cure
            if isinstance(_unwrapped(kind.item_type)[0], inspect.StructType):
                cure = _list_heading(at, raw)
            self.add(at, f"expected a list, got {quote(raw)}", cure)
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
        if isinstance(_unwrapped(item_type)[0], inspect.StructType):
            return NODEFAULT  # no table may get the number of another
        self._numbers[at] = good
        return tuple(values[index] for index in good)

    def _all_good(self, kind: inspect.Type, raw: list[Any]) -> Any:
        """The strings of a long list, None if one of them has a problem."""
        item, extra = _unwrapped(kind)
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
            message, cure = error.args
            if is_secret(_key(at)) and quote(raw) in message:
                message = message.partition(quote(raw))[0] + "it"
                cure = "remove that"
            self.add(at, message, cure)
            return NODEFAULT

    def _literal(self, kind: inspect.LiteralType, raw: str, at: str) -> Any:
        if raw in kind.values:
            return raw
        words = [str(word) for word in kind.values]
        by_lower = {word.lower(): word for word in words}
        near = self._nearest(raw, by_lower)
        cure = f'did you mean "{by_lower[near]}"?' if near else "use one of them"
        synonym = hints.synonym(_key(at), raw, words)
        for_all = hints.for_all(_key(at), raw)
        if synonym or for_all:
            cure = f'write "{synonym}"' if synonym else for_all
        elif _key(at) == "type":
            cure = hints.for_type(raw, _key(holder(at))) or cure
        wanted = ", ".join(f'"{word}"' for word in words)
        if len(words) > 1:
            wanted = "one of " + wanted
        self.add(at, f"expected {wanted}, got {quote(raw)}", cure)
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
        kind, extra = _unwrapped(field.type, value)
        if extra.get("value") is accept and isinstance(value, str):
            yield Found(raw, field.encode_name, place, at)
        elif isinstance(kind, inspect.StructType) and isinstance(value, dict):
            yield from strings_read_by(accept, kind.cls, value, at)
        elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list | tuple):
            item = _unwrapped(kind.item_type)[0]
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


def _header(at: str) -> str:
    """The place as a table's header names it: without the numbers."""
    return ".".join(part.partition("[")[0] for part in at.split("."))


def _unwrapped(
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


def _expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return f"an integer from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f'"{word}"' for word in kind.values)
    return _KINDS[type(kind)]


def _spelling(kind: inspect.Type, raw: Any, at: str) -> str:
    """What to write for a value of another type."""
    key = _key(at)
    if isinstance(kind, inspect.StructType):
        return _table_for(kind, raw, at)
    if isinstance(kind, inspect.DictType) and isinstance(raw, str):
        return f"name the language: {{en = {quote(raw)}}}"
    if isinstance(kind, inspect.IntType) and isinstance(raw, str | float):
        around = r"\D*" if key == "port" else ""
        number = re.fullmatch(rf"{around}(\d+)(?:\.0*)?{around}", str(raw))
        if number and _fits(kind, number[1]):
            return f"write {key} = {int(number[1])}"
    if isinstance(kind, inspect.BoolType):
        word = str(raw).lower() if raw in (0, 1) or isinstance(raw, str) else ""
        meant = {"1": "true", "0": "false"}.get(word, SMALL.get(word, word))
        if meant in ("true", "false"):
            return f"write {key} = {meant}"
    if isinstance(kind, inspect.LiteralType):
        return _word_for(kind, raw, key)
    if isinstance(kind, inspect.StrType) and not isinstance(raw, dict | list):
        text = quote(raw)
        return f'write "{text}"' if at.endswith("]") else f'write {key} = "{text}"'
    if isinstance(kind, inspect.StrType) and isinstance(raw, list):
        if hints.in_one_text(key, raw):
            return hints.in_one_text(key, raw)
        first = raw[0] if raw and isinstance(raw[0], str) else "…"
        more = "; another server is another table" if len(raw) > 1 else ""
        return f"write {key} = {quote(first)}{more}"
    return f"write {_expected(kind)}"


def _fits(kind: inspect.IntType, digits: str) -> bool:
    return len(digits) < 10 and (kind.ge or 0) <= int(digits) <= (kind.le or 0)


def _word_for(kind: inspect.LiteralType, raw: Any, key: str) -> str:
    first = raw[0] if isinstance(raw, list) and raw else raw
    if key == "socket_type" and isinstance(first, bool | str):
        more = "; another server is another table" if isinstance(raw, list) else ""
        return f'write socket_type = "{hints.socket_type(first)}"{more}'
    if isinstance(raw, bool):
        meant = hints.synonym(key, str(raw).lower(), map(str, kind.values))
        return f'write {key} = "{meant}"' if meant else "write one of them, in quotes"
    if not isinstance(raw, dict | list):
        return "write it in quotes"
    return "write one of them, in quotes"


def _table_for(kind: inspect.StructType, raw: Any, at: str) -> str:
    """What to write for what has to be a table."""
    path = _header(at)
    if isinstance(raw, list):
        return f"head it [{path}], with one bracket"
    if "[" in at.rpartition(".")[2]:  # an item of a list of tables
        return f"write a table below [[{path}]]"
    _, required = _keys_of(kind.cls)
    if isinstance(raw, str) and len(required) == 1:
        return f"write {required[0]} = {quote(raw)} below [{path}]"
    return f"write its keys below [{path}]"


def _list_heading(at: str, raw: Any) -> str:
    path = _header(at)
    if not isinstance(raw, dict):
        return f"write a table below [[{path}]]"
    if path == "provider" and raw and all(map(hints.is_tables, raw.values())):
        return "begin with [[provider]] and its domains; its other tables follow it"
    return f"head it [[{path}]], with two brackets"


def _key(at: str) -> str:
    """The key that a place ends with."""
    return at.rpartition(".")[2].partition("[")[0]


@lru_cache(maxsize=1024)
def _nearest(word: str, words: tuple[str, ...]) -> str:
    """The one of the words that was probably meant, "" for none."""
    if len(word) > 2 * max(map(len, words)):
        return ""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), words, 1, 0.6)
    return near[0] if near else ""
