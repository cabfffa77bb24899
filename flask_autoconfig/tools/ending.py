"""The early end of a command, by Ctrl-C or at its deadline."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def _sigint_handler(handler: Any) -> Iterator[None]:
    """Set the handler of SIGINT in the main thread.

    A process in the background goes on to ignore the signal.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


# Ctrl-C in the block ends the process at once: the system handles the signal, as it does
# SIGTERM. Python's handler would wait for threads that wait for a server, and for a
# computation that holds the interpreter's lock. No output is lost: click's echo flushes.
at_once = partial(_sigint_handler, signal.SIG_DFL)
# A prompt in `at_once` handles Ctrl-C itself, to turn the terminal's echo on again.
asking = partial(_sigint_handler, signal.default_int_handler)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """End the process by SIGALRM if the block takes longer, which only a bug can cause.

    This also ends a computation that holds the interpreter's lock (a search by `re` in a
    thread): without a handler in Python, the system itself ends the process.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
