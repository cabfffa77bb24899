"""The account as Thunderbird's "Export for Mobile" writes it, for a QR code.

Format version 1 (`feature/migration/qrcode/qr-code-format.md` of thunderbird-android):
JSON of arrays by position. There is never a password in it: the app asks for one.
"""

from __future__ import annotations

import json
from typing import Any

from ..address import Address
from ..config.tables import AuthenticationMethod, Method
from .account import Ready

_VERSION = 1
_ONE_OF_ONE = [1, 1]
_PROTOCOLS = {"imap": 0, "pop3": 1}
_SMTP = 0
_SECURITY = {"plain": 0, "STARTTLS": 2, "SSL": 3}
METHODS: dict[Method, int] = {
    "none": 0,
    "client-IP-address": 0,
    "smtp-after-pop": 0,
    "password-cleartext": 1,
    "password-encrypted": 2,
}


def export(box: tuple[Ready, Ready], address: Address, name: str) -> bytes | None:
    """The JSON, UTF-8, for a person of that name; None where the format has no place.

    Only ASCII stands in its addresses and host names.
    """
    incoming, outgoing = box
    if not str(address).isascii():
        return None
    identity = [str(address), name]
    group = [[_SMTP, *_server(outgoing)], identity]
    account = [_PROTOCOLS[incoming.type], *_server(incoming)]
    whole = [_VERSION, _ONE_OF_ONE, account, [group]]
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _server(server: Ready) -> list[Any]:
    method = server.method
    number = 1 if isinstance(method, AuthenticationMethod) else METHODS[method]
    security = _SECURITY[server.socket_type]
    return [server.host, server.port, security, number, server.username]
