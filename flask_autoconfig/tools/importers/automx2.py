"""Imports from automx2: its database (SQLite), or the JSON file that fills it.

The files are untrusted: each value is checked against the type that is declared here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .imported import (
    TYPES,
    Imported,
    Raw,
    UnreadableError,
    list_for,
    url_with_port,
    usable,
)

Row = TypeVar("Row", bound=Struct)
_DAV = {"caldav": "calendar", "carddav": "address_book"}
_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}
_SEED_PORTS = {"imap": 993, "pop3": 995, "smtp": 465}  # where a seed names none
_LDAP = "user names from LDAP are lost: a find_username function can look them up"

# --- The database ---------------------------------------------------------------------

_MOST_BYTES = 64 * 1024 * 1024  # of values in all tables
_MOST_STEPS = 100_000_000  # of SQLite's virtual machine, for a query: some seconds
_MOST_ROWS = 100_000  # of a table
_LONGEST = 100_000  # bytes of a value or of a table's definition


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


def read_database(path: Path) -> Imported:
    """Read a database; raises UnreadableError or sqlite3.Error."""
    if not path.is_file():
        raise UnreadableError("a database is read from an ordinary file only")
    for suffix in ("-wal", "-journal"):
        log = Path(f"{path}{suffix}")
        if log.exists() and log.stat().st_size:
            raise UnreadableError(
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
    """Permit reading tables, and nothing that the file itself may compute.

    A view, a trigger or a virtual table runs what the author of the file wrote.
    """
    reads = action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT)
    describes = action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo"
    permitted = view is None and (reads or describes)
    return sqlite3.SQLITE_OK if permitted else sqlite3.SQLITE_DENY


class _Database:
    """An untrusted database: only stored values are read, up to a limit.

    See https://www.sqlite.org/security.html.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._notes: dict[str, None] = {}
        self._bytes_left = _MOST_BYTES
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)

    def read(self) -> Imported:
        domains = sorted(self._rows("domain", _Domain), key=lambda row: row.id)
        if not domains:
            raise UnreadableError("it lists no domains, as a database of automx2 does")
        providers = {row.id: row for row in self._rows("provider", _Provider)}
        servers, services = self._servers(), self._services()
        # Domains of one provider with the same servers become one provider.
        merged: dict[tuple[Any, ...], Raw] = {}
        for domain in domains:
            linked = [*servers.get(domain.id, ()), *services.get(domain.id, ())]
            key = (domain.provider_id, *(id(server) for _, server in linked))
            if key not in merged:
                row = providers.get(domain.provider_id or 0)
                merged[key] = _provider(row, linked)
            merged[key]["domains"].append(domain.name)
            if domain.ldapserver_id is not None:
                self._notes[_LDAP] = None
        return usable(merged.values(), self._notes)

    def _rows(self, table: str, kind: type[Row]) -> list[Row]:
        """Return the rows of a table, in no order; none where it does not exist."""
        found = self._connection.execute(
            "SELECT rootpage FROM sqlite_master "
            "WHERE name = ? AND type IN ('table', 'view')",
            (table,),
        ).fetchall()
        if not found:
            return []
        if not all(page for (page,) in found):  # views and virtual tables have none
            raise UnreadableError(f"{table} is no table in it: its rows are computed")

        described = self._connection.execute(f"PRAGMA main.table_xinfo({table})")
        hidden = {row[1]: row[-1] for row in described}
        names = [name for name in kind.__struct_fields__ if name in hidden]
        if any(hidden[name] for name in names):
            raise UnreadableError(f"the table {table} in it has computed columns")
        query = f"SELECT {', '.join(names) or 1} FROM main.{table}"  # noqa: S608
        rows = dict.fromkeys(self._bounded(query))  # without repeated ones
        if len(rows) > _MOST_ROWS:
            limit = f"more than {_MOST_ROWS:,} different rows"
            raise UnreadableError(f"the table {table} in it has {limit}")
        try:
            return [
                msgspec.convert(dict(zip(names, row, strict=False)), kind)
                for row in rows
            ]
        except msgspec.ValidationError as error:
            raise UnreadableError(f"the table {table} in it: {error}") from error

    def _bounded(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, within the limits of time and size."""
        interval = 10_000
        ticks = iter(range(_MOST_STEPS // interval))
        self._connection.set_progress_handler(
            lambda: next(ticks, None) is None, interval
        )
        for row in self._connection.execute(query):
            self._bytes_left -= sum(
                len(value) if isinstance(value, str | bytes) else 64 for value in row
            )
            if self._bytes_left < 0:
                limit = f"more than {_MOST_BYTES // 1024 // 1024} MiB of values"
                raise UnreadableError(f"its tables hold {limit}")
            yield row

    def _servers(self) -> dict[int, list[tuple[str, Raw]]]:
        rows = sorted(
            self._rows("server", _Server), key=lambda row: (row.prio or 0, row.id)
        )
        servers = {row.id: raw for row in rows if (raw := self._server(row))}
        links = self._rows("server_domain", _ServerLink)
        return _by_domain(servers, ((row.domain_id, row.server_id) for row in links))

    def _services(self) -> dict[int, list[tuple[str, Raw]]]:
        """Return calendars and address books, which older releases have no tables of."""
        rows = sorted(self._rows("davserver", _Service), key=lambda row: row.id)
        services = {row.id: raw for row in rows if (raw := self._service(row))}
        links = self._rows("davserver_domain", _ServiceLink)
        return _by_domain(
            services, ((row.domain_id, row.davserver_id) for row in links)
        )

    def _server(self, row: _Server) -> tuple[str, Raw] | None:
        type_ = TYPES.get(row.type)
        if type_ is None:
            self._leave_out(f"the server {row.name}", row.type)
            return None
        method = row.authentication or ""
        return list_for(type_), {
            "type": type_,
            "hostname": row.name,
            "port": row.port,
            "socket_type": row.socket_type,
            "username": row.user_name,
            "authentication": _METHODS.get(method, row.authentication),
        }

    def _service(self, row: _Service) -> tuple[str, Raw] | None:
        if row.type not in _DAV:
            self._leave_out(f"the service {row.url}", row.type)
            return None
        url = url_with_port(row.url, row.port, bool(row.use_ssl))
        raw = {"type": row.type, "url": url, "username": row.user_name or None}
        return _DAV[row.type], raw

    def _leave_out(self, name: str, type_: str) -> None:
        self._notes[f"{name} of the type {type_} is left out"] = None


def _provider(row: _Provider | None, servers: Iterable[tuple[str, Raw]]) -> Raw:
    raw: Raw = {"domains": []}
    if row is not None:
        raw |= {"display_name": row.name, "display_short_name": row.short_name}
    for key, server in servers:
        raw.setdefault(key, []).append(server)
    return raw


def _by_domain(
    servers: Mapping[int, tuple[str, Raw]], links: Iterable[tuple[int, int]]
) -> dict[int, list[tuple[str, Raw]]]:
    """Return the servers by the id of a domain, in their order, equal ones once."""
    first: dict[str, int] = {}  # the index of the first of equal servers
    index_of = {
        number: first.setdefault(repr(server), index)
        for index, (number, server) in enumerate(servers.items())
    }
    in_order = list(servers.values())
    known = {
        (index_of[server], domain) for domain, server in links if server in index_of
    }
    found: dict[int, list[tuple[str, Raw]]] = {}
    for index, domain in sorted(known):
        found.setdefault(domain, []).append(in_order[index])
    return found


# --- The seed -------------------------------------------------------------------------


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
    domains: list[str | _SeedDomain]  # objects since 2024, which may name LDAP
    servers: list[_SeedServer]
    provider: str | None = None


def read_seed(text: bytes) -> Imported:
    """Read a seed; raises msgspec.MsgspecError."""
    seed = msgspec.json.decode(text, type=_Seed)
    domains = [
        _SeedDomain(domain) if isinstance(domain, str) else domain
        for domain in seed.domains
    ]
    notes = [_LDAP] if any(row.ldapserver_id is not None for row in domains) else []
    raw: Raw = {"domains": [row.name for row in domains], "display_name": seed.provider}
    for server in sorted(seed.servers, key=lambda server: server.prio):
        if server.type in _DAV and server.url:
            url = url_with_port(server.url, server.port, server.use_ssl)
            key, table = _DAV[server.type], {"type": server.type, "url": url}
        elif server.type in TYPES:
            type_ = TYPES[server.type]
            key, table = list_for(type_), _seed_server(server, type_)
        else:
            notes.append(f"the server of the type {server.type[:60]!r} is left out")
            continue
        raw.setdefault(key, []).append(table)
    return usable([raw], dict.fromkeys(notes))


def _seed_server(server: _SeedServer, type_: str) -> Raw:
    port = _SEED_PORTS[type_] if server.port is None else server.port
    socket_type = "SSL" if port in _SEED_PORTS.values() else "STARTTLS"
    raw = {"type": type_, "hostname": server.name, "port": port}
    return {**raw, "socket_type": socket_type}
