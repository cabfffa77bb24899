"""Describes TOML syntax errors: the place, and what to do."""

import re
import tomllib

from ...errors import Problem
from .hiding import is_secret
from .hints import WORDS
from .lines import last_statement

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
    """Return a problem at a column from 0.

    In a value of several lines that may be a secret, it is at the first of them, of
    which reports show nothing.
    """
    text = "\n".join([*lines[: number - 1], lines[number - 1][:column]])
    for begin in range(last_statement(text), number):
        if is_secret(lines[begin - 1]):
            return Problem("", message, cure, line=begin)
    return Problem("", message, cure, line=number, column=column + 1)
