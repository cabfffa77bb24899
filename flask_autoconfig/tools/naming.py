"""Names for people: of settings, and of the domains that hosts belong to."""

from collections.abc import Mapping

from ..files import table_beside

_WORDS = table_beside(__file__, "naming.toml")
SERVERS, _SETTINGS = _WORDS["servers"], _WORDS["settings"]
_ORDINALS = ("", "second ", "third ")


def base_domain(host: str) -> str:
    """Return the registered domain of a host, such as example.co.uk."""
    *_, second, top = ["", *host.split(".")]
    is_public = len(top) == 2 and second in _WORDS["public_labels"]
    return ".".join(host.split(".")[-3 if is_public else -2 :])


def named(place: str, types: Mapping[str, str]) -> str:
    """Return a place in a provider in words, such as "the IMAP server's host name".

    *types* are the types of the servers by their places, such as `incoming[0]`.
    """
    server, _, key = place.partition(".")
    if server not in types:
        return place
    type_, index = types[server], list(types).index(server)
    number = list(types.values())[:index].count(type_)
    ordinal = "next " if number >= len(_ORDINALS) else _ORDINALS[number]
    words = f"the {ordinal}{SERVERS.get(type_, f'{type_} server')}"
    key = key.partition("[")[0]
    return f"{words}'s {_SETTINGS.get(key, key)}" if key else words
