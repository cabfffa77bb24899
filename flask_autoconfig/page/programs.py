"""The account that the page explains, and the programs that can use it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from .. import oauth_hosts
from ..address import Address, fill_in, fill_in_host, fill_in_url, unfold
from ..config.tables import (
    WITHOUT_LOGIN,
    AuthenticationMethod,
    Method,
    ProgramName,
    Provider,
    Server,
)
from .visit import Device
from .words import N_, Words

# SASL names count as passwords too.
PASSWORD: frozenset[Method] = frozenset(("password-cleartext",))
ALL_PASSWORDS: frozenset[Method] = PASSWORD | {"password-encrypted", "NTLM", "GSSAPI"}
# At the hosts of oauth_hosts.py alone.
OAUTH2: frozenset[Method] = frozenset(("OAuth2",))
_METHODS = {"plain": PASSWORD, "all": ALL_PASSWORDS, "OAuth2": ALL_PASSWORDS | OAUTH2}


class MailServer(NamedTuple):
    """A mail server with the placeholders filled in for one address."""

    type: str
    host: str
    port: int
    socket_type: str
    username: str  # "" if none is needed
    method: Method


class DavService(NamedTuple):
    """A calendar or an address book."""

    protocol: str  # CalDAV or CardDAV
    url: str
    username: str


class Account(NamedTuple):
    """An address, its provider, and what the steps depend on."""

    provider: Provider
    address: Address
    display_name: str = ""  # of the provider
    families: frozenset[str] = frozenset()  # the families served
    device: Device = ""
    name: str = ""  # of the person
    is_signed: bool = False  # the Apple profile is signed
    profile: str = ""  # the URL of the Apple profile

    @property
    def shown(self) -> str:
        """The address as people write it."""
        return f"{self.address.local}@{unfold(self.address.domain)}"

    def mail_servers(
        self,
        methods: Collection[Method] = PASSWORD,
        types: Iterable[str] = ("imap", "pop3"),
    ) -> tuple[MailServer, MailServer] | None:
        """Return the incoming and the outgoing server for a program, or None.

        *methods* are the authentication methods that the program supports, *types* the
        protocols that it reads mail with, best first.
        """
        sending = {*methods, *WITHOUT_LOGIN}
        outgoing = self._first(self.provider.outgoing, "smtp", sending)
        found = (self._first(self.provider.incoming, type_, methods) for type_ in types)
        incoming = next(filter(None, found), None)
        return (incoming, outgoing) if incoming and outgoing else None

    @property
    def password_servers(self) -> tuple[MailServer, MailServer] | None:
        """The servers for a program that supports every kind of password."""
        return self.mail_servers(ALL_PASSWORDS)

    @property
    def needs_oauth2(self) -> bool:
        """Whether no password will do, and Thunderbird can use OAuth2."""
        servers = self.mail_servers(ALL_PASSWORDS | OAUTH2)
        return servers is not None and self.password_servers is None

    def methods_to_read(self, types: Iterable[str]) -> set[Method]:
        """The authentication methods of the servers for incoming mail of these types."""
        servers = [server for server in self.provider.incoming if server.type in types]
        return {method for server in servers for method in server.authentication}

    @property
    def lacks(self) -> Literal["password", "mail", ""]:
        """What most programs need: a password instead of OAuth2, or IMAP or POP3."""
        methods = self.methods_to_read(("imap", "pop3"))
        if self.password_servers or self.needs_oauth2:
            return ""
        if "OAuth2" in methods:
            return "password"
        return "" if methods or self.profile or self.dav_services else "mail"

    @property
    def is_on_computer(self) -> bool:
        """Whether the visitor's device is a computer."""
        return self.device in ("windows", "mac", "linux")

    @property
    def is_found_by_k9(self) -> bool:
        """Whether Thunderbird for Android (K-9) finds the servers.

        It reads IMAP and SMTP alone, and drops a document with a server that it cannot
        use.
        """
        servers = (*self.provider.incoming, *self.provider.outgoing)
        read = [server for server in servers if server.type in ("imap", "smtp")]
        return (
            "thunderbird" in self.families
            and all(
                server.socket_type != "plain" and server.username for server in read
            )
            and {server.type for server in read} == {"imap", "smtp"}
        )

    @property
    def dav_services(self) -> list[DavService]:
        """The calendars with a known URL, then the address books."""
        provider = self.provider
        tables = {"CalDAV": provider.calendar, "CardDAV": provider.address_book}
        return [
            DavService(protocol, url, fill_in(server.username, None, self.address))
            for protocol, servers in tables.items()
            for server in servers
            if server.type == protocol.lower()
            and (url := fill_in_url(server.url, None, self.address))
        ]

    def _first(
        self, servers: Iterable[Server], type_: str, methods: Collection[Method]
    ) -> MailServer | None:
        """Fill in the placeholders of the first server of a type that is usable."""
        for server in servers:
            host = fill_in_host(server.hostname, None, self.address)
            if server.type != type_ or not host or server.port is None:
                continue
            for method in server.authentication:
                if method == "OAuth2" and not oauth_hosts.is_known(host):
                    continue
                if method in methods or isinstance(method, AuthenticationMethod):
                    username = fill_in(server.username, None, self.address)
                    username = "" if method in WITHOUT_LOGIN else username
                    security = server.socket_type or "SSL"
                    return MailServer(
                        type_, host, server.port, security, username, method
                    )
        return None


