"""Makes text from outside fit for a terminal, a log or a comment in a file.

What a file, DNS, a server or a certificate says may hold escape sequences that a terminal
obeys, line ends that forge a line, and characters that hide or reorder other text.
"""

from __future__ import annotations

_MOST = 1000  # characters that anybody wants to read


def is_seen(char: str) -> bool:
    """Whether a reader sees the character, and in its place.

    Not those of Unicode's categories C (control, format, surrogate, private), Zl and Zp.
    """
    if char.isprintable():
        return True
    import unicodedata

    return unicodedata.category(char) == "Zs"  # a space that is not the usual one


def clean(text: str, most: int = _MOST) -> str:
    """Return *text* as one line with `?` for each character that is not seen.

    What is longer than *most* characters is cut.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if is_seen(char) else "?" for char in text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def clean_lines(text: str) -> str:
    """Return *text* with each of its lines clean, and none of them cut."""
    return "\n".join(clean(line, len(line)) for line in text.split("\n"))
