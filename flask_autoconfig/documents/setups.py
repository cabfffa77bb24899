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
from .shapes import Slip, beginning, of_another, port_of, shapes, slips
from .xml import MOST_BYTES, NotXmlError, local_name, parse

Item = TypeVar("Item")
_MOST_SERVERS = 100  # in a document, since servers are compared pairwise
_NO_NUMBER = re.compile(
    rb"<key>([^<]*)</key>\s*<(integer|real)(?:\s*/>|>(?!\s*[-+.\d])[^<]*</\2>)"
)
_NUMBER = "write the number into the element, or leave the key out"
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
    servers: tuple[Account, ...]
    slips: tuple[Slip, ...] = ()  # that it goes by without
    identifier: object = None  # of a profile, which replaces one with the same

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


def _broken(
    message: str, document: bytes, error: Exception, format_: str
) -> MeaninglessError:
    """Return the error for a document that cannot be parsed, with what stands there."""
    other = of_another(document, format_)
    if all(other):
        return MeaninglessError(*other)
    if wrong := _NO_NUMBER.search(document):
        key = wrong[1].decode("utf-8", "replace")[:60]
        kind = wrong[2].decode()
        return MeaninglessError(f"{key} has no number in its <{kind}>", _NUMBER)
    why = _CHARACTER.sub("", str(error).removeprefix("not XML: "))
    words, cure = beginning(document, f"{message}: {error}")
    told = "; ".join(filter(None, (why if "line " in why else "", words)))
    message = f"{message}: {told}" if told else message
    return MeaninglessError(message, *filter(None, [cure]))


# Gets the error of an invalid server, which is then left out. Without one it is raised.
Skip = Callable[[MeaninglessError], object] | None


def _setup(
    found: Sequence[Slip],
    items: Sequence[tuple[Any, tuple[str, ...], Item]],
    account: Callable[[Item], Account],
    skip: Skip = None,
) -> Setup:
    """Return accounts of items: a document's part, its keys' beginnings, a server."""
    if len(items) > _MOST_SERVERS:
        message = f"it has {len(items)} servers, more than {_MOST_SERVERS}"
        raise MeaninglessError(message)
    fatal = [slip for slip in found if slip.is_fatal]
    if fatal and skip is None:
        raise _error(fatal)
    accounts = []
    for part, begins, item in items:
        wrong = [it for it in fatal if it.part is part and it.key.startswith(begins)]
        if wrong and skip is not None:
            skip(_error(wrong))
            continue
        made = account(item)
        host = made.hostname.removesuffix(".").lower()
        accounts.append(made._replace(hostname=host))
    return Setup(tuple(accounts), tuple(it for it in found if not it.is_fatal))


def _error(found: Sequence[Slip]) -> MeaninglessError:
    messages = dict.fromkeys(slip.message for slip in found[:3])
    cures = dict.fromkeys(slip.cure for slip in found[:3])
    return MeaninglessError("; ".join(messages), "; ".join(cures))


# --- Autodiscover ---------------------------------------------------------------------

_OUTLOOK_TYPES = {
    word.upper(): type_ for type_, word in (outlook.TYPES | outlook.DAV_TYPES).items()
}
_OUTLOOK_SOCKET_TYPES = {
    encryption.upper(): type_ for type_, (_, encryption) in outlook.ENCRYPTION.items()
}


