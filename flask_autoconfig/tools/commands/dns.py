"""`dns`: the records to publish."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from ...address import fold, is_ip
from ...config.reading import Loaded, read
from ...directory import Directory
from ...families import Family
from .. import project, zone


@click.command("dns")
@click.argument("domain", default="")
@click.option("--target", required=True, help="The host that serves the settings.")
@click.option(
    "--previous",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of before a change: its PACC digests are published beside the new.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(domain: str, target: str, previous: Path | None, as_json: bool) -> None:
    """Print the DNS records to publish, as a zone file for each domain."""
    target = _host(target)
    service = project.service()
    families = service.speaking
    before = read(previous) if previous else None

    output: dict[str, Any] = {}
    zones = []
    for name in project.domains(service, domain):
        provider = project.served(service, name).public_provider
        digests = _digests_before(before, families, name)
        records = list(zone.records(families, provider, name, target, digests))
        certificates = zone.certificate_names(families, provider, name)
        zones.append(zone.zone(name, records, certificates, int(time.time())))
        output[name] = {
            "certificate_names": certificates,
            "records": [record._asdict() for record in records],
        }

    text = json.dumps(output, indent=2) + "\n" if as_json else "\n".join(zones)
    click.echo(text, nl=False)


def _host(target: str) -> str:
    try:
        if is_ip(target):
            raise ValueError("a CNAME leads to a name")
        return fold(target)
    except ValueError:
        message = f"{target!r} is no host name"
        raise click.BadParameter(message, param_hint="--target") from None


def _digests_before(
    before: Loaded | None, families: tuple[Family, ...], domain: str
) -> list[zone.Record]:
    match = Directory(before).by_domain(domain) if before else None
    if before is None or match is None:
        return []
    provider = before.providers[match.provider_index]
    return list(zone.digest_records(families, provider, domain))
