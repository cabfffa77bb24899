"""config-v1.1.xml: Thunderbird, K-9, Evolution, Kontact, Delta Chat and many more.

The format is Mozilla's ConfigFileFormat 1.1 with what draft-ietf-mailmaint-autoconfig
(1.2) adds: where the two name a thing differently, both names are written, since
readers ignore what they do not know. thunderbird.toml says how each TOML key looks in
XML; `write` here and the reader in :mod:`thunderbird_reader` both follow it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from msgspec import Struct, structs

from ..address import DOMAIN_PLACEHOLDER
from ..config.ports import endpoint_of
from ..config.tables import (
    HTTP_SCHEMES,
    URL_KEYS,
    AuthenticationMethod,
    Incoming,
    Method,
    Provider,
    Server,
)
from . import ANYBODY, LONGEST_NAME, LONGEST_SHORT_NAME, Recipient, shortened, xml

CONTENT_TYPE = "text/xml; charset=utf-8"


class Text(Struct, frozen=True):
    """A value in an element or in one of its attributes."""

    key: str
    tag: str = ""  # "": the element of the table itself
    attribute: str = ""
    kind: type = str
    also: str = ""  # the element's name in the format's other version


class Texts(Struct, frozen=True):
    """A text in several languages, each in an element with `lang`."""

    key: str
    tag: str


class Methods(Struct, frozen=True):
    """Authentication methods, the best first."""

    key: str
    tag: str


class Table(Struct, frozen=True):
    """A table of the TOML: an element with its own fields."""

    key: str
    tag: str
    fields: tuple[Field, ...]
    many: bool = False
    also: str = ""


Field = Text | Texts | Methods | Table

_LISTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _fields(*lists: str) -> tuple[Field, ...]:
    """Return the fields of these lists of thunderbird.toml."""
    rows: dict[str, Any] = {}
    for name in lists:
        rows |= _LISTS[name]
    return tuple(_field(key, row) for key, row in rows.items())


def _field(key: str, row: Any) -> Field:
    match row:
        case str(tag):
            return Text(key, tag)
        case {"fields": lists}:
            return Table(key, **(row | {"fields": _fields(*lists)}))
        case {"texts": tag}:
            return Texts(key, tag)
        case {"methods": tag}:
            return Methods(key, tag)
    kinds = {"int": int, "bool": bool}
    return Text(key, **(row | {"kind": kinds.get(row.get("kind"), str)}))


EMAIL_PROVIDER = _fields("email_provider")
CLIENT_CONFIG = _fields("client_config")
CONFIG_UPDATE = _fields("config_update")

# --- Writing -------------------------------------------------------------------------


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes:
    """Return the document for a recipient.

    `%EMAILDOMAIN%` is written out where the domain is known (Evolution makes it empty);
    `%EMAILADDRESS%` and `%EMAILLOCALPART%` stay for the client, so that only the domain
    of the recipient counts.
    """
    root = ET.Element("clientConfig", version="1.1")
    identity = recipient.name_of(provider) or DOMAIN_PLACEHOLDER
    email_provider = ET.SubElement(root, "emailProvider", id=identity)
    listed = set()
    for name in _listed(provider, recipient):
        listed.add(name)
        ET.SubElement(email_provider, "domain").text = name
    for name in provider.mx_domains:
        ET.SubElement(email_provider, "domain", purpose="mx").text = name
        # Mustang cannot read the attribute.
        if name not in listed:
            ET.SubElement(email_provider, "domain").text = name

    if provider.display_name is None:  # Thunderbird would save the word "undefined"
        name = recipient.domain or identity
        ET.SubElement(email_provider, "displayName").text = name
    fitting = structs.replace(
        provider,
        incoming=tuple(map(_with_endpoint, provider.incoming)),
        display_name=shortened(provider.display_name, LONGEST_NAME),
        display_short_name=shortened(provider.display_short_name, LONGEST_SHORT_NAME),
    )
    _write(EMAIL_PROVIDER, fitting, email_provider)
    _write(CLIENT_CONFIG, provider, root)
    if provider.oauth2:
        _write(CONFIG_UPDATE, provider.oauth2, root)

    document = xml.to_bytes(root)
    if recipient.domain:
        placeholder = DOMAIN_PLACEHOLDER.encode()
        document = document.replace(placeholder, recipient.domain.encode())
    return document


# A domain that the document does not list otherwise, and one that it does.
_ANY_DOMAIN = Recipient(DOMAIN_PLACEHOLDER, exact=False)
_EVERY_DOMAIN = Recipient(DOMAIN_PLACEHOLDER)


def stand_in(provider: Provider, recipient: Recipient) -> Recipient:
    """Return the recipient of a text that serves many domains.

    `%EMAILDOMAIN%` in the text is replaced by the domain. There are texts with and without
    the domain in the list, and one for each domain of MX hosts, which may be the id.
    """
    if not recipient.domain:
        return Recipient(mx_domain=recipient.mx_domain)
    if not _is_listed(provider, recipient):
        return _ANY_DOMAIN
    is_named = provider.display_name or recipient.domain == provider.identity
    return ANYBODY if is_named else _EVERY_DOMAIN


def _is_listed(provider: Provider, recipient: Recipient) -> bool:
    is_listed = provider.list_domains or recipient.domain == provider.id
    return recipient.exact and is_listed


def _listed(provider: Provider, recipient: Recipient) -> Iterable[str]:
    """Return the domains to list. Mustang requires the requested one literally.

    Without any domain it is the placeholder, which Thunderbird accepts for all domains.
    """
    names = provider.exact_domains
    if not provider.list_domains:
        name_here = recipient.name_of(provider)
        names = (name for name in names if name == name_here)
    listed = dict.fromkeys(names)
    if not listed or (recipient.domain and not _is_listed(provider, recipient)):
        asked = recipient.domain or recipient.mx_domain
        listed[asked or DOMAIN_PLACEHOLDER] = None
    return listed


_WITH_ENDPOINT = ("ews", "owa", "graph", "exchange")


def _with_endpoint(server: Incoming) -> Incoming:
    """Return a server with the host and port of its URL, which Thunderbird requires."""
    if server.hostname or server.type not in _WITH_ENDPOINT:
        return server
    urls = (getattr(server, key) for key in URL_KEYS)
    url = next(filter(None, urls), "")
    return structs.replace(server, **endpoint_of(url)) if url else server


def _write(fields: Iterable[Field], values: object, element: ET.Element) -> None:
    for field in fields:
        value = getattr(values, field.key)
        if value is None:
            continue
        match field:
            case Text():
                _write_text(field, value, element)
            case Texts():
                _write_texts(field, value, element)
            case Methods():
                http = isinstance(values, Server) and values.url is not None
                _write_methods(field, value, element, http=http)
            case Table():
                for item in value if field.many else [value]:
                    for tag in filter(None, (field.tag, field.also)):
                        child = ET.Element(tag)
                        _write(field.fields, item, child)
                        is_empty = not (len(child) or child.attrib or child.text)
                        if field.key == "pop3" or not is_empty:
                            element.append(child)


def _write_text(field: Text, value: object, element: ET.Element) -> None:
    text = str(value).lower() if field.kind is bool else str(value)
    for tag in (field.tag, field.also) if field.also else (field.tag,):
        child = ET.SubElement(element, tag) if tag else element
        if field.attribute:
            child.set(field.attribute, text)
        else:
            child.text = text


def _write_texts(field: Texts, texts: dict[str, str], element: ET.Element) -> None:
    if element.tag == "instruction" and not element.attrib and len(texts) == 1:
        # The ISP database has the text of an instruction without a page in the element.
        ((language, text),) = texts.items()
        element.text = text
        element.attrib.update({"lang": language} if language else {})
        return
    for language, text in texts.items():
        attributes = {"lang": language} if language else {}
        ET.SubElement(element, field.tag, attributes).text = text


# A password for servers that speak HTTP: as versions 1.1 and 1.2 write it, and as the
# only name that Mustang accepts there.
_BASIC: tuple[Method, ...] = (
    "http-basic",
    AuthenticationMethod(system="http", name="Basic"),
    "password-cleartext",
)


def _write_methods(
    field: Methods, methods: Iterable[Method], element: ET.Element, *, http: bool
) -> None:
    for method in methods:
        words: tuple[Method, ...] = (method,)
        if http and method == "password-cleartext":
            words = _BASIC
        elif http and method in HTTP_SCHEMES:
            name = HTTP_SCHEMES[str(method)]
            words = (method, AuthenticationMethod(system="http", name=name))
        for word in words:
            child = ET.SubElement(element, field.tag)
            if isinstance(word, AuthenticationMethod):
                child.set("system", word.system)
                child.text = word.name
            else:
                child.text = word
