"""The world of `world.py` without servers: nothing listens and nothing is encrypted.

A zone file answers DNS queries, a function answers HTTP requests, a mail server talks over
a pair of sockets, and a certificate is the result that OpenSSL would give. So a check takes
milliseconds and needs no privileges, and runs the same code as on a network.
"""

from __future__ import annotations

import base64
import errno
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.nameserver
import pytest
from click.testing import CliRunner, Result
from strangers import Behaviour
from world import (
    ACCOUNTS,
    ADDRESSES,
    BIND,
    DAV,
    IMAP,
    OTHER_NAMES,
    PASSWORD,
    SMTP,
    WEB,
    Answer,
    Checking,
    Front,
    FrontRequest,
    Names,
    Real,
    Respond,
    Zone,
    bind_zones,
    talks,
)

from flask_autoconfig.tools import options
from flask_autoconfig.tools.cli import cli
from flask_autoconfig.tools.net import tls
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network
from flask_autoconfig.tools.net.tls import Certificate

DROPPING = "128.66.0.9"  # a public address whose firewall drops all packets
NO_ROUTE = ("2001:db8::9", "192.168.178.20")  # that this machine cannot reach
_ENDED, _SELF_SIGNED, _NO_ISSUER = 10, 18, 20  # X509_V_ERR_…
_ISSUER = ((("organizationName", "An authority"),),)
_OWN = ((("organizationName", "The server's own"),),)
_ROOT = ((("organizationName", "A root"),),)
_WHOLE = ({"subject": _OWN, "issuer": _ISSUER}, {"subject": _ISSUER, "issuer": _ROOT})


@dataclass(frozen=True)
class PaperCert:
    """A certificate, and the result of its verification by OpenSSL."""

    names: tuple[str, ...]
    ends: datetime
    code: int = 0
    sent: tuple[Mapping[str, Any], ...] = ({"issuer": _ISSUER},)
    refuses: str = ""  # version or ciphers, to a client of TLS 1.2
    is_for_any: bool = False
    breaks: str = ""  # OpenSSL's reason why the handshake breaks off, or TIMEOUT
    old_cipher: str = ""

    def judged(self, host: str) -> Certificate:
        if self.breaks == "TIMEOUT":
            raise TimeoutError
        if self.breaks:
            raise tls.explained(OSError(), "", "", self.breaks)
        days = (self.ends - datetime.now(UTC)) // timedelta(days=1)
        certificate = Certificate(
            list(self.names or [host] * self.is_for_any),
            days,
            max(days, 0),  # as of one that began today
            ends=f"{self.ends:%Y-%m-%d}",
            version="TLSv1.3",
            old_cipher=self.old_cipher,
        )
        code = _ENDED if days < 0 else self.code
        tls.judge(certificate, host, self.sent, code)
        return certificate


_YEAR = datetime.now(UTC) + timedelta(days=365)
Every = partial(PaperCert, (), _YEAR, is_for_any=True)  # a certificate for any name


class Line(socket.socket):
    """The client's end of a connection to a mail server."""

    address = ""
    cert: PaperCert | None = None
    is_encrypted_at_once = True
    _has_spoken = _is_encrypted = False

    def getpeername(self) -> tuple[str, int]:
        return self.address, 0

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._has_spoken = True
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.cert and self.is_encrypted_at_once and not self._is_encrypted:
            raise TimeoutError  # both sides wait for the other to begin
        return super().recv(size, flags)

    def encrypt(self) -> PaperCert | None:
        """Return the server's certificate, or None while it does not speak TLS."""
        if self.is_encrypted_at_once or self._has_spoken:
            self._is_encrypted = True
            return self.cert
        return None


class _Request:
    """The client's end of a connection to a web server, for one request."""

    def __init__(self, address: str, cert: PaperCert | None, handler: Any) -> None:
        self._address, self._cert, self._handler = address, cert, handler
        self._sent = b""

    def getpeername(self) -> tuple[str, int]:
        return self._address, 0

    def settimeout(self, _seconds: float) -> None:
        pass

    def encrypt(self) -> PaperCert | None:
        return self._cert

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def makefile(self, *_: object) -> io.BufferedReader:
        received = io.BytesIO()
        request = io.BytesIO(self._sent)
        sock = SimpleNamespace(makefile=lambda *_: request, sendall=received.write)
        self._handler(sock, ("127.0.0.1", 1), None)
        received.seek(0)
        return io.BufferedReader(received)

    def close(self) -> None:
        pass


Dial = Callable[[], Any]


