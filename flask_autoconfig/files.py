"""Reads the files that a configuration names, and detects their changes."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

State = tuple[int, ...]  # differs between two versions of a file
CLOCK_STEP = 20_000_000  # nanoseconds; the clock of file systems is coarse
MOST_BYTES = 256 * 1024 * 1024  # enough for millions of domains
_SLICE = 1 << 16  # bytes
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
    return b"".join(read_slices(path, _SLICE, most))


def read_slices(path: Path, size: int, most: int = MOST_BYTES) -> Iterator[bytes]:
    """Yield the content in slices of about `size` bytes, each of whole lines."""
    read = 0
    with open(path, "rb", opener=_open_ordinary) as file:
        while piece := file.read(size):
            piece += file.readline(most)
            read += len(piece)
            if read > most:
                raise refused(f"it has more than {most // 1024} KiB", path)
            yield piece


def _open_ordinary(path: str, flags: int) -> int:
    """Return the descriptor of a regular file that is opened.

    A pipe, socket or device is refused without waiting for it. The check is made on the
    open file, so that the file cannot be replaced in between.
    """
    try:
        # Opening a pipe without a writer would block.
        number = os.open(path, flags | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise refused("it is no ordinary file", path) from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise refused("it is no ordinary file", path)
    return number


def refused(reason: str, path: str | Path) -> OSError:
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
