"""What all conversations share: their error, its texts, and calls in threads."""

import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ...files import table_beside

T = TypeVar("T")


class ProbeError(Exception):
    """A conversation with a server failed.

    `kind` is the stage: dns, private or port (not allowed to connect), no-route (from this
    machine, as without IPv6), connect, silent, tls, starttls, masked (a firewall hides
    STARTTLS), protocol, refused (in words), http, redirect, login, timeout or late (no
    time was left to ask). `cure` is the remedy, "" where none is known. `certificate` is
    what the server showed before, and `software` what it is, as far as it is known.
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
    """Return which software said the lines, "" if they do not tell."""
    known = texts()["software"].items()
    found = [
        name for line in lines for name, says in known if re.search(says, line, re.I)
    ]
    return found[-1] if found else ""


def for_software(cure: str, software: str, protocol: str) -> str:
    """Return a cure with the settings of a software, or of the protocol's usual one."""
    usual = texts()["usual"]
    name = software or usual.get(protocol, usual[""])

    def setting(found: re.Match[str]) -> str:
        rows = texts()["settings"][found[1]]
        return f" ({name}: {rows[name]})" if name in rows else ""

    return re.sub(r"\[how: (\w+)\]", setting, cure)


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call *function* in a daemon thread, which a caller in a hurry leaves behind.

    The threads of an executor would keep the process from ending.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # the caller handles it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
