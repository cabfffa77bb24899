"""A parser for untrusted XML, and the output of documents."""

from xml.etree import ElementTree as ET
from xml.parsers import expat

MAX_BYTES = 256 * 1024  # of a document; real ones have a few thousand
_MAX_LEVELS = 100
_MAX_NODES = 10_000  # elements and attributes


class NotXmlError(ValueError):
    """The text is not XML, or not safe to parse."""


class DeclarationsError(NotXmlError):
    """The text has a DOCTYPE that is not safe to parse."""


class _Bounded(ET.TreeBuilder):
    """Builds a tree of bounded depth and size; raises NotXmlError for a larger one."""

    _level = _nodes = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._level += 1
        self._nodes += 1 + len(attrs)
        if self._level > _MAX_LEVELS:
            raise NotXmlError(f"it has more than {_MAX_LEVELS} levels of elements")
        if self._nodes > _MAX_NODES:
            raise NotXmlError(f"it has more than {_MAX_NODES} elements and attributes")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._level -= 1
        return super().end(tag)


def _refuse_declarations(*doctype: object) -> None:
    *_, has_declarations = doctype
    if has_declarations:
        raise DeclarationsError("it has declarations in its DOCTYPE")


def parse(data: bytes) -> ET.Element:
    """Return the root element; raises NotXmlError, also for a large text.

    A DOCTYPE may name a DTD, which is not read, but not have declarations in it: those
    could make a short text a very long one.
    """
    from defusedxml.ElementTree import XMLParser

    if len(data) > MAX_BYTES:
        message = f"it has more than {MAX_BYTES // 1024} KiB, which no client reads"
        raise NotXmlError(message)
    parser = XMLParser(target=_Bounded())
    parser.parser.StartDoctypeDeclHandler = _refuse_declarations
    try:
        parser.feed(data)
        root: ET.Element = parser.close()
    except NotXmlError:
        raise
    except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
        raise NotXmlError(f"not XML: {error}") from error
    return root


def line_numbers(data: bytes, root: ET.Element) -> dict[ET.Element, int]:
    """Return the line, from 1, at which each element of a parsed document begins."""
    lines: list[int] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda *_: lines.append(parser.CurrentLineNumber)
    parser.Parse(data, True)
    return dict(zip(root.iter(), lines, strict=True))


def local_name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def text_of(element: ET.Element) -> str:
    """Return all text in the element, without surrounding white space."""
    return "".join(element.itertext()).strip()


def to_bytes(root: ET.Element) -> bytes:
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode() + b"\n"
