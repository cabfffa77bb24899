"""Reads config-v1.1.xml files of any origin by the table of :mod:`thunderbird`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args
from xml.etree import ElementTree as ET

from ..address import DOMAIN_PLACEHOLDER
from ..config.ports import endpoint_of
from ..config.tables import (
    HTTP_WORDS,
    URL_KEYS,
    WITHOUT_LOGIN,
    IncomingType,
    Method,
    OutgoingType,
)
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
_TYPE_HINTS = {
    "imaps": 'write type="imap", and SSL as its <socketType>',
    "pop3s": 'write type="pop3", and SSL as its <socketType>',
    "smtp": 'write <outgoingServer type="smtp">',
    "smtps": 'write <outgoingServer type="smtp">, and SSL as its <socketType>',
}
_WITHOUT_LOGIN = list(WITHOUT_LOGIN)
_NEEDED_ATTRIBUTES = {"documentation": "url", "enable": "visiturl"}
# Elements that may be missing, and the default that is served.
_SERVED_FOR = {
    "port": "the standard one",
    "socketType": "SSL",
    "username": "%EMAILADDRESS%",
    "authentication": "password-cleartext",
}
_MOST_ELEMENTS = 1000  # without the domains; real files have 60


class NotAutoconfigError(ValueError):
    """The text is not a config-v1.1.xml file."""


class Reader:
    """Reads one document into a provider with the TOML's keys and values.

    `notes` has the line and a sentence for each thing that is left out.
    """

    def __init__(self) -> None:
        self.notes: list[tuple[int, str]] = []
        self._lines: dict[ET.Element, int] = {}
        # By the identity of a table: the table, its element, its keys' elements.
        self._elements: dict[int, tuple[Any, ET.Element, dict[str, str]]] = {}

    @property
    def lost(self) -> list[str]:
        """The sentences of the notes."""
        return [sentence for _, sentence in self.notes]

    def where(self, table: Any, key: Any) -> str:
        """Return the line and the element of a table's value, or "" if unknown.

        Without a key they are those of the table itself.
        """
        if id(table) not in self._elements:
            return ""
        _, element, tags = self._elements[id(table)]
        child = element.find(tags[key]) if tags.get(key) else None
        found = element if child is None else child
        return f" (line {self._lines[found]}, <{_shown(found)}>)"

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the raw provider table; raises NotAutoconfigError."""
        root = _bounded(data)
        self._lines = line_numbers(data, root)
        email_provider, *others = root.findall("emailProvider")
        self._lose_attributes(root, {"version"})
        self._lose_attributes(email_provider, {"id"})
        for extra in others:
            root.remove(extra)
            self._lose(extra, "only the first one counts")
        self._put_in_place(root, email_provider)
        for server in email_provider.iterfind("incomingServer[@type='activeSync']"):
            server.set("type", "activesync")  # the spelling of the draft

        raw = self._domains(email_provider)
        raw |= self._fields(EMAIL_PROVIDER, email_provider, {"domain"})
        known = {"emailProvider", CONFIG_UPDATE.tag}
        raw |= self._fields(CLIENT_CONFIG, root, known)
        update = self._fields((CONFIG_UPDATE,), root, None)
        if update:
            raw.setdefault("oauth2", {}).update(update)
        name = raw.get("display_name")
        if name == DOMAIN_PLACEHOLDER or raw.get("domains") == [name]:
            del raw["display_name"]  # it is the default
        return raw

    def _lose(
        self, element: ET.Element, why: str = "the format has no such element"
    ) -> None:
        self._note(element, f"<{_shown(element)}> is left out: {why}")

    def _note(self, element: ET.Element, sentence: str) -> None:
        self.notes.append((self._lines[element], sentence))

    def _lose_attributes(self, element: ET.Element, known: Iterable[str]) -> None:
        for name in set(element.attrib) - set(known):
            self._note(
                element,
                f"the attribute {name[:60]} of <{_shown(element)}> is left out: "
                "the format has no such attribute there",
            )

    def _put_in_place(self, root: ET.Element, provider: ET.Element) -> None:
        """Move elements that some files have on the wrong level."""
        inner = {field.tag for field in EMAIL_PROVIDER if isinstance(field, Table)}
        outer = {field.tag for field in CLIENT_CONFIG if isinstance(field, Table)}
        outer |= {field.also for field in CLIENT_CONFIG if isinstance(field, Table)}
        for source, target, tags in ((root, provider, inner), (provider, root, outer)):
            for child in [child for child in source if child.tag in tags]:
                source.remove(child)
                target.append(child)

    def _domains(self, provider: ET.Element) -> dict[str, Any]:
        found: dict[str, dict[str, None]] = {"domains": {}, "mx_domains": {}}
        again: dict[str, None] = {}  # plain domains that have purpose="mx" as well
        for element in provider.findall("domain"):
            self._lose_attributes(element, {"purpose"})
            key = "mx_domains" if element.get("purpose") == "mx" else "domains"
            name = self._domain(element)
            if name and key == "domains" and name in found["mx_domains"]:
                again[name] = None  # written for Mustang
            elif name:
                found[key][name] = None
        found["domains"] = found["domains"] or again

        raw: dict[str, Any] = {key: list(it) for key, it in found.items() if it}
        identity = provider.get("id", "").strip()
        if identity and identity not in (
            *raw.get("domains", [])[:1],
            DOMAIN_PLACEHOLDER,
        ):
            try:
                raw["id"] = identifier(identity)
            except ValueError as error:
                self._note(provider, f"the id is left out: {error.args[0]}")
        return raw

    def _domain(self, element: ET.Element) -> str | None:
        name = text_of(element)
        try:
            return domain_pattern("*" if name == DOMAIN_PLACEHOLDER else name)
        except ValueError as error:
            self._note(element, f"a <domain> is left out: {error.args[0]}")
            return None

    def _fields(
        self, fields: Iterable[Field], element: ET.Element, known: set[str] | None
    ) -> dict[str, Any]:
        """Return the fields' values; note other children unless they are `known`."""
        raw: dict[str, Any] = {}
        fields = tuple(fields)
        for field in fields:
            value = self._value(field, element)
            if value is not None:
                raw[field.key] = value
        own_tags = {field.key: field.tag for field in fields}
        self._elements[id(raw)] = raw, element, own_tags
        if known is not None:
            tags = {field.tag for field in fields} | known
            tags |= {getattr(field, "also", "") for field in fields}
            for child in element:
                if child.tag not in tags:
                    self._lose(child)
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
        found = [element]
        if field.tag:
            found = element.findall(field.tag) or element.findall(field.also or "-")
        for extra in found[1:]:
            self._lose(extra, "the one before it counts")
        if not found:
            return None
        if field.tag:
            self._lose_attributes(found[0], {field.attribute})
        text = found[0].get(field.attribute, "") if field.attribute else ""
        text = text.strip() if field.attribute else text_of(found[0])
        if not text:
            return None
        return self._converted(field, text)

    def _converted(self, field: Text, text: str) -> Any:
        if field.kind is bool and text in ("true", "false"):
            return text == "true"
        if field.kind is int and text.isdecimal() and text.isascii():
            return int(text[:20])
        return text  # an invalid value is reported when the tables are built

    def _texts(self, field: Texts, element: ET.Element) -> dict[str, str] | None:
        found = element.findall(field.tag)
        own = " ".join((element.text or "").split())
        if own and element.tag == "instruction":
            found = [element]
        texts: dict[str, str] = {}
        for child in found:
            if child is not element:
                self._lose_attributes(child, {"lang"})
            text = " ".join("".join(child.itertext()).split())
            language = child.get("lang", "").strip().replace("_", "-")
            if text and texts.setdefault(language, text) != text:
                self._lose(child, "its language was there before")
        return texts or None

    def _methods(self, elements: list[ET.Element]) -> list[Any] | None:
        methods: dict[str, Any] = {}
        for element in elements:
            self._lose_attributes(element, {"system"})
            method = _method(element)
            if isinstance(method, str) and method and method not in _METHODS:
                self._lose(element, f"no client knows the method {method[:40]}")
            elif method:
                methods.setdefault(repr(method), method)
        return list(methods.values()) or None

    def _tables(self, field: Table, element: ET.Element) -> Any:
        tables = [
            self._table(field, child)
            for child in element.findall(field.tag)
            if self._is_known(child)
        ]
        for child in element.findall(field.also or "-"):
            table = self._table(field, child)
            if table not in tables:  # not just the other version's name for it
                tables.append(table)
        if field.many:
            return tables or None
        for extra in element.findall(field.tag)[1:]:
            self._lose(extra, "the one before it counts")
        return tables[0] if tables else None

    def _is_known(self, element: ET.Element) -> bool:
        """Whether the tables can hold the element; note what it lacks."""
        needed = _NEEDED_ATTRIBUTES.get(str(element.tag))
        if needed and not element.get(needed, "").strip():
            self._lose(element, f"it has no {needed}")
            return False

        type_ = element.get("type", "").strip()
        name = f'<{_shown(element)} type="{type_[:60]}">'
        known = _TYPES.get(str(element.tag))
        if known and type_ and type_ not in known:
            why = _TYPE_HINTS.get(type_, "its type is not known")
            self._note(element, f"{name} is left out: {why}")
            return False

        if known and element.find("hostname") is not None:
            methods = [_method(it) for it in element.iterfind("authentication")]
            no_login = bool(methods) and all(it in _WITHOUT_LOGIN for it in methods)
            for tag, served in _SERVED_FOR.items():
                needless = tag == "username" and no_login
                if element.find(tag) is None and not needless:
                    self._note(element, f"{name} has no <{tag}>: {served} is served")
        return True

    def _table(self, field: Table, element: ET.Element) -> dict[str, Any]:
        # The child of a restriction is equivalent to the text in other files.
        for child in element.findall("restriction/clientIPAddress/.."):
            child.clear()
            child.text = "client-IP-address"
        for child in element.findall("pop3"):
            if element.get("type") != "pop3":
                self._lose(child, "its server is no pop3 server")
                element.remove(child)

        texts = [it for it in field.fields if isinstance(it, Text) and not it.tag]
        attributes = {it.attribute for it in texts}
        children: set[str] = set()
        if field.tag == "instruction":  # the text may be in the element itself
            attributes |= {"lang"}
            children = {"descr"}
        self._lose_attributes(element, attributes)
        raw = self._fields(field.fields, element, children)
        urls = filter(None, map(raw.get, URL_KEYS))
        implied = endpoint_of(next(urls, "")) if field.key == "incoming" else {}
        if implied.items() <= raw.items():  # written for Thunderbird
            for key in implied:
                del raw[key]
        return raw


