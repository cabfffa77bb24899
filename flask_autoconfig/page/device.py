"""Detects the visitor's device by the headers of the request."""

from __future__ import annotations

import re
from typing import Literal

Device = Literal["ios", "mac", "android", "windows", "linux", ""]

# Parts of User-Agent and Sec-CH-UA-Platform (User-Agent Client Hints, section 3.8). The
# order matters: Android's User-Agent contains "Linux", an iPhone's "like Mac OS X". An
# iPad may claim to be a Macintosh: script.js detects it by its touch screen.
_DEVICES: dict[str, Device] = {
    "iPhone|iPad|iPod|iOS": "ios",
    "Android": "android",
    "Windows": "windows",
    "Macintosh|macOS": "mac",
    "CrOS": "",
    "Linux|X11": "linux",
}


def device_of(user_agent: str, platform: str = "") -> Device:
    """Return the device by User-Agent and Sec-CH-UA-Platform, "" if it is unknown."""
    for pattern, device in _DEVICES.items():
        if re.search(pattern, f"{platform} {user_agent}"):
            return device
    return ""
