"""The tables of autoconfig.toml as frozen typed structs, with their defaults.

Each attribute has the name of its TOML key. What they are made of is in :mod:`keys`.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, Literal

from msgspec import Meta

from .keys import Filled, Identifier, Line, Texts, Url
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
from .values import domain_pattern, exact_domain, file_pattern

# The client families; families.py says what each of them asks and gets.
FamilyName = Literal["thunderbird", "outlook", "apple", "pacc", "dav", "page", "ispdb"]


class Documentation(Table, frozen=True):
    """A page that explains."""

    url: Annotated[Url, Meta(description="The page's address.")]
    descr: Annotated[
        Texts, Meta(description='What it explains, by language: {en = "…", fr = "…"}.')
    ] = {}


class Instruction(Table, frozen=True):
    """What a person has to do, in words, with or without a page about it."""

    url: Annotated[Url | None, Meta(description="The page's address.")] = None
    descr: Annotated[
        Texts, Meta(description='What to do, by language: {en = "…", fr = "…"}.')
    ] = {}


class Enable(Table, frozen=True):
    """What a person must do at the provider's site before a client can log in."""

    visit_url: Annotated[Url, Meta(description="The page where it is done.")]
    instruction: Annotated[
        Texts, Meta(description='What to do there, by language: {en = "…"}.')
    ] = {}


class FormField(Table, frozen=True):
    """A field of the webmail's login form."""

    id: Annotated[Line | None, Meta(description="The element's HTML id.")] = None
    name: Annotated[Line | None, Meta(description="The element's HTML name.")] = None


class LoginPageInfo(Table, frozen=True):
    """How a program can fill in the webmail's login form."""

    url: Annotated[Url, Meta(description="The form's address.")]
    username: Annotated[Filled, Meta(description="What goes into the name field.")] = (
        "%EMAILADDRESS%"
    )
    username_field: Annotated[
        FormField | None, Meta(description="The field of the user name.")
    ] = None
    password_field: Annotated[
        FormField | None, Meta(description="The field of the password.")
    ] = None
    login_button: Annotated[
        FormField | None, Meta(description="The button that logs in.")
    ] = None


class Webmail(Table, frozen=True):
    """The provider's mail in a browser."""

    login_page: Annotated[Url, Meta(description="Where a person logs in.")]
    login_page_info: Annotated[
        LoginPageInfo | None, Meta(description="The same for a program.")
    ] = None


class OAuth2(Table, frozen=True):
    """The authorization server (RFC 6749) of the servers with OAuth2."""

    issuer: Annotated[
        Line | None, Meta(description="Its identity, as login.example.com.")
    ] = None
    scope: Annotated[
        Line | None, Meta(description="What to ask for, spaces between.")
    ] = None
    auth_url: Annotated[Url | None, Meta(description="The authorization endpoint.")] = (
        None
    )
    token_url: Annotated[Url | None, Meta(description="The token endpoint.")] = None
    client_id: Annotated[Line | None, Meta(description="The client's identifier.")] = (
        None
    )
    client_secret: Annotated[
        Line | None, Meta(description="Its secret, which is public here.")
    ] = None
    config_update_url: Annotated[
        Url | None, Meta(description="Where clients look for a newer document.")
    ] = None


