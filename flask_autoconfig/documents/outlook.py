"""Autodiscover for Outlook: POX (MS-OXDSCLI), and the JSON of version 2.

A POX error has status 200 (section 2.2.4.1.1.2), and never 401, which would make a client
send the password.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from xml.etree import ElementTree as ET

from ..config.tables import WITHOUT_LOGIN, Method, Provider, Server
from . import ANYBODY, Recipient, usable
from .xml import local_name, parse, to_bytes

CONTENT_TYPE = "text/xml; charset=utf-8"
JSON_CONTENT_TYPE = "application/json"
MAX_BYTES = 16 * 1024  # of a request; a real one has a few hundred

INVALID_REQUEST = 600
SCHEMA_NOT_SUPPORTED = 601
NOT_SERVED = 500
_MESSAGES = {
    INVALID_REQUEST: "Invalid Request",
    SCHEMA_NOT_SUPPORTED: "Provider is not available",
    NOT_SERVED: "The e-mail address cannot be found.",
}

NAMESPACE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
RESPONSE = (
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)
_REQUESTS = (
    "://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006",
    "://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006",
)
# The elements of a server, which :mod:`setups` reads too.
PROTOCOL, TYPE, SERVER, PORT = "Protocol", "Type", "Server", "Port"
LOGIN_NAME, SPA, SSL, ENCRYPTED_BY = "LoginName", "SPA", "SSL", "Encryption"
AUTH_REQUIRED = "AuthRequired"
DOMAIN_REQUIRED = "DomainRequired"
TYPES = {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}
DAV_TYPES = {"caldav": "CalDAV", "carddav": "CardDAV"}
# The methods that Outlook supports: passwords, and servers without a login.
METHODS: tuple[Method, ...] = (
    *("password-cleartext", "password-encrypted", "NTLM", "http-digest"),
    *WITHOUT_LOGIN,
)
ENCRYPTION = {  # with SSL "off" for STARTTLS, Thunderbird would not encrypt
    "SSL": ("on", "SSL"),
    "STARTTLS": ("on", "TLS"),
    "plain": ("off", "None"),
}
# The protocols of version 2 that have a URL.
_ExchangeType = Literal["activesync", "ews"]
_URL_TYPES: dict[_ExchangeType, str] = {"activesync": "ActiveSync", "ews": "EWS"}
_KEYS_OF_EXCHANGE = {"activesync": "eas_url", "ews": "ews_url"}  # of type exchange


def read_request(body: bytes) -> tuple[str, bool]:
    """Return the address in a POX request (section 2.2.3.1), and whether a phone sent it.

    A phone names the schema of ActiveSync, as that of the request or of the response that
    it accepts. Raises ValueError.
    """
    if len(body) > MAX_BYTES:
        raise ValueError("a long request")
    root = parse(body)
    namespace = str(root.tag)[1:].partition("}")[0]
    scheme = namespace.partition(":")[0]
    texts = {local_name(child): (child.text or "").strip() for child in root.iter()}
    has_namespace = scheme in ("http", "https") and namespace.endswith(_REQUESTS)
    is_request = has_namespace and local_name(root) == "Autodiscover"
    if not (is_request and texts.get("EMailAddress")):
        raise ValueError("not a request")
    schemas = namespace + texts.get("AcceptableResponseSchema", "")
    return texts["EMailAddress"], "/mobilesync/" in schemas


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes | None:
    """Return the settings (section 2.2.4), with a Protocol for each server in order.

    Return None if there is no server to read mail from. A provider with nothing but
    Exchange Web Services gets the protocols of an Exchange server. Other providers do not,
    since Outlook would prefer them to IMAP.

    `LoginName` is filled in, since Outlook has no placeholders, and left out if the address
    is unknown. There is no `User`: its `DisplayName` is the user's own name (section
    2.2.4.1.1.1.2), not the provider's.
    """
    provider = recipient.filled(provider)
    protocols = [_protocol(server) for _, server in provider.servers]
    url = next((url for _, url in exchange_servers(provider, "ews")), "")
    if any(protocols[: len(provider.incoming)]):  # incoming servers come first
        protocols = list(filter(None, protocols))
    elif url:
        # Inside a company's network, and outside. GNOME's clients require ASUrl.
        protocols = [
            {TYPE: type_, "ASUrl": url, "EwsUrl": url} for type_ in ("EXCH", "EXPR")
        ]
    else:
        return None
    root = ET.Element("Autodiscover", xmlns=NAMESPACE)
    response = ET.SubElement(root, "Response", xmlns=RESPONSE)
    account = ET.SubElement(response, "Account")
    add(account, {"AccountType": "email", "Action": "settings"})
    for protocol in protocols:
        add(ET.SubElement(account, PROTOCOL), protocol)
    return to_bytes(root)


def _protocol(server: Server) -> dict[str, str]:
    """Return the elements in a server's Protocol, {} if Outlook cannot use the server."""
    method = usable(server, METHODS)
    login = {LOGIN_NAME: server.username or ""}
    if method is None:
        return {}
    if server.type in DAV_TYPES:
        url = server.url
        return {TYPE: DAV_TYPES[server.type], SERVER: url, **login} if url else {}
    if server.type not in TYPES or not server.hostname:
        return {}
    ssl, encryption = ENCRYPTION[server.socket_type or "SSL"]
    elements = {
        TYPE: TYPES[server.type],
        SERVER: server.hostname,
        PORT: str(server.port),
        DOMAIN_REQUIRED: "off",
        **login,
        SPA: "on" if method == "NTLM" else "off",
        SSL: ssl,
        ENCRYPTED_BY: encryption,
        AUTH_REQUIRED: "off" if method in WITHOUT_LOGIN else "on",
    }
    if server.type == "smtp":
        elements |= {"UsePOPAuth": "off", "SMTPLast": "off"}
    return elements


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that Outlook cannot log in to, and the reason."""
    for place, server in provider.servers:
        if server.type in (*TYPES, *DAV_TYPES) and not usable(server, METHODS):
            yield f"{place}.authentication", "Outlook can log in with a password only"


def exchange_servers(
    provider: Provider, type_: _ExchangeType
) -> Iterator[tuple[Server, str]]:
    """Yield the servers of one of Exchange's services, each with its URL.

    The provider's placeholders must be filled in.
    """
    for server in provider.incoming:
        key = _KEYS_OF_EXCHANGE[type_] if server.type == "exchange" else "url"
        if server.type in (type_, "exchange") and (url := getattr(server, key)):
            yield server, url


def exchange_url(
    provider: Provider, type_: _ExchangeType, recipient: Recipient
) -> str | None:
    servers = exchange_servers(recipient.filled(provider), type_)
    return next((url for _, url in servers), None)


def add(parent: ET.Element, children: dict[str, str]) -> None:
    for tag, text in children.items():
        if text:
            ET.SubElement(parent, tag).text = text


def request(address: str) -> bytes:
    """Return a POX request (section 2.2.3.1) as Outlook sends it."""
    root = ET.Element("Autodiscover", xmlns="http" + _REQUESTS[0])
    element = ET.SubElement(root, "Request")
    add(element, {"EMailAddress": address, "AcceptableResponseSchema": RESPONSE})
    return to_bytes(root)


def error(code: int) -> bytes:
    root = ET.Element("Autodiscover", xmlns=NAMESPACE)
    response = ET.SubElement(root, "Response")
    time = datetime.now(UTC).strftime("%H:%M:%S.%f0")
    element = ET.SubElement(response, "Error", Time=time, Id=str(code))
    add(element, {"ErrorCode": str(code), "Message": _MESSAGES[code]})
    ET.SubElement(element, "DebugData")
    return to_bytes(root)


def write_v2(
    provider: Provider, protocol: str, pox_url: str, recipient: Recipient = ANYBODY
) -> bytes | None:
    """Return version 2's response for a protocol, or None if it is not offered."""
    urls: dict[str, str | None] = {"AutodiscoverV1": pox_url}
    for type_, name in _URL_TYPES.items():
        urls[name] = exchange_url(provider, type_, recipient)
    for name, url in urls.items():
        if url and name.lower() == protocol.lower():
            return json.dumps({"Protocol": name, "Url": url}).encode()
    return None
