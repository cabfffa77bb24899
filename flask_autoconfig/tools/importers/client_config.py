"""Imports config-v1.1.xml."""

from __future__ import annotations

from ...documents.thunderbird_reader import Reader
from .imported import Imported


def read(data: bytes) -> Imported:
    """Read a config-v1.1.xml; raises NotAutoconfigError."""
    reader = Reader()
    provider = reader.read(data)
    notes = [f"line {line}: {sentence}" for line, sentence in reader.notes]
    return Imported([provider], notes, reader.where)
