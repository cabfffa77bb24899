"""Reads config-v1.1.xml as each client does, and reports the faults that it meets."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from xml.etree.ElementTree import Element

from msgspec import Struct

from ..address import DOMAIN_PLACEHOLDER, Address, fill_in, with_domain
from ..config.explain.hints import no_host
from ..config.tables import WITHOUT_LOGIN, Method, SocketType
from ..documents.setups import Account, Setup
from ..documents.shapes import beginning, is_host, of_another, port_of
from ..documents.thunderbird_reader import (
    OLD_METHODS,
    NotAutoconfigError,
    client_config,
    find_misplaced_servers,
)
from ..documents.xml import DeclarationsError
from ..files import table_beside
from ..page.programs import has_oauth2
from .naming import SERVERS, named

_SOCKET_TYPES = get_args(SocketType)
_PASSWORD, _OAUTH = "password-cleartext", "OAuth2"
_DROPS = "the client drops the whole document"
_MOST = 3  # faults in one sentence
# The tags of a server, and values with a reference or CDATA, which cuts them off.
# CDATA without an end extends to the end of the document, so that it is searched once.
_CUT = re.compile(
    rb"<(/?)(incomingServer|outgoingServer)\b"
    rb"|(<(hostname|port|username|socketType)>[^<&]*)"
    rb"(?:&[^<]*|<!\[CDATA\[.*?(?:\]\]>|\Z))",
    re.DOTALL,
)
_XMLNS = re.compile(rb"""\sxmlns\s*+=\s*+(?:"[^"]*+"|'[^']*+')""")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_VERSION = re.compile(rb"""<\?xml\s+version\s*=\s*["']([\d.]{1,9})["']""")
_UTF_16 = re.compile(rb"(?i)utf-16(?:le|be)?")
_GENERATE = "make it with this program's `show` or `export`"
# The TOML's keys for servers, and for those of their values that clients read.
_TABLES = {"incomingServer": "incoming", "outgoingServer": "outgoing"}
_KEYS = {name: name for name in ("hostname", "port", "username", "authentication")}
_KEYS["socketType"] = "socket_type"


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """How a client reads. The defaults are those of a tolerant client."""

    types: tuple[str, ...] = ("imap", "pop3", "smtp")  # it skips other servers
    other_types: frozenset[str] = frozenset()  # it uses these, too; not simulated
    socket_types: tuple[str, ...] = _SOCKET_TYPES  # empty: it tries what works
    methods: frozenset[str] = frozenset()  # that it knows; empty: any
    old_methods: frozenset[str] = frozenset(OLD_METHODS)  # old names that it knows
    pick: Literal["first", "last"] = "first"  # of several servers of a type
    provider: Literal["first", "last"] = "first"  # of several <emailProvider>
    trims: bool = True
    domain: Literal["filled", "empty", "kept"] = "filled"  # what %EMAILDOMAIN% becomes
    # Used like other methods, or at the hosts that Thunderbird knows, or never.
    oauth: Literal["in turn", "by host", "unknown"] = "in turn"
    cleartext_last: bool = False  # it prefers other methods, OAuth2 to all
    any_socket: bool = False  # an unknown socketType means no encryption
    needs_domain: bool = False  # a valid <domain>
    needs_id: bool = False  # a host name as the id of <emailProvider>
    needs_username: bool = False
    # The user name if <username> is missing, and if it is empty; "" for none made up.
    made_up: tuple[str, str] = ("", "")
    gecko: bool = False  # accepts an xmlns, a false declaration of UTF-16, a final dot
    usernames: frozenset[str] = frozenset()  # it replaces all others by the address
    no_extra_attributes: bool = False  # of a server, besides `type`
    no_byte_order_mark: bool = False
    only_xml_1_0: bool = False
    cuts_references: bool = False
    ignores_methods: bool = False
    only_first_incoming: bool = False
    all_or_nothing: bool = False  # one unusable server makes the document unusable


# The methods of config-v1.1.xml, without those of other registries.
_METHODS = frozenset(get_args(get_args(Method)[0]))
# What a client does because of a fault: drop the whole document, drop the server, set up
# an account that lets nobody in, or set up something that differs from the document.
Effect = Literal["document", "server", "login", "setting"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)  # the worst first
_HARMLESS = ("login", "setting")  # the client sets up the server all the same


class Fault(NamedTuple):
    """What a client cannot use, or reads differently, in a document."""

    code: str
    effect: Effect
    place: str  # in the provider, with the TOML's keys: incoming[1].socket_type, or ""
    message: str  # a clause in which "it" is the client
    cure: str


