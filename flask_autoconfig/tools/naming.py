"""The names of settings, in the words of people."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
SERVERS, _SETTINGS = _WORDS["servers"], _WORDS["settings"]
_ORDINALS = ("", "second ", "third ")


def named(place: str, types: Mapping[str, str]) -> str:
    """Return a place in a provider as people say it: "the IMAP server's host name".

    *types* are the types of the servers by their place, such as `incoming[0]`.
    """
    head, _, key = place.partition(".")
    if head not in types:
        return place
    before = list(types).index(head)
    number = [*types.values()][:before].count(types[head])
    ordinal = "next " if number >= len(_ORDINALS) else _ORDINALS[number]
    words = f"the {ordinal}{SERVERS.get(types[head], f'{types[head]} server')}"
    key = key.partition("[")[0]
    return f"{words}'s {_SETTINGS.get(key, key)}" if key else words
