"""A cache that is bounded by the bytes that it takes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """Values by key, *most* bytes of them; the oldest go first, but never the newest.

    Reading is safe in any thread; whoever changes it holds a lock.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Key, tuple[Value, int]] = {}  # the oldest first
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, None for none."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Keep a value that takes *size* bytes."""
        self.pop(key)
        self._entries[key] = value, size
        self.bytes += size
        while self.bytes > self._most and len(self._entries) > 1:
            self.pop(next(iter(self._entries)))

    def pop(self, key: Key) -> None:
        """Remove the value of a key, if there is one."""
        entry = self._entries.pop(key, None)
        self.bytes -= entry[1] if entry else 0
