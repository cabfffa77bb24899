"""Sanitizes untrusted text for a terminal, a log or a comment in a file.

Text from a file, DNS, a server or a certificate may contain terminal escape sequences,
line ends that forge a line, and characters that hide or reorder other text.
"""


def clean(text: str, limit: int = 1000) -> str:
    """Return *text* on one line, with `?` for invisible characters, cut to *limit*."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_lines(text: str) -> str:
    return "\n".join(clean(line, len(line)) for line in text.split("\n"))
