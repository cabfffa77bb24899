"""Hostile servers: no password for them, no private addresses, no endless work."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strangers import answering, at_terminal, server
from support import TWO_DOMAINS, certificate_for
from support import run_process as run
from world import NameServer

DOMAIN, EVIL = "example.test", "evil.test"
USER, PASSWORD = f"fred@{DOMAIN}", "a-secret-of-fred"
DOCUMENT = """<clientConfig version="1.1"><emailProvider id="{0}"><domain>{0}</domain>
<incomingServer type="imap"><hostname>imap.{0}</hostname><port>993</port>
<socketType>SSL</socketType><authentication>password-cleartext</authentication>
<username>%EMAILADDRESS%</username></incomingServer>
<outgoingServer type="smtp"><hostname>imap.{0}</hostname><port>465</port>
<socketType>SSL</socketType><authentication>password-cleartext</authentication>
<username>%EMAILADDRESS%</username></outgoingServer></emailProvider></clientConfig>"""


def found(domain: str, more: str = "") -> bytes:
    """Return the response with a document that names the servers of a domain."""
    body = DOCUMENT.format(domain).replace("<outgoing", f"{more}<outgoing", 1)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def redirect(target: str) -> bytes:
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


class Listener:
    """An IMAP server that accepts every password and records what it receives."""

    def __init__(self) -> None:
        self.received = b""

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(b"* OK come in\r\n")
        while line := connection.recv(4096):
            self.received += line
            if b"CAPABILITY" in line:
                connection.sendall(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
            elif b"AUTHENTICATE" in line:
                connection.sendall(b"+ \r\n")
                continue
            connection.sendall(b"a OK done\r\n")

    def has_the_password(self) -> bool:
        encoded = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
        return PASSWORD.encode() in self.received or encoded in self.received


class World:
    """DNS, web servers, and the mail server that documents name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.listener = Listener()
        self.timeout = "3"
        self._stack = stack
        self.names = stack.enter_context(NameServer())
        self.names.load("autoconfig IN A 127.0.0.1\n")
        self._mapped: list[str] = []
        for domain in (DOMAIN, EVIL):
            self.lead(f"imap.{domain}", 993, self.listener)

    def lead(self, host: str, port: int, behave: Any, certificate: Any = None) -> None:
        """Serve a host, at a port of TLS with a certificate."""
        if certificate is None and port in (443, 465, 993):
            certificate = certificate_for(host, folder=self.folder)
        real = self._stack.enter_context(server(behave, certificate))
        self.map(host, port, real)

    def map(self, host: str, port: int, real: int) -> None:
        """Map a host to a port of loopback."""
        self._mapped += ["--connect-to", f"{host}:{port}:127.0.0.1:{real}"]

    def forged(self, host: str) -> tuple[Path, Path]:
        """Return a certificate of an unknown authority."""
        made = trustme.CA().issue_cert(host)
        files = self.folder / "forged.pem", self.folder / "forged.key"
        files[0].write_bytes(made.cert_chain_pems[0].bytes())
        made.private_key_pem.write_to_path(files[1])
        return files

    @property
    def options(self) -> list[str]:
        resolver = f"127.0.0.1:{self.names.port}"
        return ["--resolver", resolver, "--timeout", self.timeout, *self._mapped]

    def run(self, *words: str | Path, **options: Any) -> Any:
        """Run a command in this world."""
        ca = str(self.folder / "ca.pem")
        command = (*words, *self.options)
        return run(*command, cwd=self.folder, SSL_CERT_FILE=ca, **options)

    def check(self, *arguments: str) -> Any:
        """Run `check --login` without a terminal."""
        (self.folder / "password").write_text(PASSWORD)
        with (self.folder / "password").open() as stream:
            number = stream.fileno()
            words = ("check", USER, "--login", "--password-fd", str(number))
            return self.run(*words, *arguments, pass_fds=(number,))

    def at_terminal(self, sure: str) -> str:
        """Return the output of `check --login` at a terminal."""
        _code, shown = at_terminal(
            *("check", USER, "--login", *self.options),
            typed={"[y/N]: ": sure, "465 SSL: ": PASSWORD},
            cwd=self.folder,
            SSL_CERT_FILE=str(self.folder / "ca.pem"),
        )
        return shown


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(folder, stack)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("AUTOCONFIG_FILE", raising=False)
    with _world(tmp_path) as world:
        yield world


# --- Who gets the password ---------------------------------------------------------------

AUTOCONFIG = f"autoconfig.{DOMAIN}"


