"""An account as the page explains it: the servers that a program can use."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..address import Address, fill_in, fill_in_host, fill_in_url, unfold
from ..config.tables import (
    WITHOUT_LOGIN,
    AuthenticationMethod,
    Method,
    Provider,
    Server,
)
from .device import Device

# What a program that takes a password can do; a login of a SASL name is one.
PASSWORD: frozenset[Method] = frozenset(("password-cleartext",))
# Thunderbird's and Evolution's; OAuth2 works for a few providers that they know.
MANY: frozenset[Method] = PASSWORD | {"password-encrypted", "NTLM", "GSSAPI"}


class Ready(NamedTuple):
    """A server with the values for one person filled in."""

    type: str
    host: str
    port: int
    socket_type: str
    username: str  # "" where none is needed
    method: Method


class Dav(NamedTuple):
    """A calendar or an address book."""

    type: str  # caldav or carddav
    url: str
    username: str

    @property
    def kind(self) -> str:
        """The protocol as programs call it."""
        return "CalDAV" if self.type == "caldav" else "CardDAV"


class Account(NamedTuple):
    """Whom the page is for, and what there is for them."""

    provider: Provider
    address: Address
    display_name: str  # the provider's
    families: frozenset[str] = frozenset()  # that are served
    device: Device = ""
    name: str = ""  # the person's, as others see it
    is_signed: bool = False  # the profile
    profile: str | None = None  # where the Apple profile is
    davx5: str = ""  # where the page tells of DAVx⁵, if it is among its programs

    @property
    def shown(self) -> str:
        """The address as people write it."""
        return f"{self.address.local}@{unfold(self.address.domain)}"

    def box(
        self,
        methods: Collection[Method] = PASSWORD,
        types: Iterable[str] = ("imap", "pop3"),
    ) -> tuple[Ready, Ready] | None:
        """The servers to read from and send through, by these methods; None without."""
        return mailbox(self.provider, self.address, methods, types)

    @property
    def any_box(self) -> tuple[Ready, Ready] | None:
        """Those for a program that knows every way to log in with a password."""
        return self.box(MANY)

    @property
    def is_on_computer(self) -> bool:
        """Whether the page is read on a computer, and not on a phone."""
        return self.device in ("windows", "mac", "linux")

    @property
    def calendars(self) -> list[Dav]:
        """The calendars whose place is known."""
        return _davs(self.provider.calendar, "caldav", self.address)

    @property
    def address_books(self) -> list[Dav]:
        """The address books whose place is known."""
        return _davs(self.provider.address_book, "carddav", self.address)

    @property
    def davs(self) -> list[Dav]:
        """Both."""
        return self.calendars + self.address_books

    @property
    def dav_logins(self) -> list[tuple[str, str]]:
        """The URL and user name of each of them, without repetition."""
        return list(dict.fromkeys((it.url, it.username) for it in self.davs))


def mailbox(
    provider: Provider,
    address: Address,
    methods: Collection[Method],
    types: Iterable[str],
) -> tuple[Ready, Ready] | None:
    """The first servers of the best type that a program of these methods can use."""
    to_send = set(methods) | WITHOUT_LOGIN
    outgoing = _first(provider.outgoing, "smtp", address, to_send)
    reads = (_first(provider.incoming, type_, address, methods) for type_ in types)
    incoming = next(filter(None, reads), None)
    return (incoming, outgoing) if incoming and outgoing else None


def _first(
    servers: Iterable[Server],
    type_: str,
    address: Address,
    methods: Collection[Method],
) -> Ready | None:
    for server in servers:
        if server.type != type_:
            continue
        ready = ready_server(server, address, methods)
        if ready is not None:
            return ready
    return None


def ready_server(
    server: Server, address: Address, methods: Collection[Method]
) -> Ready | None:
    """The server for one person, None where its host or a method is not known."""
    host = fill_in_host(server.hostname, None, address)
    known = (
        it
        for it in server.authentication
        if it in methods or isinstance(it, AuthenticationMethod)
    )
    method = next(known, None)
    if not host or method is None or server.port is None:
        return None
    username = fill_in(server.username, None, address)
    if method in WITHOUT_LOGIN:
        username = ""
    security = server.socket_type or "SSL"
    return Ready(server.type, host, server.port, security, username, method)


def _davs(servers: Iterable[Server], type_: str, address: Address) -> list[Dav]:
    found = []
    for server in servers:
        if server.type != type_:
            continue
        url = fill_in_url(server.url, None, address)
        host = fill_in_host(server.hostname, None, address)
        if not url and host:
            url = f"https://{host}/" if server.port == 443 else ""
            url = url or f"https://{host}:{server.port}/"
        if url:
            found.append(Dav(type_, url, fill_in(server.username, None, address)))
    return found
