"""The result and the errors of every importer, and helpers that they share."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import ConfigError

Raw = dict[str, Any]  # a table of the TOML

DAV = {"caldav": "calendar", "carddav": "address_book"}


class Imported(NamedTuple):
    """The providers of a file, and a sentence for each thing that is left out."""

    providers: list[Raw]
    notes: list[str]
    # Returns the place of a table's value in the file: " (line 7, <port>)", or "".
    where: Callable[[Any, Any], str] = lambda table, key: ""


def unreadable(
    message: str, cure: str = "correct it, or import another file"
) -> ConfigError:
    return ConfigError.of("", message, cure)


def add_server(provider: Raw, server: Raw) -> None:
    key = {"smtp": "outgoing", **DAV}.get(server["type"], "incoming")
    provider.setdefault(key, []).append(server)


def prune(value: Any) -> None:
    """Remove None from nested tables and lists."""
    if isinstance(value, list):
        value[:] = [item for item in value if item is not None]
    elif isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        value = value.values()
    else:
        return
    for item in value:
        prune(item)
