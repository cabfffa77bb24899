"""What a person did wrong in a text that is no TOML, guessed from the line.

Each guess is a function of a :class:`Stop`, in one list, the surer ones first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from ..cleaning import is_seen
from .places import last_statement
from .spelling import (
    CURLY,
    SMALL,
    cut,
    kinds,
    line_of,
    plain_letters,
    value_of,
    without_comment,
)
from .tables import SERVER_KEYS
from .values import quote

_KEY = re.compile(r"""\s*([A-Za-z0-9_.-]+|"[^"]*"|'[^']*')\s*""")
_LAST_KEY = re.compile(r"(?<=[{,]) *([A-Za-z0-9_-]+) *$")
_HEADING = re.compile(r"\s*+(\[\[?+)([^\[\]#]*+)(\]{0,2}+)\s*+(?:#.*)?$")
_LISTS = {
    "provider",
    *(f"provider.{key}" for key in (*SERVER_KEYS, "documentation", "instruction")),
}
_NOTHING = {"null", "none", "nil", "undefined"}


class Stop(NamedTuple):
    """Where tomllib stopped: its words, the place, and the text around it."""

    says: str
    text: str
    offset: int  # in the text
    number: int  # of the line, from 1
    line: str
    at: int  # in the line, from 0

    @property
    def rest(self) -> str:
        """The line from there on."""
        return self.line[self.at :]

    @property
    def key(self) -> str:
        """The key that stands before it, or else the line's; "" where there is none."""
        found = _LAST_KEY.search(self.line, 0, self.at) or _KEY.match(self.line)
        return cut(found[1]) if found else ""

    def moved(self, offset: int) -> Stop:
        """The same at another place of the text."""
        offset = min(offset, len(self.text))
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start : end if end >= 0 else None]
        number = self.text.count("\n", 0, offset) + 1
        return self._replace(offset=offset, number=number, line=line, at=offset - start)


class Guess(NamedTuple):
    """What is wrong, what to write, and where: a column of the line, or another place."""

    message: str
    cure: str
    at: int | None = None  # in the line, from 0; None: where tomllib stopped
    stop: Stop | None = None  # where it is another place


def guessed(stop: Stop) -> Guess | None:
    """The likeliest cause, None where there is no guess."""
    if stop.says == 'Expected "\'"':  # sought in the lines behind, to no avail
        begin = stop.moved(stop.text.rfind("'"))
        stop = begin.moved(begin.offset - begin.at + len(begin.line))
    guess = next(filter(None, (guess(stop) for guess in _GUESSES)), None)
    return guess and guess._replace(stop=guess.stop or stop)


def _another_format(stop: Stop) -> Guess | None:
    start = stop.text.lstrip()
    if stop.number > len(stop.text) - len(start) + 4:
        return None
    if start.startswith("<"):
        cure = "`flask-autoconfig import FILE` makes TOML of a config-v1.1.xml"
        return Guess("this is XML", cure, 0)
    if start.startswith("{"):
        return Guess("this is JSON", 'write TOML: key = "value" a line', 0)
    if start.startswith("---"):
        return Guess("this is YAML", 'write TOML: key = "value" a line', 0)
    return None


def _unseen(stop: Stop) -> Guess | None:
    char = stop.rest[:1]
    if char == "\0" and stop.text.count("\0") > 1 + len(stop.text) // 4:
        return Guess("it is UTF-16, not UTF-8", "save it as UTF-8")
    if char == "\ufeff":
        return Guess("a byte order mark (U+FEFF)", "remove it: it cannot be seen")
    if not char or char in " \t" or not (char.isspace() or not is_seen(char)):
        return None
    name = unicodedata.name(char, "control character").lower()
    code = f"U+{ord(char):04X}"
    if char.isspace() and char > "\x7f":
        return Guess(f"a {name} ({code})", "write an ordinary space")
    return Guess(f"a {name} ({code})", "remove it: it cannot be seen")


def _curly_quote(stop: Stop) -> Guess | None:
    at = stop.at
    if _is_open_string(stop):
        at = len(without_comment(stop.line).rstrip(" \t,]")) - 1
    char = stop.line[at : at + 1] if at >= 0 else ""
    if char in CURLY and char:
        return Guess(
            f"a curly quote ({char})", f"write a straight one: {CURLY[char]}", at
        )
    return None


