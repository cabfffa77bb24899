"""What a client sets up, in one form whatever it read, so that two can be compared."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Iterator, Sized
from typing import Any, NamedTuple

from ...address import Address, fill_in, fold, is_ip, with_domain
from ...config.ports import MAIL_TYPES, standard_port
from ...config.tables import Provider
from ...documents.xml import MOST_BYTES, NotXmlError, local_name, parse
from ..mail import Endpoint
from ..untrusted import split_url


class Account(NamedTuple):
    """A server as a client sets it up. What it was not told is None or ""."""

    type: str  # imap, pop3, smtp, caldav, carddav
    hostname: str
    port: int
    socket_type: str
    username: str | None = None  # with placeholders, or filled in
    authentication: str = ""
    url: str = ""  # of what speaks HTTP

    def __str__(self) -> str:
        if self.url:
            return f"{self.type} {self.url}"
        return f"{self.type} {self.hostname}:{self.port} {self.socket_type}"

    @property
    def endpoint(self) -> Endpoint:
        """Where it is, and how it is spoken to."""
        return Endpoint(self.type, self.hostname, self.port, self.socket_type)

    def as_json(self) -> dict[str, object]:
        """With the TOML's keys, without those that were not told."""
        said = {key: value for key, value in self._asdict().items() if value}
        if self.url:
            return {"type": self.type, "url": self.url}
        return said


