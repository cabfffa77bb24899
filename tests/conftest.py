from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# These machines are shared: an example may take its time.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    """Write a configuration; gives its path."""

    def write(text: str, name: str = "autoconfig.toml") -> Path:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write
