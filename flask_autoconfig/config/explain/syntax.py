"""Describes TOML syntax errors: the line, a mark below it, and the probable cause.

Only frequent mistakes are guessed; for the others, tomllib's message has to do.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from typing import NamedTuple

from ...cleaning import is_seen
from ...errors import Problem
from ..values import quote
from .foreign import synonym
from .hiding import HIDDEN, hidden_to_the_end
from .lines import last_statement

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WIDTH = 100  # characters of a line that are shown
_LONGEST_LINE = 300  # characters of a line that a guess looks at
_CURE = "correct that line"
_ESCAPE = "write the value in single quotes, or each backslash as \\\\"
_CURES = {  # by the beginning of tomllib's message
    "Cannot": "write each key and heading once, and a list of tables as [[…]]",
    "Duplicate": "remove one of them",
    "Invalid value": "correct that line, or write ] after the list before it",
    "Unclosed": "write a comma between two values, and ] or } after the last one",
    "Expected ']": "write [table], or [[table]] for a list of tables",
    **dict.fromkeys(("Unescaped", "Invalid hex", "Escaped character"), _ESCAPE),
}
_TOML = 'write TOML: key = "value"'
_FORMATS = (
    ("<", "XML", "convert a config-v1.1.xml with `flask-autoconfig import FILE`"),
    (r"\{", "JSON", _TOML),
    (r"---|[\w-]+:[ \t]*\n", "YAML", _TOML),
)
_PAIR = re.compile(
    r"[ \t]*+(?P<key>\w[\w.-]*+|\"[^\"]*+\"|'[^']*+')[ \t]*+"
    r"(?P<sign>(?:[=:]|->)[=>]*+)?[ \t]*+(?P<raw>.*)"
)
_VALID = re.compile(r"""[+-]?(?:0|[1-9][0-9_]*)|true|false|"[^"\\]*"|'[^']*'|[\[{].*""")
_STRAIGHT = dict.fromkeys("“”„«»″＂", '"') | dict.fromkeys("‘’‚′`´", "'")
_QUOTES = "\"'" + "".join(_STRAIGHT)
_OPEN_STRING = ("Illegal character", "Found invalid", "Unterminated", 'Expected "\'"')


class _Stop(NamedTuple):
    """Where tomllib stopped, and its message."""

    message: str
    text: str
    offset: int

    @property
    def at(self) -> int:
        """The offset in the line."""
        return self.offset - self.text.rfind("\n", 0, self.offset) - 1

    @property
    def line(self) -> str:
        end = self.text.find("\n", self.offset)
        return self.text[self.offset - self.at : end if end >= 0 else None]

    @property
    def number(self) -> int:
        """The number of the line, from 1."""
        return self.text.count("\n", 0, self.offset) + 1

    def column(self, at: int) -> _Stop:
        """Return the stop at another offset in the line."""
        return self._replace(offset=self.offset - self.at + at)


_Guess = tuple[str, str, _Stop]  # a probable cause, what to write instead, and where


def explain(text: str, error: Exception) -> Problem:
    """Return the problem of a text that tomllib rejected with *error*."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        message = "not TOML: nested too deep, or a number of too many digits"
        return Problem("", message, "remove brackets or digits")
    text = text.replace("\r\n", "\n")
    found = _AT.search(str(error))
    message = str(error)[: found.start()] if found else str(error)
    offset = len(text)
    if message == 'Expected "\'"':  # tomllib searched to the end of the file
        end = text.find("\n", text.rfind("'"))
        offset = end if end >= 0 else offset
    elif found and found[1]:
        lines = text.split("\n", int(found[1]) - 1)
        offset += int(found[2]) - 1 - len(lines[-1])
    stop = _Stop(message, text, min(offset, len(text)))
    guess = _guessed(stop) if len(stop.line) <= _LONGEST_LINE else None
    usual = (_CURES[it] for it in _CURES if stop.message.startswith(it))
    message, cure, at = guess or (stop.message, next(usual, _CURE), stop)
    return _problem(f"not TOML: {message}", cure, at)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> Problem:
    """Return the problem of a file that is not UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        message = "the file is UTF-16, not UTF-8"
        cure = "save it as UTF-8, without a byte order mark"
        return Problem("", message, cure, line=1)
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    before = data[: error.start].decode("utf-8").replace("\r\n", "\n")
    stop = _Stop("", text, len(before))
    return _problem(f"not UTF-8 at byte {error.start}", "save it as UTF-8", stop)


