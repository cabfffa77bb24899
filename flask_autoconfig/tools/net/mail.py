"""What IMAP, POP3 and SMTP servers offer, and logins at them."""

import base64
import hmac
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...config.tables import Method
from ...documents.setups import Account
from .common import ProbeError, software_of, texts
from .conversations import CONVERSATIONS, Conversation, in_base64
from .tcp import Network, failures
from .tls import Certificate, address_of
from .untrusted import Secrets

PATIENCE = 25.0  # seconds for a login: Dovecot delays a refusal by up to 17
_GREETING = 6  # times the timeout until a greeting: clients wait for 30 to 60 seconds


class Endpoint(NamedTuple):
    """A mail server and how to connect to it."""

    type: str  # imap, pop3 or smtp
    host: str
    port: int
    socket_type: str  # SSL, STARTTLS or plain

    @classmethod
    def of(cls, account: Account) -> "Endpoint":
        return cls(*account[:4])

    def __str__(self) -> str:
        return f"{self.type} {self.host}:{self.port} {self.socket_type}"


@dataclass
class MailServer:
    certificate: Certificate | None = None
    starttls: bool = False  # it offers STARTTLS, before encryption
    mechanisms: set[str] = field(default_factory=set)  # SASL names, once encrypted
    login_disabled: bool = False  # LOGINDISABLED, even when encrypted
    before_tls: set[str] = field(default_factory=set)  # SASL names, unencrypted
    address: str = ""  # that it was reached at
    greeted: float = 0.0  # the seconds that its greeting took
    heard: list[str] = field(default_factory=list)  # its lines

    @property
    def software(self) -> str:
        return software_of(self.heard)


# The SASL names of each method of a file. Inside TLS the first is the safe choice that
# every client supports.
MECHANISMS: dict[Method, frozenset[str]] = {
    "password-cleartext": frozenset(("PLAIN", "LOGIN")),
    "password-encrypted": frozenset(("CRAM-MD5",)),  # clients have no DIGEST-MD5
    "OAuth2": frozenset(("XOAUTH2", "OAUTHBEARER")),
    "GSSAPI": frozenset(("GSSAPI",)),
    "NTLM": frozenset(("NTLM",)),
    "TLS-client-cert": frozenset(("EXTERNAL",)),
}
PASSWORDS = MECHANISMS["password-cleartext"]  # which send the password itself


class Outcome(NamedTuple):
    """How a login went: what failed, "" for nothing, and the server's words."""

    failed: str = ""  # login, inbox, sender, recipient or greeting
    said: str = ""
    software: str = ""
    other: str = ""  # a mechanism to try, where the server refused the first as such
    address: str = ""  # that refused the login
    elsewhere: str = ""  # another address of the host, if it has one


