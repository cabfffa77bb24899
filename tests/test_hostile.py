"""Servers that mean harm, or are broken: a clear finding, in time, in bounded memory."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from support import free_port

from flask_autoconfig.tools import network
from flask_autoconfig.tools.mail import Endpoint, mail_server
from flask_autoconfig.tools.network import Network, ProbeError
from flask_autoconfig.tools.resolver import Resolver

NETWORK = Network(Resolver(timeout=1), timeout=1.0)
Behaviour = Callable[[socket.socket], None]


@contextmanager
def server(behave: Behaviour) -> Iterator[int]:
    """A server on loopback that treats each connection so."""
    port = free_port()
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behave(connection)

    def accept() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(0.1)
            ready.set()
            while not over.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    threading.Thread(
                        target=serve, args=(connection,), daemon=True
                    ).start()

    ready = threading.Event()
    thread = threading.Thread(target=accept)
    thread.start()
    ready.wait()
    try:
        yield port
    finally:
        over.set()
        thread.join()


def silence(connection: socket.socket) -> None:
    time.sleep(5)


def endless_banner(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"* this is no greeting\r\n220-\r\n" * 1000)


def endless_capabilities(connection: socket.socket) -> None:
    connection.sendall(b"* OK hello\r\n")
    connection.recv(1000)
    while True:
        connection.sendall(b"* CAPABILITY X\r\n" * 1000)


def line_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def drip(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"*")
        time.sleep(0.1)


def hang_up(connection: socket.socket) -> None:
    return


def rubbish(connection: socket.socket) -> None:
    connection.sendall(bytes(range(256)) + b"\r\n")
    time.sleep(5)


MAIL = {
    "a server that never speaks": (silence, "did not finish in time"),
    "an endless banner": (endless_banner, "no IMAP greeting"),
    "endless capabilities": (endless_capabilities, "an answer without end"),
    "a line without end": (line_without_end, "a line without end"),
    "a byte now and then": (drip, "did not finish in time"),
    "a server that hangs up": (hang_up, "closed the connection"),
    "rubbish": (rubbish, "no IMAP greeting"),
}


@pytest.mark.parametrize(("behave", "message"), MAIL.values(), ids=MAIL.keys())
def test_a_hostile_mail_server_ends_in_a_finding_in_time(
    behave: Behaviour, message: str
) -> None:
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError, match=message):
            mail_server(NETWORK, Endpoint("imap", "127.0.0.1", port, "plain"))
        assert time.monotonic() - start < 4


@pytest.mark.parametrize("behave", [silence, rubbish, drip, hang_up])
def test_a_handshake_that_comes_to_nothing_ends_in_time(behave: Behaviour) -> None:
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError):
            mail_server(NETWORK, Endpoint("imap", "127.0.0.1", port, "SSL"))
        with pytest.raises(ProbeError):
            network.fetch(NETWORK, f"https://127.0.0.1:{port}/")
        assert time.monotonic() - start < 8


def test_an_smtp_greeting_without_end_is_bounded() -> None:
    def endless(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-and more\r\n" * 1000)

    with (
        server(endless) as port,
        pytest.raises(ProbeError, match="an answer without end"),
    ):
        mail_server(NETWORK, Endpoint("smtp", "127.0.0.1", port, "plain"))


def _answer(*parts: bytes, forever: bytes = b"", pause: float = 0) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        for part in parts:
            connection.sendall(part)
        while forever:
            connection.sendall(forever)
            time.sleep(pause)

    return behave


OK = b"HTTP/1.1 200 OK\r\n"
WEB = {
    "100 MB": (
        _answer(OK, b"Content-Length: 104857600\r\n\r\n", forever=b"x" * 65536),
        "more than 1024 KiB",
    ),
    "a body without end": (_answer(OK, b"\r\n", forever=b"x" * 65536), "more than"),
    "a body that drips": (_answer(OK, b"\r\n", forever=b"x", pause=0.1), "in time"),
    "headers without end": (_answer(OK, forever=b"X: y\r\n"), "no HTTP answer"),
    "headers that drip": (_answer(OK, forever=b"X: y\r\n", pause=0.3), "in time"),
    "interim answers for ever": (
        _answer(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
        "in time",
    ),
    "a status line of rubbish": (_answer(b"\x00\xff\r\n\r\n"), "no HTTP answer"),
    "nothing": (silence, "in time"),
    "a redirect to itself": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        "redirects without end",
    ),
    "a redirect to a file": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
        "leads to no web address",
    ),
    "a redirect to a broken URL": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n"),
        "no URL|no web address",
    ),
}


@pytest.mark.parametrize(("behave", "message"), WEB.values(), ids=WEB.keys())
def test_a_hostile_web_server_ends_in_a_finding_in_time(
    behave: Behaviour, message: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError, match=message):
            network.fetch(NETWORK, f"http://127.0.0.1:{port}/")
        assert time.monotonic() - start < 4
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 20 * 1024  # KiB


def test_redirects_that_each_lead_further_come_to_an_end() -> None:
    count = iter(range(10_000))

    def further(connection: socket.socket) -> None:
        connection.recv(4096)
        place = f"Location: /{next(count)}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(b"HTTP/1.1 302 Found\r\n" + place.encode())

    with server(further) as port, pytest.raises(ProbeError, match="without end"):
        network.fetch(NETWORK, f"http://127.0.0.1:{port}/")
    assert next(count) < 10
