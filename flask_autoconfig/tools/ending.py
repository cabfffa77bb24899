"""The early end of a command, by Ctrl-C or at its deadline."""

import faulthandler
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..cleaning import clean


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
def within(seconds: float, subject: str) -> Iterator[None]:
    """End the process with exit code 1 and a message if the block takes longer.

    This also ends a computation that holds the interpreter's lock (a search by `re` in a
    thread), since faulthandler's watchdog needs no lock. The watchdog can only write a
    stack trace; the shell that reads the trace writes the message in its place.
    """
    message = f"error: {subject}: it did not end within {seconds:.0f} seconds"
    script = 'read -r _ && printf "%s\\n" "$0" >&2'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, clean(message)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as shell:
        assert shell.stdin is not None  # noqa: S101 (it is a pipe)
        faulthandler.dump_traceback_later(seconds, exit=True, file=shell.stdin)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
