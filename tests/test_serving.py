"""gunicorn with slow, broken and hostile clients, and its shutdown."""

import resource
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from client_requests import POX, outlook_request
from services import CONFIG, GUNICORN, Service, serve, served, until
from support import TWO_DOMAINS

pytestmark = pytest.mark.world
SECRET = "fred.secret"  # sent by clients, and in no log
REQUEST = outlook_request(f"{SECRET}@example.com").encode()


def slowest(service: Service, seconds: float) -> float:
    """Return the longest time of a GET request within these seconds."""
    slowest, end_ = 0.0, time.monotonic() + seconds
    while time.monotonic() < end_:
        start = time.monotonic()
        assert service.fetch().status == 200
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.05)
    return slowest


def gunicorn(app: str, worker: str, file: Path) -> AbstractContextManager[Service]:
    server = (*GUNICORN, f"--worker-class={worker}", "--threads=2")
    return served(server, file, file.parent, app=app)


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
CHUNK = post(CHUNKED) + SIZE + b"\r\n" + REQUEST
ANSWERED_600 = {
    "a chunk of a negative size": post(CHUNKED) + b"-5\r\n" + REQUEST,
    "a chunk size that is no number": post(CHUNKED) + b"zz\r\n" + REQUEST,
    "a chunk size with a prefix": post(CHUNKED) + b"0x5\r\n" + REQUEST,
    "no line end after the chunk": CHUNK + b"0\r\n",
    "an end within a chunk": post(CHUNKED) + b"fff\r\n" + REQUEST,
    "an end within a chunk size": post(CHUNKED) + b"f",
    "no last chunk": CHUNK + b"\r\n",
    "a trailer that is no header": CHUNK + b"\r\n0\r\n" + REQUEST + b"\r\n\r\n",
    "a length beyond the body": post(f"Content-Length: {LENGTH + 9}") + REQUEST,
}
ANSWERED_400 = {
    "a negative length": post("Content-Length: -5") + REQUEST,
    "a length that is no number": post(f"Content-Length: {SECRET}") + REQUEST,
    "two lengths": post("Content-Length: 5", "Content-Length: 6") + REQUEST,
    "a length and chunks": post(CHUNKED, "Content-Length: 5") + b"0\r\n\r\n",
}
OURS = ("our_site:application", "flask_autoconfig:create_app()")
APPS = {
    f"{app} {worker}": partial(gunicorn, app, worker)
    for app in OURS
    for worker in ("sync", "gthread")
}


@pytest.mark.parametrize("app", [*APPS.values(), serve], ids=[*APPS, "serve"])
def test_a_malformed_body_is_an_error_and_not_logged(
    file: Path, app: Callable[[Path], AbstractContextManager[Service]]
) -> None:
    with app(file) as service:
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
NO_BODY = post("Content-Length: 1000")
PATHS = ("/mail/config-v1.1.xml", "/nowhere")
OTHERS = [post("Content-Length: 1000", path=path) + b"<" for path in PATHS]
# The beginnings of requests, the number of clients for each, what each sends every
# second from then on, and how long others wait.
SLOW = {
    "half a body for Outlook": ([NO_BODY + b"<"], 50, b"", 1.5),
    "half a body for a wrong method or an unknown path": (OTHERS, 50, b"", 1.5),
    "a body byte by byte": ([NO_BODY], 50, b"x", 1.5),
    "a response that is not read": ([GET, b"no HTTP\r\n\r\n"], 50, b"", 1.5),
    "half a head, from more clients than threads": ([HALF_A_HEAD], 100, b"", 9),
}


@pytest.mark.parametrize(("heads", "count", "more", "seconds"), SLOW.values(), ids=SLOW)
def test_slow_clients_do_not_delay_others(
    file: Path, heads: list[bytes], count: int, more: bytes, seconds: float
) -> None:
    workers = "1" if len(heads) * count > 64 else "2"  # with 64 threads each
    with serve(file, "--workers", workers) as service, ExitStack() as stack:
        clients = [stack.enter_context(service.connect(head)) for head in heads * count]
        for _ in range(7):
            for client in clients:
                with suppress(OSError):  # the deadline may have passed
                    client.sendall(more)
            assert slowest(service, 1) < seconds


