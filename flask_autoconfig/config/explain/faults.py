"""What is wrong with the values of a TOML document, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import inspect

from ...errors import Problem
from ..building import Key, below, holder, keys_of, unwrapped
from ..values import quote
from . import hints
from .hiding import is_secret
from .spelling import SMALL

_KINDS = {
    inspect.StrType: "a string",
    inspect.BoolType: "true or false",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
    inspect.VarTupleType: "a list",
}
_MOST_GUESSED = 1000  # unlike words of a file that are compared with known ones


class Faults:
    """Puts what is wrong with values into words: each time a message and a cure."""

    def __init__(self, homes: Mapping[str, type]) -> None:
        """`homes` are the tables by their heading: where a stray key may belong."""
        self._homes = {head: keys_of(cls)[0] for head, cls in homes.items()}
        self._guessed: set[str] = set()  # words that were compared with known ones

    def unknown_key(
        self, key: str, raw: dict[str, Any], known: dict[str, Key]
    ) -> tuple[str, str]:
        """The cure, and the known key that was probably meant, or ""."""
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
        return cure or f"known are {', '.join(known)}", meant

    def wrong_type(self, kind: inspect.Type, raw: Any, at: str) -> tuple[str, str]:
        """Of a value of another type than the key takes."""
        wanted = _expected(kind)
        if is_secret(_key(at)):
            return f"expected {wanted}", f"write {wanted}"
        return f"expected {wanted}, got {quote(raw)}", _spelling(kind, raw, at)

    def no_list(self, kind: inspect.VarTupleType, raw: Any, at: str) -> tuple[str, str]:
        """Of a value that should be a list."""
        cure = f"write {_key(at)} = {hints.listed(raw)}"
        cure = hints.for_all(_key(at), raw) or cure
        if isinstance(unwrapped(kind.item_type)[0], inspect.StructType):
            cure = _list_heading(at, raw)
        return f"expected a list, got {quote(raw)}", cure

    def refused(self, error: ValueError, raw: str, at: str) -> tuple[str, str]:
        """Of a text that its key does not take; a secret is not repeated."""
        message, cure = error.args
        if is_secret(_key(at)) and quote(raw) in message:
            return message.partition(quote(raw))[0] + "it", "remove that"
        return message, cure

    def wrong_word(
        self, kind: inspect.LiteralType, raw: str, at: str
    ) -> tuple[str, str]:
        """Of a text that is none of the words that its key takes."""
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
        return f"expected {wanted}, got {quote(raw)}", cure

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

    def domains(self, read: list[tuple[str, Any]]) -> list[str]:
        """What each provider is known by in the tables that were read."""
        tables = next((raw.get("provider") for _, raw in read), None)
        return list(map(_domain_in, tables)) if isinstance(tables, list) else []

    def in_order(
        self, problems: list[Problem], read: list[tuple[str, Any]], faulty: set[str]
    ) -> list[Problem]:
        """The problems in the order of the tables that were read."""
        places = (it for at, raw in read for it in _places_in(raw, at, faulty))
        positions = {place: number for number, place in enumerate(places)}

        def position(problem: Problem) -> int:
            place = problem.place
            while place and place not in positions:
                place = holder(place)
            return positions.get(place, -1)

        return sorted(problems, key=position)


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
    _, required = keys_of(kind.cls)
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
