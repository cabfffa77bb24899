"""The service before clients that are slow, broken or mean, each with a real gunicorn."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from support import (
    BIN,
    TWO_DOMAINS,
    end,
    fetch,
    free_port,
    program,
    running,
    serving,
    until,
)

pytestmark = pytest.mark.world
Write = Callable[..., Path]
POX = "/autodiscover/autodiscover.xml"
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@example.com"
# What a client sends and no log may hold.
SECRET = "fred.secret"
REQUEST = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    f'requestschema/2006"><Request><EMailAddress>{SECRET}@example.com</EMailAddress>'
    "</Request></Autodiscover>"
).encode()
SITE = """
from flask import Flask
from flask_autoconfig import autoconfig

app = Flask("site")
app.config["AUTOCONFIG_FILE"] = {file!r}
app.register_blueprint(autoconfig)
"""


def send(url: str, *parts: bytes, ends: bool = True, seconds: float = 10) -> bytes:
    """All that comes back for these bytes; `ends` says that no more of them follow."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), seconds) as sock:
        with suppress(OSError):  # it may have refused the rest
            for part in parts:
                sock.sendall(part)
            if ends:
                sock.shutdown(socket.SHUT_WR)
        got = b""
        with suppress(ConnectionResetError):
            while part := sock.recv(65536):
                got += part
    return got


def post(*headers: str, path: str = POX) -> bytes:
    """The head of a POST of somebody whose address no log may hold."""
    lines = [
        f"POST {path}?emailaddress={SECRET}@example.com HTTP/1.1",
        "Host: autodiscover.example.com",
        "Content-Type: text/xml",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


# --- Bodies that are no HTTP ---------------------------------------------------------


@contextmanager
def in_a_site(worker: str, file: Path, log: Path) -> Iterator[str]:
    """A Flask site with the blueprint, under a gunicorn of its own."""
    (file.parent / "our_site.py").write_text(SITE.format(file=str(file)))
    port = free_port()
    options = ("--chdir", file.parent, "--worker-class", worker, "--threads", "2")
    bind = ("--bind", f"127.0.0.1:{port}")
    command = (BIN / "gunicorn", *options, *bind, "our_site:app")
    with running(*command, port=port, log=log, at_once=True):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def alone(worker: str, file: Path, log: Path) -> Iterator[str]:
    """`create_app` under a gunicorn of one's own."""
    port = free_port()
    options = ("--worker-class", worker, "--threads", "2", "--chdir", file.parent)
    bind = ("--bind", f"127.0.0.1:{port}")
    command = (BIN / "gunicorn", *options, *bind, "flask_autoconfig:create_app()")
    env = {"AUTOCONFIG_FILE": str(file)}
    with running(*command, port=port, log=log, env=env, at_once=True):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def by_serve(_: str, file: Path, log: Path) -> Iterator[str]:
    with serving(file, log=log) as url:
        yield url


@pytest.fixture(
    params=[
        (in_a_site, "sync"),
        (in_a_site, "gthread"),
        (alone, "sync"),
        (alone, "gthread"),
        (by_serve, ""),
    ],
    ids=["site-sync", "site-gthread", "alone-sync", "alone-gthread", "serve"],
)
def door(
    request: pytest.FixtureRequest, toml: Write, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    run, worker = request.param
    log = tmp_path / "log"
    with run(worker, toml(TWO_DOMAINS), log) as url:
        yield url, log


CHUNKED = "Transfer-Encoding: chunked"
SIZE = f"{len(REQUEST):x}".encode()
LENGTH = len(REQUEST)
REACHES_US = {
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
    "a length beyond what comes": post(f"Content-Length: {LENGTH + 9}") + REQUEST,
}
REFUSED = {
    "a negative length": post("Content-Length: -5") + REQUEST,
    "a length that is no number": post(f"Content-Length: {SECRET}") + REQUEST,
    "two lengths": post("Content-Length: 5", "Content-Length: 6") + REQUEST,
    "a length and chunks": post(CHUNKED, "Content-Length: 5") + b"0\r\n\r\n",
}


def test_a_faulty_body_is_an_error_of_autodiscover_and_in_no_log(
    door: tuple[str, Path],
) -> None:
    url, log = door
    for case, request in REACHES_US.items():
        got = send(url, request)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n"), (case, got)
        assert b"<ErrorCode>600</ErrorCode>" in got, (case, got)
    for case, request in REFUSED.items():
        assert send(url, request).startswith(b"HTTP/1.1 400 "), case
    good = send(url, post(f"Content-Length: {LENGTH}"), REQUEST)
    assert b"<LoginName>fred.secret@example.com</LoginName>" in good
    text = log.read_text()
    assert "Traceback" not in text
    assert SECRET not in text


# --- Clients that send half, or nothing ----------------------------------------------


def half_sent(url: str, *parts: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10)
    for part in parts:
        sock.sendall(part)
    return sock


def longest_wait(url: str, seconds: float) -> float:
    """How long the slowest of the GETs in these seconds waited for its answer."""
    slowest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.monotonic()
        assert fetch(url + CONFIG).status == 200
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.05)
    return slowest


@pytest.mark.parametrize("path", [POX, "/mail/config-v1.1.xml", "/nowhere"])
def test_fifty_half_sent_bodies_keep_nobody_waiting(toml: Write, path: str) -> None:
    head = post("Content-Length: 1000", path=path)
    with serving(toml(TWO_DOMAINS)) as url, ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(half_sent(url, head, b"<"))
        assert longest_wait(url, 8) < 1.5


def test_fifty_dripping_bodies_keep_nobody_waiting(toml: Write) -> None:
    head = post("Content-Length: 1000")
    with serving(toml(TWO_DOMAINS)) as url, ExitStack() as stack:
        slow = [stack.enter_context(half_sent(url, head)) for _ in range(50)]
        for _ in range(8):
            for sock in slow:
                with suppress(OSError):  # its time may be over
                    sock.sendall(b"x")
            assert longest_wait(url, 1) < 1.5


@pytest.mark.parametrize("mounted", [in_a_site, alone])
def test_a_body_that_drips_is_answered_after_five_seconds_in_all(
    toml: Write, tmp_path: Path, mounted: Callable[..., AbstractContextManager[str]]
) -> None:
    with mounted("sync", toml(TWO_DOMAINS), tmp_path / "log") as url:
        start = time.monotonic()
        with half_sent(url, post("Content-Length: 1000")) as sock:
            sock.settimeout(0.3)
            got = b""
            while b"600" not in got:
                sock.sendall(b"x")
                with suppress(TimeoutError):
                    got += sock.recv(65536)
        assert 4 < time.monotonic() - start < 7


def test_those_who_read_slowly_or_do_not_close_hold_no_more_than_their_thread(
    toml: Write,
) -> None:
    get = f"GET {CONFIG} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    with serving(toml(TWO_DOMAINS)) as url, ExitStack() as stack:
        for request in [get, b"no HTTP\r\n\r\n"] * 50:
            stack.enter_context(half_sent(url, request))
        assert longest_wait(url, 3) < 1.5


# --- Clients that send nothing -------------------------------------------------------


def _workers(master: int) -> list[int]:
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(word) for word in children.split()]


