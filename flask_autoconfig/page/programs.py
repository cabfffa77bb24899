"""An account that the page explains, and the programs that can use it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs, toml

from ..address import Address, unfold
from ..config.tables import (
    WITHOUT_LOGIN,
    AuthenticationMethod,
    Method,
    ProgramName,
    Provider,
    Server,
)
from ..documents import Recipient
from .visit import Device
from .words import N_

# SASL names count as passwords too.
PASSWORD: frozenset[Method] = frozenset(("password-cleartext",))
ALL_PASSWORDS: frozenset[Method] = PASSWORD | {"password-encrypted", "NTLM", "GSSAPI"}
# At the `oauth2_hosts` of programs.toml alone.
OAUTH2: frozenset[Method] = frozenset(("OAuth2",))
_METHODS = {"plain": PASSWORD, "all": ALL_PASSWORDS, "OAuth2": ALL_PASSWORDS | OAUTH2}
_TYPED = ALL_PASSWORDS - {"GSSAPI"} | {"http-basic", "http-digest"}


# The incoming and the outgoing server that a program uses, each with the one method that
# the program has. The `username` of a server that needs no login is None.
Pair = tuple[Server, Server]


@dataclass(frozen=True)
class Account:
    """An address, its provider, and what the steps depend on."""

    provider: Provider
    address: Address
    families: frozenset[str] = frozenset()  # the families served
    name: str = ""  # of the person
    is_signed: bool = False  # the Apple profile is signed
    profile: str = ""  # the URL of the Apple profile

    @property
    def shown(self) -> str:
        return f"{self.address.local}@{unfold(self.address.domain)}"

    @cached_property
    def filled(self) -> Provider:
        return Recipient(address=self.address).filled(self.provider)

    def mail_servers(
        self,
        methods: Collection[Method] = PASSWORD,
        types: Iterable[str] = ("imap", "pop3"),
    ) -> Pair | None:
        """Return the incoming and the outgoing server for a program, or None.

        *methods* are the authentication methods that the program supports, *types* the
        protocols that it reads mail with, best first.
        """
        sending = {*methods, *WITHOUT_LOGIN}
        outgoing = _first(self.filled.outgoing, "smtp", sending)
        found = (_first(self.filled.incoming, type_, methods) for type_ in types)
        incoming = next(filter(None, found), None)
        return (incoming, outgoing) if incoming and outgoing else None

    @property
    def password_servers(self) -> Pair | None:
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
    def is_found_by_k9(self) -> bool:
        """Whether Thunderbird for Android (K-9) finds the servers.

        It reads only IMAP and SMTP, and drops a document with a server that it cannot
        use.
        """
        servers = (*self.provider.incoming, *self.provider.outgoing)
        read = [server for server in servers if server.type in ("imap", "smtp")]
        is_read = "thunderbird" in self.families
        is_read &= all(it.socket_type != "plain" and it.username for it in read)
        return is_read and {it.type for it in read} == {"imap", "smtp"}

    @property
    def takes_password(self) -> bool:
        """Whether a server takes a password that people type; SASL names count."""
        return any(
            method in _TYPED or isinstance(method, AuthenticationMethod)
            for _, server in self.provider.servers
            for method in server.authentication
        )

    @property
    def dav_services(self) -> list[Server]:
        """The calendars with a known URL, then the address books."""
        servers = (*self.filled.calendar, *self.filled.address_book)
        return [it for it in servers if it.type in ("caldav", "carddav") and it.url]


def _first(
    servers: Iterable[Server], type_: str, methods: Collection[Method]
) -> Server | None:
    """Return the first usable server of a type, with the first usable method alone."""
    for server in servers:
        if server.type != type_ or not server.hostname:
            continue
        for method in server.authentication:
            if method == "OAuth2" and not has_oauth2(server.hostname):
                continue
            if method in methods or isinstance(method, AuthenticationMethod):
                username = None if method in WITHOUT_LOGIN else server.username
                return structs.replace(
                    server, username=username, authentication=(method,)
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

    def mail_servers(self, account: Account) -> Pair | None:
        return account.mail_servers(_METHODS[self.passwords], self.types)

    def is_usable(self, account: Account) -> bool:
        is_enough = self.or_with and getattr(account, self.or_with)
        return bool(is_enough or self.mail_servers(account))


class _File(Struct):
    oauth2_hosts: tuple[str, ...]
    program: tuple[Program, ...]


_FILE = toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=_File)
PROGRAMS = _FILE.program
BY_ID: dict[str, Program] = {program.id: program for program in PROGRAMS}
_OAUTH2_HOSTS = tuple(f".{host}" for host in _FILE.oauth2_hosts)


def has_oauth2(host: str | None) -> bool:
    """Whether Thunderbird can use OAuth2 at a host."""
    return f".{(host or '').strip().lower()}".endswith(_OAUTH2_HOSTS)


def usable(account: Account, wanted: Iterable[ProgramName] | None) -> list[Program]:
    """Return the usable programs of *wanted*, in its order, or of all; else "other"."""
    programs = [BY_ID[name] for name in dict.fromkeys(wanted or BY_ID)]
    found = [program for program in programs if program.is_usable(account)]
    return found or [BY_ID["other"]]


def chosen(programs: list[Program], requested: str, device: Device) -> Program | None:
    """Return the requested program, else the one preinstalled on the device, or None."""
    wanted = [it for it in programs if it.id == requested.lower()]
    wanted += [it for it in programs if it.is_of_device and device in it.devices]
    if len(programs) == 1:
        wanted += programs
    return wanted[0] if wanted else None


def grouped(
    programs: list[Program], first: Program | None, device: Device, *, all_listed: bool
) -> tuple[list[Program], list[Program], list[Program]]:
    """Return the programs to show at once, then the other ones, then the rare ones.

    The provider's file names them if they are `all_listed`; then none is rare.
    """
    here = [program for program in programs if device in program.devices]
    rare = [] if all_listed else [program for program in programs if program.is_rare]
    at_once = [it for it in programs if it is first or (it in here and it not in rare)]
    folded = [program for program in programs if program not in at_once]
    return (
        at_once,
        [program for program in folded if program not in rare],
        sorted((it for it in rare if it in folded), key=lambda it: it not in here),
    )
