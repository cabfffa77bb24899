"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Any

import click

from ..address import is_ip
from .net.resolver import LookupFailed, Resolver
from .net.tcp import Network
from .net.untrusted import split_url

Endpoint = tuple[str, int]  # host and port


def _name_server(_ctx: object, _option: object, value: str | None) -> Endpoint | None:
    """Parse HOST, HOST:PORT or an IPv6 address, which takes brackets before a port."""
    if value is None:
        return None
    if is_ip(value):
        return value, 53
    parts = split_url(f"//{value}")
    port = 53 if parts.port is None else parts.port
    if parts.hostname and port and parts.netloc == value:
        return parts.hostname, port
    raise click.BadParameter(f"{value!r} is not HOST or HOST:PORT")


def _connections(
    _ctx: object, _option: object, values: tuple[str, ...]
) -> list[tuple[Endpoint, Endpoint]]:
    """Parse values of the form that curl's --connect-to has."""
    found = []
    for value in values:
        parts = re.fullmatch("([^:]*):([0-9]{1,5}):([^:]*):([0-9]{1,5})", value)
        if not parts:
            raise click.BadParameter(f"{value!r} is not HOST:PORT:HOST:PORT")
        found.append(((parts[1].lower(), int(parts[2])), (parts[3], int(parts[4]))))
    return found


def resolver_options(command: Any) -> Any:
    """Add the options that :func:`resolver_of` takes."""
    command = click.option(
        "--timeout",
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        type=click.FloatRange(0.1, 600),
        help="How long each step may take.",
    )(command)
    return click.option(
        "--resolver",
        metavar="HOST[:PORT]",
        callback=_name_server,
        help="Ask this name server instead of the system's.",
    )(command)


def network_options(command: Any) -> Any:
    """Add the options that :func:`network` takes."""
    command = click.option(
        "--allow-private",
        is_flag=True,
        help="Connect also to private addresses that DNS or a document names: for a "
        "network of your own.",
    )(command)
    command = click.option(
        "--connect-to",
        metavar="HOST:PORT:HOST:PORT",
        multiple=True,
        callback=_connections,
        help="Connect to the second HOST:PORT where the first is asked for, as curl does: "
        "tests a server before DNS points to it. May be repeated.",
    )(command)
    return resolver_options(command)


def resolver_of(resolver: Endpoint | None, timeout: float) -> Resolver:
    """Return the resolver that the options describe."""
    if resolver and not is_ip(resolver[0]):
        addresses, reason = [], "it has no address"
        try:
            addresses = Resolver(None, timeout).addresses(resolver[0])
        except LookupFailed as error:
            reason = error.reason
        if not addresses:
            message = f"there is no name server {resolver[0]!r}: {reason}"
            raise click.BadParameter(message, param_hint="--resolver")
        resolver = (addresses[0], resolver[1])
    return Resolver(resolver, timeout)


def network(
    resolver: Endpoint | None, timeout: float, connect_to: Any, allow_private: bool
) -> Network:
    """Return the network that the options describe."""
    asked = resolver_of(resolver, timeout)
    return Network(asked, timeout, dict(connect_to), allow_private=allow_private)
