"""Imports an automx.conf, the configuration of automx 1 (version 1.1.1)."""

from __future__ import annotations

import re
import tomllib
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ...config.ports import standard_port
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

_WORDS: dict[str, dict[str, str]]
_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_YES = {"1", "y", "yes", "t", "true", "on"}
_LONGEST_VALUE = 1000  # characters


class _Value(NamedTuple):
    lines: list[str]
    number: int = 0  # of the first line

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


_Section = Mapping[str, _Value]


def read(_file: Path, data: bytes) -> Imported:
    """Read an automx.conf; raises ValueError."""
    return _Automx(_parse(data.decode())).read()


def _parse(text: str) -> dict[str, _Section]:
    """Return the sections by their names, each with the keys of [DEFAULT].

    The result is that of Python's configparser, as automx uses it, which takes quadratic
    time for long lines and for many invalid ones. Raises UnreadableError.
    """
    default: dict[str, _Value] = {}
    sections = {"DEFAULT": default}
    section: dict[str, _Value] | None = None
    value: _Value | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        line_indent = len(line) - len(line.lstrip())
        if value is not None and line_indent > indent:  # the value goes on
            value.lines.append(stripped)
            continue
        indent = line_indent
        option = re.match(r"([^=:]+)[=:](.*)", stripped)
        if stripped[0] == "[" and "]" in stripped:
            name = stripped[1 : stripped.rindex("]")]
            section, value = sections.setdefault(name, {}), None
        elif section is None or option is None:
            raise UnreadableError(f"line {number} has no `key = value` of a section")
        else:
            value = section[option[1].rstrip()] = _Value([option[2].strip()], number)

    del sections["DEFAULT"]
    return {name: ChainMap(values, default) for name, values in sections.items()}


class _Automx:
    """The providers of an automx.conf: a section for a domain, else [global]."""

    def __init__(self, sections: Mapping[str, _Section]) -> None:
        self._sections = sections
        self._notes: dict[str, None] = {}

    def read(self) -> Imported:
        value = self._sections.get("automx", {}).get("domains", _Value([]))
        listed = re.findall(r"[^\s,]+", value.text)
        domains = dict.fromkeys(listed)
        if not listed or "*" in domains:
            domains |= dict.fromkeys(it for it in self._sections if "." in it)
        providers: dict[str, Raw] = {}  # by their section
        for domain in domains:
            name = domain if domain in self._sections else "global"
            section = self._usable_section(name, domain)
            if section is not None:
                providers.setdefault(section, {"domains": []})["domains"].append(domain)
        for section, raw in providers.items():
            raw |= self._settings(section)
        return usable(providers.values(), self._notes)

    def _usable_section(self, name: str, domain: str) -> str | None:
        """Return the section with the settings, None where they are stored elsewhere."""
        if name not in self._sections:
            self._note(f"{domain}: left out, it has no section")
            return None
        value = self._get(name, "backend")
        backend = value.text
        if backend == "global" and name != "global":
            return self._usable_section("global", domain)
        if backend in ("file", "filter", "script"):
            why = f"its backend is {backend!r}, which has the settings elsewhere"
            self._note(f"{domain}: left out, {why}", value)
            return None
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            words = "is lost: a find_username function can look it up"
            self._note(f"[{name}]: what {backend} looks up for a user {words}", value)
        return name

    def _settings(self, section: str) -> Raw:
        raw: Raw = {
            "display_name": self._filled(section, "account_name") or None,
            "display_short_name": self._filled(section, "account_name_short") or None,
        }
        for key in ("imap", "pop", "smtp", *DAV):
            if self._get(section, key).text.lower() in _YES:
                server = self._server(section, key)
                if server:
                    add_server(raw, server)
        url = self._filled(section, "server_url")
        if url:
            add_server(raw, {"type": "activesync", "url": url})
        for key, why in _WORDS["lost"].items():
            value = self._get(section, key)
            if value.text and value.text.lower() not in ("no", "false", "off", "0"):
                self._leave_out(key, value, why)
        return raw

    def _server(self, section: str, key: str) -> Raw | None:
        given = self._get(section, f"{key}_server")
        host = self._filled(section, f"{key}_server")
        port = self._port(section, key)
        type_ = TYPES.get(key, key)
        if not host and (given.text or key in DAV):
            self._note(f"the {type_} server is left out: it has no known host", given)
            return None
        server: Raw = {"type": type_, "username": "%EMAILLOCALPART%"}  # as automx does
        if self._get(section, f"{key}_auth_identity").text:
            server["username"] = self._filled(section, f"{key}_auth_identity") or None
        if key not in DAV:
            method = self._get(section, f"{key}_auth")
            server["authentication"] = _WORDS["methods"].get(method.text.lower())
            if method.text and not server["authentication"]:
                self._leave_out(f"{key}_auth", method, "no client knows this method")

        socket_type = self._socket_type(section, key, port)
        if "/" in host:
            url = url_with_port(host, port, socket_type != "plain")
            return {**server, "url": url}
        return {**server, "hostname": host, "port": port, "socket_type": socket_type}

    def _socket_type(self, section: str, key: str, port: int | None) -> str:
        encryption = self._get(section, f"{key}_encryption")
        known = _WORDS["socket_types"].get(encryption.text.lower())
        if known:
            return known
        is_direct = key in DAV or (port and port == standard_port(TYPES[key], "SSL"))
        socket_type = "SSL" if is_direct else "STARTTLS"
        if encryption.text:
            words = f"{key}_encryption = {encryption.text[:60]} became {socket_type}"
            self._note(words, encryption)
        return socket_type

    def _port(self, section: str, key: str) -> int | None:
        port = self._get(section, f"{key}_port")
        if re.fullmatch("[0-9]{1,5}", port.text) and 0 < int(port.text) < 65536:
            return int(port.text)
        if port.text:
            self._leave_out(f"{key}_port", port, "it is no port")
        return None

    def _get(self, section: str, key: str) -> _Value:
        value = self._sections[section].get(key, _Value([]))
        if len(value.text) > _LONGEST_VALUE:  # [DEFAULT] may give it to every section
            raise UnreadableError(f"its {key} has {len(value.text):,} characters")
        return value

    def _filled(self, section: str, key: str) -> str:
        """Return a value with our placeholders, "" if it depends on a lookup."""
        value = self._get(section, key)
        text = re.sub("%[sud%]", lambda macro: _WORDS["macros"][macro[0]], value.text)
        for variable, placeholder in _WORDS["variables"].items():
            if variable in text:
                text = text.replace(variable, placeholder)
                self._note(f"{key}: {variable} became {placeholder}", value)
        if "${" in text:
            self._leave_out(key, value, "a database has the rest of it")
            return ""
        return text

    def _leave_out(self, key: str, value: _Value, why: str) -> None:
        self._note(f"{key} = {value.text[:60]} is left out: {why}", value)

    def _note(self, sentence: str, value: _Value | None = None) -> None:
        line = f"line {value.number}: " if value and value.number else ""
        self._notes[line + sentence] = None
