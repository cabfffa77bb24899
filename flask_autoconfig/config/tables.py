"""The tables of autoconfig.toml as frozen typed structs, with their defaults.

Each attribute has the name of its TOML key; descriptions.toml says what a key means.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Literal

from msgspec import Meta

from .keys import (
    Domain,
    DomainPattern,
    FilePattern,
    Filled,
    Identifier,
    Line,
    Texts,
    Url,
)
from .keys import Table as Table
from .page import Contact as Contact
from .page import ProviderPage as ProviderPage
from .servers import HTTP_SCHEMES as HTTP_SCHEMES
from .servers import HTTP_WORDS as HTTP_WORDS
from .servers import WITHOUT_LOGIN as WITHOUT_LOGIN
from .servers import AuthenticationMethod as AuthenticationMethod
from .servers import Incoming as Incoming
from .servers import IncomingType as IncomingType
from .servers import Method as Method
from .servers import Outgoing as Outgoing
from .servers import OutgoingType as OutgoingType
from .servers import Pop3 as Pop3
from .servers import Server as Server
from .servers import SocketType as SocketType

# The client families; families.py describes the requests and responses of each.
FamilyName = Literal["thunderbird", "outlook", "apple", "pacc", "dav", "page", "ispdb"]
Families = Annotated[
    tuple[FamilyName, ...], Meta(min_length=1, extra={"item": "family"})
]
Age = Annotated[int, Meta(ge=0, le=31536000)]
HookAge = Annotated[int, Meta(ge=0, le=86400)]


class Documentation(Table, frozen=True):
    """A page with documentation."""

    url: Url
    descr: Texts = {}


class Instruction(Table, frozen=True):
    """An instruction for the user, with or without a page of details."""

    url: Url | None = None
    descr: Texts = {}


class Enable(Table, frozen=True):
    """What the user must do on the provider's site before a client can log in."""

    visit_url: Url
    instruction: Texts = {}


class FormField(Table, frozen=True):
    """A field of the webmail login form."""

    id: Line | None = None
    name: Line | None = None


class LoginPageInfo(Table, frozen=True):
    """How a program can fill in the webmail login form."""

    url: Url
    username: Filled = "%EMAILADDRESS%"
    username_field: FormField | None = None
    password_field: FormField | None = None
    login_button: FormField | None = None


class Webmail(Table, frozen=True):
    """The webmail interface."""

    login_page: Url
    login_page_info: LoginPageInfo | None = None


class OAuth2(Table, frozen=True):
    """The authorization server (RFC 6749) of the servers that accept OAuth2."""

    issuer: Line | None = None
    scope: Line | None = None
    auth_url: Url | None = None
    token_url: Url | None = None
    client_id: Line | None = None
    client_secret: Line | None = None
    config_update_url: Url | None = None


class Provider(Table, frozen=True):
    """A mail provider and the domains that it serves."""

    id: Identifier | None = None
    domains: tuple[DomainPattern, ...] = ()
    domains_file: Line | None = None
    mx_domains: tuple[Domain, ...] = ()
    list_domains: bool = True
    display_name: Filled | None = None
    display_short_name: Filled | None = None
    logo_url: Url | None = None
    incoming: tuple[Incoming, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()
    documentation: tuple[Documentation, ...] = ()
    enable: Enable | None = None
    instruction: tuple[Instruction, ...] = ()
    address_book: tuple[Server, ...] = ()
    calendar: tuple[Server, ...] = ()
    file_share: tuple[Server, ...] = ()
    chat: tuple[Server, ...] = ()
    video_conference: tuple[Server, ...] = ()
    setup: tuple[Server, ...] = ()
    webmail: Webmail | None = None
    oauth2: OAuth2 | None = None
    page: ProviderPage | None = None

    @property
    def all_domains(self) -> Iterator[str]:
        """The domains and patterns, possibly with duplicates."""
        return iter(self.domains)

    @property
    def exact_domains(self) -> Iterator[str]:
        """The domains without patterns, possibly with duplicates."""
        return (name for name in self.all_domains if not name.startswith("*"))

    @property
    def identity(self) -> str:
        """The id or, by default, the first domain; "" for a provider of `*`."""
        first = self.id or next(self.all_domains, "")
        return first.removeprefix("*").removeprefix(".")

    @property
    def servers(self) -> tuple[tuple[str, Server], ...]:
        """Every server with its place in the provider, such as `incoming[0]`."""
        return tuple(
            (f"{key}[{index}]", server)
            for key, servers in zip(SERVER_KEYS, _servers_of(self), strict=True)
            if servers
            for index, server in enumerate(servers)
        )


SERVER_KEYS = (
    "incoming",
    "outgoing",
    "address_book",
    "calendar",
    "file_share",
    "chat",
    "video_conference",
    "setup",
)
_servers_of = attrgetter(*SERVER_KEYS)


class Sign(Table, frozen=True):
    """The key that signs profiles; paths are relative to this file's folder."""

    certificate: Line
    key: Line
    chain: Line | None = None


class Config(Table, frozen=True):
    """The whole file."""

    max_age: Age = 3600
    hook_max_age: HookAge = 60
    clients: Families | None = None
    sign: Sign | None = None
    include: tuple[FilePattern, ...] = ()
    provider: tuple[Provider, ...] = ()
