"""Reads the files that a configuration names, and detects their changes."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

State = tuple[int, ...]  # differs between two versions of a file
CLOCK_STEP = 20_000_000  # nanoseconds; the clock of file systems is coarse
MOST_BYTES = 256 * 1024 * 1024  # enough for millions of domains
DEFAULT_FILE = "autoconfig.toml"


@cache
def table_beside(module: str, name: str) -> dict[str, Any]:
    """Return the TOML file of that name beside a module, its `__file__`."""
    import tomllib

    return tomllib.loads(Path(module).with_name(name).read_text("utf-8"))


def file_in_environment() -> str | None:
    return os.environ.get("AUTOCONFIG_FILE") or None


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most `most` bytes; raises OSError."""
    with _ordinary(path) as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(size, path, most)
        data = file.read(size + 1)  # allocates no more than that
        if len(data) > size:  # it has grown, or its file system reports no size
            data += file.read(most)
    _check_size(len(data), path, most)
    return data


def read_slices(path: Path, size: int, most: int = MOST_BYTES) -> Iterator[bytes]:
    """Yield the content in slices of about `size` bytes, each of whole lines."""
    read = 0
    with _ordinary(path) as file:
        while piece := file.read(size):
            piece += file.readline(most)
            read += len(piece)
            _check_size(read, path, most)
            yield piece


@contextmanager
def _ordinary(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    A pipe, socket or device is refused without waiting for it. The check is made on the
    open file, so that the file cannot be replaced in between.
    """
    try:
        # Opening a pipe without a writer would block.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
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


def refused(reason: str, path: Path) -> OSError:
    return OSError(None, reason, str(path))


def state_of(path: str | Path) -> State | None:
    """Return a value that differs between versions of a file, None for a missing file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def changed_since(state: State, time_: int) -> bool:
    """Whether the file may have changed since `time_`, in nanoseconds since 1970."""
    return state[3] >= time_ - CLOCK_STEP


def lasting_state(path: Path) -> State | None:
    """Return the file's state, None if it is so recent that a change may not show."""
    state = state_of(path)
    return None if state is None or changed_since(state, time.time_ns()) else state
