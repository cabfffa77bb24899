"""Problems in the form of compilers: the file and line, the text there, and the cure.

    autoconfig.toml:6: error: provider[0].incoming[0].server (example.com): there is no …
      6 | server = "imap.example.com"
      do: write hostname = "imap.example.com"

Editors jump to the place that the first line names; it holds the whole problem.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from ..cleaning import clean
from ..config.explain.hiding import HIDDEN, may_have_secret
from ..errors import ConfigError, Problem
from .terminal import wrapped

_MAX_SIMILAR = 10  # problems of one kind that are shown
_LONGEST_EXCERPT = 100  # columns
_LONGEST_LINE = 5000  # characters of a line that are read
_COLOURS = {"error": "red", "warning": "yellow"}
# The parts in which problems of one kind may differ.
_VARIABLE = re.compile(r'"[^"]*"|(?<![^\s"])[^\s"][^\s".]*+\.[^\s"]++|\d+')


def as_lines(
    problems: Sequence[Problem], file: Path | str, label: str, width: int | None = None
) -> Iterator[str]:
    """Yield lines for people, wrapped to *width* columns if there is a width.

    *file* is the main file, *label* is `error` or `warning`. Of many similar problems
    the first ones are shown, followed by the number of the others.
    """
    kinds = [
        (p.client, p.file, _VARIABLE.sub("", f"{p.place}\n{p.message}\n{p.cure}"))
        for p in problems
    ]
    totals = Counter(kinds)
    counts: Counter[tuple[str, ...]] = Counter()
    lines = _lines_of(problems, Path(file))
    for problem, kind in zip(problems, kinds, strict=True):
        counts[kind] += 1
        if counts[kind] <= _MAX_SIMILAR:
            text = lines.get((problem.file, problem.line or 0), "")
            yield from _block(problem, str(file), label, text, width)
        elif counts[kind] == _MAX_SIMILAR + 1:
            yield f"  and {totals[kind] - _MAX_SIMILAR:,} more like it"


def error_lines(error: ConfigError, width: int | None = None) -> Iterator[str]:
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
    yield from as_lines(problems, error.file, "error", width)


def _block(
    problem: Problem, file: str, label: str, text: str, width: int | None
) -> Iterator[str]:
    source = problem.source(file)
    start = click.style(f"{clean(source)}:", bold=True) + " " if source else ""
    start += _head(label, _COLOURS[label])
    domain = f" ({problem.domain})" if problem.domain else ""
    parts = [f"{problem.place}{domain}", problem.client, problem.message]
    yield wrapped(f"{start} {clean(': '.join(filter(None, parts)))}", width, 4)
    if text.strip():
        gutter = f"  {problem.line} |"
        longest = min(width or _LONGEST_EXCERPT, _LONGEST_EXCERPT) - len(gutter)
        is_secret = may_have_secret(text)
        column = problem.column or 0
        is_marked = 0 < column <= len(text) and not is_secret
        before = text[: column - 1].lstrip() if is_marked else ""
        cut = max(len(before) + 20 - longest, 0)  # columns of a long line
        shown = HIDDEN if is_secret else text.strip().replace("\t", " ")[cut:]
        yield click.style(gutter, fg="cyan") + clean(f" {shown}", longest)
        if is_marked:
            gutter = "|".rjust(len(gutter))
            yield click.style(gutter, fg="cyan") + " " * (len(before) - cut + 1) + "^"
    if problem.cure:
        do = click.style("do:", fg="cyan")
        yield wrapped(f"  {do} {clean(problem.cure)}", width, 6)


def _head(word: str, colour: str) -> str:
    return click.style(f"{word}:", fg=colour, bold=True)


def _lines_of(problems: Iterable[Problem], main: Path) -> dict[tuple[str, int], str]:
    """Return the lines of the problems, by file and number.

    The path of an included file is relative to the main file or to the working folder.
    """
    lines = {(p.file, p.line): "" for p in problems if p.line}
    for name in {name for name, _ in lines}:
        sibling = main.parent / name if name else main
        path = sibling if sibling.is_file() else Path(name)
        if not path.is_file():  # a pipe can be read only once
            continue
        with suppress(OSError), path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if (name, number) in lines:
                    start = line[:_LONGEST_LINE]
                    lines[name, number] = start.decode("utf-8-sig", "replace")
    return lines
