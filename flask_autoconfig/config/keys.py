"""The types of the values in the TOML file, and the base class of its tables.

The `extra` of a type's `Meta` tells the builder how to read a value: `value` is the
function of :mod:`values` that validates a string, `single` allows one item without a
list, `item` names an item of a list that must not be empty, and `example` is a value to
propose where the key is missing.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from . import values

Line = Annotated[str, Meta(extra={"value": values.line})]
Prose = Annotated[str, Meta(extra={"value": values.prose})]
Filled = Annotated[str, Meta(extra={"value": values.placeholder_text})]
Identifier = Annotated[str, Meta(extra={"value": values.identifier})]
Domain = Annotated[str, Meta(extra={"value": values.exact_domain})]
DomainPattern = Annotated[str, Meta(extra={"value": values.domain_pattern})]
FilePattern = Annotated[str, Meta(extra={"value": values.file_pattern})]
Host = Annotated[str, Meta(extra={"value": values.host_name})]
Url = Annotated[str, Meta(extra={"value": values.url})]
ServiceUrl = Annotated[str, Meta(extra={"value": values.service_url})]
Issuer = Annotated[str, Meta(extra={"value": values.issuer})]
Language = Annotated[str, Meta(extra={"value": values.language_tag})]
Texts = dict[Language, Prose]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base class of the tables in the TOML file."""
