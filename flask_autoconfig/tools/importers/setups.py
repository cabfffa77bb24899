"""Imports the settings of one user: an Autodiscover answer, or a profile of Apple."""

import plistlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...address import parse_address
from ...config.ports import standard_port
from ...documents import apple, outlook
from ...documents.setups import Account, UnusableDocumentError, read_outlook
from ...documents.setups import read_profile as read_plain_profile
from ...documents.xml import local_name, parse, text_of
from .imported import Imported, Raw, add_server, unreadable

_PROTOCOLS = {word.upper() for word in (outlook.TYPES | outlook.DAV_TYPES).values()}
_PAYLOADS = {apple.MAIL, apple.EXCHANGE, *apple.DAV.values()}
_SKIPPED = "a server is left out: {}"
_ADDRESS_ELEMENTS = ("AutoDiscoverSMTPAddress", "EMailAddress")


def read_autodiscover(_file: Path, data: bytes) -> Imported:
    """Read an answer of Autodiscover; raises UnusableDocumentError or NotXmlError."""
    errors: list[UnusableDocumentError] = []
    accounts: Iterable[Account] = read_outlook(data, errors.append).servers
    # To Outlook a missing <SPA> means NTLM, which hardly any author of a file intends.
    if not re.search(rb"SPA>\s*on\b", data, re.IGNORECASE):
        accounts = [
            row._replace(authentication=row.authentication.replace("NTLM", ""))
            for row in accounts
        ]
    supported = {*_PROTOCOLS, "MOBILESYNC"}
    if any(account.type == "ews" for account in accounts):
        supported |= {"EXCH", "EXPR"}
    addresses, notes = [], list(map(_SKIPPED.format, errors))
    for element in parse(data).iter():
        name, text = local_name(element), text_of(element)
        if name in _ADDRESS_ELEMENTS:
            addresses.append(text)
        elif name == outlook.TYPE and text.upper() not in supported:
            notes.append(f"the protocol {text[:60]} is left out: it is not supported")
    return _imported(accounts, addresses, notes)


def read_profile(_file: Path, data: bytes) -> Imported:
    """Read a profile, signed or not; raises UnusableDocumentError."""
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"bplist")):
        data = data[data.find(b"<?xml") : data.rfind(b"</plist>") + len(b"</plist>")]
    errors: list[UnusableDocumentError] = []
    accounts = read_plain_profile(data, errors.append).servers
    notes = list(map(_SKIPPED.format, errors))
    payloads: list[dict[str, Any]] = plistlib.loads(data)["PayloadContent"]
    for payload in payloads:
        type_ = payload.get("PayloadType")
        if not isinstance(type_, str) or type_ not in _PAYLOADS:
            # Another value is not shown: a list may have exponential size when printed.
            name = type_[:60] if isinstance(type_, str) else "of no type"
            notes.append(f"the payload {name} is left out: it is not an account")
    values = [payload.get("EmailAddress") for payload in payloads]
    addresses = [value for value in values if isinstance(value, str)]
    return _imported(accounts, addresses, notes)


def _imported(
    accounts: Iterable[Account], addresses: Iterable[str], notes: list[str]
) -> Imported:
    """Return the provider of these accounts, with placeholders for the user's name."""
    accounts = [account for account in accounts if account.hostname or account.url]
    if not accounts:
        raise unreadable("it has no server that can be imported")
    host = accounts[0].hostname or urlsplit(accounts[0].url).hostname or ""
    local, domain = "", host.partition(".")[2] if host.count(".") > 1 else host
    for name in (*addresses, *(account.username or "" for account in accounts)):
        try:
            local, domain = parse_address(name)
            break
        except ValueError:
            continue
    else:
        notes.append(f"it names no address: the domain {domain} is that of {host}")
    names = {f"{local}@{domain}": "%EMAILADDRESS%", local: "%EMAILLOCALPART%"}
    raw: Raw = {"domains": [domain]}
    for account in accounts:
        server: Raw = {key: value for key, value in account._asdict().items() if value}
        type_, name = account.type, server.pop("username", "")
        is_starttls = account.port == standard_port(type_, "STARTTLS")
        if account.socket_type == "SSL" and is_starttls:
            server["socket_type"] = "STARTTLS"
            notes.append(f"{type_}: SSL at port {account.port} became STARTTLS")
        if name and (name in names or "%" in name):
            server["username"] = names.get(name, name)
        elif name:
            reason = "it is one person's, and no part of the address"
            notes.append(f"the user name of {type_} is left out: {reason}")
        add_server(raw, server)
    return Imported([raw], notes)
