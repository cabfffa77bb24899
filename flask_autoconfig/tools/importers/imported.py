"""What every importer returns and raises, and the words that several of them share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Raw = dict[str, Any]  # a table as the TOML has it

# The types of automx and automx2, and those of config-v1.1.xml.
TYPES = {"imap": "imap", "pop": "pop3", "pop3": "pop3", "smtp": "smtp"}


class Imported(NamedTuple):
    """The providers of a file, and a sentence for each thing that is left out."""

    providers: list[Raw]
    notes: list[str]
    # Where in the file the value of a table stands: " (line 7, <port>)", or "".
    where: Callable[[Any, Any], str] = lambda table, key: ""


class UnreadableError(ValueError):
    """A file of a known format that cannot be read."""

    def __init__(
        self, message: str, cure: str = "correct it, or import another file"
    ) -> None:
        super().__init__(message)
        self.cure = cure


def list_for(type_: str) -> str:
    """Return the provider's list of servers of this type."""
    return "outgoing" if type_ == "smtp" else "incoming"


def usable(providers: Iterable[Raw], notes: Iterable[str]) -> Imported:
    """Return the providers that have servers, without keys that are None."""
    kept, lost = [], list(notes)
    for provider in providers:
        if provider.keys() & {"incoming", "calendar", "address_book"}:
            kept.append(_without_none(provider))
        else:
            lost.append(
                f"{', '.join(provider['domains'])}: left out, it has no servers"
            )
    return Imported(kept, lost)


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_none(item) for key, item in value.items() if item is not None}


_URL = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)


def url_with_port(url: str, port: int | None, use_ssl: bool) -> str:
    """Return the URL of a service with the port that the file has beside it."""
    if "://" not in url:
        url = f"{'https' if use_ssl else 'http'}://{url}"
    found = _URL.match(url)
    standard = 443 if url.lower().startswith("https:") else 80
    if not found or not port or port == standard or re.search(r":\d+$", found[2]):
        return url
    return f"{found[0]}:{port}{url[found.end() :]}"
