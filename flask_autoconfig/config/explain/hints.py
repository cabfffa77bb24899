"""Cures for names and values that other programs use for ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..values import quote
from .cures import bare_host
from .foreign import ADDRESS, login_for
from .words import names_in

_KEYS = names_in("keys")
_OTHERS = names_in("others")
# Another program's heading of a server -> our table, and the type of the server.
_SERVERS = {
    name: tuple(ours.split())
    for ours, names in names_in("servers").items()
    for name in names
}
_SERVERS_OF_ANY_KIND = ("server", "servers", "mailserver", "mail")


class Hint(NamedTuple):
    """What to write, and the key of the same table that was meant, or ""."""

    cure: str
    key: str = ""


def plain(name: str) -> str:
    """Return a name in lower case, without separators between its words."""
    return re.sub(r"[\s_.-]", "", name.lower())


def for_key(key: str, raw: Mapping[str, Any], known: Iterable[str]) -> Hint | None:
    """Return what to write for the key *key* of a raw table, or None.

    `known` are the keys that the table may have; *key* is not one of them.
    """
    value, name = raw[key], plain(key)
    if name in _OTHERS["passwords"]:
        return Hint(
            "remove it: the settings are public, and clients ask for the password"
        )
    if is_tables(value):
        return _for_table(key, value, top="provider" in known)
    for ours in _ours(name):
        if ours in known:
            if ours in raw:
                return Hint(f"remove it: {ours} is there", ours)
            return Hint(f"write {ours} = {_value_for(ours, key, raw)}", ours)
    return None


def elsewhere(
    key: str, raw: Mapping[str, Any], homes: Mapping[str, Iterable[str]]
) -> str:
    """Return the cure for a key that belongs in another table by another name, or "".

    `homes` are the keys of each table, by its heading.
    """
    for ours in _ours(plain(key)):
        for heading, keys in homes.items():
            if ours in keys:
                return f"write {ours} = {_value_for(ours, key, raw)} in {heading}"
    return ""


def _ours(name: str) -> list[str]:
    return [ours for ours, names in _KEYS.items() if name in names]


def is_tables(value: Any) -> bool:
    """Return whether a raw value is a table, or a list with a table in it."""
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict) for item in items)


def _for_table(key: str, value: Any, top: bool) -> Hint | None:
    name = plain(key)
    below = ", below its [[provider]]" if top else ""
    is_table = isinstance(value, dict)
    if name in _SERVERS and not _is_pop3_options(key, value):
        home, type_ = _SERVERS[name]
        tables = [value] if is_table else value
        typed = all("type" in table for table in tables if isinstance(table, dict))
        more = "" if typed else f', and write type = "{type_}"'
        cure = f"write the heading [[provider.{home}]]{below}{more}"
        return Hint(cure, "" if top else home)
    if name in _SERVERS_OF_ANY_KIND and not (top and is_table):
        headings = "[[provider.incoming]] or [[provider.outgoing]]"
        return Hint(f"write the heading {headings}{below}")
    if name in _OTHERS["general"] and top and is_table:
        return Hint("write its keys at the top of the file, without this heading")
    return None


def _is_pop3_options(key: str, value: Any) -> bool:
    hosts = ("hostname", "host", "server")
    return key == "pop3" and not any(name in value for name in hosts)


def _value_for(ours: str, key: str, raw: Mapping[str, Any]) -> str:
    """Return the value of our key that another program's *key* has in a raw table."""
    value = raw[key]
    first = value[0] if isinstance(value, list) and value else value
    if ours == "socket_type":
        return quote(socket_type(value, key, raw.get("port")))
    if ours == "authentication":
        return quote(synonym(ours, first) or "password-cleartext")
    if ours == "type":
        return quote(synonym(ours, first) or "imap")
    if ours == "username":
        return quote(login_for(value) if isinstance(value, str) else ADDRESS)
    if ours == "hostname":
        host = bare_host(first) if isinstance(first, str) else ""
        return quote(host or "mail.example.com")
    if ours == "port":
        number = re.search(r"\d+", quote(value))
        return number[0][:5] if number else "993"
    if ours in ("domains", "mx_domains", "include", "clients"):
        return listed(value)
    if ours == "max_age" and isinstance(value, int):
        return quote(int(value))
    return quote(value) if isinstance(value, str) else '"…"'


def for_all_clients(key: str, value: Any) -> str:
    """Return the cure for a word in `clients` that means all of them, or ""."""
    if key != "clients" or str(value).lower() not in _OTHERS["all"]:
        return ""
    return "remove the key: by default all are served, except ispdb"


def listed(value: Any) -> str:
    """Return as a list what was written as one string, or as several in one."""
    words = value if isinstance(value, list) else [value]
    if isinstance(value, str):
        words = re.split(r"[\s,;]+", value)
    texts = [word.partition("@")[2] or word for word in words if isinstance(word, str)]
    texts = [quote(text) for text in texts if text]
    if not texts:
        return '["…"]'
    return f"[{', '.join(texts[:3])}{', …' if len(texts) > 3 else ''}]"


def socket_type(value: Any, key: str = "", port: Any = None) -> str:
    """Return the socket type that a key of this name means by its value."""
    meant = synonym("socket_type", "yes" if value is True else value)
    is_starttls = "starttls" in plain(key)
    if isinstance(value, bool | int) and not value:
        return "SSL" if is_starttls else "STARTTLS"
    if meant == "plain":
        return meant
    if port in (143, 110, 587, 25) or (is_starttls and meant in ("SSL", None)):
        return "STARTTLS"
    return meant or "SSL"


def synonym(key: str, value: Any, words: Iterable[str] = ()) -> str | None:
    """Return our word for another program's value of a key, or None.

    `words` are those that the key may have here, if not all of them.
    """
    if not isinstance(value, str):
        return None
    given = re.sub(r"[\s_]+", "-", "/".join(map(str.strip, value.lower().split("/"))))
    allowed = set(words)
    for word, others in names_in("values", key).items():
        is_meant = given == word.lower() or given in others
        if is_meant and (not allowed or word in allowed):
            return word
    return next((word for word in allowed if given == word.lower()), None)


def for_type(value: str, key: str) -> str:
    """Return the cure for a server of that type in the table of others, or ""."""
    home = _SERVERS.get(plain(value), ("", ""))[0]
    return f"move this server to [[provider.{home}]]" if home not in ("", key) else ""
