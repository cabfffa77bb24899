"""Talks to IMAP, POP3 and SMTP servers: what they offer, and whether a login works.

A server is hostile until proven otherwise: lines and answers have a greatest length.
"""

from __future__ import annotations

import base64
import hmac
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ..config.tables import Method
from ..documents.setups import Account
from .network import Network, ProbeError, clock, reason_of, start_tls
from .tls import Certificate, address_of, told_later
from .untrusted import Secrets

LONGEST_LINE = 8 * 1024
MOST_TEXT = 64 * 1024  # of one conversation
PATIENCE = 25.0  # seconds for a login: Dovecot holds a refusal back for up to 17


class Endpoint(NamedTuple):
    """Where a mail server is, and how it is spoken to."""

    type: str  # imap, pop3 or smtp
    host: str
    port: int
    socket_type: str  # SSL, STARTTLS or plain

    @classmethod
    def of(cls, account: Account) -> Endpoint:
        """Return where a server is that a client sets up."""
        return cls(*account[:4])

    def __str__(self) -> str:
        return f"{self.type} {self.host}:{self.port} {self.socket_type}"


@dataclass
class MailServer:
    """What an IMAP, POP3 or SMTP server offers."""

    certificate: Certificate | None = None
    starttls: bool = False  # it offers STARTTLS, before encryption
    mechanisms: set[str] = field(default_factory=set)  # SASL names, once encrypted
    plain_before_tls: bool = False  # passwords are taken unencrypted
    login_disabled: bool = False  # LOGINDISABLED, even when encrypted
    before_tls: set[str] = field(default_factory=set)  # SASL names, unencrypted
    address: str = ""  # where it was reached


# What a server offers, by SASL names, for each method of a file; inside TLS the first
# is the safe choice that every client can do.
MECHANISMS: dict[Method, frozenset[str]] = {
    "password-cleartext": frozenset(("PLAIN", "LOGIN")),
    "password-encrypted": frozenset(("CRAM-MD5", "DIGEST-MD5")),
    "OAuth2": frozenset(("XOAUTH2", "OAUTHBEARER")),
    "GSSAPI": frozenset(("GSSAPI",)),
    "NTLM": frozenset(("NTLM",)),
    "TLS-client-cert": frozenset(("EXTERNAL",)),
}
_PASSWORDS = MECHANISMS["password-cleartext"]  # they show the password


class Conversation:
    """Lines to and from a mail server, of bounded length and number."""

    def __init__(self, sock: socket.socket, secrets: Secrets) -> None:
        self.sock = sock
        self._secrets = secrets
        self._buffer = b""
        self._received = 0

    def line(self) -> str:
        """The next line; raises ProbeError where it or all of them are too long."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProbeError("protocol", "a line without end")
            data = self.sock.recv(4096)
            if not data:
                raise ProbeError("protocol", "the server closed the connection")
            self._received += len(data)
            if self._received > MOST_TEXT:
                raise ProbeError("protocol", "an answer without end")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def send(self, text: str) -> None:
        """Send one line."""
        self.sock.sendall(text.encode() + b"\r\n")

    def quoted(self, line: str, most: int = 100) -> str:
        """A line of the server's for a message: without secrets, and then cut."""
        return self._secrets.quoted(line)[:most]


# What a server of another kind says first.
_OTHERS = (
    (("* OK", "* PREAUTH"), "an IMAP server"),
    (("+OK",), "a POP3 server"),
    (("220",), "an SMTP server"),
    (("HTTP/", "<"), "a web server"),
    (("SSH-",), "an SSH server"),
)
_TURNS_AWAY = {
    "IMAP": ("* BYE", "* NO", "* BAD"),
    "POP3": ("-ERR",),
    "SMTP": ("4", "5"),
}


