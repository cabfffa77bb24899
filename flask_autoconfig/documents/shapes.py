"""Describes the errors in a document, using shapes.toml and broken.toml."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from html.entities import html5
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from ..address import fold, is_ip
from ..config.explain.hints import no_host
from ..files import table_beside
from . import apple, outlook
from .xml import local_name

_MAX_PARTS = 100  # parts of one kind, and unknown names in a part
_SIMILARITY = 0.75  # of a name that is taken for a misspelt one
_WORDS = {
    "autodiscover.mail": outlook.TYPES.values(),
    "autodiscover.servers": (outlook.TYPES | outlook.DAV_TYPES).values(),
    "autodiscover.encryption": [*(e for _, e in outlook.ENCRYPTION.values()), "Auto"],
    "profile.payloads": [apple.MAIL, apple.EXCHANGE, *apple.DAV.values()],
    "profile.types": apple.MAIL_TYPES.values(),
    "profile.methods": dict.fromkeys(apple.METHODS.values()),
}
_FIRST_TAG = re.compile(r"<[A-Za-z][^<>]{0,200}|\{[^{}]{0,40}")  # or a JSON object


class Slip(NamedTuple):
    """A place where a document differs from its format."""

    part: Any  # the element or dictionary
    key: str  # the right name of the element or key in it
    message: str  # a clause
    cure: str
    is_fatal: bool  # clients cannot use the part
    code: str = ""  # of the finding, if it has one of its own


def is_host(name: str) -> bool:
    try:
        return is_ip(name) or bool(fold(name))
    except ValueError:
        return False


def port_of(text: str) -> int | None:
    """Return the port in *text*, None if it is not a number from 1 to 65535."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        return None
    return int(text) if 0 < int(text) < 65536 else None


shapes = partial(table_beside, __file__, "shapes.toml")


def of_another(document: bytes, format_: str) -> tuple[str, str]:
    """Return the message and cure for a document of another format, or empty strings."""
    first = _FIRST_TAG.search(document[:4000].decode("utf-8", "replace"))
    for name, shape in shapes()["format"].items():
        if first and name != format_ and re.match(shape["begins"], first[0]):
            right = shapes()["format"][format_]["name"]
            return f"it is {shape['name']}, where {right} belongs", f"publish {right}"
    return "", ""


def slips_of(format_: str, root: Any) -> list[Slip]:
    """Return how a document, an element or a dictionary, differs from its format."""
    return list(_Part(shapes()["format"][format_], "", root).slips())


class _Part:
    """An element or dictionary of a document, with its path in the shape."""

    def __init__(self, shape: dict[str, Any], path: str, node: Any) -> None:
        self.shape, self.path, self.node = shape, path, node
        self.children: dict[str, list[Any]] = {}  # by name
        is_xml = isinstance(node, Element)
        elements = [(local_name(child), child) for child in node] if is_xml else []
        for name, value in node.items() if isinstance(node, dict) else elements:
            values = value if isinstance(value, list) else [value]
            self.children.setdefault(name, []).extend(values[:_MAX_PARTS])

    def slips(self) -> Iterator[Slip]:
        """Yield the slips in the part and in those within it."""
        rows = [row for row in self.shape["part"] if row["at"] == self.path]
        known = {*self.shape["known"], *(key for row in rows for key in row["keys"])}
        unknown = [name for name in self.children if name not in known][:_MAX_PARTS]
        for row in rows:
            if all(self._has(*condition) for condition in row.get("when", {}).items()):
                yield from self._row_slips(row, unknown)
        paths = (row["at"].removeprefix(f"{self.path}/") for row in self.shape["part"])
        for name in dict.fromkeys(paths):
            for node in self.children.get(name, ()):
                yield from _Part(self.shape, f"{self.path}/{name}", node).slips()

    def _value(self, key: str) -> Any:
        if isinstance(self.node, dict):
            return self.node.get(key, "")
        children = self.children.get(key)
        return (children[0].text or "").strip() if children else ""

    def _has(self, key: str, words: str | list[str]) -> bool:
        """Whether a value is one of some words."""
        value, words = self._value(key), _words(words)
        if isinstance(self.node, Element):  # clients ignore the case of words in XML
            value, words = value.lower(), [word.lower() for word in words]
        return value in words

    def _row_slips(self, row: dict[str, Any], unknown: list[str]) -> Iterator[Slip]:
        """Yield the slips in the keys of a row; `unknown` names may be misspelt keys."""
        form = self.shape["form"].format
        values = {key: self._value(key) for key in row.get("when", ())}
        subject = row["says"].format(**values)
        missing = {key.lower(): key for key in row["keys"] if self._value(key) == ""}
        misspelt = {
            missing[key]: name
            for name in unknown
            for key in get_close_matches(name[:60].lower(), missing, 1, _SIMILARITY)
        }
        # At least one of these keys is required, perhaps only beside other keys.
        some = row.get("some", [])
        is_required = "beside" not in row or any(map(self._value, row["beside"]))
        lacking = {*some} if is_required and not any(map(self._value, some)) else set()
        for key, spec in row["keys"].items():
            is_fatal, cure = key in lacking or "required" in spec, f"add {form(key)}"
            message = f"has no {form(key)}" if "required" in spec else ""
            if key in misspelt:
                message = f"has {form(misspelt[key])}, where {form(key)} belongs"
                cure, lacking = f"write {form(key)}", set()
            elif self._value(key) != "" or ("empty" in spec and key in self.children):
                fault, cure = self._fault(key, spec)
                message = f"has {form(key)} {fault}" if fault else ""
                is_fatal = "lax" not in spec
            if message:
                cure, code = spec.get("cure", cure), spec.get("code", "")
                yield Slip(self.node, key, f"{subject} {message}", cure, is_fatal, code)
        if lacking:
            yield Slip(self.node, "", row["none"], row["cure"], is_fatal=True)

    def _fault(self, key: str, spec: dict[str, Any]) -> tuple[str, str]:
        """Return the value with what is wrong about it, and the cure, or empty strings."""
        value, words = self._value(key), _words(spec.get("words", ()))
        text = f"a {type(value).__name__}"  # a list may be long, when written out
        if isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**64):
            text = json.dumps(value, ensure_ascii=False)
        unquoted = text[1:-1]
        if words and not self._has(key, words):
            # Other words may be allowed, but those that are similar are misspelt.
            lower, similarity = [word.lower() for word in words], spec.get("open", 1)
            similar = get_close_matches(unquoted[:60].lower(), lower, 1, similarity)
            if similar or "open" not in spec:
                choice = f"{', '.join(words[:-1])} or {words[-1]}".removeprefix(" or ")
                return f"{_cut(text)}, which is not {choice}", f"write {choice}"
        kind = shapes()["kind"][spec.get("kind", "any")]
        typed = unquoted if isinstance(self.node, Element) else text
        is_valid = re.fullmatch(kind["is"], typed)
        if is_valid and (kind["no"] != "no host name" or is_host(unquoted)):
            return "", ""
        cure = kind["cure"] if text.isascii() else no_host(unquoted)
        return f"{_cut(text)}, which is {kind['no']}", cure


