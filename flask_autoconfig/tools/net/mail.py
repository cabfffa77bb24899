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

from ...config.tables import Method
from ...documents.setups import Account
from .conversations import PROTOCOLS, Conversation, in_base64
from .tcp import Network, ProbeError, clock, reason_of
from .tls import Certificate, address_of, told_later
from .untrusted import Secrets

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


class _Session:
    """One conversation with a server, from the connection to what it offers."""

    def __init__(self, network: Network, endpoint: Endpoint, secrets: Secrets) -> None:
        self.server = MailServer()
        self.sockets: list[socket.socket] = []  # all that were opened, the latest last
        self._network = network
        self._endpoint = endpoint
        self._secrets = secrets
        self._protocol = PROTOCOLS[endpoint.type]
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
            host = self._endpoint.host
            secure, certificate = self._network.start_tls(connect, host, where)
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
    protocol = PROTOCOLS[endpoint.type]
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
        talk.send(in_base64(f"\0{user}\0{password}"))
    else:
        try:
            challenge = base64.b64decode(lines[-1].partition(" ")[2])
        except ValueError:
            challenge = b""
        digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
        secrets.add(digest)  # a weak password can be found out by it
        talk.send(in_base64(f"{user} {digest}"))
    answer: list[str] = protocol.wait(talk)
    return answer
