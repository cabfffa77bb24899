"""Reads config-v1.1.xml files of any origin by the table of :mod:`thunderbird`."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from itertools import chain
from operator import itemgetter
from typing import Any, get_args
from xml.etree import ElementTree as ET

from ..address import DOMAIN_PLACEHOLDER
from ..config.ports import MAIL_TYPES, endpoint_of
from ..config.tables import HTTP_WORDS, URL_KEYS, IncomingType, Method, OutgoingType
from ..config.values import domain_pattern, identifier
from .thunderbird import (
    CLIENT_CONFIG,
    CONFIG_UPDATE,
    EMAIL_PROVIDER,
    Field,
    Methods,
    Table,
    Text,
    Texts,
)
from .xml import NotXmlError, line_numbers, local_name, parse, text_of

# The names in older files.
OLD_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}
_METHODS = get_args(get_args(Method)[0])
_TYPES = {
    "incomingServer": get_args(IncomingType),
    "outgoingServer": get_args(OutgoingType),
}


class NotAutoconfigError(ValueError):
    """The text is not a config-v1.1.xml file."""


class Reader:
    """Reads one document into a provider with the TOML's keys and values.

    `notes` has a line number and a sentence for everything that is left out.
    """

    def __init__(self) -> None:
        self.notes: list[tuple[int, str]] = []
        self._lines: dict[ET.Element, int] = {}
        # By the `id()` of a table: the table, its element, and the tags of its keys.
        self._elements: dict[int, tuple[Any, ET.Element, dict[str, str]]] = {}
        self._read: set[ET.Element] = set()  # the others are reported as left out

    @property
    def lost(self) -> list[str]:
        return [sentence for _, sentence in self.notes]

    def where(self, table: Any, key: Any) -> str:
        """Return the line and the element of a table's value, or "" if unknown.

        Without a key they are those of the table itself.
        """
        if id(table) not in self._elements:
            return ""
        _, element, tags = self._elements[id(table)]
        child = element.find(tags[key]) if tags.get(key) else None
        element = element if child is None else child
        return f" (line {self._lines[element]}, <{_short_name(element)}>)"

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the raw provider table; raises NotAutoconfigError."""
        root = client_config(data)
        self._lines = line_numbers(data, root)
        provider = next(root.iterfind("emailProvider"))
        self._read.add(provider)
        _put_in_place(root, provider)
        for server in provider.iterfind("incomingServer[@type='activeSync']"):
            server.set("type", "activesync")  # the spelling of the draft

        raw = self._domains(provider)
        raw |= self._fields(EMAIL_PROVIDER, provider)
        raw |= self._fields((*CLIENT_CONFIG, CONFIG_UPDATE), root)
        if update := raw.pop(CONFIG_UPDATE.key, None):
            raw.setdefault("oauth2", {})[CONFIG_UPDATE.key] = update
        name = raw.get("display_name")
        if name == DOMAIN_PLACEHOLDER or raw.get("domains") == [name]:
            del raw["display_name"]  # it is the default
        self.notes.sort(key=itemgetter(0))
        return raw

    def _note(self, element: ET.Element, sentence: str) -> None:
        self.notes.append((self._lines[element], sentence))

    def _leave_out(self, element: ET.Element, reason: str) -> None:
        self._read.add(element)
        self._note(element, f"<{_short_name(element)}> is left out: {reason}")

    def _domains(self, provider: ET.Element) -> dict[str, Any]:
        names: dict[str, dict[str, None]] = {"domains": {}, "mx_domains": {}}
        repeated: dict[str, None] = {}  # plain domains that have purpose="mx" as well
        for element in provider.findall("domain"):
            self._read.add(element)
            text = text_of(element)
            try:
                name = domain_pattern("*" if text == DOMAIN_PLACEHOLDER else text)
            except ValueError as error:
                self._note(element, f"a <domain> is left out: {error.args[0]}")
                continue
            is_mx = element.get("purpose") == "mx"
            if not is_mx and name in names["mx_domains"]:
                repeated[name] = None  # written for Mustang
            else:
                names["mx_domains" if is_mx else "domains"][name] = None
        names["domains"] = names["domains"] or repeated

        raw: dict[str, Any] = {key: list(names[key]) for key in names if names[key]}
        identity = provider.get("id", "").strip()
        if identity not in ("", next(iter(names["domains"]), ""), DOMAIN_PLACEHOLDER):
            try:
                raw["id"] = identifier(identity)
            except ValueError as error:
                self._note(provider, f"the id is left out: {error.args[0]}")
        return raw

    def _fields(self, fields: tuple[Field, ...], element: ET.Element) -> dict[str, Any]:
        values = {field.key: self._value(field, element) for field in fields}
        raw = {key: value for key, value in values.items() if value is not None}
        tags = {field.key: field.tag for field in fields}
        self._elements[id(raw)] = raw, element, tags
        read_tags = {child.tag for child in element if child in self._read}
        for child in element:
            if child not in self._read:
                is_second = child.tag in read_tags
                unknown = "the format has no such element"
                self._leave_out(
                    child, "the one before it counts" if is_second else unknown
                )
        return raw

    def _value(self, field: Field, element: ET.Element) -> Any:
        match field:
            case Text():
                return self._text(field, element)
            case Texts():
                return self._texts(field, element)
            case Methods():
                return self._methods(element.findall(field.tag))
            case Table():
                return self._tables(field, element)

    def _text(self, field: Text, element: ET.Element) -> Any:
        elements = [element]
        if field.tag:  # by its names in both versions of the format
            children = map(element.find, (field.tag, field.also or "-"))
            elements = [child for child in children if child is not None]
        if not elements:
            return None
        self._read.update(elements)
        text = text_of(elements[0])
        if field.attribute:
            text = elements[0].get(field.attribute, "").strip()
        if field.kind is bool and text in ("true", "false"):
            return text == "true"
        if field.kind is int and text.isdecimal() and text.isascii():
            return int(text[:20])
        return text or None  # an invalid value is reported when the tables are built

    def _texts(self, field: Texts, element: ET.Element) -> dict[str, str] | None:
        children = element.findall(field.tag)
        if element.tag == "instruction" and (element.text or "").strip():
            self._read.update(children)  # the element itself has all the text
            children = [element]
        texts: dict[str, str] = {}
        for child in children:
            text = " ".join("".join(child.itertext()).split())
            language = child.get("lang", "").strip().replace("_", "-")
            if not text or texts.setdefault(language, text) == text:
                self._read.add(child)
        return texts or None

    def _methods(self, elements: list[ET.Element]) -> list[Any] | None:
        methods: dict[str, Any] = {}
        self._read.update(elements)
        for element in elements:
            name, system = text_of(element), element.get("system", "").strip()
            method: Any = OLD_METHODS.get(name, name)
            if system and name:
                method = {"system": system, "name": name}
                method = HTTP_WORDS.get(name, method) if system == "http" else method
            if isinstance(method, str) and method and method not in _METHODS:
                self._leave_out(element, f"no client knows the method {method[:40]}")
            elif method:
                methods.setdefault(repr(method), method)
        return list(methods.values()) or None

    def _tables(self, field: Table, element: ET.Element) -> Any:
        if field.key == "pop3" and element.get("type") != "pop3":
            return None
        children = element.findall(field.tag)[: None if field.many else 1]
        tables = [self._table(field, c) for c in children if self._is_known(c)]
        for child in element.findall(field.also or "-"):
            table = self._table(field, child)
            if table not in tables:  # most are the same table by its other name
                tables.append(table)
        if field.many:
            return tables or None
        return tables[0] if tables else None

    def _is_known(self, element: ET.Element) -> bool:
        """Return False for a server of an unknown type, and note that it is left out."""
        types, type_ = _TYPES.get(str(element.tag)), element.get("type", "").strip()
        if not types or not type_ or type_ in types:
            return True
        cure = f"; {type_cure(type_)}".removesuffix("; ")
        reason = f"the type {type_[:60]} is none of {', '.join(types)}{cure}"
        self._leave_out(element, reason)
        return False

    def _table(self, field: Table, element: ET.Element) -> dict[str, Any]:
        # The child of a restriction is equivalent to the text in other files.
        for child in element.findall("restriction/clientIPAddress/.."):
            child.clear()
            child.text = "client-IP-address"
        self._read.add(element)
        raw = self._fields(field.fields, element)
        urls = filter(None, map(raw.get, URL_KEYS))
        implied = endpoint_of(next(urls, "")) if field.key == "incoming" else {}
        if implied.items() <= raw.items():  # written for Thunderbird
            for key in implied:
                del raw[key]
        return raw


