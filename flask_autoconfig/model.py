"""What autoconfig.toml says, as frozen typed structs, and the rules it must keep.

The structs mirror the file: each attribute has its TOML key's name. `load` and `loads`
read, `dumps` writes. What is wrong comes as one :class:`ConfigError` with all problems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, structs

from .checks import (
    domain_pattern,
    exact_domain,
    host_name,
    identifier,
    language_tag,
    line,
    placeholder_text,
    prose,
    url,
)
from .errors import ConfigError, Problem

if TYPE_CHECKING:
    from .build import Builder
    from .signing import Signer

Line = Annotated[str, Meta(extra={"check": line})]
Prose = Annotated[str, Meta(extra={"check": prose})]
Filled = Annotated[str, Meta(extra={"check": placeholder_text})]
Identifier = Annotated[str, Meta(extra={"check": identifier})]
Host = Annotated[str, Meta(extra={"check": host_name})]
Url = Annotated[str, Meta(extra={"check": url})]
Language = Annotated[str, Meta(extra={"check": language_tag})]
Texts = dict[Language, Prose]

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

# (type, socket_type) -> port: RFC 8314, RFC 6120 and XEP-0368, RFC 4513, RFC 9110.
_PORTS: dict[str, dict[str, int]] = {
    "imap": {"SSL": 993, "STARTTLS": 143, "plain": 143},
    "pop3": {"SSL": 995, "STARTTLS": 110, "plain": 110},
    "smtp": {"SSL": 465, "STARTTLS": 587, "plain": 25},
    "xmpp": {"SSL": 5223, "STARTTLS": 5222, "plain": 5222},
    "ldap": {"SSL": 636, "STARTTLS": 389, "plain": 389},
}
_HTTP_PORTS = {"SSL": 443, "plain": 80}
_MICROSOFT_TYPES = {"exchange", "ews", "owa", "activesync", "graph"}
_HTTP_TYPES = {*_MICROSOFT_TYPES, "jmap", "caldav", "carddav", "webdav"}


def standard_port(type_: str, socket_type: str) -> int | None:
    """The port that a service of this type has under this encryption, if one is."""
    ports = _HTTP_PORTS if type_ in _HTTP_TYPES else _PORTS.get(type_, {})
    return ports.get(socket_type)


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; `computed` keys have a default that depends on others."""

    computed: ClassVar[tuple[str, ...]] = ()


class AuthenticationMethod(_Table, frozen=True):
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

# Two spellings of one method: the format's 1.1 has the word, its 1.2 system and name.
HTTP_METHODS = {"http-basic": "Basic", "http-digest": "Digest"}
_HTTP_WORDS = {name: word for word, name in HTTP_METHODS.items()}
WITHOUT_LOGIN: frozenset[Method] = frozenset(
    ("none", "client-IP-address", "smtp-after-pop")
)


def _one_spelling(method: Method) -> Method:
    if isinstance(method, AuthenticationMethod) and method.system == "http":
        return _HTTP_WORDS.get(method.name, method)  # type: ignore[return-value]
    return method


class Server(_Table, frozen=True):
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
            extra={"single": True},
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


class Pop3(_Table, frozen=True):
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


class Documentation(_Table, frozen=True):
    """A page that explains."""

    url: Annotated[Url, Meta(description="The page's address.")]
    descr: Annotated[
        Texts, Meta(description='What it explains, by language: {en = "…", fr = "…"}.')
    ] = {}


class Instruction(_Table, frozen=True):
    """What a person has to do, in words, with or without a page about it."""

    url: Annotated[Url | None, Meta(description="The page's address.")] = None
    descr: Annotated[
        Texts, Meta(description='What to do, by language: {en = "…", fr = "…"}.')
    ] = {}


class Enable(_Table, frozen=True):
    """What a person must do at the provider's site before a client can log in."""

    visit_url: Annotated[Url, Meta(description="The page where it is done.")]
    instruction: Annotated[
        Texts, Meta(description='What to do there, by language: {en = "…"}.')
    ] = {}


class FormField(_Table, frozen=True):
    """A field of the webmail's login form."""

    id: Annotated[Line | None, Meta(description="The element's HTML id.")] = None
    name: Annotated[Line | None, Meta(description="The element's HTML name.")] = None


class LoginPageInfo(_Table, frozen=True):
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


class Webmail(_Table, frozen=True):
    """The provider's mail in a browser."""

    login_page: Annotated[Url, Meta(description="Where a person logs in.")]
    login_page_info: Annotated[
        LoginPageInfo | None, Meta(description="The same for a program.")
    ] = None


