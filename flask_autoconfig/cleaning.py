"""Sanitizes untrusted text for a terminal, a log or a comment in a file.

Text from a file, DNS, a server or a certificate may contain terminal escape sequences,
line ends that forge a line, and characters that hide or reorder other text.
"""


def is_visible_char(char: str) -> bool:
    """Whether the character is visible or a space (not in Unicode's C, Zl or Zp)."""
    if char.isprintable():
        return True
    import unicodedata

    return unicodedata.category(char) == "Zs"  # a space other than U+0020


def clean(text: str, limit: int = 1000) -> str:
    """Return *text* on one line, with `?` for invisible characters, cut to *limit*."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            char if is_visible_char(char) else "?" for char in text[: limit + 1]
        )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_lines(text: str) -> str:
    return "\n".join(clean(line, len(line)) for line in text.split("\n"))
