"""config-v1.1.xml: Thunderbird, K-9, Evolution, Kontact, Delta Chat and many more.

The format is Mozilla's ConfigFileFormat 1.1 with the additions of version 1.2
(draft-ietf-mailmaint-autoconfig). Where their names differ, both are written, since
readers ignore unknown names. One table of fields maps the TOML keys to XML, for `write`
here and for the reader in :mod:`thunderbird_reader`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    also: str = ""  # the element's name in the other version of the format
    max_length: int = 0  # the number of characters that are written; 0: all


class Texts(Struct, frozen=True):
    """A text in several languages, each in an element with `lang`."""

    key: str
    tag: str


class Methods(Struct, frozen=True):
    """Authentication methods, the best first."""

    key: str = "authentication"
    tag: str = "authentication"


class Table(Struct, frozen=True):
    """A table of the TOML: an element with its own fields."""

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
# Version 1.1 has serverURL and addressBook, version 1.2 url and addressbook.
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
_WEBMAIL = (
    Text("login_page", "loginPage", "url"),
    Table("login_page_info", "loginPageInfo", _LOGIN_PAGE_INFO),
)
_ENABLE = (Text("visit_url", attribute="visiturl"), Texts("instruction", "instruction"))
_EXPLANATION = (Text("url", attribute="url"), Texts("descr", "descr"))

# The fields of <emailProvider>, except its domains, and of <clientConfig>.
EMAIL_PROVIDER: tuple[Field, ...] = (
    Text("display_name", "displayName", max_length=LONGEST_NAME),
    Text("display_short_name", "displayShortName", max_length=LONGEST_SHORT_NAME),
    Table("incoming", "incomingServer", _INCOMING, many=True),
    Table("outgoing", "outgoingServer", _OUTGOING, many=True),
    Table("documentation", "documentation", _EXPLANATION, many=True),
    Table("enable", "enable", _ENABLE),
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
CLIENT_CONFIG: tuple[Field, ...] = (
    Table("address_book", "addressbook", _HTTP_SERVICE, many=True, also="addressBook"),
    Table("calendar", "calendar", _HTTP_SERVICE, many=True),
    Table("file_share", "fileShare", _HTTP_SERVICE, many=True),
    Table("chat", "chatServer", _SERVER, many=True),
    Table("video_conference", "videoConference", _SERVER, many=True),
    Table("setup", "setupServer", _SERVER, many=True),
    Table("webmail", "webMail", _WEBMAIL),
    Table("oauth2", "oAuth2", _OAUTH2),
)
CONFIG_UPDATE = Text("config_update_url", "clientConfigUpdate", "url")

# --- Writing -------------------------------------------------------------------------


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes:
    """Return the document for a recipient.

    `%EMAILDOMAIN%` is replaced by the domain if it is known (Evolution would leave it
    empty). The client fills in `%EMAILADDRESS%` and `%EMAILLOCALPART%`, so that the
    document is the same for all addresses of a domain.
    """
    root = ET.Element("clientConfig", version="1.1")
    identity = recipient.name_of(provider) or DOMAIN_PLACEHOLDER
    email_provider = ET.SubElement(root, "emailProvider", id=identity)
    domains = _listed_domains(provider, recipient)
    for name in domains:
        ET.SubElement(email_provider, "domain").text = name
    for name in provider.mx_domains:
        ET.SubElement(email_provider, "domain", purpose="mx").text = name
        # Mustang cannot read the attribute.
        if name not in domains:
            ET.SubElement(email_provider, "domain").text = name

    if provider.display_name is None:  # Thunderbird would save the word "undefined"
        name = recipient.domain or identity
        ET.SubElement(email_provider, "displayName").text = name
    incoming = tuple(map(_with_endpoint, provider.incoming))
    _write(EMAIL_PROVIDER, structs.replace(provider, incoming=incoming), email_provider)
    _write(CLIENT_CONFIG, provider, root)
    if provider.oauth2:
        _write((CONFIG_UPDATE,), provider.oauth2, root)

    document = xml.to_bytes(root)
    if recipient.domain:
        placeholder = DOMAIN_PLACEHOLDER.encode()
        document = document.replace(placeholder, recipient.domain.encode())
    return document


def template_recipient(provider: Provider, recipient: Recipient) -> Recipient:
    """Return the recipient of a document that serves many domains.

    `%EMAILDOMAIN%` in it is then replaced with the requested domain. There is a document
    with the domain in the list, one without it, and one for each domain of MX hosts, which
    may be the id.
    """
    if not recipient.domain:
        return Recipient(mx_domain=recipient.mx_domain)
    if not _is_listed(provider, recipient):
        return Recipient(DOMAIN_PLACEHOLDER, exact=False)
    is_named = provider.display_name or recipient.domain == provider.identity
    return ANYBODY if is_named else Recipient(DOMAIN_PLACEHOLDER)


def _is_listed(provider: Provider, recipient: Recipient) -> bool:
    is_listed = provider.list_domains or recipient.domain == provider.id
    return recipient.exact and is_listed


def _listed_domains(provider: Provider, recipient: Recipient) -> Collection[str]:
    """Return the domains to list. Mustang requires the requested one literally.

    If there are none, it is the placeholder, which Thunderbird accepts for any domain.
    """
    names = provider.exact_domains
    if not provider.list_domains:
        identity = recipient.name_of(provider)
        names = (name for name in names if name == identity)
    domains = dict.fromkeys(names)
    if not domains or (recipient.domain and not _is_listed(provider, recipient)):
        requested = recipient.domain or recipient.mx_domain
        domains[requested or DOMAIN_PLACEHOLDER] = None
    return domains


_WITH_ENDPOINT = ("ews", "owa", "graph", "exchange")


def _with_endpoint(server: Incoming) -> Incoming:
    """Add the host and port of a server's URL, which Thunderbird requires."""
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
    text = shortened(text, field.max_length) if field.max_length else text
    for tag in (field.tag, field.also) if field.also else (field.tag,):
        child = ET.SubElement(element, tag) if tag else element
        if field.attribute:
            child.set(field.attribute, text)
        else:
            child.text = text


def _write_texts(field: Texts, texts: dict[str, str], element: ET.Element) -> None:
    # As in the ISP database: the only text of an instruction without a page.
    has_text = element.tag == "instruction" and not element.attrib and len(texts) == 1
    for language, text in texts.items():
        child = element if has_text else ET.SubElement(element, field.tag)
        child.text = text
        if language:
            child.set("lang", language)


def _write_methods(
    field: Methods, methods: Iterable[Method], element: ET.Element, *, http: bool
) -> None:
    for method in methods:
        words: dict[str | AuthenticationMethod, None] = {method: None}
        scheme = "http-basic" if method == "password-cleartext" else str(method)
        if http and scheme in HTTP_SCHEMES:
            # Those of versions 1.1 and 1.2, and the only one that Mustang accepts there.
            name = AuthenticationMethod(system="http", name=HTTP_SCHEMES[scheme])
            words = dict.fromkeys((scheme, name, method))
        for word in words:
            child = ET.SubElement(element, field.tag)
            if isinstance(word, AuthenticationMethod):
                child.set("system", word.system)
                child.text = word.name
            else:
                child.text = word
