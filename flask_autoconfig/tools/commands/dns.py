"""`dns`: the records to publish."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import click

from ...address import fold, is_ip
from ...config.reading import Loaded, read
from ...directory import Directory
from ...errors import ConfigError, Problem
from ...families import Family
from ...service import Service
from .. import ending, options, project, terminal, zone
from ..comparison import compared
from ..files import opened
from ..net.resolver import LookupFailed, Resolver
from ..problems import trouble
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
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
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
    if not domain:
        _tell_patterns(service)
    if not diff:
        _give(name, published, folder)
        return
    with ending.at_once():
        different, failed = _compared(published, options.resolver_of(**asking))
    if different:
        _give(name, iter(different), folder)
    _tell_too_long(different)
    for problem in failed[:_MOST_TOLD]:
        project.tell_problem(problem)
    if len(failed) > _MOST_TOLD:
        terminal.tell(f"and {len(failed) - _MOST_TOLD:,} more domains", err=True)
    ctx.exit(1 if different or failed else 0)


_AT_ONCE = 16  # domains that DNS is asked about at the same time
_MOST_TOLD = 30  # domains that DNS says nothing of


def _compared(
    published: Iterator[Published], resolver: Resolver
) -> tuple[list[Published], list[Problem]]:
    """What differs of each domain, and those that nobody answers for.

    Where the first ones all run out of time, no name server is there: the others are
    not asked.
    """
    different: list[Published] = []
    failed: list[Problem] = []
    silent = 0  # that many, and nobody else was asked yet

    def compare(it: Published) -> tuple[str, Published | LookupFailed]:
        try:
            return it.domain, compared(it, resolver)
        except LookupFailed as error:
            return it.domain, error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = pool.map(compare, published)
        with closing(cast("Generator[Any]", done)):  # who waits is not asked then
            for asked, (domain, outcome) in enumerate(done, 1):
                if isinstance(outcome, LookupFailed):
                    cure = outcome.cure or "look at the name servers of the domain"
                    failed.append(Problem(domain, f"not compared: {outcome}", cure))
                    silent += outcome.kind == "timeout"
                elif outcome.records or outcome.outdated or outcome.too_long:
                    different.append(outcome)
                if asked == silent == _AT_ONCE:
                    message = "not compared either: no name server answered so far"
                    failed.append(Problem("the other domains", message, ""))
                    break
    return different, failed


def _tell_patterns(service: Service) -> None:
    """Say which domains have no records here: those that only patterns stand for."""
    names = [it for it in service.snapshot.loaded.claims if it.startswith(b"*")]
    for name in names[:_MOST_PATTERNS]:
        cure = "name one that it stands for, as `dns DOMAIN`"
        note = f"note: {name.decode()} has no records of its own: {cure}"
        terminal.tell(note, err=True)
    if len(names) > _MOST_PATTERNS:
        more = len(names) - _MOST_PATTERNS
        terminal.tell(f"note: nor have {more:,} more patterns", err=True)


_MOST_PATTERNS = 5


def _tell_too_long(published: list[Published]) -> None:
    """Say which records of DNS are too long to be named in the output."""
    too_long = [(it.domain, record) for it in published for record in it.too_long]
    for domain, record in too_long[:_MOST_TOLD]:
        message = f"has a {record.type} record that is too long to be written here"
        cure = "remove it by hand"
        project.tell_problem(Problem(f"{record.name}.{domain}", message, cure))
    if len(too_long) > _MOST_TOLD:
        more = len(too_long) - _MOST_TOLD
        terminal.tell(f"and {more:,} more records that are too long", err=True)


def _give(name: str, published: Iterator[Published], folder: Path | None) -> None:
    if folder is None:
        terminal.echo(joined(name, published), nl=False)
        return
    try:
        count = _write(folder, FORMATS[name], published)
    except OSError as error:
        raise ConfigError([trouble(error, folder)]) from error
    files = "1 file" if count == 1 else f"{count} files"
    terminal.echo(f"{files} written below {folder}", err=True)


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
    paths: list[Path] = []
    with opened(directory) as root, root.staging() as staging:
        for it in published:
            (text,) = format_.write([it])
            staging.write(str(len(paths)), text.encode())
            paths.append(Path(f"{it.domain}.{format_.extension}"))
        root.take(staging, paths)
    return len(paths)


def _host(target: str) -> str:
    try:
        if is_ip(target):
            raise ValueError("a CNAME leads to a name")
        host = fold(target)
        message = f"{target!r} has no dot: write the whole name, as www.example.com"
    except ValueError:
        host, message = (
            "",
            f"{target!r} is no host name; write one like www.example.com",
        )
    if "." not in host:
        raise click.BadParameter(message, param_hint="--target")
    return host


def _digests_before(
    before: Loaded | None, families: tuple[Family, ...], domain: str
) -> list[zone.Record]:
    match = Directory(before).by_domain(domain) if before else None
    if before is None or match is None:
        return []
    provider = before.providers[match.provider_index]
    return list(zone.digest_records(families, provider, domain))
