"""A domain with real servers in a network namespace, and the parts shared with `paper.py`.

BIND, Dovecot, Postfix, Radicale and nginx run there, each at a loopback address of its
own. A mistake is a server at another address, the zone of another name server, or a
different response of the web server.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import cache, lru_cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
import pytest
import trustme
from bind import Bind, bind, named
from click.testing import CliRunner, Result
from namespace import Namespace, namespace
from services import free_port, run_process, threaded, until
from strangers import Behaviour, listening
from support import BIN, certificate_for, configure, open_folder, program
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.tools.cli import cli

DOMAIN, HOSTER = "example.test", "hoster.test"
USER, PASSWORD = f"fred@{DOMAIN}", "secret"
OWN = (DOMAIN, "example.com")  # the domain of the world, and that of examples
ACCOUNTS = tuple(f"fred@{domain}" for domain in OWN)
BIND, OTHER_NAMES = "127.0.0.53", "127.0.0.54"
WEB, DAV, IMAP, SMTP, HOSTER_WEB = (f"127.0.0.{last}" for last in (10, 11, 12, 13, 14))
SITE = "127.0.0.15"  # the domain's own web site, which knows nothing of mail
HOSTS = (
    *("autoconfig", "autodiscover", "ua-auto-config", "www", "dav"),
    *("imap", "pop", "smtp", "mx", "mail"),
)
ELSEWHERE = "127.0.1.1"  # of servers that are wrong
DEAD = "127.0.1.9"  # where nothing listens

ADDRESSES = f"""
$ORIGIN {DOMAIN}.
$TTL 60
@ IN MX 10 mx.{DOMAIN}.
@ IN A {WEB}
www IN A {WEB}
mx IN A {SMTP}
imap IN A {IMAP}
pop IN A {IMAP}
smtp IN A {SMTP}
dav IN A {DAV}
"""


def bind_zones(records: str, addresses: str = ADDRESSES) -> dict[str, str]:
    """Return the zones of BIND: the domain's with these records, and others."""
    return {
        DOMAIN: addresses + records,
        HOSTER: f"mx IN A {SMTP}\nautoconfig IN A {HOSTER_WEB}\n",
        "customer.test": f"@ IN MX 1 mx.{HOSTER}.\n@ IN A {SITE}\n",
    }


TOML = Path(__file__).with_name("servers").joinpath("true.toml").read_text()


# --- Names ----------------------------------------------------------------------------

Respond = Callable[[dns.message.Message], dns.message.Message | None]


@lru_cache(64)  # most tests have the same zones, and parsing takes milliseconds
def _parsed(text: str) -> dns.zone.Zone:
    return dns.zone.from_text(text, dns.name.root, relativize=False, check_origin=False)


class Zone:
    """The responses of a name server with these records."""

    def __init__(self, text: str, own: Collection[str] = ()) -> None:
        """*own* are the zones of an authoritative name server; others recurse."""
        self._zone = _parsed(f"$TTL 60\n{text}")
        self._own = [dns.name.from_text(zone) for zone in own]

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        """Return the response, with the targets of aliases."""
        response = dns.message.make_response(query, recursion_available=not self._own)
        response.flags |= dns.flags.AA
        name, type_ = query.question[0].name, query.question[0].rdtype
        seen = set()
        while name not in seen:
            seen.add(name)
            node = self._node(name)
            found = node.get_rdataset(dns.rdataclass.IN, type_) if node else None
            if found and node:
                signed = node.get_rdataset(
                    dns.rdataclass.IN, dns.rdatatype.RRSIG, type_
                )
                wants_dnssec = query.ednsflags & dns.flags.DO
                for data in (found, signed) if signed and wants_dnssec else (found,):
                    response.answer.append(dns.rrset.from_rdata_list(name, 60, data))
                return response
            alias = node and node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
            if not alias:
                self._deny(response, name, node is not None)
                return response
            response.answer.append(dns.rrset.from_rdata_list(name, 60, alias))
            name = alias[0].target
        return response

    def _node(self, name: dns.name.Name) -> Any:
        node = self._zone.get_node(name)
        if node is None and any(other.is_subdomain(name) for other in self._zone):
            return dns.node.Node()  # type: ignore[no-untyped-call] # there are names below it
        while node is None and name != dns.name.root:
            name = name.parent()
            node = self._zone.get_node(dns.name.Name((b"*", *name.labels)))
            if node is None and self._zone.get_node(name):
                break
        return node

    def _deny(self, response: dns.message.Message, name: Any, is_there: bool) -> None:
        tops = [top for top in self._own if name.is_subdomain(top)]
        for top in tops:
            soa = "ns.test. hostmaster.test. 1 7200 3600 1209600 60"
            response.authority.append(dns.rrset.from_text(top, 60, "IN", "SOA", soa))
        if not is_there and (tops or not self._own):
            response.set_rcode(dns.rcode.NXDOMAIN)


