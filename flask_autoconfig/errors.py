"""What can be wrong with a configuration, told so that a person can mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

_MOST_TOLD = 100  # problems of a file: whoever mended so many asks again


class Problem(NamedTuple):
    """One thing that is wrong, or that one client cannot take."""

    place: str  # as the file's own path: provider[0].incoming[1].port
    message: str  # what is wrong
    cure: str  # what would be right
    client: str = ""  # of a warning: the client that it hurts
    file: str = ""  # where it is another than the one that was asked about
    line: int | None = None  # in the file, from 1; None for what is in no file
    column: int | None = None  # of what is no TOML: a character of the line, from 1
    domain: str = ""  # of the provider that it is in: the first one of its domains
    excerpt: str = ""  # of what is no TOML: the line, and below it a mark

    def __str__(self) -> str:
        """All of it on one line, but the excerpt."""
        client = f"{self.client}: " if self.client else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{self._where()}{client}{self.message}{cure}"

    def _where(self) -> str:
        file, place = self.source(), self.place
        if self.line and not file:
            column = f", column {self.column}" if self.column else ""
            file = f"line {self.line}{column}"
        if self.domain:
            place = f"{place} ({self.domain})"
        return "".join(f"{it}: " for it in (file, place) if it)

    def source(self, main: str = "") -> str:
        """The file with line and column, as editors and compilers write it; or "".

        `main` is the file that was asked about.
        """
        file = self.file or main
        if self.line and file:
            file += f":{self.line}" + (f":{self.column}" if self.column else "")
        return file

    def shown(self) -> str:
        """The same with the excerpt below it."""
        return f"{self}\n{self.excerpt}" if self.excerpt else str(self)


class ConfigError(Exception):
    """A configuration that cannot be served, with all its problems.

    `problems` holds every :class:`Problem`, in the file's order; `file` names the file,
    or is empty for a text; `named` are the files that it names in turn, whose change may
    cure it, and `patterns` those of its `include`, by which further ones may come.
    `is_unread` says that a file could not be read: the same files may be sound later.
    """

    def __init__(
        self,
        problems: Iterable[Problem],
        file: str = "",
        named: Iterable[Path] = (),
        patterns: Iterable[str] = (),
        *,
        is_unread: bool = False,
    ) -> None:
        self.problems = tuple(problems)
        self.file = file
        self.named = tuple(named)
        self.patterns = tuple(patterns)
        self.is_unread = is_unread
        super().__init__(self.problems, file)

    def __str__(self) -> str:
        """A line of its own for each problem: a log's lines."""
        return self._told(lambda problem: f"  {problem}")

    def shown(self) -> str:
        """The same for people, with the lines of the file that are no TOML."""
        return self._told(lambda problem: indent(problem.shown(), "  "))

    def _told(self, tell: Callable[[Problem], str]) -> str:
        count = len(self.problems)
        head = f"{self.file or 'the configuration'}: "
        head += "1 problem" if count == 1 else f"{count} problems"
        told = "\n".join([head, *(tell(it) for it in self.problems[:_MOST_TOLD])])
        if count <= _MOST_TOLD:
            return told
        return f"{told}\n  and {count - _MOST_TOLD} more, which `validate` tells"
