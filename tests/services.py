"""Programs that tests start, and the requests that they are sent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    ExitStack,
    chdir,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch
from urllib.parse import urlsplit, urlunsplit

import dns.resolver
from click.testing import CliRunner
from client_requests import WebRequest, call_app
from flask.cli import cli as flask_cli
from support import BIN, Patch, program

from flask_autoconfig.tools.cli import cli

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CONFIG = "/mail/config-v1.1.xml?emailaddress=fred.secret@example.com"
GUNICORN = ("gunicorn", "--log-level=info", "--bind=127.0.0.1:{port}")
SITE = """
import os
from flask import Flask
from flask_autoconfig import autoconfig

application = Flask("site")
application.config["AUTOCONFIG_FILE"] = os.environ["AUTOCONFIG_FILE"]
application.register_blueprint(autoconfig)

@application.get("/")
def welcome():
    return f"Welcome {os.getpid()}"
"""


# Below the range of outgoing connections (from 32768 on Linux, from 49152 elsewhere),
# whose ports might be taken before a server listens.
_BLOCKS = range(10_000, 32_000, 200)


def _hold(port: int) -> ExitStack:
    """Bind the port for TCP and UDP on every address; raise OSError if it is taken."""
    with ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            holder = stack.enter_context(socket.socket(socket.AF_INET, kind))
            holder.bind(("", port))
        return stack.pop_all()


def _own_ports() -> Iterator[int]:
    """Yield the ports of one block in a cycle.

    Holding the first port of the block keeps other processes of this kind out of it.
    """
    for start in _BLOCKS:
        with suppress(OSError), _hold(start):
            while True:
                yield from range(start + 1, start + _BLOCKS.step)


_PORTS = _own_ports()


def free_port() -> int:
    """Return a port that nothing listens on, and that no other test gets."""
    while True:
        port = next(_PORTS)
        with suppress(OSError), _hold(port):
            return port


class Response(NamedTuple):
    status: int
    headers: Message
    body: bytes


def fetch(
    url: str, *, method: str = "GET", data: bytes | None = None, **headers: str
) -> Response:
    """Send a request; header names have `_` for `-`. Redirects are not followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kind, host, target, query, _ = urlsplit(url)
    assert kind == "http"
    with closing(HTTPConnection(host, timeout=10)) as connection:
        path = urlunsplit(("", "", target or "/", query, ""))
        connection.request(method, path, data, {"Connection": "close", **named})
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())


def send(url: str, request: WebRequest) -> Response:
    headers = {name.title(): value for name, value in request.headers}
    return fetch(
        f"{url}{request.path}?{request.query}",
        method=request.method,
        data=request.body or None,
        Host=request.host,
        **headers,
    )


def answered_alike(alone: WSGIApplication, url: str, request: WebRequest) -> Response:
    """Assert that a server has the response of an application, and return it."""
    expected, response = call_app(alone, request), send(url, request)
    assert str(response.status) == expected.status[:3], request
    assert response.body == expected.body, request
    for name, value in expected.lasting[1].items():
        found = str(response.headers[name])
        if name == "Vary":  # of a site whose templates read the session
            found = found.removesuffix(", Cookie")
        assert found == value, (request, name)
    return response


def wait_for(
    port: int,
    process: subprocess.Popen[bytes],
    seconds: float = 20,
    address: str = "127.0.0.1",
) -> None:
    """Wait until a server listens on the port; fail if its process ends."""

    def listens() -> bool:
        assert process.poll() is None, f"{process.args!r} ended"
        with socket.socket() as sock:
            sock.settimeout(1)
            return sock.connect_ex((address, port)) == 0

    until(listens, seconds)


def end(process: subprocess.Popen[bytes], *, at_once: bool = False) -> None:
    """Stop a server that leads a session, with its child processes."""
    if not at_once:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def called(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)


