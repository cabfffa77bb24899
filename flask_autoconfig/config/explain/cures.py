"""What to write instead of a key or a value that a table does not take."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import inspect

from ..building import Key, expected, keys_of, last_key, unwrapped
from ..places import holder
from ..values import quote
from . import hints
from .hiding import is_secret
from .spelling import SMALL

Homes = Mapping[str, Mapping[str, Key]]  # the tables by their heading, with their keys


def for_unknown_key(
    raw: dict[str, Any], key: str, known: Iterable[str], homes: Homes
) -> hints.Hint:
    """The cure for a key that is unknown in the table *raw*; empty for none."""
    cure, meant = hints.for_key(key, raw, known) or hints.Hint("")
    name = key.lower().replace("-", "_")
    if not cure and name not in known:
        cure = _home_of(name, raw[key], homes)
        # The page's contact has a name, which is what others call a provider's.
        if not cure or "[provider.page" in cure:
            cure = hints.elsewhere(key, raw, homes) or cure
    return hints.Hint(cure, meant)


def _home_of(key: str, value: Any, homes: Homes) -> str:
    """The cure for a key that belongs to another table, "" for any other key."""
    for head, keys in homes.items():
        if key not in keys:
            continue
        if not hints.is_tables(value) or not head.startswith("["):
            return f"{key} belongs into {head}"
        path = f"{head.strip('[]')}.{key}"
        is_list = isinstance(keys[key].value[0], inspect.VarTupleType)
        return f"head it {f'[[{path}]]' if is_list else f'[{path}]'}, below its {head}"
    return ""


def for_type(kind: inspect.Type, raw: Any, at: str) -> tuple[str, str]:
    """The message and the cure for a value of another type."""
    wanted = expected(kind)
    if is_secret(last_key(at)):
        return f"expected {wanted}", f"write {wanted}"
    return f"expected {wanted}, got {quote(raw)}", _spelling(kind, raw, at)


def without_secret(at: str, raw: str, message: str, cure: str) -> tuple[str, str]:
    """The message and the cure without the value of a key that is secret."""
    if is_secret(last_key(at)) and quote(raw) in message:
        return message.partition(quote(raw))[0] + "it", "remove that"
    return message, cure


def for_list(kind: inspect.VarTupleType, raw: Any, at: str) -> str:
    """The cure for what has to be a list."""
    if isinstance(unwrapped(kind.item_type)[0], inspect.StructType):
        return _list_heading(at, raw)
    key = last_key(at)
    return hints.for_all(key, raw) or f"write {key} = {hints.listed(raw)}"


def for_word(words: list[str], raw: str, at: str, near: str) -> tuple[str, str]:
    """The message and the cure for a word that is none of *words*.

    *near* is the word that was probably meant, "" for none.
    """
    cure = f'did you mean "{near}"?' if near else "use one of them"
    key = last_key(at)
    synonym = hints.synonym(key, raw, words)
    for_all = hints.for_all(key, raw)
    if synonym or for_all:
        cure = f'write "{synonym}"' if synonym else for_all
    elif key == "type":
        cure = hints.for_type(raw, last_key(holder(at))) or cure
    wanted = ", ".join(f'"{word}"' for word in words)
    if len(words) > 1:
        wanted = "one of " + wanted
    return f"expected {wanted}, got {quote(raw)}", cure


def _spelling(kind: inspect.Type, raw: Any, at: str) -> str:
    """What to write for a value of another type."""
    key = last_key(at)
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
    return f"write {expected(kind)}"


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


def _header(at: str) -> str:
    """The place as a table's header names it: without the numbers."""
    return ".".join(part.partition("[")[0] for part in at.split("."))


@lru_cache(maxsize=1024)
def nearest(word: str, words: tuple[str, ...]) -> str:
    """The one of the words that was probably meant, "" for none."""
    if len(word) > 2 * max(map(len, words)):
        return ""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), words, 1, 0.6)
    return near[0] if near else ""
