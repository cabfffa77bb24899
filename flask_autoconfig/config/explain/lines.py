"""Finds the lines of keys in a TOML text.

tomllib reports no lines. For a file with problems, the text is scanned once more for the
faulty keys alone. It is known to be valid TOML then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from ...errors import ConfigError, Problem
from ..building import below, holder, is_bare
from ..reading import domain_of, text_of
from ..rules import Origin
from ..tables import Provider

_PROVIDER = re.compile(r"provider\[(\d+)\]")
# Keys that no other key looks like, once they are quoted and cut for a message.
_UNIQUE_KEY = re.compile('[^"?…\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{0,78}')


def located(
    problems: Iterable[Problem], text: str = "", domains: Sequence[str] = ()
) -> list[Problem]:
    """Return the problems of a TOML text with their lines and providers' domains.

    A key that is missing, or whose line is uncertain, gets the line of the nearest table.
    `domains` has one name for each provider, "" where it is unknown.
    """
    problems = list(problems)
    lines = lines_of(
        text, [problem.place for problem in problems if problem.line is None]
    )
    return [
        problem._replace(
            line=problem.line or lines.get(problem.place),
            domain=problem.domain or _domain_of(problem.place, domains),
        )
        for problem in problems
    ]


def with_lines(
    problems: Iterable[Problem],
    main: Path,
    providers: Iterable[Provider] = (),
    origins: Iterable[Origin] = (),
) -> list[Problem]:
    """Return problems of files that were read, with their lines and domains.

    `main` is the main file; `providers` are all that were read, with their `origins`.
    """
    domains: dict[str, list[str]] = {}
    for provider, origin in zip(providers, origins, strict=False):
        domains.setdefault(origin.file, []).append(domain_of(provider))
    problems = list(problems)
    indexes: dict[str, list[int]] = {}
    for index, problem in enumerate(problems):
        indexes.setdefault(problem.file, []).append(index)
    for file, chosen in indexes.items():
        text = ""
        if any(problems[index].line is None for index in chosen):
            with suppress(OSError, ConfigError):  # changed since it was read
                text = text_of(main.parent / file if file else main)
        of_file = [problems[index] for index in chosen]
        found = located(of_file, text, domains.get(file, ()))
        for index, problem in zip(chosen, found, strict=True):
            problems[index] = problem
    return problems


def _domain_of(place: str, domains: Sequence[str]) -> str:
    found = _PROVIDER.match(place)
    number = int(found[1]) if found else len(domains)
    return domains[number] if number < len(domains) else ""


def lines_of(text: str, places: Iterable[str]) -> dict[str, int]:
    """Return the line, from 1, of each place in the text or of the nearest table."""
    wanted = {place for place in places if place}
    if not (text and wanted):
        return {}
    scan = _Scan(text, wanted)
    scan.run()
    nearest = {place: scan.nearest(place) for place in wanted}
    offsets = {place: at for place, at in nearest.items() if at is not None}
    lines = {}
    line, before = 1, 0
    for offset in sorted(set(offsets.values())):
        line += text.count("\n", before, offset)
        lines[offset] = line
        before = offset
    return {place: lines[offset] for place, offset in offsets.items()}


def last_statement(text: str, before: int) -> int:
    """Return where the last key or heading before an offset begins.

    The text up to there has to be valid TOML.
    """
    scan = _Scan(text[:before], {"nothing"})
    scan.run()
    return scan.statement


class _LostError(Exception):
    """The text cannot be scanned any further."""


_STRING = r'"(?>(?:[^"\\\n]++|\\.)*)"'
_LITERAL = r"'[^'\n]*+'"
_KEY = re.compile(rf"[A-Za-z0-9_-]++|{_STRING}|{_LITERAL}")
_VALUE = re.compile(
    r'"""(?>(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*)"{3,5}'
    r"|'''(?>(?:[^']++|'{1,2}(?!'))*)'{3,5}"
    rf"|{_STRING}|{_LITERAL}"
    r"|[^\s,\[\]{}#\"'][^,\[\]{}#\n]*+"
)
# A list without lists, tables, comments or multi-line strings in it, as most are.
_FLAT_LIST = re.compile(
    rf"\[(?>(?:[^\[\]{{}}\"'#]++|(?!\"\"\"){_STRING}|(?!'''){_LITERAL})*)\]"
)
_CLOSING = {"[": "]", "{": "}"}
_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"(?>(?:[ \t\r\n]++|#[^\n]*+)*)")
_BETWEEN = re.compile(r"(?>(?:[ \t\r\n,]++|#[^\n]*+)*)")


