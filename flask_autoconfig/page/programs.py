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

# Methods that programs can use. The names of SASL mechanisms count as passwords too.
PASSWORD: frozenset[Method] = frozenset(("password-cleartext",))
ALL_PASSWORDS: frozenset[Method] = PASSWORD | {"password-encrypted", "NTLM", "GSSAPI"}
# Only at the `oauth2_hosts` of programs.toml.
OAUTH2: frozenset[Method] = frozenset(("OAuth2",))
_METHODS = {"plain": PASSWORD, "all": ALL_PASSWORDS, "OAuth2": ALL_PASSWORDS | OAUTH2}
_TYPED_PASSWORDS = ALL_PASSWORDS - {"GSSAPI"} | {"http-basic", "http-digest"}

# The incoming and the outgoing server that a program uses, each with only the method that
# it uses. The `username` of a server that needs no login is None.
ServerPair = tuple[Server, Server]


@dataclass(frozen=True)
class Account:
    """An address, its provider, and what the steps depend on."""

    provider: Provider
    address: Address
    families: frozenset[str] = frozenset()  # the names of the served families
    name: str = ""  # of the person
    is_signed: bool = False  # whether the Apple profile is signed
    profile: str = ""  # the URL of the Apple profile

    @property
    def readable_address(self) -> str:
        return f"{self.address.local}@{unfold(self.address.domain)}"

    @cached_property
    def filled_provider(self) -> Provider:
        return Recipient(address=self.address).filled(self.provider)

    def mail_servers(
        self,
        methods: Collection[Method] = PASSWORD,
        types: Iterable[str] = ("imap", "pop3"),
    ) -> ServerPair | None:
        """Return the incoming and the outgoing server for a program, or None.

        *methods* are the authentication methods that the program supports, *types* the
        protocols that it reads mail with, best first.
        """
        provider, smtp_methods = self.filled_provider, {*methods, *WITHOUT_LOGIN}
        outgoing = _first_usable(provider.outgoing, "smtp", smtp_methods)
        usable = (_first_usable(provider.incoming, type_, methods) for type_ in types)
        incoming = next(filter(None, usable), None)
        return (incoming, outgoing) if incoming and outgoing else None

    @property
    def password_servers(self) -> ServerPair | None:
        return self.mail_servers(ALL_PASSWORDS)

    @property
    def needs_oauth2(self) -> bool:
        """Whether the account needs OAuth2, and Thunderbird can use it there."""
        servers = self.mail_servers(ALL_PASSWORDS | OAUTH2)
        return servers is not None and self.password_servers is None

    def methods_to_read(self, types: Iterable[str]) -> set[Method]:
        """Return the authentication methods of the incoming servers of these types."""
        servers = [server for server in self.provider.incoming if server.type in types]
        return {method for server in servers for method in server.authentication}

    @property
    def lacks(self) -> Literal["password", "mail", ""]:
        """What the account lacks for most programs: a password login, or IMAP and POP3."""
        methods = self.methods_to_read(("imap", "pop3"))
        if self.password_servers or self.needs_oauth2:
            return ""
        if "OAuth2" in methods:
            return "password"
        return "" if methods or self.profile or self.dav_services else "mail"

    @property
    def is_found_by_k9(self) -> bool:
        """Whether Thunderbird for Android (K-9) finds the servers.

        It reads only IMAP and SMTP servers, and rejects a document in which it cannot use
        one of those.
        """
        servers = (*self.provider.incoming, *self.provider.outgoing)
        read = [server for server in servers if server.type in ("imap", "smtp")]
        are_usable = all(s.socket_type != "plain" and s.username for s in read)
        has_both = {server.type for server in read} == {"imap", "smtp"}
        return "thunderbird" in self.families and are_usable and has_both

    @property
    def takes_password(self) -> bool:
        """Whether a server takes a password that people type, or a SASL mechanism."""
        return any(
            method in _TYPED_PASSWORDS or isinstance(method, AuthenticationMethod)
            for _, server in self.provider.servers
            for method in server.authentication
        )

    @property
    def dav_services(self) -> list[Server]:
        """The calendars with a known URL, then the address books."""
        servers = (*self.filled_provider.calendar, *self.filled_provider.address_book)
        return [s for s in servers if s.type in ("caldav", "carddav") and s.url]


def _first_usable(
    servers: Iterable[Server], type_: str, methods: Collection[Method]
) -> Server | None:
    """Return the first usable server of a type, with only its first usable method."""
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
    usable_with: str = ""
    calendars_by: tuple[ProgramName, ...] = ()

    def mail_servers(self, account: Account) -> ServerPair | None:
        return account.mail_servers(_METHODS[self.passwords], self.types)

    def is_usable(self, account: Account) -> bool:
        has_alternative = self.usable_with and getattr(account, self.usable_with)
        return bool(has_alternative or self.mail_servers(account))


class _Data(Struct):
    oauth2_hosts: tuple[str, ...]
    program: tuple[Program, ...]


_DATA = toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=_Data)
PROGRAMS = _DATA.program
BY_ID: dict[str, Program] = {program.id: program for program in PROGRAMS}
_OAUTH2_HOSTS = tuple(f".{host}" for host in _DATA.oauth2_hosts)


def has_oauth2(host: str | None) -> bool:
    """Whether Thunderbird can use OAuth2 at a host."""
    return f".{(host or '').strip().lower()}".endswith(_OAUTH2_HOSTS)


def usable(account: Account, listed: Iterable[ProgramName] | None) -> list[Program]:
    """Return the listed programs (by default, all) that the account can use.

    If there are none, return the entry for other programs.
    """
    programs = [BY_ID[name] for name in dict.fromkeys(listed or BY_ID)]
    programs = [program for program in programs if program.is_usable(account)]
    return programs or [BY_ID["other"]]


def choose(programs: list[Program], requested: str, device: Device) -> Program | None:
    """Return the requested program, or else the preinstalled or only one, or None."""
    chosen = [p for p in programs if p.id == requested.lower()]
    chosen += [p for p in programs if p.is_of_device and device in p.devices]
    if len(programs) == 1:
        chosen += programs
    return chosen[0] if chosen else None


def group(
    programs: list[Program], chosen: Program | None, device: Device, *, are_listed: bool
) -> tuple[list[Program], list[Program], list[Program]]:
    """Return the programs to show unfolded, then the other ones, then the rare ones.

    No program is rare if the provider's file lists them.
    """
    rare = [] if are_listed else [program for program in programs if program.is_rare]
    rare = sorted(rare, key=lambda program: device not in program.devices)
    common = [program for program in programs if program not in rare]
    unfolded = [
        p for p in programs if p is chosen or (p in common and device in p.devices)
    ]
    others = [program for program in common if program not in unfolded]
    return unfolded, others, [program for program in rare if program is not chosen]