def read_outlook(body: bytes, skip: Skip = None, ignores: str = "") -> Setup:
    """Return what Outlook (others: without *ignores*) sets up, or raise."""
    try:
        root = parse(body)
    except NotXmlError as error:
        raise _broken("the answer is no XML", body, error, "autodiscover") from error
    for element in root.iter():
        if local_name(element) == "ErrorCode":
            code, said = (element.text or "").strip()[:20], _text(root, "Message")
            errors = shapes()["error"]
            row = errors.get(code, errors["other"])
            words = row.get("says") or (f": “{said[:120]}”" if said else "")
            raise MeaninglessError(f"Autodiscover error {code}{words}", row["cure"])

    protocols = [
        (protocol, {local_name(it): (it.text or "").strip() for it in protocol})
        for protocol in (
            *root.iter(f"{{{outlook.RESPONSE}}}{outlook.PROTOCOL}"),
            *root.iter(f"{{{activesync.NAMESPACE}}}{outlook.SERVER}"),
        )
    ]
    listed = [it for it in slips("autodiscover", root) if it.key != ignores]
    if not str(root.tag).startswith(f"{{{outlook.NAMESPACE}}}"):
        said, cure = _namespace_of(root), f'xmlns="{outlook.NAMESPACE}"'
        said, cure = f"<Autodiscover> has {said}", f"write <Autodiscover {cure}>"
        listed.append(Slip(root, "", said, cure, False))
    if not protocols:
        raise _without_servers(root, body, listed)
    servers = [
        (part, ("",), said)
        for part, said in protocols
        if said.get(outlook.TYPE, "").upper() in _OUTLOOK_TYPES
    ]
    setup = _setup(listed, servers, partial(_outlook_account, ignores=ignores), skip)
    # An Exchange server names its services in several protocols.
    services = dict.fromkeys(
        Account(type_, "", 0, "", url=said[name])
        for _, said in protocols
        for name, type_ in (("EwsUrl", "ews"), ("Url", "activesync"))
        if said.get(name)
    )
    if {said.get(outlook.TYPE, "").upper() for _, said in protocols} == {"WEB"}:
        message, cure = "the answer names only a webmail", "add IMAP and SMTP servers"
        raise MeaninglessError(message, f"{cure}, each in a <Protocol>")
    return setup._replace(servers=(*setup.servers, *services))


def _text(root: Element, name: str) -> str:
    texts = (it.text or "" for it in root.iter() if local_name(it) == name)
    return next(texts, "").strip()


def _without_servers(
    root: Element, body: bytes, listed: Sequence[Slip]
) -> MeaninglessError:
    action = _text(root, "Action")
    for known in ("redirectUrl", "redirectAddr"):
        target = _text(root, known.replace("r", "R", 1))
        if action.lower() == known.lower() and target:
            return RedirectedError(known, target)
    found = [it for it in root.iter() if local_name(it) == outlook.PROTOCOL]
    if not found:
        other, cure = of_another(body, "autodiscover")
        for slip in listed[:1]:
            other, cure = other or slip.message, cure or slip.cure
        said = f"the answer has no server in it{': ' if other else ''}{other}"
        return MeaninglessError(said, *filter(None, [cure]))
    return MeaninglessError(
        f"its <Response> has {_namespace_of(found[0])}, so that Outlook finds no "
        "settings in it",
        f'write <Response xmlns="{outlook.RESPONSE}">',
    )


def _namespace_of(element: Element) -> str:
    namespace, _, _ = str(element.tag).rpartition("}")
    return f'the xmlns "{namespace[1:][:120]}"' if namespace else "no xmlns"


def _outlook_account(said: dict[str, str], *, ignores: str) -> Account:
    type_ = _OUTLOOK_TYPES[said[outlook.TYPE].upper()]
    username = said.get(outlook.LOGIN_NAME) or None
    if type_ in outlook.DAV_TYPES:
        return Account(type_, "", 0, "", username, url=said[outlook.SERVER])
    is_secure = said.get(outlook.SSL, "on").lower() == "on"
    socket_type = "SSL" if is_secure else "plain"
    if is_secure or not ignores:  # for Outlook, Encryption overrides SSL (MS-OXDSCLI)
        word = said.get(outlook.ENCRYPTED_BY, "").upper()
        socket_type = _OUTLOOK_SOCKET_TYPES.get(word, socket_type)
    port = port_of(said.get(outlook.PORT, "")) or standard_port(type_, socket_type)
    is_ntlm = said.get(outlook.SPA, "on").lower() == "on"
    method = "NTLM" if is_ntlm else "password-cleartext"
    if said.get(outlook.AUTH_REQUIRED, "on").lower() == "off":
        method = "none"
    host = said[outlook.SERVER]
    return Account(type_, host, port or 0, socket_type, username, method)


# --- Profiles -------------------------------------------------------------------------

_APPLE_TYPES = {word: type_ for type_, word in apple.MAIL_TYPES.items()}
# What the keys of each server in a payload begin with.
_APPLE_WAYS = {
    apple.MAIL: (apple.INCOMING, apple.OUTGOING),
    apple.DAV["CalDAV"]: ("CalDAV",),
    apple.DAV["CardDAV"]: ("CardDAV",),
    apple.EXCHANGE: ("",),
}
_APPLE_ALSO = {apple.INCOMING: (apple.MAIL_TYPE,)}
# Several methods may have one word: the first of them stands for it.
_APPLE_METHODS = {word: str(it) for it, word in reversed(apple.METHODS.items())}