@dataclass(frozen=True)
class PaperNetwork(Network):
    """A network with these servers."""

    hosts: Mapping[tuple[str, int], Dial] = field(default_factory=dict)

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        if address in NO_ROUTE or (":" in address and address != "::1"):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        if address == DROPPING:
            raise TimeoutError
        if (address, port) not in self.hosts:
            raise ConnectionRefusedError
        connection: socket.socket = self.hosts[address, port]()
        return connection

    def handshake(
        self, connect: Callable[[], Any], host: str, *, is_old: bool = False
    ) -> tuple[socket.socket, Certificate]:
        connection = connect()
        cert = connection.encrypt()
        if cert is None:
            connection.close()
            cause = ssl.SSLError()
            cause.reason = "WRONG_VERSION_NUMBER"
            raise tls.explained(cause, "", "") from cause
        certificate = cert.judged(host)
        certificate.address = connection.getpeername()[0]
        return connection, certificate

    def refusal_of_tls12(self, connect: Callable[[], Any], host: str) -> str:
        cert = connect().encrypt()
        return cert.refuses if cert else ""


class _NameServer(dns.nameserver.Do53Nameserver):
    """A name server whose responses come from a function."""

    def __init__(self, address: str, respond: Respond | None) -> None:
        super().__init__(address)
        self._respond = respond

    def query(
        self, request: dns.message.QueryMessage, *_: Any, **options: Any
    ) -> dns.message.Message:
        if self._respond is None:
            raise ConnectionRefusedError
        answer = self._respond(request)
        if answer is None:
            raise dns.exception.Timeout
        response = dns.message.from_wire(answer.to_wire(max_size=65535))
        if response.flags & dns.flags.TC:
            if options["max_size"]:
                raise ConnectionRefusedError
            raise dns.message.Truncated(message=response)  # type: ignore[no-untyped-call]
        return response


class PaperResolver(Resolver):
    """A resolver that asks the name servers of a world."""

    servers: Mapping[str, Respond]

    def with_server(self, address: str) -> PaperResolver:
        found = super().with_server(address)
        assert isinstance(found, PaperResolver)
        found.answers_by(self.servers, address)
        return found

    def answers_by(self, servers: Mapping[str, Respond], address: str) -> None:
        self.servers = servers
        server = _NameServer(address, servers.get(address))
        self._resolver.nameservers = [server]


def _mail(greeting: str, before: Talk, inside: Talk) -> tuple[Behaviour, Behaviour]:
    """Return a server with TLS from the first byte, and one with STARTTLS."""
    encrypted = talks("", *inside)
    return talks(greeting, *inside), talks(greeting, *before, inside=encrypted)


def _judging(yes: str, no: str) -> Talk:
    """Return the responses to right user names and passwords by PLAIN, and to others."""
    known = [f"\0{name}\0{PASSWORD}".encode() for name in ACCOUNTS]
    logins = [base64.b64encode(login).decode().upper() for login in known]
    return [*((login, yes) for login in logins), ("A", no)]


Talk = list[tuple[str, str]]
_CAPABLE = "* CAPABILITY IMAP4rev1 {}\r\na OK done"
IMAP_TALK: Talk = [
    ("CAPABILITY", _CAPABLE.format("AUTH=PLAIN AUTH=LOGIN")),
    ("AUTHENTICATE", "+ "),
    ("EXAMINE", "* 0 EXISTS\r\na OK [READ-ONLY] done"),
    *_judging("a OK in", "a NO [AUTHENTICATIONFAILED] Authentication failed."),
]
_IMAP = _mail(
    "* OK ready",
    [("CAPABILITY", _CAPABLE.format("STARTTLS LOGINDISABLED"))],
    IMAP_TALK,
)
_POP3 = _mail(
    "+OK ready",
    [("CAPA", "+OK\r\nCAPA\r\nSTLS\r\n.")],
    [
        ("CAPA", "+OK\r\nUSER\r\nSASL PLAIN LOGIN\r\n."),
        ("AUTH", "+ "),
        ("STAT", "+OK 0 0"),
        *_judging("+OK in", "-ERR [AUTH] Authentication failed."),
    ],
)
SMTP_TALK: Talk = [
    ("EHLO", "250-here\r\n250 AUTH PLAIN LOGIN"),
    *(
        (f"AUTH PLAIN {word}", text)
        for word, text in _judging("235 in", "535 5.7.8 Error: authentication failed")
    ),
    *((word, "250 ok") for word in ("MAIL", "RCPT", "RSET")),
]
_SMTP = _mail("220 ready", [("EHLO", "250-here\r\n250 STARTTLS")], SMTP_TALK)