# --- Programs -------------------------------------------------------------------------


class Program(Struct, frozen=True):
    """A program, the devices that it runs on, and the servers that it can use.

    The attributes are described in programs.toml.
    """

    id: ProgramName
    name: str
    devices: tuple[Device, ...]
    title: str = N_("In %(program)s")
    is_of_device: bool = False
    is_rare: bool = False
    passwords: Literal["plain", "all", "OAuth2"] = "plain"
    types: tuple[str, ...] = ("imap", "pop3")
    or_with: str = ""
    calendars_by: tuple[ProgramName, ...] = ()

    @property
    def where(self) -> str:
        """The names of its devices, for visitors with another one."""
        names = [_DEVICE_NAMES[device] for device in self.devices]
        return "" if self.is_of_device else ", ".join(names)

    def mail_servers(self, account: Account) -> tuple[MailServer, MailServer] | None:
        """Return the incoming and the outgoing server that it can use, or None."""
        return account.mail_servers(_METHODS[self.passwords], self.types)


_DEVICE_NAMES: dict[Device, str] = {
    "ios": "iPhone",
    "android": "Android",
    "windows": "Windows",
    "mac": "Mac",
    "linux": "Linux",
}
_TEXT = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
_ROWS: list[dict[str, Any]] = tomllib.loads(_TEXT)["program"]
for _row in _ROWS:
    _row |= {key: tuple(it) for key, it in _row.items() if isinstance(it, list)}
PROGRAMS = tuple(Program(**row) for row in _ROWS)


def usable(account: Account, wanted: Iterable[ProgramName] | None) -> list[Program]:
    """Return the usable programs of *wanted*, in its order, or of all; else "other"."""
    by_id = {program.id: program for program in PROGRAMS}
    programs = [by_id[name] for name in dict.fromkeys(wanted or by_id)]
    found = [
        program
        for program in programs
        if (program.or_with and getattr(account, program.or_with))
        or program.mail_servers(account)
    ]
    return found or [by_id["other"]]


def refusal(account: Account, requested: str, words: Words) -> str:
    """Explain why a program that was requested is not among the usable ones."""
    program = next((one for one in PROGRAMS if one.id == requested.lower()), None)
    if program is None:
        return words.say("There are no steps for the program in this link.")
    name, kinds = words.say(program.name), "/".join(program.types).upper()
    if program in usable(account, None):
        return words.say("There are no steps for %(program)s here.", program=name)
    if not kinds:
        return words.say("This account has neither calendars nor address books.")
    if account.methods_to_read(program.types):
        return words.say("%(program)s cannot sign in to this account.", program=name)
    return words.say(
        "%(program)s needs %(kinds)s, which this account lacks.",
        program=name,
        kinds=kinds,
    )


def chosen(programs: list[Program], requested: str, device: Device) -> Program | None:
    """Return the requested program, else the one preinstalled on the device, or None."""
    for program in programs:
        if program.id == requested.lower():
            return program
    for program in programs:
        if program.is_of_device and device in program.devices:
            return program
    return programs[0] if len(programs) == 1 else None
