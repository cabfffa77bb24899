"""The tables of autoconfig.toml as frozen typed structs, with their defaults.

Each attribute has the name of its TOML key; descriptions.toml says what the tables and
their keys mean.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Meta, Struct, structs

from . import values
from .ports import standard_port, usual_url

# The types of the keys. The `extra` of a `Meta` tells the builder how to read a value:
# `value` is the function that validates a string, `single` allows an item in place of a
# list, `item` is the word for an item of a list that must not be empty, and `example` is
# the value to propose where the key is missing.
Line = Annotated[str, Meta(extra={"value": values.line})]
Prose = Annotated[str, Meta(extra={"value": values.prose})]
Filled = Annotated[str, Meta(extra={"value": values.placeholder_text})]
Identifier = Annotated[str, Meta(extra={"value": values.identifier})]
Domain = Annotated[str, Meta(extra={"value": values.exact_domain})]
DomainPattern = Annotated[str, Meta(extra={"value": values.domain_pattern})]
FilePattern = Annotated[str, Meta(extra={"value": values.file_pattern})]
Host = Annotated[str, Meta(extra={"value": values.host_name})]
Url = Annotated[str, Meta(extra={"value": values.url})]
ServiceUrl = Annotated[str, Meta(extra={"value": values.service_url})]
Issuer = Annotated[str, Meta(extra={"value": values.issuer})]
Language = Annotated[str, Meta(extra={"value": values.language_tag})]
Colour = Annotated[str, Meta(extra={"value": values.colour})]
Email = Annotated[str, Meta(extra={"value": values.email})]
Texts = dict[Language, Prose]

# The client families; families.py describes the requests and responses of each.
FamilyName = Literal["thunderbird", "outlook", "apple", "pacc", "dav", "page", "ispdb"]
Families = Annotated[
    tuple[FamilyName, ...], Meta(min_length=1, extra={"item": "family"})
]
Age = Annotated[int, Meta(ge=0, le=31536000)]
HookAge = Annotated[int, Meta(ge=0, le=86400)]
IncomingType = Literal[
    "imap", "pop3", "jmap", "ews", "activesync", "graph", "exchange", "owa"
]
OutgoingType = Literal["smtp"]
SocketType = Literal["SSL", "STARTTLS", "plain"]
# The programs that the page can offer; page/programs.toml describes each of them.
_OnPhone = Literal["iphone", "gmail", "gmail-ios", "samsung", "outlook-mobile", "spark"]
_OnAndroid = Literal["thunderbird-mobile", "davx5", "k9", "fairemail"]
_OnMac = Literal["mac", "outlook-mac"]
_OnWindows = Literal["outlook-new", "outlook-classic", "em-client"]
_OnLinux = Literal["thunderbird", "evolution", "kmail", "gnome"]
ProgramName = Literal[_OnPhone, _OnAndroid, _OnMac, _OnWindows, _OnLinux, "other"]
Programs = Annotated[
    tuple[ProgramName, ...], Meta(min_length=1, extra={"item": "program"})
]
Port = Annotated[int, Meta(ge=1, le=65535)]
Days = Annotated[int, Meta(ge=0, le=36500)]
Minutes = Annotated[int, Meta(ge=1, le=525600)]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base class of the tables in the TOML file."""


class AuthenticationMethod(Table, frozen=True):
    system: Line
    name: Line


_WithLogin = Literal[
    "password-cleartext", "password-encrypted", "OAuth2", "GSSAPI", "NTLM"
]
_WithoutPassword = Literal[
    "TLS-client-cert", "client-IP-address", "smtp-after-pop", "none"
]
_OverHttp = Literal["http-basic", "http-digest"]
Method = Literal[_WithLogin, _WithoutPassword, _OverHttp] | AuthenticationMethod

# Two spellings of the schemes of RFC 9110, section 11: version 1.1 of the format has the
# word, version 1.2 a method with the system "http" and the scheme's name.
HTTP_SCHEMES = {"http-basic": "Basic", "http-digest": "Digest"}
HTTP_WORDS = {name: word for word, name in HTTP_SCHEMES.items()}
_WORDS: Mapping[Any, Any] = {
    AuthenticationMethod(system="http", name=name): word
    for word, name in HTTP_SCHEMES.items()
}
# Over HTTP, a cleartext password is the Basic scheme (RFC 7617).
_BASIC: dict[Method, Method] = {"http-basic": "password-cleartext"}
WITHOUT_LOGIN: frozenset[Method] = frozenset(
    ("none", "client-IP-address", "smtp-after-pop")
)


