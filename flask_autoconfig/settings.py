"""The settings of an address, for the site's own pages and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from .address import is_authority, parse_address
from .config.tables import Incoming, Outgoing, Provider, Server
from .documents import Recipient
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
    return Settings(
        str(parsed),
        Recipient(address=parsed).filled(served.provider),
        page and root + page + query,
        profile and root + profile + query,
    )
