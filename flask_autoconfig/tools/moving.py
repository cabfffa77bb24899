"""Reads what other servers keep their settings in, for `import`.

automx2 has a database (SQLite by default) and a JSON file that fills it; automx, before
it, a file `automx.conf`. Each gives providers as the TOML spells them. The files may come
from anybody: each value is checked against the type declared for it here.
"""

from __future__ import annotations

import re
import sqlite3
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from ..config.ports import standard_port

Raw = dict[str, Any]
Row = TypeVar("Row")
MOST_BYTES = 64 * 1024 * 1024  # of a file, and of what is read from a database


class Read(NamedTuple):
    """What a file holds: providers as the TOML spells them, and what is lost on the way."""

    providers: list[Raw]
    lost: list[str]


class UnreadableError(ValueError):
    """The file belongs to a known server and cannot be read; the message says why."""


def read(path: Path, data: bytes) -> Read | None:
    """Read another server's file, whose content is *data*; None for any other file.

    Raises UnreadableError.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if data.startswith(b"SQLite format 3\0"):
        return _checked("database of automx2", lambda: _automx2_database(path))
    if text.startswith(b"{"):
        return _checked("seed of automx2", lambda: _automx2_seed(text))
    if re.search(rb"(?m)^[ \t]*\[automx\]", text):
        return _checked("automx.conf", lambda: _automx(text))
    return None


def _checked(name: str, call: Callable[[], Read]) -> Read:
    """The result of *call*, with any error of a foreign value as UnreadableError."""
    try:
        return call()
    except UnreadableError:
        raise
    except (ValueError, RecursionError, msgspec.MsgspecError, sqlite3.Error) as error:
        raise UnreadableError(f"it is no readable {name}: {error}") from error


# --- automx2 ---------------------------------------------------------------------------

# Its words for types and methods where they are not those of config-v1.1.xml.
_TYPES = {"imap": "imap", "pop": "pop3", "pop3": "pop3", "smtp": "smtp"}
_DAV = {"caldav": "calendar", "carddav": "address_book"}
_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}
# What its seed gives a server that names no port.
_SEED_PORTS = {"imap": 993, "pop3": 995, "smtp": 465}
_FROM_LDAP = (
    "logins that LDAP tells are lost: a function find_username of yours can ask it"
)


class _Provider(Struct):
    id: int
    name: str | None = None
    short_name: str | None = None


class _Domain(Struct):
    id: int
    name: str
    provider_id: int | None = None
    ldapserver_id: int | None = None


class _Server(Struct):
    id: int
    type: str
    name: str | None = None
    port: int | None = None
    socket_type: str | None = None
    user_name: str | None = None
    authentication: str | None = None
    prio: int | None = None


class _Service(Struct):
    id: int
    type: str
    url: str
    port: int | None = None
    use_ssl: int | None = None
    user_name: str | None = None


class _ServerLink(Struct):
    domain_id: int
    server_id: int


class _ServiceLink(Struct):
    domain_id: int
    davserver_id: int


def _automx2_database(path: Path) -> Read:
    if not path.is_file():
        raise UnreadableError("a database is read from an ordinary file only")
    for suffix in ("-wal", "-journal"):
        beside = Path(f"{path}{suffix}")
        if beside.exists() and beside.stat().st_size:
            raise UnreadableError(
                f"{beside.name} has changes that are not in it yet: stop automx2, or "
                "import a copy made with the command .backup of sqlite3"
            )
    # `immutable`: no lock is taken, and no other file is looked for.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as base:
        return _Database(base).read()


_MOST_STEPS = 100_000_000  # of SQLite's virtual machine, for a query: some seconds
_LONGEST = 100_000  # octets of a value or of a table's definition


def _permitted(
    action: int, first: str | None, _: str | None, base: str | None, view: str | None
) -> int:
    """Whether a statement may do that: read tables itself, and nothing else.

    A view, a trigger or a virtual table would run what whoever made the file wrote.
    """
    reads = action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT)
    describes = action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo"
    plain = view is None and (reads or describes)
    return sqlite3.SQLITE_OK if plain else sqlite3.SQLITE_DENY


class _Database:
    """An automx2 database: domains with a provider each, and servers for domains.

    It may be anybody's, so that only stored values are read, and not too many:
    https://www.sqlite.org/security.html.
    """

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        self._lost: dict[str, None] = {}
        self._left = MOST_BYTES
        base.execute("PRAGMA trusted_schema = OFF")
        base.execute("PRAGMA cell_size_check = ON")
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        base.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        base.set_authorizer(_permitted)

    def read(self) -> Read:
        domains = sorted(self._rows("domain", _Domain), key=lambda it: it.id)
        if not domains:
            raise UnreadableError("it lists no domains, as a database of automx2 does")
        providers = {it.id: it for it in self._rows("provider", _Provider)}
        servers = self._servers()
        services = self._services()
        # Domains of one provider with the same servers are one provider here.
        merged: dict[tuple[Any, ...], Raw] = {}
        for domain in domains:
            own = [*servers.get(domain.id, ()), *services.get(domain.id, ())]
            key = (domain.provider_id, *(id(server) for _, server in own))
            raw = merged.setdefault(key, {"domains": []})
            raw["domains"].append(domain.name)
            if len(raw) == 1:
                provider = providers.get(domain.provider_id or 0)
                if provider is not None:
                    raw["display_name"] = provider.name
                    raw["display_short_name"] = provider.short_name
                for group, server in own:
                    raw.setdefault(group, []).append(server)
            if domain.ldapserver_id is not None:
                self._lose(_FROM_LDAP)
        return _whole(merged.values(), self._lost)

    def _rows(self, table: str, kind: type[Row]) -> list[Row]:
        """The rows of a table, in no order; none where there is no such table."""
        found = self._base.execute(
            "SELECT rootpage FROM sqlite_master "
            "WHERE name = ? AND type IN ('table', 'view')",
            (table,),
        ).fetchall()
        if not found:
            return []
        if not all(page for (page,) in found):  # views and virtual tables have none
            raise UnreadableError(f"{table} is no table in it: its rows are computed")

        described = self._base.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
        hidden = {row[1]: row[-1] for row in described}
        names = [it for it in kind.__struct_fields__ if it in hidden]  # type: ignore[attr-defined]
        if any(hidden[name] for name in names):
            raise UnreadableError(f"the table {table} in it has computed columns")
        query = f"SELECT {', '.join(names) or 1} FROM main.{table}"  # noqa: S608
        try:
            return [
                msgspec.convert(dict(zip(names, row, strict=False)), kind)
                for row in self._bounded(query)
            ]
        except msgspec.ValidationError as error:
            raise UnreadableError(f"the table {table} in it: {error}") from error

    def _bounded(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as far as it takes no longer than a real one."""
        every = 10_000
        left = iter(range(_MOST_STEPS // every))
        self._base.set_progress_handler(lambda: next(left, None) is None, every)
        for row in self._base.execute(query):
            self._left -= sum(
                len(it) if isinstance(it, str | bytes) else 64 for it in row
            )
            if self._left < 0:
                limit = f"more than {MOST_BYTES // 1024 // 1024} MiB of values"
                raise UnreadableError(f"its tables hold {limit}")
            yield row

    def _servers(self) -> dict[int, list[tuple[str, Raw]]]:
        servers = sorted(
            self._rows("server", _Server), key=lambda it: (it.prio or 0, it.id)
        )
        converted = {it.id: raw for it in servers if (raw := self._server(it))}
        links = self._rows("server_domain", _ServerLink)
        return _by_domain(converted, ((it.domain_id, it.server_id) for it in links))

    def _services(self) -> dict[int, list[tuple[str, Raw]]]:
        """Calendars and address books, of which an old release has no tables."""
        services = sorted(self._rows("davserver", _Service), key=lambda it: it.id)
        converted = {it.id: raw for it in services if (raw := self._service(it))}
        links = self._rows("davserver_domain", _ServiceLink)
        return _by_domain(converted, ((it.domain_id, it.davserver_id) for it in links))

    def _server(self, row: _Server) -> tuple[str, Raw] | None:
        type_ = _TYPES.get(row.type)
        if type_ is None:
            self._lose(f"the server {row.name} of the type {row.type} is left out")
            return None
        method = row.authentication or ""
        return _group(type_), {
            "type": type_,
            "hostname": row.name,
            "port": row.port,
            "socket_type": row.socket_type,
            "username": row.user_name,
            "authentication": _METHODS.get(method, row.authentication),
        }

    def _service(self, row: _Service) -> tuple[str, Raw] | None:
        group = _DAV.get(row.type)
        if group is None:
            self._lose(f"the service {row.url} of the type {row.type} is left out")
            return None
        url = _with_port(row.url, row.port, bool(row.use_ssl))
        return group, {"type": row.type, "url": url, "username": row.user_name or None}

    def _lose(self, sentence: str) -> None:
        self._lost[sentence] = None


def _by_domain(
    servers: Mapping[int, tuple[str, Raw]], links: Iterable[tuple[int, int]]
) -> dict[int, list[tuple[str, Raw]]]:
    """The servers by the id of a domain, in the order that they have in *servers*."""
    order = {number: place for place, number in enumerate(servers)}
    known = [(order[server], domain) for domain, server in links if server in order]
    alike: dict[str, tuple[str, Raw]] = {}  # equal servers are one object
    in_order = [alike.setdefault(repr(it), it) for it in servers.values()]
    found: dict[int, list[tuple[str, Raw]]] = {}
    for place, domain in sorted(known):
        found.setdefault(domain, []).append(in_order[place])
    return found


_URL = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)


def _with_port(url: str, port: int | None, use_ssl: bool) -> str:
    """The URL of a service, whose port stands beside it."""
    if "://" not in url:
        url = f"{'https' if use_ssl else 'http'}://{url}"
    found = _URL.match(url)
    usual = 443 if url.lower().startswith("https:") else 80
    if not found or not port or port == usual or re.search(r":\d+$", found[2]):
        return url
    return f"{found[0]}:{port}{url[found.end() :]}"


class _SeedDomain(Struct):
    name: str
    ldapserver_id: int | None = None


class _SeedServer(Struct):
    type: str
    name: str = ""
    port: int | None = None
    prio: int = 10
    url: str = ""
    use_ssl: bool = True


class _Seed(Struct):
    domains: list[str | _SeedDomain]  # an object since 2024, which may name LDAP
    servers: list[_SeedServer]
    provider: str | None = None


def _automx2_seed(text: bytes) -> Read:
    seed = msgspec.json.decode(text, type=_Seed)
    lost: dict[str, None] = {}
    domains = [_SeedDomain(it) if isinstance(it, str) else it for it in seed.domains]
    if any(it.ldapserver_id is not None for it in domains):
        lost[_FROM_LDAP] = None
    raw: Raw = {"domains": [it.name for it in domains], "display_name": seed.provider}
    for server in sorted(seed.servers, key=lambda it: it.prio):
        if server.type in _DAV and server.url:
            url = _with_port(server.url, server.port, server.use_ssl)
            group, converted = _DAV[server.type], {"type": server.type, "url": url}
        elif server.type in _TYPES:
            type_ = _TYPES[server.type]
            group, converted = _group(type_), _of_seed(server, type_)
        else:
            lost[f"the server of the type {server.type[:60]!r} is left out"] = None
            continue
        raw.setdefault(group, []).append(converted)
    return _whole([raw], lost)


def _of_seed(server: _SeedServer, type_: str) -> Raw:
    port = _SEED_PORTS[type_] if server.port is None else server.port
    socket_type = "SSL" if port in _SEED_PORTS.values() else "STARTTLS"
    raw = {"type": type_, "hostname": server.name, "port": port}
    return {**raw, "socket_type": socket_type}


def _group(type_: str) -> str:
    return "outgoing" if type_ == "smtp" else "incoming"


def _whole(raws: Iterable[Raw], lost: dict[str, None]) -> Read:
    """Those that a client can use; of the others, the domains are told.

    What is None is left to the defaults.
    """
    whole = []
    for raw in raws:
        if "incoming" in raw or "calendar" in raw or "address_book" in raw:
            whole.append(_without_none(raw))
        else:
            lost[f"{', '.join(raw['domains'])}: left out, it has no servers"] = None
    return Read(whole, list(lost))


def _without_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_none(it) for it in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_none(it) for key, it in value.items() if it is not None}


