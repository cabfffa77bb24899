"""Problems as compilers print them: the file and line, the text there, and the remedy.

    autoconfig.toml:6: error: provider[0].incoming[0].server (example.com): there is no …
      6 | server = "imap.example.com"
      do: write hostname = "imap.example.com"

Editors jump to the place that the first line names; it holds the whole problem.
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
from ..config.explain.hiding import hidden
from ..errors import ConfigError, Problem
from .files import STAGING
from .terminal import wrapped

_MOST_ALIKE = 10  # problems of one kind that are shown
_MOST_OF_AN_ERROR = 30  # problems that a command other than `validate` shows
_LONGEST_EXCERPT = 100  # columns
_LONGEST_LINE = 5000  # characters of a line that are looked at
_COLOURS = {"error": "red", "warning": "yellow"}
# The parts in which problems of one kind may differ.
_VARIABLE = re.compile(r'"[^"]*"|(?<![^\s"])[^\s"][^\s".]*+\.[^\s"]++|\d+')


def shown(
    problems: Sequence[Problem], file: Path | str, kind: str, width: int | None = None
) -> Iterator[str]:
    """Yield lines for people, wrapped to *width* columns if there is a width.

    *file* is the main file, *kind* is `error` or `warning`. Of many similar problems
    the first ones are shown, followed by the number of the others.
    """
    kinds = list(map(_kind, problems))
    totals = Counter(kinds)
    seen: Counter[tuple[str, ...]] = Counter()
    parts: list[Problem | str] = []
    for problem, alike in zip(problems, kinds, strict=True):
        seen[alike] += 1
        if seen[alike] <= _MOST_ALIKE:
            parts.append(problem)
        elif seen[alike] == _MOST_ALIKE + 1:
            more = f"{totals[alike] - _MOST_ALIKE:,} more like it"
            parts.append(f"  and {more} (`validate --json` lists all of them)")
    lines = _lines_of([part for part in parts if isinstance(part, Problem)], file)
    for part in parts:
        if isinstance(part, str):
            yield wrapped(part, width)
        else:
            text = lines.get((part.file, part.line or 0), "")
            yield from _block(part, str(file), kind, text, width)


def of_error(error: ConfigError, width: int | None = None) -> Iterator[str]:
    """Yield the lines of an error's problems, below a line with the file's name."""
    problems = error.problems
    head = _head("Error", "red")
    if len(problems) == 1 and not problems[0].line:
        name = f"{error.file}: " if error.file not in str(problems[0]) else ""
        yield wrapped(f"{head} {clean(name)}{clean(str(problems[0]))}", width)
        return
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    name = error.file or "the configuration"
    yield wrapped(f"{head} {clean(name)}: {count}", width)
    yield from shown(problems[:_MOST_OF_AN_ERROR], error.file, "error", width)
    more = len(problems) - _MOST_OF_AN_ERROR
    if more > 0:
        yield wrapped(f"and {more:,} more; `validate` lists them", width)


def _kind(problem: Problem) -> tuple[str, ...]:
    texts = (problem.place, problem.message, problem.cure)
    constant = (_VARIABLE.sub("", text) for text in texts)
    return problem.client, problem.file, *constant


def _block(
    problem: Problem, file: str, kind: str, text: str, width: int | None
) -> Iterator[str]:
    source = problem.source(file)
    start = click.style(f"{clean(source)}:", bold=True) + " " if source else ""
    domain = f" ({problem.domain})" if problem.domain else ""
    words = [f"{problem.place}{domain}", problem.client, problem.message]
    sentence = clean(": ".join(filter(None, words)))
    yield wrapped(f"{start}{_head(kind, _COLOURS[kind])} {sentence}", width, 4)
    for line in _excerpt(problem, text, width):
        gutter, bar, rest = line.partition("|")
        yield click.style(gutter + bar, fg="cyan") + rest
    if problem.cure:
        label = click.style("do:", fg="cyan")
        yield wrapped(f"  {label} {clean(problem.cure)}", width, 6)


def _head(word: str, colour: str) -> str:
    return click.style(f"{word}:", fg=colour, bold=True)


# --- The line of the file ----------------------------------------------------------------


def _excerpt(problem: Problem, text: str, width: int | None) -> list[str]:
    """Return the line and, if the column is known, a mark below it, cut to the width.

    *text* is the line of a problem that carries no excerpt.
    """
    lines = problem.excerpt.split("\n")
    if not problem.excerpt:
        text = clean(text.strip(), _LONGEST_LINE)
        if not text:
            return []
        lines = [f"  {problem.line} | {text}"]
    elif width is None:  # excerpts are cut already
        return lines
    start = lines[0].index("|") + 2
    room = max(min(width or _LONGEST_EXCERPT, _LONGEST_EXCERPT) - start, 10)
    has_mark = len(lines) > 1
    at = lines[1].index("^") if has_mark else _value_at(lines[0], problem.message)
    first = min(max(at - room // 2, start), max(len(lines[0]) - room, start))
    return [_cut(line, start, first, room) for line in lines]


def _value_at(line: str, message: str) -> int:
    """Return where *line* has the value that *message* quotes, else 0."""
    value = re.search(r'"[^"…]+', message)
    return max(line.find(value[0]), 0) if value else 0


def _cut(line: str, start: int, first: int, room: int) -> str:
    """Return the gutter before *start*, then *room* characters from *first* on."""
    part = line[first : first + room]
    if first > start and part.strip():
        part = (" " if part[0] == " " else "…") + part[1:]
    if first + room < len(line):
        part = part[:-1] + "…"
    return line[:start] + part


def _lines_of(
    problems: Iterable[Problem], file: Path | str
) -> dict[tuple[str, int], str]:
    """Return the lines that problems name, by file and number, without secrets.

    Problems name an included file relative to the main one or to the working folder.
    """
    wanted: dict[str, set[int]] = {}
    for problem in problems:
        if problem.line and not problem.excerpt:
            wanted.setdefault(problem.file, set()).add(problem.line)
    main = Path(file)
    found = {}
    for name, numbers in wanted.items():
        beside = main.parent / name if name else main
        path = beside if beside.is_file() else Path(name)
        for number, line in _read(path, numbers):
            found[name, number] = hidden(line)
    return found


def _read(path: Path, numbers: set[int]) -> Iterator[tuple[int, str]]:
    try:
        if not path.is_file():  # a pipe can be read only once
            return
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(islice(lines, max(numbers)), 1):
                if number in numbers:
                    yield number, line[:_LONGEST_LINE]
    except OSError:  # it has disappeared since
        return


# --- Errors of writing -------------------------------------------------------------------


def trouble(error: OSError, named: Path) -> Problem:
    """Return the problem that keeps a command from writing, with a remedy.

    *named* is the file or folder that the user named.
    """
    where = Path(error.filename or named)
    if STAGING in str(where):
        where = named  # the user does not know the temporary file, which is gone
    cure = _CURES.get(error.errno, "name another place")
    return Problem(str(where), f"cannot write: {error.strerror}", cure)


_REMOVE = "remove it, or name another place"
_MAKE_ROOM = "make room there, or name another place"
_CURES = {
    None: _REMOVE,  # what is there is not an ordinary file, or not a folder
    errno.EEXIST: _REMOVE,
    errno.ENOTDIR: "it is not a folder: name another",
    errno.EISDIR: "remove that folder, or name another place",
    errno.EACCES: "name a folder that you may write in, or permit it",
    errno.EPERM: "name a folder that you may write in, or permit it",
    errno.EROFS: "name a folder on a file system that can be written to",
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
}