_COMMENT = re.compile(r"//|/\*|;(?=\s*\S)|--\s|<!--|'\s|rem\s|%\s", re.IGNORECASE)


def _comment(stop: Stop) -> Guess | None:
    start = len(stop.line) - len(stop.line.lstrip())
    if not stop.says.startswith(("Invalid statement", "Expected")):
        return None
    for at in (start, stop.at):
        found = _COMMENT.match(stop.line, at)
        if found and (at == start or found[0][0] in "/;<"):
            sign = found[0].strip()
            return Guess(f'a comment begins with #, not with "{sign}"', "write #", at)
    return None


def _yaml_list(stop: Stop) -> Guess | None:
    if re.match(r"\s*- ", stop.line):
        cure = 'write the whole list: domains = ["example.com", "example.net"]'
        return Guess("a list as YAML writes it", cure, stop.line.index("-"))
    return None


def _other_equals(stop: Stop) -> Guess | None:
    found = re.match(r"(?::=|=>|->|==+|:)[=>]*", stop.rest)
    if found and stop.says.startswith(("Expected '='", "Invalid value")) and stop.key:
        raw = stop.rest[found.end() :]
        if "{" in stop.line[: stop.at]:
            raw = re.split("[,}]", raw, maxsplit=1)[0]
        cure = line_of(stop.key, raw)
        if stop.key == "provider" and not without_comment(raw).strip():
            cure = "write [[provider]], and its keys below it"
        return Guess(f"a {found[0]} stands where an = belongs", cure)
    at = stop.at - 1
    if stop.key and stop.line[at : at + 2] in ("==", "=>"):
        message = f"a {stop.line[at : at + 2]} stands where an = belongs"
        return Guess(message, line_of(stop.key, stop.rest[1:]), at)
    return None


def _no_equals(stop: Stop) -> Guess | None:
    if not stop.says.startswith("Expected '='"):
        return None
    before, equals, after = stop.line.partition("=")
    key = before.strip().strip("\"'")
    inline = "{" in stop.line[: stop.at]
    if equals and not inline and re.fullmatch(r"[^\"'#]+", key):
        name = cut(re.sub(r"[^A-Za-z0-9_.]+", "_", plain_letters(key).strip()))
        return Guess(f"{quote(key)} is no key", line_of(name, after))
    if not without_comment(stop.rest).strip():
        key = stop.key or "key"
        return Guess("a key without a value", f'write {key} = "…", or # before it')
    return Guess("an = is missing", line_of(stop.key, stop.rest))


def _no_key(stop: Stop) -> Guess | None:
    char = stop.rest[:1]
    if stop.says.startswith("Invalid initial character") and char == "}":
        return Guess("a comma before the }", "remove the comma")
    if stop.says.startswith("Invalid initial character") and "{" in stop.line:
        return Guess("a table in { } goes over several lines", "write it on one line")
    if not stop.says.startswith("Invalid statement"):
        return None
    if char in ("]", "}", ")"):
        return Guess(f"a {char} that nothing opened", "remove it")
    cure = 'write key = "value", or # before it'
    return Guess("neither a key nor a heading nor a comment", cure)


def _small_word(stop: Stop) -> Guess | None:
    if not stop.says.startswith("Invalid value"):
        return None
    word = without_comment(stop.rest).strip().rstrip(",;]}")
    small = word.lower()
    if small in ("true", "false"):
        return Guess(f"{small} is written small", _for_value(stop, small))
    if small in SMALL:
        cure = _for_value(stop, SMALL[small])
        return Guess(f"{word} is no word of TOML", cure)
    if small in _NOTHING:
        return Guess(f"TOML has no {word}", "remove the line")
    return None


def _for_value(stop: Stop, value: str) -> str:
    """The cure that names the key as well, where the line has no other value."""
    found = re.fullmatch(r"\s*([\w.-]+)\s*=\s*", stop.line[: stop.at])
    return f"write {found[1]} = {value}" if found else f"write {value}"


