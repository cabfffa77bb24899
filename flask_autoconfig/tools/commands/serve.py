"""The command `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ...hooks import Functions
from ...reload import log
from ...service import Service
from .. import terminal

if TYPE_CHECKING:
    from flask import Flask


def _validated_bind(_ctx: object, _option: object, value: str | None) -> str | None:
    """Return an address that gunicorn accepts: HOST:PORT, `unix:PATH` or `fd:NUMBER`."""
    if value is None or value.startswith(("unix:", "fd:")):
        return value
    _, colon, port = value.rpartition(":")
    is_port = port.isdigit() and int(port) < 65536
    if is_port and colon:
        return value
    cure = f"; write 127.0.0.1:{value}" if is_port else ""
    raise click.BadParameter(f"{value!r} is no HOST:PORT{cure}", param_hint="--bind")


@click.command("serve")
@click.option(
    "--bind",
    metavar="HOST:PORT",
    callback=_validated_bind,
    help="Address to serve at; 127.0.0.1:8000 by default.",
)
@click.option(
    "--workers",
    "processes",
    type=click.IntRange(1, 1024),
    help="Number of processes; 2 by default.",
)
@click.option(
    "--proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 16),
    help="Number of proxies in front whose X-Forwarded headers are trusted.",
)
@click.option(
    "--hooks",
    metavar="MODULE[:OBJECT]",
    help="Module or object with the hooks (find_provider, …); each worker imports it.",
)
def command(
    bind: str | None, processes: int | None, proxies: int, hooks: str | None
) -> None:
    """Run the standalone service under gunicorn.

    The environment variable GUNICORN_CMD_ARGS may hold further options of gunicorn.
    """
    from ... import standalone
    from .. import workers

    site = workers.site(hooks)
    app = standalone.create_app(site.config, proxies=proxies, hooks=Functions())
    service: Service = app.extensions["autoconfig"]
    import_hooks = workers.importer(site, service.hooks.functions)
    # Not before `create_app`, which reports errors differently under gunicorn.
    from .. import listeners, server

    def load_app() -> Flask:
        try:
            import_hooks()
        except Exception as error:  # the worker answers what it can without hooks
            log.error("%s: %s", type(error).__name__, error)
        return app

    options = {"bind": bind, "workers": processes}
    try:
        gunicorn = server.Server(load_app, service.live.look, **options)
    except listeners.UnusableError as error:
        raise click.ClickException(str(error)) from None
    if gunicorn.ignored:
        names = ", ".join(gunicorn.ignored)
        terminal.tell(f"GUNICORN_CMD_ARGS: serve keeps its own {names}", err=True)
    terminal.echo(_started(site.name, service, gunicorn.cfg), err=True)
    gunicorn.run()


def _started(name: str, service: Service, config: Any) -> str:
    """Return the line that says what is served and where, as clickable URLs."""
    # `built` is what was read at the start. Looking for an edit would start a thread,
    # which the workers would lose.
    built = service.live.built
    count = len(built.lookup.snapshot.loaded.claims) if built.lookup else 0
    domains = f"{count} {'domain' if count == 1 else 'domains'}"
    page = built.router.first_paths.get("page", "")
    return f"Serving {name}, {domains}, at {_addresses(config, page)}"


def _addresses(config: Any, page: str) -> str:
    scheme = "https" if config.is_ssl else "http"
    addresses = []
    for bind in config.bind:
        host = "127.0.0.1" if bind.startswith(":") else ""  # all addresses
        is_url = not bind.startswith(("unix:", "fd:"))
        addresses.append(f"{scheme}://{host}{bind}{page}" if is_url else bind)
    return ", ".join(addresses)
