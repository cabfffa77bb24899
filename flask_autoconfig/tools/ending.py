"""How a command ends before its time: by Ctrl-C, or when its reader has seen enough."""

from __future__ import annotations

import errno
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

# As shells count a program that a signal has ended: 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT
UNREAD = 128 + signal.SIGPIPE


@contextmanager
def at_once() -> Iterator[None]:
    """Within, Ctrl-C ends the process at once, and so does a pipe that nobody reads.

    Python would wait for every thread first, and no thread that waits for a server can
    be told to stop. SIGTERM ends a process so by itself. What was printed is out:
    click's echo flushes.
    """
    with _hearing():
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                os._exit(UNREAD)
            raise


def code_of(error: BaseException) -> int | None:
    """The exit code for what a person or a reader ended, None for any other error."""
    if isinstance(error, OSError):
        return UNREAD if error.errno == errno.EPIPE else None
    if isinstance(error, click.Abort):  # which a prompt makes of Ctrl-C and of no input
        error = error.__context__ or error
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else None


@contextmanager
def _hearing() -> Iterator[None]:
    """End by Ctrl-C, where a person's would come: not in the background.

    Handlers run in the main thread, which does not wake up from its waiting for others
    where the system gave the signal to one of those. So a thread hears of it too.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    restore = _terminal_as_it_is()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def end(*_: object) -> None:
        restore()
        os._exit(INTERRUPTED)

    def watch() -> None:
        with open(reading, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] == signal.SIGINT:
                    end()

    threading.Thread(target=watch, daemon=True).start()
    with open(writing, "wb", buffering=0):
        waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        before = signal.signal(signal.SIGINT, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            signal.set_wakeup_fd(waking)


def _terminal_as_it_is() -> Callable[[], None]:
    """What makes the terminal as it is now: a question for a password hides the echo."""
    settings: Any = None
    with suppress(OSError, termios.error), _terminal() as terminal:
        settings = termios.tcgetattr(terminal)

    def restore() -> None:
        with suppress(OSError, termios.error), _terminal() as terminal:
            if settings is not None and termios.tcgetattr(terminal) != settings:
                termios.tcsetattr(terminal, termios.TCSANOW, settings)
        if sys.stderr is not None and sys.stderr.isatty():
            os.write(sys.stderr.fileno(), b"\n")  # the prompt does not stand behind ^C

    return restore


def _terminal() -> IO[bytes]:
    """Where a password is asked for; raises OSError."""
    try:
        return open("/dev/tty", "rb", buffering=0)
    except OSError:
        return open(0, "rb", buffering=0, closefd=False)
