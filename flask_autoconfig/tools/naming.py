"""The names of settings, in the words of people, and of the owners of hosts."""

from collections.abc import Mapping

from ..files import table_beside

_WORDS = table_beside(__file__, "naming.toml")
SERVERS, _SETTINGS = _WORDS["servers"], _WORDS["settings"]
_ORDINALS = ("", "second ", "third ")


def base_domain(host: str) -> str:
    """Return the domain of a host that somebody registered, such as example.co.uk."""
    *_, second, top = ["", *host.split(".")]
    is_public = len(top) == 2 and second in _WORDS["public_labels"]
    return ".".join(host.split(".")[-3 if is_public else -2 :])


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
