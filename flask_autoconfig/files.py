"""The files that a person names: which one, and reading it."""

from __future__ import annotations

import os
from pathlib import Path


def read_file(path: Path) -> bytes:
    """The bytes of an ordinary file; raises OSError where there is none.

    A pipe or a device is refused: it may have no end.
    """
    if path.exists() and not path.is_file():
        raise OSError(None, "it is no ordinary file", str(path))
    return path.read_bytes()


DEFAULT_FILE = "autoconfig.toml"


def file_in_environment() -> str | None:
    """The TOML file that the environment names, if it does."""
    return os.environ.get("AUTOCONFIG_FILE") or None
