"""The accounts that a client sets up, read from every format but config-v1.1.xml."""

import json
import plistlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from xml.etree.ElementTree import Element

from ..config.ports import standard_port
from . import activesync, apple, outlook, pacc
from .shapes import Slip, beginning, of_another, port_of, shapes, slips_of
from .xml import MAX_BYTES, NotXmlError, local_name, parse

Values = TypeVar("Values")
_MAX_SERVERS = 100  # in a document, since servers are compared pairwise
_CHARACTER = re.compile(r" \(char \d+\)$")  # in the errors of JSON
_MAX_UNFOLDED = 64 * 1024 * 1024  # bytes


class Account(NamedTuple):
    """A server as a client sets it up. Values that the document lacks are None or ""."""

    type: str  # of the TOML's tables
    hostname: str
    port: int
    socket_type: str
    username: str | None = None  # with placeholders, or filled in
    authentication: str = ""
    url: str = ""  # of a service that speaks HTTP

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
    """What a client sets up from a document."""

    servers: tuple[Account, ...]
    slips: tuple[Slip, ...] = ()  # those that the client tolerates

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or "nothing"


class UnusableDocumentError(ValueError):
    """A document that a client cannot use; `cure` says what to do."""

    def __init__(
        self, message: str, cure: str = "let this service answer there"
    ) -> None:
        self.cure = cure
        super().__init__(message)


class RedirectedError(UnusableDocumentError):
    """An Autodiscover response that refers the client to a URL or another address."""

    def __init__(self, action: str, target: str) -> None:
        self.target = target
        cure = "answer with the settings, or take them from where it leads"
        super().__init__(f"its Action is {action}, to {target[:200]}", cure)


def _broken(
    message: str, document: bytes, error: Exception, format_: str
) -> UnusableDocumentError:
    """Return the error for a document that cannot be parsed."""
    other_format = of_another(document, format_)
    if all(other_format):
        return UnusableDocumentError(*other_format)
    reason = _CHARACTER.sub("", str(error).removeprefix("not XML: "))
    words, cure = beginning(document, f"{message}: {error}")
    details = "; ".join(filter(None, (reason if "line " in reason else "", words)))
    message = f"{message}: {details}" if details else message
    return UnusableDocumentError(message, *filter(None, [cure]))


# Gets the error of an invalid server, which is then left out; if None, it is raised.
Skip = Callable[[UnusableDocumentError], object] | None


# A server: its element or dictionary, its keys' prefixes there, and the account's values.
_Item = tuple[Any, tuple[str, ...], Values]


def _setup(
    slips: Sequence[Slip],
    items: Sequence[_Item[Values]],
    account_of: Callable[[Values], Account],
    skip: Skip = None,
) -> Setup:
    """Return the accounts of items, without those that have a fatal slip."""
    if len(items) > _MAX_SERVERS:
        message = f"it has {len(items)} servers, more than {_MAX_SERVERS}"
        raise UnusableDocumentError(message)
    fatal = [slip for slip in slips if slip.is_fatal]
    if fatal and skip is None:
        raise _error(fatal)
    accounts = []
    for part, prefixes, values in items:
        own = [s for s in fatal if s.part is part and s.key.startswith(prefixes)]
        if own and skip is not None:
            skip(_error(own))
            continue
        account = account_of(values)
        host = account.hostname.removesuffix(".").lower()
        accounts.append(account._replace(hostname=host))
    return Setup(tuple(accounts), tuple(slip for slip in slips if not slip.is_fatal))


def _error(slips: Sequence[Slip]) -> UnusableDocumentError:
    messages = dict.fromkeys(slip.message for slip in slips[:3])
    cures = dict.fromkeys(slip.cure for slip in slips[:3])
    return UnusableDocumentError("; ".join(messages), "; ".join(cures))


# --- Autodiscover ---------------------------------------------------------------------

_OUTLOOK_TYPES = {
    word.upper(): type_ for type_, word in (outlook.TYPES | outlook.DAV_TYPES).items()
}
_OUTLOOK_SOCKET_TYPES = {
    encryption.upper(): type_ for type_, (_, encryption) in outlook.ENCRYPTION.items()
}


