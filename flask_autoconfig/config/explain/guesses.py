"""Guesses the cause of a TOML syntax error from the line that it is on.

Only frequent mistakes are guessed; for the others, tomllib's message has to do. Each guess
is a function of a :class:`Stop`. The guesses are tried in order, the surest first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from ...cleaning import is_seen
from ..tables import SERVER_KEYS
from ..values import quote
from .lines import last_statement
from .spelling import CURLY, assignment, value_of, without_comment

_KEY = re.compile(r"""\s*([A-Za-z0-9_.-]+|"[^"]*"|'[^']*')\s*""")
_LAST_KEY = re.compile(r"(?<=[{,]) *([A-Za-z0-9_-]+) *$")
_HEADING = re.compile(r"\s*+(\[\[?+)([^\[\]#]*+)(\]{0,2}+)\s*+(?:#.*)?$")
_STATEMENT = re.compile(rf"{_HEADING.pattern}|\s*[\w.-]+\s*=")
_EQUALS = re.compile(r"(?::=|=>|->|==+|:)[=>]*")
_LISTS = {
    "provider",
    *(f"provider.{key}" for key in (*SERVER_KEYS, "documentation", "instruction")),
}


class Stop(NamedTuple):
    """Where tomllib stopped, and its message."""

    message: str
    text: str
    offset: int

    @property
    def start(self) -> int:
        """The offset of the line."""
        return self.text.rfind("\n", 0, self.offset) + 1

    @property
    def at(self) -> int:
        """The offset in the line."""
        return self.offset - self.start

    @property
    def line(self) -> str:
        end = self.text.find("\n", self.offset)
        return self.text[self.start : end if end >= 0 else None]

    @property
    def number(self) -> int:
        """The number of the line, from 1."""
        return self.text.count("\n", 0, self.offset) + 1

    @property
    def rest(self) -> str:
        """The line from the stop on."""
        return self.line[self.at :]

    @property
    def key(self) -> str:
        """The key before the stop, or else the first of the line, or ""."""
        found = _LAST_KEY.search(self.line, 0, self.at) or _KEY.match(self.line)
        return _cut(found[1]) if found else ""

    @property
    def is_inline(self) -> bool:
        """Whether the stop is in a list or an inline table."""
        before = self.line[: self.at]
        return "[" in before or "{" in before or "=" not in self.line

    @property
    def statement(self) -> Stop:
        """The start of the statement that the stop is in."""
        return self.moved(last_statement(self.text, self.offset))

    def moved(self, offset: int) -> Stop:
        """Return the stop at another offset in the text."""
        return self._replace(offset=min(offset, len(self.text)))

    def column(self, at: int) -> Stop:
        """Return the stop at another offset in the line."""
        return self.moved(self.start + at)


class Guess(NamedTuple):
    """A probable cause, what to write instead, and where."""

    message: str
    cure: str
    stop: Stop | None = None  # None: where tomllib stopped


def guessed(stop: Stop) -> Guess | None:
    """Return the likeliest cause, or None."""
    if stop.message == 'Expected "\'"':  # tomllib searched to the end of the file
        begin = stop.moved(stop.text.rfind("'"))
        stop = begin.column(len(begin.line))
    guess = next(filter(None, (guess(stop) for guess in _GUESSES)), None)
    return guess and guess._replace(stop=guess.stop or stop)


def _another_format(stop: Stop) -> Guess | None:
    start = stop.text.lstrip()
    if start.startswith("<"):
        cure = "convert a config-v1.1.xml with `flask-autoconfig import FILE`"
        return Guess("the file is XML", cure, stop.column(0))
    for sign, name in (("{", "JSON"), ("---", "YAML")):
        if start.startswith(sign):
            cure = 'write TOML: key = "value"'
            return Guess(f"the file is {name}", cure, stop.column(0))
    return None


def _invisible_character(stop: Stop) -> Guess | None:
    char = stop.rest[:1]
    if char == "\0" and stop.text.count("\0") > 1 + len(stop.text) // 4:
        return Guess("the file is UTF-16, not UTF-8", "save it as UTF-8")
    if not char or char in " \t" or not (char.isspace() or not is_seen(char)):
        return None
    name = unicodedata.name(char, "control character").lower()
    if char == "\ufeff":
        name = "byte order mark"
    cure = "remove this invisible character"
    if char.isspace() and char > "\x7f":
        cure = "write an ordinary space"
    return Guess(f"a {name} (U+{ord(char):04X})", cure)


def _curly_quote(stop: Stop) -> Guess | None:
    at = stop.at
    if _is_open_string(stop):
        at = len(without_comment(stop.line).rstrip(" \t,]")) - 1
    char = stop.line[at : at + 1] if at >= 0 else ""
    if char not in CURLY:
        return None
    cure = f"write a straight one: {CURLY[char]}"
    return Guess(f"a curly quote ({char})", cure, stop.column(at))


def _wrong_equals(stop: Stop) -> Guess | None:
    # Of == and =>, tomllib takes the first = for the right one.
    at = stop.at - stop.line[: stop.at].endswith("=")
    found = _EQUALS.match(stop.line, at)
    if found is None or not stop.key:
        return None
    if not stop.message.startswith(("Expected '='", "Invalid value")):
        return None
    raw = stop.line[found.end() :]
    if "{" in stop.line[:at]:
        raw = re.split("[,}]", raw, maxsplit=1)[0]
    cure = assignment(stop.key, raw)
    if stop.key == "provider" and not without_comment(raw).strip():
        cure = "write [[provider]], and its keys below it"
    return Guess(f'"{found[0]}" instead of "="', cure, stop.column(at))


