"""Finds the lines of keys in a TOML text, which tomllib does not report."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ...address import unfold
from ...errors import ConfigError, Problem
from ..building import below, holder
from ..reading import text_of
from ..rules import Origin
from ..tables import Provider

_TOKEN = re.compile(
    r'"""(?>(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*)"{0,5}'
    r"|'''(?>(?:[^']++|'{1,2}(?!'))*)'{0,5}"
    r'|"(?>(?:[^"\\\n]++|\\.)*)"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+|\n|[^\S\n]++|[\[\]{},.=]|[^\s\[\]{},.=#\"']++"
)


def with_lines(
    problems: Iterable[Problem],
    main: Path,
    providers: Iterable[Provider] = (),
    origins: Iterable[Origin] = (),
    text: str | None = None,
) -> list[Problem]:
    """Return the problems with their lines and with the domains of their providers.

    `main` is the main file; `origins` are the providers' places. `text` is the content of
    the main file unless it is to be read. A key that is missing gets the line of the
    nearest table.
    """
    problems = list(problems)
    pairs = zip(providers, origins, strict=False)
    domains = {
        (at.file, at.place): unfold(next(iter(provider.domains), provider.identity))
        for provider, at in pairs
    }
    lines: dict[str, dict[str, int]] = {}
    for file in {problem.file for problem in problems if problem.line is None}:
        places = [problem.place for problem in problems if problem.file == file]
        content = None if file else text
        lines[file] = {}
        with suppress(OSError, ConfigError, ValueError):  # changed since it was read
            if content is None:
                content = text_of(main.parent / file if file else main)
            lines[file] = lines_of(content, places)

    return [
        problem._replace(
            line=problem.line or lines[problem.file].get(problem.place),
            domain=problem.domain
            or domains.get((problem.file, problem.place.partition(".")[0]), ""),
        )
        for problem in problems
    ]


def lines_of(text: str, places: Iterable[str]) -> dict[str, int]:
    """Return the line, from 1, of each place in the text or of the nearest table."""
    lines: dict[str, int] = {}
    line, before = 1, 0
    counts: Counter[str] = Counter()  # of the [[…]] tables
    for place, offset in _places(text, counts):
        line += text.count("\n", before, offset)
        before = offset
        lines.setdefault(place, line)

    found = {}
    for place in places:
        nearest = place
        while nearest and nearest not in lines:
            nearest = holder(nearest)
            if nearest in counts:  # it is not known which table
                nearest = ""
        if nearest:
            found[place] = lines[nearest]
    return found


def last_statement(text: str) -> int:
    """Return the line, from 1, of the last key or heading of a text."""
    start = max((start for start, *_ in _statements(text)), default=0)
    return text.count("\n", 0, start) + 1


def _places(text: str, counts: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield each place with its offset, and count the tables of each list."""
    table = ""
    for start, opened, keys, items in _statements(text):
        place = "" if opened else table
        for number, key in enumerate(keys, 1):
            if key[0] in "\"'":
                (key,) = tomllib.loads(f"{key} = 0")
            place = below(place, key)
            yield place, start
            if opened == "[[" and number == len(keys):
                counts[place] += 1
            if opened and counts[place]:
                place = f"{place}[{counts[place] - 1}]"
                yield place, start
        if opened:
            table = place
        for index, offset in enumerate(items):
            yield f"{place}[{index}]", offset


def _statements(text: str) -> Iterator[tuple[int, str, list[str], list[int]]]:
    """Yield each key or heading: its offset, `[`, `[[` or "", and its parts.

    The offsets of the items come last, for a key with a list. Only the last statement may
    be invalid TOML.
    """
    start, opened, depth = -1, "", 0
    keys: list[str] = []
    items: list[int] = []
    is_value = is_next = False  # whether a key was read, and whether an item may begin
    for token in _TOKEN.finditer(text):
        sign = token[0][0]
        if sign == "\n" and depth <= 0:
            if start >= 0:
                yield start, opened, keys, items
            start, opened, depth, is_value = -1, "", 0, False
            keys, items = [], []
        elif sign == "#" or sign.isspace():
            continue
        elif is_value:
            if is_next and sign not in "]}":
                items.append(token.start())
            depth += (sign in "[{") - (sign in "]}")
            is_next = depth == 1 and sign in "[,"
        else:
            start = token.start() if start < 0 else start
            is_value = sign == "="
            if sign == "[":
                opened = f"{opened[:1]}["
            elif sign not in "].=":
                keys.append(token[0])
    if start >= 0:
        yield start, opened, keys, items
