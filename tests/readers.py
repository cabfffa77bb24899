"""What clients make of what they read: each by its own rules, without our code.

Every reader gives the servers that its client would set an account up with, the best
first, with the login that it would use there.
"""

import json
import plistlib
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from defusedxml.ElementTree import fromstring


class Setting(NamedTuple):
    """A mail server as a client sets it up."""

    type: str
    host: str
    port: int
    security: str  # SSL, STARTTLS or plain
    login: str | None  # None: without one, or whatever the client thinks of


class Account(NamedTuple):
    """What a client sets up: where mail is read and sent, the best first."""

    reading: tuple[Setting, ...] = ()
    sending: tuple[Setting, ...] = ()
    urls: tuple[tuple[str, str], ...] = ()  # type and URL of the other services


_POX = (
    "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
)


def filled(text: str, address: str) -> str:
    """The text with the placeholders that a client fills in by itself."""
    local, _, domain = address.rpartition("@")
    for name, value in (
        ("%EMAILADDRESS%", address),
        ("%EMAILLOCALPART%", local),
        ("%EMAILDOMAIN%", domain),
    ):
        text = text.replace(name, value)
    return text


def _account(settings: Iterable[Setting], urls: Iterable[tuple[str, str]]) -> Account:
    settings = list(settings)
    return Account(
        tuple(server for server in settings if server.type != "smtp"),
        tuple(server for server in settings if server.type == "smtp"),
        tuple(urls),
    )


def config_v1(document: bytes, address: str) -> Account:
    """Thunderbird's kin: the first emailProvider, every server in the document's order."""
    root: Any = fromstring(document)  # what is missing in it is an error of the test
    provider = root.find("emailProvider")
    domains = {element.text for element in provider.findall("domain")}
    assert address.rpartition("@")[2] in domains
    found = provider.findall("incomingServer") + provider.findall("outgoingServer")
    settings = []
    for server in found:
        if server.get("type") in ("imap", "pop3", "smtp"):
            host = filled(server.findtext("hostname"), address).lower()
            port, security = int(server.findtext("port")), server.findtext("socketType")
            login = server.findtext("username")
            login = None if login is None else filled(login, address)
            settings.append(Setting(server.get("type"), host, port, security, login))
    urls = [
        (server.get("type"), filled(server.findtext("url"), address))
        for tag in ("calendar", "addressbook", "fileShare")
        for server in root.findall(tag)
    ]
    return _account(settings, urls)


def pox(document: bytes) -> Account | None:
    """Outlook: each Protocol of the one Account; None for an error."""
    root = fromstring(document)
    if any(str(element.tag).endswith("}ErrorCode") for element in root.iter()):
        return None
    (account,) = root.iter(f"{_POX}Account")
    settings: list[Setting] = []
    urls: list[tuple[str, str]] = []
    for protocol in account.iter(f"{_POX}Protocol"):
        values = {str(e.tag).removeprefix(_POX): e.text or "" for e in protocol}
        type_, host = values["Type"].lower(), values.get("Server", "")
        if type_ in ("caldav", "carddav"):
            urls.append((type_, host))
        if type_ in ("imap", "pop3", "smtp"):
            encryption = values["Encryption"] if values["SSL"] == "on" else "None"
            security = {"SSL": "SSL", "TLS": "STARTTLS", "None": "plain"}[encryption]
            name = values.get("LoginName", "whatever it asks the user for")
            login = name if values["AuthRequired"] == "on" else None
            settings.append(Setting(type_, host, int(values["Port"]), security, login))
    return _account(settings, urls)


def payloads(profile: bytes) -> dict[str, dict[str, Any]]:
    content = plistlib.loads(profile)["PayloadContent"]
    return {payload["PayloadType"]: payload for payload in content}


