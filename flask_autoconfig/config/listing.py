"""Domains files: a domain a line, by the million.

The names are kept as bytes, which take a fifth less memory than texts, and a file is
read in slices, so that requests are answered in between.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import Problem
from ..files import State, lasting_state, read_slices
from .tables import Provider
from .values import domain_pattern

_SLICE = 1 << 13  # bytes: a fraction of a millisecond
_MOST_SKIPPED = 1000  # lines that are told of one by one
_BOM = b"\xef\xbb\xbf"
# A name in its one spelling, which no IP address is: their last character is a digit.
_NAME = rb"[a-z0-9]++(?>(?:(?:-++|\.)[a-z0-9]++)*)(?<![0-9])"
_LONGEST_NAME = 63  # in which no label is too long
_PLAIN_LINES = re.compile(rb"(?>(?:%b\n)*)" % _NAME)
_PLAIN_LINE = re.compile(rb"(%b)(?=[ \t#]|\Z)" % _NAME)


class Listing:
    """What a domains file lists: domains and patterns as A-labels, in its order."""

    __slots__ = ("names", "path", "skipped", "state")

    def __init__(
        self,
        path: Path,
        names: list[bytes],
        skipped: tuple[Problem, ...],
        state: State | None,
    ) -> None:
        self.path = path
        self.names = names
        self.skipped = skipped  # the lines that list nothing, each with its cure
        self.state = state  # of the file; None: it has to be read again

    def __iter__(self) -> Iterator[str]:
        return (name.decode() for name in self.names)


class ListingProvider(Provider, frozen=True, kw_only=True):
    """A provider with what its `domains_file` lists."""

    listing: Listing

    @property
    def all_domains(self) -> Iterator[str]:
        """Its domains and patterns, those of its file as well; one may come twice."""
        yield from self.domains
        yield from self.listing


def read_listing(
    path: Path, before: Listing | None = None, most: int = _MOST_SKIPPED
) -> Listing:
    """What the file lists: the first word of each line. Raises OSError.

    `before` is what was read of it the last time: that stands where the file did not
    change. A line whose word is no domain is skipped; of so many at most it is kept
    what is wrong with them.
    """
    state = lasting_state(path)
    if before is not None and before.state is not None and before.state == state:
        return before
    names: list[bytes] = []
    skipped: list[Problem] = []
    first = 1  # the slice's first line
    for piece in _slices(path):
        if not _PLAIN_LINES.fullmatch(piece):
            lines = piece.splitlines()
        else:
            lines = piece.split()
            if max(map(len, lines)) <= _LONGEST_NAME:
                names += lines
                first += len(lines)
                continue
        names += _names_of(lines, first, str(path), skipped)
        first += len(lines)
    return Listing(path, names, _fewer(skipped, str(path), most), state)


def lines_of(path: Path, names: Collection[bytes]) -> dict[bytes, int]:
    """The first line of the file that lists each of these names; raises OSError."""
    found: dict[bytes, int] = {}
    first = 1
    for piece in _slices(path):
        # An ASCII slice has the name as it is served, but for its case and Postfix's star.
        text = piece.lower()
        if not piece.isascii() or any(it.removeprefix(b"*") in text for it in names):
            for number, line in enumerate(piece.splitlines(), first):
                for name in _names_of([line], number, "", []):
                    if name in names:
                        found.setdefault(name, number)
        first += len(piece.splitlines())
    return found


def _slices(path: Path) -> Iterator[bytes]:
    for number, piece in enumerate(read_slices(path, _SLICE)):
        text = piece.removeprefix(_BOM) if number == 0 else piece
        yield text if text.endswith(b"\n") else text + b"\n"


def _names_of(
    lines: list[bytes], first: int, file: str, skipped: list[Problem]
) -> Iterator[bytes]:
    for number, line in enumerate(lines, first):
        plain = _PLAIN_LINE.match(line)
        if plain and len(plain[0]) <= _LONGEST_NAME:
            yield plain[0]
            continue
        word = _word_of(line.decode("utf-8", "replace"))
        if not word:
            continue
        try:
            yield domain_pattern(word).encode()
        except ValueError as error:
            message, cure = error.args
            cure = _line_cure(word) or cure
            skipped.append(Problem("", message, cure, file=file, line=number))


def _line_cure(word: str) -> str:
    """What to do about a line of a domains file alone, "" for nothing special."""
    if "\ufffd" in word:  # what stands for bytes that are no UTF-8
        return "save the file as UTF-8"
    if "," in word or ";" in word:
        return "write each domain on a line of its own, with nothing between"
    return ""


def _word_of(line: str) -> str:
    """The line's first word; that of Postfix for all below a name as we write it."""
    words = line.partition("#")[0].split(None, 1)
    if not words or line[0].isspace():  # to Postfix that goes on with the last line
        return ""
    return f"*{words[0]}" if words[0].startswith(".") else words[0]


def every_skipped(listing: Listing) -> tuple[Problem, ...]:
    """What is wrong with each line that lists nothing, however many there are."""
    if len(listing.skipped) > _MOST_SKIPPED:
        with suppress(OSError):  # it is gone since it was read
            return read_listing(listing.path, most=sys.maxsize).skipped
    return listing.skipped


def _fewer(skipped: list[Problem], file: str, most: int) -> tuple[Problem, ...]:
    more = len(skipped) - most
    if more > 0:
        message = f"{more} more lines are no domains"
        last = Problem("", message, "mend these first", file=file)
        skipped[most:] = [last]
    return tuple(skipped)
