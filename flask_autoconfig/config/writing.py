"""Writes the tables as TOML, and their JSON Schema for editors."""

from collections.abc import Iterator
from typing import Any

import msgspec
import tomli_w
from msgspec import Struct, structs

from ..files import table_beside
from .tables import Config, Server

_NULL = {"type": "null"}


def dumps(config: Config) -> str:
    """Return the configuration as TOML, without values that equal their defaults.

    Invisible characters, and those that change the order of others, become escapes.
    """
    text = "\n".join(_tables(to_raw(config), "")).lstrip("\n")
    return "".join(
        char if char.isascii() or char.isprintable() else f"\\U{ord(char):08x}"
        for char in text
    )


def _tables(raw: dict[str, Any], path: str) -> Iterator[str]:
    """Yield a table's lines: inner tables get headings, which are easy to edit."""
    tables = {}
    for key, value in raw.items():
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, dict) for item in items):
            tables[key] = items
    yield tomli_w.dumps({key: raw[key] for key in raw if key not in tables})
    for key, items in tables.items():
        place = f"{path}.{key}" if path else key
        for table in items:
            yield f"[[{place}]]" if isinstance(raw[key], list) else f"[{place}]"
            yield from _tables(table, place)


def to_raw(table: Struct) -> dict[str, Any]:
    """Return a table as parsed TOML, without values that equal their defaults."""
    raw: dict[str, Any] = {}
    for field in structs.fields(table):
        value = getattr(table, field.name)
        default = None if field.required else field.default
        if isinstance(table, Server) and field.name in table.computed:
            without = structs.replace(table, **{field.name: None})
            default = getattr(without.completed(), field.name)
        if value in (None, default) or (value == {} and not field.required):
            continue
        if field.name == "authentication" and len(value) == 1:
            value = value[0]
        items = value if isinstance(value, tuple) else (value,)
        plain = [to_raw(item) if isinstance(item, Struct) else item for item in items]
        raw[field.name] = plain if isinstance(value, tuple) else plain[0]
    return raw


def schema() -> dict[str, Any]:
    """Return the file's JSON Schema (2020-12), with a description of every key."""
    document = msgspec.json.schema(Config)
    descriptions = table_beside(__file__, "descriptions.toml")
    for name, table in document["$defs"].items():
        described = descriptions["Server"] | descriptions[name]
        table["description"] = described[""]
        for key, value in table["properties"].items():
            if value.get("default", "") is None:  # TOML has no null: the key is absent
                del value["default"]
                types = [type_ for type_ in value.pop("anyOf") if type_ != _NULL]
                value |= types[0] if len(types) == 1 else {"anyOf": types}
            if key == "authentication":  # one method needs no list
                methods = {word: value.pop(word) for word in ("type", "items")}
                value["anyOf"] = [methods["items"], {**methods, "minItems": 1}]
                value["default"] = "password-cleartext"
                del value["minItems"]
            value["description"] = described[key]

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "autoconfig.toml",
        **document,
    }
