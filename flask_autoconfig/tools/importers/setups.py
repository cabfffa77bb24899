"""Imports what one person's client gets: an Autodiscover answer, or a profile of Apple."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from ...address import Address, parse_address
from ...config.ports import standard_port
from ...documents import apple, apple_reader, outlook, outlook_reader
from ...documents.setups import Account, MeaninglessError
from ...documents.xml import local_name, parse, text_of
from .imported import Imported, Raw, UnreadableError, list_for

_ADDRESS_ELEMENTS = ("AutoDiscoverSMTPAddress", "EMailAddress")


def is_profile(data: bytes) -> bool:
    """Return whether it is a property list, perhaps inside a signature."""
    return data.startswith(b"bplist") or (
        b"<plist" in data and b"PayloadContent" in data
    )


def read_autodiscover(data: bytes) -> Imported:
    """Read an answer of Autodiscover; raises MeaninglessError or NotXmlError."""
    notes: list[str] = []
    accounts = outlook_reader.read(data, _noting(notes)).servers
    # Outlook takes a missing <SPA> for NTLM, which hardly any author of a file means.
    if not re.search(rb"SPA>\s*on\b", data, re.IGNORECASE):
        accounts = tuple(
            account._replace(authentication=account.authentication.replace("NTLM", ""))
            for account in accounts
        )
    addresses = []
    for element in parse(data).iter():
        name, text = local_name(element), text_of(element)
        if name in _ADDRESS_ELEMENTS:
            addresses.append(text)
        elif name == outlook.TYPE and text.upper() not in outlook.TYPES.values():
            notes.append(f"the protocol {text[:60]} is left out: it is no mail server")
    return _imported(accounts, addresses, notes)


def read_profile(data: bytes) -> Imported:
    """Read a profile, signed or not; raises MeaninglessError."""
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"bplist")):
        data = data[data.find(b"<?xml") : data.rfind(b"</plist>") + len(b"</plist>")]
    notes: list[str] = []
    accounts = apple_reader.read(data, _noting(notes)).servers
    payloads: list[dict[str, Any]] = plistlib.loads(data)["PayloadContent"]
    addresses = [payload.get("EmailAddress") for payload in payloads]
    for payload in payloads:
        kind = str(payload.get("PayloadType"))[:60]
        if kind != apple.MAIL:
            notes.append(f"the payload {kind} is left out: it is no mail account")
    return _imported(accounts, [it for it in addresses if isinstance(it, str)], notes)


def _noting(notes: list[str]) -> Callable[[MeaninglessError], None]:
    return lambda error: notes.append(f"a server is left out: {error}")


def _imported(
    accounts: Iterable[Account], addresses: Iterable[str], notes: list[str]
) -> Imported:
    """Return the provider of these accounts, with placeholders for the person's name."""
    accounts = [account for account in accounts if account.hostname]
    if not accounts:
        raise UnreadableError("it has no mail server")
    names = [*addresses, *(account.username or "" for account in accounts)]
    address = next(filter(None, map(_address, names)), None)
    if address:
        domain = address.domain
    else:
        host = accounts[0].hostname
        domain = host.partition(".")[2] if host.count(".") > 1 else host
        notes.append(f"it names no address: the domain {domain} is that of {host}")
    local_part = address.local if address else ""
    raw: Raw = {"domains": [domain]}
    for account in accounts:
        server = _server(account, local_part, domain, notes)
        raw.setdefault(list_for(account.type), []).append(server)
    return Imported([raw], notes)


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _server(account: Account, local_part: str, domain: str, notes: list[str]) -> Raw:
    server: Raw = {
        "type": account.type,
        "hostname": account.hostname,
        "port": account.port,
        "socket_type": account.socket_type,
        "authentication": account.authentication,
        "username": _placeholder(account, local_part, domain, notes),
    }
    if account.socket_type == "SSL" and account.port == standard_port(
        account.type, "STARTTLS"
    ):
        server["socket_type"] = "STARTTLS"
        notes.append(f"{account.type}: SSL at port {account.port} became STARTTLS")
    return {key: value for key, value in server.items() if value}


def _placeholder(
    account: Account, local_part: str, domain: str, notes: list[str]
) -> str | None:
    """Return the user name with a placeholder for the person's own part of it."""
    name = account.username
    if not name or "%" in name:
        return name
    known = {
        f"{local_part}@{domain}": "%EMAILADDRESS%",
        local_part: "%EMAILLOCALPART%",
    }
    if name not in known:
        notes.append(
            f"the user name of {account.type} is left out: it is one person's, and no "
            "part of the address"
        )
    return known.get(name)
