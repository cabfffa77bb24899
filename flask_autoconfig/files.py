"""Reading a file that a person named."""

from __future__ import annotations

from pathlib import Path


def read_file(path: Path) -> bytes:
    """The bytes of an ordinary file; raises OSError where there is none.

    A pipe or a device is refused: it may have no end.
    """
    if path.exists() and not path.is_file():
        raise OSError(None, "it is no ordinary file", str(path))
    return path.read_bytes()
