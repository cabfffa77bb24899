"""Problems as compilers print them: the file and line, the text there, and the remedy.

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
from ..config.explain.hiding import hidden
from ..errors import ConfigError, Problem
from .terminal import wrapped

_MOST_ALIKE = 10  # problems of one kind that are shown
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
    kinds = [
        (it.client, it.file, _VARIABLE.sub("", f"{it.place}\n{it.message}\n{it.cure}"))
        for it in problems
    ]
    totals = Counter(kinds)
    seen: Counter[tuple[str, ...]] = Counter()
    lines = _lines_of(problems, Path(file))
    for problem, alike in zip(problems, kinds, strict=True):
        seen[alike] += 1
        if seen[alike] <= _MOST_ALIKE:
            text = lines.get((problem.file, problem.line or 0), "")
            yield from _block(problem, str(file), kind, text, width)
        elif seen[alike] == _MOST_ALIKE + 1:
            yield f"  and {totals[alike] - _MOST_ALIKE:,} more like it"


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
    yield from shown(problems, error.file, "error", width)


def _block(
    problem: Problem, file: str, kind: str, text: str, width: int | None
) -> Iterator[str]:
    source = problem.source(file)
    start = click.style(f"{clean(source)}:", bold=True) + " " if source else ""
    domain = f" ({problem.domain})" if problem.domain else ""
    words = [f"{problem.place}{domain}", problem.client, problem.message]
    sentence = clean(": ".join(filter(None, words)))
    yield wrapped(f"{start}{_head(kind, _COLOURS[kind])} {sentence}", width, 4)
    excerpt, most = problem.excerpt, min(width or _LONGEST_EXCERPT, _LONGEST_EXCERPT)
    if text.strip() and not excerpt:
        excerpt = clean(f"  {problem.line} | {hidden(text).strip()}", most)
    for line in excerpt.splitlines():
        gutter, bar, rest = line.partition("|")
        yield click.style(gutter + bar, fg="cyan") + rest
    if problem.cure:
        label = click.style("do:", fg="cyan")
        yield wrapped(f"  {label} {clean(problem.cure)}", width, 6)


def _head(word: str, colour: str) -> str:
    return click.style(f"{word}:", fg=colour, bold=True)


def _lines_of(problems: Iterable[Problem], main: Path) -> dict[tuple[str, int], str]:
    """Return the lines that problems name, by file and number.

    Problems name an included file relative to the main one or to the working folder.
    """
    found = {(it.file, it.line): "" for it in problems if it.line and not it.excerpt}
    for name in {name for name, _ in found}:
        beside = main.parent / name if name else main
        path = beside if beside.is_file() else Path(name)
        if not path.is_file():  # a pipe can be read only once
            continue
        with suppress(OSError), path.open(encoding="utf-8-sig", errors="replace") as it:
            for number, line in enumerate(it, 1):
                if (name, number) in found:
                    found[name, number] = line[:_LONGEST_LINE]
    return found
