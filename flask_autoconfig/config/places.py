"""The places of keys, as problems name them: `provider[0].incoming[1].port`."""

from __future__ import annotations

import re

from .values import quote

BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,78}")
_PROVIDER = re.compile(r"provider\[(\d+)\]")


def below(place: str, key: str) -> str:
    """The place of a key, spelled as TOML would: in quotes unless it is a bare key."""
    name = key if BARE_KEY.fullmatch(key) else quote(key)
    return f"{place}.{name}" if place else name


def holder(place: str) -> str:
    """The place of what holds this one: of `a.b[0]` it is `a.b`, then `a`."""
    return place[: max(place.rfind("."), place.rfind("["), 0)]


def provider_number(place: str) -> int | None:
    """Which of a file's providers the place is in, None for none."""
    found = _PROVIDER.match(place)
    return int(found[1]) if found else None