# --- automx ----------------------------------------------------------------------------

_ENCRYPTION = {
    "ssl": "SSL",
    "starttls": "STARTTLS",
    "auto": "STARTTLS",
    "none": "plain",
}
_AUTOMX_METHODS = {
    "plaintext": "password-cleartext",
    "cleartext": "password-cleartext",
    "encrypted": "password-encrypted",
    "ntlm": "NTLM",
    "gssapi": "GSSAPI",
    "client-ip-address": "client-IP-address",
    "tls-client-cert": "TLS-client-cert",
    "smtp-after-pop": "smtp-after-pop",
    "none": "none",
}
# Its macros, in their long spelling too.
_MACROS = {
    "%s": "%EMAILADDRESS%",
    "%u": "%EMAILLOCALPART%",
    "%d": "%EMAILDOMAIN%",
    "%%": "%",
}
_YES = {"yes", "true", "on", "1"}
_LONGEST_SETTING = 1000  # characters


def _automx(text: bytes) -> Read:
    return _Automx(_sections_of(text.decode())).read()


def _sections_of(text: str) -> dict[str, Mapping[str, str]]:
    """The sections of an automx.conf by their names, each with the keys of [DEFAULT].

    It is what Python's configparser makes of it, as automx does, which takes quadratic
    time for long lines and for many faulty ones. Raises UnreadableError.
    """
    default: dict[str, list[str]] = {}
    sections: dict[str, dict[str, list[str]]] = {"DEFAULT": default}
    section: dict[str, list[str]] | None = None
    value: list[str] | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        own_indent = len(line) - len(line.lstrip())
        if value is not None and own_indent > indent:  # the value above goes on
            value.append(stripped)
            continue
        indent = own_indent
        option = re.match(r"([^=:]+)[=:](.*)", stripped)
        if stripped[0] == "[" and "]" in stripped:
            name = stripped[1 : stripped.rindex("]")]
            section, value = sections.setdefault(name, {}), None
        elif section is None or option is None:
            raise UnreadableError(f"line {number} has no `key = value` of a section")
        else:
            value = section[option[1].rstrip()] = [option[2].strip()]

    def joined(values: dict[str, list[str]]) -> dict[str, str]:
        return {key: "\n".join(lines) for key, lines in values.items()}

    shared = joined(sections.pop("DEFAULT"))
    return {name: ChainMap(joined(own), shared) for name, own in sections.items()}


