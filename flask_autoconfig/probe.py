"""Talks to real servers, each within a time and in bounded memory.

A server is hostile until proven otherwise: one clock runs over a whole conversation, and
closes the connection when it is over, however slowly the server drips. Lines, answers and
bodies have a greatest length.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from .dns import LookupFailed, Resolver

LONGEST_LINE = 8 * 1024
MOST_TEXT = 64 * 1024  # of one conversation
MOST_BODY = 1024 * 1024
MOST_REDIRECTS = 5


class ProbeError(Exception):
    """Why a conversation came to nothing; `kind` says what stage it was."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass
class Certificate:
    """What a server showed: whether it is good for the name, and for how long."""

    names: list[str] = field(default_factory=list)
    days_left: int | None = None
    problem: str = ""  # why no client would take it


@dataclass
class Network:
    """How to reach servers: who resolves names, how long to wait, whom to go to instead.

    `connect_to` maps (host, port) to another, as curl's --connect-to, so that a server
    can be tried before DNS points to it.
    """

    resolver: Resolver
    timeout: float = 5.0
    connect_to: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)

    def connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection to the first address that answers; raises ProbeError."""
        host, port = self.connect_to.get((host, port), (host, port))
        try:
            addresses = self.resolver.addresses(host)
        except LookupFailed as error:
            raise ProbeError("dns", str(error)) from error
        if not addresses:
            raise ProbeError("dns", f"{host} has no address in DNS")
        until = time.monotonic() + self.timeout
        reason = ""
        for address in addresses[:4]:
            left = max(until - time.monotonic(), 0.1)
            try:
                return socket.create_connection((address, port), left)
            except OSError as error:
                reason = _why(error)
        raise ProbeError("connect", f"{host} port {port}: {reason}")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def _clock(seconds: float, what: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Close the connection when the time is over: that ends whatever reads from it."""

    def stop() -> None:
        connection = what()
        if connection is not None:
            over.append(True)
            with suppress(OSError):
                # Of a TLS socket too: the plain one's shutdown, which asks nobody.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    over: list[bool] = []
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if over or isinstance(error, TimeoutError):
            raise ProbeError("timeout", "the server did not finish in time") from error
        raise
    finally:
        timer.cancel()
    if over:  # what looked like the answer's end was ours
        raise ProbeError("timeout", "the server did not finish in time")


# --- TLS -----------------------------------------------------------------------------


def start_tls(
    connect: Callable[[], socket.socket], host: str
) -> tuple[ssl.SSLSocket, Certificate]:
    """TLS over a connection, and what its certificate is worth.

    Where no client would take the certificate, `connect` is called again and the
    conversation goes on without believing it, so that the rest can be seen too.
    """
    context = ssl.create_default_context()
    context.check_hostname = False  # told apart from the chain below
    certificate = Certificate()
    connection = connect()
    try:
        secure = context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        certificate.problem = error.verify_message or str(error)
        connection.close()
        loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        loose.check_hostname = False
        loose.verify_mode = ssl.CERT_NONE
        return loose.wrap_socket(connect(), server_hostname=host), certificate
    except (ssl.SSLError, OSError, ValueError) as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise
        reason = getattr(error, "reason", None) or _why(error)
        raise ProbeError("tls", f"no TLS there: {reason}") from error
    _describe(secure, certificate, host)
    return secure, certificate


def _describe(secure: ssl.SSLSocket, certificate: Certificate, host: str) -> None:
    told: dict[str, Any] = dict(secure.getpeercert() or {})
    alternatives = told.get("subjectAltName", ())
    certificate.names = [str(value) for kind, value in alternatives if kind != "email"]
    ends = ssl.cert_time_to_seconds(told["notAfter"])
    certificate.days_left = int((ends - time.time()) // 86400)
    if not any(_matches(host, name) for name in certificate.names):
        listed = ", ".join(certificate.names[:5]) or "no name"
        certificate.problem = f"it is for {listed}, not for {host}"


def _matches(host: str, name: str) -> bool:
    """RFC 6125, section 6.4.3: a wildcard is one whole label, the leftmost."""
    host, name = host.lower().rstrip("."), name.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:] and "." in name[2:]
    return host == name


