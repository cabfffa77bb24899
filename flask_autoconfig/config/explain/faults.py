"""Messages and cures for the values of a TOML document that the tables refuse."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import inspect

from ..building import Key, holder, keys_of, unwrapped
from ..values import quote
from . import hints
from .hiding import is_secret
from .spelling import BOOLEANS

_KINDS = {
    inspect.StrType: "a string",
    inspect.BoolType: "true or false",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
    inspect.VarTupleType: "a list",
}
_MOST_GUESSED = 1000  # different words of a file that are compared with known ones


class Faults:
    """Describes faulty values, each with a message and a cure."""

    def __init__(self, homes: Mapping[str, type]) -> None:
        """`homes` are the tables by their heading, where a stray key may belong."""
        self._homes = {head: keys_of(cls)[0] for head, cls in homes.items()}
        self._guessed: set[str] = set()  # words that were compared with known ones

    def unknown_key(
        self, key: str, raw: dict[str, Any], known: dict[str, Key]
    ) -> tuple[str, str]:
        """Return the cure, and the known key that was probably meant, or ""."""
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
        return cure or f"the known keys are {', '.join(known)}", meant

    def wrong_type(
        self, kind: inspect.Type, raw: Any, at: str, port: Any = None
    ) -> tuple[str, str]:
        """Describe a value of another type than the key has."""
        expected = _expected(kind)
        if is_secret(_key(at)):
            return f"expected {expected}", f"write {expected}"
        return f"expected {expected}, got {quote(raw)}", _conversion(
            kind, raw, at, port
        )

    def no_list(self, kind: inspect.VarTupleType, raw: Any, at: str) -> tuple[str, str]:
        """Describe a value that should be a list."""
        key = _key(at)
        cure = hints.for_all_clients(key, raw) or f"write {key} = {hints.listed(raw)}"
        if isinstance(unwrapped(kind.item_type)[0], inspect.StructType):
            cure = _list_heading(at, raw)
        return f"expected a list, got {quote(raw)}", cure

    def refused(self, error: ValueError, raw: str, at: str) -> tuple[str, str]:
        """Describe a string that its key refuses, without repeating a secret."""
        message, cure = error.args
        if is_secret(_key(at)) and quote(raw) in message:
            return message.partition(quote(raw))[0] + "the value", "remove that"
        return message, cure

    def wrong_word(
        self, kind: inspect.LiteralType, raw: str, at: str, port: Any = None
    ) -> tuple[str, str]:
        """Describe a string that is none of the words of its key.

        *port* is the port in the same table.
        """
        words = list(map(str, kind.values))
        message = f"expected {_expected(kind)}, got {quote(raw)}"
        key = _key(at)
        synonym = hints.synonym(key, raw, words)
        if synonym and key == "socket_type":
            synonym = hints.socket_type(raw, port=port)
        cure = f'write "{synonym}"' if synonym else hints.for_all_clients(key, raw)
        if not cure and key == "type":
            cure = hints.for_type(raw, _key(holder(at)))
        if not cure:
            by_lower = {word.lower(): word for word in words}
            near = self._nearest(raw, by_lower)
            cure = f'did you mean "{by_lower[near]}"?' if near else "use one of them"
        return message, cure

    def _nearest(self, word: str, words: Iterable[str]) -> str:
        """Return the word that was probably meant, or ""."""
        if len(self._guessed) < _MOST_GUESSED:
            self._guessed.add(word)
        return _nearest(word, tuple(words)) if word in self._guessed else ""

    def _home_of(self, key: str, value: Any) -> str:
        """Return the cure for a key that belongs in another table, or ""."""
        for head, keys in self._homes.items():
            if key not in keys:
                continue
            if not hints.is_tables(value) or not head.startswith("["):
                return f"move {key} to {head}"
            path = f"{head.strip('[]')}.{key}"
            is_list = isinstance(keys[key].value[0], inspect.VarTupleType)
            heading = f"[[{path}]]" if is_list else f"[{path}]"
            return f"write the heading {heading}, below its {head}"
        return ""


def _heading(at: str) -> str:
    """Return a place as the heading of a table has it, without indexes."""
    return ".".join(part.partition("[")[0] for part in at.split("."))


def _expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return f"an integer from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.LiteralType):
        words = ", ".join(f'"{word}"' for word in kind.values)
        return f"one of {words}" if len(kind.values) > 1 else words
    return _KINDS[type(kind)]


def _conversion(kind: inspect.Type, raw: Any, at: str, port: Any) -> str:
    """Return the cure for a value of another type."""
    key = _key(at)
    if isinstance(kind, inspect.StructType):
        return _table_for(kind, raw, at)
    if isinstance(kind, inspect.DictType) and isinstance(raw, str):
        return f"name the language: {{en = {quote(raw)}}}"
    if isinstance(kind, inspect.IntType) and isinstance(raw, str | float):
        around = r"\D*" if key == "port" else ""
        number = re.fullmatch(rf"{around}(\d{{1,9}})(?:\.0*)?{around}", str(raw))
        if number and (kind.ge or 0) <= int(number[1]) <= (kind.le or 0):
            return f"write {key} = {int(number[1])}"
    if isinstance(kind, inspect.BoolType) and str(raw).lower() in BOOLEANS:
        return f"write {key} = {BOOLEANS[str(raw).lower()]}"
    if isinstance(kind, inspect.LiteralType):
        return _word_for(kind, raw, key, port)
    if isinstance(kind, inspect.StrType) and isinstance(raw, list):
        return _string_for(key, raw)
    if isinstance(kind, inspect.StrType) and not isinstance(raw, dict):
        text = quote(raw)
        return f'write "{text}"' if at.endswith("]") else f'write {key} = "{text}"'
    return f"write {_expected(kind)}"


def _string_for(key: str, items: list[Any]) -> str:
    first = items[0] if items and isinstance(items[0], str) else "…"
    if key == "scope":
        return f"write {key} = {quote(' '.join(map(str, items)))}"
    more = "; write another server as another table" if len(items) > 1 else ""
    return f"write {key} = {quote(first)}{more}"


def _word_for(kind: inspect.LiteralType, raw: Any, key: str, port: Any) -> str:
    first = raw[0] if isinstance(raw, list) and raw else raw
    if key == "socket_type" and isinstance(first, bool | str):
        more = "; write another server as another table" * isinstance(raw, list)
        return f'write socket_type = "{hints.socket_type(first, port=port)}"{more}'
    meant = hints.synonym(key, str(raw).lower(), map(str, kind.values))
    return f'write {key} = "{meant}"' if meant else "write one of them, in quotes"


def _table_for(kind: inspect.StructType, raw: Any, at: str) -> str:
    path = _heading(at)
    if isinstance(raw, list):
        return f"write the heading [{path}], with one bracket"
    if at.endswith("]"):  # an item of a list of tables
        return f"write a table below [[{path}]]"
    _, required = keys_of(kind.cls)
    if isinstance(raw, str) and len(required) == 1:
        return f"write {required[0]} = {quote(raw)} below [{path}]"
    return f"write its keys below [{path}]"


def _list_heading(at: str, raw: Any) -> str:
    path = _heading(at)
    if not isinstance(raw, dict):
        return f"write a table below [[{path}]]"
    if path == "provider" and raw and all(map(hints.is_tables, raw.values())):
        return "begin with [[provider]] and its domains, before its other tables"
    return f"write the heading [[{path}]], with two brackets"


def _key(at: str) -> str:
    """Return the key that a place ends with."""
    return at.rpartition(".")[2].partition("[")[0]


@lru_cache(maxsize=1024)
def _nearest(word: str, words: tuple[str, ...]) -> str:
    if len(word) > 2 * max(map(len, words)):
        return ""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), words, 1, 0.6)
    return near[0] if near else ""