class OAuth2(_Table, frozen=True):
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


class Provider(_Table, frozen=True, dict=True):
    """One mail service, and the domains that it serves."""

    id: Annotated[
        Identifier | None,
        Meta(
            description="Its name for clients, a host name; the first domain by "
            "default."
        ),
    ] = None
    domains: Annotated[
        tuple[Annotated[str, Meta(extra={"check": domain_pattern})], ...],
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
        tuple[Annotated[str, Meta(extra={"check": exact_domain})], ...],
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

    @property
    def file_domains(self) -> tuple[str, ...]:
        """The domains that `domains_file` held when the configuration was loaded."""
        domains: tuple[str, ...] = self.__dict__.get("file_domains", ())
        return domains

    @property
    def all_domains(self) -> Iterator[str]:
        """Every domain and pattern claimed, those of `domains_file` last."""
        yield from self.domains
        yield from self.file_domains

    @property
    def exact_domains(self) -> Iterator[str]:
        """The domains claimed by name."""
        return (domain for domain in self.all_domains if not domain.startswith("*"))

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
            for key in SERVER_KEYS
            for index, server in enumerate(getattr(self, key))
        )


def with_login(provider: Provider, login: str) -> Provider:
    """The provider with a user's own login name where the file has a placeholder."""
    changed = {}
    for key in SERVER_KEYS:
        servers = tuple(
            structs.replace(server, username=login)
            if any(name in (server.username or "") for name in _OF_A_USER)
            else server
            for server in getattr(provider, key)
        )
        changed[key] = servers
    copy = structs.replace(provider, **changed)
    copy.__dict__.update(provider.__dict__)
    return copy


_OF_A_USER = ("%EMAILADDRESS%", "%EMAILLOCALPART%")
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


class Sign(_Table, frozen=True):
    """What profiles are signed with; relative paths count from this file's folder."""

    certificate: Annotated[Line, Meta(description="The certificate, PEM.")]
    key: Annotated[Line, Meta(description="Its private key, PEM, without a password.")]
    chain: Annotated[
        Line | None, Meta(description="The certificates between it and the root, PEM.")
    ] = None


class Config(_Table, frozen=True, dict=True):
    """A whole autoconfig.toml."""

    max_age: Annotated[
        int,
        Meta(
            ge=0,
            le=31536000,
            description="Seconds that clients and proxies may keep an answer.",
        ),
    ] = 3600
    sign: Annotated[
        Sign | None, Meta(description="What Apple profiles are signed with.")
    ] = None
    provider: Annotated[
        tuple[Provider, ...], Meta(description="The mail services, one table each.")
    ] = ()

    @property
    def signer(self) -> Signer | None:
        """What signs profiles, read from the files of `sign`."""
        signer: Signer | None = self.__dict__.get("signer")
        return signer

    @property
    def modified(self) -> float:
        """When its files were last changed, in seconds since 1970."""
        modified: float = self.__dict__.get("modified", 0.0)
        return modified


# The tables by their heading, the likelier home of a stray key first.
_HOMES = {
    "the top of the file, before the first table": Config,
    "[[provider]]": Provider,
    "[provider.webmail]": Webmail,
    "[provider.oauth2]": OAuth2,
    "[provider.incoming.pop3]": Pop3,
    "[[provider.incoming]]": Incoming,
    "[[provider.outgoing]]": Outgoing,
}


def loads(text: str, *, base: str | os.PathLike[str] = ".") -> Config:
    """Read a configuration from TOML text; relative paths in it count from `base`.

    Raises ConfigError with every problem found.
    """
    import tomllib

    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of a number without end, too
        what = str(error).partition(" for integer string")[0]
        if isinstance(error, RecursionError):
            what = "tables nested too deep"
        cure = "mend the line that it names"
        raise ConfigError([Problem("", f"not TOML: {what}", cure)]) from error
    return from_raw(raw, base=base)


def load(file: str | os.PathLike[str]) -> Config:
    """Read the configuration from a TOML file; raises ConfigError."""
    path = Path(file)
    try:
        if path.exists() and not path.is_file():  # a pipe or device may have no end
            raise OSError(None, "it is no ordinary file")
        text = path.read_bytes().decode("utf-8-sig")
        modified = path.stat().st_mtime
        config = loads(text, base=path.parent)
    except UnicodeDecodeError as error:
        problem = Problem("", f"not UTF-8 at byte {error.start}", "save it as UTF-8")
        raise ConfigError([problem], str(path)) from error
    except (OSError, ValueError) as error:
        raise ConfigError([_unreadable(path, error)], str(path)) from error
    except ConfigError as error:
        raise ConfigError(error.problems, str(path), error.named) from error
    config.__dict__["modified"] = max([modified, *_times_of(watched(config, path))])
    return config


