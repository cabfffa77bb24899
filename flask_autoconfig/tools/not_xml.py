"""Guesses what a document is that cannot be parsed as XML."""

from __future__ import annotations

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GENERATE = "make it with this program's `show` or `export`"


def beginning(document: bytes) -> tuple[str, str]:
    """Return what a document is that cannot be parsed as XML, and the cure."""
    if document.startswith(b"\x1f\x8b"):
        return "it is gzip without a Content-Encoding", "serve it unpacked"
    if document.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16", "save the file in UTF-8"
    before, xml, _ = document[:4000].partition(b"<?xml")
    alone = "remove what comes before the <?xml …?> (a program's warning, perhaps)"
    if xml and not before.strip(BYTE_ORDER_MARK + b" \t\r\n"):
        if before.strip(BYTE_ORDER_MARK):
            return "white space comes before the <?xml …?>", alone
        return "", "write & as &amp;, save the file in UTF-8, and close each element"
    text = " ".join(document[:160].decode("utf-8", "replace").split())
    if not text:
        return "it is empty", GENERATE
    if text.startswith("<clientConfig"):  # the reason is not at the beginning
        return "", GENERATE
    return f"it begins with “{text[:40]}”", alone if xml else GENERATE
