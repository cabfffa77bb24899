"""Moving in from static files, and out to them: what `import` and `export` do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import families
from ..answers import OK, Request
from ..config.building import strings_read_by
from ..config.reading import from_raw
from ..config.tables import Provider
from ..config.values import url
from ..config.writing import dumps
from ..documents.thunderbird_reader import MOST_BYTES, NotAutoconfigError, Reader
from ..errors import ConfigError, Problem
from ..service import Service
from . import moving, nginx
from .folder import Folder, opened, trouble

_MANY_FILES = 5000  # of which most are the same


def import_files(files: Iterable[Path]) -> tuple[str, list[str]]:
    """The TOML of what other servers have, and what could not be carried, in sentences.

    Raises ConfigError, naming each file at fault.
    """
    problems: list[Problem] = []
    lost: list[str] = []
    done: set[Path] = set()
    raw: list[dict[str, Any]] = []
    owners: dict[str, Path] = {}
    for file in files:
        if file in done:
            problems.append(Problem(str(file), "it is named twice", "name it once"))
            continue
        done.add(file)
        try:
            providers, of_file = _import(file)
        except ConfigError as error:
            problems += error.problems
            continue
        lost += [f"{file}: {sentence}" for sentence in of_file]
        for provider in providers:
            problems += _claimed_twice(provider, file, owners)
        raw += providers

    if problems:
        raise ConfigError(problems, "nothing is imported")
    return dumps(from_raw({"provider": raw}).tables), lost


def _import(file: Path) -> moving.Read:
    try:
        data = _read(file)
        providers, lost = (moving.reader_of(data) or _read_xml)(file, data)
        for provider in providers:
            lost += _without_odd_urls(provider)
            lost += _kept_order(provider)
            from_raw({"provider": [provider]})
    except OSError as error:
        problem = Problem(str(file), f"cannot read it: {error.strerror}", "check it")
        raise ConfigError([problem]) from error
    except moving.UnreadableError as error:
        problem = Problem(str(file), str(error), "mend it, or import another file")
        raise ConfigError([problem]) from error
    except NotAutoconfigError as error:
        cure = "give config-v1.1.xml files, or the files of automx2 or automx"
        raise ConfigError([Problem(str(file), str(error), cure)]) from error
    except ConfigError as error:
        raise ConfigError(
            [
                Problem(f"{file}: {it.place}", it.message, it.cure)
                if (line := _line_of(it, data)) is None
                else it._replace(file=str(file), line=line)
                for it in error.problems
            ]
        ) from error
    return moving.Read(providers, lost)


def _line_of(problem: Problem, data: bytes) -> int | None:
    """The line of an XML file that has the faulty value, if it is one alone."""
    value = re.search(r'got "?([^"]+)"?$', problem.message)
    if value is None:
        return None
    text = re.compile(rf">\s*{re.escape(value[1])}\s*<")
    lines = data.decode("utf-8", "replace").splitlines()
    found = [number for number, line in enumerate(lines, 1) if text.search(line)]
    return found[0] if len(found) == 1 else None


def _read_xml(_file: Path, data: bytes) -> moving.Read:
    reader = Reader()
    provider = reader.read(data)
    return moving.Read([provider], reader.lost)


def _kept_order(provider: dict[str, Any]) -> Iterator[str]:
    """Tell of an order that one client stumbles over: it is the file's, and stays so."""
    types = [server.get("type") for server in provider.get("incoming", ())]
    if "imap" in types[1:] and types[0] != "imap":
        yield (
            f"{types[0]} stays before imap, as it is there: FairEmail, which reads the "
            "first server alone, finds no settings; let imap stand first"
        )


def _read(file: Path) -> bytes:
    """The file, or as much of it as shows that it is too large.

    It may be a pipe, as a shell's `<(…)` is.
    """
    with file.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)


