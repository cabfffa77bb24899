"""Plays every client of a domain, and names the cause of what stops it.

Facts (addresses, connections, certificates, greetings, documents) are gathered once, side
by side, within one deadline (`facts`). Each client is a row of `tools/clients.py`, which
`playing` follows to what the client would set up. The rules of `catalog` look at all of
that (`scene`) and yield findings: a code with values. `weigh` sets their status, merges
equal causes and drops what follows from others; `texts.toml` has the words, and `report`
prints them.
"""

from __future__ import annotations

from .facts import Facts
from .findings import Case, Finding
from .run import (
    Fare,
    Report,
    published,
    reach,
    seconds,
    unchecked,
    unhurried,
    unpublished,
)
from .weigh import FAILURE, NOTE, OK, STATUSES, WARNING

__all__ = [
    "FAILURE",
    "NOTE",
    "OK",
    "STATUSES",
    "WARNING",
    "Case",
    "Facts",
    "Fare",
    "Finding",
    "Report",
    "published",
    "reach",
    "seconds",
    "unchecked",
    "unhurried",
    "unpublished",
]