def test_settings_behind_a_forged_certificate_get_no_password(here: World) -> None:
    forged = here.forged(AUTOCONFIG)
    here.lead(AUTOCONFIG, 443, answering(redirect(f"https://{EVIL}/")), forged)
    here.lead(EVIL, 443, answering(found(EVIL)))
    done = here.check("--yes")
    assert done.returncode == 1
    assert not here.listener.has_the_password()
    assert f"imap.{EVIL}" not in done.stdout
    assert "the certificate is not valid: no intermediate certificate" in done.stdout
    assert f"at   https://{AUTOCONFIG}/" in done.stdout


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("http", "https", DOMAIN),
        ("https", "http", "were not retrieved completely over verified https"),
        ("https", "https", ""),
    ],
    ids=["http", "a redirect over http", "https alone"],
)
def test_only_settings_over_https_get_the_password(
    here: World, first: str, second: str, words: str
) -> None:
    ports = {"http": 80, "https": 443}
    target = f"{second}://{EVIL}/"
    here.lead(AUTOCONFIG, ports[first], answering(redirect(target)))
    if second == "http":
        here.lead(EVIL, 80, answering(redirect(f"https://{EVIL}/2")))
    here.lead(EVIL, 443, answering(found(EVIL if words else DOMAIN)))
    done = here.check("--yes")
    assert here.listener.has_the_password() == (not words)
    assert words in done.stdout


@pytest.fixture
def published(here: World) -> World:
    """Settings served over verified https, without a file of our own."""
    here.lead(AUTOCONFIG, 443, answering(found(DOMAIN)))
    here.lead(f"imap.{DOMAIN}", 465, _submission)
    return here


def _submission(connection: socket.socket) -> None:
    connection.sendall(b"220 come in\r\n")
    while line := connection.recv(4096):
        reply = b"250 AUTH PLAIN\r\n" if line.startswith(b"EHLO") else b"235 ok\r\n"
        connection.sendall(reply)


def test_without_a_file_a_login_needs_consent(published: World) -> None:
    done = published.check()
    assert done.returncode == 2
    assert "or add --yes" in done.stderr
    assert published.listener.received == b""  # nothing was done at all


def test_a_person_sees_first_where_the_password_goes(published: World) -> None:
    shown = published.at_terminal(sure="n")
    assert "you answered no" in shown
    assert "Password of" not in shown
    assert not published.listener.has_the_password()
    shown = published.at_terminal(sure="y")
    asked = f"Send the password of {USER} at imap imap.{DOMAIN}:993 SSL, smtp imap."
    assert asked in shown
    assert shown.index("Send the password") < shown.index("Password of")
    assert published.listener.has_the_password()
    assert PASSWORD not in shown


# --- Endless lists and private addresses-----------------------------------------------


def _many(names: list[str]) -> Any:
    """Return the behaviour of a server whose document names all these servers."""
    servers = "".join(
        f'<incomingServer type="imap"><hostname>{name}</hostname><port>993</port>'
        "<socketType>SSL</socketType><authentication>password-cleartext"
        "</authentication><username>%EMAILADDRESS%</username></incomingServer>"
        for name in names
    )
    return answering(found(DOMAIN, servers))


@pytest.mark.parametrize("others", [25, 3])
def test_only_shown_servers_get_the_password(here: World, others: int) -> None:
    listeners = {}
    for number in range(others):
        host = f"m{number}.{'x' * 60}.{'y' * 60}.test"
        listeners[host] = Listener()
        here.lead(host, 993, listeners[host])
    here.lead(AUTOCONFIG, 443, _many([*listeners]))
    done = here.check("--yes", "--json")
    asked = done.stderr.partition("Logging in as ")[2]
    got = {host for host, each in listeners.items() if each.has_the_password()}
    assert got == {host for host in listeners if f" {host}:993" in asked}
    assert got
    assert (got == listeners.keys()) == (others < 20)


def test_only_some_of_many_servers_in_a_document_are_contacted(here: World) -> None:
    with server(lambda _: time.sleep(30)) as port:
        names = [f"m{number}.test" for number in range(90)]
        for name in names:
            here.map(name, 993, port)
        here.lead(AUTOCONFIG, 443, _many(names))
        start = time.monotonic()
        done = here.run("check", DOMAIN, "--allow-private")
    assert time.monotonic() - start < 30  # four times three seconds, and a slow machine
    assert "72 more servers are not asked" in done.stdout


def test_only_some_of_many_servers_in_srv_records_are_contacted(here: World) -> None:
    records = [f"_imaps._tcp IN SRV 0 1 993 host{it}.{EVIL}.\n" for it in range(700)]
    here.names.load(*records)
    done = here.run("init", DOMAIN, "-o", "-")
    assert "note: 680 more servers that SRV records name are not asked" in done.stderr
    assert done.returncode == 1


def test_init_contacts_no_private_address_from_dns(here: World) -> None:
    asked: list[bytes] = []
    with server(lambda _: asked.append(b"connected")) as port:
        here.names.load(
            f"_imaps._tcp IN SRV 0 1 {port} inside.{DOMAIN}.\n",
            "inside IN A 127.0.0.1\n",
        )
        done = here.run("init", DOMAIN, "-o", "-")
        assert asked == []
        assert "not asked, unless you say --allow-private" in done.stderr
        here.run("init", DOMAIN, "-o", "-", "--allow-private")
    assert asked


