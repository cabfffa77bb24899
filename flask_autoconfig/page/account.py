"""The account that the page explains, with the servers that a program can use."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from .. import oauth_hosts
from ..address import Address, fill_in, fill_in_host, fill_in_url, unfold
from ..config.tables import (
    WITHOUT_LOGIN,
    AuthenticationMethod,
    Method,
    Provider,
    Server,
)
from .device import Device

# SASL names count as passwords too.
PASSWORD: frozenset[Method] = frozenset(("password-cleartext",))
ALL_PASSWORDS: frozenset[Method] = PASSWORD | {"password-encrypted", "NTLM", "GSSAPI"}
OAUTH2: frozenset[Method] = frozenset(
    ("OAuth2",)
)  # at the hosts of oauth_hosts.py alone


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

    type: str  # caldav or carddav
    url: str
    username: str

    @property
    def protocol(self) -> str:
        """The protocol as programs spell it."""
        return "CalDAV" if self.type == "caldav" else "CardDAV"


class Account(NamedTuple):
    """An address, its provider, and what the steps depend on."""

    provider: Provider
    address: Address
    display_name: str = ""  # of the provider
    families: frozenset[str] = frozenset()  # the families served
    device: Device = ""
    name: str = ""  # of the person
    is_signed: bool = False  # the Apple profile is signed
    profile: str | None = None  # the path of the Apple profile
    davx5: str = ""  # the URL of the steps for DAVx⁵, "" if they are not offered

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

    @property
    def is_on_computer(self) -> bool:
        """Whether the visitor's device is a computer."""
        return self.device in ("windows", "mac", "linux")

    @property
    def calendars(self) -> list[DavService]:
        """The calendars with a known URL."""
        return self._dav_services(self.provider.calendar, "caldav")

    @property
    def address_books(self) -> list[DavService]:
        """The address books with a known URL."""
        return self._dav_services(self.provider.address_book, "carddav")

    @property
    def dav_services(self) -> list[DavService]:
        """The calendars, then the address books."""
        return self.calendars + self.address_books

    @property
    def dav_logins(self) -> list[tuple[str, str]]:
        """The distinct pairs of URL and user name of the DAV services."""
        return list(dict.fromkeys((dav.url, dav.username) for dav in self.dav_services))

    def _first(
        self, servers: Iterable[Server], type_: str, methods: Collection[Method]
    ) -> MailServer | None:
        of_type = (server for server in servers if server.type == type_)
        usable = (self._usable(server, methods) for server in of_type)
        return next(filter(None, usable), None)

    def _usable(self, server: Server, methods: Collection[Method]) -> MailServer | None:
        """Fill in the placeholders; None if the host or each method is unusable."""
        host = fill_in_host(server.hostname, None, self.address)
        for method in server.authentication:
            if method == "OAuth2" and not oauth_hosts.is_known(host):
                continue
            if method in methods or isinstance(method, AuthenticationMethod):
                break
        else:
            return None
        if not host or server.port is None:
            return None
        username = fill_in(server.username, None, self.address)
        if method in WITHOUT_LOGIN:
            username = ""
        security = server.socket_type or "SSL"
        return MailServer(server.type, host, server.port, security, username, method)

    def _dav_services(self, servers: Iterable[Server], type_: str) -> list[DavService]:
        return [
            DavService(type_, url, fill_in(server.username, None, self.address))
            for server in servers
            if server.type == type_
            and (url := fill_in_url(server.url, None, self.address))
        ]
