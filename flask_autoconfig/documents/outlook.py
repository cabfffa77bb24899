"""Autodiscover for Outlook: POX (MS-OXDSCLI) and version 2's JSON.

An error of POX is an answer with status 200 (section 2.2.4.1.1.2), never a 401: a client
would send the password.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from ..address import Address, fill_in, fill_in_host, fill_in_url
from ..config.tables import Provider, Server
from . import ANYBODY, Recipient
from .xml import NotXmlError, local_name, parse, to_bytes

CONTENT_TYPE = "text/xml; charset=utf-8"
JSON_CONTENT_TYPE = "application/json"
MOST_BYTES = 64 * 1024  # of a request; a real one has a few hundred

INVALID_REQUEST = 600
SCHEMA_NOT_SUPPORTED = 601
NOT_SERVED = 500
_MESSAGES = {
    INVALID_REQUEST: "Invalid Request",
    SCHEMA_NOT_SUPPORTED: "Provider is not available",
    NOT_SERVED: "The e-mail address cannot be found.",
}

_NAMESPACE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK = (
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)
_REQUESTS = (
    "://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006",
    "://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006",
)
_TYPES = {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}
_DAV_TYPES = {"caldav": "CalDAV", "carddav": "CardDAV"}
_ENCRYPTION = {  # STARTTLS with SSL off, as some write it, makes Thunderbird go plain
    "SSL": ("on", "SSL"),
    "STARTTLS": ("on", "TLS"),
    "plain": ("off", "None"),
}
# Of version 2: the protocols that a provider may have a URL for.
_URL_TYPES = {"activesync": "ActiveSync", "ews": "EWS"}


class RequestError(ValueError):
    """A request that gets an error of POX; `code` is the one to answer with."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(_MESSAGES[code])


def read_request(body: bytes) -> str:
    """The address that a POX request names (section 2.2.3.1); raises RequestError."""
    if len(body) > MOST_BYTES:
        raise RequestError(INVALID_REQUEST)
    try:
        root = parse(body)
    except NotXmlError as error:
        raise RequestError(INVALID_REQUEST) from error

    namespace = str(root.tag)[1:].partition("}")[0]
    scheme = namespace.partition(":")[0]
    if scheme not in ("http", "https") or not namespace.endswith(_REQUESTS):
        raise RequestError(INVALID_REQUEST)
    asked = {
        local_name(element): (element.text or "").strip() for element in root.iter()
    }
    if local_name(root) != "Autodiscover" or not asked.get("EMailAddress"):
        raise RequestError(INVALID_REQUEST)
    if "/mobilesync/" in namespace + asked.get("AcceptableResponseSchema", ""):
        raise RequestError(SCHEMA_NOT_SUPPORTED)
    return asked["EMailAddress"]


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes:
    """The settings (section 2.2.4), a Protocol for each server in the file's order.

    `LoginName` is filled in, since Outlook knows no placeholders; it is left out where
    that takes an address and there is none.
    """
    domain, address = recipient.domain, recipient.address
    root = ET.Element("Autodiscover", xmlns=_NAMESPACE)
    response = ET.SubElement(root, "Response", xmlns=_OUTLOOK)
    user = ET.SubElement(response, "User")
    called = recipient.name_of(provider)
    name = provider.display_name or (str(address) if address else called)
    _add(user, "DisplayName", fill_in(name, domain, address) or domain)

    account = ET.SubElement(response, "Account")
    _add(account, "AccountType", "email")
    _add(account, "Action", "settings")
    for _, server in provider.servers:
        if server.type in _TYPES:
            _write_mail(account, server, domain, address)
        elif server.type in _DAV_TYPES and server.url:
            _write_dav(account, server, domain, address)
    return to_bytes(root)


def _write_mail(
    account: ET.Element, server: Server, domain: str | None, address: Address | None
) -> None:
    host = fill_in_host(server.hostname, domain, address)
    if not host:  # it takes a domain, and there is none, or an address that fits it
        return

    protocol = ET.SubElement(account, "Protocol")
    ssl, encryption = _ENCRYPTION[server.socket_type or "SSL"]
    _add(protocol, "Type", _TYPES[server.type])
    _add(protocol, "Server", host)
    _add(protocol, "Port", str(server.port))
    _add(protocol, "DomainRequired", "off")
    _add(protocol, "LoginName", fill_in(server.username, domain, address))
    _add(protocol, "SPA", "on" if server.authentication[0] == "NTLM" else "off")
    _add(protocol, "SSL", ssl)
    _add(protocol, "Encryption", encryption)
    _add(protocol, "AuthRequired", "off" if server.username is None else "on")
    if server.type == "smtp":
        _add(protocol, "UsePOPAuth", "off")
        _add(protocol, "SMTPLast", "off")


def _write_dav(
    account: ET.Element, server: Server, domain: str | None, address: Address | None
) -> None:
    url = fill_in_url(server.url, domain, address)
    if url:
        protocol = ET.SubElement(account, "Protocol")
        _add(protocol, "Type", _DAV_TYPES[server.type])
        _add(protocol, "Server", url)
        _add(protocol, "LoginName", fill_in(server.username, domain, address))


def _add(parent: ET.Element, tag: str, text: str | None) -> None:
    if text:
        ET.SubElement(parent, tag).text = text


def request(address: str) -> bytes:
    """A POX request (section 2.2.3.1), as Outlook sends it."""
    root = ET.Element("Autodiscover", xmlns="http" + _REQUESTS[0])
    asked = ET.SubElement(root, "Request")
    _add(asked, "EMailAddress", address)
    _add(asked, "AcceptableResponseSchema", _OUTLOOK)
    return to_bytes(root)


def read_servers(body: bytes) -> list[tuple[str, str, str]]:
    """Type, server and port of each Protocol; raises ValueError for anything else."""
    try:
        root = parse(body)
    except NotXmlError as error:
        raise ValueError("the answer is no XML") from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            raise ValueError(f"Autodiscover error {element.text}")

    servers = []
    for protocol in root.iter(f"{{{_OUTLOOK}}}Protocol"):
        said = {local_name(child): (child.text or "").strip() for child in protocol}
        servers.append(
            (said.get("Type", ""), said.get("Server", ""), said.get("Port", ""))
        )
    if not servers:
        raise ValueError("the answer has no server in it")
    return servers


def error(code: int) -> bytes:
    """The answer for what cannot be answered."""
    root = ET.Element("Autodiscover", xmlns=_NAMESPACE)
    response = ET.SubElement(root, "Response")
    time = datetime.now(UTC).strftime("%H:%M:%S.%f0")
    element = ET.SubElement(response, "Error", Time=time, Id=str(code))
    _add(element, "ErrorCode", str(code))
    _add(element, "Message", _MESSAGES[code])
    ET.SubElement(element, "DebugData")
    return to_bytes(root)


def write_v2(
    provider: Provider, protocol: str, pox_url: str, recipient: Recipient = ANYBODY
) -> bytes | None:
    """Version 2's answer for a protocol, None for one that is not offered."""
    if protocol.lower() == "autodiscoverv1":
        answer = {"Protocol": "AutodiscoverV1", "Url": pox_url}
        return json.dumps(answer).encode()
    for server in provider.incoming:
        name = _URL_TYPES.get(server.type, "")
        url = fill_in_url(server.url, recipient.domain, recipient.address)
        if url and name.lower() == protocol.lower():
            return json.dumps({"Protocol": name, "Url": url}).encode()
    return None


def error_v2(code: str, message: str) -> bytes:
    """Version 2's answer for what cannot be answered."""
    return json.dumps({"ErrorCode": code, "ErrorMessage": message}).encode()