def mobileconfig(document: bytes) -> Account:
    """Apple's programs: one server of each kind. TLS or STARTTLS they find out."""
    accounts = payloads(document)
    urls = [
        (type_, f"{scheme}://{values[f'{prefix}HostName']}:{values[f'{prefix}Port']}")
        for type_, prefix in (("caldav", "CalDAV"), ("carddav", "CardDAV"))
        if (values := accounts.get(f"com.apple.{type_}.account"))
        for scheme in ["https" if values[f"{prefix}UseSSL"] else "http"]
    ]
    mail = accounts.get("com.apple.mail.managed")
    if mail is None:
        return Account(urls=tuple(urls))

    def setting(way: str, type_: str) -> Setting:
        return Setting(
            type_,
            mail[f"{way}MailServerHostName"],
            mail[f"{way}MailServerPortNumber"],
            "SSL" if mail[f"{way}MailServerUseSSL"] else "plain",
            mail.get(f"{way}MailServerUsername"),
        )

    type_ = {"EmailTypeIMAP": "imap", "EmailTypePOP": "pop3"}[mail["EmailAccountType"]]
    reading, sending = setting("Incoming", type_), setting("Outgoing", "smtp")
    return Account((reading,), (sending,), tuple(urls))


def pacc(document: bytes, address: str) -> tuple[Account, set[str]]:
    """PACC: IMAP before POP3, TLS on the standard ports, the address for a login.

    Hosts are names, and URLs are at the standard port of one. It gives the methods too.
    """
    fields = json.loads(document)
    protocols = fields["protocols"]
    for protocol in protocols.values():
        parts = urlsplit(protocol.get("url") or f"https://{protocol['host']}")
        assert parts.scheme == "https"
        assert parts.port in (None, 443)
        assert not set(parts.hostname or "1") <= set("0123456789.:abcdef")

    def settings(names: dict[str, tuple[str, int]]) -> tuple[Setting, ...]:
        return tuple(
            Setting(type_, protocols[name]["host"], port, "SSL", address)
            for name, (type_, port) in names.items()
            if name in protocols
        )

    reading = settings({"imap": ("imap", 993), "pop3": ("pop3", 995)})
    sending = settings({"submit": ("smtp", 465)})
    assert protocols.get("smtp") == protocols.get("submit")
    urls = [
        (name, protocols[name]["url"])
        for name in ("jmap", "caldav", "carddav", "webdav")
        if name in protocols
    ]
    offered = fields["authentication"]
    methods = {"password"} if offered["password"] else set()
    methods |= {"OAuth2"} if "oauth-public" in offered else set()
    return Account(reading, sending, tuple(urls)), methods


_SERVICES = {
    "_imaps._tcp": ("imap", "SSL"),
    "_imap._tcp": ("imap", "STARTTLS"),
    "_pop3s._tcp": ("pop3", "SSL"),
    "_pop3._tcp": ("pop3", "STARTTLS"),
    "_submissions._tcp": ("smtp", "SSL"),
    "_submission._tcp": ("smtp", "STARTTLS"),
    "_caldavs._tcp": ("caldav", ""),
    "_carddavs._tcp": ("carddav", ""),
    "_jmap._tcp": ("jmap", ""),
}


def srv(
    records: Iterable[tuple[str, str, str]],
) -> tuple[Account, set[tuple[str, str]]]:
    """RFC 6186, 3.4 and 6764: of all records the lowest priority, IMAP or POP3.

    `records` are name, type and data as in a zone file. It gives the types and securities
    that are denied too.
    """
    records = list(records)
    paths = {
        name: data.strip('"').removeprefix("path=")
        for name, type_, data in records
        if type_ == "TXT"
    }
    ranked: list[tuple[int, Setting]] = []
    denied = set()
    urls: list[tuple[str, str]] = []
    for name, type_, data in records:
        if type_ != "SRV" or name not in _SERVICES:
            continue
        kind, security = _SERVICES[name]
        priority, _, port, target = data.split()
        host = target.removesuffix(".")
        if not security:
            assert host, "programs look no further than a denial"
            path = paths.get(name, f"/.well-known/{kind}")
            urls.append((kind, f"https://{host}:{port}{path}"))
        elif host:
            setting = Setting(kind, host, int(port), security, None)
            ranked.append((int(priority), setting))
        else:
            denied.add((kind, security))
    ranked.sort(key=lambda pair: pair[0])
    return _account((account for _, account in ranked), urls), denied


def with_port(url: str) -> str:
    """A URL whose port is always there, to be compared."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return parts._replace(netloc=f"{host}:{port}").geturl()
