"""`serve`: gunicorn as the service runs by itself, with nothing in front of it.

Three things are not gunicorn's own: no client can hold up others by being slow, no log
holds what a client sent, and a worker hears that it shall stop from its first moment.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .address import is_ip
from .answers import stop_reading
from .reload import log

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Clients of one worker that may be slow at the same time; a waiting thread costs little.
_THREADS = 64
_LAST_SECONDS = 0.2  # in which a client may still take its answer and hang up
# More than a request may take: a stop waits no longer, whoever still holds on.
_STOP_SECONDS = 7
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _worker_class() -> type:
    from gunicorn.workers.gthread import ThreadWorker

    class Worker(ThreadWorker):  # type: ignore[misc]
        """A worker whose clients can hold no more than a thread, and that not for long."""

        def init_signals(self) -> None:
            super().init_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

        def handle_request(self, request: Any, connection: Any) -> Any:
            if any(name in _OF_A_BODY for name, _ in request.headers):
                request.force_close()  # or gunicorn would wait for the rest of the body
            return super().handle_request(request, connection)

        def handle(self, connection: Any) -> Any:
            is_kept = super().handle(connection)
            if is_kept is False:
                _let_go(connection.sock)
            return is_kept

    return Worker


def _hold_signals_through_forks() -> None:
    """Keep what a worker is told back until it can hear.

    It starts with the handlers of its master, who would take the word for its own.
    """

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

    os.register_at_fork(before=hold, after_in_parent=release)


_OF_A_BODY = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING"})


def _let_go(connection: socket.socket) -> None:
    """Wait a moment for the client to hang up, so that closing need not.

    gunicorn closes, and waits two seconds for each client, in the one loop of the worker
    that accepts all others.
    """
    until = time.monotonic() + _LAST_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    stop_reading(connection)


def _logger_class() -> type:
    from gunicorn.glogging import Logger

    class WithoutAddresses(Logger):  # type: ignore[misc]
        """A logger that writes one line a request, and nothing of what was sent in it."""

        def setup(self, config: Any) -> None:
            super().setup(config)
            log.handlers[:] = self.error_log.handlers
            log.setLevel(self.loglevel)
            log.propagate = False

        def atoms(self, *arguments: Any) -> dict[str, Any]:
            """What a line may be made of, nothing that the client could hide there."""
            atoms = super().atoms(*arguments)
            known = {key: shown(atoms[key]) for key in ("m", "H", "s", "b")}
            # A proxy may pass on whatever the client says of its address.
            known["h"] = atoms["h"] if is_ip(str(atoms["h"])) else "-"
            return {**known, "t": atoms["t"], "U": _without_address(atoms["U"])}

        def warning(self, message: object, *arguments: Any, **options: Any) -> None:
            """What is wrong with a request is told without its bytes."""
            text = str(message)
            if text.startswith("Invalid request"):
                text = text.partition(": ")[0]
            super().warning(text, *arguments, **options)

        def exception(self, message: object, *arguments: Any, **options: Any) -> None:
            """Where an error was, but not of which request, nor the error's own words."""
            kind, _, where = sys.exc_info()
            frames = "".join(traceback.format_tb(where))
            text = str(message).partition(" %")[0]
            self.error("%s\n%s%s", text, frames, kind and kind.__name__)

    return WithoutAddresses


# What stands for an address's sign, encoded however often.
_AT = re.compile("@|%(?:25)*40")


def _without_address(path: object) -> str:
    """A path for the log, cut off before the part that holds an address."""
    text = str(path)
    at = _AT.search(text)
    if at is None:
        return shown(text)
    return shown(text[: at.start()].rpartition("/")[0]) + "/…"


def shown(value: object) -> str:
    """Printable ASCII on one line, all else escaped; gunicorn does quotes itself."""
    return str(value).encode("unicode_escape").decode("ascii")


def serve(
    load: Callable[[], WSGIApplication], *, bind: str, workers: int
) -> None:  # pragma: no cover (runs in a process of its own)
    """Run the service under gunicorn until it is told to stop."""
    from gunicorn.app.base import BaseApplication

    options = {
        "bind": bind,
        "workers": workers,
        "worker_class": _worker_class(),
        "threads": _THREADS,
        "graceful_timeout": _STOP_SECONDS,
        "preload_app": True,
        "accesslog": "-",
        "logger_class": _logger_class(),
        # Without the query: it holds the address.
        "access_log_format": '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s',
        "control_socket_disable": True,
        # Only --proxies says who is believed: not gunicorn's own idea of it.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "proc_name": "flask-autoconfig",
    }

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn's own Application would parse our command line again."""

        def load_config(self) -> None:
            for key, value in options.items():
                if key in self.cfg.settings:  # older releases have no control socket
                    self.cfg.set(key, value)

        def load(self) -> WSGIApplication:
            return load()

    # Python would print the record of a log that cannot be written: query and all.
    logging.raiseExceptions = False
    _hold_signals_through_forks()
    Server().run()
