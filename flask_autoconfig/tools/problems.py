"""Problems as compilers show them: the file and line, what stands there, and the cure.

    autoconfig.toml:6: error: provider[0].incoming[0].server (example.com): there is no …
      6 | server = "imap.example.com"
      do: write hostname = "imap.example.com"

The first line is for editors, which jump to such a place; all of what is wrong is in it.
"""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import click

from ..cleaning import clean
from ..config.hiding import hidden
from ..errors import ConfigError, Problem
from .files import STAGING
from .terminal import wrapped

_MOST_ALIKE = 10  # problems of one kind that are shown
_MOST_OF_AN_ERROR = 30  # problems that a command other than `validate` shows
_LONGEST_EXCERPT = 100  # columns
_LONGEST_LINE = 5000  # characters of a line that are looked at
_COLOURS = {"error": "red", "warning": "yellow"}
# What may differ in problems of one kind.
_DIFFERENT = re.compile(r'"[^"]*"|(?<![^\s"])[^\s"][^\s".]*+\.[^\s"]++|\d+')


def shown(
    problems: Sequence[Problem], file: Path | str, kind: str, width: int | None = None
) -> Iterator[str]:
    """Lines for people, wrapped to a width in columns if there is one.

    `file` is the one that was asked about, `kind` is `error` or `warning`. Of many
    that are alike the first ones are shown, and then how many more there are.
    """
    kinds = list(map(_kind, problems))
    counts = Counter(kinds)
    seen: Counter[tuple[str, ...]] = Counter()
    told: list[Problem | str] = []
    for problem, alike in zip(problems, kinds, strict=True):
        seen[alike] += 1
        if seen[alike] <= _MOST_ALIKE:
            told.append(problem)
        elif seen[alike] == _MOST_ALIKE + 1:
            more = f"{counts[alike] - _MOST_ALIKE:,} more like it"
            told.append(f"and {more} (validate --json has them all)")
    texts = _Texts(Path(file), [it for it in told if isinstance(it, Problem)])
    for it in told:
        if isinstance(it, str):
            yield wrapped(f"  {it}", width)
        else:
            yield from _block(it, str(file), kind, texts, width)


def of_error(error: ConfigError, width: int | None = None) -> Iterator[str]:
    """The same of an error, below a line that says whose problems they are."""
    problems = error.problems
    if len(problems) == 1 and not problems[0].line:
        name = f"{error.file}: " if error.file not in str(problems[0]) else ""
        sentence = clean(name) + clean(str(problems[0]))
        yield wrapped(f"{_head('Error', 'red')} {sentence}", width)
        return
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    name = error.file or "the configuration"
    yield wrapped(f"{_head('Error', 'red')} {clean(name)}: {count}", width)
    yield from shown(problems[:_MOST_OF_AN_ERROR], error.file, "error", width)
    more = len(problems) - _MOST_OF_AN_ERROR
    if more > 0:
        yield wrapped(f"and {more:,} more, which `validate` tells", width)


def _kind(problem: Problem) -> tuple[str, ...]:
    texts = (problem.place, problem.message, problem.cure)
    same = (_DIFFERENT.sub("", it) for it in texts)
    return problem.client, problem.file, *same


def _block(
    it: Problem, file: str, kind: str, texts: _Texts, width: int | None
) -> Iterator[str]:
    source = it.source(file)
    head = click.style(f"{clean(source)}:", bold=True) + " " if source else ""
    place = f"{it.place} ({it.domain})" if it.domain else it.place
    words = [it for it in (place, it.client, it.message) if it]
    sentence = clean(": ".join(words))
    yield wrapped(f"{head}{_head(kind, _COLOURS[kind])} {sentence}", width, 4)
    for line in _excerpt(it, texts, width):
        gutter, bar, text = line.partition("|")
        yield click.style(gutter + bar, fg="cyan") + text
    if it.cure:
        cure = f"{click.style('do:', fg='cyan')} {clean(it.cure)}"
        yield wrapped(f"  {cure}", width, 6)


