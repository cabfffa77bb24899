"""A cache with a limit on the memory that it takes."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """A cache of at most *max_bytes*. The oldest entry goes first, the newest stays.

    Reading is thread-safe; callers must hold a lock for changes.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[Key, tuple[Value, int]] = {}  # with sizes, the oldest first
        self.bytes = 0

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        self.pop(key)
        self._entries[key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes and len(self._entries) > 1:
            self.pop(next(iter(self._entries)))

    def pop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        self.bytes -= entry[1] if entry else 0
