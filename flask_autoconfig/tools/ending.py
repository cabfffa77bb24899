"""How a command ends before its time: by Ctrl-C, or when its reader has seen enough."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

# As shells count a program that a signal has ended: 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT
UNREAD = 128 + signal.SIGPIPE


@contextmanager
def at_once() -> Iterator[None]:
    """Within, Ctrl-C ends the process at once, and so does a pipe that nobody reads.

    Python would wait for every thread first, and no thread that waits for a server can
    be told to stop. SIGTERM ends a process so by itself. What was printed is out:
    click's echo flushes. A question to a person belongs into :func:`asking`.
    """
    with _on_interrupt(_end), _watched():
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                os._exit(UNREAD)
            raise


@contextmanager
def asking() -> Iterator[None]:
    """Within :func:`at_once`, let Ctrl-C raise: a prompt turns the echo on again."""
    with _on_interrupt(signal.default_int_handler):
        yield


def code_of(error: BaseException) -> int | None:
    """The exit code for what a person or a reader ended, None for any other error."""
    if isinstance(error, OSError):
        return UNREAD if error.errno == errno.EPIPE else None
    if isinstance(error, click.Abort):  # which a prompt makes of Ctrl-C and of no input
        error = error.__context__ or error
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else None


@contextmanager
def _on_interrupt(handler: Any) -> Iterator[None]:
    """Another answer to Ctrl-C, where a person's would come: not in the background."""
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
def _watched() -> Iterator[None]:
    """Within, a thread sees to it that :func:`_end` runs.

    Python runs it in the main thread, which a signal may reach just before it waits for
    another thread: then it would be run when that wait is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, telling = socket.socketpair()
    telling.setblocking(False)

    def watch() -> None:
        with told:
            while number := told.recv(1):
                if number[0] == signal.SIGINT and signal.getsignal(number[0]) is _end:
                    _end(signal.SIGINT, None)

    before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        telling.close()


_ending = threading.Lock()


def _end(_signal: int, _frame: object) -> None:
    if not _ending.acquire(blocking=False):
        return  # the other thread does it
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\n")  # the prompt does not stand behind ^C
    os._exit(INTERRUPTED)
