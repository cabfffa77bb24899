"""The gunicorn worker of `serve`: slow clients hold a bounded thread for a bounded time.

The service may run without a proxy that would buffer requests. Besides gunicorn's
documented interface, the worker uses these names of `gthread`, tried with gunicorn 25.3
and 27.0.1: `enqueue_req`, `pending_conns`, `poller`, `on_pending_socket_readable` and
`set_accept_enabled` of the worker, and `data_ready` and `initialized` of a connection.
With an older release, an idle connection occupies a thread.
"""

from __future__ import annotations

import selectors
import signal
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from ..answers import stop_reading

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_HEAD_SECONDS = 5  # for the first byte of a connection, then for a request's head
_CLOSE_SECONDS = 0.2  # for the client to receive the response and close
_BODY_HEADERS = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING"})


class Worker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker with deadlines for each phase of a request."""

    def load_wsgi(self) -> None:
        self.head_deadlines: dict[Any, float] = {}
        super().load_wsgi()

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):  # or new clients would wait, and be reset
            for listener in self.sockets:
                listener.close()

    def enqueue_req(self, connection: Any) -> None:
        """Assign a thread to a new connection only with its first byte."""
        is_old = not hasattr(self, "pending_conns")
        if is_old or connection.initialized or connection.data_ready:
            super().enqueue_req(connection)
            return
        connection.sock.setblocking(False)
        connection.timeout = time.monotonic() + _HEAD_SECONDS
        self.pending_conns.append(connection)
        callback = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, callback)

    def notify(self) -> None:
        """Enforce the deadlines of heads; gunicorn calls this about once a second."""
        super().notify()
        now = time.monotonic()
        for connection, deadline in self.head_deadlines.copy().items():
            if deadline < now:
                stop_reading(connection.sock)

    def handle(self, connection: Any) -> Any:
        self.head_deadlines[connection] = time.monotonic() + _HEAD_SECONDS
        try:
            keep_alive = super().handle(connection)
        finally:
            self.head_deadlines.pop(connection, None)
        if keep_alive is False:
            _finish(connection.sock)
        return keep_alive

    def handle_request(self, request: Any, connection: Any) -> Any:
        self.head_deadlines.pop(connection, None)
        if any(name in _BODY_HEADERS for name, _ in request.headers):
            request.force_close()  # or gunicorn would wait for the rest of the body
        return super().handle_request(request, connection)


def _finish(connection: socket.socket) -> None:
    """Wait a moment for the client to close its end.

    When gunicorn closes a connection, it waits up to two seconds for the client, in the
    loop that accepts all other connections.
    """
    deadline = time.monotonic() + _CLOSE_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (remaining := deadline - time.monotonic()) > 0:
            connection.settimeout(remaining)
            if not connection.recv(65536):
                break
    stop_reading(connection)
