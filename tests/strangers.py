"""Servers with scripted behaviour, and a person at a terminal."""

import fcntl
import os
import pty
import socket
import socketserver
import ssl
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from services import free_port, threaded
from support import BIN

# Called with a connection and, for STARTTLS, a function that starts TLS.
Behaviour = Callable[..., None]


@contextmanager
def listening(
    listener: socket.socket,
    behave: Behaviour,
    certificate: tuple[Path, Path] | None = None,
    *,
    at_once: bool = True,
) -> Iterator[None]:
    """Serve each connection; with a certificate, over TLS *at_once* or by STARTTLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate:
        context.load_cert_chain(*certificate)

    def serve(connection: socket.socket, *_: object) -> None:
        def start_tls() -> socket.socket:
            return context.wrap_socket(connection, server_side=True)

        with suppress(OSError), connection:
            if certificate and not at_once:
                behave(connection, start_tls)
                return
            with start_tls() if certificate else connection as line:
                behave(line)

    accepting = socketserver.ThreadingTCPServer(
        listener.getsockname()[:2],
        serve,  # type: ignore[arg-type] # a function suffices
        bind_and_activate=False,
    )
    accepting.daemon_threads = True
    accepting.socket.close()
    accepting.socket = listener
    with threaded(accepting):
        yield


@contextmanager
def server(
    behave: Behaviour, certificate: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Listen on a free port of loopback, and yield the port."""
    port = free_port()
    with listening(socket.create_server(("127.0.0.1", port)), behave, certificate):
        yield port


def answering(response: bytes) -> Behaviour:
    """Return a behaviour that sends the same response to every HTTP request."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(response)

    return behave


# The tests may run with Ctrl-C ignored, as shells do for background jobs.
WITH_SIGINT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def at_terminal(
    *arguments: str | Path,
    typed: Mapping[str, str] = MappingProxyType({}),
    seconds: float = 60,
    cwd: Path | None = None,
    columns: int = 500,  # sentences in one line
    **env: str,
) -> tuple[int, str]:
    """Run `flask-autoconfig` at a terminal; return its exit code and output.

    `typed` maps the end of the output to what the person types then.
    """
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    without = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [str(BIN / "flask-autoconfig"), *map(str, arguments)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        cwd=cwd,
        env={**without, **env},
    )
    os.close(inside)
    deadline = threading.Timer(seconds, process.kill)
    deadline.start()
    output = b""
    try:
        with suppress(OSError):  # raised by a terminal whose program has ended
            while chunk := os.read(terminal, 4096):
                output += chunk
                for end, words in typed.items():
                    if output.endswith(end.encode()):
                        os.write(terminal, f"{words}\n".encode())
        assert deadline.is_alive(), f"it waits at: {output!r}"
        return process.wait(10), output.decode()
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        os.close(terminal)
