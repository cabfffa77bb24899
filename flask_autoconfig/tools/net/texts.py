"""The texts of failed lookups and handshakes, from failures.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def texts() -> dict[str, Any]:
    """Return the tables of failures.toml."""
    return tomllib.loads(Path(__file__).with_name("failures.toml").read_text("utf-8"))
