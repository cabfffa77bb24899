"""Imports from automx and automx2.

From automx 1 (version 1.1.1) it reads automx.conf, from automx2 the database (SQLite) or
the JSON file that fills it. The files are untrusted: each value of automx2 is checked
against the type that is declared here.
"""

import re
import sqlite3
from collections import ChainMap
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ...config.ports import standard_port
from ...files import table_beside
from .imported import DAV, Imported, Raw, add_server, prune, unreadable

# The types of mail servers, as config-v1.1.xml has them.
_TYPES = {"imap": "imap", "pop": "pop3", "pop3": "pop3", "smtp": "smtp"}
_URL = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_TABLES: dict[str, dict[str, str]] = table_beside(__file__, "automx.toml")
_YES, _NO = {"1", "y", "yes", "t", "true", "on"}, {"", "no", "false", "off", "0"}
_LONGEST_VALUE = 1000  # characters


def read(_file: Path, data: bytes) -> Imported:
    """Read an automx.conf: a section for a domain, else [global]; raises ValueError."""
    sections = _parse(data.decode())
    notes: dict[str, None] = {}
    names = sections.get("automx", {}).get("domains", "").replace(",", " ").split()
    domains = dict.fromkeys(names)
    if not domains or "*" in domains:
        domains |= dict.fromkeys(name for name in sections if "." in name)
    providers: dict[str, Raw] = {}  # by their section
    for domain in domains:
        name = domain if domain in sections else "global"
        if sections.get(name, {}).get("backend") == "global":
            name = "global"
        backend = sections.get(name, {"backend": "missing"}).get("backend")
        if backend in ("file", "filter", "missing", "script"):
            notes[f"{domain}: left out, it has no section with settings"] = None
        else:
            providers.setdefault(name, {"domains": []})["domains"].append(domain)
    for name, raw in providers.items():
        raw |= _Section(name, sections[name], notes).settings()
    return _usable(providers.values(), notes)


def _parse(text: str) -> dict[str, Mapping[str, str]]:
    """Return the sections by their names, each with the keys of [DEFAULT].

    Python's configparser takes quadratic time for long lines and for many invalid ones.
    Raises ConfigError.
    """
    default: dict[str, str] = {}
    sections: dict[str, Mapping[str, str]] = {}
    section: dict[str, str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        option = re.match(r"([^=:]+)[=:](.*)", stripped)
        if not stripped or stripped[0] in "#;":
            continue
        if stripped == "[DEFAULT]":
            section = default
        elif stripped[0] == "[" and stripped[-1] == "]":
            section = {}
            sections[stripped[1:-1]] = ChainMap(section, default)
        elif section is None or option is None:
            raise unreadable(f"line {number} has no `key = value` of a section")
        else:
            section[option[1].rstrip()] = option[2].strip()
    return sections


@dataclass
class _Section:
    name: str
    values: Mapping[str, str]
    notes: dict[str, None]

    def settings(self) -> Raw:
        raw: Raw = {
            "display_name": self._with_placeholders("account_name") or None,
            "display_short_name": self._with_placeholders("account_name_short") or None,
        }
        backend = self._get("backend")
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            words = "is lost: a find_username function can look it up"
            self._note(f"what {backend} looks up for a user {words}")
        for key in ("imap", "pop", "smtp", *DAV):
            if self._get(key).lower() in _YES and (server := self._server(key)):
                add_server(raw, server)
        if url := self._with_placeholders("server_url"):
            add_server(raw, {"type": "activesync", "url": url})
        for key, reason in _TABLES["lost"].items():
            if self._get(key).lower() not in _NO:
                self._leave_out(key, reason)
        return raw

    def _server(self, key: str) -> Raw | None:
        type_, host = _TYPES.get(key, key), self._with_placeholders(f"{key}_server")
        if not host:
            self._note(f"the {type_} server is left out: it has no known host")
            return None
        server: Raw = {"type": type_, "username": "%EMAILLOCALPART%"}  # as automx does
        if self._get(f"{key}_auth_identity"):
            server["username"] = self._with_placeholders(f"{key}_auth_identity") or None
        if key not in DAV and (method := self._get(f"{key}_auth")):
            server["authentication"] = _TABLES["methods"].get(method.lower())
            if not server["authentication"]:
                self._leave_out(f"{key}_auth", "no client knows this method")
        text = self._get(f"{key}_port")
        port = int(text) if re.fullmatch("[0-9]{1,5}", text) else None
        if text and not port:
            self._leave_out(f"{key}_port", "it is no port")

        encryption = self._get(f"{key}_encryption").lower()
        socket_type = _TABLES["socket_types"].get(encryption)
        if socket_type is None:
            is_direct = key in DAV or (port and port == standard_port(type_, "SSL"))
            socket_type = "SSL" if is_direct else "STARTTLS"
        if "/" in host:
            return server | {"url": _with_port(host, port, socket_type != "plain")}
        return {**server, "hostname": host, "port": port, "socket_type": socket_type}

    def _get(self, key: str) -> str:
        value = self.values.get(key, "")
        if len(value) > _LONGEST_VALUE:  # [DEFAULT] may give it to every section
            raise unreadable(f"its {key} has {len(value):,} characters")
        return value

    def _with_placeholders(self, key: str) -> str:
        """Return a value with this package's placeholders, "" if it needs a lookup."""
        macros = _TABLES["macros"]
        text = re.sub("%[sud%]", lambda macro: macros[macro[0]], self._get(key))
        for variable, placeholder in _TABLES["variables"].items():
            if variable in text:
                text = text.replace(variable, placeholder)
                self._note(f"{key}: {variable} became {placeholder}")
        if "${" in text:
            self._leave_out(key, "a database has the rest of it")
            return ""
        return text

    def _leave_out(self, key: str, reason: str) -> None:
        self._note(f"{key} = {self._get(key)[:60]} is left out: {reason}")

    def _note(self, sentence: str) -> None:
        self.notes[f"[{self.name}]: {sentence}"] = None


def _usable(providers: Iterable[Raw], notes: Iterable[str]) -> Imported:
    """Return the providers that have servers, without keys that are None."""
    usable, notes = [], list(notes)
    for provider in providers:
        if provider.keys() & {"incoming", "calendar", "address_book"}:
            prune(provider)
            usable.append(provider)
        else:
            names = ", ".join(map(str, provider["domains"]))
            notes.append(f"{names}: left out, it has no servers")
    return Imported(usable, notes)


def _with_port(url: str, port: int | None, use_ssl: bool) -> str:
    """Return the URL of a service with the port, which the file has separately."""
    if "://" not in url:
        url = f"{'https' if use_ssl else 'http'}://{url}"
    match = _URL.match(url)
    standard = 443 if url.lower().startswith("https:") else 80
    if not match or not port or port == standard or re.search(r":\d+$", match[1]):
        return url
    return f"{match[0]}:{port}{url[match.end() :]}"


# --- automx2 --------------------------------------------------------------------------

_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}
_LDAP = "user names from LDAP are lost: a find_username function can look them up"


