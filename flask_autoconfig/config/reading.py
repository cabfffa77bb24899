"""Reads autoconfig.toml and the files that it names, and reports every problem at once.

`read` returns all that the service needs; `load` returns the tables alone.
"""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec import structs

from ..errors import ConfigError, Problem
from ..files import State, read_file, settled_state
from . import rules
from .building import Builder
from .rules import Origin, Source
from .tables import Config, Provider, Sign, Table
from .values import quote

if TYPE_CHECKING:
    from ..signing import Signer
    from .listing import Listing
    from .logo import Logo

Read = TypeVar("Read")
# An included file: its state (None: read it again), and its providers.
Part = tuple[State | None, tuple[Provider, ...]]
# What to do about a file that cannot be read, by its key.
_CURES = {
    "domains_file": "give a text file",
    "logo": "give a PNG, SVG, JPEG or WebP file of 64 KiB at most",
}
_MAX_BYTES = 32 * 1024 * 1024  # enough for a hundred thousand providers
_MAX_PARTS = 32  # of a dotted key; the longest that has a meaning has 4
_LONG_KEY = re.compile(
    r"(?:^|[{,])[ \t]*+\[?+\[?+"
    r"(?:[ \t]*+(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.)"
    rf"{{{_MAX_PARTS}}}",
    re.MULTILINE,
)


class Included(Table, frozen=True):
    provider: tuple[Provider, ...] = ()


class Loaded(NamedTuple):
    """A configuration as read from the file and the files that it names."""

    tables: Config  # of the main file
    # All providers, included ones as well, with the domains of their `domains_file`.
    providers: tuple[Provider, ...]
    origins: tuple[Origin, ...] = ()  # by provider
    claims: Mapping[bytes, int] = {}  # domain or pattern -> provider's index
    signer: Signer | None = None
    logos: Mapping[int, Logo] = {}  # by the provider's index
    watched: tuple[Path, ...] = ()  # the files that were read, except the main one
    patterns: tuple[str, ...] = ()  # of `include`
    skipped: tuple[Problem, ...] = ()  # lines of domains files that are not a domain
    # Patterns of `include` that match no file, and unsafe files of `[sign]`.
    warnings: tuple[Problem, ...] = ()
    modified: float = 0.0  # when it was read, in seconds since 1970
    # By file. The next call of `read` uses those of unchanged files again.
    parts: Mapping[Path, Part] = {}
    listings: Mapping[Path, Listing] = {}


def load(file: str | os.PathLike[str]) -> Config:
    """Return the tables of a TOML file; raise ConfigError with every problem."""
    return read(file).tables


def read(file: str | os.PathLike[str], before: Loaded | None = None) -> Loaded:
    """Read the configuration from a TOML file; raise ConfigError with every problem.

    With the result of an earlier call as `before`, included files and domains files are
    read again only if they have changed.
    """
    path = Path(file)
    try:
        text = text_of(path)
        return _Reading(path.parent, path, before).load(_parsed(text), text)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", "out of memory")
        message, cure = f"cannot read {path}: {reason}", "make it readable"
        if not getattr(error, "errno", None):
            cure = "name a regular file, with many domains in a domains_file"
        if isinstance(error, FileNotFoundError):
            message = f"there is no file {path}"
            cure = "create one with `flask-autoconfig init DOMAIN`, or name yours with "
            cure += "--config or in AUTOCONFIG_FILE"
        problem = Problem("", message, cure)
        raise ConfigError([problem], str(path), is_unread=True) from error
    except ConfigError as error:
        error.file = str(path)
        raise


def from_raw(raw: dict[str, Any], *, base: str | os.PathLike[str] = ".") -> Loaded:
    """Read a parsed TOML document; raise ConfigError with every problem.

    Relative paths refer to the folder `base`.
    """
    return _Reading(Path(base)).load(raw)


