"""Reads what automx2 keeps its settings in, for `import`.

That is a database (SQLite by default), or the JSON file that fills it. The files may come
from anybody: each value is checked against the type declared for it here.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

Raw = dict[str, Any]
Row = TypeVar("Row")
MOST_BYTES = 64 * 1024 * 1024  # of a file, and of what is read from a database


class Read(NamedTuple):
    """What a file holds: providers as the TOML spells them, and what is lost on the way."""

    providers: list[Raw]
    lost: list[str]


class UnreadableError(ValueError):
    """The file belongs to a known server and cannot be read; the message says why."""


# Its words for types and methods where they are not those of config-v1.1.xml.
TYPES = {"imap": "imap", "pop": "pop3", "pop3": "pop3", "smtp": "smtp"}
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


def automx2_database(path: Path) -> Read:
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
_MOST_ROWS = 100_000  # of a table
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
                for list_, server in own:
                    raw.setdefault(list_, []).append(server)
            if domain.ldapserver_id is not None:
                self._lose(_FROM_LDAP)
        return whole(merged.values(), self._lost)

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
        rows = dict.fromkeys(self._bounded(query))  # a repeated row says nothing new
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
        type_ = TYPES.get(row.type)
        if type_ is None:
            self._lose(f"the server {row.name} of the type {row.type} is left out")
            return None
        method = row.authentication or ""
        return group(type_), {
            "type": type_,
            "hostname": row.name,
            "port": row.port,
            "socket_type": row.socket_type,
            "username": row.user_name,
            "authentication": _METHODS.get(method, row.authentication),
        }

    def _service(self, row: _Service) -> tuple[str, Raw] | None:
        list_ = _DAV.get(row.type)
        if list_ is None:
            self._lose(f"the service {row.url} of the type {row.type} is left out")
            return None
        url = _with_port(row.url, row.port, bool(row.use_ssl))
        return list_, {"type": row.type, "url": url, "username": row.user_name or None}

    def _lose(self, sentence: str) -> None:
        self._lost[sentence] = None


def _by_domain(
    servers: Mapping[int, tuple[str, Raw]], links: Iterable[tuple[int, int]]
) -> dict[int, list[tuple[str, Raw]]]:
    """The servers by the id of a domain, in the order that they have in *servers*."""
    first: dict[str, int] = {}  # the place of the first of equal servers
    order = {
        number: first.setdefault(repr(it), place)
        for place, (number, it) in enumerate(servers.items())
    }
    in_order = list(servers.values())
    known = {(order[server], domain) for domain, server in links if server in order}
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


def automx2_seed(text: bytes) -> Read:
    seed = msgspec.json.decode(text, type=_Seed)
    lost: dict[str, None] = {}
    domains = [_SeedDomain(it) if isinstance(it, str) else it for it in seed.domains]
    if any(it.ldapserver_id is not None for it in domains):
        lost[_FROM_LDAP] = None
    raw: Raw = {"domains": [it.name for it in domains], "display_name": seed.provider}
    for server in sorted(seed.servers, key=lambda it: it.prio):
        if server.type in _DAV and server.url:
            url = _with_port(server.url, server.port, server.use_ssl)
            key, converted = _DAV[server.type], {"type": server.type, "url": url}
        elif server.type in TYPES:
            type_ = TYPES[server.type]
            key, converted = group(type_), _of_seed(server, type_)
        else:
            lost[f"the server of the type {server.type[:60]!r} is left out"] = None
            continue
        raw.setdefault(key, []).append(converted)
    return whole([raw], lost)


def _of_seed(server: _SeedServer, type_: str) -> Raw:
    port = _SEED_PORTS[type_] if server.port is None else server.port
    socket_type = "SSL" if port in _SEED_PORTS.values() else "STARTTLS"
    raw = {"type": type_, "hostname": server.name, "port": port}
    return {**raw, "socket_type": socket_type}


def group(type_: str) -> str:
    return "outgoing" if type_ == "smtp" else "incoming"


def whole(raws: Iterable[Raw], lost: dict[str, None]) -> Read:
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