@contextmanager
def running(
    *command: str | Path,
    port: int,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    address: str = "127.0.0.1",
    at_once: bool = False,
    seconds: float = 20,
    call: Callable[..., Any] = called,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; *call* may be that of a namespace.

    `at_once` kills it, which is for gunicorn: its workers take a second to stop.
    """
    with log.open("ab") if log else nullcontext(subprocess.DEVNULL) as out:
        process: subprocess.Popen[bytes] = call(
            subprocess.Popen,
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        try:
            call(wait_for, port, process, seconds, address)
            yield process
        finally:
            end(process, at_once=at_once)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition; fail after these seconds."""
    end = time.monotonic() + seconds
    is_late = False
    while not condition():
        assert not is_late, f"not within {seconds} seconds"
        time.sleep(0.05)
        is_late = time.monotonic() > end  # the condition is evaluated once more


@contextmanager
def names(monkeypatch: Patch, ports: dict[tuple[str, int], int]) -> Iterator[None]:
    """Map each (host, port) to a port of loopback, for clients in this process."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        mapped = ports.get((str(host), int(port or 0)))
        if mapped is None:
            return real(host, port, *more, **options)
        return real("127.0.0.1", mapped, *more, **options)

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = free_port()  # without a name server
    resolver.lifetime = 1
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setattr(dns.resolver, "default_resolver", resolver)
        yield


@contextmanager
def typed(password: str) -> Iterator[int]:
    """Yield a file descriptor for `--password-fd`."""
    reading, writing = os.pipe()
    os.write(writing, f"{password}\n".encode())
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def run(
    *arguments: str | Path, cwd: Path | None = None, code: Any = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Call the command `flask-autoconfig` without a terminal and without input.

    It ends with the exit code *code*, if that is given. It runs in this process, so that
    an unhandled error is raised. `serve`, which forks, and with the environment variable
    `COMMAND_PROCESSES` every command, runs as in `run_process`.
    """
    if "serve" in arguments or os.environ.get("COMMAND_PROCESSES"):
        return run_process(*arguments, cwd=cwd, code=code, **env)
    return _ended(_called(cli, "flask-autoconfig", arguments, cwd, env), code)


def run_flask(
    app: str | Path, *words: str, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    """Call the command `flask` as `run` does, for an app in this folder."""
    if os.environ.get("COMMAND_PROCESSES"):
        return captured("flask", "--app", app, *words, cwd=cwd, **env)
    with patch.object(sys, "path", [*sys.path]):
        result = _called(flask_cli, "flask", ("--app", app, *words), cwd, env)
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", "")).startswith(f"{cwd}/"):
            del sys.modules[name]
    return result


def _called(
    command: Any,
    name: str,
    arguments: Iterable[str | Path],
    cwd: Path | None,
    env: dict[str, str],
) -> subprocess.CompletedProcess[str]:
    words, start = [str(argument) for argument in arguments], CliRunner(env=env).invoke
    with chdir(cwd or "."):
        result = start(command, words, prog_name=name, catch_exceptions=False)
    out, err = result.stdout_bytes.decode(), result.stderr_bytes.decode()
    assert "Traceback" not in err
    return subprocess.CompletedProcess(words, result.exit_code, out, err)


def _ended(
    result: subprocess.CompletedProcess[str], code: Any
) -> subprocess.CompletedProcess[str]:
    assert code in (None, result.returncode), f"{result.stdout}{result.stderr}"
    return result


def run_process(
    *arguments: str | Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command `flask-autoconfig` in a process of its own."""
    result = captured("flask-autoconfig", *arguments, **options)
    assert "Traceback" not in result.stderr
    return result


def captured(
    command: str | Path,
    *arguments: str | Path,
    cwd: str | Path | None = None,
    stdout: Any = subprocess.PIPE,
    pass_fds: Any = (),
    seconds: Any = 120,
    code: Any = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run a program, from this environment unless it has a path, without input.

    It ends with the exit code *code*, if that is given.
    """
    result = subprocess.run(
        [BIN / command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=seconds,
        check=False,
        pass_fds=pass_fds,
    )
    return _ended(result, code)


def children_of(process: int) -> list[int]:
    """Return the process ids of the children, which are gunicorn's workers."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for file in tasks for word in file.read_text().split()]


class Service(NamedTuple):
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fetch(self, target: str = CONFIG, **options: Any) -> Response:
        return fetch(self.url + target, **options)

    def config_of(self, domain: str) -> Response:
        """Return the response to Thunderbird for an address of the domain."""
        return self.fetch(f"/mail/config-v1.1.xml?emailaddress=fred@{domain}")

    def connect(self, data: bytes = b"") -> socket.socket:
        """Send the beginning of a request."""
        sock = socket.create_connection(("127.0.0.1", self.port), 10)
        sock.sendall(data)
        return sock

    def send(self, data: bytes) -> bytes:
        received = b""
        with self.connect() as sock:
            with suppress(OSError):  # the server may have refused the rest
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while part := sock.recv(65536):
                    received += part
        return received

    def workers(self) -> list[int]:
        return children_of(self.process.pid)


@contextmanager
def threaded(*servers: Any) -> Iterator[None]:
    """Run servers of the standard library in threads until the block ends."""
    for server in servers:
        serve = server.serve_forever
        threading.Thread(target=serve, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def load(call: Callable[[], object], clients: int = 4) -> Iterator[None]:
    """Let threads call a function again and again until the block ends."""
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            call()

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(client) for _ in range(clients)]
        try:
            yield
        finally:
            over.set()
    for future in futures:
        future.result()


@contextmanager
def launched(
    log: Path, port: int, *command: str | Path, **options: Any
) -> Iterator[Service]:
    with running(*command, port=port, log=log, at_once=True, **options) as process:
        yield Service(port, process, log)


def serve(
    file: Path,
    *options: str,
    arguments: str = "",
    limit: str = "",
    command: str = "flask-autoconfig --config {file}",
) -> AbstractContextManager[Service]:
    """Run `serve` in the folder of a file, with its log in the file `log` there.

    `arguments` are GUNICORN_CMD_ARGS, in which as in `options` PORT is a free port; it is
    bound anyway where they do not. `limit` is the limit of file descriptors.
    """
    port = free_port()
    limited = (program("prlimit"), f"--nofile={limit}") if limit else ()
    words = [*command.format(file=file).split(), "serve"]
    if "PORT" not in f"{arguments} {options}":
        words += ["--bind", "127.0.0.1:PORT"]
    first, *others = (word.replace("PORT", str(port)) for word in (*words, *options))
    env = {"GUNICORN_CMD_ARGS": arguments.replace("PORT", str(port))}
    whole = (*limited, BIN / first, *others)
    return launched(file.with_name("log"), port, *whole, env=env, cwd=file.parent)


@contextmanager
def serving(file: Path, *options: str, arguments: str = "") -> Iterator[str]:
    """Run `serve` as `serve` does; yield its base URL."""
    with serve(file, *options, arguments=arguments) as service:
        yield service.url


def served(
    server: tuple[str, ...],
    file: Path,
    folder: Path,
    site: str = SITE,
    app: str = "our_site:application",
) -> AbstractContextManager[Service]:
    """Run an application, such as a site, under a WSGI server in a folder."""
    (folder / "our_site.py").write_text(site)
    port = free_port()
    first, *others = [word.format(port=port) for word in (*server, app)]
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    env = {"AUTOCONFIG_FILE": str(file), "PYTHONPATH": path}
    # In the folder, or gunicorn would import the package's source.
    return launched(folder / "log", port, BIN / first, *others, env=env, cwd=folder)
