"""The command `dns`."""

from collections.abc import Iterator
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
from ..records import FORMATS, Published, compared, joined

_WORKERS = 16  # domains compared at a time


def _host(target: str) -> str:
    with suppress(ValueError):
        host = fold(target)
        if "." in host and not is_ip(host):
            return host
    message = f"{target!r} is no full host name; write one like www.example.com"
    raise click.BadParameter(message)


@options.command("dns", "resolver", target=_host, name=click.Choice(list(FORMATS)))
def command(asked: options.Asked) -> int:
    domain = asked.domain
    name = "json" if asked.as_json else asked.name
    service = project.service()
    published = _published(service, domain, asked.target, asked.previous)
    claims = service.snapshot.loaded.claims
    if not domain and any(claim.startswith(b"*") for claim in claims):
        note = "note: patterns have no records: name a domain that one of them matches"
        terminal.print_line(f"{note}, as `dns DOMAIN`", err=True)
    if not asked.diff:
        _output(name, published, asked.folder)
        return 0
    with ending.at_once():
        resolver = options.resolver_of(asked)
        different, failed = _compared(published, resolver, asked.target)
    if different:
        _output(name, iter(different), asked.folder)
    width = terminal.width(err=True)
    terminal.show(problems.shown(failed, "", "error", width), err=True)
    return 1 if different or failed else 0


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
    published: Iterator[Published], resolver: Resolver, target: str
) -> tuple[list[Published], list[Problem]]:
    different: list[Published] = []
    failed: list[Problem] = []
    try:
        if not resolver.addresses(target):
            cure = "publish its address before the records, or correct --target"
            failed.append(Problem(target, "it has no address in DNS", cure))
    except LookupFailed as error:
        if error.kind == "timeout":  # so would all the others
            return [], [Problem("nothing was compared", str(error), error.cure)]

    def compare(domain: Published) -> Published | Problem:
        try:
            return compared(domain, resolver)
        except LookupFailed as error:
            cure = error.cure or "check the name servers of the domain"
            return Problem(domain.domain, f"not compared: {error}", cure)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for outcome in pool.map(compare, published):
            if isinstance(outcome, Problem):
                failed.append(outcome)
                continue
            name = outcome.domain
            failed += [Problem(name, fault, "") for fault in outcome.faults]
            for note in outcome.notes:
                terminal.print_line(f"note: {name}: {note}", err=True)
            if outcome.records or outcome.outdated:
                different.append(outcome)
    return different, failed


def _output(name: str, published: Iterator[Published], folder: Path | None) -> None:
    if folder is None:
        terminal.echo(joined(name, published), nl=False)
        return
    end, write = ("txt" if name == "table" else name), FORMATS[name]
    files = ((Path(f"{it.domain}.{end}"), write(it).encode()) for it in published)
    write_all(folder, files)
