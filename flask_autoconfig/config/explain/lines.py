"""The lines that keys stand in.

tomllib tells no lines. So the text of a file that has a problem is gone through once more,
for the faulty keys alone; it is known to be TOML then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from ...errors import Problem
from ..building import below, holder, is_bare

_PROVIDER = re.compile(r"provider\[(\d+)\]")
# In quotes and cut to what fits a message, only these are sure to be like no other key.
_TELLING_KEY = re.compile('[^"?…\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{0,78}')


def provider_number(place: str) -> int | None:
    """Which of a file's providers the place is in, None for none."""
    found = _PROVIDER.match(place)
    return int(found[1]) if found else None


def located(
    problems: Iterable[Problem], text: str = "", domains: Sequence[str] = ()
) -> list[Problem]:
    """The problems of one TOML text with their lines, and their providers' domains.

    A key that is not there, or whose line is not sure, has the line of the nearest
    table. `domains` has one for each provider, "" where it is not known.
    """
    problems = list(problems)
    lines = lines_of(text, [it.place for it in problems if it.line is None])
    found = []
    for problem in problems:
        line = problem.line or lines.get(problem.place)
        number = provider_number(problem.place)
        known = number is not None and number < len(domains)
        domain = problem.domain or (domains[number] if known else "")  # type: ignore[index]
        found.append(problem._replace(line=line, domain=domain))
    return found


def lines_of(text: str, places: Iterable[str]) -> dict[str, int]:
    """The line of each place that the text has, or of the nearest table; from 1."""
    asked = {place for place in places if place}
    if not (text and asked):
        return {}
    scan = _Scan(text, asked)
    scan.run()
    at = {place: found for place in asked if (found := scan.nearest(place)) is not None}
    lines = {}
    line, before = 1, 0
    for offset in sorted(set(at.values())):
        line += text.count("\n", before, offset)
        lines[offset] = line
        before = offset
    return {place: lines[offset] for place, offset in at.items()}


def last_statement(text: str, before: int) -> int:
    """Where the last key or heading begins that stands before an offset.

    Of a text that is TOML up to there: what is behind a key is a part of its value.
    """
    scan = _Scan(text[:before], {"nothing"})
    scan.run()
    return scan.statement


class _LostError(Exception):
    """What stands there is not understood: nothing behind it is looked for."""


_STRING = r'"(?>(?:[^"\\\n]++|\\.)*)"'
_LITERAL = r"'[^'\n]*+'"
_KEY = re.compile(rf"[A-Za-z0-9_-]++|{_STRING}|{_LITERAL}")
_VALUE = re.compile(
    r'"""(?>(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*)"{3,5}'
    r"|'''(?>(?:[^']++|'{1,2}(?!'))*)'{3,5}"
    rf"|{_STRING}|{_LITERAL}"
    r"|[^\s,\[\]{}#\"'][^,\[\]{}#\n]*+"
)
# A list without lists, tables, comments or long strings in it: most are so.
_FLAT_LIST = re.compile(
    rf"\[(?>(?:[^\[\]{{}}\"'#]++|(?!\"\"\"){_STRING}|(?!'''){_LITERAL})*)\]"
)
_CLOSING = {"[": "]", "{": "}"}
_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"(?>(?:[ \t\r\n]++|#[^\n]*+)*)")
_BETWEEN = re.compile(r"(?>(?:[ \t\r\n,]++|#[^\n]*+)*)")


class _Scan:
    """One way through a TOML text, in search of places.

    Places are built only where one that is asked for may lie: None stands for others.
    So its time grows with the text's length alone, however deep its tables are.
    """

    def __init__(self, text: str, asked: set[str]) -> None:
        self._text = text
        self._at = 0
        self._missing = set(asked)
        self._wanted = {""}  # those that are asked for, and what holds them
        for place in asked:
            while place not in self._wanted:
                self._wanted.add(place)
                place = holder(place)
        self._offsets: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # the tables so far that [[…]] heads
        self._table: str | None = ""  # the one whose keys follow
        self.statement = 0  # where the last key or heading began

    def run(self) -> None:
        """Go on until everything is found, or nothing more is there."""
        try:
            while self._missing and self._skip(_BLANK) < len(self._text):
                self.statement = self._at
                if self._text[self._at] == "[":
                    self._heading()
                else:
                    self._value(self._pair(self._table))
        except (_LostError, ValueError):  # the latter of an escape that is none
            return

    def nearest(self, place: str) -> int | None:
        """Where the place is, or else what holds it; None where that is not sure."""
        while place and place not in self._offsets:
            place = holder(place)
            if place in self._counts:  # one of several tables, but which?
                return None
        return self._offsets.get(place)

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._at)
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
        """The place, once its first offset is kept; None where nobody wants it."""
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
        """The keys of a dotted key; None for one that looks like others in a place."""
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
        """Go past a key and its =; the value's place."""
        start = self._at
        place = table
        for key in self._dotted():
            place = self._note(_under(place, key), start)
        self._expect("=")
        self._skip(_SPACE)
        return place

    def _value(self, place: str | None) -> None:
        """Go past a value, and what is in it, however deep."""
        # What is not closed yet: its closing sign, its place, the numbers of its items.
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
    """The key as TOML reads it, None for one whose place may be another's as well."""
    if written[0] not in "\"'":
        return written if is_bare(written) else None
    key = written[1:-1]
    if written[0] == '"' and "\\" in key:
        import tomllib

        key = tomllib.loads(f"key = {written}")["key"]
    return key if _TELLING_KEY.fullmatch(key) else None
