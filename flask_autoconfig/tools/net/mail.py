"""What IMAP, POP3 and SMTP servers offer, and logins at them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...config.tables import Method
from ...documents.setups import Account
from .common import ProbeError, software_of, texts
from .conversations import CONVERSATIONS, Conversation
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
    address: str = ""  # of the connection
    greeting_seconds: float = 0.0  # seconds until its greeting
    heard: list[str] = field(default_factory=list)  # the lines that it sent

    @property
    def software(self) -> str:
        return software_of(self.heard)


# The SASL mechanisms of each authentication method of a configuration. Inside TLS the
# first method is safe, and every client supports it.
MECHANISMS: dict[Method, frozenset[str]] = {
    "password-cleartext": frozenset(("PLAIN", "LOGIN")),
    "password-encrypted": frozenset(("CRAM-MD5",)),  # clients have no DIGEST-MD5
    "OAuth2": frozenset(("XOAUTH2", "OAUTHBEARER")),
    "GSSAPI": frozenset(("GSSAPI",)),
    "NTLM": frozenset(("NTLM",)),
    "TLS-client-cert": frozenset(("EXTERNAL",)),
}
PASSWORDS = MECHANISMS["password-cleartext"]  # these send the password itself


class Outcome(NamedTuple):
    """The outcome of a login: what failed, and the server's words."""

    failed: str = ""  # login, inbox, sender, recipient, greeting; "" for nothing
    said: str = ""
    software: str = ""


@dataclass
class _Session:
    """A conversation with a server, until its capabilities are known."""

    base_network: Network  # without the deadline of a step
    seconds: float | None  # for a step, by default the timeout
    endpoint: Endpoint
    secrets: Secrets
    stack: ExitStack  # closes the connections
    server: MailServer = field(default_factory=MailServer)
    network: Network = field(init=False)  # for the current step

    def __post_init__(self) -> None:
        self._begin_step(self.seconds)

    def _begin_step(self, seconds: float | None = None) -> None:
        timeout = max(self.base_network.timeout, seconds or 0)
        self.network = replace(self.base_network, timeout=timeout).step(seconds)

    def location(self) -> str:
        address = self.server.address
        return f"{address} port {self.endpoint.port}" if address else ""

    def begin(self) -> Conversation:
        """Read the greeting, start TLS and read the capabilities; raises ProbeError."""
        server, (_, host, port, socket_type) = self.server, self.endpoint
        is_starttls = socket_type == "STARTTLS"
        if socket_type == "plain":
            conversation = self._await_greeting(self._connect())
        else:
            # A late greeting before STARTTLS may outlast the step.
            network = self.base_network if is_starttls else self.network
            suffix = f" port {port}{' after STARTTLS' if is_starttls else ''}"
            tls = network.start_tls(self.connect_for_tls, host, suffix)
            sock, server.certificate = tls
            begin = self._conversation if is_starttls else self._await_greeting
            conversation = begin(sock)
        words, server.mechanisms = conversation.capabilities()
        server.starttls = server.starttls or conversation.starttls in words
        server.login_disabled = "LOGINDISABLED" in words
        if socket_type == "plain":
            server.before_tls = server.mechanisms
        return conversation

    def connect_for_tls(self) -> socket.socket:
        """Return a connection whose server waits for TLS to begin; raises ProbeError."""
        if self.endpoint.socket_type != "STARTTLS":
            return self._connect()
        conversation = self._await_greeting(self._connect())
        words, self.server.before_tls = conversation.capabilities()
        self.server.starttls = conversation.starttls in words
        if not self.server.starttls:
            raise ProbeError("starttls", "the server does not offer STARTTLS")
        lines = conversation.command(conversation.starttls)
        if not conversation.is_success(lines):
            raise conversation.refusal("it offers STARTTLS and refuses it", lines[-1])
        return conversation.sock

    def _connect(self) -> socket.socket:
        sock = self.network.connect(self.endpoint.host, self.endpoint.port)
        self.stack.callback(sock.close)
        self.server.address = address_of(sock)
        return sock

    def _conversation(self, sock: socket.socket) -> Conversation:
        self.stack.callback(sock.close)
        protocol = CONVERSATIONS[self.endpoint.type]
        conversation = protocol(sock, self.secrets, lambda: self.network.seconds_left())
        conversation.transcript = self.server.heard
        return conversation

    def _await_greeting(self, sock: socket.socket) -> Conversation:
        """Return a conversation after the greeting, which may be slow (RFC 9051, 7.1.5)."""
        conversation, start = self._conversation(sock), time.monotonic()
        if not conversation.read_greeting():
            self._diagnose_silence()
            self._begin_step(_GREETING * self.base_network.timeout)
            if not conversation.read_greeting():
                is_inside_tls = self.endpoint.socket_type == "SSL"
                row = texts()["silent"]["inside" if is_inside_tls else "plain"]
                cure = row["cure"].format(type=self.endpoint.type)
                raise ProbeError("timeout", row["problem"], cure)
            self._begin_step(self.seconds)
        self.server.greeting_seconds = time.monotonic() - start
        return conversation

    def _diagnose_silence(self) -> None:
        """Raise ProbeError if the server waits for the client to begin TLS or HTTP."""
        sock = None
        self._begin_step(self.base_network.timeout / 3)
        with suppress(OSError, ProbeError):
            sock, _ = self.network.handshake(self._connect, self.endpoint.host)
            self.stack.callback(sock.close)
        if sock and self.endpoint.socket_type != "SSL":
            problem = "no greeting came: the server waits for TLS to begin"
            raise ProbeError("timeout", problem)
        self._begin_step(self.base_network.timeout / 3)
        line = ""
        with suppress(OSError, ProbeError):
            conversation = self._conversation(sock or self._connect())
            conversation.send("QUIT\r\n")
            line = conversation.read_line()
        if line.startswith("HTTP/"):
            raise conversation.wrong_protocol(line)


