"""`show`: the document that a client gets."""

from __future__ import annotations

import click

from ... import families
from ...address import parse_address
from ...answers import OK
from ...errors import ConfigError, Problem
from ...service import Service
from ...snapshot import Served
from .. import project, terminal


@click.command("show")
@click.argument("address", default="")
@click.option(
    "--format",
    "name",
    type=click.Choice(list(families.formats(families.FAMILIES))),
    default="thunderbird",
    show_default=True,
)
def command(address: str, name: str) -> None:
    """Print the document that a client gets for ADDRESS (or a domain, or nobody)."""
    service = project.service()
    format_ = families.formats(service.families).get(name)
    if format_ is None:
        raise _nothing(service, f"{name} is not among the clients that are served")
    with project.asking(service, address):
        served = _whom(service, address)
    if served is None:
        whom = f"for {address}" if address else "without an address"
        cure = "name an address, or add its domain to a provider's domains"
        raise _nothing(service, f"nothing is served {whom}", cure)

    answer = served.snapshot.document(format_, served)
    if answer.status != OK:
        whom = f"for {address}" if address else "without an address"
        cure = f"{name} has no place for any server of its provider"
        raise _nothing(service, f"nothing is served {whom}", cure)
    terminal.write(answer.body)


def _whom(service: Service, address: str) -> Served | None:
    """Whose settings are to be shown, None for somebody who is not served."""
    if address and "@" not in address:
        return service.lookup.find_domain(project.domain(address))
    try:
        asked = parse_address(address) if address else None
    except ValueError:
        message = f"{address!r} is no e-mail address"
        raise click.BadParameter(message, param_hint="ADDRESS") from None
    return service.lookup.look_up(asked, "")


def _nothing(service: Service, message: str, cure: str = "") -> ConfigError:
    cure = (
        cure
        or "add it to AUTOCONFIG_CLIENTS where that is set, else to `clients` in the file"
    )
    return ConfigError([Problem("", message, cure)], str(service.live.file))
