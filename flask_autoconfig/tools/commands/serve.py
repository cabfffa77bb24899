"""`serve`: the service by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import project

if TYPE_CHECKING:
    from flask import Flask


def _checked_bind(_ctx: object, _option: object, value: str) -> str:
    """What gunicorn takes: an address with a port, or unix: or fd: and its own words."""
    port = value.rpartition(":")[2]
    if value.startswith(("unix:", "fd:")) or (port.isdigit() and int(port) < 65536):
        return value
    raise click.BadParameter(f"{value!r} is no HOST:PORT", param_hint="--bind")


@click.command("serve")
@click.option(
    "--bind",
    default="127.0.0.1:8000",
    show_default=True,
    metavar="HOST:PORT",
    callback=_checked_bind,
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 1024))
@click.option(
    "--proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 16),
    help="How many proxies in front may say the host; with 0 none is believed.",
)
def command(bind: str, workers: int, proxies: int) -> None:
    """Run the service by itself, under gunicorn."""
    from ... import server, standalone

    config = {
        "AUTOCONFIG_FILE": project.file(),
        "AUTOCONFIG_CLIENTS": project.clients_of_app(),
    }
    app = standalone.create_app(config, proxies=proxies)
    click.echo(f"Serving {app.config['AUTOCONFIG_FILE']} at {bind}", err=True)

    def load() -> Flask:
        return app

    server.serve(load, bind=bind, workers=workers)
