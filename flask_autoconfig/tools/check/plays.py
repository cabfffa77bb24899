"""The result of playing a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ...config.ports import MAIL_TYPES
from ...documents.setups import Account, Setup
from ..net.http import Reply
from .findings import Finding, shown
from .weigh import FAILURE


class Outcome(NamedTuple):
    """What a client got from one request."""

    url: str
    place: str  # of the client's step, or "srv"
    reply: Reply | None = None
    setup: Setup | None = None
    trouble: Finding | None = None


@dataclass
class Play:
    """What a client set up, and what it met on the way."""

    client: str
    family: str
    setup: Setup | None = None
    found: Outcome | None = None  # that has the settings, for a client with steps
    findings: list[Finding] = field(default_factory=list)
    url: str = ""  # that has the settings, for other clients

    @property
    def place(self) -> str:
        """Where the settings came from, for people."""
        return shown(self.found.url if self.found else self.url) or self.client

    @property
    def mail(self) -> list[Account]:
        """The mail accounts of the setup that have a host and a port."""
        accounts = self.setup.servers if self.setup else ()
        return [
            account
            for account in accounts
            if account.type in MAIL_TYPES and not account.url
        ]

    def failures(self) -> list[Finding]:
        """Return the findings that keep the client from working."""
        return [found for found in self.findings if found.status == FAILURE]
