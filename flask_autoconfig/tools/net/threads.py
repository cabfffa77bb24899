"""Calls in threads of their own, which a caller whose time is over leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call *function* in a daemon thread.

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
