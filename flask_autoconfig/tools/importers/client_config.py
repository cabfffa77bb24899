"""Imports config-v1.1.xml."""

from __future__ import annotations

from ...documents.thunderbird_reader import Reader
from .imported import Imported


def read(data: bytes) -> Imported:
    """Read a config-v1.1.xml; raises NotAutoconfigError."""
    reader = Reader()
    provider = reader.read(data)
    return Imported([provider], reader.lost)
