"""Reads an automx.conf, which the server before automx2 has, for `import`."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping

from ..config.ports import standard_port
from .moving import TYPES, Raw, Read, UnreadableError, group, whole

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


def automx(text: bytes) -> Read:
    """Read an automx.conf; raises ValueError."""
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
        return whole(raws, self._lost)

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
                type_ = TYPES[kind]
                server = self._server(section, kind, type_)
                raw.setdefault(group(type_), []).append(server)
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
