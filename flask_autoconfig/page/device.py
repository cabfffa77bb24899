"""Which device a visitor holds, by what its browser says of itself."""

from __future__ import annotations

import re
from typing import Literal

Device = Literal["ios", "mac", "android", "windows", "linux", ""]

# What Sec-CH-UA-Platform says (User-Agent Client Hints, section 3.8), in quotes.
_PLATFORMS: dict[str, Device] = {
    "ios": "ios",
    "macos": "mac",
    "android": "android",
    "windows": "windows",
    "linux": "linux",
}
# In this order: Android's User-Agent has the word Linux, an iPhone's "like Mac OS X". An
# iPad may call itself a Macintosh: script.js knows it by its touch screen.
_WORDS: tuple[tuple[re.Pattern[str], Device], ...] = (
    (re.compile(r"iPhone|iPad|iPod"), "ios"),
    (re.compile(r"Android"), "android"),
    (re.compile(r"Windows"), "windows"),
    (re.compile(r"Macintosh"), "mac"),
    (re.compile(r"CrOS"), ""),
    (re.compile(r"Linux|X11"), "linux"),
)


def device_of(user_agent: str, platform: str = "") -> Device:
    """The device by the headers User-Agent and Sec-CH-UA-Platform, "" for another."""
    said = _PLATFORMS.get(platform.strip().strip('"').lower())
    if said:
        return said
    for word, device in _WORDS:
        if word.search(user_agent):
            return device
    return ""
