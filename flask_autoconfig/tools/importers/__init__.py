"""`import`: turns the files of other servers into one TOML."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...config.reading import from_raw
from ...config.values import domain_pattern
from ...config.writing import dumps
from ...documents.thunderbird_reader import NotAutoconfigError
from ...documents.xml import NotXmlError
from ...errors import ConfigError, Problem
from ..not_xml import beginning
from . import automx, automx2, client_config, setups
from .imported import Imported, Raw, UnreadableError
from .invalid import leave_out_invalid

_MOST_BYTES = 64 * 1024 * 1024  # of a file


class Format(NamedTuple):
    """A format that can be imported."""

    name: str
    matches: Callable[[bytes], object]  # whether a file that begins so has this format
    read: Callable[[Path, bytes], Imported]


def _matcher(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(rb"(?:\xef\xbb\xbf)?\s*" + pattern, re.DOTALL).match


# The first one that matches counts.
FORMATS = (
    Format(
        "database of automx2",
        _matcher(rb"SQLite format 3\0"),
        lambda path, _: automx2.read_database(path),
    ),
    Format(
        "seed of automx2", _matcher(rb"\{"), lambda _, data: automx2.read_seed(data)
    ),
    Format(
        "automx.conf",
        re.compile(rb"(?m)^[ \t]*\[automx\]").search,
        lambda _, data: automx.read(data),
    ),
    Format(
        "Autodiscover answer",
        _matcher(rb"(?:<[?!][^>]*>\s*)*<(?:\w+:)?Autodiscover\b"),
        lambda _, data: setups.read_autodiscover(data),
    ),
    Format(
        "configuration profile",
        setups.is_profile,
        lambda _, data: setups.read_profile(data),
    ),
    Format("config-v1.1.xml", lambda _: True, lambda _, data: client_config.read(data)),
)
_NAMES = (
    "config-v1.1.xml, an Autodiscover answer, a profile or a file of automx or automx2"
)


def import_files(files: Iterable[Path]) -> tuple[str, list[str]]:
    """Return the TOML of what the files hold, and a sentence for each thing left out.

    Raises ConfigError that names each invalid file; its notes have the sentences.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    found: dict[Path, list[Raw]] = {}
    for file in files:
        if file in found:
            problems.append(Problem(str(file), "it is named twice", "name it once"))
            continue
        found[file] = []
        try:
            imported = _import(file)
        except ConfigError as error:
            problems += error.problems
            notes += getattr(error, "__notes__", [])
            continue
        notes += _prefixed(file, imported.notes)
        found[file] = imported.providers

    problems += _claimed_twice(found)
    if problems:
        raise _with_notes(problems, notes, "nothing is imported")
    raw = {"provider": _merged(found, notes)}
    return dumps(from_raw(raw).tables), notes


def _import(file: Path) -> Imported:
    """Return what a file holds; raises ConfigError that names the file."""
    notes: list[str] = []
    try:
        providers, notes, where = _read(file)
        if not providers:
            raise UnreadableError("it has no domain with servers")
        for provider in providers:
            notes += leave_out_invalid(provider, where)
            notes += _order_notes(provider)
        from_raw({"provider": providers})
    except ConfigError as error:
        problems = [
            Problem(f"{file}: {problem.place}", problem.message, problem.cure)
            for problem in error.problems
        ]
        raise _with_notes(problems, _prefixed(file, notes)) from error
    except UnreadableError as error:
        problem = Problem(str(file), str(error), error.cure)
        raise _with_notes([problem], _prefixed(file, notes)) from error
    except OSError as error:
        cure = "name a file that you may read"
        problem = Problem(str(file), f"cannot read it: {error.strerror}", cure)
        raise ConfigError([problem]) from error
    return Imported(providers, notes)


def _prefixed(file: Path, notes: Iterable[str]) -> list[str]:
    return [f"{file}: {note}" for note in notes]


def _with_notes(
    problems: list[Problem], notes: Iterable[str], title: str = ""
) -> ConfigError:
    error = ConfigError(problems, title)
    for note in notes:
        error.add_note(note)
    return error


def _read(file: Path) -> Imported:
    """Read a file by its format; raises OSError or UnreadableError."""
    data = _content(file)
    format_ = next(format_ for format_ in FORMATS if format_.matches(data))
    try:
        return format_.read(file, data)
    except UnreadableError:
        raise
    except NotAutoconfigError as error:
        is_broken = isinstance(error.__cause__, NotXmlError)
        is_broken &= data.lstrip().startswith(b"<")
        words, cure = beginning(data) if is_broken else ("", f"name {_NAMES}")
        message = "; ".join(filter(None, (str(error), words)))
        raise UnreadableError(message, cure) from error
    except UnicodeDecodeError as error:
        message = f"it is no readable {format_.name}: {error}"
        raise UnreadableError(message, "save it in UTF-8") from error
    except (ValueError, RecursionError, msgspec.MsgspecError, sqlite3.Error) as error:
        message = f"it is no readable {format_.name}: {error}"
        raise UnreadableError(message) from error


def _content(file: Path) -> bytes:
    """Return the content of a file or of a pipe, such as a shell's `<(…)`.

    A pipe that nobody writes to is empty, and does not block the command.
    """
    number = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(number, True)
    with open(number, "rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        limit = f"{_MOST_BYTES // 1024 // 1024} MiB"
        raise UnreadableError(f"it has more than {limit}")
    if not data:
        raise UnreadableError("it is empty")
    return data


def _order_notes(provider: Raw) -> Iterator[str]:
    types = [server.get("type") for server in provider.get("incoming", ())]
    if "imap" in types[1:] and types[0] != "imap":
        yield (
            f"{types[0]} stays before imap, as it is there: FairEmail, which reads the "
            "first server alone, finds no settings; let imap stand first"
        )


# --- Providers of several files -------------------------------------------------------

_TITLES = ("display_name", "display_short_name")
_DOMAINS = ("domains", "mx_domains")


def _identity(provider: Raw) -> str:
    """Return what two providers share if one can serve the domains of both.

    A name that differs only by the provider's own domain counts as the same.
    """
    raw = {key: value for key, value in provider.items() if key not in _DOMAINS}
    for key in _TITLES:
        for domain in provider.get("domains", ())[:1]:
            raw[key] = raw.get(key, domain).replace(domain, "%EMAILDOMAIN%")
    return repr(sorted(raw.items()))


def _claimed_twice(found: Mapping[Path, list[Raw]]) -> Iterator[Problem]:
    owners: dict[str, Path] = {}
    for file, providers in found.items():
        for domain in (name for raw in providers for name in raw.get("domains", ())):
            owner = owners.setdefault(domain_pattern(domain), file)
            if owner != file:
                yield Problem(
                    str(file),
                    f"it lists the domain {domain}, as {owner} does",
                    "import one of them, or remove the domain there",
                )


def _merged(found: Mapping[Path, list[Raw]], notes: list[str]) -> list[Raw]:
    """Return the providers, those with the same servers as one with all domains."""
    merged: dict[str, Raw] = {}
    for file, providers in found.items():
        for provider in providers:
            first = merged.setdefault(_identity(provider), provider)
            if first is provider:
                continue
            for key in _DOMAINS:
                first.setdefault(key, []).extend(provider.get(key, ()))
            for key in _TITLES:
                if first.get(key) != provider.get(key):
                    first.pop(key, None)
                    notes.append(
                        f"{file}: {key} is left out: the domains share a provider"
                    )
    for provider in merged.values():
        for key in _DOMAINS:
            if key in provider:
                provider[key] = list(dict.fromkeys(provider[key]))
    return list(merged.values())
