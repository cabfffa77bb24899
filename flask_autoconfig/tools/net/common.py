"""What all conversations share: their error, its texts, and calls in threads."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ProbeError(Exception):
    """A conversation with a server failed.

    `kind` is the stage: dns, private (not allowed to connect), no-route (from this
    machine, as without IPv6), connect, silent, tls, starttls, masked (a firewall hides
    STARTTLS), protocol, refused (in words), http, redirect, login or timeout. `cure` is
    the remedy, "" where none is known. `certificate` is what the server showed before.
    """

    certificate: Any = None

    def __init__(self, kind: str, message: str, cure: str = "") -> None:
        self.kind = kind
        self.cure = cure
        super().__init__(message)


@cache
def texts() -> dict[str, Any]:
    """Return the texts of failed lookups and handshakes, from failures.toml."""
    return tomllib.loads(Path(__file__).with_name("failures.toml").read_text("utf-8"))


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
