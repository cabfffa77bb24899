"""Encodes an account as Thunderbird's "Export for Mobile", for a QR code.

Format version 1 (`feature/migration/qrcode/qr-code-format.md` of thunderbird-android):
JSON arrays by position. It contains no password: the app asks for it.
"""

from __future__ import annotations

import json
from typing import Any

from ..address import Address
from ..config.tables import AuthenticationMethod, Method
from .account import MailServer

_VERSION = 1
_ONE_OF_ONE = [1, 1]
_PROTOCOLS = {"imap": 0, "pop3": 1, "smtp": 0}  # of incoming and of outgoing servers
_SECURITY = {"plain": 0, "STARTTLS": 2, "SSL": 3}
METHODS: dict[Method, int] = {
    "none": 0,
    "client-IP-address": 0,
    "smtp-after-pop": 0,
    "password-cleartext": 1,
    "password-encrypted": 2,
}


def export(
    servers: tuple[MailServer, MailServer], address: Address, name: str
) -> bytes | None:
    """Return the JSON for a person's name, or None for an address beyond ASCII.

    *servers* are the incoming and the outgoing one.
    """
    if not str(address).isascii():
        return None
    incoming, outgoing = map(_server, servers)
    group = [outgoing, [str(address), name]]
    whole = [_VERSION, _ONE_OF_ONE, incoming, [group]]
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _server(server: MailServer) -> list[Any]:
    is_sasl = isinstance(server.method, AuthenticationMethod)
    return [
        _PROTOCOLS[server.type],
        server.host,
        server.port,
        _SECURITY[server.socket_type],
        METHODS["password-cleartext" if is_sasl else server.method],
        server.username,
    ]
