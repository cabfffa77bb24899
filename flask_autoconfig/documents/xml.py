"""XML from and for strangers: the one hardened parser, and how documents are written."""

from __future__ import annotations

from xml.etree import ElementTree as ET


class NotXmlError(ValueError):
    """The text is no XML that is safe to read."""


def parse(data: bytes) -> ET.Element:
    """The root element; raises NotXmlError, also for a DTD or an entity."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: ET.Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        message = "it has a DTD or entities, which are refused"
        raise NotXmlError(message) from error
    except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
        raise NotXmlError(f"not XML: {error}") from error
    return root


def local_name(element: ET.Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def text_of(element: ET.Element) -> str:
    """All text inside, without white space around it."""
    return "".join(element.itertext()).strip()


def to_bytes(root: ET.Element) -> bytes:
    """The document, indented, with its declaration."""
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode() + b"\n"
