"""Describes TOML syntax errors: the line, a mark below it, and what to do."""

import re
import tomllib

from ...cleaning import clean
from ...errors import Problem
from .hiding import HIDDEN, may_have_secret
from .hints import WORDS
from .lines import last_statement

_WIDTH = 100  # characters of a line that are shown
_STRAIGHT = dict.fromkeys("“”„«»″＂", '"') | dict.fromkeys("‘’‚′`´", "'")


def explain(text: str, error: Exception) -> Problem:
    """Return the problem of a text that tomllib rejected with *error*."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        message = "not TOML: nested too deep, or a number of too many digits"
        return Problem("", message, "remove brackets or digits")
    text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    message, _, place = str(error).rpartition(" (at ")
    if numbers := re.findall(r"\d+", place):
        number, column = int(numbers[0]), int(numbers[1]) - 1
    else:  # the last statement has no end, and its first line is the one to correct
        number = last_statement(text)
        if message == 'Expected "\'"':  # a literal string ends with its line
            number = text.count("\n", 0, text.rfind("'")) + 1
        column = len(lines[number - 1])
    cures = WORDS["syntax"].items()
    matches = (cure for begin, cure in cures if message.startswith(begin))
    cure = next(matches, "correct that line")
    char = lines[number - 1][column : column + 1]
    if char in _STRAIGHT:
        message = f"a curly quote ({char})"
        cure = f"write a straight one: {_STRAIGHT[char]}"
    elif char != "\t" and not char.isprintable():
        message = f"an invisible character (U+{ord(char):04X})"
        cure = "remove it, or write an ordinary space"
    for begin, (name, remedy) in WORDS["formats"].items():
        if re.match(rf"(?>(?:\s++|#.*\n)*)(?:{begin})", text):
            message, cure, column = f"the file is {name}", remedy, 0
    return _problem(f"not TOML: {message}", cure, lines, number, column)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> Problem:
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    *lines_before, begin = data[: error.start].decode("utf-8").split("\n")
    message, number = f"not UTF-8 at byte {error.start}", len(lines_before) + 1
    return _problem(message, "save it as UTF-8", lines, number, len(begin))


def _problem(
    message: str, cure: str, lines: list[str], number: int, column: int
) -> Problem:
    """Return a problem at a column from 0, with the line unless it may have a secret."""
    line, mark = lines[number - 1], column
    begin = last_statement("\n".join([*lines[: number - 1], line[:column]]))
    if any(map(may_have_secret, lines[begin - 1 : number])):
        line, mark = HIDDEN, 0
    # The line, or the part of a long line around the mark, and the mark below it.
    start = max(0, min(mark - _WIDTH // 2, len(line) - _WIDTH))
    part = clean(line[start : start + _WIDTH].replace("\t", " "))
    prefix = "…" if start else ""
    suffix = "…" if start + _WIDTH < len(line) else ""
    indent = " " * (len(prefix) + mark - start)
    gap = " " * len(str(number))
    excerpt = f"  {number} | {prefix}{part}{suffix}\n  {gap} | {indent}^"
    return Problem("", message, cure, line=number, column=column + 1, excerpt=excerpt)
