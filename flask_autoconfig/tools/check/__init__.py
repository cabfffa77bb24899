"""Plays every client of a domain, and names the cause of what stops it.

Facts (addresses, connections, certificates, greetings, documents) are looked up once,
side by side, within one deadline (`facts`). Each client's way is a row of a table
(`journeys`, `reading`), which `playing` follows to what the client would set up
(`setups`). `run` compares these, with each other and with the file, and asks `causes`
for what stands behind a difference or a stop. `report` says it to people and programs.
"""

from __future__ import annotations

from .facts import Facts
from .findings import Case, Finding
from .run import Fare, Report, published, reach, unhurried, unpublished
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
    "unhurried",
    "unpublished",
]