@dataclass
class _Session:
    """One conversation with a server, up to what it offers."""

    whole: Network  # without the deadline of a step
    seconds: float | None  # of a step, by default the timeout
    endpoint: Endpoint
    secrets: Secrets
    stack: ExitStack  # which closes the connections
    server: MailServer = field(default_factory=MailServer)
    network: Network = field(init=False)  # of the step

    def __post_init__(self) -> None:
        self._step(self.seconds)

    def _step(self, seconds: float | None = None) -> None:
        longest = max(self.whole.timeout, seconds or 0)
        self.network = replace(self.whole, timeout=longest).step(seconds)

    def place(self) -> str:
        address = self.server.address
        return f"{address} port {self.endpoint.port}" if address else ""

    def begin(self) -> Conversation:
        """Read the greeting, start TLS and read the capabilities; raises ProbeError."""
        server, (_, host, port, socket_type) = self.server, self.endpoint
        is_starttls = socket_type == "STARTTLS"
        if socket_type == "plain":
            talk = self._greeted(self._connect())
        else:
            # A late greeting before STARTTLS may outlast the step.
            network = self.whole if is_starttls else self.network
            where = f" port {port}{' after STARTTLS' if is_starttls else ''}"
            try:
                tls = network.start_tls(self.connect_for_tls, host, where)
            except ProbeError as error:
                reason = getattr(error.__cause__, "reason", "")
                if reason in texts()["handshake"][0]["reasons"] and not is_starttls:
                    other, line = self._said_to_quit()
                    if other and line.upper().startswith(other.refusals):
                        raise other.refused("it answers in clear text", line) from error
                raise
            sock, server.certificate = tls
            talk = self._conversation(sock) if is_starttls else self._greeted(sock)
        words, server.mechanisms = talk.capabilities()
        server.starttls = server.starttls or talk.starttls in words
        server.login_disabled = "LOGINDISABLED" in words
        if socket_type == "plain":
            server.before_tls = server.mechanisms
        return talk

    def connect_for_tls(self) -> socket.socket:
        """Return a connection whose server waits for TLS to begin; raises ProbeError."""
        if self.endpoint.socket_type != "STARTTLS":
            return self._connect()
        talk = self._greeted(self._connect())
        words, self.server.before_tls = talk.capabilities()
        self.server.starttls = talk.starttls in words
        if not self.server.starttls:
            raise ProbeError("starttls", "the server does not offer STARTTLS")
        lines = talk.command(talk.starttls)
        if not talk.is_good(lines):
            raise talk.refused("it offers STARTTLS and refuses it", lines[-1])
        return talk.sock

    def _connect(self) -> socket.socket:
        sock = self.network.connect(self.endpoint.host, self.endpoint.port)
        self.stack.callback(sock.close)
        self.server.address = address_of(sock)
        return sock

    def _conversation(self, sock: socket.socket) -> Conversation:
        self.stack.callback(sock.close)
        protocol = CONVERSATIONS[self.endpoint.type]
        talk = protocol(sock, self.secrets, lambda: self.network.left())
        talk.heard = self.server.heard
        return talk

    def _greeted(self, sock: socket.socket) -> Conversation:
        """A mail server speaks first, and may take its time (RFC 9051, 7.1.5)."""
        talk, begun = self._conversation(sock), time.monotonic()
        if not talk.has_greeted():
            self._find_waiting()
            self._step(_GREETING * self.whole.timeout)
            if not talk.has_greeted():
                is_inside = self.endpoint.socket_type == "SSL"
                row = texts()["silent"]["inside" if is_inside else "plain"]
                cure = row["cure"].format(type=self.endpoint.type)
                raise ProbeError("timeout", row["problem"], cure)
            self._step(self.seconds)
        self.server.greeted = time.monotonic() - begun
        return talk

    def _find_waiting(self) -> None:
        """Raise ProbeError if the server waits for the client to begin TLS or HTTP."""
        sock = None
        self._step(self.whole.timeout / 3)
        with suppress(OSError, ProbeError):
            sock, _ = self.network.handshake(self._connect, self.endpoint.host)
            self.stack.callback(sock.close)
        if sock and self.endpoint.socket_type != "SSL":
            problem = "no greeting came: the server waits for TLS to begin"
            raise ProbeError("timeout", problem)
        talk, line = self._said_to_quit(sock)
        if talk and line.startswith("HTTP/"):
            raise talk.unlike(line)
        if talk and talk.rest.startswith(b"\x15\x03"):  # an alert of TLS
            row = texts()["silent"]["twice"]
            raise ProbeError("protocol", row["problem"], row["cure"])

    def _said_to_quit(self, sock: socket.socket | None = None) -> tuple[Any, str]:
        """Return a conversation and the line that it has after QUIT, if there are any."""
        self._step(self.whole.timeout / 3)
        line, talk = "", None
        with suppress(OSError, ProbeError):
            talk = self._conversation(sock or self._connect())
            talk.send("QUIT\r\n")
            line = talk.line()
        return talk, line


