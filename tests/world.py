"""A small world on loopback: DNS, Dovecot, submission, Radicale, nginx, the service.

Names of example.test are answered by a DNS server of its own; ports are free ones, and
clients are led there with --connect-to. Certificates come from a root of its own.
"""

from __future__ import annotations

import grp
import os
import pwd
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from dnslib import QTYPE
from dnslib.server import DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver
from support import (
    BIN,
    certificate_for,
    free_port,
    program,
    run_process,
    running,
    serving,
)

DOMAIN = "example.test"
USER, PASSWORD = f"fred@{DOMAIN}", "secret"
ACCOUNTS = (USER, "fred@example.com")  # the one of the world, and of examples
MAIL_HOSTS = ("imap", "pop", "smtp", "dav")


def web_names(domain: str) -> tuple[str, ...]:
    """What the web server of a domain is asked as."""
    labels = ("autoconfig.", "autodiscover.", "", "ua-auto-config.")
    return tuple(f"{label}{domain}" for label in labels)


def base_zone(domain: str) -> str:
    """The hosts' addresses, without what `dns` prints."""
    head = f"$ORIGIN {domain}.\n$TTL 60\n@ IN MX 10 mx.{domain}.\n"
    hosts = ("@", "www", "mx", *MAIL_HOSTS)
    return head + "".join(f"{host} IN A 127.0.0.1\n" for host in hosts)


WEB_NAMES, BASE_ZONE = web_names(DOMAIN), base_zone(DOMAIN)


class _Chasing(ZoneResolver):  # type: ignore[misc]
    """Answers with what a CNAME leads to as well, as a recursive name server does."""

    def resolve(self, request: Any, handler: Any) -> Any:
        reply = super().resolve(request, handler)
        for alias in [it for it in reply.rr if QTYPE[it.rtype] == "CNAME"]:
            for name, type_, record in self.zone:
                if name == alias.rdata.label and type_ == QTYPE[request.q.qtype]:
                    reply.add_answer(record)
        return reply


class NameServer:
    """A DNS server whose zone can be exchanged while it runs."""

    def __init__(
        self, port: int = 0, address: str = "127.0.0.1", base: str = BASE_ZONE
    ) -> None:
        self.port = port or free_port()
        self._base = base
        self._resolver = _Chasing(base)
        quiet = DNSLogger("-request,-reply,-truncated,-error,-recv,-send,-data")
        options = {"port": self.port, "address": address, "logger": quiet}
        self._servers = [
            DNSServer(self._resolver, tcp=tcp, **options) for tcp in (False, True)
        ]

    def load(self, *zones: str) -> None:
        """Serve these zones' records beside the hosts' addresses."""
        self.serve(self._base + "".join(zones))

    def serve(self, text: str) -> None:
        """Serve the records of this zone file, and no others."""
        self._resolver.zone = ZoneResolver(text).zone

    def drop(self, type_: str) -> None:
        """Serve no record of a type any more."""
        zone = self._resolver.zone
        self._resolver.zone = [record for record in zone if record[1] != type_]

    def __enter__(self) -> NameServer:
        for server in self._servers:
            server.start_thread()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.stop()
            server.server.server_close()