def _shown(element: ET.Element) -> str:
    """Return the element's name, cut to fit a sentence."""
    return local_name(element)[:60]


def _method(element: ET.Element) -> Any:
    """Return an authentication method as in the TOML, or ""."""
    name, system = text_of(element), element.get("system", "").strip()
    if not system or not name:
        return OLD_METHODS.get(name, name)
    method = {"system": system, "name": name}
    return HTTP_WORDS.get(name, method) if system == "http" else method


def client_config(data: bytes) -> ET.Element:
    """Return the root of a config-v1.1.xml; raises NotAutoconfigError."""
    try:
        root = parse(data)
    except NotXmlError as error:
        raise NotAutoconfigError(str(error)) from error
    if str(root.tag).startswith("{"):
        raise NotAutoconfigError("its elements have a namespace: remove the xmlns")
    if root.tag != "clientConfig" or root.find("emailProvider") is None:
        raise NotAutoconfigError(
            "no <clientConfig> with an <emailProvider> in it: "
            f"the root is <{_shown(root)}>"
        )
    return root


def _bounded(data: bytes) -> ET.Element:
    """Return the root of a document that is no larger than any real one.

    Raises NotAutoconfigError.
    """
    root = client_config(data)
    elements = sum(1 for it in root.iter() if it.tag != "domain")
    if elements > _MOST_ELEMENTS:
        message = f"it has {elements} elements, more than {_MOST_ELEMENTS}"
        raise NotAutoconfigError(message)
    return root
