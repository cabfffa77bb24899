"""Options that several commands have."""

from __future__ import annotations

from typing import Any

import click

from ..address import is_ip
from .net.resolver import LookupFailed, Resolver
from .net.tcp import Network


class _HostPort(click.ParamType[tuple[str, int]]):
    """HOST or HOST:PORT; an IPv6 address in brackets."""

    name = "HOST[:PORT]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, port = value, "53"
        if value.startswith("["):
            host, _, rest = value[1:].partition("]")
            port = rest.removeprefix(":") or port
        elif value.count(":") == 1:
            host, _, port = value.partition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return host, int(port)


class _ConnectTo(click.ParamType[tuple[tuple[str, int], tuple[str, int]]]):
    """HOST:PORT:HOST:PORT, as curl's --connect-to."""

    name = "HOST:PORT:HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, int], tuple[str, int]]:
        parts = value.split(":")
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return (parts[0].lower(), int(parts[1])), (parts[2], int(parts[3]))


def resolver_options(command: Any) -> Any:
    """The options that say how DNS is asked; see :func:`resolver_of`."""
    for option in (
        click.option(
            "--resolver",
            type=_HostPort(),
            help="The name server to ask, not the system's.",
        ),
        click.option(
            "--timeout",
            default=5.0,
            show_default=True,
            type=click.FloatRange(0.1, 600),
            help="Seconds for each step.",
        ),
    ):
        command = option(command)
    return command


def network_options(command: Any) -> Any:
    """The options that say how servers are reached; see :func:`network`."""
    command = resolver_options(command)
    for option in (
        click.option(
            "--connect-to",
            multiple=True,
            type=_ConnectTo(),
            help="Go there for that host and port, as curl does; to try a server "
            "before DNS points to it.",
        ),
        click.option(
            "--allow-private",
            is_flag=True,
            help="Go to private addresses too that DNS or a document names: the "
            "network is your own.",
        ),
    ):
        command = option(command)
    return command


def resolver_of(resolver: tuple[str, int] | None, timeout: float) -> Resolver:
    """Who is asked for names, from what those options say."""
    if resolver and not is_ip(resolver[0]):
        addresses, why = [], "it has no address"
        try:
            addresses = Resolver(None, timeout).addresses(resolver[0])
        except LookupFailed as error:
            why = error.reason
        if not addresses:
            message = f"there is no name server {resolver[0]!r}: {why}"
            raise click.BadParameter(message, param_hint="--resolver")
        resolver = (addresses[0], resolver[1])
    return Resolver(resolver, timeout)


def network(
    resolver: tuple[str, int] | None,
    timeout: float,
    connect_to: Any,
    allow_private: bool,
) -> Network:
    """How servers are reached, from what those options say."""
    return Network(
        resolver_of(resolver, timeout),
        timeout,
        dict(connect_to),
        allow_private=allow_private,
    )
