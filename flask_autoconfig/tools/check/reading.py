"""What each client makes of a config-v1.1.xml: its rules, one row a client.

The document is read as it is written, not as it was meant: what a client does not trim,
fill in or tolerate, is not trimmed, filled in or tolerated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ...address import DOMAIN_PLACEHOLDER, Address, fold, with_domain
from ...config.ports import standard_port
from ...config.tables import SocketType
from ...documents.xml import NotXmlError, local_name, parse
from .setups import Account, Setup

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SOCKET_TYPES = get_args(get_args(SocketType)[0])
_PASSWORD, _OAUTH = "password-cleartext", "OAuth2"
# Today's word for each that older documents have.
_WORDS = {"plain": _PASSWORD, "secure": "password-encrypted"}
_WITH_PASSWORD = frozenset((_PASSWORD, "password-encrypted"))
# A value of a server that Delta Chat cuts off at a reference, or does not see in CDATA.
# CDATA without an end reaches to the end of the document, so that it is searched once.
_CUT = re.compile(
    rb"(<(?:hostname|port|username|socketType)>[^<&]*)"
    rb"(?:&[^<]*|<!\[CDATA\[.*?(?:\]\]>|\Z))",
    re.DOTALL,
)


class UnreadableError(ValueError):
    """Why a client makes nothing of a document; `cure` says what to do."""

    def __init__(self, message: str, cure: str) -> None:
        self.cure = cure
        super().__init__(message)


class Rules(NamedTuple):
    """How a client reads. The defaults are those of a tolerant one."""

    pick: Literal["first", "last"] = "first"  # of several servers of a type
    provider: Literal["first", "last"] = "first"  # of several <emailProvider>
    trims: bool = True
    domain: Literal["filled", "empty", "kept"] = "filled"  # what %EMAILDOMAIN% becomes
    oauth: Literal["in turn", "wins", "unknown", "dropped"] = "in turn"
    no_port: Literal["drop", "standard"] = "drop"
    any_socket: bool = False  # a socketType that it does not know means unencrypted
    needs_domain: bool = False  # a <domain> that is one
    no_extra_attributes: bool = False  # any but `type` at a server: nothing is read
    no_byte_order_mark: bool = False
    cuts_references: bool = False
    needs_username: bool = False
    ignores_methods: bool = False
    only_first_incoming: bool = False
    all_or_nothing: bool = False  # one server that it cannot take: nothing is read


THUNDERBIRD = Rules(oauth="dropped", needs_domain=True)
K9 = Rules(provider="last", trims=False, all_or_nothing=True)
EVOLUTION = Rules(
    pick="last",
    trims=False,
    domain="empty",
    oauth="unknown",
    any_socket=True,
    no_extra_attributes=True,
    no_byte_order_mark=True,
)
KONTACT = Rules(trims=False, oauth="wins", any_socket=True)
DELTA_CHAT = Rules(cuts_references=True, needs_username=True, ignores_methods=True)
UNFILLED = Rules(domain="kept")  # GNOME Online Accounts, SnappyMail
FAIREMAIL = Rules(domain="kept", only_first_incoming=True)


class _Raw(NamedTuple):
    """A server as it stands in the document."""

    tag: str
    type: str
    attributes: frozenset[str]
    values: dict[str, str]
    methods: tuple[str, ...]

    def __str__(self) -> str:
        return f"the {self.type or 'nameless'} server"


def read(document: bytes, rules: Rules, who: Address) -> Setup:
    """What a client with these rules sets up for an address; raises UnreadableError."""
    root = _root(document, rules)
    providers = root.findall("emailProvider")
    if str(root.tag).startswith("{"):
        message = "its elements have a namespace, with which no client knows them"
        raise UnreadableError(message, "remove the xmlns")
    if root.tag != "clientConfig" or not providers:
        raise UnreadableError(
            "no <clientConfig> with an <emailProvider> in it: the root is "
            f"<{local_name(root)[:60]}>",
            "make it with this program's `show` or `export`",
        )
    provider = providers[-1 if rules.provider == "last" else 0]
    domains = [(it.text or "").strip() for it in provider.findall("domain")]
    if rules.needs_domain and not any(map(_is_domain, domains)):
        raise UnreadableError("no <domain> in it is one", f"list {who.domain} there")
    if rules.all_or_nothing and not _is_domain(provider.get("id", "")):
        raise UnreadableError(
            f"the id of <emailProvider> is no host name: {provider.get('id', '')[:60]!r}",
            f'write id="{who.domain}"',
        )

    dropped: list[str] = []
    incoming = list(_servers(provider, "incomingServer", rules, who, dropped))
    outgoing = list(_servers(provider, "outgoingServer", rules, who, dropped))
    if rules.only_first_incoming:
        incoming = _first_alone(provider, incoming)
    chosen = [
        _picked(incoming, "imap", rules) or _picked(incoming, "pop3", rules),
        _picked(outgoing, "smtp", rules),
    ]
    return _whole(chosen, rules, dropped)


def _first_alone(provider: Element, incoming: list[Account]) -> list[Account]:
    first = provider.find("incomingServer")
    if first is not None and first.get("type") == "pop3":
        raise UnreadableError(
            "the first incomingServer is pop3, and it looks at the first alone",
            "let the imap server come first",
        )
    return incoming[:1]


def _picked(accounts: list[Account], type_: str, rules: Rules) -> Account | None:
    found = [it for it in accounts if it.type == type_]
    return found[-1 if rules.pick == "last" else 0] if found else None


def _whole(chosen: list[Account | None], rules: Rules, dropped: list[str]) -> Setup:
    incoming, outgoing = chosen
    if incoming is None or outgoing is None:
        missing = "incoming" if incoming is None else "outgoing"
        why = f": {'; '.join(dropped[:3])}" if dropped else ""
        raise UnreadableError(
            f"no {missing} server in it that it can use{why}",
            "publish an imap and an smtp server with host, port, socketType, username "
            "and a password method",
        )
    for account in (incoming, outgoing):
        try:
            if rules.domain == "empty" and account.hostname.endswith("."):
                raise ValueError
            fold(account.hostname)
        except ValueError:
            name = account.hostname[:80]
            kept = DOMAIN_PLACEHOLDER in name
            why = "it does not fill that in" if kept else "which is no host name"
            if rules.domain == "empty" and name.endswith("."):
                why = f"it makes {DOMAIN_PLACEHOLDER} empty"
            raise UnreadableError(
                f"the {account.type} server is {name!r} to it: {why}",
                "write the host name out, without white space or placeholders",
            ) from None
    return Setup((incoming, outgoing))


def _root(document: bytes, rules: Rules) -> Element:
    mark = b"\xef\xbb\xbf"
    if rules.no_byte_order_mark and document.startswith(mark):
        raise UnreadableError(
            "a byte order mark stands before it, and it drops the whole document",
            "write the file without one",
        )
    if rules.cuts_references:
        document = _CUT.sub(rb"\1", document)
    try:
        return _parsed(document)
    except NotXmlError as error:
        words, cure = beginning(document)
        message = "; ".join(filter(None, (str(error)[:200], words)))
        raise UnreadableError(message, cure) from error


_parsed = lru_cache(maxsize=8)(parse)  # each client reads the same document


def beginning(document: bytes) -> tuple[str, str]:
    """What a document that cannot be read is instead, and the cure."""
    if document.startswith(b"\x1f\x8b"):
        return "it is gzip, and no Content-Encoding says so", "serve it unpacked"
    if document.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16", "save the file in UTF-8"
    before, xml, _ = document[:4000].partition(b"<?xml")
    alone = "let nothing stand before the <?xml …?> (a program's warning, perhaps)"
    if xml and not before.strip(b"\xef\xbb\xbf \t\r\n"):
        if before.strip(b"\xef\xbb\xbf"):
            return "white space stands before the <?xml …?>", alone
        return "", "write & as &amp;, save the file in UTF-8, and close each element"
    text = " ".join(document[:160].decode("utf-8", "replace").split())
    if not text:
        return "it is empty", _MADE
    return f"it begins with “{text[:40]}”", alone if xml else _MADE


_MADE = "make it with this program's `show` or `export`"


def _is_domain(name: str) -> bool:
    if name == DOMAIN_PLACEHOLDER:
        return True
    try:
        fold(name)
    except ValueError:
        return False
    return bool(name)


# --- Servers --------------------------------------------------------------------------


def _servers(
    provider: Element, tag: str, rules: Rules, who: Address, dropped: list[str]
) -> Iterator[Account]:
    """Those that the client takes; `dropped` gets why it drops the others."""
    for element in provider.findall(tag):
        raw = _raw(element, rules)
        if rules.no_extra_attributes and raw.attributes - {"type"}:
            raise UnreadableError(
                f"{raw} has an attribute beside type, and it drops the whole document",
                "remove the attribute",
            )
        if raw.type not in ("imap", "pop3", "smtp"):
            continue
        if rules.all_or_nothing and raw.type != "pop3":
            _insist(raw)
        try:
            yield _account(raw, rules, who)
        except ValueError as error:
            dropped.append(f"{raw} has {error}")


def _raw(element: Element, rules: Rules) -> _Raw:
    values: dict[str, str] = {}
    methods: list[str] = []
    for child in element:
        text = child.text or ""
        text = text.strip() if rules.trims else text
        if child.tag == "authentication":
            methods.append(_WORDS.get(text.strip(), text.strip()))
        else:
            values.setdefault(str(child.tag), text)
    type_ = element.get("type", "")
    attributes = frozenset(map(str, element.attrib))
    return _Raw(str(element.tag), type_, attributes, values, tuple(methods))


def _insist(raw: _Raw) -> None:
    """What K-9 wants of every imap and smtp server."""
    drops = "and it drops the whole document"
    socket_type = raw.values.get("socketType", "")
    if socket_type not in ("SSL", "STARTTLS"):
        said = socket_type[:40] or "nothing"
        cure = "write SSL or STARTTLS"
        raise UnreadableError(f"{raw} has the socketType {said!r}, {drops}", cure)
    port = raw.values.get("port", "")
    if not _port(port):
        message = f"{raw} has {port[:20]!r} for a port, {drops}"
        raise UnreadableError(message, "write the number alone")
    if "username" not in raw.values:
        cure = "write <username>%EMAILADDRESS%</username>"
        raise UnreadableError(f"{raw} has no username, {drops}", cure)
    if not {*_WITH_PASSWORD, _OAUTH} & set(raw.methods):
        said = ", ".join(raw.methods)[:60] or "no method"
        cure = "add password-cleartext"
        raise UnreadableError(f"{raw} offers {said}, {drops}", cure)


def _port(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        return None
    return int(text) if 0 < int(text) < 65536 else None


def _account(raw: _Raw, rules: Rules, who: Address) -> Account:
    """The server as the client sets it up; raises ValueError where it drops it."""
    host = _filled(raw.values.get("hostname", ""), rules, who)
    socket_type = raw.values.get("socketType", "")
    if socket_type not in _SOCKET_TYPES:
        if not rules.any_socket:
            raise ValueError(f"the socketType {socket_type[:40]!r}")
        socket_type = "plain"
    port = _port(raw.values.get("port", "").strip())
    if port is None and rules.no_port == "standard":
        port = standard_port(raw.type, socket_type)
    username = raw.values.get("username")
    if not host:
        raise ValueError("no hostname")
    if port is None:
        raise ValueError(f"{raw.values.get('port', '')[:20]!r} for a port")
    if rules.needs_username and not username:
        raise ValueError("no username")
    method = _method(raw.methods, rules)
    if method is None:
        methods = ", ".join(raw.methods)[:60]
        raise ValueError(f"no method that it knows ({methods})")
    filled = with_domain(username, who.domain) if username else None
    shown_method = "" if rules.ignores_methods else method
    return Account(raw.type, host, port, socket_type, filled, shown_method)


def _filled(host: str, rules: Rules, who: Address) -> str:
    if rules.domain == "empty":
        return host.replace(DOMAIN_PLACEHOLDER, "")
    return with_domain(host, who.domain) if rules.domain == "filled" else host


def _method(methods: tuple[str, ...], rules: Rules) -> str | None:
    """The method that it takes, None where it drops the server."""
    if rules.ignores_methods or not methods:
        return ""
    if rules.oauth == "wins" and _OAUTH in methods:
        return _OAUTH
    known = list(methods)
    if rules.oauth in ("unknown", "dropped"):
        known = [it for it in known if it != _OAUTH]
        if not known:
            return None if rules.oauth == "dropped" else "none"
    if rules.oauth == "dropped":  # Thunderbird, which drops this one alone too
        known = [it for it in known if it != "TLS-client-cert"]
    return known[0] if known else None
