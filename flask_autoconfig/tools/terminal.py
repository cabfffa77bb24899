"""What commands print: clean, and at a terminal wrapped at words to its width.

What goes elsewhere, into a pipe or a file, is not wrapped: there each sentence is one
line, which `grep` finds whole, and which a pager or a mail program wraps by itself.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import Any

import click

from ..cleaning import clean, clean_lines
from ..config.explain.syntax import columns_of

_USUAL = 80  # columns of a terminal that does not say how many it has


def width(*, err: bool = False) -> int | None:
    """The columns of the terminal that stdout (or stderr) is; None for no terminal.

    COLUMNS of the environment counts before what the terminal says, as for other
    programs.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    return _USUAL


def wrapped(text: str, width: int | None, hang: int = 2) -> str:
    """One line of text as lines that are no wider, all but the first with so much indent.

    Styles do not count. A word that is too wide, as a URL, stays whole, on a line of
    its own. Without a width it stays one line.
    """
    if width is None:
        return text
    hang = min(hang, width // 3)
    lines, line, used = [], "", 0
    for number, word in enumerate(text.split(" ")):
        size = columns(word)
        if number and used + 1 + size <= width:
            line, used = f"{line} {word}", used + 1 + size
        elif number and click.unstyle(line).strip():
            lines.append(line.rstrip(" "))
            line, used = f"{' ' * hang}{word}", hang + size
        else:  # the first word, or one behind nothing but the first line's indent
            line, used = (
                f"{line} {word}" if number else word,
                used + bool(number) + size,
            )
    return "\n".join([*lines, line])


def columns(text: str) -> int:
    """How many columns a text takes, without its styles."""
    plain = click.unstyle(text)
    return len(plain) if plain.isascii() else sum(map(columns_of, plain))


# --- Printing: nothing else in the package prints ----------------------------------------

_PLAIN = re.compile(r"[ -~\n]*")
_OWN = re.compile(r"(\x1b\[[0-9;]{1,9}m)")  # what `click.style` writes


def echo(
    text: str, *, styled: bool = False, nl: bool = True, err: bool = False
) -> None:
    """Print lines of text, clean but for line ends and, if *styled*, styles.

    What is from outside is to be cleaned before it is styled or put between line ends.
    """
    if not _PLAIN.fullmatch(text):
        parts = _OWN.split(text) if styled else [text]
        parts[::2] = map(clean_lines, parts[::2])
        text = "".join(parts)
    click.echo(text, nl=nl, err=err)


def tell(text: str, *, err: bool = False, **style: Any) -> None:
    """Print *text*, which may be from outside, as one line of a style.

    It is wrapped where it goes to a terminal.
    """
    line = click.style(clean(text), **style) if style else clean(text)
    click.echo(wrapped(line, width(err=err)), err=err)


def replace_line(text: str) -> None:
    """Print *text* over the line of stderr that the cursor is in."""
    click.echo(f"\r{clean(text)}", nl=False, err=True)


def write(document: bytes) -> None:
    """Print a document: its bytes, or at a terminal its lines as :func:`echo` does."""
    if width() is None:
        click.echo(document, nl=False)
    else:
        echo(document.decode(errors="replace"), nl=False)
