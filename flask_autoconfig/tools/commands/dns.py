"""`dns`: the records to publish."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click

from ...address import fold, is_ip
from ...config.reading import Loaded, read
from ...directory import Directory
from ...families import Family
from ...service import Service
from .. import ending, options, project, zone
from ..comparison import compared
from ..folder import opened
from ..record_formats import FORMATS, Format, Published, joined


@click.command("dns")
@click.argument("domain", default="")
@click.option(
    "--target", required=True, metavar="HOST", help="The host that serves the settings."
)
@click.option(
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    default="zone",
    show_default=True,
    help="Lines for a zone file, a table for a web panel, a script for nsupdate, JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--previous",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of before a change: its PACC digests are published beside the new.",
)
@click.option(
    "--diff", is_flag=True, help="Only what DNS lacks or has wrong; exit code 1 then."
)
@click.option(
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a file for each domain there.",
)
@options.resolver_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    domain: str,
    target: str,
    name: str,
    as_json: bool,
    previous: Path | None,
    diff: bool,
    folder: Path | None,
    **asking: Any,
) -> None:
    """Print the DNS records to publish, for each domain of the file or for DOMAIN."""
    name = "json" if as_json else name
    target = _host(target)
    service = project.service()
    published = _published(service, domain, target, previous)
    if diff:
        compare = partial(compared, resolver=options.resolver_of(**asking))
        with ending.at_once(), ThreadPoolExecutor(_AT_ONCE) as pool:
            different = [
                it for it in pool.map(compare, published) if it.records or it.outdated
            ]
        published = iter(different)
        if not different:
            return
    if folder is None:
        click.echo(joined(name, published), nl=False)
    else:
        count = _write(folder, FORMATS[name], published)
        click.echo(f"{count} files written below {folder}", err=True)
    ctx.exit(1 if diff else 0)


_AT_ONCE = 16  # domains that DNS is asked about at the same time


def _published(
    service: Service, asked: str, target: str, previous: Path | None
) -> Iterator[Published]:
    before = read(previous) if previous else None
    families = service.speaking
    for name in project.domains(service, asked):
        provider = project.served(service, name).public_provider
        digests = _digests_before(before, families, name)
        records = list(zone.records(families, provider, name, target, digests))
        certificates = zone.certificate_names(families, provider, name)
        yield Published(name, certificates, records)


def _write(directory: Path, format_: Format, published: Iterator[Published]) -> int:
    """A file for each domain; either all are new, or none is."""
    names: list[str] = []
    with opened(directory) as root, root.staging() as staging:
        for it in published:
            (text,) = format_.write([it])
            staging.write(str(len(names)), text.encode())
            names.append(f"{it.domain}.{format_.extension}")
        for number, name in enumerate(names):
            root.take(staging, str(number), name)
    return len(names)


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
