"""Describes TOML syntax errors: the line, a mark below it, and the probable cause."""

from __future__ import annotations

import re
import unicodedata

from ...cleaning import is_seen
from ...errors import Problem
from .guesses import Guess, Stop, guessed
from .hiding import HIDDEN, hidden_to_the_end

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WIDTH = 100  # characters of a line that are shown
_SECRET_PIECE = re.compile(r"\w{3,}")  # pieces of a secret that must not be shown
_LONGEST_LINE = 300  # characters of a line that a guess looks at
_MORE_DIGITS = re.compile(r"(?<![0-9_])[0-9_]{4000}")
_CURE = "correct that line"


def explain(text: str, error: Exception) -> Problem:
    """Return the problem of a text that tomllib rejected with *error*."""
    if isinstance(error, RecursionError):
        return Problem("", "not TOML: nested too deep", "remove some of the brackets")
    text = text.replace("\r\n", "\n")
    stop = _stop(text, str(error))
    guess = guessed(stop) if len(stop.line) <= _LONGEST_LINE else None
    guess = guess or Guess(stop.message, _CURE)
    return _problem(f"not TOML: {guess.message}", guess.cure, guess.stop or stop)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> Problem:
    """Return the problem of a file that is not UTF-8."""
    cure = "save it as UTF-8"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        message = "the file is UTF-16, not UTF-8"
        return Problem("", message, f"{cure}, without a byte order mark", line=1)
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    before = data[: error.start].decode("utf-8").replace("\r\n", "\n")
    stop = Stop("", text, len(before))
    return _problem(f"not UTF-8 at byte {error.start}", cure, stop)


def _stop(text: str, error: str) -> Stop:
    """Return where tomllib stopped; its columns count the characters of a line."""
    found = _AT.search(error)
    message = error[: found.start()] if found else error
    if found is None:  # of a number that Python refuses to read
        digits = _MORE_DIGITS.search(text)
        message = message.partition(" for integer string")[0]
        offset = digits.start() if digits else 0
    elif found[1] is None:
        offset = len(text)
    else:
        lines = text.split("\n", int(found[1]) - 1)
        offset = len(text) - len(lines[-1]) + int(found[2]) - 1
    return Stop(message, text, min(offset, len(text)))


def _problem(message: str, cure: str, stop: Stop) -> Problem:
    line, secret = hidden_to_the_end(stop.line)
    if _continues_secret(stop):
        line, secret = HIDDEN, stop.line
    if any(piece in cure for piece in _SECRET_PIECE.findall(secret)):
        cure = _CURE
    number, at = stop.number, stop.at
    excerpt = _excerpt(number, line, min(at, _common_length(line, stop.line)))
    return Problem("", message, cure, line=number, column=at + 1, excerpt=excerpt)


def _continues_secret(stop: Stop) -> bool:
    """Whether the line belongs to a secret that began on an earlier line."""
    begin = stop.statement
    return begin.number < stop.number and hidden_to_the_end(begin.line)[1] != ""


def _common_length(shown: str, line: str) -> int:
    pairs = enumerate(zip(shown, line, strict=False))
    return next((at for at, (one, other) in pairs if one != other), len(shown))


def _excerpt(number: int, line: str, at: int) -> str:
    """Return the line, or the part of a long line around *at*, and a mark below it."""
    start = max(0, min(at - _WIDTH // 2, len(line) - _WIDTH))
    shown = "".join(map(_shown, line[start : start + _WIDTH]))
    before = "…" if start else ""
    after = "…" if start + _WIDTH < len(line) else ""
    indent = " " * (len(before) + sum(map(columns_of, shown[: at - start])))
    gap = " " * len(str(number))
    return f"  {number} | {before}{shown}{after}\n  {gap} | {indent}^"


def _shown(char: str) -> str:
    if char == "\t" or unicodedata.category(char) == "Zs":
        return " "
    return char if is_seen(char) else "?"


def columns_of(char: str) -> int:
    """Return how many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
