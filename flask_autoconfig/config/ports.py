"""The standard ports and URLs of the types of servers."""

import re
from functools import partial
from typing import Any

from ..files import table_beside

_types = partial(table_beside, __file__, "ports.toml")  # reads the file when first used
MAIL_TYPES = ("imap", "pop3", "smtp")  # mail protocols, at a host and a port


def standard_port(type_: str, socket_type: str) -> int | None:
    """Return the standard port of a type with this encryption, or None."""
    port: int | None = _types().get(type_, {}).get(socket_type)
    return port


def usual_url(type_: str, host: str, port: int | None, socket_type: str) -> str | None:
    """Return the standard URL of an HTTP service, or None for a type without one."""
    path = _types().get(type_, {}).get("path")
    if path is None:
        return None
    scheme, standard = ("http", 80) if socket_type == "plain" else ("https", 443)
    authority = f"[{host}]" if ":" in host else host
    if port and port != standard:
        authority += f":{port}"
    return f"{scheme}://{authority}{path}"


def endpoint_of(url: str) -> dict[str, Any]:
    """Return `hostname`, `port` and `socket_type` of an https or http URL."""
    socket_type, standard = ("SSL", 443) if url.startswith("https") else ("plain", 80)
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    host, _, digits = re.sub(r":([0-9]+)$", r" \1", authority).partition(" ")
    port = int(digits or standard)
    return {"hostname": host.strip("[]"), "port": port, "socket_type": socket_type}
