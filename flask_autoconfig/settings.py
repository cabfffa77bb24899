"""The settings of an address, for the site's own pages and messages."""

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
from .config.tables import SERVER_KEYS, URL_KEYS, Incoming, Outgoing, Provider, Server
from .hooks import HookFailed
from .service import Service, Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Settings(NamedTuple):
    """The mail settings of an address, and the URLs of its page and profile."""

    address: str  # with a folded domain
    provider: Provider  # with the placeholders in its servers filled in
    page_url: str | None  # the page for people; None if that family is not served
    profile_url: str | None  # the Apple profile; likewise

    @property
    def servers(self) -> tuple[Server, ...]:
        """All servers: incoming, outgoing, the others, the best of each kind first."""
        return tuple(server for _, server in self.provider.servers)

    @property
    def incoming(self) -> tuple[Incoming, ...]:
        """The servers that mail is read from."""
        return self.provider.incoming

    @property
    def outgoing(self) -> tuple[Outgoing, ...]:
        """The servers that mail is sent through."""
        return self.provider.outgoing


def settings_of(
    service: Service, address: str | None, environ: WSGIEnvironment | None = None
) -> Settings | None:
    """Return the settings of an address; None if not served or not available now.

    None and invalid addresses have no settings. The URLs have the host of the request, or
    `https://autoconfig.DOMAIN` without one.
    """
    if not isinstance(address, str):
        return None
    try:
        parsed = parse_address(address)
        served = service.lookup.look_up(parsed, "")
    except (ValueError, Unavailable, HookFailed):
        return None
    if served is None:
        return None
    root = _root_of(environ) or f"https://autoconfig.{parsed.domain}"
    query = f"?emailaddress={quote(str(parsed))}"
    page, profile = (service.path_of(name) for name in ("page", "apple"))
    return Settings(
        str(parsed),
        _filled(served.provider, parsed),
        page and root + page + query,
        profile and root + profile + query,
    )


def _root_of(environ: WSGIEnvironment | None) -> str:
    """Return the root URL of a request, "" if it names no host."""
    if environ is None or not is_authority(environ.get("HTTP_HOST", "")):
        return ""
    from werkzeug.wsgi import get_current_url

    return get_current_url(environ, root_only=True).rstrip("/")


def _filled(provider: Provider, address: Address) -> Provider:
    """Return the provider with its servers filled in, without those that cannot be."""
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
        for key in URL_KEYS
        if (url := getattr(server, key, None)) is not None
    }
    if not (host or any(urls.values())):
        return None
    return structs.replace(server, hostname=host, username=username, **urls)
