"""The parameters of commands, by options.toml."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from ..address import is_ip
from ..files import table_beside
from .net.resolver import LookupFailed, Resolver
from .net.tcp import Network
from .net.untrusted import split_url

Endpoint = tuple[str, int]  # host and port


def _name_server(value: str) -> Endpoint:
    """Parse HOST, HOST:PORT, or an IPv6 address, in brackets before a port."""
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


_TYPES: dict[str, Any] = {"resolver": _name_server, "connect_to": _connection}
_TYPES["timeout"] = click.FloatRange(0.1, 600)
Asked = SimpleNamespace  # the values of a command's parameters
Run = Callable[[Asked], int | None]


def command(name: str, /, *shared: str, **types: Any) -> Callable[[Run], click.Command]:
    """Return a decorator that makes a function the command of that name.

    The function gets the values of the parameters that options.toml has for the command
    and in the *shared* tables; it returns the exit code, None for 0. *types* are click's
    types of the parameters, or functions from the text to the value.
    """
    tables = table_beside(__file__, "options.toml")
    rows = [row for table in (name, *shared) for row in tables[table].items()]
    parameters = [_parameter(names, {**_TYPES, **types}, **row) for names, row in rows]

    def decorate(function: Run) -> click.Command:
        def run(**values: Any) -> None:
            code = function(Asked(**values))
            click.get_current_context().exit(code or 0)

        return click.Command(name, callback=run, params=parameters)

    return decorate


def _parameter(names: str, types: dict[str, Any], **values: Any) -> click.Parameter:
    *_, name = names.split()
    key = name.lstrip("-").replace("-", "_")
    type_ = types.get(key)
    if "range" in values:
        type_ = click.IntRange(*values.pop("range"))
    if "choice" in values:
        type_ = click.Choice(values.pop("choice"))
    if "path" in values:
        type_ = click.Path(path_type=Path, **values.pop("path"))
    if not names.startswith("-"):
        return click.Argument([name], type=type_, **values)
    if "/" in names:  # --on/--off: None if neither is given
        values["default"] = None
    return click.Option(names.split(), type=type_, **values)


def resolver_of(args: Asked) -> Resolver:
    resolver: Endpoint | None = args.resolver
    if resolver and not is_ip(resolver[0]):
        addresses, reason = [], "it has no address"
        try:
            addresses = Resolver(None, args.timeout).addresses(resolver[0])
        except LookupFailed as error:
            reason = error.reason
        if not addresses:
            message = f"there is no name server {resolver[0]!r}: {reason}"
            raise click.BadParameter(message, param_hint="--resolver")
        resolver = (addresses[0], resolver[1])
    return Resolver(resolver, args.timeout)


def network(args: Asked) -> Network:
    connect_to, private = dict(args.connect_to), args.allow_private
    return Network(resolver_of(args), args.timeout, connect_to, allow_private=private)