def matching(
    patterns: Iterable[str], base: Path, main: Path | None = None
) -> list[str]:
    """Return the files that match patterns of `include`, except the main file.

    They are in the order of the patterns, and sorted for each pattern.
    """
    names: dict[str, None] = {}
    for pattern in filter(None, patterns):  # a faulty pattern is ""
        normalized = str(PurePath(pattern))  # without `./`: each file has one name
        names |= dict.fromkeys(sorted(glob.glob(normalized, root_dir=base)))
    # Comparing whole paths is slow for thousands of files.
    end = main.name if main else "\0"
    return [name for name in names if not (name.endswith(end) and base / name == main)]


def text_of(path: Path) -> str:
    """Return the text of a file; raise OSError, or ConfigError if it is not UTF-8."""
    data = read_file(path, _MAX_BYTES)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        from .explain.syntax import not_utf8

        raise ConfigError([not_utf8(data, error)]) from error


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    # The time of tomllib grows with the square of the number of parts of a key.
    if key := _LONG_KEY.search(text):
        line = text.count("\n", 0, key.end()) + 1
        message = f"a key of more than {_MAX_PARTS} parts"
        cure = "remove dots from the key, or put it in quotes"
        raise ConfigError([Problem("", message, cure, line=line)])
    try:
        return tomllib.loads(text)
    # ValueError: also for a number with too many digits.
    except (ValueError, RecursionError, MemoryError) as error:
        from .explain.syntax import explain

        raise ConfigError([explain(text, error)]) from error