def _no_greeting(protocol: str, talk: Conversation, line: str) -> ProbeError:
    shown = f"“{talk.quoted(line)}”"
    for starts, who in _OTHERS:
        if line.upper().startswith(starts):
            message = f"no {protocol} greeting: {who} answers there ({shown})"
            return ProbeError("protocol", message, "publish the port of the right one")
    if line.upper().startswith(_TURNS_AWAY[protocol]):
        message = f"no {protocol} greeting: it turns clients away ({shown})"
        cure = "look at the server's log, and at what it refuses this address for"
        return ProbeError("protocol", message, cure)
    return ProbeError("protocol", f"no {protocol} greeting: {shown}")


class _Imap:
    """RFC 9051."""

    starttls = "STARTTLS"

    @staticmethod
    def greeting(talk: Conversation) -> None:
        line = talk.line()
        if not line.upper().startswith(("* OK", "* PREAUTH")):
            raise _no_greeting("IMAP", talk, line)

    @staticmethod
    def command(talk: Conversation, text: str) -> list[str]:
        """The answer's lines, the tagged one last."""
        talk.send(f"a {text}")
        lines = [talk.line()]
        while not lines[-1].startswith(("a ", "+")):
            lines.append(talk.line())
        return lines

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        for line in cls.command(talk, "CAPABILITY"):
            if line.upper().startswith("* CAPABILITY "):
                words |= set(line.upper().split()[2:])
        mechanisms = {
            it.removeprefix("AUTH=") for it in words if it.startswith("AUTH=")
        }
        if "LOGINDISABLED" not in words:
            mechanisms.add("LOGIN")  # the command
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].upper().startswith("A OK")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTHENTICATE {mechanism}")

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        lines = [talk.line()]
        while not lines[-1].startswith(("a ", "+")):
            lines.append(talk.line())
        return lines

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        return cls.command(talk, f"LOGIN {_quoted(user)} {_quoted(password)}")


class _Pop3:
    """RFC 1939, 2449, 2595."""

    starttls = "STLS"

    @staticmethod
    def greeting(talk: Conversation) -> None:
        line = talk.line()
        if not line.upper().startswith("+OK"):
            raise _no_greeting("POP3", talk, line)

    @staticmethod
    def command(talk: Conversation, text: str) -> list[str]:
        talk.send(text)
        return [talk.line()]

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        talk.send("CAPA")
        words: set[str] = set()
        mechanisms: set[str] = set()
        if not talk.line().upper().startswith("+OK"):
            # No CAPA is no sign of no methods: every server has these (RFC 1939).
            return words, {"LOGIN"}
        while (line := talk.line().upper()) != ".":
            first, *rest = line.split() or [""]
            words.add("STARTTLS" if first == "STLS" else first)
            mechanisms |= set(rest) if first == "SASL" else set()
        if "USER" in words:
            mechanisms.add("LOGIN")  # USER and PASS
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].upper().startswith("+OK")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTH {mechanism}")

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        return [talk.line()]

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        lines = cls.command(talk, f"USER {user}")
        return cls.command(talk, f"PASS {password}") if cls.is_good(lines) else lines


class _Smtp:
    """RFC 5321, 6409, 3207, 4954."""

    starttls = "STARTTLS"

    @classmethod
    def greeting(cls, talk: Conversation) -> None:
        lines = cls.wait(talk)
        if not lines[-1].startswith("220"):
            raise _no_greeting("SMTP", talk, lines[-1])

    @classmethod
    def command(cls, talk: Conversation, text: str) -> list[str]:
        talk.send(text)
        return cls.wait(talk)

    @staticmethod
    def wait(talk: Conversation) -> list[str]:
        lines = [talk.line()]
        while lines[-1][3:4] == "-":
            lines.append(talk.line())
        return lines

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        words: set[str] = set()
        mechanisms: set[str] = set()
        for line in cls.command(talk, "EHLO [127.0.0.1]"):
            first, *rest = line[4:].upper().replace("AUTH=", "AUTH ").split() or [""]
            words.add(first)
            mechanisms |= set(rest) if first == "AUTH" else set()
        return words, mechanisms

    @classmethod
    def is_good(cls, lines: list[str]) -> bool:
        return lines[-1].startswith("2")

    @classmethod
    def authenticate(cls, talk: Conversation, mechanism: str) -> list[str]:
        return cls.command(talk, f"AUTH {mechanism}")

    @classmethod
    def login(cls, talk: Conversation, user: str, password: str) -> list[str]:
        lines = cls.authenticate(talk, "LOGIN")
        for text in (user, password):
            if not lines[-1].startswith("334"):
                break
            talk.send(_base64(text))
            lines = cls.wait(talk)
        return lines


