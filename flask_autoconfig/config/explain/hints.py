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
from ..building import Kind, keys_of, kind_of, parent
from ..values import quote
from .hiding import is_secret

WORDS: Mapping[str, Any] = table_beside(__file__, "words.toml")
# The tables by their heading. A misplaced key belongs in the first one that has it.
_TABLES = {heading: getattr(tables, name) for heading, name in WORDS["homes"].items()}
_OTHER_NAMES = {key: names.split() for key, names in WORDS["keys"].items()}
_PASSWORDS = WORDS["passwords"].split()
_PLACEHOLDER_NAMES: dict[str, str]
_SERVERS: dict[str, str]  # another name of a table -> our name, and the server's type
_PLACEHOLDER_NAMES, _SERVERS = (
    {name: ours for ours, names in WORDS[table].items() for name in names.split()}
    for table in ("placeholders", "servers")
)


def _normalized(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name.lower())


# --- Keys and values --------------------------------------------------------------------


def unknown_key(
    key: str, raw: dict[str, Any], known: Mapping[str, Kind], file: str
) -> tuple[str, str]:
    """Return the cure, and the known key that was probably meant, or "".

    `file` is the included file that has the key, "" for the main one.
    """
    name = _normalized(key)
    items = raw[key] if isinstance(raw[key], list) else [raw[key]]
    is_table = any(isinstance(item, dict) for item in items)
    if name in _PASSWORDS:
        reason = "the settings are public, and clients ask for the password"
        return f"remove it: {reason}", ""
    if is_table and name in _SERVERS:
        table, type_ = _SERVERS[name].split()
        return f'write the heading [[provider.{table}]], and type = "{type_}"', table

    def meant_among(keys: Mapping[str, Kind]) -> str:
        """Return the key with this name, also as other programs or XML call it."""
        if is_table:
            return key if key in keys else ""
        for ours in keys:
            if name == _normalized(ours) or name in _OTHER_NAMES.get(ours, ()):
                return ours
        return ""

    if ours := meant_among(known):
        if ours in raw:
            return f"remove it: {ours} is there", ours
        value = _meant_value(ours, known[ours].type, raw[key])
        return f"write {ours} = {value}" if value else f"did you mean {ours}?", ours
    top = "the top of the file, before the first table"
    main = ("the file that includes this one" if file else top, tables.Config)
    for place, cls in (main, *_TABLES.items()):
        keys, _ = keys_of(cls)
        if not (ours := meant_among(keys)):
            continue
        heading = _heading(keys[ours].type, f"{place.strip('[]')}.{ours}")
        if is_table and heading and place.startswith("["):
            return f"write the heading {heading}, below its {place}", ""
        return f"move {key} to {place}" + f", as {ours}" * (ours != key), ""
    word = "" if len(key) > 100 else key.lower().replace("-", "_")
    for similar in difflib.get_close_matches(word, known, 1):
        return f"did you mean {similar}?", similar
    return f"the known keys are {', '.join(known)}", ""


def invalid_text(error: ValueError, raw: str, place: str) -> tuple[str, str]:
    """Return the message and the cure of a string's error, without a secret in it."""
    message, cure = error.args
    if is_secret(_key(place)) and quote(raw) in message:
        return message.partition(quote(raw))[0] + "the value", "remove that"
    return message, cure


def invalid_value(type_: inspect.Type, raw: Any, place: str) -> tuple[str, str]:
    expected = WORDS["kinds"].get(type(type_).__name__, "")
    if isinstance(type_, inspect.IntType):
        expected = f"an integer from {type_.ge} to {type_.le}"
    elif isinstance(type_, inspect.LiteralType):
        words = ", ".join(f'"{word}"' for word in type_.values)
        expected = f"one of {words}" if len(type_.values) > 1 else words
    if is_secret(_key(place)):
        return f"expected {expected}", f"write {expected}"
    cure = _cure(type_, raw, place) or f"write {expected}"
    return f"expected {expected}, got {quote(raw)}", cure


def _cure(type_: inspect.Type, raw: Any, place: str) -> str:
    key = _key(place)
    if heading := _heading(type_, place):
        return f"write the heading {heading}, and its keys below it"
    if value := _meant_value(key, type_, raw):
        return f"write {value}" if place.endswith("]") else f"write {key} = {value}"
    if not isinstance(type_, inspect.LiteralType):
        return ""
    if key == "type" and (cure := cure_for_type(str(raw), _key(parent(place)))):
        return cure
    words = {str(word).lower(): word for word in type_.values}
    for similar in difflib.get_close_matches(quote(raw).strip('"').lower(), words, 1):
        return f'did you mean "{words[similar]}"?'
    return "use one of them" if len(type_.values) > 1 else ""