def _head(word: str, colour: str) -> str:
    return click.style(f"{word}:", fg=colour, bold=True)


# --- What stands in the line ------------------------------------------------------------


def _excerpt(it: Problem, texts: _Texts, width: int | None) -> list[str]:
    """The line, and below it a mark if the column is known; both cut to the width."""
    lines = it.excerpt.split("\n") if it.excerpt else []
    text = "" if lines else clean(texts.line(it).strip(), _LONGEST_LINE)
    if text:
        lines = [f"  {it.line} | {text}"]
    if not lines:
        return []
    most = min(width or _LONGEST_EXCERPT, _LONGEST_EXCERPT)
    start = lines[0].index("|") + 2
    room = max(most - start, 10)
    at = lines[1].index("^") if len(lines) > 1 else _place_in(lines[0], it.message)
    first = min(max(at - room // 2, start), max(len(lines[0]) - room, start))
    if it.excerpt and width is None:  # it is cut already
        return lines
    return [_cut(line, start, first, room) for line in lines]


def _place_in(line: str, message: str) -> int:
    """Where the value stands that the message is about, as far as it says so."""
    value = re.search(r'"[^"…]+', message)
    return max(line.find(value[0]), 0) if value else 0


def _cut(line: str, start: int, first: int, room: int) -> str:
    """What stands in a line from `first` on, behind what it begins with."""
    part = line[first : first + room]
    if first > start and part.strip():
        part = (" " if part[0] == " " else "…") + part[1:]
    if first + room < len(line):
        part = part[:-1] + "…"
    return line[:start] + part


class _Texts:
    """The lines that problems stand in, read again from their files."""

    def __init__(self, main: Path, problems: Iterable[Problem]) -> None:
        wanted: dict[str, set[int]] = {}
        for it in problems:
            if it.line and not it.excerpt:
                wanted.setdefault(it.file, set()).add(it.line)
        self._main = main
        self._lines = {
            (file, number): line
            for file, numbers in wanted.items()
            for number, line in _read(self._path(file), numbers)
        }

    def _path(self, file: str) -> Path:
        """Where it is: problems name an included file as the main one does."""
        beside = self._main.parent / file
        return (beside if beside.is_file() else Path(file)) if file else self._main

    def line(self, problem: Problem) -> str:
        """The line of a problem without its secrets, "" where it is not to be had."""
        return hidden(self._lines.get((problem.file, problem.line or 0), ""))


def _read(path: Path, numbers: set[int]) -> Iterator[tuple[int, str]]:
    try:
        if not path.is_file():  # what is no file can be read but once
            return
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(islice(lines, max(numbers)), 1):
                if number in numbers:
                    yield number, line[:_LONGEST_LINE]
    except OSError:  # it is gone since it was read
        return


# --- What keeps a command from writing ---------------------------------------------------


def trouble(error: OSError, named: Path) -> Problem:
    """What keeps a command from writing, with its place and a cure.

    `named` is the file or the folder that a person named.
    """
    where = Path(error.filename or named)
    if STAGING in str(where):
        where = named  # it was a file of our own, which is gone
    cure = _CURES.get(error.errno, "name another place")
    return Problem(str(where), f"cannot write: {error.strerror}", cure)


_CURES = {
    None: "remove it, or name another place",  # no ordinary file, or no folder
    errno.EEXIST: "remove it, or name another place",
    errno.ENOTDIR: "it is no folder: name another",
    errno.EISDIR: "remove that folder, or name another place",
    errno.EACCES: "name a folder that you may write in, or permit it",
    errno.EPERM: "name a folder that you may write in, or permit it",
    errno.EROFS: "name a folder that can be written in",
    errno.ENOSPC: "make room there, or name another place",
    errno.EDQUOT: "make room there, or name another place",
    errno.EFBIG: "make room there, or name another place",
}