_PROTOCOLS: dict[str, Any] = {"imap": _Imap, "pop3": _Pop3, "smtp": _Smtp}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class _Session:
    """One conversation with a server, from the connection to what it offers."""

    def __init__(self, network: Network, endpoint: Endpoint, secrets: Secrets) -> None:
        self.server = MailServer()
        self.sockets: list[socket.socket] = []  # all that were opened, the latest last
        self._network = network
        self._endpoint = endpoint
        self._secrets = secrets
        self._protocol = _PROTOCOLS[endpoint.type]
        self.is_waiting = False  # for the greeting

    def begin(self) -> Conversation:
        """Greeting, encryption as the endpoint says, capabilities; raises ProbeError."""
        server, socket_type = self.server, self._endpoint.socket_type
        if socket_type == "plain":
            talk = Conversation(self._by_tcp(), self._secrets)
        else:
            connect = self._by_tcp if socket_type == "SSL" else self._by_starttls
            after = " after STARTTLS" if socket_type == "STARTTLS" else ""
            where = f" port {self._endpoint.port}{after}"
            secure, certificate = start_tls(connect, self._endpoint.host, where)
            server.certificate = certificate
            self.sockets.append(secure)
            talk = Conversation(secure, self._secrets)
        if socket_type != "STARTTLS":
            self._greeted(talk)

        words, server.mechanisms = self._protocol.capabilities(talk)
        server.starttls = server.starttls or "STARTTLS" in words
        server.login_disabled = "LOGINDISABLED" in words
        if socket_type == "plain":
            server.plain_before_tls = bool(server.mechanisms & _PASSWORDS)
        return talk

    def _greeted(self, talk: Conversation) -> None:
        self.is_waiting = True
        self._protocol.greeting(talk)
        self.is_waiting = False

    def _by_tcp(self) -> socket.socket:
        sock = self._network.connect(self._endpoint.host, self._endpoint.port)
        self.server.address = address_of(sock)
        self.sockets.append(sock)
        return sock

    def _by_starttls(self) -> socket.socket:
        """A connection whose server waits for TLS to begin."""
        protocol = self._protocol
        talk = Conversation(self._by_tcp(), self._secrets)
        self._greeted(talk)
        words, mechanisms = protocol.capabilities(talk)
        self.server.starttls = "STARTTLS" in words
        self.server.plain_before_tls = bool(mechanisms & _PASSWORDS)
        self.server.before_tls = mechanisms
        if not self.server.starttls:
            raise ProbeError("starttls", "the server does not offer STARTTLS")
        lines = protocol.command(talk, protocol.starttls)
        if not protocol.is_good(lines):
            said = talk.quoted(lines[-1])
            raise ProbeError("starttls", f"STARTTLS is refused: “{said}”")
        return talk.sock


