"""Finds the lines of keys in a TOML text, which tomllib does not report."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError, Problem
from ..building import below, holder
from ..reading import domain_of, text_of
from ..rules import Origin
from ..tables import Provider

_STRING = r'"(?>(?:[^"\\\n]++|\\.)*)"?'
_LITERAL = r"'[^'\n]*+'?"
_KEY = rf"(?>[A-Za-z0-9_-]++|{_STRING}|{_LITERAL})"
_KEYS = re.compile(_KEY)
_BLANK = r"(?>(?:[ \t\r\n]++|#[^\n]*+)*)"
_STATEMENT = re.compile(
    rf"{_BLANK}(?P<all>(?:(?P<open>\[\[?)?(?P<keys>[ \t]*+{_KEY}"
    rf"(?>(?:[ \t]*+\.[ \t]*+{_KEY})*)[ \t]*+)(?(open)\]\]?|=))?)"
)
_TOKEN = re.compile(
    r'"""(?>(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*)"{0,5}'
    r"|'''(?>(?:[^']++|'{1,2}(?!'))*)'{0,5}"
    rf"|{_STRING}|{_LITERAL}|#[^\n]*+|\n|[^\S\n]++|[\[\]{{}},]|[^\s\[\]{{}},#\"']++"
)


def with_lines(
    problems: Iterable[Problem],
    main: Path,
    providers: Iterable[Provider] = (),
    origins: Iterable[Origin] = (),
    text: str | None = None,
) -> list[Problem]:
    """Return the problems with their lines and with the domains of their providers.

    `main` is the main file; `origins` are the providers' places. `text` is the
    content of the main file unless it is to be read. A key that is missing gets the line of
    the nearest table.
    """
    problems = list(problems)
    pairs = zip(providers, origins, strict=False)
    domains = {(at.file, at.place): domain_of(provider) for provider, at in pairs}
    lines: dict[str, dict[str, int]] = {}
    for file in {problem.file for problem in problems if problem.line is None}:
        content = None if file else text
        if content is None:
            with suppress(OSError, ConfigError):  # changed since it was read
                content = text_of(main.parent / file if file else main)
        places = [problem.place for problem in problems if problem.file == file]
        lines[file] = lines_of(content or "", places)

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
    places = set(places)
    wanted: set[str] = set()  # with the tables and lists that hold the places
    for place in places:
        while place and place not in wanted:
            wanted.add(place)
            place = holder(place)

    lines: dict[str, int] = {}
    line, before = 1, 0
    counts: Counter[str] = Counter()  # of the [[…]] tables
    for place, offset in _places(text, counts) if wanted else ():
        line += text.count("\n", before, offset)
        before = offset
        if place in wanted:
            lines.setdefault(place, line)

    for place in sorted(wanted - lines.keys(), key=len):
        nearest = holder(place)
        if nearest in lines and nearest not in counts:  # it is known which table
            lines[place] = lines[nearest]
    return {place: line for place, line in lines.items() if place in places}


def last_statement(text: str) -> int:
    """Return the line, from 1, of the last key or heading of a text.

    Only the last one may be invalid TOML.
    """
    start = max((start for start, _, _ in _statements(text)), default=0)
    return text.count("\n", 0, start) + 1


def _places(text: str, counts: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield each place with its offset, and count the tables of each list."""
    table = ""
    for start, found, items in _statements(text):
        if not found["all"]:
            return
        many = found["open"] == "[["
        place = "" if found["open"] else table
        keys = _KEYS.findall(found["keys"])
        for number, key in enumerate(keys, 1):
            if key[0] in "\"'":
                (key,) = tomllib.loads(f"{key} = 0")
            place = below(place, key)
            yield place, start
            if many and number == len(keys):
                counts[place] += 1
            if found["open"] and counts[place]:
                place = f"{place}[{counts[place] - 1}]"
                yield place, start
        if found["open"]:
            table = place
        for index, offset in enumerate(items):
            yield f"{place}[{index}]", offset


def _statements(text: str) -> Iterator[tuple[int, re.Match[str], list[int]]]:
    """Yield each key or heading: its offset, the match, the offsets of a list's items.

    The match is empty for what is neither.
    """
    end = 0
    while (found := _STATEMENT.match(text, end)) and found.start("all") < len(text):
        items: list[int] = []
        end = found.end() if found["all"] else len(text)
        if found["all"] and not found["open"]:
            items, end = _value(text, end)
        yield found.start("all"), found, items


def _value(text: str, start: int) -> tuple[list[int], int]:
    """Return the offsets of the items of a list, and the end of the value."""
    items: list[int] = []
    depth = 0
    is_next = False  # whether an item may begin
    for token in _TOKEN.finditer(text, start):
        sign = token[0][0]
        if sign in "#\n" and not depth:
            return items, token.start()
        if sign == "#" or sign.isspace():
            continue
        if is_next and sign not in "]}":
            items.append(token.start())
        depth += (sign in "[{") - (sign in "]}")
        is_next = depth == 1 and sign in "[,"
    return items, len(text)
