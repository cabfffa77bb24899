"""`import`: turns the files of other servers into one TOML."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from ...config.ports import standard_port
from ...config.reading import from_raw
from ...config.writing import dumps
from ...documents.shapes import beginning
from ...documents.thunderbird_reader import NotAutoconfigError, Reader
from ...documents.xml import NotXmlError
from ...errors import ConfigError, Problem
from ...files import read_file
from ..net.http import Request, fetch_once, follow_redirects
from ..net.resolver import Resolver
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from . import automx, setups
from .imported import Imported, Raw, prune, unreadable

Source: TypeAlias = Path | str  # a file, or a URL
_MOST_BYTES = 64 * 1024 * 1024  # of a file
_MOST_SECONDS = 20.0  # for a URL, with its redirects
_DOWNLOAD = "download it, and name the file"
_NAMES = "config-v1.1.xml, an Autodiscover answer, a profile, or a file of automx(2)"


def _read_xml(_file: Path, data: bytes) -> Imported:
    reader = Reader()
    provider = reader.read(data)
    notes = [f"line {line}: {sentence}" for line, sentence in reader.notes]
    return Imported([provider], notes, reader.where)


_AUTODISCOVER = rb"\s*(?:<[?!][^>]*>\s*)*<(?:\w+:)?Autodiscover\b"
_PROFILE = rb"bplist|(?>[\s\S]*?<plist)[\s\S]*PayloadContent"
# Each with its name, a pattern of how such a file begins, without a byte order mark, and
# its reader; the first one that matches counts.
FORMATS: tuple[tuple[str, bytes, Callable[[Path, bytes], Imported]], ...] = (
    ("database of automx2", rb"SQLite format 3\0", automx.read_database),
    ("seed of automx2", rb"\s*\{", automx.read_seed),
    ("automx.conf", rb"(?m)(?s:.*?)^[ \t]*\[automx\]", automx.read),
    ("Autodiscover answer", _AUTODISCOVER, setups.read_autodiscover),
    ("configuration profile", _PROFILE, setups.read_profile),
    ("config-v1.1.xml", b"", _read_xml),
)


def import_files(files: Iterable[Source], tell: Callable[[str], None]) -> str:
    """Return the TOML of what the files hold; *tell* gets what is left out of it.

    A string is a URL. Raises ConfigError that names each invalid file.
    """
    problems: list[Problem] = []
    found: list[tuple[Source, Raw]] = []
    for file in dict.fromkeys(files):
        try:
            providers, notes, where = _read(file)
            if str(file).startswith("http:"):
                tell(f"{file}: it came over http, where anybody may change it")
            for note in notes:
                tell(f"{file}: {note}")
            if not providers:
                raise unreadable("it has no domain with servers")
            for provider in providers:
                for note in leave_out_invalid(provider, where):
                    tell(f"{file}: {note}")
            from_raw({"provider": providers})
            found += ((file, provider) for provider in providers)
        except ConfigError as error:
            for problem in error.problems:
                place = ": ".join(filter(None, (str(file), problem.place)))
                problems.append(problem._replace(place=place))
    merged = _merged(found, problems)
    if problems:
        raise ConfigError(problems, "nothing is imported")
    return dumps(from_raw({"provider": merged}).tables)


def _read(file: Source) -> Imported:
    """Read a file by its format; raises ConfigError."""
    name = "file"
    try:
        data = _fetched(file) if isinstance(file, str) else read_file(file, _MOST_BYTES)
        if not data:
            raise unreadable("it is empty")
        text = data.removeprefix(b"\xef\xbb\xbf")
        name, _, read = next(it for it in FORMATS if re.match(it[1], text))
        return read(Path(file), data)
    except OSError as error:
        message = f"cannot read it: {error.strerror}"
        raise unreadable(message, "name a file that you may read") from error
    except NotAutoconfigError as error:
        words, cure = "", f"name {_NAMES}"
        if isinstance(error.__cause__, NotXmlError) and data.lstrip().startswith(b"<"):
            words, cure = beginning(data, error)
        message = "; ".join(filter(None, (str(error), words)))
        raise unreadable(message, cure or "generate it anew") from error
    except (ValueError, RecursionError, msgspec.MsgspecError, sqlite3.Error) as error:
        is_encoding = isinstance(error, UnicodeDecodeError)
        cure = "save it in UTF-8" if is_encoding else "correct it, or import another"
        raise unreadable(f"it is no readable {name}: {error}", cure) from error


def _fetched(url: str) -> bytes:
    """Return what is at a URL, at most 1 MiB; raises ConfigError."""
    parts = split_url(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise unreadable("it is no https or http URL", _DOWNLOAD)
    # The user named this host; where a redirect leads must be on the internet.
    own = frozenset((parts.hostname, port or 443) for port in (parts.port, 443, 80))
    network = Network(Resolver(), own=own).step(_MOST_SECONDS)
    try:
        response = follow_redirects(
            lambda each: fetch_once(network, Request(each)), url
        )
    except ProbeError as error:
        raise unreadable(f"cannot fetch it: {error}", _DOWNLOAD) from error
    fault = response.certificate.problem if response.certificate else ""
    if not fault and response.status != 200:
        fault = f"{response.url} answers with status {response.status}"
    if not fault and parts.scheme == "https" and not response.is_verified:
        fault = "a redirect leads to http, where anybody may change it on its way"
    if fault or response.damage:
        raise unreadable(f"cannot fetch it: {fault or response.damage}", _DOWNLOAD)
    return response.body


# --- Invalid values -------------------------------------------------------------------

# One round removes values, the next one tables that need them, and so on.
_MOST_ROUNDS = 5
_STEP = re.compile(r'([\w-]+)|\[(\d+)\]|"((?:[^"\\]|\\.)*)"')


def leave_out_invalid(provider: Raw, where: Callable[[Any, Any], str]) -> Iterator[str]:
    """Remove each invalid value, and each table that is invalid without it.

    Yield a note for each. What is wrong with the provider as a whole stays.
    """
    for _ in range(_MOST_ROUNDS):
        try:
            from_raw({"provider": [provider]})
            return
        except ConfigError as error:
            places = {it.place[len("provider[0].") :]: it for it in error.problems}
        for place, problem in places.items():
            container, key = _step_to(provider, place)
            value = container[key] if container is not None else None
            is_list = isinstance(value, list)
            if value is None or (is_list and any(isinstance(it, dict) for it in value)):
                continue
            shown = where(value, "") or where(container, key)
            served = ""
            container[key] = None
            if key == "socket_type":
                usual = (25, standard_port(container.get("type", ""), "STARTTLS"))
                is_usual = (container.get("port") or 0) in usual
                container[key] = "STARTTLS" if is_usual else "SSL"
                served = f"; {container[key]} is served"
            yield f"{place} is left out{shown}: {problem.message}{served}"
        prune(provider)


def _step_to(provider: Raw, place: str) -> tuple[Any, Any]:
    """Return the container of a place's value and its key or index there.

    A key that is missing does not count: the problem is the table's.
    """
    container: Any = None
    key: Any = None
    value: Any = provider
    for name, index, quoted in _STEP.findall(place):
        step = int(index) if index else name or quoted
        try:
            below = value[step]
        except (KeyError, IndexError, TypeError):
            break
        container, key, value = value, step, below
    return container, key


# --- Providers of several files -------------------------------------------------------

_DOMAINS = ("domains", "mx_domains")


def _merged(found: Iterable[tuple[Source, Raw]], problems: list[Problem]) -> list[Raw]:
    """Return the providers, those with the same servers as one with all domains.

    A name that differs only by the provider's own domain gets a placeholder for it. Add a
    problem for each domain that two files have with different settings.
    """
    merged: dict[str, Raw] = {}
    owners: dict[str, tuple[Raw, Source]] = {}
    for file, provider in found:
        shared = {key: it for key, it in provider.items() if key not in _DOMAINS}
        for domain in provider.get("domains", ())[:1]:
            for key in shared.keys() & {"display_name", "display_short_name"}:
                shared[key] = shared[key].replace(domain, "%EMAILDOMAIN%")
        first = merged.setdefault(repr(sorted(shared.items())), provider)
        for domain in provider.get("domains", ()):
            other, owner = owners.setdefault(domain, (first, file))
            if other is not first:
                message = f"{owner} has other settings for {domain}"
                cure = "import one of the two, or remove the domain from the other"
                problems.append(Problem(str(file), message, cure))
        if first is provider:
            continue
        for key in _DOMAINS:
            first.setdefault(key, []).extend(provider.get(key, ()))
        first |= shared
    for provider in merged.values():
        for key in _DOMAINS:
            provider[key] = list(dict.fromkeys(provider.get(key, ())))
    return list(merged.values())