@contextmanager
def _conversation(
    network: Network,
    endpoint: Endpoint,
    seconds: float | None = None,
    secrets: Secrets | None = None,
) -> Iterator[tuple[Conversation, MailServer]]:
    """Begin a conversation and end it with the protocol's farewell; raises ProbeError."""
    with ExitStack() as stack:
        session = _Session(network, seconds, endpoint, secrets or Secrets(), stack)
        try:
            with failures("protocol", session.place):
                talk = session.begin()
                yield talk, session.server
                with suppress(OSError, ProbeError):
                    talk.send(talk.farewell)  # without it, servers log an error
        except ProbeError as error:
            error.certificate = session.server.certificate
            error.software = session.server.software
            raise


def mail_server(network: Network, endpoint: Endpoint) -> MailServer:
    with _conversation(network, endpoint) as (_, server):
        return server


def first_messages(network: Network, endpoint: Endpoint, padding: bytes) -> set[int]:
    """Return what a client of TLS 1.2 gets from a server; raises ProbeError, OSError."""
    with ExitStack() as stack:
        session = _Session(network, None, endpoint, Secrets(), stack)

        def connect() -> socket.socket:
            connection = session.connect_for_tls()
            connection.settimeout(session.network.left())
            return connection

        return network.first_messages(connect, endpoint.host, padding)


def log_in(
    network: Network,
    endpoint: Endpoint,
    mechanisms: tuple[str, ...],
    user: str,
    password: str,
    address: str,
) -> Outcome:
    """Log in, and do what a client does next; nothing is sent or changed.

    The first of the *mechanisms* (PLAIN, LOGIN, CRAM-MD5) that the server offers is used.
    The outcome is without the password; *address* is the sender of the mail that is begun.
    Servers delay refusals, so each login may take PATIENCE seconds. Raises ProbeError;
    its kind is "login" if no login was tried, as where the certificate is bad.
    """
    if any(char in user + password + address for char in "\r\n\0"):
        raise ProbeError("login", "a line break or NUL in the user name or password")
    patient = replace(network, timeout=max(network.timeout, PATIENCE))
    secrets = Secrets(password)
    with _conversation(patient, endpoint, PATIENCE, secrets) as (talk, server):
        if server.certificate is None or server.certificate.problem:
            raise ProbeError("login", "the connection cannot be trusted")
        offered = [name for name in mechanisms if name in server.mechanisms]
        if not offered:
            wanted = " or ".join(mechanisms)
            raise ProbeError("login", f"the server does not offer {wanted}")
        if offered[0] == "LOGIN":
            lines = talk.login(user, password)
        else:
            lines = _authenticate(talk, offered[0], user, password, secrets)
        if not talk.is_good(lines):
            said, by = talk.quoted(lines[-1], 200), offered[0]
            is_by = by == "CRAM-MD5" or re.search(texts()["by_mechanism"], said, re.I)
            others = PASSWORDS & server.mechanisms - {by} if is_by else ()
            other, at = max(others, default=""), server.address
            more = [it for it in network.addresses(*endpoint[1:3]) if it != at]
            return Outcome("login", said, server.software, other, at, *more[:1])
        try:
            failed, said = talk.use(address)
        except (OSError, ProbeError) as error:
            failed = "sender" if endpoint.type == "smtp" else "inbox"
            said = f"no answer ({error})"
        return Outcome(failed, talk.quoted(said, 200), server.software)


def _authenticate(
    talk: Conversation, mechanism: str, user: str, password: str, secrets: Secrets
) -> list[str]:
    """Log in by PLAIN (RFC 4616) or CRAM-MD5 (RFC 2195)."""
    begin, answer = f"{talk.sasl} {mechanism}", f"\0{user}\0{password}"
    if mechanism == "PLAIN" and talk.at_once:
        return talk.command(f"{begin} {in_base64(answer)}")
    lines = talk.command(begin)
    if not lines[-1].startswith(("+", "334")) or lines[-1].upper().startswith("+OK"):
        return lines
    if mechanism != "PLAIN":
        challenge = b""
        with suppress(ValueError):
            challenge = base64.b64decode(lines[-1].partition(" ")[2])
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        secrets.add(digest)  # from which a weak password can be found
        answer = f"{user} {digest}"
    talk.send(in_base64(answer))
    return talk.response()
