"""The settings of an address for the site itself: its profile page, its welcome mail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from msgspec import structs

from .address import (
    Address,
    fill_in,
    fill_in_host,
    fill_in_url,
    is_authority,
    parse_address,
)
from .config.tables import SERVER_KEYS, Incoming, Outgoing, Provider, Server
from .hooks import HookFailed
from .service import Service, Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Settings(NamedTuple):
    """What an address's owner enters in a mail program, and where that is explained."""

    address: str  # as it was asked for, its domain folded
    provider: Provider  # as the TOML has it, placeholders in its servers filled in
    page_url: str | None  # the page for people; None where that family is not served
    profile_url: str | None  # the Apple profile; None likewise

    @property
    def servers(self) -> tuple[Server, ...]:
        """All servers, the best of each kind first: incoming, outgoing, the others."""
        return tuple(server for _, server in self.provider.servers)

    @property
    def incoming(self) -> tuple[Incoming, ...]:
        """Where mail is read."""
        return self.provider.incoming

    @property
    def outgoing(self) -> tuple[Outgoing, ...]:
        """Where mail is sent."""
        return self.provider.outgoing


def settings_of(
    service: Service, address: str | None, environ: WSGIEnvironment | None = None
) -> Settings | None:
    """The settings of an address, None where none are served or can be told now.

    What is no address is served by nobody: a user of the site may have none. The URLs
    are at the host of the request, without one at `https://autoconfig.DOMAIN`.
    """
    if not isinstance(address, str):
        return None
    try:
        whom = parse_address(address)
        served = service.lookup.look_up(whom, "")
    except (ValueError, Unavailable, HookFailed):
        return None
    if served is None:
        return None
    root = _root_of(environ) or f"https://autoconfig.{whom.domain}"
    query = f"?emailaddress={quote(str(whom))}"
    page, profile = (service.path_of(name) for name in ("page", "apple"))
    return Settings(
        str(whom),
        _filled(served.provider, whom),
        page and root + page + query,
        profile and root + profile + query,
    )


def _root_of(environ: WSGIEnvironment | None) -> str:
    """The URL that a request's paths count from, "" where it names no host."""
    if environ is None or not is_authority(environ.get("HTTP_HOST", "")):
        return ""
    from werkzeug.wsgi import get_current_url

    return get_current_url(environ, root_only=True).rstrip("/")


def _filled(provider: Provider, address: Address) -> Provider:
    """The provider's servers for one person; one that cannot be named is left out."""
    filled = {
        key: tuple(
            ready
            for server in getattr(provider, key)
            if (ready := _ready(server, address)) is not None
        )
        for key in SERVER_KEYS
    }
    return structs.replace(provider, **filled)


def _ready(server: Server, address: Address) -> Server | None:
    domain = address.domain
    host = fill_in_host(server.hostname, domain, address) or None
    username = fill_in(server.username, domain, address) or None
    urls = {
        key: fill_in_url(url, domain, address) or None
        for key in _URLS
        if (url := getattr(server, key, None)) is not None
    }
    if not (host or any(urls.values())):
        return None
    return structs.replace(server, hostname=host, username=username, **urls)


_URLS = ("url", "owa_url", "ews_url", "eas_url")
