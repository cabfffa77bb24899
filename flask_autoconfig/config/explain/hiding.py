"""Hides passwords, secrets and tokens in what is shown and logged."""

import re

# A key by its end (`client_secret`, not `token_url`), before = or what is written for it.
_NAME = r"(?:secret|password|passwd|passphrase|pwd|token|api[_-]?key|\b(?:pass|pw))"
_KEY = re.compile(rf"{_NAME}[\"'\u201c\u201d]?\s*[=:]", re.IGNORECASE)
_FIRST_KEY = re.compile(rf"\W*+[\w.-]*{_NAME}\b", re.IGNORECASE)
HIDDEN = "\u2026"


def is_secret(key: str) -> bool:
    """Whether a key, or a key in a line of valid TOML, is that of a secret."""
    return _KEY.search(f"{key}=") is not None


def may_have_secret(line: str) -> bool:
    """Whether a line, which may be invalid, may begin a secret."""
    return bool(_FIRST_KEY.match(line) or _KEY.search(line))