_SAME = shapes()["format"]["profile"]["same"]


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
        profile = plistlib.loads(property_list)
        found, payloads = slips("profile", profile), profile.get("PayloadContent")
        if wrong := [it for it in found if it.key == "PayloadContent"]:
            raise _error(wrong)
        kinds = [payload.get("PayloadType") for payload in payloads]
        numbers = [it.get("PayloadUUID") for it in (profile, *payloads)]
        numbers = [it.upper() for it in numbers if isinstance(it, str)]
        if len({*numbers}) < len(numbers):  # as in a template
            found.append(Slip(profile, "PayloadUUID", **_SAME))
    except MeaninglessError:
        raise
    except Exception as error:  # plistlib raises whatever its parsers do
        message = "it is no configuration profile"
        raise _broken(message, property_list, error, "profile") from error
    if not 0 < len(payloads) <= _MOST_SERVERS:
        most = f", more than {_MOST_SERVERS}" if payloads else ""
        raise MeaninglessError(f"the profile has {len(payloads)} payloads{most}")
    servers = [
        (payload, (way, *_APPLE_ALSO.get(way, ())), (payload, way))
        for kind, payload in zip(kinds, payloads, strict=True)
        for way in _APPLE_WAYS.get(kind if isinstance(kind, str) else "", ())
    ]
    setup = _setup(found, servers, _apple_account, skip)
    if not setup.servers:
        listed = ", ".join(sorted({str(kind)[:60] for kind in kinds}))
        empty = shapes()["format"]["profile"]["empty"]
        raise MeaninglessError(f"{empty['message']} ({listed})", empty["cure"])
    return setup._replace(identifier=profile.get("PayloadIdentifier"))


def _apple_account(server: tuple[dict[str, Any], str]) -> Account:
    payload, way = server
    is_mail = way in _APPLE_WAYS[apple.MAIL]

    def text(key: str) -> str:
        # In a binary list one object may be in many places: written out, a list in lists
        # grows without bound.
        value = payload.get(key)
        return value if isinstance(value, str) else ""

    username = text(way + apple.USERNAME if way else "UserName") or None
    host, port = text(way + apple.HOST_NAME) or text("Host"), payload.get(f"{way}Port")
    if not is_mail:
        uses_ssl = payload.get(f"{way}UseSSL", payload.get("SSL"))
        scheme = "http" if uses_ssl is False else "https"
        if isinstance(port, int) and port != (443 if scheme == "https" else 80):
            host = f"{host}:{port}"
        type_ = way.lower() or "activesync"
        path = text(f"{way}PrincipalURL") or f"/.well-known/{type_}"
        if not way:
            path = "/Microsoft-Server-ActiveSync"  # MS-ASHTTP, section 2.2.1.1.1
        url = path if "://" in path else f"{scheme}://{host}{path}"
        return Account(type_, "", 0, "", username, url=url)

    type_ = "smtp"
    if way == apple.INCOMING:
        type_ = _APPLE_TYPES.get(text(apple.MAIL_TYPE), "imap")
    port = payload.get(way + apple.PORT)
    port = port if isinstance(port, int) else standard_port(type_, "SSL") or 0
    # The key of implicit TLS and of STARTTLS is the same: the port tells them apart.
    starting = {standard_port(type_, it) for it in ("STARTTLS", "plain")}
    socket_type = "STARTTLS" if port in starting else "SSL"
    if payload.get(way + apple.USE_SSL) is not True:
        socket_type = "plain"
    method = _APPLE_METHODS.get(text(way + apple.METHOD), "")
    return Account(type_, host, port, socket_type, username, method)


# --- PACC -----------------------------------------------------------------------------

_PACC_TYPES = {word: type_ for type_, words in pacc.HOSTS.items() for word in words}


def read_pacc(body: bytes) -> Setup:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _broken("it is no JSON", body, error, "pacc") from error
    found = slips("pacc", document)
    if fatal := [slip for slip in found if slip.is_fatal]:
        raise _error(fatal)
    hosts = [
        (None, (), (type_, document[pacc.PROTOCOLS][word][pacc.HOST]))
        for word, type_ in _PACC_TYPES.items()
        if word in document[pacc.PROTOCOLS]
    ]
    return _setup(
        found, hosts, lambda it: Account(*it, standard_port(it[0], "SSL") or 0, "SSL")
    )
