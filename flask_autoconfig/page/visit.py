"""A request for the page, the visitor's device, and the URLs of the page's states."""

import re
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header
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
from .words import LONGEST_TAG

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
_BY_NAME: dict[str, Device] = {name: name for name in _DEVICES.values()}

# Invisible characters pasted with an address: of zero width, or for the direction.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# Browsers for iOS that cannot hand a profile to the settings: Firefox, DuckDuckGo, and the
# windows within apps, most of which do not claim to be Safari.
_WITHOUT_PROFILES = re.compile("FxiOS|DuckDuckGo|Ddg/|FBA[NV]|Instagram|^(?!.*Safari/)")
# A copied link, and its address (RFC 6068, section 2).
_LINK = re.compile(r"mailto:([^?]*)", re.IGNORECASE)
_LONGEST_QUERY = 4096
_LONGEST_LANGUAGES = 1024  # browsers send an Accept-Language of less than a hundred
# Room for an address in angle brackets after a name, each octet percent-encoded.
_LONGEST_TYPED = 4 * LONGEST_ADDRESS
_LONGEST_PROGRAM = 40


class Visit:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.http = HttpRequest(request.environ or {})
        self._query = request.query[:_LONGEST_QUERY]
        self._keys = dict(parse_qsl(self._query))
        self.program = self._keys.get("program", "")[:_LONGEST_PROGRAM]
        self.lang = self._keys.get("lang", "")[:LONGEST_TAG]
        # Set by script.js, or by a visitor whose tablet claims to be a computer.
        self.chosen_device = _BY_NAME.get(self._keys.get("device", ""), "")
        self.name = person_name(self._keys.get("name", ""))  # of the person

    @cached_property
    def typed(self) -> str:
        """The address as typed, without what was pasted around it."""
        encoded = encoded_address(self._query)
        if "form" in self._keys:  # the page's own, where a typed plus is sent as %2B
            encoded = encoded.replace("+", "%20")
        # A form sends a space around the address as a plus; within it, a plus is itself.
        encoded = encoded.strip("+")[:_LONGEST_TYPED]
        typed = _INVISIBLE.sub("", decoded(encoded)).strip()
        _, bracket, address = typed.rpartition("<")  # as in: Fred <fred@example.com>
        if bracket and address.endswith(">"):
            typed = address[:-1].strip()
        if link := _LINK.match(typed):
            typed = unquote(link[1])
        # Keyboards of phones add a space after a word that they suggested.
        local, separator, domain = typed.rpartition("@")
        return f"{local.rstrip()}{separator}{domain.strip()}"

    @property
    def languages(self) -> list[str]:
        """The tags of the browser's languages, in order of preference."""
        header = self.http.headers.get("Accept-Language", "")[:_LONGEST_LANGUAGES]
        wanted = parse_accept_header(header, LanguageAccept)
        return [tag for tag, quality in wanted if quality > 0]

    @cached_property
    def device(self) -> Device:
        """The device that the visitor chose or the request comes from, or ""."""
        if self.chosen_device:
            return self.chosen_device
        names = ("Sec-CH-UA-Platform", "User-Agent")
        text = " ".join(self.http.headers.get(name, "") for name in names)
        for pattern, device in _DEVICES.items():
            if re.search(pattern, text):
                return device
        return ""

    @property
    def needs_safari(self) -> bool:
        """Whether the browser is one for iOS that cannot hand over a profile."""
        agent = self.http.headers.get("User-Agent", "")
        return self.device == "ios" and bool(_WITHOUT_PROFILES.search(agent))

    @property
    def root(self) -> str:
        return self.http.root_path.rstrip("/")

    def path(self, suffix: str = "") -> str:
        """Return the path of the page, without the *suffix* of a requested picture."""
        return self.root + self.request.path.removesuffix(suffix)

    @property
    def origin(self) -> str:
        """The scheme and host, "" if the request names no valid host."""
        if not is_authority(self.request.host):
            return ""
        scheme = "https" if self.http.scheme == "https" else "http"
        return f"{scheme}://{self.request.host}"

    def query(self, address: Address | str | None = None, **changes: str) -> str:
        """Return the query string of the page in this state, with changes."""
        keys = {"program": self.program, "lang": self.lang}
        keys |= {"device": self.chosen_device, **changes}
        pairs = {"emailaddress": str(address or ""), **keys}
        return "&".join(f"{key}={quote(text)}" for key, text in pairs.items() if text)

    def url(self, query: str, suffix: str = "") -> str:
        """Return the URL of the page with a query, or its path if the host is invalid."""
        return f"{self.origin}{quote(self.path(suffix))}?{query}"
