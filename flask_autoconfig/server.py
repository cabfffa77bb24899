"""`serve`: gunicorn as the service runs by itself, with nothing in front of it.

Three things are not gunicorn's own: no client can hold up others by being slow, no log
holds what a client sent, and a worker hears that it shall stop from its first moment.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .answers import stop_reading

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
        """Version 2 of Autodiscover may have the address in its path."""

        def atoms(self, *arguments: Any) -> dict[str, Any]:
            atoms: dict[str, Any] = super().atoms(*arguments)
            path, at, _ = str(atoms.get("U", "")).partition("@")
            if at or "%40" in path:
                atoms["U"] = path.partition("%40")[0].rpartition("/")[0] + "/…"
            return atoms

        def warning(self, message: object, *arguments: Any, **options: Any) -> None:
            """What cannot be parsed may hold an address as well."""
            text = str(message)
            if text.startswith("Invalid request"):
                text = text.partition(": ")[0]
            super().warning(text, *arguments, **options)

    return WithoutAddresses


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

    _hold_signals_through_forks()
    Server().run()