def test_more_idle_clients_than_descriptors_end_no_worker(
    toml: Write, tmp_path: Path
) -> None:
    file, log, port = toml(TWO_DOMAINS), tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    words = (BIN / "flask-autoconfig", "--config", file, "serve", "--bind", url[7:])
    limited = (program("prlimit"), "--nofile=256", *words)
    with (
        running(*limited, port=port, log=log, at_once=True) as process,
        ExitStack() as idle,
    ):
        until(lambda: len(_workers(process.pid)) == 2)
        workers = _workers(process.pid)
        assert fetch(url + CONFIG).status == 200
        for _ in range(400):
            idle.enter_context(half_sent(url))
        # Those that were there first are ended after five seconds.
        assert longest_wait(url, 1) < 8
        file.write_text(TWO_DOMAINS.replace("imap.", "mail."))
        until(lambda: b"mail.example.com" in fetch(url + CONFIG).body, seconds=8)
        idle.close()
        assert longest_wait(url, 1) < 1
        assert _workers(process.pid) == workers
    text = log.read_text()
    assert "worker_connections: 160 instead of 1000, " in text
    assert "Too many open files" not in text


def test_as_many_connections_as_are_asked_for_raise_the_limit_of_descriptors(
    toml: Write,
) -> None:
    port = free_port()
    words = ("--config", toml(TWO_DOMAINS), "serve", "--bind", f"127.0.0.1:{port}")
    limited = (program("prlimit"), "--nofile=256:4096", BIN / "flask-autoconfig")
    env = {"GUNICORN_CMD_ARGS": "--worker-connections 2000 --threads 10"}
    with running(*limited, *words, port=port, env=env, at_once=True) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"^Max open files +2042 +4096 ", limits, re.MULTILINE)


def test_half_a_head_holds_its_thread_for_seconds_and_not_until_it_hangs_up(
    toml: Write,
) -> None:
    with serving(toml(TWO_DOMAINS), "--workers", "1") as url, ExitStack() as stack:
        for _ in range(100):  # the worker has 64 threads
            stack.enter_context(half_sent(url, b"GET / HTTP/1.1\r\nHos"))
        assert longest_wait(url, 1) < 9


# --- Being stopped -------------------------------------------------------------------


def _started(file: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        words = ("--config", file, "serve", "--bind", f"127.0.0.1:{free_port()}")
        command = [str(it) for it in (BIN / "flask-autoconfig", *words)]
        command += ["--workers", "4"]
        return subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )


def _first_worker(master: int) -> int:
    """The process of the first worker, as soon as there is one."""
    until = time.monotonic() + 20
    while time.monotonic() < until:  # without a pause: it must be met while it starts
        for children in Path(f"/proc/{master}/task").glob("*/children"):
            if words := children.read_text().split():
                return int(words[0])
    raise AssertionError("no worker starts")


def test_a_worker_hears_that_it_shall_stop_from_its_first_moment(
    toml: Write, tmp_path: Path
) -> None:
    process = _started(toml(TWO_DOMAINS), tmp_path / "log")
    try:
        worker = _first_worker(process.pid)
        os.kill(worker, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{worker}/cwd").exists(), seconds=3)
    finally:
        end(process, at_once=True)


def test_a_service_that_is_stopped_as_it_starts_ends_at_once(
    toml: Write, tmp_path: Path
) -> None:
    process = _started(toml(TWO_DOMAINS), tmp_path / "log")
    try:
        _first_worker(process.pid)
        start = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert time.monotonic() - start < 4
    finally:
        end(process, at_once=True)


def test_clients_that_hold_on_do_not_hold_a_stop_up_for_long(toml: Write) -> None:
    port = free_port()
    words = ("--config", toml(TWO_DOMAINS), "serve", "--bind", f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"
    with (
        running(BIN / "flask-autoconfig", *words, port=port, at_once=True) as process,
        half_sent(url, b"GET / HTTP/1.1\r\nHos"),
        half_sent(url, post("Content-Length: 1000")),
        half_sent(url),
    ):
        assert fetch(url + CONFIG).status == 200
        start = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert time.monotonic() - start < 11
