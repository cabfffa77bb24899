"""Imports from automx2: its database (SQLite), or the JSON file that fills it.

The files are untrusted: each value is checked against the type that is declared here.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .imported import (
    DAV,
    TYPES,
    Imported,
    Raw,
    UnreadableError,
    add_server,
    url_with_port,
    usable,
)

Row = TypeVar("Row", bound=Struct)
_METHODS = {"plain": "password-cleartext", "secure": "password-encrypted"}
_SEED_PORTS = {"imap": 993, "pop3": 995, "smtp": 465}  # where a seed names none
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
    """Return the providers: domains with the same one and the same servers share it."""
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
    return usable(merged.values(), notes)


def _tables(rows: Iterable[_Server], notes: dict[str, None]) -> dict[str, Raw]:
    """Return the servers by their content; note those of types that we do not have."""
    tables: list[Raw] = []
    for row in rows:
        if row.type in DAV and row.url:
            url = url_with_port(row.url, row.port, bool(row.use_ssl))
            user_name = row.user_name or None
            tables.append({"type": row.type, "url": url, "username": user_name})
        elif row.type in TYPES:
            method = _METHODS.get(row.authentication or "", row.authentication)
            table: Raw = {"type": TYPES[row.type], "hostname": row.name or ""}
            table |= {"port": row.port, "socket_type": row.socket_type}
            tables.append(
                {**table, "username": row.user_name, "authentication": method}
            )
        else:
            name = (row.name or row.url or "")[:60]
            notes[f"the server {name} of the type {row.type[:60]} is left out"] = None
    return {repr(table): table for table in tables}


# --- The seed -------------------------------------------------------------------------


class _Seed(Struct):
    domains: list[str | _Domain]  # objects since 2024, which may name LDAP
    servers: list[_Server]
    provider: str | None = None


def read_seed(_file: Path, data: bytes) -> Imported:
    """Read a seed; raises msgspec.MsgspecError."""
    seed = msgspec.json.decode(data, type=_Seed)
    notes: dict[str, None] = {}
    by_prio = sorted(seed.servers, key=lambda it: 10 if it.prio is None else it.prio)
    for server in by_prio:
        if server.type in TYPES:
            if server.port is None:
                server.port = _SEED_PORTS[TYPES[server.type]]
            is_direct = server.port in _SEED_PORTS.values()
            server.socket_type = "SSL" if is_direct else "STARTTLS"
    domains = [_Domain(it) if isinstance(it, str) else it for it in seed.domains]
    provider, servers = _Provider(0, seed.provider), _tables(by_prio, notes)
    return _imported([(it, provider, servers) for it in domains], notes)


# --- The database ---------------------------------------------------------------------

_MOST_BYTES = 64 * 1024 * 1024  # of values in all tables
_MOST_STEPS = 100_000_000  # of SQLite's virtual machine, for a query: some seconds
_LONGEST = 100_000  # bytes of a value or of a table's definition


def read_database(path: Path, _data: bytes) -> Imported:
    """Read a database; raises UnreadableError, sqlite3.Error or MsgspecError."""
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
    describes = action == sqlite3.SQLITE_PRAGMA and first == "table_info"
    permitted = view is None and (reads or describes)
    return sqlite3.SQLITE_OK if permitted else sqlite3.SQLITE_DENY


class _Database:
    """An untrusted database: only stored values are read, up to a limit.

    See https://www.sqlite.org/security.html.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
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
        linked: dict[int, dict[str, Raw]] = {}  # the servers by the id of a domain
        notes: dict[str, None] = {}
        for kind in ("server", "davserver"):  # older releases have no services
            ids: dict[int, list[int]] = {}
            for link in self._rows(f"{kind}_domain", _Link):
                ids.setdefault(getattr(link, f"{kind}_id"), []).append(link.domain_id)
            rows = self._rows(kind, _Server)
            for row in sorted(rows, key=lambda row: (row.prio or 0, row.id)):
                tables = _tables([row], notes)
                for id_ in ids.get(row.id, ()):
                    linked.setdefault(id_, {}).update(tables)
        found = (
            (it, providers.get(it.provider_id or 0), linked.get(it.id, {}))
            for it in domains
        )
        return _imported(found, notes)

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

        columns = self._connection.execute(f"PRAGMA main.table_info({table})")
        there = {row[1] for row in columns}
        names = [name for name in kind.__struct_fields__ if name in there]
        query = f"SELECT {', '.join(names) or 1} FROM main.{table}"  # noqa: S608
        ticks = iter(range(_MOST_STEPS // 10_000))  # pages may lead to each other
        self._connection.set_progress_handler(lambda: next(ticks, None) is None, 10_000)
        rows: dict[tuple[Any, ...], None] = {}  # without repeated ones
        for row in self._connection.execute(query):
            rows[row] = None
            self._bytes_left -= sum(
                len(value) if isinstance(value, str | bytes) else 64 for value in row
            )
            if self._bytes_left < 0:
                limit = f"more than {_MOST_BYTES // 1024 // 1024} MiB of values"
                raise UnreadableError(f"its tables hold {limit}")
        tables = [dict(zip(names, row, strict=True)) for row in rows]
        packed = msgspec.msgpack.encode(tables)  # `convert` is newer than our oldest
        return msgspec.msgpack.decode(packed, type=list[kind])  # type: ignore[valid-type]
