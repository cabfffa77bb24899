"""Finds the lines of keys in a TOML text, which tomllib does not report."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ...address import unfold
from ...errors import ConfigError, Problem
from ..building import below, parent
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
    the main file, None to read it. A missing key gets the line of the nearest table.
    """
    problems = list(problems)
    domains = {
        (file, place): unfold(next(iter(provider.domains), provider.identity))
        for provider, (file, place, _) in zip(providers, origins, strict=False)
    }
    lines: dict[str, dict[str, int]] = {}
    for file in {problem.file for problem in problems if problem.line is None}:
        places = [problem.place for problem in problems if problem.file == file]
        content = None if file else text
        lines[file] = {}
        with suppress(OSError, ConfigError, ValueError):  # it has changed in between
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
    all_lines: dict[str, int] = {}
    line, end = 1, 0
    counts: Counter[str] = Counter()  # of the [[…]] tables
    for place, offset in _places(text, counts):
        line += text.count("\n", end, offset)
        end = offset
        all_lines.setdefault(place, line)

    lines = {}
    for place in places:
        nearest = place
        while nearest and nearest not in all_lines:
            nearest = parent(nearest)
            if nearest in counts:  # a list of tables: it is not known which of them
                nearest = ""
        if nearest:
            lines[place] = all_lines[nearest]
    return lines


def last_statement(text: str) -> int:
    """Return the line, from 1, of the last key or heading of a text."""
    start = max((start for start, *_ in _statements(text)), default=0)
    return text.count("\n", 0, start) + 1


def _places(text: str, counts: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield each place with its offset, and count the tables of each list."""
    table = ""
    for start, brackets, keys, items in _statements(text):
        place = "" if brackets else table
        for number, key in enumerate(keys, 1):
            if key[0] in "\"'":
                (key,) = tomllib.loads(f"{key} = 0")
            place = below(place, key)
            yield place, start
            if brackets == "[[" and number == len(keys):
                counts[place] += 1
            if brackets and counts[place]:
                place = f"{place}[{counts[place] - 1}]"
                yield place, start
        if brackets:
            table = place
        for index, offset in enumerate(items):
            yield f"{place}[{index}]", offset


def _statements(text: str) -> Iterator[tuple[int, str, list[str], list[int]]]:
    """Yield each key or heading: its offset, its brackets, its parts, its items' offsets.

    The brackets are `[`, `[[`, or "" for a key; only a key with a list has items. Only the
    last statement may be invalid TOML.
    """
    start, brackets, depth = -1, "", 0
    keys: list[str] = []
    items: list[int] = []
    is_value = False  # whether the key has been read
    may_begin_item = False
    for token in _TOKEN.finditer(text):
        sign = token[0][0]
        if sign == "\n" and depth <= 0:
            if start >= 0:
                yield start, brackets, keys, items
            start, brackets, depth, is_value = -1, "", 0, False
            keys, items = [], []
        elif sign == "#" or sign.isspace():
            continue
        elif is_value:
            if may_begin_item and sign not in "]}":
                items.append(token.start())
            depth += (sign in "[{") - (sign in "]}")
            may_begin_item = depth == 1 and sign in "[,"
        else:
            start = token.start() if start < 0 else start
            is_value = sign == "="
            if sign == "[":
                brackets = f"{brackets[:1]}["
            elif sign not in "].=":
                keys.append(token[0])
    if start >= 0:
        yield start, brackets, keys, items