def _without_odd_urls(provider: dict[str, Any]) -> Iterator[str]:
    """Take out each URL that cannot be served, and what is nothing without it.

    It tells of each. The provider itself stays, whatever it lacks then.
    """
    poorer: dict[str, dict[str, Any]] = {}  # by its place: what lost a URL
    for found in list(strings_read_by(url, Provider, provider, "provider[0]")):
        try:
            url(found.table[found.key])
        except ValueError as error:
            del found.table[found.key]
            if found.table is not provider:
                poorer[found.holder] = found.table
            place = found.place.removeprefix("provider[0].")
            yield f"{place} is left out: {error.args[0]}"

    try:
        from_raw({"provider": [provider]})
    except ConfigError as error:
        faulty = {it.place for it in error.problems}
        for place in filter(faulty.__contains__, poorer):
            _remove(provider, poorer[place])
            name = place.removeprefix("provider[0].")
            yield f"{name} is left out with it: it is nothing without its URL"


def _remove(container: dict[str, Any], table: dict[str, Any]) -> None:
    """Take a table out of wherever it stands in there."""
    for key, value in list(container.items()):
        if value is table:
            del container[key]
        elif isinstance(value, dict):
            _remove(value, table)
        elif isinstance(value, list):
            container[key] = [it for it in value if it is not table]
            for item in container[key]:
                if isinstance(item, dict):
                    _remove(item, table)
            if not container[key]:
                del container[key]


def _claimed_twice(
    provider: dict[str, Any], file: Path, owners: dict[str, Path]
) -> Iterator[Problem]:
    for domain in provider.get("domains", ()):
        owner = owners.setdefault(domain, file)
        if owner != file:
            yield Problem(
                str(file),
                f"it lists the domain {domain}, as {owner} does",
                "import one of them, or remove the domain there",
            )


class Exported(NamedTuple):
    """How many files were written, and what a person should know."""

    written: int
    notes: list[str]


def export(service: Service, directory: Path, *, for_nginx: bool = False) -> Exported:
    """Write the static tree `directory/DOMAIN/PATH`, byte for byte what is served.

    With `for_nginx` each document is written once, with nginx's map to it. Everything
    is written beside the old files first and then moved over them, so that a failure
    leaves the old ones whole. Nothing outside the directory is touched: a link in a
    folder's place is refused, one in a file's place replaced. Raises ConfigError.
    """
    notes: list[str] = []
    try:
        with opened(directory) as root, root.staging() as staging:
            static = _static(service, notes)
            if for_nginx:
                written = list(nginx.stage(static, directory, staging))
            else:
                written = list(_stage(static, staging))
            os.sync()  # once for all: a crash must not leave empty files behind
            for path in written:  # whatever is wrong with a folder, before any move
                with root.below(path.parent.parts):
                    pass
            for number, path in enumerate(written):
                with root.below(path.parent.parts) as folder:
                    folder.take(staging, str(number), path.name)
    except OSError as error:
        raise ConfigError([trouble(error, directory)]) from error

    if not for_nginx and len(written) > _MANY_FILES:
        notes.append(
            "with --nginx each document is one file, however many domains have it"
        )
    notes += _left_over(directory, set(written))
    notes += nginx.left_over(directory, set(written)) if for_nginx else ()
    return Exported(len(written), notes)


def _static(service: Service, notes: list[str]) -> Iterator[nginx.Static]:
    """Every answer that depends on the domain alone."""
    for provider in service.snapshot.loaded.providers:
        for domain in dict.fromkeys(provider.all_domains):
            if domain.startswith("*"):
                notes.append(f"{domain} has no static files: only a service can answer")
                continue
            for path in families.static_paths(service.families):
                answer = service.answer(Request(path, host=domain))
                if answer is not None and answer.status == OK:
                    yield domain, path, answer


def _stage(static: Iterable[nginx.Static], staging: Folder) -> Iterator[Path]:
    """Write each file there by its number; gives the path that it is to have."""
    for number, (domain, path, answer) in enumerate(static):
        staging.write(str(number), answer.body)
        yield Path(domain + path)


def _left_over(directory: Path, written: set[Path]) -> Iterator[str]:
    for path in families.static_paths(families.FAMILIES):
        for file in sorted(directory.glob("*" + path)):
            if file.relative_to(directory) not in written:
                yield f"{file} is no longer served; remove it if nobody else needs it"
