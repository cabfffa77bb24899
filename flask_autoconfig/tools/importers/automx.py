"""Imports an automx.conf, the configuration of automx 1 (version 1.1.1)."""

import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...config.ports import standard_port
from ...files import table_beside
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

_WORDS: dict[str, dict[str, str]] = table_beside(__file__, "automx.toml")
_YES, _NO = {"1", "y", "yes", "t", "true", "on"}, {"", "no", "false", "off", "0"}
_LONGEST_VALUE = 1000  # characters


def read(_file: Path, data: bytes) -> Imported:
    """Read an automx.conf: a section for a domain, else [global]; raises ValueError."""
    sections = _parse(data.decode())
    notes: dict[str, None] = {}
    listed = sections.get("automx", {}).get("domains", "").replace(",", " ").split()
    domains = dict.fromkeys(listed)
    if not listed or "*" in domains:
        domains |= dict.fromkeys(it for it in sections if "." in it)
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
    return usable(providers.values(), notes)


def _parse(text: str) -> dict[str, Mapping[str, str]]:
    """Return the sections by their names, each with the keys of [DEFAULT].

    Python's configparser takes quadratic time for long lines and for many invalid ones.
    Raises UnreadableError.
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
            raise UnreadableError(f"line {number} has no `key = value` of a section")
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
            "display_name": self._filled("account_name") or None,
            "display_short_name": self._filled("account_name_short") or None,
        }
        backend = self._get("backend")
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            words = "is lost: a find_username function can look it up"
            self._note(f"what {backend} looks up for a user {words}")
        for key in ("imap", "pop", "smtp", *DAV):
            if self._get(key).lower() in _YES and (server := self._server(key)):
                add_server(raw, server)
        if url := self._filled("server_url"):
            add_server(raw, {"type": "activesync", "url": url})
        for key, why in _WORDS["lost"].items():
            if self._get(key).lower() not in _NO:
                self._leave_out(key, why)
        return raw

    def _server(self, key: str) -> Raw | None:
        type_, host = TYPES.get(key, key), self._filled(f"{key}_server")
        if not host:
            self._note(f"the {type_} server is left out: it has no known host")
            return None
        server: Raw = {"type": type_, "username": "%EMAILLOCALPART%"}  # as automx does
        if self._get(f"{key}_auth_identity"):
            server["username"] = self._filled(f"{key}_auth_identity") or None
        if key not in DAV and (method := self._get(f"{key}_auth")):
            server["authentication"] = _WORDS["methods"].get(method.lower())
            if not server["authentication"]:
                self._leave_out(f"{key}_auth", "no client knows this method")
        given = self._get(f"{key}_port")
        port = int(given) if re.fullmatch("[0-9]{1,5}", given) else None
        if given and not port:
            self._leave_out(f"{key}_port", "it is no port")

        encryption = self._get(f"{key}_encryption").lower()
        socket_type = _WORDS["socket_types"].get(encryption)
        if socket_type is None:
            is_direct = key in DAV or (port and port == standard_port(type_, "SSL"))
            socket_type = "SSL" if is_direct else "STARTTLS"
        if "/" in host:
            url = url_with_port(host, port, socket_type != "plain")
            return {**server, "url": url}
        return {**server, "hostname": host, "port": port, "socket_type": socket_type}

    def _get(self, key: str) -> str:
        value = self.values.get(key, "")
        if len(value) > _LONGEST_VALUE:  # [DEFAULT] may give it to every section
            raise UnreadableError(f"its {key} has {len(value):,} characters")
        return value

    def _filled(self, key: str) -> str:
        """Return a value with our placeholders, "" if it depends on a lookup."""
        text = re.sub(
            "%[sud%]", lambda macro: _WORDS["macros"][macro[0]], self._get(key)
        )
        for variable, placeholder in _WORDS["variables"].items():
            if variable in text:
                text = text.replace(variable, placeholder)
                self._note(f"{key}: {variable} became {placeholder}")
        if "${" in text:
            self._leave_out(key, "a database has the rest of it")
            return ""
        return text

    def _leave_out(self, key: str, why: str) -> None:
        self._note(f"{key} = {self._get(key)[:60]} is left out: {why}")

    def _note(self, sentence: str) -> None:
        self.notes[f"[{self.name}]: {sentence}"] = None