def _open_list(stop: Stop) -> Guess | None:
    """A list that the lines behind it are taken for a part of."""
    if not stop.says.startswith(("Unclosed", "Invalid value", "Expected ']'")):
        return None
    begin = stop.moved(last_statement(stop.text, stop.offset))
    if begin.line.lstrip().startswith("["):
        return None
    char = stop.rest[:1]
    if stop.says.startswith("Unclosed") and char and char in "\"'{":
        return Guess("a comma is missing", "write a comma between two values")
    if stop.says.startswith("Unclosed") and re.match(r"[\w.@*-]", char):
        return _no_quote(stop)
    goes_on = begin.number < stop.number and _looks_like_statement(stop.line)
    if not (goes_on or stop.offset >= len(stop.text) or begin.number == stop.number):
        return None
    if stop.says.startswith("Invalid value") and not goes_on:
        return None
    for sign, closing, what in (("[", "]", "list"), ("{", "}", "table")):
        at = begin.line.find(sign)
        if at >= 0:
            message = f"the {what} that begins here has no {closing}"
            return Guess(message, f"write {closing} behind its last value", at, begin)
    return None


def _looks_like_statement(line: str) -> bool:
    return bool(_HEADING.match(line) or re.match(r"\s*[\w.-]+\s*=", line))


def _value_of_no_kind(stop: Stop) -> Guess | None:
    if not stop.says.startswith("Invalid value"):
        return None
    rest = without_comment(stop.rest).strip()
    if not rest:
        key = stop.key or "key"
        return Guess("the value is missing", f'write {key} = "…", or remove the line')
    if rest.startswith(","):
        return Guess("two commas, and no value between", "remove one")
    return _no_quote(stop)


def _no_quote(stop: Stop) -> Guess:
    rest = without_comment(stop.rest)
    if (
        "[" in stop.line[: stop.at]
        or "{" in stop.line[: stop.at]
        or "=" not in stop.line
    ):
        rest = re.split(r"[,\]}]", rest, maxsplit=1)[0]
        return Guess("a quote is missing", f"write {value_of(rest)}")
    return Guess("a quote is missing", _for_value(stop, value_of(rest)))


def _after_the_end(stop: Stop) -> Guess | None:
    """Something stands behind what is whole already."""
    if not stop.says.startswith("Expected newline"):
        return None
    rest = stop.rest.strip()
    if stop.line.lstrip().startswith("["):
        return _heading(stop)
    if rest in (",", ";"):
        return Guess(f"a {rest} at the end of the line", "remove it")
    if rest[:1] in ("]", "}", ")"):
        return Guess(f"a {rest[0]} too many", "remove it")
    if re.match(r"[,;]?\s*[\w.-]+\s*=", rest):
        return Guess("two keys in one line", "write each on a line of its own")
    key, _, raw = (it.strip() for it in stop.line.partition("="))
    raw = without_comment(raw).strip()
    if re.fullmatch("0[0-9]+", raw):
        return Guess("a number that begins with 0", line_of(key, raw))
    if raw[:1] in ("'", '"'):
        return _after_a_text(stop, key, raw)
    if raw[:1] in ("[", "{"):
        return Guess("something stands behind the value", "write # before it")
    if kinds().get(key) == "int":
        number = re.sub(r"\D.*", "", raw)
        cure = f"write the number alone: {key} = {number}"
        return Guess("a number, and then more", cure)
    at = stop.line.index(raw)
    return Guess("a quote is missing", f"write {cut(key)} = {quote(raw)}", at)


def _after_a_text(stop: Stop, key: str, raw: str) -> Guess:
    inner = raw.strip("\"' ")
    if stop.line[stop.at - 1] not in "\"'":
        if stop.rest[:1] in ('"', "'"):
            cure = "write one of them, or a list where the key takes one"
            return Guess("two texts where one belongs", cure)
        return Guess("something stands behind the value", "write # before it")
    if '"' not in inner:
        return Guess("a quote too many", f"write {cut(key)} = {quote(inner)}")
    cure = f"write {cut(key)} = '{inner}'"
    return Guess('a " within the text', f'{cure}, or \\" for each')


def _heading(stop: Stop) -> Guess | None:
    """A table's heading with brackets that do not fit."""
    if not stop.line.lstrip().startswith("["):
        return None
    if not stop.says.startswith(("Expected", "Invalid initial", "Cannot")):
        return None
    found = _HEADING.match(stop.line)
    if found is None:
        if without_comment(stop.line).rstrip().endswith("]"):
            return None
        cure = "begin a new line behind it"
        return Guess("a heading stands on a line of its own", cure)
    opening, name, closing = map(str.strip, found.groups())
    words = re.sub(r"[\s/:>]+", ".", name).strip(".") or "provider"
    many = "[[" in opening or closing == "]]"
    whole = f"[[{words}]]" if many else f"[{words}]"
    if words != name and name:
        return Guess("a heading's words have dots between them", f"write {whole}")
    if not name:
        return Guess("a heading without a name", "write [[provider]]")
    if len(opening) != len(closing):
        return Guess("the heading has not as many [ as ]", f"write {whole}")
    return None


