"""What all conversations share: their error and its texts."""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from ...files import table_beside


class ProbeError(Exception):
    """A conversation with a server failed.

    `kind` is the stage: dns, private or port (not allowed to connect), no-route (from this
    machine, as without IPv6), connect, silent, tls, starttls, masked (a firewall hides
    STARTTLS), protocol, refused (in words), http, redirect, login, timeout or late (no
    time was left for the request). `cure` is the remedy, "" if none is known.
    `certificate` and `software` are the server's, if they were seen before the failure.
    """

    certificate: Any = None
    software = ""

    def __init__(self, kind: str, message: str, cure: str = "") -> None:
        self.kind = kind
        self.cure = cure
        super().__init__(message)


# The texts of failed lookups and handshakes.
texts = partial(table_beside, __file__, "failures.toml")


def software_of(lines: Iterable[str]) -> str:
    """Return the name of the software that sent these lines, "" if it is unknown."""
    rows = texts()["software"].items()
    names = [
        name for line in lines for name, regex in rows if re.search(regex, line, re.I)
    ]
    return names[-1] if names else ""


def for_software(cure: str, software: str, protocol: str) -> str:
    """Return a cure with the settings of a software, by default the protocol's usual."""
    usual = texts()["usual"]
    name = software or usual.get(protocol, usual[""])

    def setting(match: re.Match[str]) -> str:
        rows = texts()["settings"][match[1]]
        return f" ({name}: {rows[name]})" if name in rows else ""

    return re.sub(r"\[how: (\w+)\]", setting, cure)
