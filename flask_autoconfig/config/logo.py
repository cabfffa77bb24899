"""Reads a provider's logo, and refuses SVG with scripts or external content."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple
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
_FOREIGN = ("script", "foreignObject", "iframe", "object", "embed", "image", "a")
# In a style: an escape, which may spell anything, or what loads something from elsewhere.
_FOREIGN_STYLE = re.compile(r"\\|@import|image-set|url\(\s*+['\"]?+\s*+(?!#)", re.I)


class Logo(NamedTuple):
    """A picture and its type."""

    data: bytes
    content_type: str
    name: str  # derived from the data, for the URL


def read_logo(path: Path) -> Logo:
    """Return the logo in a file; raises OSError and ConfigError."""
    data = read_file(path, MAX_BYTES)
    type_ = next((type_ for magic, type_ in _MAGIC if magic.match(data)), _SVG)
    if type_ == _SVG:
        _check_svg(data, path)
    return Logo(data, type_, hashlib.sha256(data).hexdigest()[:12])


def _check_svg(data: bytes, path: Path) -> None:
    from defusedxml.ElementTree import XMLParser

    fault, cure = "is no picture that all browsers show", "save it as PNG or plain SVG"
    try:
        parser = XMLParser()
        parser.parser.StartDoctypeDeclHandler = _refuse_declarations
        parser.feed(data)
        root = parser.close()
        is_foreign = b"<?xml-stylesheet" in data or any(map(_is_foreign, root.iter()))
        if root.tag == "{http://www.w3.org/2000/svg}svg" and not is_foreign:
            return
        if is_foreign:
            fault = "contains a script, a link or external content"
    except (ParseError, ValueError, LookupError, RecursionError):
        pass
    raise ConfigError.of("logo", f"{path} {fault}", cure)


def _refuse_declarations(*doctype: object) -> None:
    """Refuse what could make a short text a very long one, such as entities."""
    *_, has_declarations = doctype
    if has_declarations:
        raise ValueError


def _is_foreign(element: Element) -> bool:
    """Whether an element has a script, a link or external content."""
    tag = str(element.tag).rpartition("}")[2]
    styles = [element.text or ""] if tag == "style" else []
    for name, value in element.items():
        key = name.rpartition("}")[2].lower()
        if key == "attributename":  # an animation sets this attribute of an element
            key, value = value.rpartition(":")[2].strip().lower(), ""
        if key.startswith("on") or (key in ("href", "src") and value[:1] != "#"):
            return True
        if "(" in value:
            styles.append(value)
    return tag in _FOREIGN or any(map(_FOREIGN_STYLE.search, styles))
