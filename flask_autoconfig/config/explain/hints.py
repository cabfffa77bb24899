"""Messages and cures for the keys and values that the tables refuse."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import inspect

from .. import tables
from ..building import Key, holder, keys_of, unwrapped
from ..values import quote
from .foreign import SERVERS, WORDS, bare_host, login_for, plain, socket_type, synonym
from .foreign import for_type as for_type
from .hiding import is_secret

Keys = Mapping[str, Key]
# The tables by their heading; of those that have a stray key, the first is proposed.
_HOMES = {
    "[[provider]]": tables.Provider,
    "[provider.webmail]": tables.Webmail,
    "[provider.oauth2]": tables.OAuth2,
    "[provider.incoming.pop3]": tables.Pop3,
    "[[provider.incoming]]": tables.Incoming,
    "[[provider.outgoing]]": tables.Outgoing,
    "[provider.page]": tables.ProviderPage,
}
_OTHER_NAMES = {ours: names.split() for ours, names in WORDS["keys"].items()}
_PASSWORDS, _ALL = WORDS["passwords"].split(), WORDS["all"].split()
_KINDS = {
    inspect.StrType: "a string",
    inspect.BoolType: "true or false",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
    inspect.VarTupleType: "a list",
}
_MOST_GUESSED = 1000  # different words of a file that are compared with known ones


class Hints:
    """Describes what a file has wrong, each with a message and a cure."""

    def __init__(self, file: str) -> None:
        """`file` is the included file that is read, "" for the main one."""
        top = "the top of the file, before the first table"
        if file:
            top = "the file that includes this one"
        homes = {top: tables.Config, **_HOMES}
        self._homes = {head: keys_of(cls)[0] for head, cls in homes.items()}
        self._near: dict[tuple[str, tuple[str, ...]], str] = {}

    def unknown_key(
        self, key: str, raw: dict[str, Any], known: Keys
    ) -> tuple[str, str]:
        """Return the cure, and the known key that was probably meant, or ""."""
        theirs = plain(key)
        if theirs in _PASSWORDS:
            why = "the settings are public, and clients ask for the password"
            return f"remove it: {why}", ""
        if _is_tables(raw[key]) and theirs in SERVERS:
            home, type_ = SERVERS[theirs].split()
            below = ", below its [[provider]]" * ("provider" in known)
            cure = f'write the heading [[provider.{home}]]{below}, and type = "{type_}"'
            return cure, home
        found = next(self._places_for(key, raw, known), None)
        if found is not None:
            return found
        near = self._nearest(key, known)
        if near:
            return f"did you mean {near}?", near
        return f"the known keys are {', '.join(known)}", ""

    def refused(self, error: ValueError, raw: str, at: str) -> tuple[str, str]:
        """Describe a string that its key refuses, without repeating a secret."""
        message, cure = error.args
        if is_secret(_key(at)) and quote(raw) in message:
            return message.partition(quote(raw))[0] + "the value", "remove that"
        return message, cure

    def wrong(
        self, kind: inspect.Type, raw: Any, at: str, port: Any
    ) -> tuple[str, str]:
        """Describe a value that its key cannot have; *port* is in the same table."""
        expected, key = _KINDS.get(type(kind), ""), _key(at)
        if isinstance(kind, inspect.IntType):
            expected = f"an integer from {kind.ge} to {kind.le}"
        elif isinstance(kind, inspect.LiteralType):
            words = ", ".join(f'"{word}"' for word in kind.values)
            expected = f"one of {words}" if len(kind.values) > 1 else words
        if is_secret(key):
            return f"expected {expected}", f"write {expected}"
        cure = self._cure(kind, raw, at, port) or f"write {expected}"
        return f"expected {expected}, got {quote(raw)}", cure

    def _cure(self, kind: inspect.Type, raw: Any, at: str, port: Any) -> str:
        key = _key(at)
        heading = _heading(kind, at)
        if at == "provider" and isinstance(raw, dict) and "domains" not in raw:
            return "begin with [[provider]] and its domains, before its other tables"
        if heading:
            return f"write the heading {heading}, and its keys below it"
        if key == "clients" and raw in _ALL:
            return "remove the key: by default all are served, except ispdb"
        if isinstance(kind, inspect.DictType) and isinstance(raw, str):
            return f"name the language: {{en = {quote(raw)}}}"
        value = _meant(key, kind, raw, port)
        if value:
            return f"write {value}" if at.endswith("]") else f"write {key} = {value}"
        if not isinstance(kind, inspect.LiteralType):
            return ""
        if key == "type" and (cure := for_type(str(raw), _key(holder(at)))):
            return cure
        by_lower = {str(word).lower(): word for word in kind.values}
        near = self._nearest(raw, by_lower) if isinstance(raw, str) else ""
        return f'did you mean "{by_lower[near]}"?' if near else "use one of them"

    def _places_for(
        self, key: str, raw: Mapping[str, Any], known: Keys
    ) -> Iterator[tuple[str, str]]:
        """Yield what to write for a key of another table or of another program."""
        name = key.lower().replace("-", "_")
        theirs = plain(key)
        others = [it for it, names in _OTHER_NAMES.items() if theirs in names]
        if _is_tables(raw[key]):
            others = []
        for head, keys in {"": known, **self._homes}.items():
            for meant in filter(keys.__contains__, (name, *others)):
                kind, extra = keys[meant].value
                heading = _heading(kind, f"{head.strip('[]')}.{meant}")
                where = f" in {head}" if head else ""
                if not head and meant in raw:
                    yield f"remove it: {meant} is there", meant
                elif heading and head.startswith("[") and _is_tables(raw[key]):
                    yield f"write the heading {heading}, below its {head}", ""
                elif head and meant == name:
                    yield f"move {name} to {head}", ""
                else:
                    if isinstance(kind, inspect.VarTupleType) and extra.get("single"):
                        kind = unwrapped(kind.item_type)[0]
                    value = _meant(meant, kind, raw[key], raw.get("port"), key)
                    cure = f"write {meant} = {value or quote('…')}{where}"
                    yield cure, meant * (not head)

    def _nearest(self, word: str, words: Iterable[str]) -> str:
        """Return the word that was probably meant, or ""."""
        pair = (word, tuple(words))
        is_comparable = len(word) <= 2 * max(map(len, pair[1]))
        if is_comparable and pair not in self._near and len(self._near) < _MOST_GUESSED:
            plain_word = word.lower().replace("-", "_")
            found = difflib.get_close_matches(plain_word, pair[1], 1, 0.6)
            self._near[pair] = found[0] if found else ""
        return self._near.get(pair, "")


def _meant(key: str, kind: inspect.Type, raw: Any, port: Any, written: str = "") -> str:
    """Return what was meant by a value, as TOML spells it, or ""."""
    if isinstance(kind, inspect.VarTupleType):  # one string may hold several items
        words = re.split(r"[\s,;]+", raw) if isinstance(raw, str) else raw
        items = words if isinstance(words, list) else []
        texts = [quote(word) for word in items if word and isinstance(word, str)]
        more = ", …" if len(texts) > 3 else ""
        return f"[{', '.join(texts[:3])}{more}]" if texts else ""
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if isinstance(raw, list | dict):
        return ""
    text = raw if isinstance(raw, str) else quote(raw)
    if isinstance(kind, inspect.IntType):
        number = re.fullmatch(r"0*(\d{1,9})(?:\.0*)?", text)
        if number and (kind.ge or 0) <= int(number[1]) <= (kind.le or 0):
            return number[1]
    elif isinstance(kind, inspect.BoolType):
        return synonym("truth", text)
    elif isinstance(kind, inspect.LiteralType):
        word = synonym(key, text, map(str, kind.values))
        if key == "socket_type" and (word or raw in (0, 1)):
            word = socket_type(text, written, port)
        return quote(word) if word else ""
    elif isinstance(kind, inspect.StrType):
        if key == "username":
            text = login_for(text)
        return quote(
            bare_host(text) or "mail.example.com" if key == "hostname" else text
        )
    return ""


def _is_tables(value: Any) -> bool:
    """Whether a raw value is a table, or a list with a table in it."""
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) for item in items)


def _key(at: str) -> str:
    """Return the key that a place ends with."""
    return at.rpartition(".")[2].partition("[")[0]


def _heading(kind: inspect.Type, at: str) -> str:
    """Return the heading of a table or of a list of tables, or ""."""
    path = ".".join(part.partition("[")[0] for part in at.split("."))
    if isinstance(kind, inspect.VarTupleType):
        is_tables = isinstance(unwrapped(kind.item_type)[0], inspect.StructType)
        return f"[[{path}]]" if is_tables else ""
    if not isinstance(kind, inspect.StructType):
        return ""
    return f"[[{path}]]" if at.endswith("]") else f"[{path}]"