class _Scan:
    """A single pass through a TOML text in search of places.

    A place is built only where a wanted one may be, and is None elsewhere. So the time
    grows with the length of the text alone, however deep its tables are.
    """

    def __init__(self, text: str, wanted: set[str]) -> None:
        self._text = text
        self._at = 0
        self._missing = set(wanted)
        self._wanted = {""}  # with the tables and lists that hold them
        for place in wanted:
            while place not in self._wanted:
                self._wanted.add(place)
                place = holder(place)
        self._offsets: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # of the [[…]] tables so far
        self._table: str | None = ""  # whose keys follow
        self.statement = 0  # where the last key or heading begins

    def run(self) -> None:
        """Scan until everything is found, or to the end."""
        try:
            while self._missing and self._skip(_BLANK) < len(self._text):
                self.statement = self._at
                if self._text[self._at] == "[":
                    self._heading()
                else:
                    self._value(self._pair(self._table))
        except (_LostError, ValueError):  # ValueError: an invalid escape
            return

    def nearest(self, place: str) -> int | None:
        """Return the offset of a place or of what holds it, None where uncertain."""
        while place and place not in self._offsets:
            place = holder(place)
            if place in self._counts:  # one of several tables, unknown which
                return None
        return self._offsets.get(place)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _LostError
        self._at = found.end()
        return self._at

    def _expect(self, sign: str) -> None:
        self._skip(_SPACE)
        if not self._text.startswith(sign, self._at):
            raise _LostError
        self._at += len(sign)

    def _note(self, place: str | None, at: int) -> str | None:
        """Record the offset of a wanted place and return it; None for others."""
        if place is None or place not in self._wanted:
            return None
        self._offsets.setdefault(place, at)
        self._missing.discard(place)
        return place

    def _heading(self) -> None:
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        *outer, last = self._dotted()
        place: str | None = ""
        for key in outer:
            place = self._note(_under(place, key), start)
            if place in self._counts:
                place = self._note(f"{place}[{self._counts[place] - 1}]", start)
        place = self._note(_under(place, last), start)
        if many and place is not None:
            number = self._counts.get(place, 0)
            self._counts[place] = number + 1
            place = self._note(f"{place}[{number}]", start)
        self._table = place
        self._expect("]]" if many else "]")

    def _dotted(self) -> list[str | None]:
        """Return the parts of a dotted key, None for one that is not unique."""
        keys: list[str | None] = []
        while True:
            self._skip(_SPACE)
            start = self._at
            keys.append(_key_of(self._text[start : self._skip(_KEY)]))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _pair(self, table: str | None) -> str | None:
        """Skip a key and its =, and return the place of the value."""
        start = self._at
        place = table
        for key in self._dotted():
            place = self._note(_under(place, key), start)
        self._expect("=")
        self._skip(_SPACE)
        return place

    def _value(self, place: str | None) -> None:
        """Skip a value with everything in it, however deep."""
        # The open lists and tables: closing bracket, place, and indexes of the items.
        open_: list[tuple[str, str | None, Iterator[int]]] = []
        while True:
            sign = self._text[self._at : self._at + 1]
            if place is None and (flat := _FLAT_LIST.match(self._text, self._at)):
                self._at = flat.end()
            elif sign in _CLOSING:
                open_.append((_CLOSING[sign], place, count()))
                self._at += 1
            else:
                self._skip(_VALUE)

            while open_ and self._is_closed(open_[-1][0]):
                open_.pop()
            if not open_:
                return
            closing, outer, numbers = open_[-1]
            if closing == "}":
                place = self._pair(outer)
            else:
                inner = None if outer is None else f"{outer}[{next(numbers)}]"
                place = self._note(inner, self._at)

    def _is_closed(self, closing: str) -> bool:
        if not self._text.startswith(closing, self._skip(_BETWEEN)):
            return False
        self._at += 1
        return True


def _under(place: str | None, key: str | None) -> str | None:
    return None if place is None or key is None else below(place, key)


def _key_of(written: str) -> str | None:
    """Return a key as TOML reads it, None for one that is not unique in a message."""
    if written[0] not in "\"'":
        return written if is_bare(written) else None
    key = written[1:-1]
    if written[0] == '"' and "\\" in key:
        import tomllib

        key = tomllib.loads(f"key = {written}")["key"]
    return key if _UNIQUE_KEY.fullmatch(key) else None