def _put_in_place(root: ET.Element, provider: ET.Element) -> None:
    """Move elements that some files have on the wrong level."""
    inner = {field.tag for field in EMAIL_PROVIDER if isinstance(field, Table)}
    outer = {field.tag for field in CLIENT_CONFIG if isinstance(field, Table)}
    outer |= {field.also for field in CLIENT_CONFIG if isinstance(field, Table)}
    for source, target, tags in ((root, provider, inner), (provider, root, outer)):
        for child in [child for child in source if child.tag in tags]:
            source.remove(child)
            target.append(child)


def _short_name(element: ET.Element) -> str:
    return local_name(element)[:60]


def type_cure(type_: str) -> str:
    """Return what to write for a type in capitals, or with an "s" for TLS; else ""."""
    word = type_.lower().removesuffix("s")
    if word not in MAIL_TYPES:
        return ""
    tag = "outgoingServer" if word == "smtp" else "incomingServer"
    tls = "" if word == type_.lower() else ", and SSL as its <socketType>"
    return f'write <{tag} type="{word}">{tls}'


def find_misplaced_servers(
    root: ET.Element, provider: ET.Element, tags: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield elements that were probably meant as servers of these tags, with the cures."""
    starts = tuple(f"write <{tag}" for tag in tags)
    for tag in tags:
        if provider.find(tag) is None and root.find(f".//{tag}") is not None:
            cure = (
                "put all servers directly into <emailProvider>, which ends after them"
            )
            yield f"<{tag}> in a wrong place", cure
        names = {str(child.tag)[:40] for child in provider} - {tag}
        for name in get_close_matches(tag, names, 1, 0.85):
            yield f"<{name}>", f"write <{tag}>"
    for element in chain.from_iterable(map(provider.iterfind, _TYPES)):
        type_, tag = element.get("type", ""), element.tag
        start_tag, cure = f'<{tag} type="{type_[:40]}">', type_cure(type_)
        if start_tag not in cure and cure.startswith(starts):
            yield start_tag, cure
        for name in element.attrib if not type_ and tag in tags else ():
            if get_close_matches("type", [name.lower()]):  # a misspelt attribute
                type_ = element.attrib[name][:40].lower()
                yield f"<{tag} {name[:40]}=…>", f'write <{tag} type="{type_}">'


def client_config(data: bytes) -> ET.Element:
    """Return the root of a config-v1.1.xml; raises NotAutoconfigError."""
    try:
        root = parse(data)
    except NotXmlError as error:
        raise NotAutoconfigError(str(error)) from error
    if str(root.tag).endswith("}clientConfig"):
        raise NotAutoconfigError("its elements have a namespace (xmlns)")
    if root.tag != "clientConfig" or root.find("emailProvider") is None:
        message = "no <clientConfig> with an <emailProvider> in it: the root is"
        raise NotAutoconfigError(f"{message} <{_short_name(root)}>")
    return root