class _Provider(Struct):
    id: int
    name: str | None = None
    short_name: str | None = None


class _Domain(Struct):
    name: str
    id: int = 0
    provider_id: int | None = None
    ldapserver_id: int | None = None


class _Server(Struct):
    type: str
    id: int = 0
    name: str | None = None
    url: str | None = None
    port: int | None = None
    use_ssl: bool | int | None = True
    socket_type: str | None = None
    user_name: str | None = None
    authentication: str | None = None
    prio: int | None = None


class _Link(Struct):
    domain_id: int
    server_id: int | None = None
    davserver_id: int | None = None


def _imported(
    domains: Iterable[tuple[_Domain, _Provider | None, dict[str, Raw]]],
    notes: dict[str, None],
) -> Imported:
    """Return a provider for all domains with the same provider and servers."""
    merged: dict[tuple[Any, ...], Raw] = {}
    for domain, row, servers in domains:
        if domain.ldapserver_id is not None:
            notes[_LDAP] = None
        raw = merged.setdefault((row and row.id, *servers), {"domains": []})
        raw["domains"].append(domain.name)
        if len(raw["domains"]) > 1:
            continue
        for table in servers.values():
            add_server(raw, table)
        if row is not None:
            raw |= {"display_name": row.name, "display_short_name": row.short_name}
    return _usable(merged.values(), notes)


def _tables(rows: Iterable[_Server], notes: dict[str, None]) -> dict[str, Raw]:
    """Return the servers by their content; add notes on those of unknown types."""
    tables: dict[str, Raw] = {}
    for row in rows:
        table: Raw = {"type": _TYPES.get(row.type, row.type)}
        if row.type in DAV and row.url:
            table["url"] = _with_port(row.url, row.port, bool(row.use_ssl))
            table["username"] = row.user_name or None
        elif row.type in _TYPES:
            table |= {"hostname": row.name or "", "port": row.port}
            table |= {"socket_type": row.socket_type, "username": row.user_name}
            method = _METHODS.get(row.authentication or "", row.authentication)
            table["authentication"] = method
        else:
            name = (row.name or row.url or "")[:60]
            notes[f"the server {name} of the type {row.type[:60]} is left out"] = None
            continue
        tables[repr(table)] = table
    return tables


# --- The seed of automx2 --------------------------------------------------------------


class _Seed(Struct):
    domains: list[str | _Domain]  # objects since 2024, which may name LDAP
    servers: list[_Server]
    provider: str | None = None


