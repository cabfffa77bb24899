"""Options that several commands share."""

import re
from collections.abc import Callable
from typing import Any

import click

from ..address import is_ip
from ..files import table_beside
from .net.resolver import LookupFailed, Resolver
from .net.tcp import Network
from .net.untrusted import split_url

Endpoint = tuple[str, int]  # host and port


def of(command: str, **types: Any) -> Callable[[Any], Any]:
    """Add the options that options.toml has for a command, by its decorator.

    *types* are click's types of the parameters, or functions from the text to the value.
    """

    def add(function: Any) -> Any:
        rows = table_beside(__file__, "options.toml")[command]
        for names, values in reversed(rows.items()):
            name = names.split()[-1].lstrip("-").replace("-", "_")
            if "/" in names:  # --on/--off: neither may be given
                values = {"default": None, **values}
            option = click.option(*names.split(), type=types.get(name), **values)
            function = option(function)
        return function

    return add


def _name_server(value: str) -> Endpoint:
    """Parse HOST, HOST:PORT or an IPv6 address, which takes brackets before a port."""
    if is_ip(value):
        return value, 53
    parts = split_url(f"//{value}")
    port = 53 if parts.port is None else parts.port
    if parts.hostname and port and parts.netloc == value:
        return parts.hostname, port
    raise click.BadParameter(f"{value!r} is not HOST or HOST:PORT")


def _connection(value: str) -> tuple[Endpoint, Endpoint]:
    """Parse a value of the form that curl's --connect-to has."""
    parts = re.fullmatch("([^:]*):([0-9]{1,5}):([^:]*):([0-9]{1,5})", value)
    if not parts:
        raise click.BadParameter(f"{value!r} is not HOST:PORT:HOST:PORT")
    return (parts[1].lower(), int(parts[2])), (parts[3], int(parts[4]))


resolver_options = of(
    "resolver", resolver=_name_server, timeout=click.FloatRange(0.1, 600)
)


def network_options(command: Any) -> Any:
    return resolver_options(of("network", connect_to=_connection)(command))


def resolver_of(resolver: Endpoint | None, timeout: float) -> Resolver:
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
    asked = resolver_of(resolver, timeout)
    return Network(asked, timeout, dict(connect_to), allow_private=allow_private)
