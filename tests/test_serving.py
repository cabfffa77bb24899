"""gunicorn with slow, broken and hostile clients, and its shutdown."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from support import BIN, TWO_DOMAINS, end, fetch, free_port, program, running, until

pytestmark = pytest.mark.world
Write = Callable[..., Path]
POX = "/autodiscover/autodiscover.xml"
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@example.com"
SECRET = "fred.secret"  # sent by clients, and in no log
REQUEST = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    f'requestschema/2006"><Request><EMailAddress>{SECRET}@example.com</EMailAddress>'
    "</Request></Autodiscover>"
).encode()
SITE = """
import os
from flask import Flask
from flask_autoconfig import autoconfig

app = Flask("site")
app.config["AUTOCONFIG_FILE"] = os.environ["AUTOCONFIG_FILE"]
app.register_blueprint(autoconfig)
"""


class Service(NamedTuple):
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def get(self) -> bytes:
        """Return a document, which must be served."""
        reply = fetch(f"http://127.0.0.1:{self.port}{CONFIG}")
        assert reply.status == 200
        return reply.body

    def connect(self, data: bytes = b"") -> socket.socket:
        """Send the beginning of a request."""
        sock = socket.create_connection(("127.0.0.1", self.port), 10)
        sock.sendall(data)
        return sock

    def send(self, data: bytes) -> bytes:
        """Send all that follows, and return the response."""
        received = b""
        with self.connect() as sock:
            with suppress(OSError):  # the server may have refused the rest
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while part := sock.recv(65536):
                    received += part
        return received

    def slowest(self, seconds: float) -> float:
        """Return the longest time of a GET request within these seconds."""
        slowest, end_ = 0.0, time.monotonic() + seconds
        while time.monotonic() < end_:
            start = time.monotonic()
            self.get()
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.05)
        return slowest

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        children = "".join(file.read_text() for file in tasks.glob("*/children"))
        return [int(word) for word in children.split()]


@contextmanager
def serve(
    file: Path, *options: str, limit: str = "", arguments: str = ""
) -> Iterator[Service]:
    """Run `serve`, with a limit of file descriptors and GUNICORN_CMD_ARGS."""
    port, log = free_port(), file.with_name("log")
    limited = (program("prlimit"), f"--nofile={limit}") if limit else ()
    command = (*limited, BIN / "flask-autoconfig", "--config", file, "serve")
    bind = ("--bind", f"127.0.0.1:{port}")
    env = {"GUNICORN_CMD_ARGS": arguments}
    with running(
        *command, *bind, *options, port=port, log=log, env=env, at_once=True
    ) as process:
        yield Service(port, process, log)


@contextmanager
def gunicorn(app: str, worker: str, file: Path) -> Iterator[Service]:
    """Run an application under the command `gunicorn`."""
    (file.parent / "our_site.py").write_text(SITE)
    port, log = free_port(), file.with_name("log")
    options = ("--chdir", file.parent, "--worker-class", worker, "--threads", "2")
    command = (BIN / "gunicorn", *options, "--bind", f"127.0.0.1:{port}", app)
    env = {"AUTOCONFIG_FILE": str(file)}
    with running(*command, port=port, log=log, env=env, at_once=True) as process:
        yield Service(port, process, log)


def post(*headers: str, path: str = POX) -> bytes:
    """Return the head of a POST request with a secret in the query."""
    lines = [
        f"POST {path}?emailaddress={SECRET}@example.com HTTP/1.1",
        "Host: autodiscover.example.com",
        "Content-Type: text/xml",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


# --- Malformed bodies ------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked"
SIZE = f"{len(REQUEST):x}".encode()
LENGTH = len(REQUEST)
ANSWERED_600 = {
    "a chunk of a negative size": post(CHUNKED) + b"-5\r\n" + REQUEST,
    "a chunk size that is no number": post(CHUNKED) + b"zz\r\n" + REQUEST,
    "a chunk size with a prefix": post(CHUNKED) + b"0x5\r\n" + REQUEST,
    "no line end after the chunk": post(CHUNKED) + SIZE + b"\r\n" + REQUEST + b"0\r\n",
    "an end within a chunk": post(CHUNKED) + b"fff\r\n" + REQUEST,
    "an end within a chunk size": post(CHUNKED) + b"f",
    "no last chunk": post(CHUNKED) + SIZE + b"\r\n" + REQUEST + b"\r\n",
    "a trailer that is no header": (
        post(CHUNKED) + SIZE + b"\r\n" + REQUEST + b"\r\n0\r\n" + REQUEST + b"\r\n\r\n"
    ),
    "a length beyond the body": post(f"Content-Length: {LENGTH + 9}") + REQUEST,
}
ANSWERED_400 = {
    "a negative length": post("Content-Length: -5") + REQUEST,
    "a length that is no number": post(f"Content-Length: {SECRET}") + REQUEST,
    "two lengths": post("Content-Length: 5", "Content-Length: 6") + REQUEST,
    "a length and chunks": post(CHUNKED, "Content-Length: 5") + b"0\r\n\r\n",
}


@pytest.mark.parametrize(
    ("app", "worker"),
    [
        ("our_site:app", "sync"),
        ("our_site:app", "gthread"),
        ("flask_autoconfig:create_app()", "sync"),
        ("flask_autoconfig:create_app()", "gthread"),
        ("serve", ""),
    ],
)
def test_a_malformed_body_is_an_error_of_autodiscover_and_not_logged(
    toml: Write, app: str, worker: str
) -> None:
    file = toml(TWO_DOMAINS)
    with serve(file) if app == "serve" else gunicorn(app, worker, file) as service:
        for case, request in ANSWERED_600.items():
            response = service.send(request)
            assert response.startswith(b"HTTP/1.1 200 OK\r\n"), (case, response)
            assert b"<ErrorCode>600</ErrorCode>" in response, (case, response)
        for case, request in ANSWERED_400.items():
            assert service.send(request).startswith(b"HTTP/1.1 400 "), case
        response = service.send(post(f"Content-Length: {LENGTH}") + REQUEST)
        assert b"<LoginName>fred.secret@example.com</LoginName>" in response
    log = service.log.read_text()
    assert "Traceback" not in log
    assert SECRET not in log


# --- Slow clients ----------------------------------------------------------------------

GET = f"GET {CONFIG} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHos"
# The beginnings of requests, the number of clients for each, and how long others wait.
SLOW = {
    "half a body for Outlook": ([post("Content-Length: 1000") + b"<"], 50, 1.5),
    "half a body for a wrong method": (
        [post("Content-Length: 1000", path="/mail/config-v1.1.xml") + b"<"],
        *(100, 1.5),
    ),
    "half a body for an unknown path": (
        [post("Content-Length: 1000", path="/nowhere") + b"<"],
        *(100, 1.5),
    ),
    "a response that is not read": ([GET, b"no HTTP\r\n\r\n"], 50, 1.5),
    "half a head, from more clients than threads": ([HALF_A_HEAD], 100, 9),
}


@pytest.mark.parametrize(("heads", "count", "seconds"), SLOW.values(), ids=SLOW)
def test_slow_clients_do_not_delay_others(
    toml: Write, heads: list[bytes], count: int, seconds: float
) -> None:
    workers = "1" if count > 64 else "2"  # with 64 threads each
    with (
        serve(toml(TWO_DOMAINS), "--workers", workers) as service,
        ExitStack() as stack,
    ):
        for head in heads * count:
            stack.enter_context(service.connect(head))
        assert service.slowest(7) < seconds


def test_bodies_sent_byte_by_byte_do_not_delay_others(toml: Write) -> None:
    head = post("Content-Length: 1000")
    with serve(toml(TWO_DOMAINS)) as service, ExitStack() as stack:
        clients = [stack.enter_context(service.connect(head)) for _ in range(50)]
        for _ in range(8):
            for client in clients:
                with suppress(OSError):  # the deadline may have passed
                    client.sendall(b"x")
            assert service.slowest(1) < 1.5


@pytest.mark.parametrize("app", ["our_site:app", "flask_autoconfig:create_app()"])
def test_a_body_sent_byte_by_byte_is_answered_after_five_seconds(
    toml: Write, app: str
) -> None:
    with gunicorn(app, "sync", toml(TWO_DOMAINS)) as service:
        start = time.monotonic()
        with service.connect(post("Content-Length: 1000")) as client:
            client.settimeout(0.3)
            received = b""
            while b"600" not in received:
                client.sendall(b"x")
                with suppress(TimeoutError):
                    received += client.recv(65536)
        assert 4 < time.monotonic() - start < 12  # a slow machine included


def test_more_idle_connections_than_descriptors_end_no_worker(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    with serve(file, limit="256") as service, ExitStack() as idle:
        until(lambda: len(service.workers()) == 2)
        workers = service.workers()
        service.get()
        for _ in range(400):
            idle.enter_context(service.connect())
        assert service.slowest(1) < 8  # idle connections are closed after five seconds
        file.write_text(TWO_DOMAINS.replace("imap.", "mail."))
        until(lambda: b"mail.example.com" in service.get(), seconds=8)
        idle.close()
        assert service.slowest(1) < 1
        assert service.workers() == workers
    log = service.log.read_text()
    assert "worker_connections: 160 instead of 1000, " in log
    assert "Too many open files" not in log


def test_worker_connections_raise_the_limit_of_descriptors_as_far_as_needed(
    toml: Write,
) -> None:
    arguments = "--worker-connections 2000 --threads 10"
    with serve(toml(TWO_DOMAINS), limit="256:4096", arguments=arguments) as service:
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    assert re.search(r"^Max open files +2042 +4096 ", limits, re.MULTILINE)


# --- Shutdown --------------------------------------------------------------------------


@pytest.fixture
def starting(toml: Write) -> Iterator[Service]:
    """`serve` just after its first fork."""
    file, port = toml(TWO_DOMAINS), free_port()
    log = file.with_name("log")
    words = ("--config", file, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "4")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [BIN / "flask-autoconfig", *words],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(port, process, log)
    try:
        deadline = time.monotonic() + 20
        while not service.workers():  # without a pause, which would miss the moment
            assert time.monotonic() < deadline
        yield service
    finally:
        end(process, at_once=True)


def test_a_worker_obeys_sigterm_while_it_starts(starting: Service) -> None:
    worker = starting.workers()[0]
    os.kill(worker, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{worker}/cwd").exists(), seconds=3)


def test_sigterm_ends_a_service_that_is_starting(starting: Service) -> None:
    start = time.monotonic()
    starting.process.terminate()
    assert starting.process.wait(30) == 0
    assert time.monotonic() - start < 4


def test_sigterm_ends_a_service_with_open_connections_in_time(toml: Write) -> None:
    heads = (HALF_A_HEAD, post("Content-Length: 1000"), b"")
    with serve(toml(TWO_DOMAINS)) as service, ExitStack() as stack:
        for head in heads:
            stack.enter_context(service.connect(head))
        service.get()
        start = time.monotonic()
        service.process.terminate()
        assert service.process.wait(30) == 0
        assert time.monotonic() - start < 11