class _Automx:
    """An automx.conf: a section for a domain, or [global] for all that are listed."""

    def __init__(self, sections: Mapping[str, Mapping[str, str]]) -> None:
        self._sections = sections
        self._lost: dict[str, None] = {}

    def read(self) -> Read:
        names = _words(self._sections.get("automx", {}).get("domains", ""))
        own = self._domains()
        if names and "*" not in names:  # automx answers for those alone
            own = []
        by_section: dict[str, Raw] = {}
        for name in dict.fromkeys([*names, *own]):
            section = self._section_of(name)
            if section is None:
                continue
            raw = by_section.setdefault(section, {"domains": []})
            raw["domains"].append(name)
        raws = [{**raw, **self._settings(name)} for name, raw in by_section.items()]
        return _whole(raws, self._lost)

    def _domains(self) -> list[str]:
        """Sections of domains that are not listed: `domains = *` serves them too.

        A section that a filter leads to is no domain's.
        """
        filters = {self._get(name, "section_filter") for name in self._sections}
        targets = {name for text in filters for name in _words(text)}
        return [it for it in self._sections if "." in it and it not in targets]

    def _section_of(self, domain: str) -> str | None:
        """Where the settings of a domain stand, None where a program tells them."""
        section = domain if domain in self._sections else "global"
        if section not in self._sections:
            self._lose(f"{domain}: left out, it has no section")
            return None
        backend = self._get(section, "backend") or "static"
        if backend == "global" and section != "global":
            return "global" if "global" in self._sections else None
        if backend in ("file", "filter", "script"):
            why = f"its backend is {backend!r}, which tells the settings elsewhere"
            self._lose(f"{domain}: left out, {why}")
            return None
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            self._lose(
                f"[{section}]: what {backend} tells of a user is lost: a function "
                "find_username of yours can ask for it"
            )
        return section

    def _settings(self, section: str) -> Raw:
        raw: Raw = {}
        for key, name in (
            ("display_name", "account_name"),
            ("display_short_name", "account_name_short"),
        ):
            text = self._text(section, name)
            if text:
                raw[key] = text
        for kind in ("imap", "pop", "smtp"):
            if self._get(section, kind).lower() in _YES:
                type_ = _TYPES[kind]
                server = self._server(section, kind, type_)
                raw.setdefault(_group(type_), []).append(server)
        for key in ("sign_cert", "sign_key"):
            if self._get(section, key):
                self._lose(f"{key} is lost: name the files in [sign]")
        return raw

    def _server(self, section: str, kind: str, type_: str) -> Raw:
        encryption = self._get(section, f"{kind}_encryption").lower()
        socket_type = _ENCRYPTION.get(encryption, "STARTTLS")
        if encryption == "auto":
            self._lose(f"{kind}_encryption = auto became STARTTLS")
        server: Raw = {
            "type": type_,
            "hostname": self._text(section, f"{kind}_server"),
            "socket_type": socket_type,
        }
        port = self._get(section, f"{kind}_port")
        if port:  # what is no number is refused, with its place
            server["port"] = int(port) if re.fullmatch("[0-9]{1,9}", port) else port
            if not encryption and server["port"] == standard_port(type_, "SSL"):
                server["socket_type"] = "SSL"
        method = self._get(section, f"{kind}_auth").lower()
        if method:
            server["authentication"] = _AUTOMX_METHODS.get(method, method)
        login = self._text(section, f"{kind}_auth_identity")
        if login:
            server["username"] = login
        if kind == "smtp" and self._get(section, "smtp_default").lower() in _YES:
            server["use_global_preferred_server"] = True
        return server

    def _get(self, section: str, key: str) -> str:
        value = self._sections[section].get(key, "")
        if len(value) > _LONGEST_SETTING:  # which [DEFAULT] may give every section
            raise UnreadableError(f"its {key} has {len(value):,} characters")
        return value

    def _text(self, section: str, key: str) -> str:
        """A value with its macros in our words; one that a database fills in is lost."""
        value = self._get(section, key)
        if "${" in value:
            self._lose(f"{key} = {value[:60]} is lost: a database told it")
            return ""
        return re.sub("%[sud%]", lambda match: _MACROS[match[0]], value)

    def _lose(self, sentence: str) -> None:
        self._lost[sentence] = None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,]+", text)
