"""The QR codes of the page: pictures that cost little, whoever asks for them."""

from __future__ import annotations

from io import BytesIO

# Of version 10, the largest that a phone reads from a screen with ease, in bytes
# (ISO/IEC 18004, table 7, error correction M).
MOST_BYTES = 213
# Of version 15: a phone that is held still reads it.
MOST_LARGE_BYTES = 412
_MASK = 0  # a fixed one: trying all eight takes four times as long


def fits(url: str) -> bool:
    """Whether the picture of a URL would be of version 10 at most."""
    return len(url.encode()) <= MOST_BYTES


def fits_large(content: bytes) -> bool:
    """Whether the picture would be of version 15 at most."""
    return len(content) <= MOST_LARGE_BYTES


def picture(content: str | bytes) -> bytes:
    """An SVG of a QR code of a URL or of bytes, which must fit."""
    import segno

    code = segno.make(
        content, error="m", mode="byte", micro=False, mask=_MASK, boost_error=False
    )
    stream = BytesIO()
    code.save(stream, kind="svg", scale=4, border=4, dark="#000", light="#fff")
    return stream.getvalue()
