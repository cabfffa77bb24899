"""What is wrong with a text that is no TOML: the line, a mark, and a guess at the cause.

tomllib says where it could go no further, in its own words. What a person did wrong there
is guessed from the line, by :mod:`guesses`.
"""

from __future__ import annotations

import re
import unicodedata

from ..cleaning import is_seen
from ..errors import Problem
from .guesses import Guess, Stop, guessed
from .hiding import HIDDEN, hidden_to_the_end
from .places import last_statement

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_WIDTH = 100  # characters of a line that are shown
_TELLING = re.compile(r"\w{3,}")  # pieces of a secret that say too much
_LONGEST_LINE = 300  # characters of a line that a guess looks at
_MORE_DIGITS = re.compile(r"(?<![0-9_])[0-9_]{4000}")


def explain(text: str, error: Exception) -> Problem:
    """The problem of a text that tomllib refused with this error."""
    text = text.replace("\r\n", "\n")
    says, stop = _stop(text, str(error))
    if isinstance(error, RecursionError):
        return Problem("", "not TOML: tables nested too deep", "take some brackets out")
    if stop is None:
        return Problem("", f"not TOML: {says}", "mend the line that it names")

    guess = guessed(stop) if len(stop.line) <= _LONGEST_LINE else None
    guess = guess or Guess(says, "mend that line")
    stop = guess.stop or stop
    return _problem(f"not TOML: {guess.message}", guess.cure, stop, guess.at)


def not_utf8(data: bytes, error: UnicodeDecodeError) -> Problem:
    """The problem of a file whose bytes are no UTF-8."""
    cure = "save it as UTF-8"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Problem("", "it is UTF-16, not UTF-8", f"{cure}, without a mark", line=1)
    start = error.start
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    before = data[:start].decode("utf-8").replace("\r\n", "\n")
    stop = Stop("", text, 0, 1, "", 0).moved(len(before))
    return _problem(f"not UTF-8 at byte {start}", cure, stop, None)


def _stop(text: str, words: str) -> tuple[str, Stop | None]:
    """What tomllib says, and where; its columns count the characters of the line."""
    found = _AT.search(words)
    if found is None:
        digits = _MORE_DIGITS.search(text)
        says = words.partition(" for integer string")[0]
        nowhere = Stop(says, text, 0, 1, "", 0)
        return says, nowhere.moved(digits.start()) if digits else None
    says = words[: found.start()]
    stop = Stop(says, text, 0, 1, "", 0)
    if found[1] is None:
        return says, stop.moved(len(text))
    offset = 0
    for _ in range(int(found[1]) - 1):
        offset = text.index("\n", offset) + 1
    return says, stop.moved(offset + int(found[2]) - 1)


def _problem(message: str, cure: str, stop: Stop, at: int | None) -> Problem:
    at = stop.at if at is None else at
    line, secret = hidden_to_the_end(stop.line)
    if _goes_on_with_a_secret(stop):
        line, secret = HIDDEN, stop.line
    if any(it in cure for it in _TELLING.findall(secret)):
        cure = "mend that line"
    excerpt = _excerpt(stop.number, line, min(at, _same(line, stop.line)))
    return Problem("", message, cure, line=stop.number, column=at + 1, excerpt=excerpt)


def _goes_on_with_a_secret(stop: Stop) -> bool:
    """Whether the line is a part of a secret that began further up."""
    begin = stop.moved(last_statement(stop.text, stop.offset))
    return begin.number < stop.number and hidden_to_the_end(begin.line)[1] != ""


def _same(shown: str, line: str) -> int:
    """Up to where both are the same."""
    pairs = enumerate(zip(shown, line, strict=False))
    return next((at for at, (one, other) in pairs if one != other), len(shown))


def _excerpt(number: int, line: str, at: int) -> str:
    """The line, or what is around the place in a long one, and below it a mark."""
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
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
