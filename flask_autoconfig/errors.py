"""The problems of a configuration, and the exception that carries them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

_MAX_SHOWN = 100  # problems of a file


class Problem(NamedTuple):
    """An error, or a warning that names the client that it affects."""

    place: str  # the path of the value: provider[0].incoming[1].port
    message: str  # what is wrong
    cure: str  # what to do
    client: str = ""  # of a warning: the client that is affected
    file: str = ""  # if it is not the main file
    line: int | None = None  # from 1
    column: int | None = None  # of a TOML syntax error: a character, from 1
    domain: str = ""  # the first domain of the provider

    def __str__(self) -> str:
        """Return the problem on one line."""
        source, place = self.source(), self.place
        if self.line and not source:
            column = f", column {self.column}" if self.column else ""
            source = f"line {self.line}{column}"
        if self.domain:
            place += f" ({self.domain})"
        parts = [part for part in (source, place, self.client, self.message) if part]
        return ": ".join(parts) + (f"; {self.cure}" if self.cure else "")

    def source(self, main: str = "") -> str:
        """Return FILE:LINE:COLUMN, as compilers do, or ""; `main` is the main file."""
        file = self.file or main
        if self.line and file:
            file += f":{self.line}" + (f":{self.column}" if self.column else "")
        return file


class ConfigError(Exception):
    """A configuration that cannot be served.

    `problems` holds every :class:`Problem`, in the file's order. `file` is the name of the
    file, "" for a mapping, or what else is wrong, such as "hooks". A change to one of the
    `referenced` files, or to a file that matches the `patterns` of `include`, may correct
    the problems. `is_unread` says that a file could not be read, which may succeed later
    without a change.
    """

    def __init__(
        self,
        problems: Iterable[Problem],
        file: str = "",
        referenced: Iterable[Path] = (),
        patterns: Iterable[str] = (),
        *,
        is_unread: bool = False,
    ) -> None:
        self.problems = tuple(problems)
        self.file = file
        self.referenced = tuple(referenced)
        self.patterns = tuple(patterns)
        self.is_unread = is_unread
        super().__init__(self.problems, file)

    @classmethod
    def of(
        cls, place: str, message: str, cure: str, file: str = "flask_autoconfig"
    ) -> Self:
        return cls([Problem(place, message, cure)], file)

    def __str__(self) -> str:
        """Return the problems, one on a line."""
        count = len(self.problems)
        number = "1 problem" if count == 1 else f"{count} problems"
        lines = [f"  {problem}" for problem in self.problems[:_MAX_SHOWN]]
        if count > _MAX_SHOWN:
            lines.append(f"  and {count - _MAX_SHOWN} more: `validate` lists all")
        return "\n".join([f"{self.file or 'the configuration'}: {number}", *lines])
