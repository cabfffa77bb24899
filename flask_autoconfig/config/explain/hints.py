"""Messages and cures for the keys and values that the tables refuse.

words.toml has the names that other programs give to keys, values and placeholders.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import inspect

from ...address import DOMAIN_PLACEHOLDER, LOOKALIKE, PLACEHOLDERS, fold, is_ip
from ...files import table_beside
from .. import tables
from ..building import Kind, holder, keys_of, kind_of
from ..values import quote
from .hiding import is_secret

WORDS: Mapping[str, Any] = table_beside(__file__, "words.toml")
# The tables by their heading; of those that have a stray key, the first is proposed.
_HOMES = {place: getattr(tables, name) for place, name in WORDS["homes"].items()}
_OTHER_NAMES = {ours: names.split() for ours, names in WORDS["keys"].items()}
_PASSWORDS = WORDS["passwords"].split()
_PLACEHOLDER_NAMES: dict[str, str]
_SERVERS: dict[str, str]  # a heading -> our table, and the type of the server
_PLACEHOLDER_NAMES, _SERVERS = (
    {name: ours for ours, names in WORDS[table].items() for name in names.split()}
    for table in ("placeholders", "servers")
)


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name.lower())


# --- Keys and values --------------------------------------------------------------------


def unknown_key(
    key: str, raw: dict[str, Any], known: Mapping[str, Kind], file: str
) -> tuple[str, str]:
    """Return the cure, and the known key that was probably meant, or "".

    `file` is the included file that has the key, "" for the main one.
    """
    theirs = _plain(key)
    items = raw[key] if isinstance(raw[key], list) else [raw[key]]
    is_table = any(isinstance(item, dict) for item in items)
    if theirs in _PASSWORDS:
        why = "the settings are public, and clients ask for the password"
        return f"remove it: {why}", ""
    if is_table and theirs in _SERVERS:
        home, type_ = _SERVERS[theirs].split()
        return f'write the heading [[provider.{home}]], and type = "{type_}"', home

    def meant_of(keys: Mapping[str, Kind]) -> str:
        """Return the key with this name, also as other programs or XML call it."""
        if is_table:
            return key if key in keys else ""
        names = (it for it in keys if theirs in (_plain(it), *_OTHER_NAMES.get(it, ())))
        return next(names, "")

    if meant := meant_of(known):
        if meant in raw:
            return f"remove it: {meant} is there", meant
        value = _meant(meant, known[meant].type, raw[key])
        return f"write {meant} = {value}" if value else f"did you mean {meant}?", meant
    top = "the top of the file, before the first table"
    main = ("the file that includes this one" if file else top, tables.Config)
    for head, cls in (main, *_HOMES.items()):
        keys, _ = keys_of(cls)
        if not (meant := meant_of(keys)):
            continue
        heading = _heading(keys[meant].type, f"{head.strip('[]')}.{meant}")
        if is_table and heading and head.startswith("["):
            return f"write the heading {heading}, below its {head}", ""
        return f"move {key} to {head}" + f", as {meant}" * (meant != key), ""
    word = "" if len(key) > 100 else key.lower().replace("-", "_")
    for near in difflib.get_close_matches(word, known, 1):
        return f"did you mean {near}?", near
    return f"the known keys are {', '.join(known)}", ""


def refused(error: ValueError, raw: str, at: str) -> tuple[str, str]:
    """Describe a string that its key refuses, without repeating a secret."""
    message, cure = error.args
    if is_secret(_key(at)) and quote(raw) in message:
        return message.partition(quote(raw))[0] + "the value", "remove that"
    return message, cure


def wrong(kind: inspect.Type, raw: Any, at: str) -> tuple[str, str]:
    expected = WORDS["kinds"].get(type(kind).__name__, "")
    if isinstance(kind, inspect.IntType):
        expected = f"an integer from {kind.ge} to {kind.le}"
    elif isinstance(kind, inspect.LiteralType):
        words = ", ".join(f'"{word}"' for word in kind.values)
        expected = f"one of {words}" if len(kind.values) > 1 else words
    if is_secret(_key(at)):
        return f"expected {expected}", f"write {expected}"
    cure = _cure(kind, raw, at) or f"write {expected}"
    return f"expected {expected}, got {quote(raw)}", cure


def _cure(kind: inspect.Type, raw: Any, at: str) -> str:
    key = _key(at)
    if heading := _heading(kind, at):
        return f"write the heading {heading}, and its keys below it"
    if value := _meant(key, kind, raw):
        return f"write {value}" if at.endswith("]") else f"write {key} = {value}"
    if not isinstance(kind, inspect.LiteralType):
        return ""
    if key == "type" and (cure := for_type(str(raw), _key(holder(at)))):
        return cure
    by_lower = {str(word).lower(): word for word in kind.values}
    for near in difflib.get_close_matches(quote(raw).strip('"').lower(), by_lower, 1):
        return f'did you mean "{by_lower[near]}"?'
    return "use one of them" if len(kind.values) > 1 else ""


def _meant(key: str, kind: inspect.Type, raw: Any) -> str:
    """Return what was meant by a value of the key, as TOML spells it, or ""."""
    text = raw if isinstance(raw, str) else quote(raw)
    match kind:
        case inspect.VarTupleType() if isinstance(raw, str | list):
            item = kind_of(kind.item_type).type
            words = re.split(r"[\s,;]+", raw.strip()) if isinstance(raw, str) else raw
            items = [_meant(key, item, word) for word in words[:3]]
            more = ", …" if len(words) > 3 else ""
            return f"[{', '.join(items)}{more}]" if all(items) else ""
        case inspect.DictType() if isinstance(raw, str):
            return f"{{en = {quote(raw)}}}"
        case _ if isinstance(raw, list | dict):
            return ""
        case inspect.IntType(ge=least, le=most) if re.fullmatch("[0-9]{1,9}", text):
            number = int(text)
            return str(number) if (least or 0) <= number <= (most or 0) else ""
        case inspect.BoolType():
            return synonym("truth", text)
        case inspect.LiteralType():
            word = synonym(key, text, map(str, kind.values))
            return quote(word) if word else ""
        case inspect.StrType() if key == "username":
            return quote(login_for(text))
        case inspect.StrType():
            return quote(text)
    return ""


def synonym(key: str, value: str, words: Iterable[str] = ()) -> str:
    """Return our word for another program's value of a key, or "".

    `words` are those that the key may have here, if not all of them.
    """
    given = re.sub(r"[\s_]+", "-", value.lower().replace(" / ", "/"))
    named = WORDS["values"].get(key, {})
    for word in words or named:
        if given == word.lower() or given in named.get(word, "").split():
            return word
    return ""


def for_type(value: str, key: str) -> str:
    """Return the cure for a server of that type in the table of others, or ""."""
    home = _SERVERS.get(_plain(value), "").partition(" ")[0]
    return f"move this server to [[provider.{home}]]" if home not in ("", key) else ""


def _key(at: str) -> str:
    return at.rpartition(".")[2].partition("[")[0]


def _heading(kind: inspect.Type, at: str) -> str:
    """Return the heading of a table or of a list of tables, or ""."""
    path = ".".join(part.partition("[")[0] for part in at.split("."))
    is_list = at.endswith("]")
    if isinstance(kind, inspect.VarTupleType):
        kind, is_list = kind_of(kind.item_type).type, True
    if not isinstance(kind, inspect.StructType):
        return ""
    return f"[[{path}]]" if is_list else f"[{path}]"


# --- Placeholders -----------------------------------------------------------------------

_ADDRESS, _LOCAL_PART, *_ = PLACEHOLDERS
# Our placeholders, names in any kind of brackets, or Dovecot's letters after a %.
_ANY = re.compile(
    rf"{'|'.join(PLACEHOLDERS)}|[%$]?\{{\{{?([^{{}}]*+)\}}\}}?|%\((\w+)\)s"
    r"|\$([A-Za-z_]\w*)\$?|<([\w@. -]+)>|\[([\w@. -]+)\]"
    r"|%([A-Za-z]\w*)%|%[LU]?([a-z])(?![A-Za-z])"
)


def unknown_placeholder(found: str) -> str:
    if _meaning_of(found.strip("%")):
        return f"write {_translated(found)}"
    for near in difflib.get_close_matches(found.upper(), PLACEHOLDERS, 1, 0.8):
        return f"write {near}"
    return f"use {', '.join(PLACEHOLDERS[:-1])} or {PLACEHOLDERS[-1]}"


def theirs_in(text: str) -> str:
    """Return the first placeholder of another program in a text, or ""."""
    return next((it[0] for it in _ANY.finditer(text) if it[0] not in PLACEHOLDERS), "")


def login_for(text: str) -> str:
    """Return what to write for a user name that is the same for every address."""
    if theirs_in(text):
        return _translated(text)
    domain, backslash, _ = text.rpartition("\\")
    if backslash:
        return f"{domain}\\{_LOCAL_PART}"
    return _LOCAL_PART if _meaning_of(text) == _LOCAL_PART else _ADDRESS


def _translated(text: str) -> str:
    def ours_for(found: re.Match[str]) -> str:
        name = found[found.lastindex] if found.lastindex else ""
        return _meaning_of(name) or _ADDRESS if name else found[0]

    # "user" may be the whole address, but not before an @.
    result = _ANY.sub(ours_for, text).replace(f"{_ADDRESS}@", f"{_LOCAL_PART}@")
    return result.replace(f"{_LOCAL_PART}@{DOMAIN_PLACEHOLDER}", _ADDRESS)


def _meaning_of(name: str) -> str:
    """Return our placeholder for another program's name, or ""."""
    return _PLACEHOLDER_NAMES.get(re.sub("^your(?=.)", "", _plain(name)), "")