class Server(Table, frozen=True):
    # Keys whose default depends on others; `completed` fills them in.
    computed: ClassVar[tuple[str, ...]] = ("port", "socket_type", "username", "url")

    type: Annotated[Line, Meta(extra={"example": "carddav"})]
    hostname: Host | None = None
    port: Port | None = None
    socket_type: SocketType | None = None
    url: ServiceUrl | None = None
    username: Filled | None = None
    authentication: Annotated[
        tuple[Method, ...], Meta(min_length=1, extra={"single": True, "item": "method"})
    ] = ("password-cleartext",)

    def completed(self) -> Self:
        """Return a copy in which `computed` keys that were None have their defaults."""
        socket_type, port, url = self.socket_type, self.port, self.url
        if self.hostname is not None:
            if socket_type is None:  # RFC 5804 defines no implicit TLS
                socket_type = "STARTTLS" if self.type == "managesieve" else "SSL"
            port = port or standard_port(self.type, socket_type)
            url = url or usual_url(self.type, self.hostname, port, socket_type)
        methods = tuple(_WORDS.get(name, name) for name in self.authentication)
        if url is not None:
            methods = tuple(dict.fromkeys(_BASIC.get(name, name) for name in methods))
        username = self.username
        if username is None and not WITHOUT_LOGIN.issuperset(methods):
            username = "%EMAILADDRESS%"
        return structs.replace(
            self,
            socket_type=socket_type,
            port=port,
            url=url,
            authentication=methods,
            username=username,
        )


class Pop3(Table, frozen=True):
    leave_messages_on_server: bool | None = None
    days_to_leave_messages_on_server: Days | None = None
    download_on_biff: bool | None = None
    check_interval: Minutes | None = None


class Incoming(Server, frozen=True):
    type: Annotated[IncomingType, Meta(extra={"example": "imap"})]
    owa_url: Url | None = None
    ews_url: Url | None = None
    eas_url: Url | None = None
    use_global_preferred_server: bool | None = None
    pop3: Pop3 | None = None


# The keys of an incoming server that are URLs.
URL_KEYS = ("url", "ews_url", "owa_url", "eas_url")


class Outgoing(Server, frozen=True):
    type: Annotated[OutgoingType, Meta(extra={"example": "smtp"})]
    add_this_server: bool | None = None
    use_global_preferred_server: bool | None = None
    restriction: Line | None = None


class Documentation(Table, frozen=True):
    url: Url
    descr: Texts = {}


class Instruction(Table, frozen=True):
    url: Url | None = None
    descr: Texts = {}


class Enable(Table, frozen=True):
    visit_url: Url
    instruction: Texts = {}


class FormField(Table, frozen=True):
    id: Line | None = None
    name: Line | None = None


class LoginPageInfo(Table, frozen=True):
    url: Url
    username: Filled = "%EMAILADDRESS%"
    username_field: FormField | None = None
    password_field: FormField | None = None
    login_button: FormField | None = None


class Webmail(Table, frozen=True):
    login_page: Url
    login_page_info: LoginPageInfo | None = None


class OAuth2(Table, frozen=True):
    issuer: Issuer | None = None
    scope: Line | None = None
    auth_url: Url | None = None
    token_url: Url | None = None
    client_id: Line | None = None
    client_secret: Line | None = None
    config_update_url: Url | None = None


class Contact(Table, frozen=True):
    name: Line | None = None
    phone: Line | None = None
    email: Email | None = None
    url: Url | None = None
    hours: Line | None = None


class ProviderPage(Table, frozen=True):
    logo: Line | None = None
    logo_background: Colour | None = None
    colour: Colour | None = None
    programs: Programs | None = None
    password: Literal["password", "app-password"] | None = None
    password_url: Url | None = None
    privacy_url: Url | None = None
    intro: Texts = {}
    contact: Contact | None = None


class Provider(Table, frozen=True):
    id: Identifier | None = None
    domains: tuple[DomainPattern, ...] = ()
    domains_file: Line | None = None
    mx_domains: tuple[Domain, ...] = ()
    list_domains: bool = True
    autodiscover_host: Domain | None = None
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
    def listed(self) -> Sequence[bytes]:
        """The domains and patterns of `domains_file`, see `ListingProvider`."""
        return ()

    @property
    def all_domains(self) -> Iterator[str]:
        """The domains and patterns, possibly with duplicates."""
        yield from self.domains
        yield from map(bytes.decode, self.listed)

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
    def names_of_address(self) -> tuple[str, ...]:
        """The user names that are the address, whatever the domain of the provider."""
        names = ("%EMAILADDRESS%", "%EMAILLOCALPART%@%EMAILDOMAIN%")
        has_one_domain = len(self.domains) == 1 and not self.listed
        more = (f"%EMAILLOCALPART%@{self.domains[0]}",) if has_one_domain else ()
        return (*names, *more)

    @property
    def servers(self) -> tuple[tuple[str, Server], ...]:
        """All servers, each with its place in the provider, such as `incoming[0]`."""
        return tuple(
            (f"{key}[{index}]", server)
            for key in SERVER_KEYS
            for index, server in enumerate(getattr(self, key))
        )

    def with_servers(self, change: Callable[[Server], Server | None]) -> Self:
        """Return a copy with `change` applied to each server; None leaves a server out."""
        changed = {
            key: tuple(filter(None, map(change, getattr(self, key))))
            for key in SERVER_KEYS
        }
        return structs.replace(self, **changed)


SERVER_KEYS = (
    *("incoming", "outgoing", "address_book", "calendar"),
    *("file_share", "chat", "video_conference", "setup"),
)


class Sign(Table, frozen=True):
    certificate: Line
    key: Line
    chain: Line | None = None


class Config(Table, frozen=True):
    max_age: Age = 3600
    hook_max_age: HookAge = 60
    clients: Families | None = None
    sign: Sign | None = None
    include: tuple[FilePattern, ...] = ()
    provider: tuple[Provider, ...] = ()
