"""The tables of autoconfig.toml as frozen typed structs, with their defaults.

Each attribute has the name of its TOML key; `kinds.py` says how a value is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, structs

from .kinds import Filled, Host, Identifier, Line, Texts, Url
from .kinds import Table as Table
from .page import Contact as Contact
from .page import ProviderPage as ProviderPage
from .ports import standard_port
from .values import domain_pattern, exact_domain, file_pattern

# The client families; families.py says what each of them asks and gets.
FamilyName = Literal["thunderbird", "outlook", "apple", "pacc", "dav", "page", "ispdb"]
IncomingType = Literal[
    "imap", "pop3", "jmap", "ews", "activesync", "graph", "exchange", "owa"
]
OutgoingType = Literal["smtp"]
Port = Annotated[
    int,
    Meta(ge=1, le=65535, description="TCP port; the standard one of type by default."),
]
SocketType = Annotated[
    Literal["SSL", "STARTTLS", "plain"],
    Meta(description="Encryption: SSL (TLS from the first byte), STARTTLS or plain."),
]


class AuthenticationMethod(Table, frozen=True):
    """A method by the name that another standard gives it."""

    system: Annotated[
        Line, Meta(description="The standard that names it: sasl or http.")
    ]
    name: Annotated[Line, Meta(description="Its name there, as SCRAM-SHA-256.")]


Method = (
    Literal[
        "password-cleartext",
        "password-encrypted",
        "OAuth2",
        "GSSAPI",
        "NTLM",
        "TLS-client-cert",
        "client-IP-address",
        "smtp-after-pop",
        "none",
        "http-basic",
        "http-digest",
    ]
    | AuthenticationMethod
)

# Two spellings of one scheme of RFC 9110, section 11: the format's 1.1 has the word,
# its 1.2 a method with system "http" and the scheme's name.
HTTP_SCHEMES = {"http-basic": "Basic", "http-digest": "Digest"}
HTTP_WORDS = {name: word for word, name in HTTP_SCHEMES.items()}
WITHOUT_LOGIN: frozenset[Method] = frozenset(
    ("none", "client-IP-address", "smtp-after-pop")
)


def _one_spelling(method: Method) -> Method:
    if isinstance(method, AuthenticationMethod) and method.system == "http":
        return HTTP_WORDS.get(method.name, method)  # type: ignore[return-value]
    return method


class Server(Table, frozen=True):
    """What every server has, whatever it serves."""

    computed: ClassVar[tuple[str, ...]] = ("port", "socket_type", "username")

    type: Annotated[
        Line,
        Meta(
            description="The protocol, as carddav or xmpp.",
            extra={"example": "carddav"},
        ),
    ]
    hostname: Annotated[
        Host | None,
        Meta(description="The server's host name; %EMAILDOMAIN% may stand in it."),
    ] = None
    port: Port | None = None
    socket_type: SocketType | None = None
    url: Annotated[
        Url | None, Meta(description="Where a service that speaks HTTP is.")
    ] = None
    username: Annotated[
        Filled | None,
        Meta(
            description="The login name, a text with placeholders: "
            "%EMAILADDRESS% by default, %EMAILLOCALPART% or another."
        ),
    ] = None
    authentication: Annotated[
        tuple[Method, ...],
        Meta(
            min_length=1,
            extra={"single": True, "item": "method"},
            description="How to log in: one method, or a list, the best first.",
        ),
    ] = ("password-cleartext",)

    def __post_init__(self) -> None:
        methods = tuple(map(_one_spelling, self.authentication))
        structs.force_setattr(self, "authentication", methods)
        if self.username is None and not WITHOUT_LOGIN.issuperset(methods):
            structs.force_setattr(self, "username", "%EMAILADDRESS%")
        if self.hostname is None:
            return
        if self.socket_type is None:
            structs.force_setattr(self, "socket_type", "SSL")
        if self.port is None and self.socket_type is not None:
            port = standard_port(self.type, self.socket_type)
            structs.force_setattr(self, "port", port)


Days = Annotated[int, Meta(ge=0, le=36500)]
Minutes = Annotated[int, Meta(ge=1, le=525600)]


class Pop3(Table, frozen=True):
    """What a POP3 client does with the messages that it has fetched."""

    leave_messages_on_server: Annotated[
        bool | None, Meta(description="Whether fetched messages stay there.")
    ] = None
    days_to_leave_messages_on_server: Annotated[
        Days | None, Meta(description="For how many days they stay.")
    ] = None
    download_on_biff: Annotated[
        bool | None, Meta(description="Whether new mail is fetched at once.")
    ] = None
    check_interval: Annotated[
        Minutes | None, Meta(description="Minutes between two looks.")
    ] = None


_PREFERRED = Meta(
    description="Whether a client should use the server of its other accounts instead."
)


class Incoming(Server, frozen=True):
    """A server that mail is read from."""

    type: Annotated[
        IncomingType,
        Meta(
            description="The protocol; exchange and owa are the older files' words.",
            extra={"example": "imap"},
        ),
    ]
    owa_url: Annotated[
        Url | None, Meta(description="Outlook on the web, of type exchange.")
    ] = None
    ews_url: Annotated[
        Url | None, Meta(description="Exchange Web Services, of type exchange.")
    ] = None
    eas_url: Annotated[
        Url | None, Meta(description="Exchange ActiveSync, of type exchange.")
    ] = None
    use_global_preferred_server: Annotated[bool | None, _PREFERRED] = None
    pop3: Annotated[Pop3 | None, Meta(description="Options of a pop3 server.")] = None


class Outgoing(Server, frozen=True):
    """A server that mail is sent through."""

    type: Annotated[
        OutgoingType,
        Meta(description="The protocol: smtp.", extra={"example": "smtp"}),
    ]
    add_this_server: Annotated[
        bool | None, Meta(description="Whether a client should add this server.")
    ] = None
    use_global_preferred_server: Annotated[bool | None, _PREFERRED] = None
    restriction: Annotated[
        Line | None, Meta(description="Who may use it, as client-IP-address.")
    ] = None


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
