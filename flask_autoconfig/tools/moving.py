"""Reads what other servers keep their settings in, for `import`.

automx2 has a database (SQLite by default) and a JSON file that fills it; automx, before
it, a file `automx.conf`. Each gives providers as the TOML spells them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from configparser import Error as IniError
from configparser import RawConfigParser
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ..config.ports import standard_port

Raw = dict[str, Any]


class Read(NamedTuple):
    """What a file holds: providers as the TOML spells them, and what is lost on the way."""

    providers: list[Raw]
    lost: list[str]


class UnreadableError(ValueError):
    """The file is of a server that is known, and cannot be read; its words say why."""


def reader_of(data: bytes) -> Callable[[Path, bytes], Read] | None:
    """What reads a file that begins so, None for one of no other server's."""
    if data.startswith(b"SQLite format 3\0"):
        return _automx2_database
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{"):
        return _automx2_seed
    if re.search(rb"(?m)^\s*\[automx\]", text):
        return _automx
    return None


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


def _automx2_database(path: Path, _data: bytes) -> Read:
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as base:
            base.row_factory = sqlite3.Row
            return _Database(base).read()
    except sqlite3.Error as error:
        raise UnreadableError(f"its database cannot be read: {error}") from error


class _Database:
    """An automx2 database: domains with a provider each, and servers for domains."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        self._lost: list[str] = []

    def read(self) -> Read:
        providers = {row["id"]: row for row in self._rows("provider")}
        servers = self._of_domains("server", self._server)
        services = self._of_domains("davserver", self._service)
        # Domains of one provider with the same servers are one provider here.
        merged: dict[tuple[Any, ...], Raw] = {}
        for row in self._rows("domain"):
            own = servers.get(row["id"], []), services.get(row["id"], [])
            key = (row["provider_id"], json.dumps(own))
            raw = merged.setdefault(key, {"domains": []})
            raw["domains"].append(row["name"])
            if len(raw) == 1:
                provider = providers.get(row["provider_id"])
                if provider is not None:
                    raw["display_name"] = provider["name"]
                    raw["display_short_name"] = provider["short_name"]
                for group, server in (*own[0], *own[1]):
                    raw.setdefault(group, []).append(server)
            if "ldapserver_id" in row.keys() and row["ldapserver_id"] is not None:  # noqa: SIM118
                self._lose(_FROM_LDAP)
        return Read(_whole(merged.values(), self._lost), self._lost)

    def _rows(self, table: str) -> list[sqlite3.Row]:
        return list(self._base.execute(f"SELECT * FROM {table} ORDER BY id"))  # noqa: S608

    def _of_domains(
        self, table: str, convert: Callable[[Mapping[str, Any]], tuple[str, Raw] | None]
    ) -> dict[int, list[tuple[str, Raw]]]:
        """The servers of a table by the id of a domain, the best first."""
        try:
            rows = [dict(row) for row in self._rows(table)]
            links = self._base.execute(f"SELECT * FROM {table}_domain").fetchall()  # noqa: S608
        except sqlite3.OperationalError:  # an old release has no calendars
            return {}
        rows.sort(key=lambda row: row.get("prio") or 0)
        converted = {row["id"]: it for row in rows if (it := convert(row))}
        order = {number: place for place, number in enumerate(converted)}
        found: dict[int, list[tuple[str, Raw]]] = {}
        for link in sorted(
            (it for it in links if it[f"{table}_id"] in converted),
            key=lambda it: order[it[f"{table}_id"]],
        ):
            found.setdefault(link["domain_id"], []).append(
                converted[link[f"{table}_id"]]
            )
        return found

    def _server(self, row: Mapping[str, Any]) -> tuple[str, Raw] | None:
        type_ = _TYPES.get(str(row["type"]))
        if type_ is None:
            self._lose(
                f"the server {row['name']} of the type {row['type']} is left out"
            )
            return None
        method = str(row["authentication"])
        return _group(type_), {
            "type": type_,
            "hostname": row["name"],
            "port": row["port"],
            "socket_type": str(row["socket_type"]),
            "username": row["user_name"],
            "authentication": _METHODS.get(method, method),
        }

    def _service(self, row: Mapping[str, Any]) -> tuple[str, Raw] | None:
        group = _DAV.get(str(row["type"]))
        if group is None:
            self._lose(
                f"the service {row['url']} of the type {row['type']} is left out"
            )
            return None
        service = {"type": str(row["type"]), "url": _with_port(row)}
        if row["user_name"]:
            service["username"] = row["user_name"]
        return group, service

    def _lose(self, sentence: str) -> None:
        if sentence not in self._lost:
            self._lost.append(sentence)


def _with_port(row: Mapping[str, Any]) -> str:
    """The URL of a service, whose port stands beside it."""
    url = str(row["url"])
    if "://" not in url:
        url = f"{'https' if row['use_ssl'] else 'http'}://{url}"
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    port = row["port"]
    if not port or port == usual or ":" in parts.netloc.rpartition("]")[2]:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


def _automx2_seed(_path: Path, data: bytes) -> Read:
    try:
        seed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON: {error}") from error
    servers = seed.get("servers")
    if not isinstance(servers, list) or not isinstance(seed.get("domains"), list):
        raise UnreadableError(
            'it has no "domains" and "servers", as a seed of automx2 has'
        )
    lost: list[str] = []
    # Since 2024 a domain is an object too, which may name an LDAP server.
    domains = [it if isinstance(it, dict) else {"name": it} for it in seed["domains"]]
    if any(it.get("ldapserver_id") is not None for it in domains):
        lost.append(_FROM_LDAP)
    raw: Raw = {"domains": [it.get("name") for it in domains]}
    if seed.get("provider"):
        raw["display_name"] = seed["provider"]
    for server in sorted(servers, key=_priority):
        converted = _of_seed(server, lost)
        if converted is not None:
            raw.setdefault(converted[0], []).append(converted[1])
    return Read([raw], lost)


def _priority(server: Any) -> int:
    prio = server.get("prio", 10) if isinstance(server, dict) else 10
    return prio if isinstance(prio, int) else 10


def _of_seed(server: Any, lost: list[str]) -> tuple[str, Raw] | None:
    if not isinstance(server, dict):
        lost.append(
            f"{str(server)[:60]!r} among the servers is left out: it is no object"
        )
        return None
    kind = str(server.get("type"))
    if kind in _DAV and "url" in server:
        row = {"use_ssl": True, "port": 0, **server}
        return _DAV[kind], {"type": kind, "url": _with_port(row)}
    type_ = _TYPES.get(kind)
    if type_ is None:
        lost.append(f"the server of the type {kind[:60]!r} is left out")
        return None
    port = server.get("port", _SEED_PORTS[type_])
    socket_type = "SSL" if port in _SEED_PORTS.values() else "STARTTLS"
    raw = {"type": type_, "hostname": server.get("name"), "port": port}
    return _group(type_), {**raw, "socket_type": socket_type}


def _group(type_: str) -> str:
    return "outgoing" if type_ == "smtp" else "incoming"


def _whole(raws: Any, lost: list[str]) -> list[Raw]:
    """Those that a client can use; of the others, each domain is told."""
    whole = []
    for raw in raws:
        if "incoming" in raw or "calendar" in raw or "address_book" in raw:
            whole.append(raw)
        else:
            lost.append(f"{', '.join(raw['domains'])}: left out, it has no servers")
    return whole


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


def _automx(_path: Path, data: bytes) -> Read:
    parser = RawConfigParser(
        strict=False, default_section="DEFAULT", interpolation=None
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except IniError as error:
        raise UnreadableError(f"it is no automx.conf: {error.message}") from error
    return _Automx(parser).read()


class _Automx:
    """An automx.conf: a section for a domain, or [global] for all that are listed."""

    def __init__(self, parser: RawConfigParser) -> None:
        self._parser = parser
        self._lost: list[str] = []

    def read(self) -> Read:
        listed = self._parser["automx"].get("domains", "")
        names = [name for name in re.split(r"[\s,]+", listed) if name]
        own = [it for it in self._parser.sections() if it not in ("automx", "global")]
        if names and "*" not in names:  # automx answers for those alone
            own = []
        by_section: dict[str, Raw] = {}
        for name in dict.fromkeys([*names, *self._domains(own)]):
            section = self._section_of(name)
            if section is None:
                continue
            raw = by_section.setdefault(section, {"domains": []})
            raw["domains"].append(name)
        raws = [{**raw, **self._settings(name)} for name, raw in by_section.items()]
        return Read(_whole(raws, self._lost), self._lost)

    def _domains(self, sections: list[str]) -> Iterator[str]:
        """Sections of domains that are not listed: `domains = *` serves them too."""
        for name in sections:
            if "." in name and not self._is_target(name):
                yield name

    def _is_target(self, name: str) -> bool:
        """Whether a filter leads there, so that it is no domain's name."""
        return any(
            self._parser.has_option(section, "section_filter")
            and name in re.split(r"[\s,]+", self._parser.get(section, "section_filter"))
            for section in self._parser.sections()
        )

    def _section_of(self, domain: str) -> str | None:
        """Where the settings of a domain stand, None where a program tells them."""
        section = domain if self._parser.has_section(domain) else "global"
        if not self._parser.has_section(section):
            self._lost.append(f"{domain}: left out, it has no section")
            return None
        backend = self._parser.get(section, "backend", fallback="static").strip()
        if backend == "global" and section != "global":
            return "global" if self._parser.has_section("global") else None
        if backend in ("file", "filter", "script"):
            why = f"its backend is {backend!r}, which tells the settings elsewhere"
            self._lost.append(f"{domain}: left out, {why}")
            return None
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            self._lost.append(
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
        if port.isdigit():
            server["port"] = int(port)
            if not encryption and int(port) == standard_port(type_, "SSL"):
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
        return self._parser.get(section, key, fallback="").strip()

    def _text(self, section: str, key: str) -> str:
        """A value with its macros in our words; one that a database fills in is lost."""
        value = self._get(section, key)
        if "${" in value:
            self._lose(f"{key} = {value[:60]} is lost: a database told it")
            return ""
        return re.sub("%[sud%]", lambda match: _MACROS[match[0]], value)

    def _lose(self, sentence: str) -> None:
        if sentence not in self._lost:
            self._lost.append(sentence)
