"""The command `dns`."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import click

from ...address import fold, is_ip
from ...config.reading import read
from ...errors import Problem
from ...service import Service
from ...snapshot import Directory
from .. import ending, options, problems, project, terminal, zone
from ..files import write_all
from ..net.resolver import LookupFailed, Resolver
from ..records import FORMATS, Published, as_text, compare

_WORKERS = 16  # domains compared at a time


def _host(target: str) -> str:
    with suppress(ValueError):
        host = fold(target)
        if "." in host and not is_ip(host):
            return host
    message = f"{target!r} is no full host name; write one like www.example.com"
    raise click.BadParameter(message)


@options.command("dns", "resolver", target=_host, name=click.Choice(list(FORMATS)))
def command(args: options.Asked) -> int:
    domain = args.domain
    name = "json" if args.as_json else args.name
    service = project.service()
    published = _records_of(service, domain, args.target, args.previous)
    claims = service.snapshot.loaded.claims
    if not domain and any(claim.startswith(b"*") for claim in claims):
        note = "note: patterns have no records: name a domain that one of them matches"
        terminal.print_line(f"{note}, as `dns DOMAIN`", err=True)
    if not args.diff:
        _output(name, published, args.folder)
        return 0
    with ending.at_once():
        resolver = options.resolver_of(args)
        different, errors = _compare_all(published, resolver, args.target)
    if different:
        _output(name, different, args.folder)
    width = terminal.width(err=True)
    terminal.show(problems.as_lines(errors, "", "error", width), err=True)
    return 1 if different or errors else 0


def _records_of(
    service: Service, domain: str, target: str, previous: Path | None
) -> Iterator[Published]:
    """Yield the records of one domain, or of all, with the digests of a previous file."""
    earlier = read(previous) if previous else None
    directory = Directory(earlier) if earlier else None
    for name in project.domains(service, domain):
        provider = project.served(service, name).public_provider
        families = [
            row
            for row in service.published_families
            if row.writes_document(provider, name)
        ]
        match = directory.by_domain(name) if directory else None
        digests: list[zone.Record] = []
        if earlier and match:
            old = earlier.providers[match.provider_index]
            digests += zone.digest_records(service.published_families, old, name)
        records = list(zone.records(families, provider, name, target, digests))
        certificates = zone.certificate_names(families, provider, name)
        yield Published(name, certificates, records)


def _compare_all(
    published: Iterator[Published], resolver: Resolver, target: str
) -> tuple[list[Published], list[Problem]]:
    """Return the domains whose records have to change, and errors; print notes."""
    different: list[Published] = []
    errors: list[Problem] = []
    try:
        if not resolver.addresses(target):
            cure = "publish its address before the records, or correct --target"
            errors.append(Problem(target, "it has no address in DNS", cure))
    except LookupFailed as error:
        if error.kind == "timeout":  # other lookups would time out, too
            return [], [Problem("nothing was compared", str(error), error.cure)]

    def compare_domain(domain: Published) -> Published | Problem:
        try:
            return compare(domain, resolver)
        except LookupFailed as error:
            cure = error.cure or "check the name servers of the domain"
            return Problem(domain.domain, f"not compared: {error}", cure)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for result in pool.map(compare_domain, published):
            if isinstance(result, Problem):
                errors.append(result)
                continue
            name = result.domain
            errors += [Problem(name, fault, "") for fault in result.faults]
            for note in result.notes:
                terminal.print_line(f"note: {name}: {note}", err=True)
            if result.records or result.outdated:
                different.append(result)
    return different, errors


def _output(name: str, published: Iterable[Published], folder: Path | None) -> None:
    if folder is None:
        terminal.echo(as_text(name, published), nl=False)
        return
    suffix, write = ("txt" if name == "table" else name), FORMATS[name]
    files = ((Path(f"{row.domain}.{suffix}"), write(row).encode()) for row in published)
    write_all(folder, files)