@contextmanager
def _conversation(
    network: Network,
    endpoint: Endpoint,
    seconds: float | None = None,
    secrets: Secrets | None = None,
) -> Iterator[tuple[Conversation, MailServer]]:
    """Begin a conversation, and end it by the command `logout`; raises ProbeError."""
    with ExitStack() as stack:
        session = _Session(network, seconds, endpoint, secrets or Secrets(), stack)
        try:
            with failures("protocol", session.location):
                conversation = session.begin()
                yield conversation, session.server
                with suppress(OSError, ProbeError):
                    conversation.send(conversation.logout)  # else servers log an error
        except ProbeError as error:
            error.certificate = session.server.certificate
            error.software = session.server.software
            raise


def mail_server(network: Network, endpoint: Endpoint) -> MailServer:
    with _conversation(network, endpoint) as (_, server):
        return server


def refusal_of_tls12(network: Network, endpoint: Endpoint) -> str:
    """Return :func:`tls.refusal_of_tls12` of a server; raises ProbeError, OSError."""
    with ExitStack() as stack:
        session = _Session(network, None, endpoint, Secrets(), stack)

        def connect() -> socket.socket:
            connection = session.connect_for_tls()
            connection.settimeout(session.network.seconds_left())
            return connection

        return network.refusal_of_tls12(connect, endpoint.host)


def log_in(
    network: Network,
    endpoint: Endpoint,
    mechanisms: tuple[str, ...],
    user: str,
    password: str,
    address: str,
) -> Outcome:
    """Log in, and do what a client does next, without sending or changing anything.

    The first of the *mechanisms* (PLAIN, LOGIN, CRAM-MD5) that the server offers is used.
    The outcome never has the password; *address* is the sender of the mail that is begun.
    Servers delay refusals, so each login may take PATIENCE seconds. Raises ProbeError;
    its kind is "login" if no login was attempted, as where the certificate is bad.
    """
    if any(char in user + password + address for char in "\r\n\0"):
        raise ProbeError("login", "a line break or NUL in the user name or password")
    patient = replace(network, timeout=max(network.timeout, PATIENCE))
    conversing = _conversation(patient, endpoint, PATIENCE, Secrets(password))
    with conversing as (conversation, server):
        if server.certificate is None or server.certificate.problem:
            raise ProbeError("login", "the connection cannot be trusted")
        offered = [name for name in mechanisms if name in server.mechanisms]
        if not offered:
            wanted = " or ".join(mechanisms)
            raise ProbeError("login", f"the server does not offer {wanted}")
        lines = conversation.authenticate(offered[0], user, password)
        if not conversation.is_success(lines):
            words = conversation.quoted(lines[-1], 200)
            return Outcome("login", words, server.software)
        try:
            failed, words = conversation.use_account(address)
        except (OSError, ProbeError) as error:
            failed = "sender" if endpoint.type == "smtp" else "inbox"
            words = f"no answer ({error})"
        return Outcome(failed, conversation.quoted(words, 200), server.software)