def _problem(message: str, cure: str, stop: _Stop) -> Problem:
    line, secret = hidden_to_the_end(stop.line)
    begin = stop._replace(offset=last_statement(stop.text, stop.offset))
    if begin.number < stop.number and hidden_to_the_end(begin.line)[1]:
        line, secret = HIDDEN, stop.line  # which began on an earlier line
    at = stop.at
    if secret:
        at = min(at, len(line) - 1)
    if any(word in cure for word in re.findall(r"\w{3,}", secret)):
        cure = _CURE
    number = stop.number
    # The line, or the part of a long line around the place, and a mark below it.
    start = max(0, min(at - _WIDTH // 2, len(line) - _WIDTH))
    shown = "".join(map(_shown, line[start : start + _WIDTH]))
    before = "…" if start else ""
    after = "…" if start + _WIDTH < len(line) else ""
    indent = " " * (len(before) + at - start)
    gap = " " * len(str(number))
    excerpt = f"  {number} | {before}{shown}{after}\n  {gap} | {indent}^"
    return Problem("", message, cure, line=number, column=stop.at + 1, excerpt=excerpt)


def _shown(char: str) -> str:
    if char == "\t" or unicodedata.category(char) == "Zs":
        return " "
    return char if is_seen(char) else "?"


# --- Guesses --------------------------------------------------------------------------


def _guessed(stop: _Stop) -> _Guess | None:
    """Return the likeliest cause, or None."""
    for sign, name, cure in _FORMATS:
        if re.match(rf"(?>(?:\s++|#.*\n)*)(?:{sign})", stop.text):
            return f"the file is {name}", cure, stop.column(0)
    found = _odd_character(stop) or _pair(stop)
    is_open = stop.message.startswith(_OPEN_STRING) and stop.at == len(stop.line)
    if found is None and is_open and stop.line.strip():
        return "the closing quote is missing", "write it after the value", stop
    return found


def _odd_character(stop: _Stop) -> _Guess | None:
    """Find an invisible character, or a curly quote, also as the end of a string."""
    char = stop.line[stop.at : stop.at + 1]
    if char and char not in " \t" and (char.isspace() or not is_seen(char)):
        message = f"an invisible character (U+{ord(char):04X})"
        return message, "remove it, or write an ordinary space", stop
    at = stop.at
    if not char and stop.message.startswith(_OPEN_STRING):
        at = len(stop.line.partition(" #")[0].rstrip(" \t,]")) - 1
        char = stop.line[max(at, 0) : at + 1]
    if char not in _STRAIGHT:
        return None
    cure = f"write a straight one: {_STRAIGHT[char]}"
    return f"a curly quote ({char})", cure, stop.column(at)


def _pair(stop: _Stop) -> _Guess | None:
    """Find what is wrong between a key and its value, or with a value without quotes."""
    if not stop.message.startswith(
        ("Expected '='", "Invalid value", "Expected newline")
    ):
        return None
    found = _PAIR.match(re.split(r"\s#|^#", stop.line, maxsplit=1)[0])
    if found is None:
        return None
    key, sign, raw = found["key"], found["sign"] or "", found["raw"].strip()
    cure = f"write {quote(key)[1:-1]} = {_value_of(raw)}"
    is_value = stop.message.startswith("Invalid value")
    if is_value and (not sign or raw.startswith(("[", "{"))):  # in a list
        word = re.split(r"[,\]}]", stop.line[stop.at :], maxsplit=1)[0]
        return "a quote is missing", f"write {_value_of(word)}", stop
    if not sign:
        return None if "=" in raw else ("an = is missing", cure, stop)
    if sign != "=":
        at = stop.column(found.start("sign"))
        return f'"{sign}" instead of "="', cure, at
    if raw.startswith(('"', "'", "[", "{")):
        return None
    at = stop.column(found.start("raw"))
    if not raw:
        return "the value is missing", cure, at
    message = "a quote is missing" if '"' in cure else "the value is not valid TOML"
    return message, cure, at


def _value_of(raw: str) -> str:
    """Return what was written as a value, as TOML spells it."""
    text = raw.strip(" \t,;")
    if _VALID.fullmatch(text):
        return text
    if text.isascii() and text.isdigit():
        return text.lstrip("0") or "0"
    return synonym("truth", text) or quote(text.strip(f"{_QUOTES} \\") or "…")
