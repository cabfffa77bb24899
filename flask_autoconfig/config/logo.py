"""A provider's logo: a picture that a browser may show without a doubt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from ..files import read_file

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_BYTES = 64 * 1024
# The first bytes of the formats with pixels (WebP has its length between the two).
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
_SVG = "image/svg+xml"
# What brings in a script, another document or a picture from elsewhere.
_FOREIGN = frozenset(
    ("script", "foreignObject", "iframe", "object", "embed", "image", "a", "handler")
)
# An escape may spell any of them.
_FOREIGN_STYLE = re.compile(
    r"\\|@import|expression\s*\(|image-set\s*\(|url\(\s*+['\"]?+\s*+(?!#)", re.I
)
# To another element: of `use`, of a pattern or a mask, for an animation.
_REFERENCE = re.compile(r"#([^\s\"');]+)")
_MOST_DRAWN = 10_000  # elements


class Logo(NamedTuple):
    """A picture, and what it is."""

    data: bytes
    content_type: str
    name: str  # another one for another picture


class UnusableLogoError(ValueError):
    """It is no picture to be shown: what is wrong, and the cure."""

    def __init__(self, message: str, cure: str) -> None:
        self.message = message
        self.cure = cure
        super().__init__(message)


def read_logo(path: Path) -> Logo:
    """The picture in a file; raises UnusableLogoError."""
    try:
        data = read_file(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        cure = "give a PNG, SVG, JPEG or WebP file of 64 KiB at most"
        raise UnusableLogoError(f"cannot read {path}: {reason}", cure) from error
    kinds = (kind for magic, kind in _MAGIC if magic.match(data))
    kind = next(kinds, None)
    if kind is None:
        _check_svg(data, path)
        kind = _SVG
    return Logo(data, kind, hashlib.sha256(data).hexdigest()[:12])


def _check_svg(data: bytes, path: Path) -> None:
    from xml.etree.ElementTree import ParseError

    from defusedxml.ElementTree import fromstring

    cure = "save it as PNG, SVG, JPEG or WebP"
    if b"<!DOCTYPE" in data and b"<svg" in data:
        raise UnusableLogoError(
            f"{path} has a DOCTYPE", "remove that line, or save as PNG"
        )
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        message = f"{path} is no picture that browsers show everywhere"
        raise UnusableLogoError(message, cure) from error
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        message = f"{path} is XML, but no SVG picture by its namespace"
        raise UnusableLogoError(message, cure)
    found = b"<?xml-stylesheet" in data or any(map(_is_foreign, root.iter()))
    if found:
        raise UnusableLogoError(
            f"{path} holds a script, a link or what comes from elsewhere",
            "save it as plain SVG, shapes alone, or as PNG",
        )
    named = {it.get("id", ""): it for it in reversed([*root.iter()])}
    try:
        drawn = _drawn(root, named, {})
    except RecursionError:
        drawn = _MOST_DRAWN + 1
    if drawn > _MOST_DRAWN:
        message = f"{path} repeats its shapes to more than {_MOST_DRAWN}"
        raise UnusableLogoError(message, cure)


def _drawn(
    element: Element, named: Mapping[str, Element], known: dict[Element, int]
) -> int:
    """How many elements are drawn for one, with those that it refers to.

    More than the most for one that refers to itself. May raise RecursionError.
    """
    if element not in known:
        known[element] = _MOST_DRAWN + 1  # for whatever leads back to it
        values = " ".join(value for _, value in element.items())
        names = (unquote(it) for it in _REFERENCE.findall(values))
        parts = [*element, *(named[it] for it in names if it in named)]
        known[element] = 1 + sum(_drawn(it, named, known) for it in parts)
    return known[element]


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _is_foreign(element: Element) -> bool:
    if _local(element.tag) in _FOREIGN:
        return True
    if _local(element.tag) == "style" and _FOREIGN_STYLE.search(element.text or ""):
        return True
    for name, value in element.items():
        key = _local(name).lower()
        if key.startswith("on"):
            return True
        if key in ("href", "src") and not value.startswith("#"):
            return True
        if "(" in value and _FOREIGN_STYLE.search(value):
            return True
        if "javascript:" in value.lower():
            return True
    return False
