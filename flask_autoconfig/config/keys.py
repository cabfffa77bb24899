"""What tables of the TOML are made of: the kinds of their values, and their base.

A type's `Meta` says in `description` what the key means (the JSON Schema has it), and in
`extra` how its value is read: `value` is the function of :mod:`values` that a string must
pass, `single` lets one item stand without a list, `item` is the word for one of a list
that must not be empty, `example` is what an error proposes.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .values import (
    host_name,
    identifier,
    language_tag,
    line,
    placeholder_text,
    prose,
    url,
)

Line = Annotated[str, Meta(extra={"value": line})]
Prose = Annotated[str, Meta(extra={"value": prose})]
Filled = Annotated[str, Meta(extra={"value": placeholder_text})]
Identifier = Annotated[str, Meta(extra={"value": identifier})]
Host = Annotated[str, Meta(extra={"value": host_name})]
Url = Annotated[str, Meta(extra={"value": url})]
Language = Annotated[str, Meta(extra={"value": language_tag})]
Texts = dict[Language, Prose]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""