def _meant_value(key: str, type_: inspect.Type, raw: Any) -> str:
    """Return the value of the key that was probably meant, as TOML spells it, or ""."""
    text = raw if isinstance(raw, str) else quote(raw)
    match type_:
        case inspect.VarTupleType() if isinstance(raw, str | list):
            item_type = kind_of(type_.item_type).type
            words = re.split(r"[\s,;]+", raw.strip()) if isinstance(raw, str) else raw
            items = [_meant_value(key, item_type, word) for word in words[:3]]
            more = ", …" if len(words) > 3 else ""
            return f"[{', '.join(items)}{more}]" if all(items) else ""
        case inspect.DictType() if isinstance(raw, str):
            return f"{{en = {quote(raw)}}}"
        case _ if isinstance(raw, list | dict):
            return ""
        case inspect.IntType(ge=low, le=high) if re.fullmatch("[0-9]{1,9}", text):
            number = int(text)
            return str(number) if (low or 0) <= number <= (high or 0) else ""
        case inspect.BoolType():
            return synonym("truth", text)
        case inspect.LiteralType():
            word = synonym(key, text, map(str, type_.values))
            return quote(word) if word else ""
        case inspect.StrType() if key == "username":
            return quote(corrected_login(text))
        case inspect.StrType():
            return quote(text)
    return ""


def synonym(key: str, value: str, words: Iterable[str] = ()) -> str:
    """Return our word for another program's value of a key, or "".

    `words` are the ones to choose from, by default all that the key may have.
    """
    value = re.sub(r"[\s_]+", "-", value.lower().replace(" / ", "/"))
    synonyms = WORDS["values"].get(key, {})
    for word in words or synonyms:
        if value == word.lower() or value in synonyms.get(word, "").split():
            return word
    return ""


def cure_for_type(value: str, key: str) -> str:
    """Return the cure for a server whose type belongs in another table, or ""."""
    table = _SERVERS.get(_normalized(value), "").partition(" ")[0]
    return f"move this server to [[provider.{table}]]" if table not in ("", key) else ""


def _key(place: str) -> str:
    return place.rpartition(".")[2].partition("[")[0]


def _heading(type_: inspect.Type, place: str) -> str:
    """Return the heading of a table or of a list of tables, or ""."""
    path = re.sub(r"\[[^.]*", "", place)
    is_list = place.endswith("]")
    if isinstance(type_, inspect.VarTupleType):
        type_, is_list = kind_of(type_.item_type).type, True
    if not isinstance(type_, inspect.StructType):
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


def placeholder_cure(placeholder: str) -> str:
    if _placeholder_named(placeholder.strip("%")):
        return f"write {_with_our_placeholders(placeholder)}"
    for similar in difflib.get_close_matches(placeholder.upper(), PLACEHOLDERS, 1, 0.8):
        return f"write {similar}"
    return "use one of these"


def foreign_placeholder(text: str) -> str:
    """Return the first placeholder of another program in a text, or ""."""
    return next((m[0] for m in _ANY.finditer(text) if m[0] not in PLACEHOLDERS), "")


def corrected_login(text: str) -> str:
    """Return what to write for a user name that would be the same for every address."""
    if foreign_placeholder(text):
        return _with_our_placeholders(text)
    domain, backslash, _ = text.rpartition("\\")
    if backslash:
        return f"{domain}\\{_LOCAL_PART}"
    return _LOCAL_PART if _placeholder_named(text) == _LOCAL_PART else _ADDRESS


def _with_our_placeholders(text: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match[match.lastindex] if match.lastindex else ""
        return _placeholder_named(name) or _ADDRESS if name else match[0]

    # "user" may be the whole address, but not before an @.
    result = _ANY.sub(replacement, text).replace(f"{_ADDRESS}@", f"{_LOCAL_PART}@")
    return result.replace(f"{_LOCAL_PART}@{DOMAIN_PLACEHOLDER}", _ADDRESS)


def _placeholder_named(name: str) -> str:
    """Return our placeholder for another program's name, or ""."""
    return _PLACEHOLDER_NAMES.get(re.sub("^your(?=.)", "", _normalized(name)), "")


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
    if match := LOOKALIKE.search(value[:254]):
        char = next(char for char in match[0] if not char.isascii())
        name = f"U+{ord(char):04X} ({unicodedata.name(char, 'nameless')})"
        return f"type the name anew: {name} does not belong in it"
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
