"""config-v1.1.xml, written and read: Thunderbird, K-9, Evolution, Kontact, Delta Chat.

The format is Mozilla's ConfigFileFormat 1.1 with what draft-ietf-mailmaint-autoconfig
(1.2) adds: where the two name a thing differently, both names are written, since
readers ignore what they do not know. One table of fields says how each TOML key looks
in XML; `write` and `read` both follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args
from xml.etree import ElementTree as ET

from msgspec import Struct

from ..checks import domain_pattern, identifier
from ..model import (
    HTTP_METHODS,
    WITHOUT_LOGIN,
    AuthenticationMethod,
    IncomingType,
    Method,
    OutgoingType,
    Provider,
    Server,
)

CONTENT_TYPE = "text/xml; charset=utf-8"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ANY_DOMAIN = "%EMAILDOMAIN%"  # Thunderbird takes the placeholder for a domain
ANY_DOMAIN = _ANY_DOMAIN.encode()


class NotAutoconfigError(ValueError):
    """The text is no config-v1.1.xml."""


class Text(Struct, frozen=True):
    """A value in an element, or in an attribute of it."""

    key: str
    tag: str = ""  # "" is the element that the table stands for
    attribute: str = ""
    kind: type = str
    also: str = ""  # the element's name in the format's other version


class Texts(Struct, frozen=True):
    """A text in several languages: an element each, with `lang`."""

    key: str
    tag: str


class Methods(Struct, frozen=True):
    """Ways to log in, the best first."""

    key: str = "authentication"
    tag: str = "authentication"


class Table(Struct, frozen=True):
    """A table of the TOML: an element with fields of its own."""

    key: str
    tag: str
    fields: tuple[Field, ...]
    many: bool = False
    also: str = ""


Field = Text | Texts | Methods | Table

_SERVER: tuple[Field, ...] = (
    Text("type", attribute="type"),
    Text("hostname", "hostname"),
    Text("port", "port", kind=int),
    Text("socket_type", "socketType"),
    Text("url", "url"),
    Text("username", "username"),
    Methods(),
)
# The 1.1 form says serverURL and addressBook, the 1.2 form url and addressbook.
_HTTP_SERVICE = tuple(
    Text("url", "url", also="serverURL") if field == Text("url", "url") else field
    for field in _SERVER
)
_PREFERRED = Text("use_global_preferred_server", "useGlobalPreferredServer", kind=bool)
_POP3 = (
    Text("leave_messages_on_server", "leaveMessagesOnServer", kind=bool),
    Text("download_on_biff", "downloadOnBiff", kind=bool),
    Text("days_to_leave_messages_on_server", "daysToLeaveMessagesOnServer", kind=int),
    Text("check_interval", "checkInterval", "minutes", int),
)
_INCOMING = (
    *_SERVER,
    Text("owa_url", "owaURL"),
    Text("ews_url", "ewsURL"),
    Text("eas_url", "easURL"),
    _PREFERRED,
    Table("pop3", "pop3", _POP3),
)
_OUTGOING = (
    *_SERVER,
    Text("add_this_server", "addThisServer", kind=bool),
    _PREFERRED,
    Text("restriction", "restriction"),
)
_FORM_FIELD = (Text("id", attribute="id"), Text("name", attribute="name"))
_LOGIN_PAGE_INFO = (
    Text("url", attribute="url"),
    Text("username", "username"),
    Table("username_field", "usernameField", _FORM_FIELD),
    Table("password_field", "passwordField", _FORM_FIELD),
    Table("login_button", "loginButton", _FORM_FIELD),
)
_EXPLANATION = (Text("url", attribute="url"), Texts("descr", "descr"))

# What stands in <emailProvider>, beside its domains, and what in <clientConfig>.
_EMAIL_PROVIDER: tuple[Field, ...] = (
    Text("display_name", "displayName"),
    Text("display_short_name", "displayShortName"),
    Table("incoming", "incomingServer", _INCOMING, many=True),
    Table("outgoing", "outgoingServer", _OUTGOING, many=True),
    Table("documentation", "documentation", _EXPLANATION, many=True),
    Table(
        "enable",
        "enable",
        (Text("visit_url", attribute="visiturl"), Texts("instruction", "instruction")),
    ),
    Table("instruction", "instruction", _EXPLANATION, many=True),
)
_OAUTH2 = (
    Text("issuer", "issuer"),
    Text("scope", "scope"),
    Text("auth_url", "authURL"),
    Text("token_url", "tokenURL"),
    Text("client_id", "clientID"),
    Text("client_secret", "clientSecret"),
)
_CLIENT_CONFIG: tuple[Field, ...] = (
    Table("address_book", "addressbook", _HTTP_SERVICE, many=True, also="addressBook"),
    Table("calendar", "calendar", _HTTP_SERVICE, many=True),
    Table("file_share", "fileShare", _HTTP_SERVICE, many=True),
    Table("chat", "chatServer", _SERVER, many=True),
    Table("video_conference", "videoConference", _SERVER, many=True),
    Table("setup", "setupServer", _SERVER, many=True),
    Table(
        "webmail",
        "webMail",
        (
            Text("login_page", "loginPage", "url"),
            Table("login_page_info", "loginPageInfo", _LOGIN_PAGE_INFO),
        ),
    ),
    Table("oauth2", "oAuth2", _OAUTH2),
)
_CONFIG_UPDATE = Text("config_update_url", "clientConfigUpdate", "url")

# The words of older files, and how 1.1 spells what 1.2 names by system.
_OLD_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}


_METHODS = get_args(get_args(Method)[0])
_TYPES = {
    "incomingServer": get_args(IncomingType),
    "outgoingServer": get_args(OutgoingType),
}
_WITHOUT_LOGIN = list(WITHOUT_LOGIN)
_NEEDED_ATTRIBUTES = {"documentation": "url", "enable": "visiturl"}
# What a reader may find missing, and what our defaults make of it.
_SERVED_FOR = {
    "port": "the standard one",
    "socketType": "SSL",
    "username": "%EMAILADDRESS%",
    "authentication": "password-cleartext",
}


# --- Writing -------------------------------------------------------------------------


def write(provider: Provider, domain: str | None = None, exact: bool = True) -> bytes:
    """The document that a client gets for `domain` (an A-label), or for no domain.

    `exact` says whether the provider claims the domain by name. `%EMAILDOMAIN%` is
    written out where the domain is known (Evolution makes it empty); `%EMAILADDRESS%`
    and `%EMAILLOCALPART%` stay for the client.
    """
    document = template(provider, must_list(provider, domain, exact))
    return document.replace(ANY_DOMAIN, domain.encode()) if domain else document


def must_list(provider: Provider, domain: str | None, exact: bool) -> bool:
    """Whether the domain asked for must be added to those that are always listed."""
    if not domain:
        return False
    return not exact or not (provider.list_domains or domain == provider.identity)


def template(provider: Provider, list_asked: bool) -> bytes:
    """The document with `%EMAILDOMAIN%` wherever the domain asked for belongs.

    `list_asked` adds it to the `<domain>` elements: Mustang wants the domain of the
    address literally among them.
    """
    root = ET.Element("clientConfig", version="1.1")
    identity = provider.identity or _ANY_DOMAIN
    email_provider = ET.SubElement(root, "emailProvider", id=identity)
    for name in _listed(provider, list_asked):
        ET.SubElement(email_provider, "domain").text = name
    for name in provider.mx_domains:
        ET.SubElement(email_provider, "domain", purpose="mx").text = name
    _write(_EMAIL_PROVIDER, provider, email_provider)
    _write(_CLIENT_CONFIG, provider, root)
    if provider.oauth2:
        _write((_CONFIG_UPDATE,), provider.oauth2, root)
    ET.indent(root)
    return _DECLARATION + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _listed(provider: Provider, list_asked: bool) -> Iterable[str]:
    exact = provider.exact_domains
    if not provider.list_domains:
        exact = (name for name in exact if name == provider.identity)
    listed = dict.fromkeys(exact)
    if list_asked or not listed:
        listed[_ANY_DOMAIN] = None
    return listed


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
                _write_methods(field, value, element, both=http)
            case Table():
                for item in value if field.many else [value]:
                    for tag in filter(None, (field.tag, field.also)):
                        _write_table(field, tag, item, element)


def _write_table(table: Table, tag: str, value: object, parent: ET.Element) -> None:
    element = ET.Element(tag)
    _write(table.fields, value, element)
    empty = not len(element) and not element.attrib and not element.text
    if not empty or table.key == "pop3":
        parent.append(element)


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
        # Without a page the ISP database has the words in the element itself.
        ((language, text),) = texts.items()
        element.text = text
        element.attrib.update({"lang": language} if language else {})
        return
    for language, text in texts.items():
        attributes = {"lang": language} if language else {}
        ET.SubElement(element, field.tag, attributes).text = text


def _write_methods(
    field: Methods, methods: Iterable[Method], element: ET.Element, *, both: bool
) -> None:
    for method in methods:
        if isinstance(method, AuthenticationMethod):
            child = ET.SubElement(element, field.tag, system=method.system)
            child.text = method.name
            continue
        ET.SubElement(element, field.tag).text = method
        if both and method in HTTP_METHODS:
            child = ET.SubElement(element, field.tag, system="http")
            child.text = HTTP_METHODS[method]


# --- Reading -------------------------------------------------------------------------


class Reader:
    """Reads one document into a provider as the TOML would spell it.

    `lost` names what could not be carried over, a sentence each.
    """

    def __init__(self) -> None:
        self.lost: list[str] = []

    def read(self, data: bytes) -> dict[str, Any]:
        """The raw provider table; raises NotAutoconfigError."""
        root = _parse(data)
        if str(root.tag).startswith("{"):
            raise NotAutoconfigError("its elements have a namespace: remove the xmlns")
        providers = root.findall("emailProvider")
        if root.tag != "clientConfig" or not providers:
            raise NotAutoconfigError(
                "no <clientConfig> with an <emailProvider> in it: "
                f"the root is <{_name(root)}>"
            )
        email_provider = providers[0]
        for extra in providers[1:]:
            root.remove(extra)
            self._lose(extra, "only the first one counts")
        self._put_in_place(root, email_provider)
        raw = self._domains(email_provider)
        raw |= self._fields(_EMAIL_PROVIDER, email_provider, {"domain"})
        known = {"emailProvider", _CONFIG_UPDATE.tag}
        raw |= self._fields(_CLIENT_CONFIG, root, known)
        update = self._fields((_CONFIG_UPDATE,), root, None)
        if update:
            raw.setdefault("oauth2", {}).update(update)
        return raw

    def _lose(
        self, element: ET.Element, why: str = "the format has no such element"
    ) -> None:
        self.lost.append(f"<{_name(element)}> is left out: {why}")

    def _put_in_place(self, root: ET.Element, provider: ET.Element) -> None:
        """Some files have a thing one level off; what it says is plain all the same."""
        inner = {field.tag for field in _EMAIL_PROVIDER if isinstance(field, Table)}
        outer = {field.tag for field in _CLIENT_CONFIG if isinstance(field, Table)}
        outer |= {field.also for field in _CLIENT_CONFIG if isinstance(field, Table)}
        for source, target, tags in ((root, provider, inner), (provider, root, outer)):
            for child in [child for child in source if child.tag in tags]:
                source.remove(child)
                target.append(child)

    def _domains(self, provider: ET.Element) -> dict[str, Any]:
        found: dict[str, dict[str, None]] = {"domains": {}, "mx_domains": {}}
        for element in provider.findall("domain"):
            key = "mx_domains" if element.get("purpose") == "mx" else "domains"
            name = self._domain(_text(element))
            if name:
                found[key][name] = None
        raw: dict[str, Any] = {key: list(it) for key, it in found.items() if it}
        identity = provider.get("id", "").strip()
        if identity and identity not in (*raw.get("domains", [])[:1], _ANY_DOMAIN):
            try:
                raw["id"] = identifier(identity)
            except ValueError as error:
                self.lost.append(f"the id is left out: {error.args[0]}")
        return raw

    def _domain(self, name: str) -> str | None:
        try:
            return domain_pattern("*" if name == _ANY_DOMAIN else name)
        except ValueError as error:
            self.lost.append(f"a <domain> is left out: {error.args[0]}")
            return None

    def _fields(
        self, fields: Iterable[Field], element: ET.Element, known: set[str] | None
    ) -> dict[str, Any]:
        """The fields' values; children that no field and not `known` names are lost."""
        raw: dict[str, Any] = {}
        fields = tuple(fields)
        for field in fields:
            value = self._value(field, element)
            if value is not None:
                raw[field.key] = value
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
        text = found[0].get(field.attribute, "") if field.attribute else ""
        text = text.strip() if field.attribute else _text(found[0])
        if not text:
            return None
        return self._converted(field, text)

    def _converted(self, field: Text, text: str) -> Any:
        if field.kind is bool and text in ("true", "false"):
            return text == "true"
        if field.kind is int and text.isdecimal() and text.isascii():
            return int(text[:20])
        return text  # a wrong one is refused, with its place, when the model is built

    def _texts(self, field: Texts, element: ET.Element) -> dict[str, str] | None:
        found = element.findall(field.tag)
        own = " ".join((element.text or "").split())
        if own and element.tag == "instruction":
            found = [element]
        texts: dict[str, str] = {}
        for child in found:
            text = " ".join("".join(child.itertext()).split())
            language = child.get("lang", "").strip().replace("_", "-")
            if text and texts.setdefault(language, text) != text:
                self._lose(child, "its language was there before")
        return texts or None

    def _methods(self, elements: list[ET.Element]) -> list[Any] | None:
        methods: list[Any] = []
        for element in elements:
            name, system = _text(element), element.get("system", "").strip()
            method: Any = _OLD_METHODS.get(name, name)
            if system:
                method = {"system": system, "name": name}
                words = {value: word for word, value in HTTP_METHODS.items()}
                method = words.get(name, method) if system == "http" else method
            if not system and name and method not in _METHODS:
                self._lose(element, f"no client knows the method {name[:40]}")
            elif name and method not in methods:
                methods.append(method)
        return methods or None

    def _tables(self, field: Table, element: ET.Element) -> Any:
        tables = [
            self._table(field, child)
            for child in element.findall(field.tag)
            if self._is_known(child)
        ]
        for child in element.findall(field.also or "-"):
            table = self._table(field, child)
            if table not in tables:  # else it is the same in the other version's words
                tables.append(table)
        if field.many:
            return tables or None
        for extra in element.findall(field.tag)[1:]:
            self._lose(extra, "the one before it counts")
        return tables[0] if tables else None

    def _is_known(self, element: ET.Element) -> bool:
        """Whether the model has a place for it; tells what it lacks."""
        needed = _NEEDED_ATTRIBUTES.get(str(element.tag))
        if needed and not element.get(needed, "").strip():
            self._lose(element, f"it has no {needed}")
            return False
        type_ = element.get("type", "").strip()
        name = f'<{_name(element)} type="{type_[:60]}">'
        known = _TYPES.get(str(element.tag))
        if known and type_ and type_ not in known:
            self.lost.append(f"{name} is left out: its type is not known")
            return False
        if known and element.find("hostname") is not None:
            methods = self._methods(element.findall("authentication")) or [""]
            for tag, served in _SERVED_FOR.items():
                needless = tag == "username" and all(
                    method in _WITHOUT_LOGIN for method in methods
                )
                if element.find(tag) is None and not needless:
                    self.lost.append(f"{name} has no <{tag}>: {served} is served")
        return True

    def _table(self, field: Table, element: ET.Element) -> dict[str, Any]:
        # A restriction's own child says the same as its text does elsewhere.
        for child in element.findall("restriction/clientIPAddress/.."):
            child.clear()
            child.text = "client-IP-address"
        for child in element.findall("pop3"):
            if element.get("type") != "pop3":
                self._lose(child, "its server is no pop3 server")
                element.remove(child)
        own = {"descr"} if field.tag == "instruction" else set()
        return self._fields(field.fields, element, own)


def _parse(data: bytes) -> ET.Element:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: ET.Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise NotAutoconfigError("it has a DTD or entities, which are refused") from (
            error
        )
    except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
        raise NotAutoconfigError(f"not XML: {error}") from error
    return root


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2][:60]


def _text(element: ET.Element) -> str:
    return "".join(element.itertext()).strip()
