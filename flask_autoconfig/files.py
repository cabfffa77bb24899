"""Reads the files that a configuration names, and detects their changes."""

import os
import stat
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

State = tuple[int, ...]  # differs between two versions of a file
CLOCK_STEP = 20_000_000  # nanoseconds; the clock of file systems is coarse
MAX_BYTES = 256 * 1024 * 1024  # enough for millions of domains
_SLICE = 1 << 16  # bytes
DEFAULT_FILE = "autoconfig.toml"


@cache
def table_beside(module: str, name: str) -> dict[str, Any]:
    """Return the TOML file of that name beside a module, its `__file__`."""
    import tomllib

    return tomllib.loads(Path(module).with_name(name).read_text("utf-8"))


def file_in_environment() -> str | None:
    return os.environ.get("AUTOCONFIG_FILE") or None


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file of at most `max_bytes`; raises OSError."""
    return b"".join(read_slices(path, _SLICE, max_bytes))


def read_slices(path: Path, size: int, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """Yield the content in slices of about `size` bytes, each of whole lines."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe could block
        raise refused("it is no ordinary file", path)
    total = 0
    with open(path, "rb") as file:
        while slice_ := file.read(size):
            slice_ += file.readline(max_bytes)
            total += len(slice_)
            if total > max_bytes:
                raise refused(f"it has more than {max_bytes // 1024} KiB", path)
            yield slice_


def refused(reason: str, path: str | Path) -> OSError:
    return OSError(None, reason, str(path))


def state_of(path: str | Path) -> State | None:
    """Return a value that differs between versions of a file, None for a missing file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def changed_since(state: State, nanoseconds: int) -> bool:
    """Whether the file may have changed since a time in nanoseconds since 1970."""
    return state[3] >= nanoseconds - CLOCK_STEP


def settled_state(path: Path) -> State | None:
    """Return the file's state, None if it is so recent that a change may not show."""
    state = state_of(path)
    return None if state is None or changed_since(state, time.time_ns()) else state
