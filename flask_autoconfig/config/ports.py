"""The standard ports and URLs of the types of servers."""

import re
from typing import Any

# (type, socket_type) -> port: RFC 8314, RFC 6120 and XEP-0368, RFC 5804, RFC 4513, RFC
# 9110. ManageSieve has no port of its own for TLS from the first byte.
_PORTS: dict[str, dict[str, int]] = {
    "imap": {"SSL": 993, "STARTTLS": 143, "plain": 143},
    "pop3": {"SSL": 995, "STARTTLS": 110, "plain": 110},
    "smtp": {"SSL": 465, "STARTTLS": 587, "plain": 25},
    "managesieve": {"SSL": 4190, "STARTTLS": 4190, "plain": 4190},
    "xmpp": {"SSL": 5223, "STARTTLS": 5222, "plain": 5222},
    "xmpptcp": {"SSL": 5223, "STARTTLS": 5222, "plain": 5222},
    "ldap": {"SSL": 636, "STARTTLS": 389, "plain": 389},
}
_HTTP_PORTS = {"SSL": 443, "plain": 80}
_MICROSOFT_TYPES = {"exchange", "ews", "owa", "activesync", "graph"}
# The standard paths: RFC 6764, section 5; RFC 8620, section 2.2. WebDAV has none.
_PLACES = {
    "caldav": "/.well-known/caldav",
    "carddav": "/.well-known/carddav",
    "jmap": "/.well-known/jmap",
    "webdav": "/",
    # The paths of Exchange and compatible servers (MS-ASHTTP, 2.2.1.1).
    "activesync": "/Microsoft-Server-ActiveSync",
    "ews": "/EWS/Exchange.asmx",
}
_HTTP_TYPES = {*_MICROSOFT_TYPES, *_PLACES}
MAIL_TYPES = ("imap", "pop3", "smtp")  # mail protocols, at a host and a port


def standard_port(type_: str, socket_type: str) -> int | None:
    """Return the standard port of a type with this encryption, or None."""
    ports = _HTTP_PORTS if type_ in _HTTP_TYPES else _PORTS.get(type_, {})
    return ports.get(socket_type)


def usual_url(type_: str, host: str, port: int | None, socket_type: str) -> str | None:
    """Return the standard URL of a service over HTTP, or None for another service."""
    if type_ not in _PLACES:
        return None
    scheme = "http" if socket_type == "plain" else "https"
    authority = f"[{host}]" if ":" in host else host
    if port and port != _HTTP_PORTS["plain" if socket_type == "plain" else "SSL"]:
        authority += f":{port}"
    return f"{scheme}://{authority}{_PLACES[type_]}"


def endpoint_of(url: str) -> dict[str, Any]:
    """Return `hostname`, `port` and `socket_type` of an https or http URL."""
    socket_type = "SSL" if url.startswith("https") else "plain"
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    host, _, port = re.sub(r":([0-9]+)$", r" \1", authority).partition(" ")
    port_ = int(port or _HTTP_PORTS[socket_type])
    return {"hostname": host.strip("[]"), "port": port_, "socket_type": socket_type}
