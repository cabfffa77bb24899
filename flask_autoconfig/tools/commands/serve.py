"""`serve`: the service by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...hooks import Hooks
from ...reload import log
from ...service import Service
from .. import terminal

if TYPE_CHECKING:
    from flask import Flask


def _checked_bind(_ctx: object, _option: object, value: str | None) -> str | None:
    """What gunicorn takes: an address with a port, or unix: or fd: and its own words."""
    if value is None:
        return None
    port = value.rpartition(":")[2]
    is_tcp = ":" in value and port.isdigit() and int(port) < 65536
    if value.startswith(("unix:", "fd:")) or is_tcp:
        return value
    cure = (
        f"; write 127.0.0.1:{value}" if value.isdigit() and int(value) < 65536 else ""
    )
    raise click.BadParameter(f"{value!r} is no HOST:PORT{cure}", param_hint="--bind")


def _places(config: Any, page: str) -> str:
    """Where it serves, as URLs to click where a browser can go there."""
    scheme = "https" if config.is_ssl else "http"

    def place(bind: str) -> str:
        if bind.startswith(("unix:", "fd:")):
            return bind
        # Without a host it is every address of the machine, this one too.
        host = "127.0.0.1" if bind.startswith(":") else ""
        return f"{scheme}://{host}{bind}{page}"

    return ", ".join(map(place, config.bind))


@click.command("serve")
@click.option(
    "--bind",
    metavar="HOST:PORT",
    callback=_checked_bind,
    help="Where to listen; 127.0.0.1:8000 by default.",
)
@click.option(
    "--workers",
    "processes",
    type=click.IntRange(1, 1024),
    help="The number of worker processes; 2 by default.",
)
@click.option(
    "--proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 16),
    help="The number of proxies in front, whose headers name the host and the scheme; "
    "with 0 such headers are ignored.",
)
@click.option(
    "--hooks",
    metavar="MODULE[:OBJECT]",
    help="The module or object with find_provider and find_username; each worker "
    "imports it.",
)
def command(
    bind: str | None, processes: int | None, proxies: int, hooks: str | None
) -> None:
    """Answer mail clients without a site of your own, under gunicorn.

    The environment variable GUNICORN_CMD_ARGS takes more of gunicorn's options.
    """
    from ... import listeners, server, standalone
    from .. import workers

    site = workers.site(hooks)
    app = standalone.create_app(site.config, proxies=proxies, hooks=Hooks())
    own: Service = app.extensions["autoconfig"]
    fetch = workers.fetcher(site, own.hooks)

    def load() -> Flask:
        try:
            fetch()
        except Exception as error:  # a worker without hooks answers what it can
            log.error("%s: %s", type(error).__name__, error)
        return app

    try:
        service = server.prepare(load, own.live.look, bind=bind, workers=processes)
    except listeners.UnusableError as error:
        raise click.ClickException(str(error)) from None
    if service.ignored:
        names = ", ".join(service.ignored)
        terminal.tell(f"GUNICORN_CMD_ARGS: serve keeps its own {names}", err=True)
    # What was read at the start: to look for more begins a thread, which no fork keeps.
    built = own.live.built
    count = len(built.lookup.snapshot.loaded.claims) if built.lookup else 0
    domains = f"{count} {'domain' if count == 1 else 'domains'}"
    pages = [it.routes[0].path for it in built.families if it.name == "page"]
    places = _places(service.cfg, pages[0] if pages else "")
    terminal.echo(f"Serving {site.name}, {domains}, at {places}", err=True)
    service.run()
