"""Moving in from static files, and out to them: what `import` and `export` do."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .. import families
from ..answers import OK, Request
from ..config.reading import from_raw
from ..config.tables import Provider
from ..config.values import domain_pattern, url
from ..config.writing import dumps, strings_read_by
from ..documents.thunderbird_reader import NotAutoconfigError, Reader
from ..documents.xml import MOST_BYTES
from ..errors import ConfigError, Problem
from ..service import Service
from . import moving, nginx
from .automx import automx
from .files import Folder, opened
from .problems import trouble

_MANY_FILES = 5000  # of which most are the same
_MOST_REASONS = 3  # why nothing of a file can be served


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
        problems += _claimed_twice(providers, file, owners)
        raw += providers

    if problems:
        raise ConfigError(problems, "nothing is imported")
    return dumps(from_raw({"provider": raw}).tables), lost


def _import(file: Path) -> moving.Read:
    """What a file holds; each of its errors becomes a ConfigError that names it here."""
    data = b""
    try:
        data = _read(file)
        providers, lost = _read_foreign(file, data) or _read_xml(data)
        if not providers:
            reasons = "; ".join(lost[:_MOST_REASONS]) or "it has no domain with servers"
            raise moving.UnreadableError(f"nothing in it can be served: {reasons}")
        for provider in providers:
            lost += _without_odd_urls(provider)
            lost += _kept_order(provider)
        from_raw({"provider": providers})
    except OSError as error:
        cure = "give a file that you may read"
        problem = Problem(str(file), f"cannot read it: {error.strerror}", cure)
        raise ConfigError([problem]) from error
    except moving.UnreadableError as error:
        problem = Problem(str(file), str(error), "mend it, or import another file")
        raise ConfigError([problem]) from error
    except NotAutoconfigError as error:
        cure = "give config-v1.1.xml files, or the files of automx2 or automx"
        raise ConfigError([Problem(str(file), str(error), cure)]) from error
    except ConfigError as error:
        lines = _lines_of_values(data)
        raise ConfigError(
            [_in_file(it, file, lines) for it in error.problems]
        ) from error
    return moving.Read(providers, lost)


def _read_foreign(path: Path, data: bytes) -> moving.Read | None:
    """Read another server's file, whose content is *data*; None for any other file.

    Raises UnreadableError.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if data.startswith(b"SQLite format 3\0"):
        return _checked("database of automx2", lambda: moving.automx2_database(path))
    if text.startswith(b"{"):
        return _checked("seed of automx2", lambda: moving.automx2_seed(text))
    if re.search(rb"(?m)^[ \t]*\[automx\]", text):
        return _checked("automx.conf", lambda: automx(text))
    return None


def _checked(name: str, call: Callable[[], moving.Read]) -> moving.Read:
    """The result of *call*, with any error of a foreign value as UnreadableError."""
    try:
        return call()
    except moving.UnreadableError:
        raise
    except (ValueError, RecursionError, msgspec.MsgspecError, sqlite3.Error) as error:
        raise moving.UnreadableError(f"it is no readable {name}: {error}") from error


def _in_file(problem: Problem, file: Path, lines: dict[str, list[int]]) -> Problem:
    """The problem with its file, and with its line if one line alone has its value."""
    value = re.search(r'got "?([^"]+)"?$', problem.message)
    found = lines.get(value[1], []) if value else []
    if len(found) == 1:
        return problem._replace(file=str(file), line=found[0])
    return Problem(f"{file}: {problem.place}", problem.message, problem.cure)


def _lines_of_values(data: bytes) -> dict[str, list[int]]:
    """The lines of an XML file by the texts that their elements have."""
    found: dict[str, list[int]] = {}
    if len(data) > MOST_BYTES:  # it is no XML file that was read
        return found
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        for text in re.findall(r">([^<>]*)<", line):
            lines = found.setdefault(text.strip(), [])
            if number not in lines[-1:]:
                lines.append(number)
    return found


def _read_xml(data: bytes) -> moving.Read:
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
    """The content of a file or of a pipe, as a shell's `<(…)` is one.

    A pipe that nobody writes to is empty, and does not hold up the command.
    """
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(number, True)
    with open(number, "rb") as stream:
        data = stream.read(moving.MOST_BYTES + 1)
    if len(data) > moving.MOST_BYTES:
        limit = f"{moving.MOST_BYTES // 1024 // 1024} MiB"
        raise moving.UnreadableError(f"it has more than {limit}")
    if not data:
        raise moving.UnreadableError("it is empty")
    return data


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
    providers: Iterable[dict[str, Any]], file: Path, owners: dict[str, Path]
) -> Iterator[Problem]:
    for domain in (it for provider in providers for it in provider.get("domains", ())):
        owner = owners.setdefault(domain_pattern(domain), file)
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
    leaves the old ones whole. Nothing outside the directory is touched: a link in the
    place of a folder or of a file is refused. Raises ConfigError.
    """
    notes: list[str] = []
    try:
        with opened(directory) as root, root.staging() as staging:
            static = _static(service, notes)
            if for_nginx:
                written = list(nginx.stage(static, directory, staging))
            else:
                written = list(_stage(static, staging))
            root.take(staging, written)
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
