"""What was meant by host names, placeholders and words of other programs.

The words are in words.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...address import DOMAIN_PLACEHOLDER, PLACEHOLDERS, fold, is_ip
from ..values import quote

WORDS: Mapping[str, Any] = tomllib.loads(
    Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
)
ADDRESS, LOCAL_PART, *_ = PLACEHOLDERS
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:?//")
_PORT = re.compile(r"(?<![:0-9]):([0-9]{1,5})(?=/|$)")
# Our placeholders, names in any kind of brackets, or Dovecot's letters after a %.
_ANY = re.compile(
    rf"{'|'.join(PLACEHOLDERS)}|%\{{([^{{}}]*)\}}|%\((\w+)\)s"
    r"|\$\{\s*(\w+)[^{}]*\}|\$([A-Za-z_]\w*)\$?|\{\{?\s*+([\w@.-]*+)[^{}]*+\}\}?"
    r"|<([\w@. -]+)>|\[([\w@. -]+)\]|%([A-Za-z]\w*)%|%[LU]?([a-z])(?![A-Za-z])"
)
_EITHER = WORDS["either"].split()  # alone, they may mean the whole address


def _by_name(table: str) -> dict[str, str]:
    """Return our word for each name of a table of words.toml."""
    pairs = WORDS[table].items()
    return {name: ours for ours, names in pairs for name in names.split()}


_PLACEHOLDER_NAMES = _by_name("placeholders")
# Another program's heading of a server -> our table, and the type of the server.
SERVERS = _by_name("servers")


def plain(name: str) -> str:
    """Return a name in lower case, without separators between its words."""
    return re.sub(r"[\s_.-]", "", name.lower())


# --- Placeholders -----------------------------------------------------------------------


def unknown_placeholder(found: str) -> str:
    """Return the cure for a placeholder that no client knows."""
    if _meaning_of(found.strip("%")):
        return f"write {translated(found)}"
    return f"use {', '.join(PLACEHOLDERS[:-1])} or {PLACEHOLDERS[-1]}"


def theirs_in(text: str) -> str:
    """Return the first placeholder of another program in a text, or ""."""
    return next((it[0] for it in _ANY.finditer(text) if it[0] not in PLACEHOLDERS), "")


def translated(text: str) -> str:
    """Return the text with our placeholders instead of other programs'."""

    def ours_for(found: re.Match[str]) -> str:
        if found.lastindex is None:
            return found[0]
        *filters, name = map(str.strip, found[found.lastindex].split("|"))
        if found[0] == text and not filters and name.lower() in _EITHER:
            return ADDRESS
        return _meaning_of(name) or ADDRESS

    result = _ANY.sub(ours_for, text)
    for name in (LOCAL_PART, ADDRESS):
        result = result.replace(f"{name}@{DOMAIN_PLACEHOLDER}", ADDRESS)
    return result


def login_for(text: str) -> str:
    """Return what to write for a user name that is the same for every address."""
    if theirs_in(text):
        return translated(text)
    meaning = _meaning_of(text)
    if meaning in (ADDRESS, LOCAL_PART) and text.lower() not in _EITHER:
        return meaning
    domain, backslash, _ = text.rpartition("\\")
    return f"{domain}\\{LOCAL_PART}" if backslash else ADDRESS


def _meaning_of(name: str) -> str:
    """Return our placeholder for another program's name, or ""."""
    short = re.sub("^your(?=.)", "", plain(name))
    known = _PLACEHOLDER_NAMES
    return known.get(name.lower()) or known.get(short, "")


# --- Hosts and domains ------------------------------------------------------------------


def bare_host(value: str) -> str:
    """Return the host name in a URL, an address or `host:port`, or ""."""
    authority = re.split("[/?#]", _SCHEME.sub("", value.strip()), maxsplit=1)[0]
    name = _PORT.sub("", authority.rpartition("@")[2]).strip("[]\"'<>")
    try:
        return name.lower() if is_ip(name) else fold(name)
    except ValueError:
        return ""


def no_host(value: str) -> str:
    """Return the cure for a value that is no host name."""
    if host := bare_host(value):
        port = _PORT.search(value)
        return f"write {quote(host)}{f', and port = {port[1]}' if port else ''}"
    return "write a name like mail.example.com, without a scheme, port, space or _"


def no_domain(value: str) -> tuple[str, str]:
    """Return the message and the cure for a value that is no domain or pattern."""
    if is_ip(value.removeprefix("*.").strip("[]")):
        return f"{quote(value)} is an IP address", "write the mail domain"
    message = f"expected a domain, got {quote(value)}"
    if host := bare_host(value):
        return message, f"write {quote(host)}"
    cure = 'write "example.com", "*.example.com" for all below it, or "*" for any'
    return message, cure


# --- Words ------------------------------------------------------------------------------


def synonym(key: str, value: str, words: Iterable[str] = ()) -> str:
    """Return our word for another program's value of a key, or "".

    `words` are those that the key may have here, if not all of them.
    """
    given = re.sub(r"[\s_]+", "-", value.lower().replace(" / ", "/"))
    named = {
        word: others.split() for word, others in WORDS["values"].get(key, {}).items()
    }
    for word in words or named:
        if given == word.lower() or given in named.get(word, ()):
            return word
    return ""


def socket_type(value: str, key: str, port: object) -> str:
    """Return the socket type that a key of this name means by its value."""
    meant = synonym("socket_type", value)
    is_starttls = "starttls" in plain(key)
    if value in ("false", "0"):
        return "SSL" if is_starttls else "STARTTLS"
    if meant != "plain" and (is_starttls or port in (143, 110, 587, 25)):
        return "STARTTLS"
    return meant or "SSL"


def for_type(value: str, key: str) -> str:
    """Return the cure for a server of that type in the table of others, or ""."""
    home = SERVERS.get(plain(value), "").partition(" ")[0]
    return f"move this server to [[provider.{home}]]" if home not in ("", key) else ""
