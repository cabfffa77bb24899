"""The one cleaner of what came from outside, before a terminal or a log shows it."""

from __future__ import annotations

from ..config.values import is_seen

_MOST = 1000  # characters that anybody wants to read


def clean(text: str, most: int = _MOST) -> str:
    """The text in one line, without what a terminal obeys or what hides other text.

    Control characters, overrides of the direction, other format characters and line
    breaks become `?`; what is longer than `most` characters is cut.
    """
    if text.isascii() and text.isprintable():
        shown = text
    else:
        shown = "".join(char if is_seen(char) else "?" for char in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def clean_lines(text: str) -> str:
    """The same for each line of a text that we broke into lines ourselves."""
    return "\n".join(map(clean, text.split("\n")))
