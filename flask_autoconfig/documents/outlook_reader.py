"""Reads the settings of Autodiscover (POX), by the words of :mod:`outlook`."""

from __future__ import annotations

from collections.abc import Callable

from ..config.ports import standard_port
from . import outlook
from .setups import (
    Account,
    MeaninglessError,
    Setup,
    check_host,
    check_number,
    port_of,
    skipping,
)
from .xml import NotXmlError, local_name, parse

_TYPES = {word: type_ for type_, word in outlook.TYPES.items()}
_SOCKET_TYPES = {
    encryption.upper(): type_ for type_, (_, encryption) in outlook.ENCRYPTION.items()
}
_NOT_SERVED = (str(outlook.NOT_SERVED), "603")


def read(
    body: bytes, skip: Callable[[MeaninglessError], object] | None = None
) -> Setup:
    """Return what Outlook sets up (MS-OXDSCLI, 2.2.4); raises MeaninglessError.

    With *skip*, which gets the error, an invalid server is left out.
    """
    try:
        root = parse(body)
    except NotXmlError as error:
        raise MeaninglessError("the answer is no XML") from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            code = (element.text or "").strip()[:20]
            words = ": it does not know the domain" if code in _NOT_SERVED else ""
            raise MeaninglessError(
                f"Autodiscover error {code}{words}",
                "add the domain to what serves it, or look at its log",
            )

    accounts = []
    protocols = list(root.iter(f"{{{outlook.RESPONSE}}}{outlook.PROTOCOL}"))
    check_number(protocols)
    for protocol in protocols:
        said = {local_name(child): (child.text or "").strip() for child in protocol}
        type_ = _TYPES.get(said.get(outlook.TYPE, "").upper())
        if type_ and said.get(outlook.SERVER):
            with skipping(skip):
                check_host(said[outlook.SERVER])
                accounts.append(_account(type_, said))
    if not protocols:
        raise MeaninglessError("the answer has no server in it")
    return Setup(tuple(accounts))


def _account(type_: str, said: dict[str, str]) -> Account:
    is_secure = said.get(outlook.SSL, "on").lower() == "on"
    kind = said.get(outlook.ENCRYPTED_BY, "").upper()
    socket_type = _SOCKET_TYPES.get(kind, "SSL") if is_secure else "plain"
    port = port_of(said.get(outlook.PORT, "")) or standard_port(type_, socket_type)
    username = said.get(outlook.LOGIN_NAME) or None
    is_ntlm = said.get(outlook.SPA, "on").lower() == "on"
    method = "NTLM" if is_ntlm else "password-cleartext"
    if said.get(outlook.AUTH_REQUIRED, "on").lower() == "off":
        method = "none"
    host = said[outlook.SERVER]
    return Account(type_, host, port or 0, socket_type, username, method)
