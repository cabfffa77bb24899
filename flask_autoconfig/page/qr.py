"""The QR code of the page: a picture that costs little, whoever asks for it."""

from __future__ import annotations

from io import BytesIO

# Of version 10, the largest that a phone reads from a screen with ease, in bytes
# (ISO/IEC 18004, table 7, error correction M).
MOST_BYTES = 213
_MASK = 0  # a fixed one: trying all eight takes four times as long


def fits(url: str) -> bool:
    """Whether the picture of a URL would be of version 10 at most."""
    return len(url.encode()) <= MOST_BYTES


def picture(url: str) -> bytes:
    """An SVG of a QR code that opens the URL, which must fit."""
    import segno

    code = segno.make(url, error="m", micro=False, mask=_MASK, boost_error=False)
    stream = BytesIO()
    code.save(stream, kind="svg", scale=4, border=4, dark="#000", light="#fff")
    return stream.getvalue()
