"""`import`: converts the files of other servers to one TOML."""

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
_MAX_BYTES = 64 * 1024 * 1024  # of a file
_MAX_SECONDS = 20.0  # for a URL, with its redirects
_DOWNLOAD = "download it, and name the file"
_NAMES = "config-v1.1.xml, an Autodiscover answer, a profile, or a file of automx(2)"


def _read_xml(_file: Path, data: bytes) -> Imported:
    reader = Reader()
    provider = reader.read(data)
    notes = [f"line {line}: {sentence}" for line, sentence in reader.notes]
    for server in (*provider.get("incoming", ()), *provider.get("outgoing", ())):
        if server.get("port") and "socket_type" not in server:
            socket_type = server["socket_type"] = _usual_encryption(server)
            place = f"the server{reader.where(server, '')}"
            notes.append(f"{place} has no <socketType>; {socket_type} is served")
    return Imported([provider], notes, reader.where)


def _usual_encryption(server: Raw) -> str:
    ports = (25, standard_port(server.get("type", ""), "STARTTLS"))
    return "STARTTLS" if server.get("port") in ports else "SSL"


_AUTODISCOVER = rb"\s*(?:<[?!][^>]*>\s*)*<(?:\w+:)?Autodiscover\b"
_PROFILE = rb"bplist|(?>[\s\S]*?<plist)[\s\S]*PayloadContent"
# The name of a format, a pattern for the beginning of its files (without a byte order
# mark), and its reader. The first match counts.
FORMATS: tuple[tuple[str, bytes, Callable[[Path, bytes], Imported]], ...] = (
    ("database of automx2", rb"SQLite format 3\0", automx.read_database),
    ("seed of automx2", rb"\s*\{", automx.read_seed),
    ("automx.conf", rb"(?m)(?s:.*?)^[ \t]*\[automx\]", automx.read),
    ("Autodiscover answer", _AUTODISCOVER, setups.read_autodiscover),
    ("configuration profile", _PROFILE, setups.read_profile),
    ("config-v1.1.xml", b"", _read_xml),
)


def import_files(files: Iterable[Source], warn: Callable[[str], None]) -> str:
    """Return the TOML with the settings of the files; *warn* gets what is left out.

    A string is a URL. Raises ConfigError that names each invalid file.
    """
    problems: list[Problem] = []
    imported: list[tuple[Source, Raw]] = []
    for file in dict.fromkeys(files):
        try:
            providers, notes, where = _read(file)
            if str(file).startswith("http:"):
                warn(f"{file}: it came over http, where anybody may change it")
            for note in notes:
                warn(f"{file}: {note}")
            if not providers:
                raise unreadable("it has no domain with servers")
            for provider in providers:
                for note in leave_out_invalid(provider, where):
                    warn(f"{file}: {note}")
            from_raw({"provider": providers})
            imported += ((file, provider) for provider in providers)
        except ConfigError as error:
            for problem in error.problems:
                place = ": ".join(filter(None, (str(file), problem.place)))
                problems.append(problem._replace(place=place))
    merged = _merged(imported, problems)
    if problems:
        raise ConfigError(problems, "nothing is imported")
    return dumps(from_raw({"provider": merged}).tables)


def _read(file: Source) -> Imported:
    """Read a file by its format; raises ConfigError."""
    name = "file"
    try:
        data = _fetch(file) if isinstance(file, str) else read_file(file, _MAX_BYTES)
        if not data:
            raise unreadable("it is empty")
        text = data.removeprefix(b"\xef\xbb\xbf")
        name, _, read = next(row for row in FORMATS if re.match(row[1], text))
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


def _fetch(url: str) -> bytes:
    """Return the file at a URL, of at most 1 MiB; raises ConfigError."""
    parts = split_url(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise unreadable("it is no https or http URL", _DOWNLOAD)
    # The user named this host; the target of a redirect must be on the internet.
    own = frozenset((parts.hostname, port or 443) for port in (parts.port, 443, 80))
    network = Network(Resolver(), own=own).step(_MAX_SECONDS)
    try:
        response = follow_redirects(lambda hop: fetch_once(network, Request(hop)), url)
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


# One round removes values, the next one tables that need them, and so on.
_MAX_ROUNDS = 5
_STEP = re.compile(r'([\w-]+)|\[(\d+)\]|"((?:[^"\\]|\\.)*)"')


def leave_out_invalid(provider: Raw, where: Callable[[Any, Any], str]) -> Iterator[str]:
    """Remove each invalid value, and each table that is invalid without it.

    Yield a note for each. Faults of the provider as a whole remain. *where* returns the
    place of a value in the file, as `Imported.where`.
    """
    for _ in range(_MAX_ROUNDS):
        try:
            from_raw({"provider": [provider]})
            return
        except ConfigError as error:
            problems = {p.place.removeprefix("provider[0]."): p for p in error.problems}
        for place, problem in problems.items():
            container, key = _container_of(provider, place)
            value = container[key] if container is not None else None
            is_list = isinstance(value, list)
            if value is None or (
                is_list and any(isinstance(row, dict) for row in value)
            ):
                continue
            position = where(value, "") or where(container, key)
            replacement = ""
            container[key] = None
            if key == "socket_type":
                container[key] = _usual_encryption(container)
                replacement = f"; {container[key]} is served"
            yield f"{place} is left out{position}: {problem.message}{replacement}"
        prune(provider)


def _container_of(provider: Raw, place: str) -> tuple[Any, Any]:
    """Return the container of the value at a place, and its key or index there.

    For a missing key, they are those of the table that lacks it.
    """
    container: Any = None
    key: Any = None
    value: Any = provider
    for name, index, quoted in _STEP.findall(place):
        step = int(index) if index else name or quoted
        try:
            container, key, value = value, step, value[step]
        except (KeyError, IndexError, TypeError):
            break
    return container, key


_DOMAINS = ("domains", "mx_domains")


def _merged(pairs: Iterable[tuple[Source, Raw]], problems: list[Problem]) -> list[Raw]:
    """Merge providers that differ only by their domains.

    The provider's domain in a display name becomes a placeholder. Add a problem for each
    domain with different settings in two files.
    """
    merged: dict[str, Raw] = {}
    owners: dict[str, tuple[Raw, Source]] = {}
    for file, provider in pairs:
        shared = {key: provider[key] for key in provider if key not in _DOMAINS}
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
