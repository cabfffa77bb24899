"""The files that a person names: which one, and reading it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 256 * 1024 * 1024  # millions of domains; what is larger is a mistake


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file; raises OSError where there is none.

    A pipe, a socket or a device is refused without waiting for it: it may have no end.
    So is a file of more than `most` bytes. What is looked at is what was opened, so that
    nothing can take the file's place in between.
    """
    try:
        # A pipe that nobody writes to would hold up an open that blocks.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # what open says of a socket
            raise _refused("it is no ordinary file", path) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise _refused("it is no ordinary file", path)
        with open(number, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(number)
    if len(data) > most:
        raise _refused(f"it has more than {most // 1024} KiB", path)
    return data


def _refused(reason: str, path: Path) -> OSError:
    return OSError(None, reason, str(path))


DEFAULT_FILE = "autoconfig.toml"


def file_in_environment() -> str | None:
    """The TOML file that the environment names, if it does."""
    return os.environ.get("AUTOCONFIG_FILE") or None
