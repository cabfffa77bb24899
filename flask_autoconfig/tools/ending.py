"""How a command ends before its time: by Ctrl-C, a closed pipe, or a last deadline."""

from __future__ import annotations

import errno
import faulthandler
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..cleaning import clean

# As shells count a program that a signal has ended: 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT
UNREAD = 128 + signal.SIGPIPE


@contextmanager
def at_once() -> Iterator[None]:
    """Within, Ctrl-C ends the process at once, and so does a pipe that nobody reads.

    The system ends it, as it does for SIGTERM. A handler of Python's would wait: for
    threads that wait for a server, and for a computation that keeps the interpreter's
    lock. What was printed is out: click's echo flushes.
    """
    with _default_for_ctrl_c(signal.SIG_DFL):
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                os._exit(UNREAD)
            raise


@contextmanager
def asking() -> Iterator[None]:
    """Within `at_once`, let a prompt hear of Ctrl-C: it puts the terminal's echo back."""
    with _default_for_ctrl_c(signal.default_int_handler):
        yield


@contextmanager
def _default_for_ctrl_c(handler: Any) -> Iterator[None]:
    """Handle SIGINT so, unless it is ignored, as it is in the background."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def within(seconds: float, subject: str) -> Iterator[None]:
    """End the process with exit code 1 and a message if the block takes longer.

    That ends a computation too which keeps the interpreter's lock (a search of `re` in a
    thread): faulthandler's watchdog needs no lock. It can only write a stack trace, and
    the shell that reads it writes the message in its place.
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


def code_of(error: BaseException) -> int | None:
    """The exit code for what a person or a reader ended, None for any other error."""
    if isinstance(error, OSError):
        return UNREAD if error.errno == errno.EPIPE else None
    if isinstance(error, click.Abort):  # which a prompt makes of Ctrl-C and of no input
        error = error.__context__ or error
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else None
