"""Imports an automx.conf, the configuration of automx 1 (version 1.1.1)."""

from __future__ import annotations

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
    listed = re.findall(r"[^\s,]+", sections.get("automx", {}).get("domains", ""))
    domains = dict.fromkeys(listed)
    if not listed or "*" in domains:
        domains |= dict.fromkeys(it for it in sections if "." in it)
    providers: dict[str, Raw] = {}  # by their section
    for domain in domains:
        name = domain if domain in sections else "global"
        if sections.get(name, {}).get("backend") == "global":
            name = "global"
        backend = sections.get(name, {}).get("backend", "")
        if name not in sections:
            notes[f"{domain}: left out, it has no section"] = None
        elif backend in ("file", "filter", "script"):
            why = f"its backend is {backend!r}, which has the settings elsewhere"
            notes[f"{domain}: left out, {why}"] = None
        else:
            providers.setdefault(name, {"domains": []})["domains"].append(domain)
    for name, raw in providers.items():
        raw |= _Section(name, sections[name], notes).settings()
    return usable(providers.values(), notes)


def _parse(text: str) -> dict[str, Mapping[str, str]]:
    """Return the sections by their names, each with the keys of [DEFAULT].

    The result is that of Python's configparser, as automx uses it, which takes quadratic
    time for long lines and for many invalid ones. Raises UnreadableError.
    """
    default: dict[str, list[str]] = {}
    sections = {"DEFAULT": default}
    section: dict[str, list[str]] | None = None
    value: list[str] | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        line_indent = len(line) - len(line.lstrip())
        if value is not None and line_indent > indent:  # the value goes on
            value.append(stripped)
            continue
        indent = line_indent
        option = re.match(r"([^=:]+)[=:](.*)", stripped)
        if stripped[0] == "[" and "]" in stripped:
            name = stripped[1 : stripped.rindex("]")]
            section, value = sections.setdefault(name, {}), None
        elif section is None or option is None:
            raise UnreadableError(f"line {number} has no `key = value` of a section")
        else:
            value = section[option[1].rstrip()] = [option[2].strip()]

    texts = {
        name: {key: "\n".join(lines) for key, lines in values.items()}
        for name, values in sections.items()
    }
    shared = texts.pop("DEFAULT")
    return {name: ChainMap(values, shared) for name, values in texts.items()}


@dataclass
class _Section:
    """A section with settings, and notes of what is left out of it."""

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
            if self._get(key).lower() in _YES:
                server = self._server(key)
                if server:
                    add_server(raw, server)
        url = self._filled("server_url")
        if url:
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
        method = self._get(f"{key}_auth").lower()
        if key not in DAV and method:
            server["authentication"] = _WORDS["methods"].get(method)
            if not server["authentication"]:
                self._leave_out(f"{key}_auth", "no client knows this method")
        given, port = self._get(f"{key}_port"), None
        if re.fullmatch("[0-9]{1,5}", given) and 0 < int(given) < 65536:
            port = int(given)
        elif given:
            self._leave_out(f"{key}_port", "it is no port")

        encryption = self._get(f"{key}_encryption")
        socket_type = _WORDS["socket_types"].get(encryption.lower())
        if socket_type is None:
            is_direct = key in DAV or (port and port == standard_port(type_, "SSL"))
            socket_type = "SSL" if is_direct else "STARTTLS"
            if encryption:
                became = f"{encryption[:60]} became {socket_type}"
                self._note(f"{key}_encryption = {became}")
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