class Setup(NamedTuple):
    """All that a client sets up."""

    servers: tuple[Account, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or "nothing"


def of_provider(provider: Provider, domain: str) -> list[Account]:
    """The mail servers of a provider, as a client that reads all of it sets them up."""
    return [
        Account(
            server.type,
            with_domain(server.hostname, domain),
            server.port or 0,
            server.socket_type or "SSL",
            with_domain(server.username, domain) if server.username else None,
            str(server.authentication[0]),
        )
        for _, server in provider.servers
        if server.type in MAIL_TYPES and server.hostname
    ]


def differences(
    ours: Setup, theirs: Setup, who: Address
) -> Iterator[tuple[Account, Account]]:
    """Servers of one type that two would set up differently: ours, theirs."""
    for our in ours.servers:
        same_type = [it for it in theirs.servers if it.type == our.type]
        if same_type and not any(_is_same(our, it, who) for it in same_type):
            yield our, same_type[0]


def _is_same(one: Account, other: Account, who: Address) -> bool:
    if one.url or other.url:
        return one.url.rstrip("/") == other.url.rstrip("/")
    if one[1:4] != other[1:4]:
        return False
    methods = {one.authentication, other.authentication} - {""}
    if len(methods) > 1:
        return False
    names = [fill_in(it.username, who.domain, who) for it in (one, other)]
    return not all(names) or names[0] == names[1]


def in_words(account: Account, beside: Account) -> str:
    """A server in words, with whatever else makes it another than the one beside it."""
    words = str(account)
    if account.username != beside.username and account.username:
        words += f", user name {account.username}"
    methods = {account.authentication, beside.authentication}
    if len(methods) > 1 and "" not in methods:
        words += f", {account.authentication}"
    return words


# --- What the other documents say -----------------------------------------------------


class MeaninglessError(ValueError):
    """Why a document says nothing to its client; `cure` says what to do."""

    def __init__(
        self, message: str, cure: str = "let this service answer there"
    ) -> None:
        self.cure = cure
        super().__init__(message)


_OUTLOOK = (
    "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
)
_POX_TYPES = {"IMAP": "imap", "POP3": "pop3", "SMTP": "smtp"}


def of_pox(body: bytes) -> Setup:
    """What Outlook sets up (MS-OXDSCLI, 2.2.4); raises MeaninglessError."""
    try:
        root = parse(body)
    except NotXmlError as error:
        raise MeaninglessError("the answer is no XML") from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            code = (element.text or "").strip()[:20]
            words = ": it does not know the domain" if code in ("500", "603") else ""
            raise MeaninglessError(
                f"Autodiscover error {code}{words}",
                "add the domain to what serves it, or look at its log",
            )
    accounts = []
    protocols = list(root.iter(f"{_OUTLOOK}Protocol"))
    _bounded(protocols)
    for protocol in protocols:
        said = {local_name(child): (child.text or "").strip() for child in protocol}
        type_ = _POX_TYPES.get(said.get("Type", "").upper())
        if type_ and said.get("Server"):
            _insist(said["Server"])
            accounts.append(_of_protocol(type_, said))
    if not accounts:
        if protocols:
            return Setup(())
        raise MeaninglessError("the answer has no server in it")
    return Setup(tuple(accounts))


_MOST_SERVERS = 100  # of a document; each is compared with each of another document


def _bounded(servers: Sized) -> None:
    if len(servers) > _MOST_SERVERS:
        message = f"it has {len(servers)} servers, more than {_MOST_SERVERS}"
        raise MeaninglessError(message)


def _insist(host: str) -> None:
    try:
        fold(host)
    except ValueError:
        raise MeaninglessError(
            f"the server is called {host[:80]!r}, which is no host name",
            "write the host name out",
        ) from None


def _of_protocol(type_: str, said: dict[str, str]) -> Account:
    is_secure = said.get("SSL", "on").lower() == "on"
    kind = said.get("Encryption", "").upper()
    socket_type = {"TLS": "STARTTLS", "NONE": "plain"}.get(kind, "SSL")
    socket_type = socket_type if is_secure else "plain"
    port = said.get("Port", "")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
    if not 0 < number < 65536:
        number = standard_port(type_, socket_type) or 0
    username = said.get("LoginName") or None
    method = "NTLM" if said.get("SPA", "on").lower() == "on" else "password-cleartext"
    return Account(type_, said["Server"], number, socket_type, username, method)


_PACC_TYPES = {"imap": "imap", "pop3": "pop3", "submit": "smtp", "smtp": "smtp"}


def of_pacc(body: bytes) -> Setup:
    """What a PACC client sets up; raises MeaninglessError."""
    try:
        said = json.loads(body)
        protocols = said["protocols"]
        hosts = {
            kind: str(protocols[kind]["host"])
            for kind in _PACC_TYPES
            if kind in protocols
        }
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MeaninglessError("it is no JSON with protocols in it") from error
    for host in hosts.values():
        _insist(host)
    return Setup(
        tuple(
            Account(
                _PACC_TYPES[kind],
                host,
                standard_port(_PACC_TYPES[kind], "SSL") or 0,
                "SSL",
            )
            for kind, host in hosts.items()
        )
    )


_APPLE_TYPES = {"EmailTypeIMAP": "imap", "EmailTypePOP": "pop3"}
_APPLE_METHODS = {
    "EmailAuthPassword": "password-cleartext",
    "EmailAuthCRAMMD5": "password-encrypted",
    "EmailAuthNTLM": "NTLM",
    "EmailAuthNone": "none",
}


_MOST_UNFOLDED = 64 * 1024 * 1024  # bytes


def of_profile(property_list: bytes) -> Setup:
    """What an iPhone sets up from a profile; raises MeaninglessError."""
    if len(property_list) > MOST_BYTES:
        raise MeaninglessError(f"it has more than {MOST_BYTES // 1024} KiB")
    # The objects of a binary one may overlap: each may be as long as the whole.
    objects = int.from_bytes(property_list[-24:-16])
    is_binary = property_list.startswith(b"bplist")
    if is_binary and objects * len(property_list) > _MOST_UNFOLDED:
        raise MeaninglessError("it is a binary property list without bounds")
    try:
        profile = plistlib.loads(property_list)
        payloads = profile["PayloadContent"]
        _bounded(payloads)
        kinds = [payload.get("PayloadType") for payload in payloads]
    except MeaninglessError:
        raise
    except Exception as error:  # plistlib raises whatever its parsers do
        raise MeaninglessError("it is no configuration profile") from error
    accounts: list[Account] = []
    for kind, payload in zip(kinds, payloads, strict=True):
        if kind == "com.apple.mail.managed":
            incoming = _APPLE_TYPES.get(_text(payload, "EmailAccountType"), "imap")
            accounts.append(_of_payload(payload, "Incoming", incoming))
            accounts.append(_of_payload(payload, "Outgoing", "smtp"))
    if not payloads:
        raise MeaninglessError("the profile has nothing in it")
    return Setup(tuple(accounts))


def _text(payload: dict[str, Any], key: str) -> str:
    """The text of a key, "" for any other kind of value.

    A binary property list may name one object many times: written out, a list in lists
    grows without bound.
    """
    value = payload.get(key)
    return value if isinstance(value, str) else ""


def _of_payload(payload: dict[str, Any], way: str, type_: str) -> Account:
    prefix = f"{way}MailServer"
    is_secure = payload.get(f"{prefix}UseSSL") is True
    port = payload.get(f"{prefix}PortNumber")
    if not isinstance(port, int):
        port = standard_port(type_, "SSL") or 0
    elif not 0 < port < 65536:
        raise MeaninglessError(
            f"the port of the {type_} server is none", "write a number below 65536"
        )
    direct = port == standard_port(type_, "SSL")
    socket_type = ("SSL" if direct else "STARTTLS") if is_secure else "plain"
    name = _text(payload, f"{prefix}Username") or None
    method = _APPLE_METHODS.get(_text(payload, f"{prefix}Authentication"), "")
    host = _text(payload, f"{prefix}HostName")
    if host:
        _insist(host)
    return Account(type_, host, port, socket_type, name, method)


def of_url(type_: str, url: str) -> Account:
    """A calendar or an address book."""
    parts = split_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if host else 0)
    host = f"[{host}]" if is_ip(host) and ":" in host else host
    return Account(type_, host, port, "SSL", url=url)
