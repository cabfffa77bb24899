"""A world on real ports, in a network namespace: BIND, Dovecot, Postfix, Radicale, nginx.

Every server has a loopback address of its own, as hosts have. A mistake is made by a
server at another address, by a zone of another name server, or by what answers in the
place of the web server.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dns.message
import dns.query
from click.testing import CliRunner, Result
from namespace import Namespace, namespace, until_there
from strangers import Behaviour
from support import BIN, certificate_for, open_folder, program
from werkzeug.test import Client
from world import (
    PASSWORD,
    NameServer,
    dovecot_configuration,
    radicale_configuration,
)

from flask_autoconfig import create_app
from flask_autoconfig.tools.cli import cli

DOMAIN, HOSTER = "example.test", "hoster.test"
USER = f"fred@{DOMAIN}"
BIND, OTHER_NAMES = "127.0.0.53", "127.0.0.54"
WEB, DAV, IMAP, SMTP, HOSTER_WEB = (f"127.0.0.{it}" for it in (10, 11, 12, 13, 14))
SITE = "127.0.0.15"  # the domain's own web site, which knows nothing of mail
MAIL_HOSTS = ("imap", "pop", "smtp", "mx", "mail")
WEB_HOSTS = ("autoconfig", "autodiscover", "ua-auto-config", "www")

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
_SOA = "@ IN SOA ns hostmaster {serial} 7200 3600 1209600 60\n"
_SOA += "@ IN NS ns\nns IN A 127.0.0.53\n"

TOML = f"""
[[provider]]
domains = ["{DOMAIN}"]

[[provider.incoming]]
type = "imap"
hostname = "imap.{DOMAIN}"

[[provider.outgoing]]
type = "smtp"
hostname = "smtp.{DOMAIN}"

[[provider.calendar]]
type = "caldav"
url = "https://dav.{DOMAIN}/"
"""


# --- BIND -----------------------------------------------------------------------------

_NAMED = """
options {{
  directory "{folder}";
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}";
  listen-on port 53 {{ {address}; }};
  listen-on-v6 {{ none; }};
  allow-query {{ any; }};
  {more}
}};
controls {{ }};
{zones}
"""


class Bind:
    """A real BIND that is authoritative for the world's zones."""

    def __init__(self, folder: Path, inside: Namespace) -> None:
        self._folder, self._inside = folder, inside
        self._serial = 1
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        zones = "".join(
            f'zone "{name}" {{ type primary; file "{name}"; }};\n'
            for name in (DOMAIN, HOSTER, "customer.test")
        )
        more = "recursion no; dnssec-validation no;"
        text = _NAMED.format(folder=folder, address=BIND, more=more, zones=zones)
        (folder / "named.conf").write_text(text)
        self._write("")

    def _write(self, records: str, addresses: str = ADDRESSES) -> None:
        soa = _SOA.format(serial=self._serial)
        texts = {
            DOMAIN: addresses + records + soa,
            HOSTER: f"$ORIGIN {HOSTER}.\n$TTL 60\nmx IN A {SMTP}\n"
            f"autoconfig IN A {HOSTER_WEB}\n" + soa,
            "customer.test": f"$ORIGIN customer.test.\n$TTL 60\n@ IN MX 1 mx.{HOSTER}.\n"
            f"@ IN A {SITE}\n" + soa,
        }
        for name, text in texts.items():
            (self._folder / name).write_text(text)

    def load(self, records: str, addresses: str = ADDRESSES) -> None:
        """Serve these records beside the hosts' addresses."""
        self._serial += 1
        self._write(records, addresses)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        until_there(lambda: self._inside.call(self._is_new))

    def _is_new(self) -> bool:
        with suppress(Exception):
            query = dns.message.make_query(f"{DOMAIN}.", "SOA")
            reply = dns.query.udp(query, BIND, timeout=1)
            return bool(reply.answer[0][0].serial == self._serial)
        return False


@contextmanager
def bind(folder: Path, inside: Namespace) -> Iterator[Bind]:
    """BIND for the world, with the hosts' addresses alone."""
    names = Bind(folder, inside)
    command = (program("named"), "-f", "-c", folder / "named.conf")
    log = folder / "log"
    with inside.running(*command, port=53, address=BIND, log=log) as process:
        names.process = process
        until_there(lambda: inside.call(names._is_new))
        yield names


@contextmanager
def validating(folder: Path, inside: Namespace, address: str) -> Iterator[None]:
    """A BIND that asks the world's, and expects signatures that its zone does not have."""
    folder.mkdir()
    key = base64.b64encode(bytes(range(64))).decode()  # nobody's
    more = f"recursion yes; forward only; forwarders {{ {BIND}; }};"
    zones = f'trust-anchors {{ {DOMAIN}. static-key 257 3 13 "{key}"; }};\n'
    text = _NAMED.format(folder=folder, address=address, more=more, zones=zones)
    (folder / "named.conf").write_text(text)
    command = (program("named"), "-f", "-c", folder / "named.conf")
    with inside.running(*command, port=53, address=address, log=folder / "log"):
        yield