def read_seed(_file: Path, data: bytes) -> Imported:
    """Read a seed; raises msgspec.MsgspecError."""
    seed = msgspec.json.decode(data, type=_Seed)
    notes: dict[str, None] = {}
    by_prio = sorted(seed.servers, key=lambda row: 10 if row.prio is None else row.prio)
    for server in by_prio:
        if server.type in _TYPES:
            port = standard_port(_TYPES[server.type], "SSL")
            server.port = port if server.port is None else server.port
            server.socket_type = "SSL" if server.port == port else "STARTTLS"
    domains = [_Domain(row) if isinstance(row, str) else row for row in seed.domains]
    provider, servers = _Provider(0, seed.provider), _tables(by_prio, notes)
    return _imported([(domain, provider, servers) for domain in domains], notes)


# --- The database of automx2 ----------------------------------------------------------

_MAX_BYTES = 64 * 1024 * 1024  # of values in all tables
_MAX_STEPS = 100_000_000  # of SQLite's virtual machine, for a query: some seconds
_LONGEST = 100_000  # bytes of a value or of a table's definition


def read_database(path: Path, _data: bytes) -> Imported:
    """Read a database; raises ConfigError, sqlite3.Error or MsgspecError."""
    if not path.is_file():
        raise unreadable("a database is read from an ordinary file only")
    for suffix in ("-wal", "-journal"):
        log = Path(f"{path}{suffix}")
        if log.exists() and log.stat().st_size:
            raise unreadable(
                f"{log.name} has changes that are not in it yet: stop automx2, or "
                "import a copy made with the command .backup of sqlite3"
            )
    # `immutable`: SQLite takes no lock and opens no other file.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return _Database(connection).read()


def _authorize(
    action: int, first: str | None, _: str | None, __: str | None, view: str | None
) -> int:
    """Permit reading tables, but no computations by the file.

    A view, a trigger or a virtual table runs code of the file's author.
    """
    is_read = action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT)
    is_table_info = action == sqlite3.SQLITE_PRAGMA and first == "table_info"
    is_permitted = view is None and (is_read or is_table_info)
    return sqlite3.SQLITE_OK if is_permitted else sqlite3.SQLITE_DENY


class _Database:
    """An untrusted database, of which only stored values are read, up to a limit.

    See https://www.sqlite.org/security.html.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._bytes_left = _MAX_BYTES
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)

    def read(self) -> Imported:
        domains = sorted(self._rows("domain", _Domain), key=lambda row: row.id)
        if not domains:
            raise unreadable("it lists no domains, as a database of automx2 does")
        providers = {row.id: row for row in self._rows("provider", _Provider)}
        servers: dict[int, dict[str, Raw]] = {}  # by the id of a domain
        notes: dict[str, None] = {}
        for table in ("server", "davserver"):  # older releases have no davserver
            domain_ids: dict[int, list[int]] = {}  # by the id of a server
            for link in self._rows(f"{table}_domain", _Link):
                server_id = getattr(link, f"{table}_id")
                domain_ids.setdefault(server_id, []).append(link.domain_id)
            rows = self._rows(table, _Server)
            for row in sorted(rows, key=lambda row: (row.prio or 0, row.id)):
                tables = _tables([row], notes)
                for domain_id in domain_ids.get(row.id, ()):
                    servers.setdefault(domain_id, {}).update(tables)
        triples = (
            (row, providers.get(row.provider_id or 0), servers.get(row.id, {}))
            for row in domains
        )
        return _imported(triples, notes)

    def _rows(self, table: str, type_: Any) -> list[Any]:
        """Return the rows of a table, in no order; [] if it does not exist."""
        pages = self._connection.execute(
            "SELECT rootpage FROM sqlite_master "
            "WHERE name = ? AND type IN ('table', 'view')",
            (table,),
        ).fetchall()
        if not pages:
            return []
        if not all(page for (page,) in pages):  # views and virtual tables have none
            raise unreadable(f"{table} is no table in it: its rows are computed")

        info = self._connection.execute(f"PRAGMA main.table_info({table})")
        columns = {row[1] for row in info}
        names = [name for name in type_.__struct_fields__ if name in columns]
        query = f"SELECT {', '.join(names) or 1} FROM main.{table}"  # noqa: S608
        ticks = iter(range(_MAX_STEPS // 10_000))  # pages may refer to each other
        self._connection.set_progress_handler(lambda: next(ticks, None) is None, 10_000)
        rows: dict[tuple[Any, ...], None] = {}  # without repeated ones
        for row in self._connection.execute(query):
            rows[row] = None
            self._bytes_left -= sum(
                len(value) if isinstance(value, str | bytes) else 64 for value in row
            )
            if self._bytes_left < 0:
                limit = f"more than {_MAX_BYTES // 1024 // 1024} MiB of values"
                raise unreadable(f"its tables hold {limit}")
        tables = [dict(zip(names, row, strict=True)) for row in rows]
        packed = msgspec.msgpack.encode(tables)  # `convert` needs a newer msgspec
        decoded: list[Any] = msgspec.msgpack.decode(packed, type=list[type_])
        return decoded
