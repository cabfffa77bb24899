"""What a visitor asks of the page, and the addresses of its states."""

from __future__ import annotations

import re
from functools import cache, cached_property
from urllib.parse import parse_qsl, quote

from werkzeug.wrappers import Request as HttpRequest

from ..address import (
    LONGEST_ADDRESS,
    Address,
    decoded,
    encoded_address,
    is_authority,
    person_name,
)
from ..answers import Request
from .device import Device, device_of
from .languages import LONGEST_TAG, accepted

# What is pasted with an address and not seen: marks of width and of direction.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LONGEST_QUERY = 4096
# Of what was typed: an address, each octet percent-encoded, in brackets after a name.
_LONGEST_TYPED = 4 * LONGEST_ADDRESS
_LONGEST_PROGRAM = 40  # of a program's id
# Around an address a plus is a space that a form has sent; within one it is a plus.
_SPACES = ("+", "%20", "%09")


class Visit:
    """A request of the page."""

    def __init__(self, asked: Request) -> None:
        self.asked = asked
        self.http = HttpRequest(asked.environ or {})
        self._quote = cache(quote)  # the page has a link for each program and language
        self._keys = dict(parse_qsl(asked.query[:_LONGEST_QUERY]))
        self.program = self._keys.get("program", "")[:_LONGEST_PROGRAM]
        self.lang = self._keys.get("lang", "")[:LONGEST_TAG]

    @cached_property
    def typed(self) -> str:
        """The address as it was typed, without the spaces of a pasted one."""
        encoded = encoded_address(self.asked.query[:_LONGEST_QUERY])[:_LONGEST_TYPED]
        typed = _UNSEEN.sub("", decoded(_stripped(encoded))).strip()
        _, bracket, address = typed.rpartition("<")  # as programs show a person
        is_in_brackets = bracket and address.endswith(">")
        return address[:-1].strip() if is_in_brackets else typed

    @property
    def shown(self) -> str:
        """The same, as far as an address can go (RFC 5321, section 4.5.3.1.3)."""
        return self.typed[:LONGEST_ADDRESS]

    @property
    def name(self) -> str:
        """The person's name, "" for none."""
        return person_name(self._keys.get("name", ""))

    @property
    def languages(self) -> list[str]:
        """The tags of the languages that the browser wants, the most wanted first."""
        return accepted(self.http.headers.get("Accept-Language", ""))

    @property
    def device(self) -> Device:
        """The device that it comes from, by its headers."""
        headers = self.http.headers
        agent = headers.get("User-Agent", "")
        return device_of(agent, headers.get("Sec-CH-UA-Platform", ""))

    @property
    def root(self) -> str:
        """Where the application is mounted, without a slash at the end."""
        return self.http.root_path.rstrip("/")

    def path(self, *suffixes: str) -> str:
        """The page's own path, below which its pictures are."""
        path = self.asked.path
        for suffix in suffixes:
            path = path.removesuffix(suffix)
        return self.root + path

    @property
    def origin(self) -> str:
        """Scheme and host, "" where the client names no host."""
        if not is_authority(self.asked.host):
            return ""
        scheme = "https" if self.http.scheme == "https" else "http"  # a proxy says it
        return f"{scheme}://{self.asked.host}"

    def query(self, address: Address | None = None, **changed: str) -> str:
        """The query of a state of the page: what was asked, with something changed."""
        keys = {"program": self.program, "lang": self.lang, **changed}
        pairs = [f"emailaddress={self._quote(str(address))}"] if address else []
        pairs += [f"{key}={self._quote(said)}" for key, said in keys.items() if said]
        return "&".join(pairs)


def _stripped(encoded: str) -> str:
    """Return a percent-encoded text without the spaces around it."""
    while encoded.startswith(_SPACES):
        encoded = encoded[1 if encoded[0] == "+" else 3 :]
    while encoded.endswith(_SPACES):
        encoded = encoded[: -1 if encoded[-1] == "+" else -3]
    return encoded
