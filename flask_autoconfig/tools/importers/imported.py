"""What every importer returns and raises, and the words that several of them share."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Raw = dict[str, Any]  # a table as the TOML has it

# The types of automx and automx2, and those of config-v1.1.xml.
TYPES = {"imap": "imap", "pop": "pop3", "pop3": "pop3", "smtp": "smtp"}
DAV = {"caldav": "calendar", "carddav": "address_book"}
_URL = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)


class Imported(NamedTuple):
    """The providers of a file, and a sentence for each thing that is left out."""

    providers: list[Raw]
    notes: list[str]
    # Where in the file the value of a table stands: " (line 7, <port>)", or "".
    where: Callable[[Any, Any], str] = lambda table, key: ""


class UnreadableError(ValueError):
    def __init__(
        self, message: str, cure: str = "correct it, or import another file"
    ) -> None:
        super().__init__(message)
        self.cure = cure


def add_server(provider: Raw, server: Raw) -> None:
    key = {"smtp": "outgoing", **DAV}.get(server["type"], "incoming")
    provider.setdefault(key, []).append(server)


def usable(providers: Iterable[Raw], notes: Iterable[str]) -> Imported:
    """Return the providers that have servers, without keys that are None."""
    kept, lost = [], list(notes)
    for provider in providers:
        if provider.keys() & {"incoming", "calendar", "address_book"}:
            prune(provider)
            kept.append(provider)
        else:
            names = ", ".join(map(str, provider["domains"]))
            lost.append(f"{names}: left out, it has no servers")
    return Imported(kept, lost)


def prune(value: Any) -> None:
    """Remove what is None from nested tables and lists."""
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


def url_with_port(url: str, port: int | None, use_ssl: bool) -> str:
    """Return the URL of a service with the port that the file has beside it."""
    if "://" not in url:
        url = f"{'https' if use_ssl else 'http'}://{url}"
    found = _URL.match(url)
    standard = 443 if url.lower().startswith("https:") else 80
    if not found or not port or port == standard or re.search(r":\d+$", found[2]):
        return url
    return f"{found[0]}:{port}{url[found.end() :]}"