_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3
listen = {address}
{users}
ssl = {ssl}
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = {disable_plaintext}
auth_mechanisms = {mechanisms}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  # A wrong password in one test must not slow down the next.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
{more}
"""
# Where Postfix asks whether a login is good.
_AUTH_SOCKET = """
service auth {{
  unix_listener {folder}/auth-smtp {{
    mode = 0666
  }}
}}
"""
_REAL_PORTS = {"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995}


_AS_MYSELF = """default_internal_user = {0}
default_internal_group = {1}
default_login_user = {0}"""


def _group_of(user: pwd.struct_passwd) -> str:
    return grp.getgrgid(user.pw_gid).gr_name


@dataclass
class Dovecot:
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    pop3: int = field(default_factory=free_port)
    pop3s: int = field(default_factory=free_port)


@contextmanager
def dovecot(
    folder: Path,
    certificate: tuple[Path, Path],
    *,
    mechanisms: str = "plain login",
    ssl: str = "yes",
    disable_plaintext: str = "yes",
    address: str = "127.0.0.1",
) -> Iterator[Dovecot]:
    """A real IMAP and POP3 server with one account."""
    server = Dovecot()
    configuration = _configured(
        folder,
        certificate,
        vars(server),
        mechanisms=mechanisms,
        ssl=ssl,
        disable_plaintext=disable_plaintext,
        address=address,
        more="",
    )
    command = (program("dovecot"), "-F", "-c", configuration)
    with running(*command, port=server.imap, address=address):
        yield server


def dovecot_configuration(
    folder: Path, certificate: tuple[Path, Path], *, address: str, **options: str
) -> Path:
    """The same on its real ports, with a socket for Postfix's logins; gives the file."""
    usual = {"mechanisms": "plain login", "ssl": "yes", "disable_plaintext": "yes"}
    more = _AUTH_SOCKET.format(folder=folder) + options.pop("more", "")
    options = {**usual, **options, "address": address, "more": more}
    return _configured(folder, certificate, _REAL_PORTS, **options)


def _configured(
    folder: Path, certificate: tuple[Path, Path], ports: dict[str, int], **options: str
) -> Path:
    folder.mkdir(mode=0o755)
    me = pwd.getpwuid(os.getuid())
    users = "" if me.pw_uid == 0 else _AS_MYSELF.format(me.pw_name, _group_of(me))
    mail = pwd.getpwnam("nobody") if me.pw_uid == 0 else me
    (folder / "mail").mkdir(mode=0o777)
    (folder / "mail").chmod(0o777)
    (folder / "users").write_text("".join(f"{it}:{PASSWORD}\n" for it in ACCOUNTS))
    configuration = folder / "dovecot.conf"
    configuration.write_text(
        _DOVECOT.format(
            folder=folder,
            users=users,
            uid=mail.pw_uid,
            gid=mail.pw_gid,
            certificate=certificate[0],
            key=certificate[1],
            **options,
            **ports,
        )
    )
    return configuration


def _authenticate(
    server: Any, session: Any, envelope: Any, mechanism: str, data: Any
) -> AuthResult:
    good = isinstance(data, LoginPassword) and (
        data.login.decode() in ACCOUNTS and data.password == PASSWORD.encode()
    )
    return AuthResult(success=good, handled=False)


@contextmanager
def submission(certificate: tuple[Path, Path], *, starttls: bool) -> Iterator[int]:
    """An SMTP submission server with logins, by TLS at once or by STARTTLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    how: dict[str, Any] = {"ssl_context": context}
    if starttls:
        how = {"tls_context": context, "require_starttls": True}
    port = free_port()
    controller = Controller(
        object(),
        hostname="127.0.0.1",
        port=port,
        authenticator=_authenticate,
        auth_required=True,
        auth_require_tls=starttls,
        **how,
    )
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@contextmanager
def radicale(folder: Path, certificate: tuple[Path, Path]) -> Iterator[int]:
    """A real CalDAV and CardDAV server over TLS."""
    folder.mkdir()
    port = free_port()
    config = radicale_configuration(folder, f"127.0.0.1:{port}", certificate)
    with running(BIN / "python", "-m", "radicale", "--config", config, port=port):
        yield port


def radicale_configuration(
    folder: Path, where: str, certificate: tuple[Path, Path]
) -> Path:
    """What Radicale reads, with one account; gives the file."""
    (folder / "users").write_text("".join(f"{it}:{PASSWORD}\n" for it in ACCOUNTS))
    config = folder / "radicale"
    config.write_text(
        f"[server]\nhosts = {where}\nssl = True\n"
        f"certificate = {certificate[0]}\nkey = {certificate[1]}\n"
        f"[auth]\ntype = htpasswd\nhtpasswd_filename = {folder}/users\n"
        f"htpasswd_encryption = plain\n"
        f"[storage]\nfilesystem_folder = {folder}/collections\n"
    )
    return config


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
  server {{
    listen 127.0.0.1:{https} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{
      proxy_pass {service};
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-For $remote_addr;
      {extra}
    }}
  }}
}}
"""