@contextmanager
def _conversation(
    network: Network,
    endpoint: Endpoint,
    seconds: float | None = None,
    secrets: Secrets | None = None,
) -> Iterator[tuple[Conversation, MailServer]]:
    """A conversation that has begun, ended politely; raises ProbeError."""
    network = network.step(seconds)
    session = _Session(network, endpoint, secrets or Secrets())
    opened = session.sockets
    try:
        with clock(network, lambda: opened[-1] if opened else None):
            talk = session.begin()
            yield talk, session.server
            with suppress(OSError):  # a polite end, which the server's log likes
                talk.send("a LOGOUT" if endpoint.type == "imap" else "QUIT")
    except ProbeError as error:
        address = session.server.address
        if error.kind == "timeout" and session.is_waiting:
            error = _ungreeted(endpoint)
        if not address or address in str(error):
            raise
        message = f"{address} port {endpoint.port}: {error}"
        raise ProbeError(error.kind, message, error.cure) from error
    except (OSError, ValueError) as error:
        at = f"{session.server.address} port {endpoint.port}"
        late = told_later(error)
        if late is not None:
            raise ProbeError("tls", f"{at}: {late}", late.cure) from error
        raise ProbeError("protocol", f"{at}: {reason_of(error)[:200]}") from error
    finally:
        for each in opened:
            each.close()


def _ungreeted(endpoint: Endpoint) -> ProbeError:
    """A mail server speaks first, a web server waits to be asked (RFC 9051, 7.1.5)."""
    after = " after TLS" if endpoint.socket_type == "SSL" else ""
    return ProbeError(
        "timeout",
        f"the server did not finish in time: no greeting came{after}",
        f"see whether a server for {endpoint.type} listens there, and in its log "
        "what it waits for (a slow name server, often)",
    )


def mail_server(network: Network, endpoint: Endpoint) -> MailServer:
    """What a mail server offers when spoken to so; raises ProbeError."""
    with _conversation(network, endpoint) as (_, server):
        return server


def log_in(
    network: Network,
    endpoint: Endpoint,
    *,
    mechanisms: tuple[str, ...],
    user: str,
    password: str,
) -> str:
    """Log in; gives "" or the server's refusal, without the password. Raises ProbeError.

    Of the `mechanisms` PLAIN, LOGIN (the protocol's own command) and CRAM-MD5 the first
    that the server offers is taken. The password is sent to nobody whose certificate is
    not good: ProbeError of the kind "login" says that no login was tried. A server may
    think for as long as PATIENCE: many hold a refusal back, and one that is late is no
    refusal.
    """
    protocol = _PROTOCOLS[endpoint.type]
    if any(char in user + password for char in "\r\n\0"):
        raise ProbeError("login", "a line break or NUL in the user name or password")
    patient = replace(network, timeout=max(network.timeout, PATIENCE))
    secrets = Secrets(password)
    with _conversation(patient, endpoint, PATIENCE, secrets) as (talk, server):
        if server.certificate is None or server.certificate.problem:
            raise ProbeError("login", "the connection cannot be trusted")
        offered = [it for it in mechanisms if it in server.mechanisms]
        if not offered:
            wanted = " or ".join(mechanisms)
            raise ProbeError("login", f"the server does not offer {wanted}")
        if offered[0] == "LOGIN":
            lines = protocol.login(talk, user, password)
        else:
            lines = _authenticate(protocol, talk, offered[0], user, password, secrets)
        return "" if protocol.is_good(lines) else talk.quoted(lines[-1], 200)


def _authenticate(
    protocol: Any,
    talk: Conversation,
    mechanism: str,
    user: str,
    password: str,
    secrets: Secrets,
) -> list[str]:
    """RFC 4616 (PLAIN) or RFC 2195 (CRAM-MD5), after the server's challenge."""
    lines: list[str] = protocol.authenticate(talk, mechanism)
    if not lines[-1].startswith(("+", "334")) or lines[-1].upper().startswith("+OK"):
        return lines
    if mechanism == "PLAIN":
        talk.send(_base64(f"\0{user}\0{password}"))
    else:
        try:
            challenge = base64.b64decode(lines[-1].partition(" ")[2])
        except ValueError:
            challenge = b""
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        secrets.add(digest)  # a weak password can be found out by it
        talk.send(_base64(f"{user} {digest}"))
    answer: list[str] = protocol.wait(talk)
    return answer