def read_outlook(body: bytes, skip: Skip = None, ignores: str = "") -> Setup:
    """Return what Outlook, or a client that *ignores* an element, sets up."""
    try:
        root = parse(body)
    except NotXmlError as error:
        raise _broken("the answer is no XML", body, error, "autodiscover") from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            code, message = (element.text or "").strip()[:20], _text(root, "Message")
            errors = shapes()["error"]
            row = errors.get(code, errors["other"])
            words = row.get("says") or (f": “{message[:120]}”" if message else "")
            raise UnusableDocumentError(
                f"Autodiscover error {code}{words}", row["cure"]
            )

    protocols = [
        (protocol, {local_name(e): (e.text or "").strip() for e in protocol})
        for protocol in (
            *root.iter(f"{{{outlook.RESPONSE}}}{outlook.PROTOCOL}"),
            *root.iter(f"{{{activesync.NAMESPACE}}}{outlook.SERVER}"),
        )
    ]
    slips = [slip for slip in slips_of("autodiscover", root) if slip.key != ignores]
    if not str(root.tag).startswith(f"{{{outlook.NAMESPACE}}}"):
        message = f"<Autodiscover> has {_namespace_of(root)}"
        cure = f'write <Autodiscover xmlns="{outlook.NAMESPACE}">'
        slips.append(Slip(root, "", message, cure, False))
    if not protocols:
        raise _without_servers(root, body, slips)
    servers = [
        (protocol, ("",), texts)
        for protocol, texts in protocols
        if texts.get(outlook.TYPE, "").upper() in _OUTLOOK_TYPES
    ]
    setup = _setup(slips, servers, partial(_outlook_account, ignores=ignores), skip)
    # An Exchange server names its services in several protocols.
    services = dict.fromkeys(
        Account(type_, "", 0, "", url=texts[name])
        for _, texts in protocols
        for name, type_ in (("EwsUrl", "ews"), ("Url", "activesync"))
        if texts.get(name)
    )
    if {texts.get(outlook.TYPE, "").upper() for _, texts in protocols} == {"WEB"}:
        message, cure = "the answer names only a webmail", "add IMAP and SMTP servers"
        raise UnusableDocumentError(message, f"{cure}, each in a <Protocol>")
    return setup._replace(servers=(*setup.servers, *services))


def _text(root: Element, name: str) -> str:
    """Return the text of the first element of that name, or ""."""
    elements = (element for element in root.iter() if local_name(element) == name)
    return next((element.text or "" for element in elements), "").strip()


def _without_servers(
    root: Element, body: bytes, slips: Sequence[Slip]
) -> UnusableDocumentError:
    """Return why a document has no servers that Outlook finds."""
    action = _text(root, "Action")
    for redirect in ("redirectUrl", "redirectAddr"):
        target = _text(root, redirect.replace("r", "R", 1))
        if action.lower() == redirect.lower() and target:
            return RedirectedError(redirect, target)
    for element in root.iter():
        if local_name(element) == outlook.PROTOCOL:
            return UnusableDocumentError(
                f"its <Response> has {_namespace_of(element)}, so that Outlook finds no "
                "settings in it",
                f'write <Response xmlns="{outlook.RESPONSE}">',
            )
    reason, cure = of_another(body, "autodiscover")
    for slip in slips[:1]:
        reason, cure = reason or slip.message, cure or slip.cure
    message = f"the answer has no server in it{': ' if reason else ''}{reason}"
    return UnusableDocumentError(message, *filter(None, [cure]))


def _namespace_of(element: Element) -> str:
    namespace, _, _ = str(element.tag).rpartition("}")
    return f'the xmlns "{namespace[1:][:120]}"' if namespace else "no xmlns"


def _outlook_account(texts: dict[str, str], *, ignores: str) -> Account:
    type_ = _OUTLOOK_TYPES[texts[outlook.TYPE].upper()]
    username = texts.get(outlook.LOGIN_NAME) or None
    if type_ in outlook.DAV_TYPES:
        return Account(type_, "", 0, "", username, url=texts[outlook.SERVER])
    is_secure = texts.get(outlook.SSL, "on").lower() == "on"
    socket_type = "SSL" if is_secure else "plain"
    if is_secure or not ignores:  # for Outlook, Encryption overrides SSL (MS-OXDSCLI)
        encryption = texts.get(outlook.ENCRYPTED_BY, "").upper()
        socket_type = _OUTLOOK_SOCKET_TYPES.get(encryption, socket_type)
    port = port_of(texts.get(outlook.PORT, "")) or standard_port(type_, socket_type)
    is_ntlm = texts.get(outlook.SPA, "on").lower() == "on"
    method = "NTLM" if is_ntlm else "password-cleartext"
    if texts.get(outlook.AUTH_REQUIRED, "on").lower() == "off":
        method = "none"
    host = texts[outlook.SERVER]
    return Account(type_, host, port or 0, socket_type, username, method)


# --- Profiles -------------------------------------------------------------------------

_APPLE_TYPES = {word: type_ for type_, word in apple.MAIL_TYPES.items()}
# The prefixes of the keys of each server in a payload.
_APPLE_PREFIXES = {
    apple.MAIL: (apple.INCOMING, apple.OUTGOING),
    apple.DAV["CalDAV"]: ("CalDAV",),
    apple.DAV["CardDAV"]: ("CardDAV",),
    apple.EXCHANGE: ("",),
}
_APPLE_OTHER_KEYS = {apple.INCOMING: (apple.MAIL_TYPE,)}
# The first of several methods for which a profile has the same word.
_APPLE_METHODS = {word: str(method) for method, word in reversed(apple.METHODS.items())}