@contextmanager
def nginx(
    folder: Path, service: str, certificate: tuple[Path, Path], extra: str = ""
) -> Iterator[int]:
    """A real nginx with TLS in front of the service; gives its port."""
    folder.mkdir()
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _NGINX.format(
            folder=folder,
            https=port,
            certificate=certificate[0],
            key=certificate[1],
            service=service,
            extra=extra,
        )
    )
    command = (program("nginx"), "-p", folder, "-c", configuration)
    with running(*command, port=port):
        yield port


@dataclass
class World:
    """Where everything is."""

    folder: Path
    names: NameServer
    dovecot: Dovecot
    smtps: int
    submission: int
    dav: int
    certificates: dict[str, tuple[Path, Path]]
    domain: str = DOMAIN

    @property
    def toml(self) -> str:
        """The file that is true of this world."""
        return f"""
[[provider]]
domains = ["{self.domain}"]

[[provider.incoming]]
type = "imap"
hostname = "imap.{self.domain}"

[[provider.incoming]]
type = "pop3"
hostname = "pop.{self.domain}"

[[provider.outgoing]]
type = "smtp"
hostname = "smtp.{self.domain}"

[[provider.calendar]]
type = "caldav"
url = "https://dav.{self.domain}/"
"""

    @property
    def places(self) -> dict[tuple[str, int], int]:
        """Where the customary ports of its hosts really are."""
        return {
            ("imap", 993): self.dovecot.imaps,
            ("imap", 143): self.dovecot.imap,
            ("pop", 995): self.dovecot.pop3s,
            ("pop", 110): self.dovecot.pop3,
            ("smtp", 465): self.smtps,
            ("smtp", 587): self.submission,
            ("dav", 443): self.dav,
        }

    def flask_autoconfig(
        self, *arguments: str | Path, web: int = 0, pass_fds: Any = ()
    ) -> Any:
        """Run a command in this world; `web` is nginx's port."""
        return run_process(
            *self.words(*arguments, web=web),
            cwd=self.folder,
            pass_fds=pass_fds,
            SSL_CERT_FILE=str(self.folder / "ca.pem"),
        )

    def words(self, *arguments: str | Path, web: int = 0) -> list[str | Path]:
        """The same command's arguments, with the options that lead to this world."""
        color = [it for it in arguments if it == "--color"]
        command, *rest = arguments[len(color) :]
        options = ["--resolver", f"127.0.0.1:{self.names.port}"]
        for (host, port), real in self.places.items():
            options += ["--connect-to", f"{host}.{self.domain}:{port}:127.0.0.1:{real}"]
        if web:
            for name in web_names(self.domain):
                options += ["--connect-to", f"{name}:443:127.0.0.1:{web}"]
        if command == "--config":
            file, command, *rest = rest
            start: list[str | Path] = [*color, "--config", file, command]
        else:
            start = [*color, command]
        return [*start, *options, *rest]


@contextmanager
def world(folder: Path, domain: str = DOMAIN) -> Iterator[World]:
    """Start everything but the web server."""
    hosts = [f"{host}.{domain}" for host in (*MAIL_HOSTS, "mx", "mail")]
    mail = certificate_for(f"mail.{domain}", *hosts, folder=folder)
    web = certificate_for(f"www.{domain}", *web_names(domain), folder=folder)
    with ExitStack() as stack:
        enter = stack.enter_context
        yield World(
            folder,
            enter(NameServer(base=base_zone(domain))),
            enter(dovecot(folder / "dovecot", mail)),
            enter(submission(mail, starttls=False)),
            enter(submission(mail, starttls=True)),
            enter(radicale(folder / "radicale", mail)),
            {"mail": mail, "web": web},
            domain,
        )


@contextmanager
def web(world: World, file: Path, name: str, **options: Any) -> Iterator[int]:
    """The service on that file, with nginx in front; gives nginx's port."""
    certificate = options.pop("certificate", world.certificates["web"])
    with (
        serving(file, "--workers", "1", "--proxies", "1") as url,
        nginx(world.folder / name, url, certificate, **options) as port,
    ):
        yield port