def test_clients_that_read_nothing_hold_threads_for_a_bounded_time(file: Path) -> None:
    requests = 50 * b"GET /mail/setup/style.css HTTP/1.1\r\nHost: a\r\n\r\n"
    with serve(file, "--workers", "1") as service, ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(66)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect(("127.0.0.1", service.port))
            client.setblocking(False)
        for _ in range(12):
            for client in clients:
                with suppress(OSError):  # its buffer is full
                    client.send(requests)
            time.sleep(0.3)
        with pytest.raises(TimeoutError):
            slowest(service, 1)  # all threads wait
        until(lambda: _is_answered(service), 30)


def _is_answered(service: Service) -> bool:
    with suppress(TimeoutError):
        return slowest(service, 1) < 5
    return False


def test_a_body_in_pieces_to_a_wrong_path_or_method_is_answered(file: Path) -> None:
    with serve(file) as service:
        for path, status in zip(PATHS, (b"405", b"404"), strict=True):
            head = post("Content-Length: 3000", path=path)
            with service.connect(head) as client:
                for _ in range(3):
                    client.sendall(1000 * b"x")
                    time.sleep(0.01)
                assert client.recv(65536).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("app", OURS)
def test_a_body_sent_byte_by_byte_has_five_seconds(file: Path, app: str) -> None:
    with gunicorn(app, "sync", file) as service, service.connect(NO_BODY) as client:
        start = time.monotonic()
        client.settimeout(0.3)
        received = b""
        while b"600" not in received:
            client.sendall(b"x")
            with suppress(TimeoutError):
                received += client.recv(65536)
        assert 4 < time.monotonic() - start < 12  # a slow machine included


def test_more_idle_connections_than_descriptors_end_no_worker(file: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for both ends of them
    with serve(file, "--workers", "1", limit="1024") as service, ExitStack() as idle:
        until(lambda: len(service.workers()) == 1)
        workers = service.workers()
        assert service.fetch().status == 200
        for _ in range(1200):
            idle.enter_context(service.connect())
        assert slowest(service, 1) < 8  # idle connections are closed after five seconds
        file.write_text(TWO_DOMAINS.replace("imap.", "mail."))
        until(lambda: b"mail.example.com" in service.fetch().body, seconds=8)
        idle.close()
        assert slowest(service, 1) < 1
        assert service.workers() == workers
    assert "Too many open files" not in service.log.read_text()


# --- Shutdown --------------------------------------------------------------------------


def test_sigterm_ends_a_service_with_open_connections_in_time(file: Path) -> None:
    heads = (HALF_A_HEAD, NO_BODY, b"")
    with serve(file) as service, ExitStack() as stack:
        for head in heads:
            stack.enter_context(service.connect(head))
        assert service.fetch().status == 200
        start = time.monotonic()
        service.process.terminate()
        assert service.process.wait(30) == 0
        assert time.monotonic() - start < 11


def is_refused(service: Service) -> bool:
    try:
        service.connect().close()
    except ConnectionError:
        return True
    return False


def test_sigterm_completes_begun_requests_and_refuses_others(file: Path) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: autoconfig.example.com\r\n"
    # What a client has sent before the signal, and what after it.
    clients = ((head, b"\r\n"), (head + b"Content-Length: 2\r\n\r\n", b"ab"))
    with serve(file, "--workers", "1") as service, ExitStack() as stack:
        waiting = [
            (stack.enter_context(service.connect(before)), after)
            for before, after in clients
        ]
        assert service.fetch().status == 200  # so the others are accepted
        service.process.terminate()
        until(lambda: "Handling signal: term" in service.log.read_text())
        until(lambda: is_refused(service))
        for client, after in waiting:
            client.sendall(after)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert service.process.wait(30) == 0
