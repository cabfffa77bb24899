"""Reads a provider's logo, and refuses SVG with scripts or external content."""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from ..errors import ConfigError
from ..files import read_file

MAX_BYTES = 64 * 1024
# The first bytes of the bitmap formats (the length of WebP is between its two words).
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
_SVG = "image/svg+xml"
# Elements with a script, another document or an external picture.
_FOREIGN = frozenset(
    ("script", "foreignObject", "iframe", "object", "embed", "image", "a", "handler")
)
# The same in styles; an escape may spell any of them.
_FOREIGN_STYLE = re.compile(
    r"\\|@import|expression\s*\(|image-set\s*\(|url\(\s*+['\"]?+\s*+(?!#)", re.I
)
# A reference to another element: by `use` or an animation, or to a pattern or a mask.
_REFERENCE = re.compile(r"#([^\s\"');]+)")
_MAX_DRAWN = 10_000  # elements


class Logo(NamedTuple):
    """A picture and its type."""

    data: bytes
    content_type: str
    name: str  # derived from the data, for the URL


def read_logo(path: Path) -> Logo:
    """Return the logo in a file; raises OSError and ConfigError."""
    data = read_file(path, MAX_BYTES)
    type_ = next((type_ for magic, type_ in _MAGIC if magic.match(data)), _SVG)
    if type_ == _SVG and (fault := _fault_of_svg(data)):
        message, cure = fault
        raise ConfigError.of("logo", f"{path} {message}", cure)
    return Logo(data, type_, hashlib.sha256(data).hexdigest()[:12])


def _fault_of_svg(data: bytes) -> tuple[str, str] | None:
    from defusedxml.ElementTree import fromstring

    cure = "save it as PNG, SVG, JPEG or WebP"
    if b"<!DOCTYPE" in data and b"<svg" in data:
        return "has a DOCTYPE", "remove that line, or save as PNG"
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError, RecursionError):
        return "is no picture that all browsers show", cure
    if root.tag != "{http://www.w3.org/2000/svg}svg":
        return "is XML, but not in the namespace of SVG", cure
    if b"<?xml-stylesheet" in data or any(map(_is_foreign, root.iter())):
        cure = "save it as plain SVG with shapes only, or as PNG"
        return "contains a script, a link or external content", cure
    by_id = {element.get("id", ""): element for element in reversed([*root.iter()])}
    with suppress(RecursionError):
        if _count_drawn(root, by_id, {}) <= _MAX_DRAWN:
            return None
    return f"repeats its shapes more than {_MAX_DRAWN} times", cure


def _count_drawn(
    element: Element, by_id: Mapping[str, Element], counts: dict[Element, int]
) -> int:
    """Count the elements that are drawn for one, with those that it refers to.

    For an element that refers to itself, that is more than the limit. `counts` is a cache.
    """
    if element not in counts:
        counts[element] = _MAX_DRAWN + 1  # for a reference back to it
        values = " ".join(value for _, value in element.items())
        ids = map(unquote, _REFERENCE.findall(values))
        parts = [*element, *(by_id[id_] for id_ in ids if id_ in by_id)]
        counts[element] = 1 + sum(_count_drawn(part, by_id, counts) for part in parts)
    return counts[element]


def _is_foreign(element: Element) -> bool:
    """Whether an element has a script, a link or external content."""
    tag = str(element.tag).rpartition("}")[2]
    styles = [element.text or ""] if tag == "style" else []
    for name, value in element.items():
        key = name.rpartition("}")[2].lower()
        is_link = key in ("href", "src") and not value.startswith("#")
        if key == "attributename":  # an animation sets this attribute of an element
            key = value.strip().lower()
            is_link = key.endswith("href")
        if is_link or key.startswith("on") or "javascript:" in value.lower():
            return True
        if "(" in value:
            styles.append(value)
    return tag in _FOREIGN or any(map(_FOREIGN_STYLE.search, styles))
