"""Says what is wrong with a text that is no XML or no JSON, and what to do."""

from __future__ import annotations

import re
from html.entities import html5

from ..files import table_beside

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TAG = re.compile(r"<[^<>]{0,200}>")
_PLACE = re.compile(r"line (\d+),? column (\d+)")
_AROUND = 40  # characters of a text around the place of an error


def beginning(document: bytes, error: object = "") -> tuple[str, str]:
    """Return what a document is that cannot be parsed, and the cure; both may be "".

    The parser's error says where it cannot.
    """
    if document.startswith(b"\x1f\x8b"):
        return "it is gzip without a Content-Encoding", "serve it unpacked"
    if document.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in document[:8]:
        return "it is UTF-16", "save the file in UTF-8"
    start = document[:4000].removeprefix(_BYTE_ORDER_MARK)
    before, xml, _ = start.partition(b"<?xml")
    if b"<clientConfig" in document and b"</clientConfig" not in document:
        return "it breaks off before </clientConfig>", "publish the whole document"
    is_begun = start.lstrip().startswith((b"<clientConfig", b"{", b"["))
    if is_begun or (xml and not before):
        try:
            return _at(document.decode(), str(error))
        except UnicodeDecodeError:
            return "it is not in UTF-8", "save the file in UTF-8"
    text = (before if xml else start).decode("utf-8", "replace")
    shown = " ".join(_TAG.sub(" ", text).split()) or " ".join(text.split())
    words = f"it begins with “{shown[:80]}”"
    if xml:
        words = words if before.strip() else "it begins with white space"
        return words, _cure("not at start", "", shown)
    is_text = shown and "\N{REPLACEMENT CHARACTER}" not in text
    return (words, _cure("begins with", "", shown)) if is_text else ("", "")


def _at(text: str, error: str) -> tuple[str, str]:
    """Return what stands at the place that a parser's error names, and the cure."""
    place = _PLACE.search(error)
    if place is None:
        return "", _cure(error, "", "")
    number, column = map(int, place.groups())
    line = text.split("\n")[number - 1] if number <= text.count("\n") + 1 else ""
    column -= error.startswith("it is no JSON")  # which counts from 1
    before, after = line[:column][-_AROUND:], line[column:][:_AROUND]
    if not before.strip():  # a comma may end the line before
        before = " ".join(text.split("\n")[:number][-2:-1])[-_AROUND:]
    there = f"{before[-12:]}{after[:20]}".strip()
    return f"there stands “{there}”" if there else "", _cure(error, before, after)


def _cure(error: str, before: str, after: str) -> str:
    rows: list[dict[str, str]] = table_beside(__file__, "broken.toml")["row"]
    for row in rows:
        found = re.search(row.get("near", ""), f"{before}¦{after}")
        if row["error"] in error and found:
            named = found.groupdict()
            character = html5.get(f"{named.get('name')};", "")
            if character or "{number}" not in row["cure"]:
                return row["cure"].format(**named, number=ord((character or " ")[0]))
    return ""
