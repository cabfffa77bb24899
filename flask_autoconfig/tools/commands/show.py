"""The command `show`."""

import click

from ... import families
from ...answers import OK
from ...errors import ConfigError
from ...service import Service
from .. import options, project, terminal


@options.command("show", name=click.Choice([*families.formats(families.FAMILIES)]))
def command(args: options.Asked) -> None:
    subject, name = args.subject, args.name
    service = project.service()
    whom = f"for {subject}" if subject else "without an address"
    message = f"nothing is served {whom}"
    format_ = families.formats(service.families).get(name)
    if format_ is None:
        message = f"{name} is not among the clients that are served"
        cure = "add its family to AUTOCONFIG_CLIENTS if that is set, else to `clients`"
        raise _error(service, message, cure)
    with project.hook_failures_reported(service, subject):
        if "@" in subject or not subject:
            address = project.address(subject) if subject else None
            served = service.lookup.look_up(address, "")
        else:
            served = service.lookup.find_domain(project.domain(subject))
    if served is None:
        cure = (
            "add its domain to a provider's domains" if subject else "name an address"
        )
        raise _error(service, message, cure)
    answer = served.snapshot.document(format_, served)
    if answer.status != OK:
        cure = f"{name} cannot express the servers or logins of its provider"
        raise _error(service, message, cure)
    terminal.write(answer.body)


def _error(service: Service, message: str, cure: str) -> ConfigError:
    return ConfigError.of("", message, cure, str(service.live.file))