class _Reading:
    def __init__(
        self, base: Path, main: Path | None = None, before: Loaded | None = None
    ) -> None:
        self._base = base
        self._main = main
        self._before = before or Loaded(Config(), ())
        self._sources: list[Source] = []
        self._logos: dict[int, Logo] = {}  # by the index of the source
        self._parts: dict[Path, Part] = {}  # the included ones
        self._listings: dict[Path, Listing] = {}
        self._watched: dict[Path, None] = {}
        self._warnings: list[Problem] = []
        self._is_unread = False  # whether a file could not be read

    def load(self, raw: dict[str, Any], text: str = "") -> Loaded:
        """Read a parsed document, and the text it was parsed from if there is one."""
        builder = Builder()
        config: Config = builder.struct(Config, raw)
        if config.provider or not (config.include or builder.is_faulty("include")):
            rules.apply(config.provider, builder)
        parts = [(config.provider, builder)]
        for index, pattern in enumerate(config.include):
            names = matching([pattern], self._base, self._main)
            if pattern and not names:
                self._warnings += _unmatched(pattern, f"include[{index}]", builder)
            new = [name for name in names if self._base / name not in self._parts]
            parts += map(self._read_part, new)
        for providers, part_builder in parts:
            self._add_sources(providers, part_builder)
        claims = rules.claims(self._sources)
        signer = self._signer(config.sign, builder)
        problems = [self._located(part.problems, text) for _, part in parts]
        if any(problems):
            raise ConfigError(
                chain(*problems),
                referenced=self._watched,
                patterns=config.include,
                is_unread=self._is_unread,
            )
        return Loaded(
            config,
            tuple(source.provider for source in self._sources),
            tuple(source.origin for source in self._sources),
            claims,
            signer,
            self._logos,
            tuple(self._watched),
            config.include,
            tuple(chain(*(listing.skipped for listing in self._listings.values()))),
            self._located(self._warnings, text),
            # Not the file's own time, since an older file may replace it.
            modified=time.time(),
            parts=self._parts,
            listings=self._listings,
        )

    def _read_part(self, name: str) -> tuple[tuple[Provider, ...], Builder]:
        """Read an included file, unless it has not changed."""
        path = self._base / name
        self._watched[path] = None
        builder = Builder(name)
        old_state, providers = self._before.parts.get(path, (None, ()))
        state = settled_state(path)
        if old_state is None or old_state != state:
            providers = ()
            try:
                providers = builder.struct(Included, _parsed(text_of(path))).provider
                rules.apply(providers, builder)
            except OSError as error:
                self._is_unread = True
                message = f"cannot read it: {error.strerror}"
                builder.add("", message, "make it readable, or remove it")
            except ConfigError as error:
                builder.problems += [p._replace(file=name) for p in error.problems]
        self._parts[path] = state, providers
        return providers, builder

    def _add_sources(self, providers: tuple[Provider, ...], builder: Builder) -> None:
        main = self._main.name if self._main else "the file that includes it"
        file = builder.file
        base = (self._base / file).parent if file else self._base
        for index, provider in enumerate(providers):
            place = f"provider[{index}]"
            if provider.page and provider.page.logo:
                from .logo import read_logo

                path = base / provider.page.logo
                if logo := self._use(f"{place}.page", builder, read_logo, logo=path):
                    self._logos[len(self._sources)] = logo
            if provider.domains_file:
                path = base / provider.domains_file
                provider = self._with_listing(provider, path, place, builder)
            origin = Origin(file, place, file or main)
            self._sources.append(Source(provider, origin, builder))

    def _use(
        self, place: str, builder: Builder, read: Callable[..., Read], **files: Any
    ) -> Read | None:
        """Return what `read` makes of the files, or None after adding a problem."""
        self._watched |= dict.fromkeys(filter(None, files.values()))
        try:
            return read(*files.values())
        except OSError as error:
            self._is_unread = True
            keys = {str(path): key for key, path in files.items()}
            path = error.filename if error.filename in keys else next(iter(keys))
            key, message = keys[path], f"cannot read {quote(path)}: {error.strerror}"
            cure = _CURES.get(key, "give a PEM file")
        except ConfigError as error:
            key, message, cure, *_ = error.problems[0]
        builder.add(f"{place}.{key}", message, cure)
        return None

    def _with_listing(
        self, provider: Provider, path: Path, place: str, builder: Builder
    ) -> Provider:
        from .listing import ListingProvider, read_listing

        listing = self._listings.get(path)
        if listing is None:
            read = partial(read_listing, before=self._before.listings.get(path))
            listing = self._use(place, builder, read, domains_file=path)
        if listing is None:
            return provider
        if listing.skipped and not listing.names:
            message = f"no line of {quote(str(path))} is a domain"
            cure = "give a text file with one domain per line"
            builder.add(f"{place}.domains_file", message, cure)
        self._listings[path] = listing
        return ListingProvider(**structs.asdict(provider), listing=listing)

    def _signer(self, sign: Sign | None, builder: Builder) -> Signer | None:
        if sign is None or builder.is_faulty("sign"):
            return None
        from ..signing import Signer

        names = structs.asdict(sign).items()
        files = {key: name and self._base / name for key, name in names}
        signer = self._use("sign", builder, Signer, **files)
        for key, message, cure in signer.warnings() if signer else ():
            self._warnings.append(Problem(f"sign.{key}", message, cure))
        return signer

    def _located(self, problems: list[Problem], text: str) -> tuple[Problem, ...]:
        """Return the problems in the order of their lines, with their domains."""
        if not problems:
            return ()
        from .explain.lines import with_lines

        main = self._main or self._base / "autoconfig.toml"
        providers = (source.provider for source in self._sources)
        origins = (source.origin for source in self._sources)
        located = with_lines(problems, main, providers, origins, text)
        return tuple(sorted(located, key=lambda problem: problem.line or 0))


def _unmatched(pattern: str, place: str, builder: Builder) -> Iterator[Problem]:
    """Yield a warning for a pattern that matches no file; add an error for a name."""
    if re.search(r"[*?[]", pattern):  # files may be added later
        message = f"no file matches {quote(pattern)}"
        yield Problem(place, message, "put a file there, or correct the pattern")
    else:
        message = f"there is no file {quote(pattern)}"
        builder.add(place, message, "correct the name, or remove it")
