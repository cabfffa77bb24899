"""The accounts that a client sets up, read from every format but config-v1.1.xml."""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..address import fold, is_ip
from ..config.ports import standard_port
from . import activesync, apple, outlook, pacc
from .broken import beginning
from .xml import MOST_BYTES, NotXmlError, local_name, parse

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Item = TypeVar("Item")
_MOST_SERVERS = 100  # in a document, since servers are compared pairwise
_CHARACTER = re.compile(r" \(char \d+\)$")  # in the errors of JSON
_MOST_UNFOLDED = 64 * 1024 * 1024  # bytes


class Account(NamedTuple):
    """A server as a client sets it up. Values that the document lacks are None or ""."""

    type: str  # of the TOML's tables
    hostname: str
    port: int
    socket_type: str
    username: str | None = None  # with placeholders, or filled in
    authentication: str = ""
    url: str = ""  # of a service that speaks HTTP
    needs_domain: bool = False  # people must type DOMAIN\\name
    never_asks: bool = False  # for the password

    def __str__(self) -> str:
        if self.url:
            return f"{self.type} {self.url}"
        return f"{self.type} {self.hostname}:{self.port} {self.socket_type}"

    def as_json(self) -> dict[str, object]:
        """Return the values that are known, by the TOML's keys."""
        if self.url:
            return {"type": self.type, "url": self.url}
        return {key: value for key, value in self._asdict().items() if value}