class Reading(NamedTuple):
    """What a client sets up from a document."""

    setup: Setup | None  # None if it cannot use the document
    faults: tuple[Fault, ...] = ()  # the worst first, else in the document's order

    @property
    def reason(self) -> str:
        """Why the client cannot use the document, as a clause."""
        return "; ".join(fault.message for fault in self._worst)

    @property
    def cure(self) -> str:
        return "; ".join(dict.fromkeys(fault.cure for fault in self._worst))

    @property
    def _worst(self) -> list[Fault]:
        effect = self.faults[0].effect if self.faults else ""
        return [fault for fault in self.faults if fault.effect == effect][:_MOST]


@lru_cache(maxsize=16)  # several clients have the same rules
def read(document: bytes, rules: Rules, address: Address) -> Reading:
    """Return what a client with these rules sets up for an address, with the faults."""
    reader = _Reader(rules, address)
    setup = reader.read(document)
    faults = sorted(reader.faults, key=lambda fault: EFFECTS.index(fault.effect))
    is_usable = all(fault.effect != "document" for fault in faults)
    return Reading(setup if is_usable else None, tuple(faults))


class _Server(NamedTuple):
    place: str
    type: str
    values: dict[str, str]
    methods: tuple[str, ...]

    def __str__(self) -> str:
        return named(self.place, {self.place: self.type})

    def place_of(self, tag: str) -> str:
        return f"{self.place}.{_KEYS[tag]}"


