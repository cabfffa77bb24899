"""Printing: clean text, wrapped at words to the width of a terminal.

Output to a pipe or a file is not wrapped: each sentence is one line, which `grep` finds
as a whole, and which a pager or a mail program wraps by itself.
"""

import re
import shutil
import sys
from collections.abc import Iterable
from typing import Any

import click

from ..cleaning import clean, clean_lines


def width(*, err: bool = False) -> int | None:
    """Return the columns of the terminal at stdout (or stderr), None for no terminal.

    As in other programs, the environment variable COLUMNS overrides the terminal.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not stream.isatty():
        return None
    return shutil.get_terminal_size().columns


def wrapped(text: str, width: int | None, hang: int = 2) -> str:
    """Wrap a line of text at *width* columns, if there is a width.

    All lines but the first are indented by *hang* columns. Styles have no width. A word
    that is too wide, such as a URL, stays whole.
    """
    if width is None:
        return text
    indent = " " * min(hang, width // 3)
    line, *words = text.split(" ")
    lines = []
    for word in words:
        is_blank = not click.unstyle(line).strip()  # in the indent of the first line
        if is_blank or columns(line) + 1 + columns(word) <= width:
            line += f" {word}"
        else:
            lines.append(line.rstrip(" "))
            line = indent + word
    return "\n".join([*lines, line])


def columns(text: str) -> int:
    """Return the width of *text* in columns, without its styles."""
    return len(click.unstyle(text))


# --- Printing: nothing else in the package prints ----------------------------------------

_PLAIN = re.compile(r"[ -~\n]*")
_STYLES = re.compile(r"(\x1b\[[0-9;]{1,9}m)")  # as `click.style` writes them


def echo(
    text: str, *, styled: bool = False, nl: bool = True, err: bool = False
) -> None:
    """Print lines of text without control characters, except styles if *styled*.

    Text from outside must be cleaned before it is styled or joined by line ends.
    """
    if not _PLAIN.fullmatch(text):
        parts = _STYLES.split(text) if styled else [text]
        parts[::2] = map(clean_lines, parts[::2])
        text = "".join(parts)
    click.echo(text, nl=nl, err=err)


def show(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        echo(line, styled=True, err=err)


def print_line(text: str, *, err: bool = False, **style: Any) -> None:
    """Print *text*, cleaned, as one line in this style, wrapped on a terminal."""
    line = click.style(clean(text), **style) if style else clean(text)
    click.echo(wrapped(line, width(err=err)), err=err)


def write(document: bytes) -> None:
    """Print a document: its bytes, or on a terminal its lines as :func:`echo` does."""
    if width() is None:
        click.echo(document, nl=False)
    else:
        echo(document.decode(errors="replace"), nl=False)