def own_url(url: str) -> Answer:
    """The response of a DAV server that has this URL for the person."""
    own = f"<current-user-principal><href>{url}</href></current-user-principal>"
    body = f'<multistatus xmlns="DAV:">{own}</multistatus>'.encode()
    return 207, {"Content-Type": "application/xml"}, body


def calendars(request: FrontRequest) -> Answer:
    """The response of a DAV server, with the right password and without."""
    known = [base64.b64encode(f"{n}:{PASSWORD}".encode()).decode() for n in ACCOUNTS]
    if request.login.removeprefix("Basic ") in known:
        return own_url("/")
    return 401, {"WWW-Authenticate": 'Basic realm="calendars"'}, b"Access denied"


class Paper(Checking):
    """The world without servers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.names = Names(ADDRESSES)
        self.load_bind("")
        self.front = Front(self.file)
        self._name_servers: dict[str, Respond] = {}
        self._hosts: dict[tuple[str, int], Dial] = {}
        self.zone = self.records(self.file)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        self._name_servers = {
            OTHER_NAMES: lambda query: self.names.respond(query),
            BIND: lambda query: self._bind.respond(query),
        }
        self._hosts = {}
        every = Every()
        self._serve(WEB, self.front, every)
        for port, (mail, by_starttls) in {993: _IMAP, 995: _POP3, 465: _SMTP}.items():
            address = SMTP if port == 465 else IMAP
            self.listen(address, port, mail, every)
            for other in {993: (143,), 995: (110,), 465: (25, 587)}[port]:
                self.listen(address, other, by_starttls, every, at_once=False)
        self.web(DAV, every).answer = calendars
        with super().fresh():
            yield

    # --- Servers -----------------------------------------------------------------

    def listen(
        self,
        address: str,
        port: int,
        behave: Behaviour,
        certificate: Any = None,
        *,
        at_once: bool = True,
    ) -> None:
        def dial() -> Line:
            near, far = socket.socketpair()
            line = Line(fileno=near.detach())
            line.address, line.cert = address, certificate
            line.is_encrypted_at_once = at_once

            def serve() -> None:
                with far, suppress(OSError):
                    behave(far) if at_once else behave(far, lambda: far)

            threading.Thread(target=serve, daemon=True).start()
            return line

        self._hosts[address, port] = dial

    def web(self, address: str, certificate: Any, file: Path | None = None) -> Front:
        front = Front(file or self.file)
        self._serve(address, front, certificate)
        return front

    def _serve(self, address: str, front: Front, certificate: Any) -> None:
        for port, cert in ((443, certificate), (80, None)):
            handler = front.handler(port == 443)
            dial = partial(_Request, address, cert, handler)
            self._hosts[address, port] = dial

    def load_bind(self, records: str, addresses: str = ADDRESSES) -> None:
        zones = bind_zones(records, addresses)
        text = "".join(f"$ORIGIN {name}.\n{text}" for name, text in zones.items())
        self._bind = Zone(text, zones)

    def name_server(self, address: str, respond: Respond) -> None:
        self._name_servers[address] = respond

    # --- Certificates ------------------------------------------------------------

    def certificate(self, *names: str, not_after: datetime | None = None) -> PaperCert:
        return PaperCert(names, not_after or datetime.now(UTC) + timedelta(days=365))

    def self_signed(self, name: str) -> PaperCert:
        sent = ({"issuer": _OWN, "subject": _OWN},)
        return PaperCert((name,), self.certificate(name).ends, _SELF_SIGNED, sent)

    def unknown(self, *names: str, whole: bool = True) -> PaperCert:
        sent = _WHOLE if whole else _WHOLE[:1]
        return PaperCert(names, self.certificate(*names).ends, _NO_ISSUER, sent)

    # --- Commands ----------------------------------------------------------------

    def _network(self, values: SimpleNamespace) -> Network:
        resolver, mapped = self._resolver(values), dict(values.connect_to)
        more = {"allow_private": values.allow_private, "hosts": self._hosts}
        return PaperNetwork(resolver, values.timeout, mapped, **more)

    def _resolver(self, values: SimpleNamespace) -> Resolver:
        names = PaperResolver(values.resolver, values.timeout)
        names.answers_by(self._name_servers, values.resolver[0])
        return names

    def invoke(self, *arguments: str | Path) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(options, "network", self._network)
            patch.setattr(options, "resolver_of", self._resolver)
            return CliRunner().invoke(cli, [str(word) for word in arguments])


World = Paper | Real
