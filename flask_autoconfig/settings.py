"""The settings of an address, for the site's own pages and messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    root = f"https://autoconfig.{parsed.domain}"
    if environ is not None and is_authority(environ.get("HTTP_HOST", "")):
        from werkzeug.wsgi import get_current_url

        root = get_current_url(environ, root_only=True).rstrip("/")
    query = f"?emailaddress={quote(str(parsed))}"
    page, profile = (service.path_of(name) for name in ("page", "apple"))
    filled = {
        key: tuple(_filled(getattr(served.provider, key), parsed))
        for key in SERVER_KEYS
    }
    return Settings(
        str(parsed),
        structs.replace(served.provider, **filled),
        page and root + page + query,
        profile and root + profile + query,
    )


def _filled(servers: Iterable[Server], address: Address) -> Iterator[Server]:
    """Yield the servers with their placeholders filled in, if that can be."""
    domain = address.domain
    for server in servers:
        host = fill_in_host(server.hostname, domain, address) or None
        username = fill_in(server.username, domain, address) or None
        urls = {
            key: fill_in_url(url, domain, address) or None
            for key in URL_KEYS
            if (url := getattr(server, key, None)) is not None
        }
        if host or any(urls.values()):
            yield structs.replace(server, hostname=host, username=username, **urls)