def _backslash(stop: Stop) -> Guess | None:
    if not stop.says.startswith(("Unescaped", "Invalid hex", "Escaped character")):
        return None
    at = stop.line.rfind("\\", 0, stop.at + 1)
    if at < 0:
        return None
    start = stop.line.rfind('"', 0, at)
    text = stop.line[start + 1 :].partition('"')[0]
    cure = f"write it in single quotes: '{text}'" if "'" not in text else "write \\\\"
    return Guess("a backslash begins an escape between double quotes", cure, at)


_OPEN = ("Illegal character", "Found invalid", "Unterminated string", 'Expected "\'"')


def _is_open_string(stop: Stop) -> bool:
    ends = stop.at >= len(stop.line)
    return ends and stop.says.startswith(_OPEN)


def _open_long_string(stop: Stop) -> Guess | None:
    if not stop.says.startswith(("Unterminated", "Expected", "Illegal character")):
        return None
    begin = stop.moved(last_statement(stop.text, stop.offset))
    found = re.match(r"[^=]*=\s*(\"\"\"|\'\'\')", begin.line)
    if found is None:
        return None
    message = f"the text that begins here with {found[1]} has no end"
    return Guess(message, f"write {found[1]} behind it", found.start(1), begin)


def _open_string(stop: Stop) -> Guess | None:
    if not _is_open_string(stop):
        return None
    head = re.match(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*""", stop.line)
    at = head.end() if head else 0
    text = without_comment(stop.line[at:]).strip().rstrip("],} ")
    mark = stop.line[at : at + 1]
    other = {"'": '"', '"': "'"}.get(mark, "")
    here = stop._replace(at=at)
    if len(text) > 1 and text.endswith(other) and other:
        message = f"the text begins with {mark} and ends with {other}"
        return Guess(message, _for_value(here, quote(text[1:-1])), at)
    cure = _for_value(here, quote(text[1:].strip(' \\"')))
    end = len(without_comment(stop.line).rstrip())
    return Guess("a quote is missing at the end", cure, end)


def _twice(stop: Stop) -> Guess | None:
    if not stop.says.startswith(("Cannot", "Duplicate")):
        return None
    begin = stop.moved(last_statement(stop.text, stop.offset))
    before = stop.text[: begin.offset].split("\n")[:-1]
    heading = _HEADING.match(begin.line)
    if heading and begin.line.lstrip().startswith("["):
        uneven = _heading(begin)
        if uneven:
            return uneven._replace(stop=begin)
        return _heading_twice(begin, heading[2].strip(), before)
    key = begin.key
    for number, line in reversed(list(enumerate(before, 1))):
        found = _KEY.match(line)
        if found and found[1] == key and line[found.end() : found.end() + 1] == "=":
            message = f"{key} stands twice in this table, first on line {number}"
            return Guess(message, "remove one of the two", None, begin)
        if line.lstrip().startswith("["):
            break
    return Guess(f"{key} is a table or a value, not both", "write it once", None, begin)


def _heading_twice(begin: Stop, name: str, before: list[str]) -> Guess:
    for number, line in enumerate(before, 1):
        found = _HEADING.match(line)
        if found and found[2].strip() == name and line.lstrip().startswith("["):
            message = f"the heading of {name} stands twice, first on line {number}"
            cure = "keep one, or begin another [[provider]] before this one"
            if name in _LISTS:
                cure = f"head each of them [[{name}]], with two brackets"
            return Guess(message, cure, None, begin)
    message = f"{name} is something else further up"
    cure = "keep one of the two, and head lists of tables [[…]]"
    return Guess(message, cure, None, begin)


_GUESSES: tuple[Callable[[Stop], Guess | None], ...] = (
    _another_format,
    _unseen,
    _curly_quote,
    _comment,
    _yaml_list,
    _other_equals,
    _no_equals,
    _no_key,
    _small_word,
    _open_list,
    _value_of_no_kind,
    _after_the_end,
    _heading,
    _backslash,
    _open_long_string,
    _open_string,
    _twice,
)