# --- Mail -----------------------------------------------------------------------------

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
smtpd_tls_chain_files = {key}, {certificate}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_auth_enable = yes
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
{more}
"""
_MASTER = """
{address}:smtp inet n - n - - smtpd
{address}:submission inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
{address}:smtps inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
"""


@contextmanager
def postfix(
    inside: Namespace,
    folder: Path,
    address: str,
    certificate: tuple[Path, Path],
    sasl: Path,
    more: str = "",
) -> Iterator[None]:
    """A real Postfix for submission, whose logins Dovecot judges."""
    for name in ("", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    main = _MAIN.format(
        folder=folder,
        domain=DOMAIN,
        address=address,
        certificate=certificate[0],
        key=certificate[1],
        sasl=sasl,
        more=more,
    )
    (folder / "main.cf").write_text(main)
    (folder / "master.cf").write_text(_MASTER.format(address=address))
    command = (program("postfix"), "-c", folder, "start-fg")
    log = folder / "out"
    with inside.running(*command, port=25, address=address, log=log):
        try:
            yield
        finally:  # the master leads a group of its own
            pid = int((folder / "queue/pid/master.pid").read_text())
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
                until_there(lambda: not Path(f"/proc/{pid}").exists())


@contextmanager
def real_dovecot(
    inside: Namespace,
    folder: Path,
    certificate: tuple[Path, Path],
    address: str,
    **options: str,
) -> Iterator[Path]:
    """A real Dovecot on real ports; gives its socket for Postfix's logins."""
    configuration = dovecot_configuration(
        folder, certificate, address=address, **options
    )
    command = (program("dovecot"), "-F", "-c", configuration)
    with inside.running(*command, port=143, address=address, log=folder / "out"):
        yield folder / "auth-smtp"


@contextmanager
def radicale(
    inside: Namespace, folder: Path, address: str, certificate: tuple[Path, Path]
) -> Iterator[None]:
    """A real calendar server at 443."""
    folder.mkdir()
    config = radicale_configuration(folder, f"{address}:443", certificate)
    command = (BIN / "python", "-m", "radicale", "--config", config)
    with inside.running(*command, port=443, address=address, log=folder / "out"):
        yield


# --- The web --------------------------------------------------------------------------

