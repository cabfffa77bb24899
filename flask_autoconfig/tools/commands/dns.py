"""The command `dns`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import click

from ...address import fold, is_ip
from ...config.reading import read
from ...errors import ConfigError, Problem
from ...service import Service
from ...snapshot import Directory
from .. import ending, options, problems, project, terminal, zone
from ..comparison import compared
from ..files import opened
from ..net.resolver import LookupFailed, Resolver
from ..record_formats import FORMATS, Format, Published, joined

_WORKERS = 16  # domains compared at a time
_MOST_REPORTED = 30  # problems of one kind
_MOST_PATTERNS = 5


def _host(_ctx: click.Context, _option: click.Parameter, target: str) -> str:
    """Return the folded name of the host that serves the settings."""
    try:
        if is_ip(target):
            raise ValueError("a CNAME needs a name")
        host = fold(target)
    except ValueError:
        message = f"{target!r} is not a host name; write one like www.example.com"
        raise click.BadParameter(message) from None
    if "." not in host:
        message = f"{target!r} has no dot: write the whole name, as www.example.com"
        raise click.BadParameter(message)
    return host


@click.command("dns")
@click.argument("domain", default="")
@click.option(
    "--target",
    required=True,
    metavar="HOST",
    callback=_host,
    help="The host that serves the settings: where the web server or `serve` runs.",
)
@click.option(
    "--format",
    "name",
    type=click.Choice(list(FORMATS)),
    default="zone",
    show_default=True,
    help="zone: lines for a zone file; table: columns to type into a web panel; "
    "nsupdate: a script for dynamic updates; json: an object for programs.",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "--previous",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The TOML file before a change. While servers switch to the new file, DNS needs "
    "the PACC digests of both: this prints the old ones too.",
)
@click.option(
    "--diff",
    is_flag=True,
    help="Compare with DNS, and print only the records that are missing or wrong there. "
    "The exit code is 1 if there are any.",
)
@click.option(
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a file for each domain into this folder instead of printing.",
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
    **resolving: Any,
) -> None:
    """Print the DNS records to publish, for DOMAIN or for every domain of the file.

    Mail clients find the settings through these records.
    """
    name = "json" if as_json else name
    service = project.service()
    published = _published(service, domain, target, previous)
    if not domain:
        _report_patterns(service)
    if not diff:
        _output(name, published, folder)
        return
    with ending.at_once():
        different, failed = _compared(published, options.resolver_of(**resolving))
    if different:
        _output(name, iter(different), folder)
    _report(_too_long(different), "records that are too long")
    _report(failed, "domains")
    ctx.exit(1 if different or failed else 0)


def _published(
    service: Service, asked: str, target: str, previous: Path | None
) -> Iterator[Published]:
    before = read(previous) if previous else None
    directory = Directory(before) if before else None
    for name in project.domains(service, asked):
        provider = project.served(service, name).public_provider
        families = [it for it in service.speaking if it.writes(provider, name)]
        match = directory.by_domain(name) if directory else None
        digests: list[zone.Record] = []
        if before and match:
            old = before.providers[match.provider_index]
            digests += zone.digest_records(service.speaking, old, name)
        records = list(zone.records(families, provider, name, target, digests))
        certificates = zone.certificate_names(families, provider, name)
        yield Published(name, certificates, records)


def _compared(
    published: Iterator[Published], resolver: Resolver
) -> tuple[list[Published], list[Problem]]:
    """Return what differs in each domain, and the domains whose lookup failed.

    If the first ones all time out, there is no name server to be reached, and the others
    are not looked up.
    """
    different: list[Published] = []
    failed: list[Problem] = []
    silent = 0  # lookups that timed out

    def compare(domain: Published) -> tuple[str, Published | LookupFailed]:
        try:
            return domain.domain, compared(domain, resolver)
        except LookupFailed as error:
            return domain.domain, error

    with ThreadPoolExecutor(_WORKERS) as pool:
        done = pool.map(compare, published)
        with closing(cast("Generator[Any]", done)):  # which cancels what is queued
            for count, (name, outcome) in enumerate(done, 1):
                if isinstance(outcome, LookupFailed):
                    cure = outcome.cure or "check the name servers of the domain"
                    failed.append(Problem(name, f"not compared: {outcome}", cure))
                    silent += outcome.kind == "timeout"
                elif outcome.records or outcome.outdated or outcome.too_long:
                    different.append(outcome)
                if count == silent == _WORKERS:
                    message = "not compared either: no name server has answered"
                    failed.append(Problem("the other domains", message, ""))
                    break
    return different, failed


# --- Reports on stderr -------------------------------------------------------------------


def _report_patterns(service: Service) -> None:
    """Say which domains get no records here: those that only patterns match."""
    claims = service.snapshot.loaded.claims
    names = [claim.decode() for claim in claims if claim.startswith(b"*")]
    for name in names[:_MOST_PATTERNS]:
        cure = "name a domain that it matches, as `dns DOMAIN`"
        terminal.tell(f"note: {name} has no records of its own: {cure}", err=True)
    if len(names) > _MOST_PATTERNS:
        more = len(names) - _MOST_PATTERNS
        terminal.tell(f"note: the same holds for {more:,} more patterns", err=True)


def _too_long(published: Sequence[Published]) -> list[Problem]:
    return [
        Problem(
            f"{record.name}.{domain.domain}",
            f"has a {record.type} record that is too long to be written here",
            "remove it by hand",
        )
        for domain in published
        for record in domain.too_long
    ]


def _report(found: Sequence[Problem], subjects: str) -> None:
    width = terminal.width(err=True)
    for problem in found[:_MOST_REPORTED]:
        for line in problems.of_error(ConfigError([problem]), width):
            terminal.echo(line, styled=True, err=True)
    if len(found) > _MOST_REPORTED:
        more = len(found) - _MOST_REPORTED
        terminal.tell(f"and {more:,} more {subjects}", err=True)


# --- Output ------------------------------------------------------------------------------


def _output(name: str, published: Iterator[Published], folder: Path | None) -> None:
    if folder is None:
        terminal.echo(joined(name, published), nl=False)
        return
    try:
        count = _write(folder, FORMATS[name], published)
    except OSError as error:
        raise ConfigError([problems.trouble(error, folder)]) from error
    files = "1 file" if count == 1 else f"{count} files"
    terminal.echo(f"{files} written below {folder}", err=True)


def _write(directory: Path, format_: Format, published: Iterator[Published]) -> int:
    """Write a file for each domain: either all are replaced, or none is."""
    paths: list[Path] = []
    with opened(directory) as root, root.staging() as staging:
        for domain in published:
            staging.write(str(len(paths)), format_.write(domain).encode())
            paths.append(Path(f"{domain.domain}.{format_.extension}"))
        root.take(staging, paths)
    return len(paths)