# --- HTTP ----------------------------------------------------------------------------


@dataclass
class Page:
    """What an HTTP request got."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    certificate: Certificate | None = None
    redirects: list[str] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        kind = self.headers.get("content-type", "")
        return kind.partition(";")[0].strip().lower()


class _Connection(http.client.HTTPConnection):
    def __init__(self, network: Network, host: str, port: int, secure: bool) -> None:
        super().__init__(host, port, timeout=network.timeout)
        self._network = network
        self._secure = secure
        self.certificate: Certificate | None = None
        self.held: socket.socket | None = None  # http.client lets go of sock early

    def connect(self) -> None:
        def plain() -> socket.socket:
            self.held = self._network.connect(self.host, self.port)
            return self.held

        if self._secure:
            self.held, self.certificate = start_tls(plain, self.host)
        else:
            plain()
        self.sock = self.held


def fetch(
    network: Network,
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    follow: bool = True,
) -> Page:
    """One request, redirects followed; raises ProbeError. All of it within the timeout."""
    seen: list[str] = []
    until = time.monotonic() + network.timeout
    while True:
        page = _fetch_once(network, url, method, body, headers or {}, until)
        page.redirects = list(seen)
        location = page.headers.get("location")
        if not (follow and location and page.status in (301, 302, 303, 307, 308)):
            return page
        seen.append(url)
        try:
            url = urljoin(url, location)
        except ValueError as error:
            message = f"it leads to no web address: {location[:200]}"
            raise ProbeError("redirect", message) from error
        if url in seen or len(seen) > MOST_REDIRECTS:
            raise ProbeError(
                "redirect", f"redirects without end, by way of {url[:200]}"
            )


def _fetch_once(
    network: Network,
    url: str,
    method: str,
    body: bytes | None,
    headers: dict[str, str],
    until: float,
) -> Page:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ProbeError("redirect", f"no URL: {url[:200]}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ProbeError("redirect", f"it leads to no web address: {url[:200]}")
    secure = parts.scheme == "https"
    connection = _Connection(network, host, port or (443 if secure else 80), secure)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    page = Page(url)
    sending = {"User-Agent": "flask-autoconfig-check", "Connection": "close", **headers}
    try:
        with _clock(max(until - time.monotonic(), 0.1), lambda: connection.held):
            connection.request(method, target, body, sending)
            page.certificate = connection.certificate
            response = connection.getresponse()
            page.status = response.status
            page.headers = {name.lower(): it for name, it in response.getheaders()}
            page.body = response.read(MOST_BODY + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProbeError("http", f"no HTTP answer: {_why(error)[:200]}") from error
    finally:
        connection.close()
    if len(page.body) > MOST_BODY:
        raise ProbeError("http", f"an answer of more than {MOST_BODY // 1024} KiB")
    return page


# --- Mail ----------------------------------------------------------------------------


@dataclass
class MailServer:
    """What an IMAP, POP3 or SMTP server offers."""

    certificate: Certificate | None = None
    starttls: bool = False  # it offers STARTTLS, before encryption
    mechanisms: set[str] = field(default_factory=set)  # SASL names, once encrypted
    plain_before_tls: bool = False  # passwords are taken unencrypted
    login_disabled: bool = False  # LOGINDISABLED, even when encrypted


class Conversation:
    """Lines to and from a mail server, of bounded length and number."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
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

    def encrypted(self, sock: socket.socket) -> None:
        """Go on over TLS; what was sent before it must not count (RFC 9051, 11.3)."""
        self.sock = sock
        self._buffer = b""


class _Imap:
    """RFC 9051."""

    starttls = "a STARTTLS"

    @staticmethod
    def greeting(talk: Conversation) -> None:
        line = talk.line()
        if not line.upper().startswith(("* OK", "* PREAUTH")):
            raise ProbeError("protocol", f"no IMAP greeting: {line[:100]!r}")

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
            raise ProbeError("protocol", f"no POP3 greeting: {line[:100]!r}")

    @staticmethod
    def command(talk: Conversation, text: str) -> list[str]:
        talk.send(text)
        return [talk.line()]

    @classmethod
    def capabilities(cls, talk: Conversation) -> tuple[set[str], set[str]]:
        talk.send("CAPA")
        words: set[str] = set()
        mechanisms: set[str] = set()
        if talk.line().upper().startswith("+OK"):
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
            raise ProbeError("protocol", f"no SMTP greeting: {lines[-1][:100]!r}")

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


