"""What all conversations share: their error, its texts, and calls in threads."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ...files import table_beside

T = TypeVar("T")


class ProbeError(Exception):
    """A conversation with a server failed.

    `kind` is the stage: dns, private (not allowed to connect), no-route (from this
    machine, as without IPv6), connect, silent, tls, starttls, masked (a firewall hides
    STARTTLS), protocol, refused (in words), http, redirect, login, timeout or late (no
    time was left to ask). `cure` is the remedy, "" where none is known. `certificate` is
    what the server showed before.
    """

    certificate: Any = None

    def __init__(self, kind: str, message: str, cure: str = "") -> None:
        self.kind = kind
        self.cure = cure
        super().__init__(message)


# The texts of failed lookups and handshakes.
texts = partial(table_beside, __file__, "failures.toml")


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call *function* in a daemon thread, which a caller in a hurry leaves behind.

    The threads of an executor would keep the process from ending.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # the caller handles it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
