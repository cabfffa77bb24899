"""Reads configuration profiles, by the words of :mod:`apple`."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from typing import Any

from ..config.ports import standard_port
from . import apple
from .setups import (
    Account,
    MeaninglessError,
    Setup,
    check_host,
    check_number,
    skipping,
)
from .xml import MOST_BYTES

_TYPES = {word: type_ for type_, word in apple.MAIL_TYPES.items()}
# Several methods may have one word: the first of them stands for it.
_METHODS = {word: str(it) for it, word in reversed(apple.METHODS.items())}
_MOST_UNFOLDED = 64 * 1024 * 1024  # bytes


def read(
    property_list: bytes, skip: Callable[[MeaninglessError], object] | None = None
) -> Setup:
    """Return what an iPhone sets up from a profile; raises MeaninglessError.

    With *skip*, which gets the error, an invalid server is left out.
    """
    if len(property_list) > MOST_BYTES:
        raise MeaninglessError(f"it has more than {MOST_BYTES // 1024} KiB")
    # The objects of a binary one may overlap: each may be as long as the whole.
    objects = int.from_bytes(property_list[-24:-16])
    is_binary = property_list.startswith(b"bplist")
    if is_binary and objects * len(property_list) > _MOST_UNFOLDED:
        raise MeaninglessError("it is a binary property list without bounds")
    try:
        payloads = plistlib.loads(property_list)["PayloadContent"]
        check_number(payloads)
        kinds = [payload.get("PayloadType") for payload in payloads]
    except MeaninglessError:
        raise
    except Exception as error:  # plistlib raises whatever its parsers do
        raise MeaninglessError("it is no configuration profile") from error

    accounts: list[Account] = []
    for kind, payload in zip(kinds, payloads, strict=True):
        if kind == apple.MAIL:
            incoming = _TYPES.get(_text(payload, apple.MAIL_TYPE), "imap")
            for way, type_ in ((apple.INCOMING, incoming), (apple.OUTGOING, "smtp")):
                with skipping(skip):
                    accounts.append(_account(payload, way, type_))
    if not payloads:
        raise MeaninglessError("the profile has nothing in it")
    return Setup(tuple(accounts))


def _text(payload: dict[str, Any], key: str) -> str:
    """Return the text of a key, "" for any other kind of value.

    A binary property list may name one object many times: written out, a list in lists
    grows without bound.
    """
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _account(payload: dict[str, Any], way: str, type_: str) -> Account:
    is_secure = payload.get(way + apple.USE_SSL) is True
    port = payload.get(way + apple.PORT)
    if not isinstance(port, int):
        port = standard_port(type_, "SSL") or 0
    elif not 0 < port < 65536:
        raise MeaninglessError(
            f"the port of the {type_} server is none", "write a number below 65536"
        )
    direct = port == standard_port(type_, "SSL")
    socket_type = ("SSL" if direct else "STARTTLS") if is_secure else "plain"
    name = _text(payload, way + apple.USERNAME) or None
    method = _METHODS.get(_text(payload, way + apple.METHOD), "")
    host = _text(payload, way + apple.HOST_NAME)
    if host:
        check_host(host)
    return Account(type_, host, port, socket_type, name, method)
