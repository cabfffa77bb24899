"""Describes TOML syntax errors: the line, a mark below it, and the probable cause.

Only frequent mistakes are guessed; for the others, tomllib's message has to do.
"""

from __future__ import annotations

import re
import tomllib

from ...cleaning import clean, is_seen
from ...errors import Problem
from ..values import quote
from .hiding import HIDDEN, hidden_to_the_end
from .hints import WORDS, synonym
from .lines import last_statement

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WIDTH = 100  # characters of a line that are shown
_LONGEST_LINE = 300  # characters of a line that a guess looks at
_CURE = "correct that line"
_PAIR = re.compile(
    r"[ \t]*+(?P<key>\w[\w.-]*+|\"[^\"]*+\"|'[^']*+')[ \t]*+"
    r"(?P<sign>(?:[=:]|->)[=>]*+)?[ \t]*+(?P<raw>.*)"
)
_VALID = re.compile(r"""[+-]?(?:0|[1-9][0-9_]*)|true|false|"[^"\\]*"|'[^']*'|[\[{].*""")
_STRAIGHT = dict.fromkeys("“”„«»″＂", '"') | dict.fromkeys("‘’‚′`´", "'")
_QUOTES = "\"'" + "".join(_STRAIGHT)
_OPEN_STRING = ("Illegal character", "Found invalid", "Unterminated", 'Expected "\'"')
_NO_PAIR = ("Expected '='", "Invalid value", "Expected newline")


def explain(text: str, error: Exception) -> Problem:
    """Return the problem of a text that tomllib rejected with *error*."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        message = "not TOML: nested too deep, or a number of too many digits"
        return Problem("", message, "remove brackets or digits")
    text = text.replace("\r\n", "\n")
    found = _AT.search(str(error))
    message = str(error)[: found.start()] if found else str(error)
    lines = text.split("\n")
    number, at = len(lines), len(lines[-1])
    if message == 'Expected "\'"':  # tomllib searched to the end of the file
        number = text.count("\n", 0, max(text.rfind("'"), 0)) + 1
        at = len(lines[number - 1])
    elif found and found[1]:
        number, at = int(found[1]), int(found[2]) - 1
    line = lines[number - 1]
    cures = WORDS["syntax"].items()
    cure = next((cure for begin, cure in cures if message.startswith(begin)), _CURE)
    for begin, (name, remedy) in WORDS["formats"].items():
        if re.match(rf"(?>(?:\s++|#.*\n)*)(?:{begin})", text):
            return _problem(f"not TOML: the file is {name}", remedy, lines, number, 0)
    if len(line) <= _LONGEST_LINE:
        guess = _odd_character(message, line, at) or _pair(message, line, at)
        message, cure, at = guess or (message, cure, at)
    return _problem(f"not TOML: {message}", cure, lines, number, at)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> Problem:
    """Return the problem of a file that is not UTF-8."""
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    *before, start = data[: error.start].decode("utf-8").split("\n")
    message = f"not UTF-8 at byte {error.start}"
    return _problem(message, "save it as UTF-8", lines, len(before) + 1, len(start))


def _problem(
    message: str, cure: str, lines: list[str], number: int, column: int
) -> Problem:
    """Return a problem at a column from 0, with the line and without its secrets."""
    above, whole = lines[: number - 1], lines[number - 1]
    line, secret = hidden_to_the_end(whole)
    begin = last_statement("\n".join([*above, whole[:column]]))
    if begin < number and hidden_to_the_end(lines[begin - 1])[1]:
        line, secret = HIDDEN, whole  # which began on an earlier line
    at = min(column, len(line) - 1) if secret else column
    if any(word in cure for word in re.findall(r"\w{3,}", secret)):
        cure = _CURE
    # The line, or the part of a long line around the place, and a mark below it.
    start = max(0, min(at - _WIDTH // 2, len(line) - _WIDTH))
    shown = clean(line[start : start + _WIDTH].replace("\t", " "))
    before = "…" if start else ""
    after = "…" if start + _WIDTH < len(line) else ""
    indent = " " * (len(before) + at - start)
    gap = " " * len(str(number))
    excerpt = f"  {number} | {before}{shown}{after}\n  {gap} | {indent}^"
    return Problem("", message, cure, line=number, column=column + 1, excerpt=excerpt)


# --- Guesses: a probable cause, what to write instead, and the column from 0 ------------


def _odd_character(message: str, line: str, at: int) -> tuple[str, str, int] | None:
    """Find an invisible character, or what is wrong with the quotes of a string."""
    char = line[at : at + 1]
    if char and char not in " \t" and (char.isspace() or not is_seen(char)):
        found = f"an invisible character (U+{ord(char):04X})"
        return found, "remove it, or write an ordinary space", at
    is_open = not char and bool(line.strip()) and message.startswith(_OPEN_STRING)
    last = len(line.partition(" #")[0].rstrip(" \t,]")) - 1 if is_open else at
    if (char := line[last : last + 1]) in _STRAIGHT:
        cure = f"write a straight one: {_STRAIGHT[char]}"
        return f"a curly quote ({char})", cure, last
    if is_open:
        return "the closing quote is missing", "write it after the value", at
    return None


def _pair(message: str, line: str, at: int) -> tuple[str, str, int] | None:
    """Find what is wrong between a key and its value, or with a value without quotes."""
    found = _PAIR.match(re.split(r"\s#|^#", line, maxsplit=1)[0])
    if found is None or not message.startswith(_NO_PAIR):
        return None
    sign, value = found["sign"], found["raw"].strip(" \t,;")
    written = value
    if not _VALID.fullmatch(value):
        written = synonym("truth", value) or quote(value.strip(f"{_QUOTES} \\") or "…")
        if value.isascii() and value.isdigit():
            written = value.lstrip("0") or "0"
    cure = f"write {quote(found['key'])[1:-1]} = {written}"
    if not sign:
        is_other = "=" in value or message.startswith("Invalid value")
        return None if is_other else ("an = is missing", cure, at)
    if sign != "=":
        return f'"{sign}" instead of "="', cure, found.start("sign")
    if value.startswith(('"', "'", "[", "{")):
        return None
    problem = "a quote is missing" if '"' in cure else "the value is not valid TOML"
    problem = problem if value else "the value is missing"
    return problem, cure, found.start("raw")