def _missing_equals(stop: Stop) -> Guess | None:
    if not stop.message.startswith("Expected '='") or not re.search(r"\w", stop.key):
        return None
    before, equals, after = stop.line.partition("=")
    key = before.strip().strip("\"'")
    if equals and re.fullmatch(r"[^\"'#{]+", key):
        name = _cut(re.sub(r"[^A-Za-z0-9_.]+", "_", key))
        return Guess(f"{quote(key)} is not a valid key", assignment(name, after))
    return Guess("an = is missing", assignment(stop.key, stop.rest))


def _open_list(stop: Stop) -> Guess | None:
    """Find a list or an inline table that is not closed before the next lines."""
    if not stop.message.startswith(("Unclosed", "Invalid value")):
        return None
    begin = stop.statement
    if begin.line.lstrip().startswith("["):
        return None
    is_unclosed = stop.message.startswith("Unclosed")
    if is_unclosed and stop.rest.startswith(('"', "'", "{")):
        return Guess("a comma is missing", "write a comma between two values")
    goes_on = begin.number < stop.number and _STATEMENT.match(stop.line)
    if not goes_on and not (is_unclosed and not stop.rest.strip()):
        return None
    for sign, closing, what in (("[", "]", "list"), ("{", "}", "table")):
        at = begin.line.find(sign)
        if at >= 0:
            message = f"the {what} that begins here has no {closing}"
            cure = f"write {closing} after its last value"
            return Guess(message, cure, begin.column(at))
    return None


def _bare_value(stop: Stop) -> Guess | None:
    if not stop.message.startswith(("Invalid value", "Expected newline")):
        return None
    key, equals, raw = (part.strip() for part in stop.line.partition("="))
    if stop.message.startswith("Invalid value") and stop.is_inline:
        item = re.split(r"[,\]}]", without_comment(stop.rest), maxsplit=1)[0].strip()
        return Guess("a quote is missing", f"write {value_of(item)}") if item else None
    if not equals or key.startswith("[") or raw.startswith(('"', "'", "[", "{")):
        return None
    if not without_comment(raw):
        return Guess("the value is missing", assignment(_cut(key), raw))
    cure = assignment(_cut(key), raw)
    message = "a quote is missing" if '"' in cure else "the value is not valid TOML"
    return Guess(message, cure, stop.column(stop.line.index(raw)))


def _uneven_heading(stop: Stop) -> Guess | None:
    found = _HEADING.match(stop.line)
    if found is None or len(found[1]) == len(found[3]):
        return None
    name = found[2].strip()
    is_list = name in _LISTS or "[[" in found[1] or found[3] == "]]"
    heading = f"[[{name}]]" if is_list else f"[{name}]"
    return Guess("the brackets of the heading do not match", f"write {heading}")


def _backslash(stop: Stop) -> Guess | None:
    if not stop.message.startswith(("Unescaped", "Invalid hex", "Escaped character")):
        return None
    cure = "write the value in single quotes, or each backslash as \\\\"
    return Guess("a backslash starts an escape sequence in double quotes", cure)


def _is_open_string(stop: Stop) -> bool:
    return stop.at >= len(stop.line) and stop.message.startswith(
        ("Illegal character", "Found invalid", "Unterminated string", 'Expected "\'"')
    )


def _open_string(stop: Stop) -> Guess | None:
    if not _is_open_string(stop) or not stop.line.strip():
        return None
    whole = re.match(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*""", stop.line)
    start = whole.end() if whole else 0
    text = value_of(stop.line[start:].strip().rstrip("]} "))
    is_inline = stop.column(start).is_inline
    cure = f"write {text}" if is_inline else assignment(stop.key, text)
    end = len(without_comment(stop.line).rstrip())
    return Guess("the closing quote is missing", cure, stop.column(end))


def _duplicate(stop: Stop) -> Guess | None:
    if not stop.message.startswith(("Cannot", "Duplicate")):
        return None
    begin = stop.statement
    before = stop.text[: begin.offset].split("\n")[:-1]
    heading = _HEADING.match(begin.line)
    if heading:
        return _duplicate_heading(begin, heading[2].strip(), before)
    for number, line in reversed(list(enumerate(before, 1))):
        found = _KEY.match(line)
        if found and found[1] == begin.key and line.startswith("=", found.end()):
            message = f"{begin.key} is defined twice, first on line {number}"
            return Guess(message, "remove one of them", begin)
        if line.lstrip().startswith("["):
            break
    return None


def _duplicate_heading(begin: Stop, name: str, before: list[str]) -> Guess | None:
    for number, line in enumerate(before, 1):
        found = _HEADING.match(line)
        if found and found[2].strip() == name:
            message = f"the heading {name} is used twice, first on line {number}"
            cure = "keep one, or begin another [[provider]] before this one"
            if name in _LISTS:
                cure = f"write each of them as [[{name}]], with two brackets"
            return Guess(message, cure, begin)
    return None


def _cut(key: str) -> str:
    """Return a key for a message, shortened and without invisible characters."""
    return quote(key)[1:-1]


_GUESSES: tuple[Callable[[Stop], Guess | None], ...] = (
    _another_format,
    _invisible_character,
    _curly_quote,
    _wrong_equals,
    _missing_equals,
    _open_list,
    _uneven_heading,
    _bare_value,
    _backslash,
    _open_string,
    _duplicate,
)
