"""The tables of servers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, structs

from .keys import Filled, Host, Line, Table, Url
from .ports import standard_port, usual_url

IncomingType = Literal[
    "imap", "pop3", "jmap", "ews", "activesync", "graph", "exchange", "owa"
]
OutgoingType = Literal["smtp"]
SocketType = Literal["SSL", "STARTTLS", "plain"]
Port = Annotated[int, Meta(ge=1, le=65535)]
Days = Annotated[int, Meta(ge=0, le=36500)]
Minutes = Annotated[int, Meta(ge=1, le=525600)]


class AuthenticationMethod(Table, frozen=True):
    """A method by its name in a registry, such as that of the SASL mechanisms."""

    system: Line
    name: Line


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

# Two spellings of the schemes of RFC 9110, section 11: version 1.1 of the format has the
# word, version 1.2 a method with the system "http" and the scheme's name.
HTTP_SCHEMES = {"http-basic": "Basic", "http-digest": "Digest"}
HTTP_WORDS = {name: word for word, name in HTTP_SCHEMES.items()}
_BASIC: dict[Method, Method] = {"http-basic": "password-cleartext"}
WITHOUT_LOGIN: frozenset[Method] = frozenset(
    ("none", "client-IP-address", "smtp-after-pop")
)


def _one_spelling(method: Method) -> Method:
    if isinstance(method, AuthenticationMethod) and method.system == "http":
        return HTTP_WORDS.get(method.name, method)  # type: ignore[return-value]
    return method


class Server(Table, frozen=True):
    """The keys of every server, whatever it serves."""

    # Keys whose default depends on others; `completed` fills them in.
    computed: ClassVar[tuple[str, ...]] = ("port", "socket_type", "username", "url")

    type: Annotated[Line, Meta(extra={"example": "carddav"})]
    hostname: Host | None = None
    port: Port | None = None
    socket_type: SocketType | None = None
    url: Url | None = None
    username: Filled | None = None
    authentication: Annotated[
        tuple[Method, ...], Meta(min_length=1, extra={"single": True, "item": "method"})
    ] = ("password-cleartext",)

    def completed(self) -> Self:
        """Return a copy in which `computed` keys that were None have their defaults."""
        socket_type, port, url = self.socket_type, self.port, self.url
        if self.hostname is not None:
            if socket_type is None:  # RFC 5804 defines no TLS from the first byte
                socket_type = "STARTTLS" if self.type == "managesieve" else "SSL"
            port = port or standard_port(self.type, socket_type)
            url = url or usual_url(self.type, self.hostname, port, socket_type)
        methods = tuple(map(_one_spelling, self.authentication))
        if url is not None:
            # Over HTTP, a cleartext password is the Basic scheme (RFC 7617).
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

    @property
    def is_url_usual(self) -> bool:
        """Whether `url` is the one that follows from the type and the host."""
        if self.hostname is None or self.url is None:
            return False
        without = structs.replace(self, url=None)
        return self.url == without.completed().url


class Pop3(Table, frozen=True):
    """How a POP3 client handles the messages that it has fetched."""

    leave_messages_on_server: bool | None = None
    days_to_leave_messages_on_server: Days | None = None
    download_on_biff: bool | None = None
    check_interval: Minutes | None = None


class Incoming(Server, frozen=True):
    """A server that receives mail."""

    type: Annotated[IncomingType, Meta(extra={"example": "imap"})]
    owa_url: Url | None = None
    ews_url: Url | None = None
    eas_url: Url | None = None
    use_global_preferred_server: bool | None = None
    pop3: Pop3 | None = None


class Outgoing(Server, frozen=True):
    """A server that sends mail."""

    type: Annotated[OutgoingType, Meta(extra={"example": "smtp"})]
    add_this_server: bool | None = None
    use_global_preferred_server: bool | None = None
    restriction: Line | None = None