def _unreadable(path: Path, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        cure = "give the file's path with --config, or in AUTOCONFIG_FILE"
        return Problem("", f"there is no file {path}", cure)
    reason = getattr(error, "strerror", None) or error
    return Problem("", f"cannot read {path}: {reason}", "make it a readable file")


def watched(config: Config, file: str | os.PathLike[str]) -> list[Path]:
    """The files that the configuration of `file` comes from, beside the TOML itself."""
    base = Path(file).parent
    names = [provider.domains_file for provider in config.provider]
    if config.sign:
        names += [config.sign.certificate, config.sign.key, config.sign.chain]
    return [base / name for name in names if name]


def _times_of(paths: list[Path]) -> list[float]:
    return [path.stat().st_mtime for path in paths if path.exists()]


def from_raw(raw: dict[str, Any], *, base: str | os.PathLike[str] = ".") -> Config:
    """Build the configuration from a parsed TOML document; raises ConfigError."""
    from . import build, rules

    builder = build.Builder(_HOMES)
    config: Config = builder.struct(Config, raw, "")
    for index, provider in enumerate(config.provider):
        if provider.domains_file:
            place = f"provider[{index}].domains_file"
            path = Path(base) / provider.domains_file
            provider.__dict__["file_domains"] = build.domains_in(path, place, builder)
    if config.sign and not builder.is_faulty("sign"):
        config.__dict__["signer"] = _signer(config.sign, Path(base), builder)
    rules.check(config, builder, SERVER_KEYS)
    try:
        builder.raise_problems()
    except ConfigError as error:
        error.named = tuple(watched(config, Path(base) / "autoconfig.toml"))
        raise
    return config


def _signer(sign: Sign, base: Path, builder: Builder) -> Signer | None:
    from .signing import Signer, UnusableError

    chain = base / sign.chain if sign.chain else None
    try:
        return Signer(base / sign.certificate, base / sign.key, chain)
    except UnusableError as error:
        builder.add(f"sign.{error.key}", error.message, error.cure)
        return None


def dumps(config: Config) -> str:
    """Write the configuration as TOML, values equal to their defaults left out."""
    return "\n".join(_tables(_to_raw(config), "")).lstrip("\n")


def _tables(raw: dict[str, Any], path: str) -> Iterator[str]:
    """Each table under a header of its own: easier to edit than a long line."""
    import tomli_w

    tables = {key: value for key, value in raw.items() if _is_table(value)}
    lines = {key: value for key, value in raw.items() if key not in tables}
    yield tomli_w.dumps(lines)
    for key, value in tables.items():
        at = f"{path}.{key}" if path else key
        for table in value if isinstance(value, list) else [value]:
            yield f"[[{at}]]" if isinstance(value, list) else f"[{at}]"
            yield from _tables(table, at)


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)


def _to_raw(table: Struct) -> dict[str, Any]:
    raw = {}
    for field in structs.fields(table):
        value = getattr(table, field.name)
        if value is None or _is_default(table, field, value):
            continue
        if field.name == "authentication" and len(value) == 1:
            value = value[0]
        raw[field.name] = _plain(value)
    return raw


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _to_raw(value) if isinstance(value, Struct) else value


def _is_default(table: Struct, field: structs.FieldInfo, value: object) -> bool:
    if isinstance(table, _Table) and field.name in table.computed:
        without = structs.replace(table, **{field.name: None})
        return bool(getattr(without, field.name) == value)
    return not field.required and value in (field.default, {})


def schema() -> dict[str, Any]:
    """The file's JSON Schema (2020-12), with a description of every key."""
    import msgspec

    document = msgspec.json.schema(Config)
    for table in document["$defs"].values():
        for key, value in table["properties"].items():
            if value.get("default", "") is None:  # TOML has no null: the key is absent
                del value["default"]
                others = [it for it in value.pop("anyOf") if it != {"type": "null"}]
                value |= others[0] if len(others) == 1 else {"anyOf": others}
            if key == "authentication":  # one method may stand without a list
                methods = {name: value.pop(name) for name in ("type", "items")}
                value["anyOf"] = [methods["items"], {**methods, "minItems": 1}]
                value["default"] = "password-cleartext"
                del value["minItems"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "autoconfig.toml",
        **document,
    }
