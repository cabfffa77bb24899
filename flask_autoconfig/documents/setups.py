"""The accounts that a client sets up, in one form for all documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import NamedTuple

from ..address import fold, is_ip

_MOST_SERVERS = 100  # in a document, since servers are compared pairwise


class Account(NamedTuple):
    """A server as a client sets it up. Values that the document lacks are None or ""."""

    type: str  # imap, pop3, smtp, caldav, carddav
    hostname: str
    port: int
    socket_type: str
    username: str | None = None  # with placeholders, or filled in
    authentication: str = ""
    url: str = ""  # of a service that speaks HTTP

    def __str__(self) -> str:
        if self.url:
            return f"{self.type} {self.url}"
        return f"{self.type} {self.hostname}:{self.port} {self.socket_type}"

    def as_json(self) -> dict[str, object]:
        """Return the values that are known, by the TOML's keys."""
        said = {key: value for key, value in self._asdict().items() if value}
        if self.url:
            return {"type": self.type, "url": self.url}
        return said


class Setup(NamedTuple):
    """Everything that a client sets up."""

    servers: tuple[Account, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.servers)) or "nothing"


class MeaninglessError(ValueError):
    """A document that a client cannot use; `cure` says what to do."""

    def __init__(
        self, message: str, cure: str = "let this service answer there"
    ) -> None:
        self.cure = cure
        super().__init__(message)


@contextmanager
def skipping(skip: Callable[[MeaninglessError], object] | None) -> Iterator[None]:
    """Give *skip* a MeaninglessError instead of raising it, unless it is None."""
    try:
        yield
    except MeaninglessError as error:
        if skip is None:
            raise
        skip(error)


def check_number(servers: Sized) -> None:
    """Raise MeaninglessError for more servers than any real document has."""
    if len(servers) > _MOST_SERVERS:
        message = f"it has {len(servers)} servers, more than {_MOST_SERVERS}"
        raise MeaninglessError(message)


def check_host(host: str) -> None:
    """Raise MeaninglessError for what is neither a host name nor an IP address."""
    try:
        if not is_ip(host):
            fold(host)
    except ValueError:
        raise MeaninglessError(
            f"the server is called {host[:80]!r}, which is no host name",
            "write the host name out",
        ) from None


def port_of(text: str) -> int | None:
    """Return the port in *text*, None if it is not a number from 1 to 65535."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        return None
    return int(text) if 0 < int(text) < 65536 else None