def _cut(text: str) -> str:
    """Return a value in JSON; a long one is cut, but keeps its closing quote."""
    end = '"' if text[:1] == '"' else ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…{end}"


def _words(words: Any) -> list[str]:
    """Return a list of words, or one of `_WORDS` by its name."""
    return [*_WORDS.get(words, ())] if isinstance(words, str) else [*words]


# --- Texts that cannot be parsed -------------------------------------------------------

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TAG = re.compile(r"<[^<>]{0,200}>")
_PLACE = re.compile(r"line (\d+)(?:,? column (\d+))?")
_LONGEST = 60  # characters of a value in a message
_AROUND = 40  # characters of a text around the place of an error


def beginning(document: bytes, error: object = "") -> tuple[str, str]:
    """Return what is wrong with a text that a parser refuses, and the cure."""
    if document.startswith(b"\x1f\x8b"):
        return "it is gzip without a Content-Encoding", "serve it unpacked"
    if document.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in document[:8]:
        return "it is UTF-16", "save the file in UTF-8"
    start = document[:4000].lstrip(_BYTE_ORDER_MARK)
    before, xml, _ = start.partition(b"<?xml")
    is_cut = not error or re.search("no element|unclosed", str(error))
    if is_cut and b"<clientConfig" in document and b"</clientConfig>" not in document:
        return "it breaks off before </clientConfig>", "publish the whole document"
    has_start = start.lstrip().startswith((b"<clientConfig", b"{", b"["))
    if has_start or (xml and not before):
        try:
            return _text_at(document.decode(), str(error))
        except UnicodeDecodeError:
            return "it is not in UTF-8", "save the file in UTF-8"
    text = (before if xml else start).decode("utf-8", "replace")
    words = " ".join(_TAG.sub(" ", text).split()) or " ".join(text.split())
    message = f"it begins with “{words[:80]}”"
    if xml:
        message = message if before.strip() else "it begins with white space"
        return message, _cure("not at start", "", words)
    is_text = words and "\N{REPLACEMENT CHARACTER}" not in text
    return (message, _cure("begins with", "", words)) if is_text else ("", "")


def _text_at(text: str, error: str) -> tuple[str, str]:
    """Return the text at the place that a parser's error names, and the cure."""
    place = _PLACE.search(error)
    if place is None:
        return "", _cure(error, "", "")
    number, column = map(int, place.groups("0"))
    line = text.split("\n")[number - 1] if number <= text.count("\n") + 1 else ""
    column -= error.startswith("it is no JSON")  # which counts from 1
    before, after = line[:column][-_AROUND:], line[column:][:_AROUND]
    if not before.strip():  # a comma may end the line before
        before = " ".join(text.split("\n")[:number][-2:-1])[-_AROUND:]
    words = " ".join(f"{before[-12:]}{after[:20]}".split())
    return f"there stands “{words}”" if words else "", _cure(error, before, after)


def _cure(error: str, before: str, after: str) -> str:
    """Return the cure for an error, by the text before and after its place, or ""."""
    rows: list[dict[str, str]] = table_beside(__file__, "broken.toml")["row"]
    for row in rows:
        match = re.search(row.get("near", ""), f"{before}¦{after}")
        if row["error"] in error and match:
            groups = match.groupdict()
            character = html5.get(f"{groups.get('name')};", "")
            if character or "{number}" not in row["cure"]:
                return row["cure"].format(**groups, number=ord((character or " ")[0]))
    return ""