# --- Hosts and domains ------------------------------------------------------------------

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:?//")
_PORT = re.compile(r"(?<![:0-9]):([0-9]{1,5})(?=/|$)")


def _bare_host(value: str) -> str:
    """Return the host name in a URL, an address or `host:port`, or ""."""
    authority = re.split("[/?#]", _SCHEME.sub("", value.strip()), maxsplit=1)[0]
    name = _PORT.sub("", authority.rpartition("@")[2]).strip("[]\"'<>")
    try:
        return name.lower() if is_ip(name) else fold(name)
    except ValueError:
        return ""


_AT_FOR_DOT = re.compile(r"^(imaps?|mail\w*|mx\d*|pop3?s?|smtps?)@", re.IGNORECASE)


def no_host(value: str) -> str:
    if odd := LOOKALIKE.search(value[:254]):
        sign = next(it for it in odd[0] if not it.isascii())
        named = f"U+{ord(sign):04X} ({unicodedata.name(sign, 'nameless')})"
        return f"type the name anew: {named} does not belong in it"
    if host := _bare_host(_AT_FOR_DOT.sub(r"\1.", value)):
        port = _PORT.search(value)
        return f"write {quote(host)}{f', and port = {port[1]}' if port else ''}"
    return "write a name like mail.example.com, without a scheme, port, space or _"


def no_domain(value: str) -> tuple[str, str]:
    host = _bare_host(value.removeprefix("*."))
    if host and is_ip(host):
        return f"{quote(value)} is an IP address", "write the mail domain"
    cure = 'write a name like "example.com", without a scheme, port, space or _'
    if "*" in value:
        cure = 'write "example.com", "*.example.com" for all below it, or "*" for any'
    cure = f"write {quote(host)}" if host else cure
    return f"expected a domain, got {quote(value)}", cure
