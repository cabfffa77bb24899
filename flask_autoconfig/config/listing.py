"""Reads domains files of up to millions of lines, one domain per line.

The names are kept as bytes, which take a fifth less memory than strings. Files are read
in slices, so that requests are answered in between.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import Problem
from ..files import State, read_slices, settled_state
from .tables import Provider
from .values import domain_pattern

_SLICE = 1 << 13  # bytes: a fraction of a millisecond
_MAX_SKIPPED = 10_000  # lines with a problem
_BOM = b"\xef\xbb\xbf"
# A name that is folded, and no IP address, since its last character is not a digit.
_NAME = rb"[a-z0-9]++(?>(?:(?:-++|\.)[a-z0-9]++)*)(?<![0-9])"
_LONGEST_NAME = 63  # characters, so that no label is too long
_PLAIN_LINES = re.compile(rb"(?>(?:%b\n)*)(?:%b)?" % (_NAME, _NAME))
_PLAIN_LINE = re.compile(rb"(%b)(?=[ \t#]|\Z)" % _NAME)


class Listing(Struct, eq=False):
    """The domains and patterns in a domains file, as A-labels and in its order."""

    path: Path
    names: list[bytes]
    skipped: tuple[Problem, ...]  # lines that are no domain
    state: State | None  # of the file; None: read it again


class ListingProvider(Provider, frozen=True, kw_only=True):
    """A provider with the domains of its `domains_file`."""

    listing: Listing

    @property
    def listed(self) -> Sequence[bytes]:
        return self.listing.names


def read_listing(path: Path, before: Listing | None = None) -> Listing:
    """Read a domains file: the first word of each line. Raises OSError.

    `before` is the result of an earlier call; it is returned if the file is unchanged.
    Lines whose word is no domain are skipped, with problems for the first of them.
    """
    state = settled_state(path)
    if before is not None and before.state is not None and before.state == state:
        return before
    names: list[bytes] = []
    skipped: list[Problem] = []
    number = 1  # of the slice's first line
    for slice_ in read_slices(path, _SLICE):
        text = slice_.removeprefix(_BOM) if number == 1 else slice_
        are_plain = _PLAIN_LINES.fullmatch(text)
        lines = text.split() if are_plain else text.splitlines()
        if are_plain and max(map(len, lines), default=0) <= _LONGEST_NAME:
            names += lines
        else:
            names += _names_in(lines, number, str(path), skipped)
        number += len(lines)
    return Listing(path, names, tuple(skipped), state)


def _names_in(
    lines: list[bytes], start: int, file: str, skipped: list[Problem]
) -> Iterator[bytes]:
    for number, line in enumerate(lines, start):
        name = _PLAIN_LINE.match(line)
        if name and len(name[0]) <= _LONGEST_NAME:
            yield name[0]
            continue
        text = line.decode("utf-8", "replace")
        words = text.partition("#")[0].split(None, 1)
        if not words or text[0].isspace():  # in Postfix, a continuation line
            continue
        if "@" in words[0] and len(words) > 1:  # in Postfix, an alias of an address
            continue
        # In Postfix, a leading dot means all names below the domain.
        word = f"*{words[0]}" if words[0].startswith(".") else words[0]
        try:
            yield domain_pattern(word).encode()
        except ValueError as error:
            message, cure = error.args
            if len(skipped) < _MAX_SKIPPED:
                skipped.append(Problem("", message, cure, file=file, line=number))
