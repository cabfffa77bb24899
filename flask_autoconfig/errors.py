"""What can be wrong with a configuration, told so that a person can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong, or that one client cannot take."""

    place: str  # as the file's own path: provider[0].incoming[1].port
    message: str  # what is wrong
    cure: str  # what would be right
    client: str = ""  # of a warning: the client that it hurts
    file: str = ""  # where it is another than the one that was asked about

    def __str__(self) -> str:
        file = f"{self.file}: " if self.file else ""
        place = f"{self.place}: " if self.place else ""
        client = f"{self.client}: " if self.client else ""
        return f"{file}{place}{client}{self.message}; {self.cure}"


class ConfigError(Exception):
    """A configuration that cannot be served, with all its problems.

    `problems` holds every :class:`Problem`, in the file's order; `file` names the file,
    or is empty for a text; `named` are the files that it names in turn, whose change may
    cure it, and `patterns` those of its `include`, by which further ones may come.
    """

    def __init__(
        self,
        problems: Iterable[Problem],
        file: str = "",
        named: Iterable[Path] = (),
        patterns: Iterable[str] = (),
    ) -> None:
        self.problems = tuple(problems)
        self.file = file
        self.named = tuple(named)
        self.patterns = tuple(patterns)
        super().__init__(self.problems, file)

    def __str__(self) -> str:
        count = len(self.problems)
        head = f"{self.file or 'the configuration'}: "
        head += "1 problem" if count == 1 else f"{count} problems"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])
