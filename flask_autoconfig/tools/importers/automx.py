"""Imports an automx.conf, the configuration of automx 1 (version 1.1.1)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import NamedTuple

from ...config.ports import standard_port
from .imported import (
    TYPES,
    Imported,
    Raw,
    UnreadableError,
    list_for,
    url_with_port,
    usable,
)

_SOCKET_TYPES = {"ssl": "SSL", "starttls": "STARTTLS", "none": "plain"}
_METHODS = {
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
_MACROS = {
    "%s": "%EMAILADDRESS%",
    "%u": "%EMAILLOCALPART%",
    "%d": "%EMAILDOMAIN%",
    "%%": "%",
}
# Variables of a lookup in LDAP or SQL that are most likely a part of the address.
_VARIABLES = {
    "${domain}": "%EMAILDOMAIN%",
    "${email}": "%EMAILADDRESS%",
    "${mail}": "%EMAILADDRESS%",
}
_YES = {"1", "y", "yes", "t", "true", "on"}
_LONGEST_VALUE = 1000  # characters
_MOST_FOLLOWED = 5  # sections, one after the other
_LOST = {
    "ox": "there is no such service here",
    "smtp_default": "Thunderbird ignored the value that automx made of it",
    "sign_cert": "name the file in [sign]",
    "sign_key": "name the file in [sign]",
}


class _Value(NamedTuple):
    text: str = ""
    line: int = 0


_Section = Mapping[str, _Value]


def read(text: bytes) -> Imported:
    """Read an automx.conf; raises ValueError."""
    return _Automx(_parse(text.decode())).read()


def _parse(text: str) -> dict[str, _Section]:
    """Return the sections by their names, each with the keys of [DEFAULT].

    The result is that of Python's configparser, as automx uses it, which takes quadratic
    time for long lines and for many invalid ones. Raises UnreadableError.
    """
    sections: dict[str, dict[str, _Lines]] = {"DEFAULT": {}}
    section: dict[str, _Lines] | None = None
    value: _Lines | None = None
    indent = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        line_indent = len(line) - len(line.lstrip())
        if value is not None and line_indent > indent:  # the value goes on
            value.texts.append(stripped)
            continue
        indent = line_indent
        option = re.match(r"([^=:]+)[=:](.*)", stripped)
        if stripped[0] == "[" and "]" in stripped:
            name = stripped[1 : stripped.rindex("]")]
            section, value = sections.setdefault(name, {}), None
        elif section is None or option is None:
            raise UnreadableError(f"line {number} has no `key = value` of a section")
        else:
            value = _Lines([option[2].strip()], number)
            section[option[1].rstrip()] = value

    default = _joined(sections.pop("DEFAULT"))
    return {name: ChainMap(_joined(lines), default) for name, lines in sections.items()}


class _Lines(NamedTuple):
    """A value whose lines are still being collected."""

    texts: list[str]
    line: int  # the first one


def _joined(section: dict[str, _Lines]) -> dict[str, _Value]:
    return {key: _Value("\n".join(it.texts), it.line) for key, it in section.items()}


class _Automx:
    """The providers of an automx.conf: a section for a domain, else [global]."""

    def __init__(self, sections: Mapping[str, _Section]) -> None:
        self._sections = sections
        self._notes: dict[str, None] = {}

    def read(self) -> Imported:
        listed = _words(self._sections.get("automx", {}).get("domains", _Value()).text)
        unlisted = self._unlisted() if not listed or "*" in listed else []
        domains: dict[str, list[str]] = {}  # by their section
        for domain in dict.fromkeys([*listed, *unlisted]):
            name = domain if domain in self._sections else "global"
            section = self._usable_section(name, domain)
            if section is not None:
                domains.setdefault(section, []).append(domain)
        return usable(
            [
                {"domains": names, **self._settings(section)}
                for section, names in domains.items()
            ],
            self._notes,
        )

    def _unlisted(self) -> list[str]:
        """Return the sections that serve their own domain because of `domains = *`.

        Those that a filter selects are no domains.
        """
        filters = {self._get(name, "section_filter").text for name in self._sections}
        targets = {name for text in filters for name in _words(text)}
        return [name for name in self._sections if "." in name and name not in targets]

    def _usable_section(self, name: str, domain: str) -> str | None:
        """Return the section with the settings, None where they are stored elsewhere."""
        if name not in self._sections:
            self._note(f"{domain}: left out, it has no section")
            return None
        backend, line = self._get(name, "backend")
        if backend == "global" and name != "global":
            return self._usable_section("global", domain)
        if backend in ("file", "filter", "script"):
            why = f"its backend is {backend!r}, which has the settings elsewhere"
            self._note(f"{domain}: left out, {why}", line)
            return None
        if backend in ("ldap", "sql", "static_append", "ldap_append", "sql_append"):
            self._note(
                f"[{name}]: what {backend} looks up for a user is lost: a find_username "
                "function can look it up",
                line,
            )
        return name

    def _settings(self, section: str, followed: int = 0) -> Raw:
        raw: Raw = {
            "display_name": self._filled(section, "account_name") or None,
            "display_short_name": self._filled(section, "account_name_short") or None,
        }
        for key in ("imap", "pop", "smtp"):
            if self._is_on(section, key):
                type_ = TYPES[key]
                server = self._server(section, key, type_)
                if server:
                    raw.setdefault(list_for(type_), []).append(server)
        for key, table in (("caldav", "calendar"), ("carddav", "address_book")):
            if self._is_on(section, key) and self._get(section, f"{key}_server").text:
                raw[table] = [self._service(section, key)]
        url = self._filled(section, "server_url")
        if url:
            server = {"type": "activesync", "url": url}
            raw.setdefault("incoming", []).append(server)
        for key, why in _LOST.items():
            value = self._get(section, key)
            if value.text and value.text.lower() not in ("no", "false", "off", "0"):
                self._leave_out(key, value, why)
        return self._with_followed(section, raw, followed)

    def _with_followed(self, section: str, raw: Raw, followed: int) -> Raw:
        """Let the section that `follow` names add to the settings, or override them."""
        target = self._get(section, "follow")
        if not target.text:
            return raw
        if target.text not in self._sections or followed == _MOST_FOLLOWED:
            self._leave_out("follow", target, "there is no such section, or a circle")
            return raw
        name = self._usable_section(target.text, f"follow = {target.text}")
        if name is None:
            return raw
        for key, value in self._settings(name, followed + 1).items():
            if isinstance(value, list):
                types = {server["type"] for server in value}
                kept = [it for it in raw.get(key, []) if it["type"] not in types]
                raw[key] = [*kept, *value]
            elif value is not None:
                raw[key] = value
        return raw

    def _server(self, section: str, key: str, type_: str) -> Raw | None:
        host = self._get(section, f"{key}_server")
        hostname = self._filled(section, f"{key}_server")
        if host.text and not hostname:
            self._note(
                f"the {type_} server is left out: it has no known host", host.line
            )
            return None
        port = self._port(section, key)
        return {
            "type": type_,
            "hostname": hostname,
            "port": port,
            "socket_type": self._socket_type(section, key, type_, port),
            "authentication": self._method(section, key),
            "username": self._username(section, key),
        }

    def _service(self, section: str, key: str) -> Raw:
        server, port = self._filled(section, f"{key}_server"), self._port(section, key)
        is_plain = self._get(section, f"{key}_encryption").text.lower() == "none"
        raw: Raw = {"type": key, "username": self._username(section, key)}
        if "/" in server:
            return {**raw, "url": url_with_port(server, port, not is_plain)}
        socket_type = "plain" if is_plain else "SSL"
        return {**raw, "hostname": server, "port": port, "socket_type": socket_type}

    def _socket_type(self, section: str, key: str, type_: str, port: int | None) -> str:
        encryption, line = self._get(section, f"{key}_encryption")
        known = _SOCKET_TYPES.get(encryption.lower())
        if known:
            return known
        is_direct = port is not None and port == standard_port(type_, "SSL")
        socket_type = "SSL" if is_direct else "STARTTLS"
        if encryption:
            words = f"{key}_encryption = {encryption[:60]} became {socket_type}"
            self._note(words, line)
        return socket_type

    def _port(self, section: str, key: str) -> int | None:
        port = self._get(section, f"{key}_port")
        if re.fullmatch("[0-9]{1,5}", port.text) and 0 < int(port.text) < 65536:
            return int(port.text)
        if port.text:
            self._leave_out(f"{key}_port", port, "it is no port")
        return None

    def _method(self, section: str, key: str) -> str | None:
        method = self._get(section, f"{key}_auth")
        known = _METHODS.get(method.text.lower())
        if method.text and not known:
            self._leave_out(f"{key}_auth", method, "no client knows this method")
        return known

    def _username(self, section: str, key: str) -> str | None:
        """Return the user name; without one automx writes the local part."""
        name = f"{key}_auth_identity"
        if not self._get(section, name).text:
            return "%EMAILLOCALPART%"
        return self._filled(section, name) or None

    def _is_on(self, section: str, key: str) -> bool:
        return self._get(section, key).text.lower() in _YES

    def _get(self, section: str, key: str) -> _Value:
        value = self._sections[section].get(key, _Value())
        if len(value.text) > _LONGEST_VALUE:  # [DEFAULT] may give it to every section
            raise UnreadableError(f"its {key} has {len(value.text):,} characters")
        return value

    def _filled(self, section: str, key: str) -> str:
        """Return a value with our placeholders, "" if it depends on a lookup."""
        value = self._get(section, key)
        text = re.sub("%[sud%]", lambda macro: _MACROS[macro[0]], value.text)
        for variable, placeholder in _VARIABLES.items():
            if variable in text:
                text = text.replace(variable, placeholder)
                self._note(f"{key}: {variable} became {placeholder}", value.line)
        if "${" in text:
            self._leave_out(key, value, "a database has the rest of it")
            return ""
        return text

    def _leave_out(self, key: str, value: _Value, why: str) -> None:
        self._note(f"{key} = {value.text[:60]} is left out: {why}", value.line)

    def _note(self, sentence: str, line: int = 0) -> None:
        self._notes[f"line {line}: {sentence}" if line else sentence] = None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,]+", text)