class Provider(Table, frozen=True):
    """One mail service, and the domains that it serves."""

    id: Annotated[
        Identifier | None,
        Meta(
            description="Its name for clients, a host name; the first domain by "
            "default."
        ),
    ] = None
    domains: Annotated[
        tuple[Annotated[str, Meta(extra={"value": domain_pattern})], ...],
        Meta(description="Domains of its addresses: exact, *.example.com, or * (any)."),
    ] = ()
    domains_file: Annotated[
        Line | None,
        Meta(
            description="A text file of more domains, the first word of each line, "
            "# for comments; its path counts from this file's folder."
        ),
    ] = None
    mx_domains: Annotated[
        tuple[Annotated[str, Meta(extra={"value": exact_domain})], ...],
        Meta(description="Domains of the MX hosts of the domains served."),
    ] = ()
    list_domains: Annotated[
        bool,
        Meta(
            description="Whether the document lists every domain, or only the id's and "
            "the one asked for."
        ),
    ] = True
    display_name: Annotated[Filled | None, Meta(description="Its name for people.")] = (
        None
    )
    display_short_name: Annotated[
        Filled | None, Meta(description="The name, 20 characters at most.")
    ] = None
    logo_url: Annotated[Url | None, Meta(description="A picture of its logo.")] = None
    incoming: Annotated[
        tuple[Incoming, ...],
        Meta(description="Servers that mail is read from, the best first."),
    ] = ()
    outgoing: Annotated[
        tuple[Outgoing, ...],
        Meta(description="Servers that mail is sent through, the best first."),
    ] = ()
    documentation: Annotated[
        tuple[Documentation, ...], Meta(description="Pages that explain.")
    ] = ()
    enable: Annotated[
        Enable | None, Meta(description="What to do before the first login.")
    ] = None
    instruction: Annotated[
        tuple[Instruction, ...], Meta(description="What a person has to do.")
    ] = ()
    address_book: Annotated[
        tuple[Server, ...], Meta(description="Address books, as type carddav.")
    ] = ()
    calendar: Annotated[
        tuple[Server, ...], Meta(description="Calendars, as type caldav.")
    ] = ()
    file_share: Annotated[
        tuple[Server, ...], Meta(description="File shares, as type webdav.")
    ] = ()
    chat: Annotated[tuple[Server, ...], Meta(description="Chat, as type xmpp.")] = ()
    video_conference: Annotated[
        tuple[Server, ...], Meta(description="Video conferences.")
    ] = ()
    setup: Annotated[
        tuple[Server, ...], Meta(description="Servers that set accounts up.")
    ] = ()
    webmail: Annotated[Webmail | None, Meta(description="The mail in a browser.")] = (
        None
    )
    oauth2: Annotated[OAuth2 | None, Meta(description="The authorization server.")] = (
        None
    )
    page: Annotated[
        ProviderPage | None, Meta(description="The page for people, in its clothes.")
    ] = None

    @property
    def all_domains(self) -> Iterator[str]:
        """Its domains and patterns; one may come twice."""
        return iter(self.domains)

    @property
    def exact_domains(self) -> Iterator[str]:
        """The domains claimed by name; one may come twice."""
        return (name for name in self.all_domains if not name.startswith("*"))

    @property
    def identity(self) -> str:
        """The id, or what stands for it: the first domain, "" for a provider of `*`."""
        first = self.id or next(self.all_domains, "")
        return first.removeprefix("*").removeprefix(".")

    @property
    def servers(self) -> tuple[tuple[str, Server], ...]:
        """Every server with its place in the provider, as `incoming[0]`."""
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
    """What profiles are signed with; relative paths count from this file's folder."""

    certificate: Annotated[Line, Meta(description="The certificate, PEM.")]
    key: Annotated[Line, Meta(description="Its private key, PEM, without a password.")]
    chain: Annotated[
        Line | None, Meta(description="The certificates between it and the root, PEM.")
    ] = None


class Config(Table, frozen=True):
    """A whole autoconfig.toml."""

    max_age: Annotated[
        int,
        Meta(
            ge=0,
            le=31536000,
            description="Seconds that clients and proxies may keep an answer.",
        ),
    ] = 3600
    hook_max_age: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="Seconds that the answers of a site's hooks are kept.",
        ),
    ] = 60
    clients: Annotated[
        Annotated[tuple[FamilyName, ...], Meta(min_length=1, extra={"item": "family"})]
        | None,
        Meta(
            description="The client families that are served; all but ispdb by default."
        ),
    ] = None
    sign: Annotated[
        Sign | None, Meta(description="What Apple profiles are signed with.")
    ] = None
    include: Annotated[
        tuple[Annotated[str, Meta(extra={"value": file_pattern})], ...],
        Meta(description="Further files with providers, as brands/*.toml."),
    ] = ()
    provider: Annotated[
        tuple[Provider, ...], Meta(description="The mail services, one table each.")
    ] = ()
