"""The files that a person names: which one, and reading it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

State = tuple[int, ...]  # of a file: what changes when it does
CLOCK_STEP = 20_000_000  # nanoseconds: file systems stamp by a coarse clock
MOST_BYTES = 256 * 1024 * 1024  # millions of domains; what is larger is a mistake


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of an ordinary file; raises OSError where there is none.

    A file of more than `most` bytes is refused.
    """
    with _ordinary(path) as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(size, path, most)
        data = file.read(size + 1)  # takes no more memory than that
        if len(data) > size:  # it has grown, or its file system tells no size
            data += file.read(most)
    _check_size(len(data), path, most)
    return data


def read_slices(path: Path, size: int, most: int = MOST_BYTES) -> Iterator[bytes]:
    """The same in slices of about that size, each of whole lines."""
    read = 0
    with _ordinary(path) as file:
        while piece := file.read(size):
            piece += file.readline(most)
            read += len(piece)
            _check_size(read, path, most)
            yield piece


@contextmanager
def _ordinary(path: Path) -> Iterator[BinaryIO]:
    """An ordinary file, open for reading.

    A pipe, a socket or a device is refused without waiting for it: it may have no end.
    What is looked at is what was opened, so that nothing can take the file's place in
    between.
    """
    try:
        # A pipe that nobody writes to would hold up an open that blocks.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # what open says of a socket
            raise refused("it is no ordinary file", path) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise refused("it is no ordinary file", path)
        with open(number, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(number)


def _check_size(size: int, path: Path, most: int) -> None:
    if size > most:
        raise refused(f"it has more than {most // 1024} KiB", path)


def state_of(path: str | Path) -> State | None:
    """What changes when the file does, None for one that is not there.

    Equality counts, since clocks can go back.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def changed_since(state: State, time_: int) -> bool:
    """Whether the file may have changed since then, in nanoseconds since 1970."""
    return state[3] >= time_ - CLOCK_STEP


def lasting_state(path: Path) -> State | None:
    """Its state, None where the next change may leave the same: it is too fresh."""
    state = state_of(path)
    return None if state is None or changed_since(state, time.time_ns()) else state


def refused(reason: str, path: Path) -> OSError:
    """Return the error that refuses a file, with the reason in words."""
    return OSError(None, reason, str(path))


DEFAULT_FILE = "autoconfig.toml"


def file_in_environment() -> str | None:
    """The TOML file that the environment names, if it does."""
    return os.environ.get("AUTOCONFIG_FILE") or None
