"""The standard ports and URLs of the types of servers."""

import re
from functools import partial
from typing import Any

from ..files import table_beside

_types = partial(table_beside, __file__, "ports.toml")
_HTTP_PORTS = {"SSL": 443, "plain": 80}
MAIL_TYPES = ("imap", "pop3", "smtp")  # mail protocols, at a host and a port


def standard_port(type_: str, socket_type: str) -> int | None:
    """Return the standard port of a type with this encryption, or None."""
    port: int | None = _types().get(type_, {}).get(socket_type)
    return port


def usual_url(type_: str, host: str, port: int | None, socket_type: str) -> str | None:
    """Return the standard URL of a service over HTTP, or None for another service."""
    path = _types().get(type_, {}).get("path")
    if path is None:
        return None
    scheme = "http" if socket_type == "plain" else "https"
    authority = f"[{host}]" if ":" in host else host
    if port and port != _HTTP_PORTS["plain" if socket_type == "plain" else "SSL"]:
        authority += f":{port}"
    return f"{scheme}://{authority}{path}"


def endpoint_of(url: str) -> dict[str, Any]:
    """Return `hostname`, `port` and `socket_type` of an https or http URL."""
    socket_type = "SSL" if url.startswith("https") else "plain"
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    host, _, port = re.sub(r":([0-9]+)$", r" \1", authority).partition(" ")
    port_ = int(port or _HTTP_PORTS[socket_type])
    return {"hostname": host.strip("[]"), "port": port_, "socket_type": socket_type}
