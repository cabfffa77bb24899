"""The line on a terminal that says what `check` is doing."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ...cleaning import clean
from .. import terminal


class Progress:
    """A line on stderr that says what is being done; nothing without a terminal."""

    def __init__(self) -> None:
        self._length = 0

    def __call__(self, text: str) -> None:
        """Replace the line."""
        most = _columns()
        if most > 0:
            text = clean(text, min(most, 78))
            terminal.replace_line(text.ljust(self._length))
            self._length = len(text)

    def end(self) -> None:
        """Remove the line."""
        if self._length:
            terminal.replace_line(" " * self._length)
            terminal.replace_line("")
            self._length = 0


def _columns() -> int:
    """Return how long a line on stderr may be, 0 if it is not a terminal.

    In the last column some terminals begin a new line. COLUMNS may say that there are
    more, but a wrapped line could not be removed.
    """
    width = terminal.width(err=True)
    if width is None:
        return 0
    with suppress(OSError, ValueError):
        width = min(width, os.get_terminal_size(sys.stderr.fileno()).columns or width)
    return width - 1