def test_init_writes_no_private_url_and_no_invalid_name(here: World) -> None:
    here.names.load(
        f"_caldavs._tcp IN SRV 0 1 8443 inside.{DOMAIN}.\n",
        "inside IN A 127.0.0.1\n",
        "_carddavs._tcp IN SRV 0 1 443 127.0.0.1.\n",
        f"_imaps._tcp IN SRV 0 1 993 under_score.{DOMAIN}.\n",
        f"_imaps._tcp IN SRV 1 1 993 imap.{DOMAIN}.\n",
    )
    done = here.run("init", DOMAIN, "-o", "-")
    inside = f"https://inside.{DOMAIN}:8443/.well-known/caldav"
    for url in (inside, "https://127.0.0.1/.well-known/carddav"):
        assert f"{url} is left out: " in done.stderr
    assert "which is not on the internet" in done.stderr
    assert f"note: under_score.{DOMAIN} is left out: it is not a host" in done.stderr
    assert f"imap imap.{DOMAIN}:993 SSL: offers LOGIN, PLAIN" in done.stderr


def test_nothing_is_shown_with_control_characters(here: World) -> None:
    def escape(connection: socket.socket) -> None:
        connection.sendall(b"* NO \x1b]0;owned\x07\x1b[31m\xe2\x80\xaegnp\r\n")

    here.lead(AUTOCONFIG, 443, answering(found(EVIL)))
    here.lead(f"imap.{EVIL}", 465, escape)
    done = here.run("check", DOMAIN)
    assert "no SMTP greeting" in done.stdout
    assert not set(done.stdout) & {"\x1b", "\x07", "\u202e"}
    done = run("--config", here.folder / "a\u202eb\x1b[31m.toml", "show")
    assert done.returncode == 1
    assert "a?b?[31m.toml" in done.stderr
    assert not set(done.stderr) & {"\x1b", "\u202e"}


@pytest.mark.parametrize("command", ["check", "init"])
def test_a_silent_name_server_delays_no_command(tmp_path: Path, command: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = f"127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        options = ("--resolver", resolver, "--timeout", "1")
        done = run(command, DOMAIN, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert time.monotonic() - start < 15  # six times a second, and a slow machine
    assert "no name server answers" in done.stdout + done.stderr


def test_a_redirect_to_another_port_of_an_own_host_is_not_followed(here: World) -> None:
    asked: list[bytes] = []
    file = here.folder / "own.toml"
    text = TWO_DOMAINS.replace("example.com", DOMAIN).replace("example2.com", "*")
    file.write_text(text)
    with server(lambda _: asked.append(b"connected")) as port:
        here.names.load("imap IN A 127.0.0.1\n", "autoconfig IN A 127.0.0.1\n")
        target = f"http://imap.{DOMAIN}:{port}/x"
        here.lead(AUTOCONFIG, 80, answering(redirect(target)))
        here.run("--config", file, "check", DOMAIN)
    assert asked == []


# --- Random behaviour ------------------------------------------------------------------

_WORDS = (
    *(b"* OK ", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", b"+OK ", b"-ERR ", b"220-"),
    *(b"220 x\r\n", b"250-AUTH PLAIN\r\n", b"250 STARTTLS\r\n", b"a OK \r\n", b"\r\n"),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: /\r\n", b"\r\n\r\n"),
    *(b"Transfer-Encoding: chunked\r\n\r\n", b"ffffffff\r\n", b"\x1b[31m", b"\0"),
    *(b"Content-Length: 99999999\r\n\r\n", b"<clientConfig>", b"\xff\xfe"),
    b"x" * 70000,
)
_acts = st.one_of(
    st.sampled_from(_WORDS),
    st.binary(max_size=60),
    st.sampled_from(["hear", "wait", "drip", "hang up"]),
)


def _with(acts: list[bytes | str]) -> Any:
    """Return the behaviour that performs these acts."""

    def behave(connection: socket.socket) -> None:
        for act in acts:
            if isinstance(act, bytes):
                connection.sendall(act)
            elif act == "hear":
                connection.recv(65536)
            elif act == "hang up":
                return
            else:
                for _ in range(40 if act == "drip" else 1):
                    connection.sendall(b"x" if act == "drip" else b"")
                    time.sleep(0.1 if act == "drip" else 4)

    return behave


_PORTS = [("autoconfig.", 443), ("", 443), ("imap.", 993), ("smtp.", 465)]
_PORTS += [("autoconfig.", 80), ("imap.", 143), ("pop.", 110), ("smtp.", 587)]


@pytest.mark.world
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(_acts, max_size=8))
def test_a_command_ends_whatever_a_server_does(
    tmp_path: Path, acts: list[bytes | str]
) -> None:
    with _world(tmp_path) as world:
        world.timeout = "0.4"
        world.names.load("imap IN A 127.0.0.1\n", "smtp IN A 127.0.0.1\n")
        for label, port in _PORTS:
            world.lead(label + DOMAIN, port, _with(acts))
        for command in (["check", DOMAIN], ["init", DOMAIN, "-o", "-"]):
            start = time.monotonic()
            done = world.run(*command)
            assert time.monotonic() - start < 20  # six times 0.4, and a slow machine
            assert done.returncode in (0, 1), done.stderr
            assert "Traceback" not in done.stderr
            assert not set(done.stdout + done.stderr) & {"\x1b", "\0", "\u202e"}
