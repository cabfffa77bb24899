"""`serve` in a process of its own, and the requests that tests send to it."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from support import BIN, Reply, fetch, free_port, program, running

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

    def fetch(self, target: str = CONFIG, **options: Any) -> Reply:
        return fetch(self.url + target, **options)

    def config_of(self, domain: str) -> Reply:
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
def load(call: Callable[[], object], clients: int = 4) -> Iterator[None]:
    """Let threads call a function again and again until the block ends."""
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            call()

    with ThreadPoolExecutor(clients) as pool:
        working = [pool.submit(client) for _ in range(clients)]
        try:
            yield
        finally:
            over.set()
    for each in working:
        each.result()


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
