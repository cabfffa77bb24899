"""Says what is wrong with a document, by shapes.toml and broken.toml."""

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

_MOST = 100  # parts of one kind, and unknown names in a part
_LIKENESS = 0.75  # of a name that is taken for a misspelt one
_WORDS = {
    "autodiscover.mail": outlook.TYPES.values(),
    "autodiscover.servers": (outlook.TYPES | outlook.DAV_TYPES).values(),
    "autodiscover.encryption": [*(it for _, it in outlook.ENCRYPTION.values()), "Auto"],
    "profile.payloads": [apple.MAIL, apple.EXCHANGE, *apple.DAV.values()],
    "profile.types": apple.MAIL_TYPES.values(),
    "profile.methods": dict.fromkeys(apple.METHODS.values()),
}
_FIRST = re.compile(r"<[A-Za-z][^<>]{0,200}|\{[^{}]{0,40}")


class Slip(NamedTuple):
    """Where a document differs from its format."""

    part: Any  # the element or dictionary
    key: str  # the element or key in it, as it should be
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
    """Return that a document has another format, and the cure, or two empty strings."""
    first = _FIRST.search(document[:4000].decode("utf-8", "replace"))
    for name, shape in shapes()["format"].items():
        if first and name != format_ and re.match(shape["begins"], first[0]):
            here = shapes()["format"][format_]["name"]
            return f"it is {shape['name']}, where {here} belongs", f"publish {here}"
    return "", ""


def slips(format_: str, root: Any) -> list[Slip]:
    """Return how a document, an element or a dictionary, differs from its format."""
    return list(_Part(shapes()["format"][format_], "", root).slips())


class _Part:
    def __init__(self, shape: dict[str, Any], at: str, node: Any) -> None:
        self.shape, self.at, self.node = shape, at, node
        self.said: dict[str, list[Any]] = {}
        is_xml = isinstance(node, Element)
        children = [(local_name(it), it) for it in node] if is_xml else []
        for name, value in node.items() if isinstance(node, dict) else children:
            listed = value if isinstance(value, list) else [value]
            self.said.setdefault(name, []).extend(listed[:_MOST])

    def slips(self) -> Iterator[Slip]:
        rows = [row for row in self.shape["part"] if row["at"] == self.at]
        known = {*self.shape["known"], *(key for row in rows for key in row["keys"])}
        strangers = [name for name in self.said if name not in known][:_MOST]
        for row in rows:
            if all(self._has(*it) for it in row.get("when", {}).items()):
                yield from self._of_row(row, strangers)
        below = [row["at"].removeprefix(f"{self.at}/") for row in self.shape["part"]]
        for name in dict.fromkeys(below):
            for node in self.said.get(name, ()):
                yield from _Part(self.shape, f"{self.at}/{name}", node).slips()

    def _value(self, key: str) -> Any:
        if isinstance(self.node, dict):
            return self.node.get(key, "")
        return (self.said[key][0].text or "").strip() if key in self.said else ""

    def _has(self, key: str, words: str | list[str]) -> bool:
        value, listed = self._value(key), _words(words)
        if isinstance(self.node, Element):  # no client minds the case of words there
            value, listed = value.lower(), [word.lower() for word in listed]
        return value in listed

    def _of_row(self, row: dict[str, Any], strangers: list[str]) -> Iterator[Slip]:
        form, says = self.shape["form"].format, row["says"]
        says = says.format(**{key: self._value(key) for key in row.get("when", ())})
        missing = {key.lower(): key for key in row["keys"] if self._value(key) == ""}
        misspelt = {
            missing[key]: name
            for name in strangers
            for key in get_close_matches(name[:60].lower(), missing, 1, _LIKENESS)
        }
        some = row.get("some", [])
        is_meant = "beside" not in row or any(map(self._value, row["beside"]))
        lacks = {*some} if is_meant and not any(map(self._value, some)) else set()
        for key, spec in row["keys"].items():
            is_fatal, cure = key in lacks or "required" in spec, f"add {form(key)}"
            message = f"has no {form(key)}" if "required" in spec else ""
            if key in misspelt:
                message = f"has {form(misspelt[key])}, where {form(key)} belongs"
                cure, lacks = f"write {form(key)}", set()
            elif self._value(key) != "" or ("empty" in spec and key in self.said):
                wrong, cure = self._wrong(key, spec)
                message = f"has {form(key)} {wrong}" if wrong else ""
                is_fatal = "lax" not in spec
            if message:
                said = f"{says} {message}", spec.get("cure", cure), is_fatal
                yield Slip(self.node, key, *said, spec.get("code", ""))
        if lacks:
            yield Slip(self.node, "", row["none"], row["cure"], is_fatal=True)

    def _wrong(self, key: str, spec: dict[str, Any]) -> tuple[str, str]:
        """Return a wrong value with what is wrong about it, and the cure."""
        value, listed = self._value(key), _words(spec.get("words", ()))
        said = f"a {type(value).__name__}"  # a list may be long, when written out
        if isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**64):
            said = json.dumps(value, ensure_ascii=False)
        if listed and not self._has(key, listed):
            near, least = [word.lower() for word in listed], spec.get("open", 1)
            like = get_close_matches(said[1:-1][:60].lower(), near, 1, least)
            if like or "open" not in spec:
                words = f"{', '.join(listed[:-1])} or {listed[-1]}".removeprefix(" or ")
                return f"{_cut(said)}, which is not {words}", f"write {words}"
        kind = shapes()["kind"][spec.get("kind", "any")]
        typed = said[1:-1] if isinstance(self.node, Element) else said
        is_right = re.fullmatch(kind["is"], typed)
        if is_right and (kind["no"] != "no host name" or is_host(said[1:-1])):
            return "", ""
        cure = kind["cure"] if said.isascii() else no_host(said[1:-1])
        return f"{_cut(said)}, which is {kind['no']}", cure


def _cut(said: str) -> str:
    """Return a value in JSON, which ends as it began where it is cut."""
    end = '"' if said[:1] == '"' else ""
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…{end}"


def _words(words: Any) -> list[str]:
    return [*_WORDS.get(words, ())] if isinstance(words, str) else [*words]


# --- Texts that cannot be parsed -------------------------------------------------------

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TAG = re.compile(r"<[^<>]{0,200}>")
_PLACE = re.compile(r"line (\d+)(?:,? column (\d+))?")
_LONGEST = 60  # characters of a value in a message
_AROUND = 40  # characters of a text around the place of an error


def beginning(document: bytes, error: object = "") -> tuple[str, str]:
    """Return what a text is that cannot be parsed, by the error, and the cure."""
    if document.startswith(b"\x1f\x8b"):
        return "it is gzip without a Content-Encoding", "serve it unpacked"
    if document.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in document[:8]:
        return "it is UTF-16", "save the file in UTF-8"
    start = document[:4000].lstrip(_BYTE_ORDER_MARK)
    before, xml, _ = start.partition(b"<?xml")
    is_short = not error or re.search("no element|unclosed", str(error))
    if is_short and b"<clientConfig" in document and b"</clientConfig>" not in document:
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
    number, column = map(int, place.groups("0"))
    line = text.split("\n")[number - 1] if number <= text.count("\n") + 1 else ""
    column -= error.startswith("it is no JSON")  # which counts from 1
    before, after = line[:column][-_AROUND:], line[column:][:_AROUND]
    if not before.strip():  # a comma may end the line before
        before = " ".join(text.split("\n")[:number][-2:-1])[-_AROUND:]
    there = " ".join(f"{before[-12:]}{after[:20]}".split())
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