@contextmanager
def _conversation(
    network: Network, type_: str, host: str, port: int, socket_type: str
) -> Iterator[tuple[Conversation, MailServer]]:
    """Greeting, encryption as `socket_type` says, capabilities; raises ProbeError."""
    protocol = _PROTOCOLS[type_]
    server = MailServer()
    current: list[socket.socket] = []

    def plain() -> socket.socket:
        sock = network.connect(host, port)
        current.append(sock)
        return sock

    def upgraded() -> socket.socket:
        talk = Conversation(plain())
        protocol.greeting(talk)
        words, mechanisms = protocol.capabilities(talk)
        server.starttls = "STARTTLS" in words
        server.plain_before_tls = bool(mechanisms & {"PLAIN", "LOGIN"})
        if not server.starttls:
            raise ProbeError("starttls", "the server does not offer STARTTLS")
        lines = protocol.command(talk, protocol.starttls.removeprefix("a "))
        if not protocol.is_good(lines):
            raise ProbeError("starttls", f"STARTTLS is refused: {lines[-1][:100]!r}")
        return talk.sock

    try:
        with _clock(network.timeout, lambda: current[-1] if current else None):
            if socket_type == "SSL":
                sock, server.certificate = start_tls(plain, host)
                talk = _over_tls(current, sock)
                protocol.greeting(talk)
            elif socket_type == "STARTTLS":
                sock, server.certificate = start_tls(upgraded, host)
                talk = _over_tls(current, sock)
            else:
                talk = Conversation(plain())
                protocol.greeting(talk)
            words, server.mechanisms = protocol.capabilities(talk)
            server.starttls = server.starttls or "STARTTLS" in words
            server.login_disabled = "LOGINDISABLED" in words
            if socket_type == "plain":
                server.plain_before_tls = bool(server.mechanisms & {"PLAIN", "LOGIN"})
            yield talk, server
            with suppress(OSError):  # a polite end, which the server's log likes
                talk.send("a LOGOUT" if type_ == "imap" else "QUIT")
    except (OSError, ValueError) as error:
        raise ProbeError("protocol", _why(error)[:200]) from error
    finally:
        for each in current:
            each.close()


def _over_tls(current: list[socket.socket], sock: ssl.SSLSocket) -> Conversation:
    current.append(sock)
    return Conversation(sock)


def mail_server(
    network: Network, type_: str, host: str, port: int, socket_type: str
) -> MailServer:
    """What a mail server offers when spoken to so; raises ProbeError."""
    with _conversation(network, type_, host, port, socket_type) as (_, server):
        return server


def log_in(
    network: Network,
    type_: str,
    host: str,
    port: int,
    socket_type: str,
    *,
    mechanism: str,
    user: str,
    password: str,
) -> str:
    """Log in; gives "" or the server's refusal. Raises ProbeError.

    `mechanism` is PLAIN, LOGIN (the protocol's own command) or CRAM-MD5. The password is
    sent to nobody whose certificate is not good.
    """
    protocol = _PROTOCOLS[type_]
    if any(char in user + password for char in "\r\n\0"):
        raise ProbeError("login", "a line break or NUL in the user name or password")
    with _conversation(network, type_, host, port, socket_type) as (talk, server):
        if server.certificate is None or server.certificate.problem:
            raise ProbeError("login", "not tried: the connection cannot be trusted")
        if mechanism == "LOGIN":
            lines = protocol.login(talk, user, password)
        else:
            lines = _authenticate(protocol, talk, mechanism, user, password)
        return "" if protocol.is_good(lines) else str(lines[-1])[:200]


def _authenticate(
    protocol: Any, talk: Conversation, mechanism: str, user: str, password: str
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
        talk.send(_base64(f"{user} {digest}"))
    answer: list[str] = protocol.wait(talk)
    return answer