_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {text}
}}
"""
PROXY = """
    location / {{
      proxy_pass {service};
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
"""


@contextmanager
def real_nginx(
    inside: Namespace,
    folder: Path,
    address: str,
    certificate: tuple[Path, Path],
    locations: str,
    tls: str = "",
    unencrypted: bool = True,
) -> Iterator[None]:
    """A real nginx at 443, and at 80."""
    folder.mkdir()
    listen = f"listen {address}:80;" if unencrypted else ""
    text = (
        f"server {{ {listen} listen {address}:443 ssl;\n"
        f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};\n"
        f"{tls}\n{locations}\n}}"
    )
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, text=text))
    command = (program("nginx"), "-p", folder, "-c", folder / "nginx.conf")
    with inside.running(*command, port=443, address=address, log=folder / "out"):
        yield


Answer = tuple[int, Mapping[str, str], bytes]


class Asked:
    """A request, and what the service itself would answer."""

    def __init__(
        self, app: Client, method: str, host: str, path: str, body: bytes, secure: bool
    ) -> None:
        self.method, self.host, self.secure = method, host, secure
        self.path, _, self.query = path.partition("?")
        self.body = body
        self._app = app

    @property
    def url(self) -> str:
        return f"{self.host}{self.path}"

    def served(self, **headers: str) -> Answer:
        """The answer of the service, with other headers."""
        reply = self._app.open(
            self.path,
            method=self.method,
            query_string=self.query,
            data=self.body,
            headers={"Host": self.host},
            base_url=f"{'https' if self.secure else 'http'}://{self.host}/",
        )
        named = dict(reply.headers.items())
        named |= {key.replace("_", "-"): value for key, value in headers.items()}
        return reply.status_code, named, reply.data


Web = Callable[[Asked], Answer | None]


class Front:
    """A web server at a loopback address that answers as a test says, else as it should."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.answer: Web = lambda asked: None

    def handler(self, secure: bool) -> type[BaseHTTPRequestHandler]:
        front = self
        app = Client(create_app(self.file))

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                with suppress(OSError, ssl.SSLError):
                    super().handle_one_request()

            def reply(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                host = (self.headers.get("Host") or "").partition(":")[0]
                asked = Asked(app, self.command, host, self.path, body, secure)
                status, headers, data = front.answer(asked) or asked.served()
                self.send_response_only(status)
                for key, value in headers.items():
                    if key.lower() not in ("content-length", "connection"):
                        self.send_header(key, value)
                self.send_header("Connection", "close")
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PROPFIND = do_OPTIONS = do_HEAD = reply  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def front(
    inside: Namespace, file: Path, address: str, certificate: tuple[Path, Path]
) -> Iterator[Front]:
    """The service behind a web server whose answers a test can change."""
    made = Front(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    servers = []
    for port in (443, 80):
        server = inside.call(
            _Server, (address, port), made.handler(port == 443), context
        )
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    try:
        yield made
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # all clients ask at once

    def __init__(self, where: Any, handler: Any, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(where, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.server_address[1] == 443:
            with (
                suppress(OSError),
                self.context.wrap_socket(request, server_side=True) as secure,
            ):
                super().finish_request(secure, client_address)
            return
        super().finish_request(request, client_address)

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def stub(
    inside: Namespace,
    address: str,
    port: int,
    behave: Behaviour,
    certificate: tuple[Path, Path] | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[None]:
    """A server that treats each connection so, over TLS with a certificate."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = inside.call(
        socket.create_server, (address, port), family=family, reuse_port=False
    )
    over = threading.Event()
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if context is None:
                behave(connection)
                return
            with context.wrap_socket(connection, server_side=True) as secure:
                behave(secure)

    def accept() -> None:
        listener.settimeout(0.1)
        while not over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(None)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


# --- All of it ------------------------------------------------------------------------


@dataclass
class Real:
    """Where everything is, and how a person would check it."""

    folder: Path
    inside: Namespace
    bind: Bind
    names: NameServer  # for zones with mistakes
    sasl: Path
    certificates: dict[str, tuple[Path, Path]]
    front: Front
    zone: str = ""  # the records that are true of this world
    stack: ExitStack = field(default_factory=ExitStack)

    def run(self, *arguments: str | Path, cwd: Path | None = None, **env: str) -> Any:
        """The command in a process of its own, in the namespace."""
        return self.inside.call(
            subprocess.run,
            [str(it) for it in (BIN / "flask-autoconfig", *arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=120,
            check=False,
            env={**os.environ, "SSL_CERT_FILE": str(self.folder / "ca.pem"), **env},
        )

    def records(self, file: Path) -> str:
        """What `dns` says of the domain, without what makes it a zone of its own."""
        done = self.invoke("--config", file, "dns", "--target", f"www.{DOMAIN}")
        lines = done.stdout.splitlines(True)
        return "".join(it for it in lines if not it.startswith("@ "))

    def invoke(self, *arguments: str | Path) -> Result:
        """The command in this process, which is quicker."""
        words = [str(it) for it in arguments]
        return self.inside.call(CliRunner().invoke, cli, words)

    def check(
        self, *arguments: str | Path, file: Path | None = None, names: str = OTHER_NAMES
    ) -> dict[str, Any]:
        """What `check --json` says."""
        start = ["--config", str(file)] if file else []
        done = self.invoke(
            *start, "check", "--json", "--resolver", names, "--timeout", "5", *arguments
        )
        assert done.exit_code in (0, 1), (done.output, done.exception)
        told: dict[str, Any] = json.loads(done.stdout)
        failed = any(it["status"] == "failure" for it in told["findings"])
        assert done.exit_code == int(failed)
        return told

    def certificate(self, *names: str, **options: Any) -> tuple[Path, Path]:
        """A certificate of this world's authority, in files of its own."""
        folder = self.folder / f"certificate-{time.monotonic_ns()}"
        folder.mkdir(mode=0o755)
        return certificate_for(*names, folder=folder, **options)


@contextmanager
def real() -> Iterator[Real]:
    """The world, started once for a module."""
    with ExitStack() as stack:
        enter = stack.enter_context
        inside = enter(namespace())
        folder = enter(open_folder())
        mail_names = [f"{it}.{DOMAIN}" for it in MAIL_HOSTS]
        web_names = [f"{it}.{DOMAIN}" for it in WEB_HOSTS]
        certificates = {
            "mail": certificate_for(*mail_names, folder=folder),
            "web": certificate_for(
                *web_names, DOMAIN, f"autoconfig.{HOSTER}", folder=folder
            ),
            "dav": certificate_for(f"dav.{DOMAIN}", folder=folder),
            "site": certificate_for("customer.test", folder=folder),
        }
        (folder / "true.toml").write_text(TOML)
        sasl = enter(
            real_dovecot(inside, folder / "dovecot", certificates["mail"], IMAP)
        )
        enter(postfix(inside, folder / "postfix", SMTP, certificates["mail"], sasl))
        enter(radicale(inside, folder / "radicale", DAV, certificates["dav"]))
        bind_ = enter(bind(folder / "bind", inside))
        names = enter(inside.call(NameServer, 53, OTHER_NAMES, ADDRESSES))
        web = enter(front(inside, folder / "true.toml", WEB, certificates["web"]))
        yield Real(folder, inside, bind_, names, sasl, certificates, web)


__all__ = ["PASSWORD", "USER", "Real", "real"]