class Names:
    """The records of a name server, which can be replaced while it runs."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._zone = Zone(base)

    def load(self, *zones: str) -> None:
        """Serve these records and the addresses of the hosts."""
        self.serve(self._base + "".join(zones))

    def serve(self, text: str) -> None:
        """Serve the records of this zone file only."""
        self._zone = Zone(text)

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        return self._zone.respond(query)


class _ByUdp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        query = dns.message.from_wire(data)
        response = self.server.respond(query)  # type: ignore[attr-defined]
        if response is None:
            return
        try:
            wire = response.to_wire()
        except dns.exception.TooBig:
            cut = dns.message.make_response(query)
            cut.flags |= dns.flags.TC
            wire = cut.to_wire()
        sock.sendto(wire, self.client_address)


class _ByTcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while head := self.rfile.read(2):
            query = dns.message.from_wire(self.rfile.read(*struct.unpack("!H", head)))
            response = self.server.respond(query)  # type: ignore[attr-defined]
            wire = response.to_wire(max_size=65535)
            self.wfile.write(struct.pack("!H", len(wire)) + wire)


class NameServer(Names, ExitStack):
    """A name server on a port of loopback, which runs until its block ends."""

    def __init__(
        self,
        port: int = 0,
        address: str = "127.0.0.1",
        base: str = f"$ORIGIN {DOMAIN}.\n",
        *,
        respond: Respond | None = None,
    ) -> None:
        Names.__init__(self, base)
        ExitStack.__init__(self)
        self.port = port or free_port()
        where = address, self.port
        servers: list[Any] = [socketserver.ThreadingUDPServer(where, _ByUdp)]
        if respond is None:  # otherwise only UDP
            servers.append(_TcpServer(where, _ByTcp))
        for server in servers:
            server.respond = respond or self.respond
        self.enter_context(threaded(*servers))


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


# --- Conversations of mail servers ----------------------------------------------------

StartTls = Callable[[], socket.socket]


def talks(
    greeting: str,
    *responses: tuple[str, str],
    inside: Behaviour | None = None,
    received: list[str] | None = None,
) -> Behaviour:
    """Return a server that answers commands by how they begin.

    *inside* holds the conversation after STARTTLS, *received* gets the commands.
    """

    def behave(connection: socket.socket, start_tls: StartTls | None = None) -> None:
        if greeting:
            connection.sendall(f"{greeting}\r\n".encode())
        while line := connection.recv(4096).decode(errors="replace"):
            if received is not None:
                received.append(line)
            word = line.upper().removeprefix("A ")
            tag = "a " if line.startswith("a ") else ""
            if word.startswith(("STARTTLS", "STLS")) and start_tls and inside:
                ready = f"{tag}OK" if tag else "+OK" if "STLS" in word else "220"
                connection.sendall(f"{ready} go on\r\n".encode())
                with start_tls() as encrypted:
                    inside(encrypted)
                return
            for start, response in responses:
                if word.startswith(start):
                    connection.sendall(f"{response}\r\n".encode())
                    break
            else:
                if word.startswith(("QUIT", "LOGOUT")):
                    return
                wrong = "a BAD what" if tag else "500 what"
                connection.sendall(f"{wrong}\r\n".encode())

    return behave


# --- The web --------------------------------------------------------------------------

Answer = tuple[int, Mapping[str, str], bytes]
App = Callable[[str, str, str, str, bytes], Answer]


class FrontRequest:
    """A request, and the response of the service to it."""

    def __init__(
        self, app: App, method: str, host: str, path: str, body: bytes, secure: bool
    ) -> None:
        self.method, self.host, self.secure = method, host, secure
        self.headers = ""
        self.login = ""  # its Authorization
        self.path, _, self.query = path.partition("?")
        self.body = body
        self._app = app

    @property
    def url(self) -> str:
        return f"{self.host}{self.path}"

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def line(self) -> str:
        """The method, the URL and the query, as check_requests.toml has patterns of."""
        return f"{self.method} {self.scheme}://{self.url}?{self.query}"

    def served(self, **headers: str) -> Answer:
        """Return the response of the service, with other headers."""
        base = f"{self.scheme}://{self.host}/"
        request = (self.method, base, self.path, self.query, self.body)
        status, named, data = self._app(*request)
        more = {key.replace("_", "-"): value for key, value in headers.items()}
        return status, {**named, **more}, data


def app_of(file: Path) -> App:
    """Return a function from method, base URL, path, query and body to a response."""
    client = Client(create_app(file))

    @cache
    def answer(method: str, base: str, path: str, query: str, body: bytes) -> Answer:
        response = client.open(
            path, method=method, base_url=base, query_string=query, data=body
        )
        return response.status_code, dict(response.headers.items()), response.data

    return answer


_LISTS = ("Content-Type", "WWW-Authenticate")  # headers that may come several times
Web = Callable[[FrontRequest], Answer | None]


class Front:
    """A web server that answers as the service does, unless a test sets `answer`."""

    logins: ClassVar[list[str]] = []  # the URLs that got one, of all web servers

    def __init__(self, file: Path) -> None:
        self.answer: Web = lambda request: None
        self.file = file
        self._app = app_of(file)

    def handler(self, secure: bool) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                with suppress(OSError, ssl.SSLError):
                    super().handle_one_request()

            def respond(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                host = (self.headers.get("Host") or "").partition(":")[0]
                line = self.command, host, self.path
                request = FrontRequest(front._app, *line, body, secure)
                request.headers = str(self.headers)
                request.login = self.headers.get("Authorization") or ""
                front.logins.extend([request.url] if request.login else [])
                status, headers, data = front.answer(request) or request.served()
                self.send_response_only(status)
                length = 0  # more than there is, where a test says "+1" or "-1"
                for key, value in headers.items():
                    if key == "Content-Length" and value.startswith(("+", "-")):
                        length = int(value)
                    if key.lower() not in ("content-length", "connection"):
                        for part in value.split(" and ") if key in _LISTS else [value]:
                            self.send_header(key, part)
                self.send_header("Connection", "close")
                if "Transfer-Encoding" in headers:
                    data = b"%x\r\n%s" % (len(data), data)  # and no last chunk
                elif status != 204:
                    self.send_header("Content-Length", str(len(data) + length))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PROPFIND = do_OPTIONS = do_HEAD = respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Checking:
    """A world, and the commands that check it."""

    names: Names  # for zones with mistakes
    # Let a BIND, which does not recurse, serve records and the addresses of hosts.
    load_bind: Callable[..., None]
    front: Front  # the domain's web server
    invoke: Callable[..., Result]  # run the command in this process
    # Start a server; with a certificate, over TLS `at_once` or by STARTTLS.
    listen: Callable[..., None]
    zone = ""  # the records that are true of this world

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "true.toml"  # what is true of this world
        self.file.write_text(TOML)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Reset the world for one test."""
        self.names.load(self.zone)
        self.front.answer = lambda request: None
        self.connections: list[str] = []  # to other mail servers
        self.front.logins.clear()
        with ExitStack() as self.stack:
            yield

    def records(self, file: Path) -> str:
        """Return the records that `dns` prints for the domain."""
        result = self.invoke("--config", file, "dns", "--target", f"www.{DOMAIN}")
        lines = result.stdout.splitlines(True)
        return "".join(line for line in lines if not line.startswith("@ "))

    def check(
        self, *arguments: str | Path, file: Path | None = None, names: str = OTHER_NAMES
    ) -> dict[str, Any]:
        """Return the report of `check --json`."""
        start = ["--config", str(file)] if file else []
        result = self.invoke(
            *start, "check", "--json", "--resolver", names, "--timeout", "5", *arguments
        )
        assert result.exit_code in (0, 1), (result.output, result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        failed = any(found["status"] == "failure" for found in report["findings"])
        assert result.exit_code == int(failed)
        return report


_USERS = "".join(f"{account}:{PASSWORD}\n" for account in ACCOUNTS)


@contextmanager
def validating(folder: Path, inside: Namespace, address: str) -> Iterator[None]:
    """Run a BIND that forwards to the first and requires signatures, which are missing."""
    folder.mkdir()
    key = base64.b64encode(bytes(range(64))).decode()  # of no zone
    options = f"recursion yes; forward only; forwarders {{ {BIND}; }};"
    more = f'trust-anchors {{ {DOMAIN}. static-key 257 3 13 "{key}"; }};\n'
    with named(Bind(DOMAIN, folder, 53, address, inside), options, more):
        yield


@contextmanager
def postfix(
    inside: Namespace,
    folder: Path,
    address: str,
    certificate: tuple[Path, Path],
    sasl: Path,
    more: str = "",
) -> Iterator[None]:
    """Run Postfix for submission, whose logins Dovecot verifies."""
    for name in ("", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    values = {"domain": DOMAIN, "address": address, "sasl": sasl, "more": more}
    configure(folder, "main.cf", certificate, **values)
    configure(folder, "master.cf", address=address)
    command = (program("postfix"), "-c", folder, "start-fg")
    log = folder / "out"
    with inside.running(*command, port=25, address=address, log=log):
        try:
            yield
        finally:  # the master leads a group of its own
            pid = int((folder / "queue/pid/master.pid").read_text())
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
                until(lambda: not Path(f"/proc/{pid}").exists())


@contextmanager
def real_dovecot(
    inside: Namespace,
    folder: Path,
    certificate: tuple[Path, Path],
    address: str,
    **options: str,
) -> Iterator[Path]:
    """Run Dovecot; yield its socket for the logins of Postfix."""
    folder.mkdir(mode=0o755)
    (folder / "mail").mkdir()
    (folder / "mail").chmod(0o777)
    (folder / "users").write_text(_USERS)
    nobody = pwd.getpwnam("nobody")
    values = {"uid": nobody.pw_uid, "gid": nobody.pw_gid, "address": address}
    default = {"mechanisms": "plain login", "ssl": "yes", "disable_plaintext": "yes"}
    values |= {**default, "more": "", **options}
    configuration = configure(folder, "dovecot.conf", certificate, **values)
    command = (program("dovecot"), "-F", "-c", configuration)
    with inside.running(*command, port=143, address=address, log=folder / "out"):
        yield folder / "auth-smtp"


@contextmanager
def radicale(
    inside: Namespace, folder: Path, certificate: tuple[Path, Path]
) -> Iterator[None]:
    """Run a CalDAV and CardDAV server over TLS."""
    folder.mkdir()
    (folder / "users").write_text(_USERS)
    config = configure(folder, "radicale", certificate, address=DAV, port=443)
    command = (BIN / "python", "-m", "radicale", "--config", config)
    with inside.running(*command, port=443, address=DAV, log=folder / "out"):
        yield


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # all clients ask at once

    def handle_error(self, *_: object) -> None:
        pass


# --- The real world -------------------------------------------------------------------


class Real(Checking):
    """The world with real servers."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder)
        enter = stack.enter_context
        self.inside = inside = enter(namespace())
        hosts = [f"{host}.{domain}" for domain in OWN for host in HOSTS]
        certificate = self.certificate(*OWN, *hosts, f"autoconfig.{HOSTER}")
        self.web_certificate = certificate
        sasl = enter(real_dovecot(inside, folder / "dovecot", certificate, IMAP))
        enter(postfix(inside, folder / "postfix", SMTP, certificate, sasl))
        enter(radicale(inside, folder / "radicale", certificate))
        others = bind_zones("")
        zone = others.pop(DOMAIN)
        self._bind = enter(bind(DOMAIN, zone, inside, BIND, others, updates=""))
        names = enter(inside.call(NameServer, 53, OTHER_NAMES, ADDRESSES))
        self.names = names
        self.front = enter(self._front(WEB, self.web_certificate, self.file))
        self.zone = self.records(self.file)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch, super().fresh():
            patch.setenv("SSL_CERT_FILE", str(self.folder / "ca.pem"))
            patch.delenv("AUTOCONFIG_FILE", raising=False)
            yield

    def load_bind(self, records: str, addresses: str = ADDRESSES) -> None:
        self._bind.serve(bind_zones(records, addresses))

    def run(self, *arguments: str | Path, cwd: Path | None = None, **more: Any) -> Any:
        """Run the command in a process of its own, in the namespace."""
        return self.inside.call(run_process, *arguments, cwd=cwd, **more)

    def invoke(self, *arguments: str | Path) -> Result:
        words = [str(word) for word in arguments]
        return self.inside.call(CliRunner().invoke, cli, words)

    def listen(
        self,
        address: str,
        port: int,
        behave: Behaviour,
        certificate: Any = None,
        *,
        at_once: bool = True,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = self.inside.call(
            socket.create_server, (address, port), family=family, reuse_port=False
        )
        server = listening(listener, behave, certificate, at_once=at_once)
        self.stack.enter_context(server)

    def web(self, address: str, certificate: Any, file: Path | None = None) -> Front:
        return self.stack.enter_context(
            self._front(address, certificate, file or self.file)
        )

    @contextmanager
    def _front(
        self, address: str, certificate: tuple[Path, Path], file: Path
    ) -> Iterator[Front]:
        front = Front(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        servers = []
        for port in (443, 80):
            handler = front.handler(port == 443)
            server = self.inside.call(_Server, (address, port), handler)
            if port == 443:
                server.socket = context.wrap_socket(
                    server.socket, server_side=True, do_handshake_on_connect=False
                )
            servers.append(server)
        with threaded(*servers):
            yield front

    def name_server(self, address: str, respond: Respond) -> None:
        def answer(query: dns.message.Message) -> dns.message.Message | None:
            return self.inside.call(respond, query)

        server: NameServer = self.inside.call(
            partial(NameServer, 53, address, respond=answer)
        )
        self.stack.enter_context(server)

    @contextmanager
    def service(self, file: Path) -> Iterator[None]:
        """Run the service behind nginx, at the address of the web hosts in BIND's zone."""
        folder = self._folder("web")
        command = (BIN / "flask-autoconfig", "--config", file, "serve")
        options = ("--bind", "127.0.0.1:8000", "--workers", "1", "--proxies", "1")
        log = folder / "log"
        with self.inside.running(*command, *options, port=8000, log=log):
            self.nginx(ELSEWHERE, self.web_certificate, "http://127.0.0.1:8000")
            moved = ADDRESSES.replace(f"IN A {WEB}", f"IN A {ELSEWHERE}")
            self.load_bind(self.zone, moved)
            yield

    def dovecot(self, **options: str) -> None:
        """Run another Dovecot elsewhere."""
        certificate = self.certificate(f"imap.{DOMAIN}")
        folder = self._folder("dovecot") / "dovecot"
        server = real_dovecot(self.inside, folder, certificate, ELSEWHERE, **options)
        self.stack.enter_context(server)

    def postfix(self, sasl: Path, more: str = "") -> None:
        """Run another Postfix elsewhere."""
        certificate = self.certificate(f"smtp.{DOMAIN}")
        folder = self._folder("postfix") / "postfix"
        server = postfix(self.inside, folder, ELSEWHERE, certificate, sasl, more)
        self.stack.enter_context(server)

    def nginx(
        self, address: str, certificate: Any, service: str, tls: str = ""
    ) -> None:
        folder = self._folder("nginx")
        values = {"address": address, "service": service, "tls": tls}
        file = configure(folder, "nginx.conf", certificate, **values)
        command = (program("nginx"), "-p", folder, "-c", file)
        log = folder / "out"
        server = self.inside.running(*command, port=443, address=address, log=log)
        self.stack.enter_context(server)

    def _folder(self, name: str) -> Path:
        folder = self.folder / f"{name}-{time.monotonic_ns()}"
        folder.mkdir(mode=0o755)
        return folder

    def certificate(
        self, *names: str, not_after: datetime | None = None
    ) -> tuple[Path, Path]:
        folder = self._folder("certificate")
        files = certificate_for(*names, folder=folder, not_after=not_after)
        shutil.copy(folder / "ca.pem", self.folder)
        return files

    def self_signed(self, name: str) -> tuple[Path, Path]:
        folder = self._folder("self")
        files = folder / "certificate.pem", folder / "key.pem"
        command = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048"]
        command += ["-nodes", "-days", "9", "-keyout"]
        command += [str(files[1]), "-out", str(files[0]), "-subj", f"/CN={name}"]
        command += ["-addext", f"subjectAltName=DNS:{name}"]
        subprocess.run(command, check=True, capture_output=True)
        return files

    def unknown(self, *names: str, whole: bool = True) -> tuple[Path, Path]:
        issued = trustme.CA().create_child_ca().issue_cert(*names)
        folder = self._folder("chain")
        files = folder / "certificate.pem", folder / "key.pem"
        chain = [pem.bytes() for pem in issued.cert_chain_pems]
        files[0].write_bytes(b"".join(chain if whole else chain[:1]))
        issued.private_key_pem.write_to_path(files[1])
        return files


@contextmanager
def real() -> Iterator[Real]:
    """Start the world, once in a session."""
    with ExitStack() as stack:
        yield Real(stack.enter_context(open_folder()), stack)
