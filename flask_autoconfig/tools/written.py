"""What clients stumble over in a config-v1.1.xml as it is written, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from ..config.tables import SocketType
from ..documents import xml
from ..errors import Problem
from .quirks import K9

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# A value of a server up to the first thing that is no plain text. It never looks back,
# so that its time grows with the document's length alone.
_VALUE = re.compile(rb"<(?:hostname|port|username)>([^<]*)(<!\[CDATA\[)?")
_VALUES = ("hostname", "port", "socketType", "username", "authentication")
_NEEDED = ("port", "socketType", "username")
_SOCKET_TYPES = get_args(get_args(SocketType)[0])


def document_warnings(document: bytes) -> list[Problem]:
    """What clients stumble over in a config-v1.1.xml as it is written, whoever wrote it.

    The document must be well-formed (it was read before).
    """
    problems = []
    if document.startswith(b"\xef\xbb\xbf"):
        message = "a byte order mark: it drops the whole document"
        problems.append(Problem("", message, "write the file without it", "Evolution"))
    if any(b"&" in it[1] or it[2] for it in _VALUE.finditer(document)):
        message = "a reference or CDATA in a server's value: it cuts the value off"
        problems.append(Problem("", message, "write the plain value", "Delta Chat"))

    root = xml.parse(document)
    if len(root.findall("emailProvider")) > 1:
        message = "several <emailProvider>: some take the first, some the last"
        problems.append(Problem("", message, "keep one", K9))
    for tag in ("incomingServer", "outgoingServer"):
        for index, server in enumerate(root.iterfind(f"emailProvider/{tag}")):
            problems += _server_warnings(server, f"{tag}[{index}]")
    return problems


def _server_warnings(server: Element, place: str) -> Iterator[Problem]:
    if set(server.attrib) - {"type"}:
        yield Problem(
            place,
            "an attribute beside type: it drops the whole document",
            "remove it",
            "Evolution",
        )
    if server.find("hostname") is None:
        return

    for tag in _NEEDED:
        if server.find(tag) is None:
            message = f"no <{tag}>: it drops the whole document"
            yield Problem(place, message, f"write <{tag}>", K9)

    # The first of each tag counts, and clients read no other tags.
    for child in filter(None, map(server.find, _VALUES)):
        text = child.text or ""
        if not len(child) and text != text.strip():
            yield Problem(
                f"{place}.{child.tag}",
                "white space around the value is taken for a part of it",
                "remove it",
                "Kontact and Evolution",
            )
        if child.tag == "socketType" and text.strip() not in _SOCKET_TYPES:
            yield Problem(
                f"{place}.socketType",
                f"{text.strip()[:40]} means no encryption to them",
                "write SSL, STARTTLS or plain",
                "Kontact and Evolution",
            )