def read_profile(property_list: bytes, skip: Skip = None) -> Setup:
    """Return what an iPhone sets up from a profile; raises UnusableDocumentError."""
    if len(property_list) > MAX_BYTES:
        raise UnusableDocumentError(f"it has more than {MAX_BYTES // 1024} KiB")
    # The objects of a binary property list may overlap, each as long as the whole list.
    objects = int.from_bytes(property_list[-24:-16])
    is_binary = property_list.startswith(b"bplist")
    if is_binary and objects * len(property_list) > _MAX_UNFOLDED:
        raise UnusableDocumentError("it is a binary property list without bounds")
    try:
        profile = plistlib.loads(property_list)
        slips, payloads = slips_of("profile", profile), profile.get("PayloadContent")
        if fatal := [slip for slip in slips if slip.key == "PayloadContent"]:
            raise _error(fatal)
        types = [payload.get("PayloadType") for payload in payloads]
    except UnusableDocumentError:
        raise
    except Exception as error:  # plistlib raises many kinds
        message = "it is no valid configuration profile"
        raise _broken(message, property_list, error, "profile") from error
    if not 0 < len(payloads) <= _MAX_SERVERS:
        most = f", more than {_MAX_SERVERS}" if payloads else ""
        raise UnusableDocumentError(f"the profile has {len(payloads)} payloads{most}")
    servers = [
        (payload, (prefix, *_APPLE_OTHER_KEYS.get(prefix, ())), (payload, prefix))
        for type_, payload in zip(types, payloads, strict=True)
        for prefix in _APPLE_PREFIXES.get(type_ if isinstance(type_, str) else "", ())
    ]
    setup = _setup(slips, servers, _apple_account, skip)
    if not setup.servers:
        names = ", ".join(sorted({str(type_)[:60] for type_ in types}))
        empty = shapes()["format"]["profile"]["empty"]
        raise UnusableDocumentError(f"{empty['message']} ({names})", empty["cure"])
    return setup


def _apple_account(server: tuple[dict[str, Any], str]) -> Account:
    payload, prefix = server

    def text(key: str) -> str:
        # A list is not written out: in a binary property list, one object may be in many
        # places, so that a list of lists grows without bound.
        value = payload.get(key)
        return value if isinstance(value, str) else ""

    username = text(prefix + apple.USERNAME if prefix else "UserName") or None
    host = text(prefix + apple.HOST_NAME) or text("Host")
    if prefix not in _APPLE_PREFIXES[apple.MAIL]:
        uses_ssl = payload.get(f"{prefix}UseSSL", payload.get("SSL"))
        scheme, standard = ("http", 80) if uses_ssl is False else ("https", 443)
        port = payload.get(f"{prefix}Port")
        if isinstance(port, int) and port != standard:
            host = f"{host}:{port}"
        type_ = prefix.lower() or "activesync"
        path = text(f"{prefix}PrincipalURL") or f"/.well-known/{type_}"
        if not prefix:
            path = "/Microsoft-Server-ActiveSync"  # MS-ASHTTP, section 2.2.1.1.1
        url = path if "://" in path else f"{scheme}://{host}{path}"
        return Account(type_, "", 0, "", username, url=url)

    type_ = "smtp"
    if prefix == apple.INCOMING:
        type_ = _APPLE_TYPES.get(text(apple.MAIL_TYPE), "imap")
    port = payload.get(prefix + apple.PORT)
    port = port if isinstance(port, int) else standard_port(type_, "SSL") or 0
    # The key of implicit TLS and of STARTTLS is the same: the port distinguishes them.
    starttls_ports = {standard_port(type_, word) for word in ("STARTTLS", "plain")}
    socket_type = "STARTTLS" if port in starttls_ports else "SSL"
    if payload.get(prefix + apple.USE_SSL) is not True:
        socket_type = "plain"
    method = _APPLE_METHODS.get(text(prefix + apple.METHOD), "")
    return Account(type_, host, port, socket_type, username, method)


# --- PACC -----------------------------------------------------------------------------

_PACC_TYPES = {word: type_ for type_, words in pacc.HOSTS.items() for word in words}


def _pacc_account(server: tuple[str, str]) -> Account:
    return Account(*server, standard_port(server[0], "SSL") or 0, "SSL")


def read_pacc(body: bytes) -> Setup:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _broken("it is no JSON", body, error, "pacc") from error
    slips = slips_of("pacc", document)
    if fatal := [slip for slip in slips if slip.is_fatal]:
        raise _error(fatal)
    servers = [
        (None, (), (type_, document[pacc.PROTOCOLS][name][pacc.HOST]))
        for name, type_ in _PACC_TYPES.items()
        if name in document[pacc.PROTOCOLS]
    ]
    return _setup(slips, servers, _pacc_account)
