"""A valid file, and the faulty ones that mistakes.toml makes of it."""

from typing import Any

import pytest
from support import tables

TABLE = tables("mistakes.toml")
VALID = """# top
[[provider]]
domains = ["example.com"]
# prov
[[provider.incoming]]
type = "imap"
hostname = "imap.example.com"
# in
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
# end
"""
_PLACES = {"whole file": VALID, "servers": VALID.partition("# prov\n")[2]}


def changed(new: str, old: str = "# in") -> str:
    """Return the file with a text replaced; the comments are places for more keys."""
    return VALID.replace(_PLACES.get(old, old), new, 1)


def rows(table: str) -> list[Any]:
    """Return each faulty file of a table with the expected reports."""
    return [
        pytest.param(
            changed(new, old),
            [expected] if isinstance(expected, str) else expected,
            id=f"{old}: {new}"[:80],
        )
        for old, replacements in TABLE[table].items()
        for new, expected in replacements.items()
    ]
