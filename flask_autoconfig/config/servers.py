"""The tables of servers: where each is, and how to log in there."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta, structs

from .keys import Filled, Host, Line, Table, Url
from .ports import standard_port, usual_url

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
_BASIC: dict[Method, Method] = {"http-basic": "password-cleartext"}
WITHOUT_LOGIN: frozenset[Method] = frozenset(
    ("none", "client-IP-address", "smtp-after-pop")
)


def _one_spelling(method: Method) -> Method:
    if isinstance(method, AuthenticationMethod) and method.system == "http":
        return HTTP_WORDS.get(method.name, method)  # type: ignore[return-value]
    return method


class Server(Table, frozen=True):
    """What every server has, whatever it serves."""

    # Keys whose default depends on others; `completed` fills them in.
    computed: ClassVar[tuple[str, ...]] = ("port", "socket_type", "username", "url")

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

    def completed(self) -> Self:
        """Return a copy with the defaults of the `computed` keys that are None.

        What a file or a site's hook gives comes by here once, when it is read.
        """
        socket_type, port, url = self.socket_type, self.port, self.url
        if self.hostname is not None:
            if socket_type is None:  # RFC 5804 has no TLS from the first byte
                socket_type = "STARTTLS" if self.type == "managesieve" else "SSL"
            port = port or standard_port(self.type, socket_type)
            url = url or usual_url(self.type, self.hostname, port, socket_type)
        methods = tuple(map(_one_spelling, self.authentication))
        if url is not None:
            # Basic is how HTTP sends a password as it is (RFC 7617): one method.
            methods = tuple(dict.fromkeys(_BASIC.get(it, it) for it in methods))
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
        """Whether it has a `url` that is no more than its host and its standard say."""
        if self.hostname is None or self.url is None:
            return False
        without = structs.replace(self, url=None)
        return self.url == without.completed().url


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