class _Reader:
    def __init__(self, rules: Rules, address: Address) -> None:
        self.rules = rules
        self.address = address
        self._old = {name: OLD_METHODS[name] for name in rules.old_methods}
        self.faults: list[Fault] = []

    def _fault(self, code: str, place: str, cure: str = "", **values: object) -> None:
        text = table_beside(__file__, "faults.toml")[code]
        effect, message = text["effect"], text["message"].format(cure=cure, **values)
        if effect == "server" and self.rules.all_or_nothing:
            effect, message = "document", f"{message}, and {_DROPS}"
        cure = cure or text["cure"].format(**values)
        self.faults.append(Fault(code, effect, place, message, cure))

    def read(self, document: bytes) -> Setup | None:
        root = self._root(document)
        if root is None:
            return None
        provider = self._provider(root)
        incoming = self._servers(provider, "incomingServer")
        if self.rules.only_first_incoming and incoming:
            type_ = next(provider.iterfind("incomingServer")).get("type", "")
            incoming = [server for server in incoming if server.place == "incoming[0]"]
            if type_ not in self.rules.types:
                known = self.rules.types[0]
                self._fault("only-first", "incoming[0]", value=type_, known=known)
        outgoing = self._servers(provider, "outgoingServer")
        server = self._choose(incoming, "imap") or self._choose(incoming, "pop3")
        chosen = {"incoming": server, "outgoing": self._choose(outgoing, "smtp")}
        if not all(chosen.values()):
            self._explain_absence(root, provider, chosen)
            return None
        return Setup(tuple(map(self._account, filter(None, chosen.values()))))

    # --- The document -----------------------------------------------------------------

    def _root(self, document: bytes) -> Element | None:
        if self.rules.no_byte_order_mark and document.startswith(_BYTE_ORDER_MARK):
            self._fault("byte-order-mark", "")
        if self.rules.gecko:
            document = _as_in_gecko(document)
        version = _VERSION.match(document)
        if self.rules.only_xml_1_0 and version and version[1] != b"1.0":
            self._fault("xml-version", "", value=version[1].decode("ascii", "replace"))
        if self.rules.cuts_references:
            document = self._without_references(document)
        try:
            return _parsed(document)
        except NotAutoconfigError as error:
            if isinstance(error.__cause__, DeclarationsError):
                self._fault("not-read", "", why=error)
                return None
            reason, cure = of_another(document, "config")
            if not reason:
                words, cure = beginning(document, error)
                reason = "; ".join(filter(None, (str(error)[:200], words)))
            self._fault("not-autoconfig", "", cure or _GENERATE, why=reason)
            return None

    def _without_references(self, document: bytes) -> bytes:
        """Cut off values at their first reference or CDATA, with a fault for each."""
        counts = dict.fromkeys(_TABLES, 0)
        place = ""  # of the current server

        def cut(match: re.Match[bytes]) -> bytes:
            nonlocal place
            slash, tag, start, key = match.groups()
            if tag:
                name = tag.decode()
                place = "" if slash else f"{_TABLES[name]}[{counts[name]}]"
                counts[name] += not slash
                return match[0]
            if place:
                self._fault("cut-off", f"{place}.{_KEYS[key.decode()]}")
            return start

        return _CUT.sub(cut, document)

    def _provider(self, root: Element) -> Element:
        providers = root.findall("emailProvider")
        is_last = self.rules.provider == "last"
        provider = providers[-1 if is_last else 0]
        if is_last and len(providers) > 1:
            self._fault("several-providers", "")
        domain = self.address.domain
        names = [(child.text or "").strip() for child in provider.findall("domain")]
        if self.rules.needs_domain and not any(map(_is_domain, names)):
            self._fault("no-domain", "", domain=domain)
        identity = provider.get("id", "")
        if self.rules.needs_id and not _is_domain(identity):
            self._fault("id", "id", value=identity, domain=domain)
        return provider

    # --- Servers ----------------------------------------------------------------------

    def _servers(self, provider: Element, tag: str) -> list[_Server]:
        """Return the servers that the client can use."""
        servers = []
        for index, element in enumerate(provider.findall(tag)):
            server = self._server(element, f"{_TABLES[tag]}[{index}]")
            if self.rules.no_extra_attributes and {*element.attrib} > {"type"}:
                self._fault("attribute", server.place, server=server)
            if server.type in self.rules.types and self._is_usable(server):
                servers.append(server)
        return servers

    def _server(self, element: Element, place: str) -> _Server:
        values: dict[str, str] = {}
        methods: list[str] = []
        for child in element:
            text = child.text or ""
            if child.tag == "authentication":
                methods.append(self._old.get(text.strip(), text.strip()))
            else:
                text = text.strip() if self.rules.trims else text
                values.setdefault(str(child.tag), text)
        return _Server(place, element.get("type", ""), values, tuple(methods))

    def _is_usable(self, server: _Server) -> bool:
        """Return whether the client can use a server; add its faults."""
        rules, before = self.rules, len(self.faults)
        values = {tag: server.values.get(tag, "") for tag in _KEYS}
        port, name = values["port"], values["username"]
        port = port if rules.all_or_nothing else port.strip()
        socket_code = "any-socket-type" if rules.any_socket else "socket-type"
        made_up = rules.made_up["username" in server.values]
        lacks_name = not name and not WITHOUT_LOGIN.issuperset(server.methods)
        is_clean = name == name.strip()
        odd = username_fault(name, self.address)
        is_odd = is_clean and odd and not rules.usernames
        is_replaced = name and not odd and not self._uses_name(name)
        accepted = rules.socket_types or [values["socketType"]]
        known = in_words(accepted, "or")
        for is_wrong, code, tag in (
            (not values["hostname"], "hostname", "hostname"),
            (values["socketType"] not in accepted, socket_code, "socketType"),
            (not port_of(port), "port", "port"),
            (rules.needs_username and not name, "no-username", "username"),
            (made_up and lacks_name, "username-made-up", "username"),
            (not is_clean, "username-space", "username"),
            (is_odd, "username-odd", "username"),
            (is_clean and is_replaced, "username", "username"),
        ):
            if is_wrong:
                value = values[tag]
                has = f"the {tag} {value!r:.40}" if value else f"no {tag}"
                others = {} if value else server.values.keys() - _KEYS.keys()
                similar = get_close_matches(tag, others, 1, 0.75)
                cure = f"write <{tag}>, not <{similar[0]}>" if similar else ""
                details = {"server": server, "known": known, "name": made_up}
                details |= {"odd": odd, "value": value, "has": has}
                self._fault(code, server.place_of(tag), cure, **details)
        self._check_methods(server)
        return all(fault.effect in _HARMLESS for fault in self.faults[before:])

    def _filled_in(self, text: str) -> str:
        return fill_in(text, self.address.domain, self.address)

    def _is_oauth_host(self, server: _Server) -> bool:
        return has_oauth2(self._filled_in(server.values.get("hostname", "")))

    def _uses_name(self, name: str) -> bool:
        names = self.rules.usernames
        return not names or self._filled_in(name) in map(self._filled_in, names)

    def _check_methods(self, server: _Server) -> None:
        rules, methods = self.rules, server.methods
        method, code = self._method(server), ""
        if rules.methods and not method:
            code = "authentication"
        elif rules.oauth == "unknown" and set(methods) == {_OAUTH}:
            code = "oauth-alone"
        elif rules.cleartext_last and method in ("", _OAUTH):
            code = "unexpected-method" if set(methods) - {_OAUTH, ""} else ""
        elif rules.cleartext_last and _PASSWORD in methods[: methods.index(method)]:
            code = "unexpected-method"  # it may not be the first usable one
        if not code:
            return
        cure = ""
        if _OAUTH in methods and self._is_oauth_host(server):  # it takes nothing else
            cure = f"keep {_OAUTH}, and recommend Thunderbird, which can use it there"
        place = server.place_of("authentication")
        names = ", ".join(methods) or "there is no <authentication>"
        self._fault(code, place, cure, server=server, method=method, methods=names)

    # --- The choice -------------------------------------------------------------------

    def _choose(self, servers: list[_Server], type_: str) -> _Server | None:
        servers = [server for server in servers if server.type == type_]
        if not servers or self.rules.pick == "first":
            return servers[0] if servers else None
        first, last = servers[0], servers[-1]
        if self._settings(first) != self._settings(last):
            self._fault("takes-last", last.place, value=SERVERS[type_])
        return last

    def _settings(self, server: _Server) -> tuple[dict[str, str], tuple[str, ...]]:
        username = self._filled_in(server.values.get("username", ""))
        return server.values | {"username": username}, server.methods

    def _explain_absence(
        self, root: Element, provider: Element, chosen: dict[str, _Server | None]
    ) -> None:
        absent = [table for table, server in chosen.items() if server is None]
        unexplained = list(absent)
        for index, fault in enumerate(self.faults):
            table = fault.place.partition("[")[0]
            if table not in absent or fault.effect in _HARMLESS:
                continue
            if table in unexplained:  # its server was dropped because of the fault
                unexplained.remove(table)
            if fault.effect == "server":
                message = f"{fault.message}, and {_DROPS}"
                self.faults[index] = fault._replace(effect="document", message=message)
        if unexplained:
            incoming = provider.iterfind("incomingServer")
            types = {server.get("type") for server in incoming}
            is_other = self.rules.other_types.intersection(types)
            code = "exchange" if is_other and len(unexplained) == 1 else "no-server"
            tags = [tag for tag, table in _TABLES.items() if table in unexplained]
            hints = dict(find_misplaced_servers(root, provider, tags))
            odd = f" (it has {in_words([*hints])})" if hints else ""
            cure = "; ".join(dict.fromkeys(hints.values()))
            self._fault(code, "", cure, ways=" and no ".join(unexplained), odd=odd)

    def _account(self, server: _Server) -> Account:
        values = server.values
        host, code = values["hostname"], ""
        if self.rules.domain == "empty" and DOMAIN_PLACEHOLDER in host:
            host, code = host.replace(DOMAIN_PLACEHOLDER, ""), "emptied-host"
        elif self.rules.domain == "kept" and "%" in host:
            code = "unfilled-host"
        else:
            host = self._filled_in(host)
            code = "" if is_host(host) else "invalid-host"
            if not code and self.rules.gecko and not host.isascii():
                code = "host-in-unicode"
            elif not code and host.endswith(".") and not self.rules.gecko:
                code = "host-dot"
        if code:
            place = server.place_of("hostname")
            cure = no_host(host) if code in ("invalid-host", "host-in-unicode") else ""
            self._fault(code, place, server=server, value=host, cure=cure)
        socket_type = values.get("socketType", "")
        port = port_of(values["port"].strip()) or 0
        usual = "SSL" if port in (993, 995, 465) else "STARTTLS"
        otherwise = "plain" if self.rules.socket_types else usual
        username, method = values.get("username"), self._method(server)
        if username and not self._uses_name(username):
            username = "%EMAILADDRESS%"
        return Account(
            server.type,
            host.removesuffix(".").lower(),
            port,
            socket_type if socket_type in _SOCKET_TYPES else otherwise,
            with_domain(username, self.address.domain) if username else None,
            method if method in _METHODS else "",  # what others do is unknown
        )

    def _method(self, server: _Server) -> str:
        rules, methods = self.rules, server.methods
        if rules.ignores_methods or not methods:
            return ""
        names = [name for name in methods if not rules.methods or name in rules.methods]
        if rules.oauth == "unknown":
            names = [name for name in names if name != _OAUTH] or ["none"]
        if rules.oauth == "by host" and not self._is_oauth_host(server):
            names = [name for name in names if name != _OAUTH]
        if rules.cleartext_last:
            names = [name for name in names if name in _METHODS] or names
            names.sort(key=lambda name: (name != _OAUTH, name == _PASSWORD))
        return names[0] if names else ""


_parsed = lru_cache(maxsize=8)(client_config)  # clients read the same document


def _as_in_gecko(document: bytes) -> bytes:
    """Return a document without the parts that Thunderbird ignores."""
    declaration, end, rest = document.partition(b"?>")
    if declaration.startswith(b"<?xml"):  # these bytes are no UTF-16
        document = _UTF_16.sub(b"UTF-8", declaration, count=1) + end + rest
    before, root, rest = document.partition(b"<clientConfig")
    attributes, end, rest = rest.partition(b">")
    return before + root + _XMLNS.sub(b"", attributes, count=1) + end + rest


def username_fault(name: str | None, address: Address) -> str:
    """Return the fault of a user name that no account can have, as a clause, or ""."""
    filled = fill_in(name, address.domain, address).lower()
    if filled.endswith(f"@{address.domain}@{address.domain}"):
        return "with the domain twice"
    if filled[:1] == "%" == filled[-1:]:  # escaped for a template
        return "with percent signs around it"
    return "with %40 in place of @" if "%40" in filled else ""


def in_words(names: Sequence[str], conjunction: str = "and") -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _is_domain(name: str) -> bool:
    return name == DOMAIN_PLACEHOLDER or is_host(name)
