"""Hides passwords, secrets and tokens in what is shown and logged."""

import re

# A key by its end (`client_secret`, not `token_url`), with = or what is written for it.
_NAME = r"(?:secret|password|passwd|passphrase|pwd|token|api[_-]?key|\b(?:pass|pw))"
_KEY = re.compile(rf"{_NAME}[\"'\u201c\u201d]?\s*[=:]+>?\s*", re.IGNORECASE)
_FIRST_KEY = re.compile(rf"\W*+[\w.-]*{_NAME}\b[^\w\s]*\s*[=:>]*\s*", re.IGNORECASE)
_VALUE = re.compile(
    r"\"(?!\"\")(?P<basic>(?:[^\"\\]|\\.)*)|'(?!'')(?P<literal>[^']*)"
    r"|(?P<bare>[\"']{3}.*|[^,}#\"'\s][^,}#]*)"
)
HIDDEN = "\u2026"


def is_secret(key: str) -> bool:
    return _KEY.search(f"{key}=") is not None


def hidden(line: str) -> str:
    """Return a line of TOML, perhaps with errors, without the secrets in it."""
    result, copied, position = "", 0, 0
    while (key := _KEY.search(line, position)) is not None:
        position = key.end()
        value = _VALUE.match(line, position)
        if value is not None and value.lastgroup and value[value.lastgroup].strip():
            start, position = value.span(value.lastgroup)
            result += line[copied:start] + HIDDEN
            copied = position
    return result + line[copied:]


def may_have_secret(line: str) -> bool:
    """Whether an invalid line may begin a secret, whose end is then unknown."""
    return bool(_FIRST_KEY.match(line) or _KEY.search(line))