class Setup(NamedTuple):
    """Everything that a client sets up."""

    servers: tuple[Account, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or "nothing"


class MeaninglessError(ValueError):
    """A document that a client cannot use; `cure` says what to do."""

    def __init__(
        self, message: str, cure: str = "let this service answer there"
    ) -> None:
        self.cure = cure
        super().__init__(message)


class RedirectedError(MeaninglessError):
    """An Autodiscover answer that sends the client on, to a URL or another address."""

    def __init__(self, action: str, target: str) -> None:
        self.target = target
        cure = "answer with the settings, or take them from where it leads"
        super().__init__(f"its Action is {action}, to {target[:200]}", cure)


def _broken(message: str, document: bytes, error: Exception) -> MeaninglessError:
    """Return the error for a document that cannot be parsed, with what stands there."""
    why = _CHARACTER.sub("", str(error).removeprefix("not XML: "))
    words, cure = beginning(document, f"{message}: {error}")
    told = "; ".join(filter(None, (why if "line " in why else "", words)))
    message = f"{message}: {told}" if told else message
    return MeaninglessError(message, *filter(None, [cure]))


# Gets the error of an invalid server, which is then left out. Without one it is raised.
Skip = Callable[[MeaninglessError], object] | None


def _setup(
    items: Sequence[Item], account: Callable[[Item], Account], skip: Skip = None
) -> Setup:
    """Return the accounts of a document's servers; raises MeaninglessError."""
    if len(items) > _MOST_SERVERS:
        message = f"it has {len(items)} servers, more than {_MOST_SERVERS}"
        raise MeaninglessError(message)
    accounts = []
    for item in items:
        try:
            found = account(item)
            if found.hostname and not is_host(found.hostname):
                raise MeaninglessError(
                    f"the server is called {found.hostname[:80]!r}, which is no host name",
                    "write the host name out",
                )
        except MeaninglessError as error:
            if skip is None:
                raise
            skip(error)
        else:
            accounts.append(found._replace(hostname=found.hostname.removesuffix(".")))
    return Setup(tuple(accounts))


def is_host(name: str) -> bool:
    """Whether it is a host name or an IP address."""
    try:
        return is_ip(name) or bool(fold(name))
    except ValueError:
        return False


def port_of(text: str) -> int | None:
    """Return the port in *text*, None if it is not a number from 1 to 65535."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        return None
    return int(text) if 0 < int(text) < 65536 else None


# --- Autodiscover ---------------------------------------------------------------------

_OUTLOOK_TYPES = {
    word.upper(): type_ for type_, word in (outlook.TYPES | outlook.DAV_TYPES).items()
}
_OUTLOOK_SOCKET_TYPES = {
    encryption.upper(): type_ for type_, (_, encryption) in outlook.ENCRYPTION.items()
}
_NOT_SERVED = (str(outlook.NOT_SERVED), "603")


def read_outlook(body: bytes, skip: Skip = None) -> Setup:
    """Return what Outlook sets up (MS-OXDSCLI, 2.2.4); raises MeaninglessError."""
    try:
        root = parse(body)
    except NotXmlError as error:
        raise _broken("the answer is no XML", body, error) from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            raise _by_error_code(root, (element.text or "").strip()[:20])

    protocols = [
        {local_name(child): (child.text or "").strip() for child in protocol}
        for protocol in (
            *root.iter(f"{{{outlook.RESPONSE}}}{outlook.PROTOCOL}"),
            *root.iter(f"{{{activesync.NAMESPACE}}}{outlook.SERVER}"),
        )
    ]
    if not protocols:
        raise _without_servers(root)
    servers = [
        said
        for said in protocols
        if said.get(outlook.SERVER)
        and said.get(outlook.TYPE, "").upper() in _OUTLOOK_TYPES
    ]
    setup = _setup(servers, _outlook_account, skip)
    # An Exchange server names its services in several protocols.
    services = dict.fromkeys(
        Account(type_, "", 0, "", url=said[name])
        for said in protocols
        for name, type_ in (("EwsUrl", "ews"), ("Url", "activesync"))
        if said.get(name)
    )
    return Setup((*setup.servers, *services))


def without_action(body: bytes) -> str:
    """Return why an Autodiscover answer does not say what to do with it, or ""."""
    action = _text(parse(body), "Action")
    if action.lower() in ("settings", "redirecturl", "redirectaddr"):
        return ""
    said = f"its <Action> is {action[:40]!r}" if action else "it has no <Action>"
    return f"{said}, so that Outlook uses none of its settings"


def _text(root: Element, name: str) -> str:
    """Return the text of the first element with this name, in any namespace."""
    texts = (it.text or "" for it in root.iter() if local_name(it) == name)
    return next(texts, "").strip()


def _by_error_code(root: Element, code: str) -> MeaninglessError:
    message = _text(root, "Message")[:120]
    words = f": “{message}”" if message else ""
    cure = "look at the log of the program that answers"
    if code in _NOT_SERVED:
        words = ": it does not know the domain"
        cure = "add the domain to what serves it, or look at its log"
    elif code == str(outlook.INVALID_REQUEST):
        words = ": the request did not arrive at the program as it was sent"
        cure = (
            "let proxies pass on the POST request with its body, and forward it "
            "instead of redirecting it (after status 301 or 302 clients send a GET)"
        )
    return MeaninglessError(f"Autodiscover error {code}{words}", cure)


def _without_servers(root: Element) -> MeaninglessError:
    """Return why an Autodiscover answer has no servers."""
    action = _text(root, "Action")
    for known in ("redirectUrl", "redirectAddr"):
        target = _text(root, known.replace("r", "R", 1))
        if action.lower() == known.lower() and target:
            return RedirectedError(known, target)
    found = [it for it in root.iter() if local_name(it) == outlook.PROTOCOL]
    if not found:
        message = "the answer has no server in it"
        if local_name(root) == "clientConfig":
            message += ": it is Thunderbird's document, <clientConfig>"
        return MeaninglessError(message)
    namespace, _, _ = str(found[0].tag).rpartition("}")
    said = f'the xmlns "{namespace[1:][:120]}"' if namespace else "no xmlns"
    return MeaninglessError(
        f"its <Response> has {said}, so that Outlook finds no settings in it",
        f'write <Response xmlns="{outlook.RESPONSE}">',
    )


def _outlook_account(said: dict[str, str]) -> Account:
    type_ = _OUTLOOK_TYPES[said[outlook.TYPE].upper()]
    username = said.get(outlook.LOGIN_NAME) or None
    if type_ in outlook.DAV_TYPES:
        return Account(type_, "", 0, "", username, url=said[outlook.SERVER])
    is_secure = said.get(outlook.SSL, "on").lower() == "on"
    word = said.get(outlook.ENCRYPTED_BY) or "Auto"
    if word.upper() not in (*_OUTLOOK_SOCKET_TYPES, "AUTO"):
        message = f"the Encryption of the {type_} server is {word[:40]!r}, a word that "
        cure = "write <Encryption>TLS</Encryption> for STARTTLS, or SSL for TLS at once"
        raise MeaninglessError(f"{message}Outlook does not know", cure)
    kind = _OUTLOOK_SOCKET_TYPES.get(word.upper(), "SSL")
    socket_type = kind if is_secure else "plain"
    standard, digits = standard_port(type_, socket_type), said.get(outlook.PORT)
    port = port_of(digits) if digits else standard
    if digits and port is None:
        message = f"the port of the {type_} server is {digits[:40]!r}"
        raise MeaninglessError(message, f"write a number: <Port>{standard}</Port>")
    is_ntlm = said.get(outlook.SPA, "on").lower() == "on"
    method = "NTLM" if is_ntlm else "password-cleartext"
    if said.get(outlook.AUTH_REQUIRED, "on").lower() == "off":
        method = "none"
    return Account(
        *(type_, said[outlook.SERVER], port or 0, socket_type, username, method),
        needs_domain=said.get(outlook.DOMAIN_REQUIRED, "off").lower() == "on",
    )


# --- Profiles -------------------------------------------------------------------------

_APPLE_TYPES = {word: type_ for type_, word in apple.MAIL_TYPES.items()}
# What the keys of each server in a payload begin with.
_APPLE_WAYS = {
    apple.MAIL: (apple.INCOMING, apple.OUTGOING),
    apple.DAV["CalDAV"]: ("CalDAV",),
    apple.DAV["CardDAV"]: ("CardDAV",),
    apple.EXCHANGE: ("",),
}
# Several methods may have one word: the first of them stands for it.
_APPLE_METHODS = {word: str(it) for it, word in reversed(apple.METHODS.items())}


def read_profile(property_list: bytes, skip: Skip = None) -> Setup:
    """Return what an iPhone sets up from a profile; raises MeaninglessError."""
    if len(property_list) > MOST_BYTES:
        raise MeaninglessError(f"it has more than {MOST_BYTES // 1024} KiB")
    # The objects of a binary one may overlap: each may be as long as the whole.
    objects = int.from_bytes(property_list[-24:-16])
    is_binary = property_list.startswith(b"bplist")
    if is_binary and objects * len(property_list) > _MOST_UNFOLDED:
        raise MeaninglessError("it is a binary property list without bounds")
    try:
        payloads = plistlib.loads(property_list)["PayloadContent"]
        kinds = [payload.get("PayloadType") for payload in payloads]
    except Exception as error:  # plistlib raises whatever its parsers do
        message = "it is no configuration profile"
        raise _broken(message, property_list, error) from error
    if not payloads:
        raise MeaninglessError("the profile has nothing in it")
    servers = [
        (payload, way)
        for kind, payload in zip(kinds, payloads, strict=True)
        for way in _APPLE_WAYS.get(kind if isinstance(kind, str) else "", ())
    ]
    return _setup(servers, _apple_account, skip)


def _apple_account(server: tuple[dict[str, Any], str]) -> Account:
    payload, way = server

    def text(key: str) -> str:
        # In a binary list one object may be in many places: written out, a list in lists
        # grows without bound.
        value = payload.get(key)
        return value if isinstance(value, str) else ""

    if way not in _APPLE_WAYS[apple.MAIL]:
        return _apple_service(payload, way, text)
    type_ = "smtp"
    if way == apple.INCOMING:
        word = text(apple.MAIL_TYPE) or apple.MAIL_TYPES["imap"]
        type_ = _APPLE_TYPES.get(word, "")
        if not type_:
            message = f"{apple.MAIL_TYPE} is {word[:80]!r}, which devices do not know"
            raise MeaninglessError(message, f"write {' or '.join(_APPLE_TYPES)}")
    standard = standard_port(type_, "SSL") or 0
    port = payload.get(way + apple.PORT)
    if isinstance(port, str):
        message = f"the port of the {type_} server is a <string>, which devices refuse"
        raise MeaninglessError(message, f"write <integer>{standard}</integer>")
    if not isinstance(port, int):
        port = standard
    elif not 0 < port < 65536:
        message = f"the port of the {type_} server is none"
        raise MeaninglessError(message, "write a number below 65536")
    # The key of TLS at once and of STARTTLS is the same: the port tells them apart.
    starting = {standard_port(type_, it) for it in ("STARTTLS", "plain")}
    socket_type = "STARTTLS" if port in starting else "SSL"
    if payload.get(way + apple.USE_SSL) is not True:
        socket_type = "plain"
    username = text(way + apple.USERNAME) or None
    method = _APPLE_METHODS.get(text(way + apple.METHOD), "")
    host = text(way + apple.HOST_NAME)
    if not host:
        key = way + apple.HOST_NAME
        raise MeaninglessError(f"the {type_} server has no {key}", f"add {key}")
    is_mute = payload.get(f"{way[:8]}Password") == ""  # Incoming or Outgoing
    return Account(
        *(type_, host, port, socket_type, username, method), never_asks=is_mute
    )


def _apple_service(
    payload: dict[str, Any], way: str, text: Callable[[str], str]
) -> Account:
    """Return a calendar, an address book or an Exchange server, with its URL."""
    scheme = (
        "http" if payload.get(f"{way}UseSSL", payload.get("SSL")) is False else "https"
    )
    host, port = text(f"{way}HostName") or text("Host"), payload.get(f"{way}Port")
    if not host or not is_host(host):
        raise MeaninglessError(f"the {way or 'Exchange'} account has no valid host")
    if isinstance(port, int) and port != (443 if scheme == "https" else 80):
        host = f"{host}:{port}"
    type_ = way.lower() or "activesync"
    path = text(f"{way}PrincipalURL") or f"/.well-known/{type_}"
    if not way:
        path = "/Microsoft-Server-ActiveSync"  # as MS-ASHTTP has it (section 2.2.1.1.1)
    username = text(f"{way}Username" if way else "UserName") or None
    return Account(type_, "", 0, "", username, url=f"{scheme}://{host}{path}")


# --- PACC -----------------------------------------------------------------------------

_PACC_CURE = 'write "password": true, if people log in with a password'
_PACC_TYPES = {word: type_ for type_, words in pacc.HOSTS.items() for word in words}


def read_pacc(body: bytes) -> Setup:
    """Return what a PACC client sets up; raises MeaninglessError."""
    try:
        document = json.loads(body)
        protocols, methods = document[pacc.PROTOCOLS], document.get("authentication")
        hosts = [
            (type_, str(protocols[word][pacc.HOST]))
            for word, type_ in _PACC_TYPES.items()
            if word in protocols
        ]
    except json.JSONDecodeError as error:
        raise _broken("it is no JSON", body, error) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MeaninglessError("it is no JSON with protocols in it") from error
    if hosts and protocols.keys().isdisjoint(("imap", "pop3", "jmap")):
        raise MeaninglessError("it has no server to read mail from", "add imap")
    if isinstance(methods, dict) and methods and not any(methods.values()):
        raise MeaninglessError("its authentication allows no method", _PACC_CURE)
    return _setup(
        hosts, lambda it: Account(*it, standard_port(it[0], "SSL") or 0, "SSL")
    )
