"""Reads autoconfig.toml and what it names, with every problem at once.

`read` gives all that serving takes; `load` and `loads` give the tables alone.
"""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from ..address import unfold
from ..errors import ConfigError, Problem
from ..files import State, lasting_state, read_file
from . import rules
from .building import Builder
from .listing import Listing, ListingProvider, read_listing
from .rules import Origin, Source
from .tables import (
    Config,
    Contact,
    Incoming,
    OAuth2,
    Outgoing,
    Pop3,
    Provider,
    ProviderPage,
    Sign,
    Table,
    Webmail,
)
from .values import quote

if TYPE_CHECKING:
    from ..signing import Signer
    from .logo import Logo

_MOST_PARTS = 32  # of a dotted key; the longest of ours has 4
_LONG_KEY = re.compile(
    r"(?:^|[{,])[ \t]*+\[?+\[?+"
    r"(?:[ \t]*+(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.)"
    rf"{{{_MOST_PARTS}}}",
    re.MULTILINE,
)
# The tables by their heading, the likelier home of a stray key first.
_HOMES = {
    "the top of the file, before the first table": Config,
    "[[provider]]": Provider,
    "[provider.webmail]": Webmail,
    "[provider.oauth2]": OAuth2,
    "[provider.incoming.pop3]": Pop3,
    "[[provider.incoming]]": Incoming,
    "[[provider.outgoing]]": Outgoing,
    "[provider.page]": ProviderPage,
    "[provider.page.contact]": Contact,
}
_HOMES_OF_INCLUDED = {"the file that includes this one": Config} | {
    head: table for head, table in _HOMES.items() if table is not Config
}


class Included(Table, frozen=True):
    """A TOML file that another one includes."""

    provider: tuple[Provider, ...] = ()


class Part(NamedTuple):
    """One TOML file: its providers, as it has them."""

    file: str  # as problems name it, "" for the one that was asked about
    base: Path  # the folder that relative paths in it count from
    providers: tuple[Provider, ...]
    state: State | None = None  # None: it has to be read again


class Loaded(NamedTuple):
    """A configuration as it was read, with all that the files it names say."""

    tables: Config  # as the TOML has them
    # The same and those of `include`, each with what its `domains_file` lists.
    providers: tuple[Provider, ...]
    origins: tuple[Origin, ...] = ()  # of each provider: where it stands
    claims: Mapping[bytes, int] = {}  # domain or pattern -> provider
    signer: Signer | None = None  # made of the files of `[sign]`
    logos: Mapping[int, Logo] = {}  # by provider
    watched: tuple[Path, ...] = ()  # the files that it names, beside the TOML itself
    patterns: tuple[str, ...] = ()  # of `include`: which files belong to `watched`
    skipped: tuple[Problem, ...] = ()  # lines of domains files that list nothing
    unmatched: tuple[Problem, ...] = ()  # patterns of `include` that match no file
    unsafe: tuple[Problem, ...] = ()  # warnings of the files of `[sign]`
    modified: float = 0.0  # when it was read, in seconds since 1970
    # What need not be read again where it did not change.
    parts: Mapping[Path, Part] = {}
    listings: Mapping[Path, Listing] = {}


def load(file: str | os.PathLike[str]) -> Config:
    """The tables of a TOML file, as it has them; raises ConfigError."""
    return read(file).tables


def loads(text: str, *, base: str | os.PathLike[str] = ".") -> Config:
    """The tables of a TOML text; relative paths in it count from `base`.

    Raises ConfigError with every problem.
    """
    return _Reading(Path(base)).of(_parsed(text), text).tables


def read(file: str | os.PathLike[str], before: Loaded | None = None) -> Loaded:
    """Read the configuration from a TOML file; raises ConfigError.

    `before` is what was read of it the last time: of the files that it names only those
    that changed since are read again.
    """
    path = Path(file)
    try:
        text = _text_of(path)
        loaded = _Reading(path.parent, path, before).of(_parsed(text), text)
    except (OSError, MemoryError) as error:
        problem = _unreadable(path, error)
        raise ConfigError([problem], str(path), is_unread=True) from error
    except ConfigError as error:
        error.file = str(path)
        raise
    # Not the file's own time: an older one in its place is news to a client as well.
    return loaded._replace(modified=time.time())


def from_raw(raw: dict[str, Any], *, base: str | os.PathLike[str] = ".") -> Loaded:
    """Read a parsed TOML document, a mapping with its keys; raises ConfigError."""
    return _Reading(Path(base)).of(raw)


def matching(
    patterns: Iterable[str], base: Path, main: Path | None = None
) -> list[str]:
    """The files that patterns of `include` stand for, never the main one itself.

    They are in the patterns' order, and then in that of their names.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        plain = str(PurePath(pattern))  # without `./`: each file has one name
        found |= dict.fromkeys(sorted(glob.glob(plain, root_dir=base)))
    if main is not None:
        ours = (it for it in found if it.endswith(main.name) and base / it == main)
        for name in list(ours):
            del found[name]
    return list(found)


def _text_of(path: Path) -> str:
    """What is in a file; raises OSError where it is none, ConfigError for no text."""
    try:
        data = read_file(path)
    except ValueError as error:  # of a path with a null byte
        raise OSError(None, str(error), str(path)) from error
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        from .explain.syntax import not_utf8

        raise ConfigError([not_utf8(data, error)]) from error


def _unreadable(path: Path, error: OSError | MemoryError) -> Problem:
    if isinstance(error, FileNotFoundError):
        cure = (
            "let `flask-autoconfig init DOMAIN` write one, or name yours with --config "
            "or in AUTOCONFIG_FILE"
        )
        return Problem("", f"there is no file {path}", cure)
    if isinstance(error, MemoryError):
        return Problem("", f"cannot read {path}: no memory", "give the process more")
    reason = error.strerror or error
    return Problem("", f"cannot read {path}: {reason}", "make it a readable file")


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    # tomllib takes quadratic time for the parts of a dotted key.
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.end()) + 1
        message = f"a key of more than {_MOST_PARTS} parts"
        cure = "remove dots from it, or put it in quotes"
        raise ConfigError([Problem("", message, cure, line=line)])
    try:
        return tomllib.loads(text)
    # ValueError: also of a number of too many digits.
    except (ValueError, RecursionError, MemoryError) as error:
        from .explain.syntax import explain

        raise ConfigError([explain(text, error)]) from error


class _Reading:
    """One reading of a configuration: its parts, and where their problems go."""

    def __init__(
        self, base: Path, main: Path | None = None, before: Loaded | None = None
    ) -> None:
        self._base = base
        self._main = main
        self._parts_before = before.parts if before else {}
        self._listings_before = before.listings if before else {}
        self._opened: list[tuple[Part, Builder]] = []
        self._texts: dict[str, str] = {}  # by a part's name: problems have its lines
        self._parts: dict[Path, Part] = {}  # those that are included
        self._listings: dict[Path, Listing] = {}
        self._watched: dict[Path, None] = {}
        self._unmatched: list[Problem] = []
        self._unsafe: list[Problem] = []
        self._is_unread = False  # a file that is named could not be read

    def of(self, raw: dict[str, Any], text: str = "") -> Loaded:
        """The whole of it, from the parsed text, if it is one; raises ConfigError."""
        self._texts[""] = text
        builder = Builder(_HOMES)
        config: Config = builder.struct(Config, raw, "")
        self._opened.append((Part("", self._base, config.provider), builder))
        if config.provider or not (config.include or builder.is_faulty("include")):
            rules.apply(config.provider, builder)
        for index, pattern in enumerate(config.include):
            self._include(pattern, builder.item("include", index), builder)
        sources = list(self._sources())
        claims = rules.claims(sources)
        signer = self._signer(config.sign, builder)
        logos = dict(self._logos(sources))

        self._raise_problems(config.include)
        return Loaded(
            config,
            tuple(map(_with_listing, sources)),
            tuple(source.origin for source in sources),
            claims,
            signer,
            logos,
            tuple(self._watched),
            config.include,
            tuple(it for lines in self._listings.values() for it in lines.skipped),
            _located(self._unmatched, text),
            _located(self._unsafe, text),
            parts=self._parts,
            listings=self._listings,
        )

    def _include(self, pattern: str, place: str, builder: Builder) -> None:
        names = matching([pattern], self._base, self._main)
        for name in names:
            if self._base / name not in self._parts:
                self._read_part(name)
        if names:
            return
        if any(sign in pattern for sign in "*?["):  # the folder may fill later
            message = f"no file matches {quote(pattern)}"
            cure = "put a file there, or correct the pattern"
            self._unmatched.append(Problem(place, message, cure))
        else:
            message = f"there is no file {quote(pattern)}"
            builder.add(place, message, "correct the name, or remove it")

    def _read_part(self, name: str) -> None:
        path = self._base / name
        self._watched[path] = None
        builder = Builder(_HOMES_OF_INCLUDED, name)
        part = self._parts_before.get(path)
        state = lasting_state(path)
        if part is None or part.state is None or part.state != state:
            providers = self._providers_in(path, builder, name)
            part = Part(name, path.parent, providers, state)
        self._parts[path] = part
        self._opened.append((part, builder))

    def _sources(self) -> Iterator[Source]:
        main = self._main.name if self._main else "the file that includes it"
        for part, builder in self._opened:
            for index, provider in enumerate(part.providers):
                origin = Origin(part.file, f"provider[{index}]", part.file or main)
                listing = None
                if provider.domains_file:
                    path = part.base / provider.domains_file
                    listing = self._listing(path, origin, builder)
                yield Source(provider, listing, origin, builder)

    def _listing(self, path: Path, origin: Origin, builder: Builder) -> Listing | None:
        place = f"{origin.place}.domains_file"
        self._watched[path] = None
        if path not in self._listings:
            try:
                listing = read_listing(path, self._listings_before.get(path))
            except OSError as error:
                self._is_unread = True
                message = f"cannot read {quote(str(path))}: {error.strerror}"
                builder.add(place, message, "give a text file")
                return None
            self._listings[path] = listing
        listing = self._listings[path]
        if listing.skipped and not listing.names:
            message = f"no line of {quote(str(path))} is a domain"
            builder.add(place, message, "give a text file with a domain a line")
        return listing

    def _logos(self, sources: list[Source]) -> Iterator[tuple[int, Logo]]:
        """The pictures that pages have, each with its provider's number."""
        bases = [part.base for part, _ in self._opened for _ in part.providers]
        for index, (source, base) in enumerate(zip(sources, bases, strict=True)):
            page = source.provider.page
            if page is None or page.logo is None:
                continue
            from .logo import UnusableLogoError, read_logo

            path = base / page.logo
            self._watched[path] = None
            try:
                yield index, read_logo(path)
            except UnusableLogoError as error:
                self._is_unread |= isinstance(error.__cause__, OSError)
                place = f"{source.origin.place}.page.logo"
                source.builder.add(place, error.message, error.cure)

    def _signer(self, sign: Sign | None, builder: Builder) -> Signer | None:
        if sign is None:
            return None
        chain = self._base / sign.chain if sign.chain else None
        files = (self._base / sign.certificate, self._base / sign.key, chain)
        self._watched |= dict.fromkeys(it for it in files if it)
        if builder.is_faulty("sign"):
            return None
        from ..signing import Signer, UnusableError

        try:
            signer = Signer(*files)
        except UnusableError as error:
            self._is_unread |= isinstance(error.__cause__, OSError)
            builder.add(f"sign.{error.key}", error.message, error.cure)
            return None
        for key, message, cure in signer.warnings():
            self._unsafe.append(Problem(f"sign.{key}", message, cure))
        return signer

    def _raise_problems(self, patterns: tuple[str, ...]) -> None:
        problems: list[Problem] = []
        for part, builder in self._opened:
            found = builder.in_order()
            if found:
                text = self._texts.get(part.file)
                if text is None:  # it was read some time ago
                    text = _text_as_read(part)
                domains = builder.domains() or list(map(domain_of, part.providers))
                problems += _located(found, text, domains)
        if problems:
            raise ConfigError(
                problems,
                named=self._watched,
                patterns=patterns,
                is_unread=self._is_unread,
            )

    def _providers_in(
        self, path: Path, builder: Builder, name: str
    ) -> tuple[Provider, ...]:
        """The providers of an included file; its problems go to the builder."""
        try:
            text = self._texts[name] = _text_of(path)
            raw = _parsed(text)
        except OSError as error:
            self._is_unread = True
            message = f"cannot read it: {error.strerror}"
            builder.add("", message, "make it a readable file, or remove it")
            return ()
        except ConfigError as error:
            builder.problems += (it._replace(file=name) for it in error.problems)
            return ()
        included: Included = builder.struct(Included, raw, "")
        rules.apply(included.provider, builder)
        return included.provider


def _located(
    problems: Sequence[Problem], text: str, domains: Sequence[str] = ()
) -> tuple[Problem, ...]:
    """The problems with their lines and the domains of their providers."""
    if not problems:
        return ()
    from .explain.lines import located

    return tuple(located(problems, text, domains))


def domain_of(provider: Provider) -> str:
    """The domain that problems name a provider by, "" where it has none."""
    return unfold(provider.domains[0] if provider.domains else provider.identity)


def with_lines(
    problems: Iterable[Problem],
    main: Path,
    providers: Iterable[Provider] = (),
    origins: Iterable[Origin] = (),
) -> list[Problem]:
    """Problems of files that were read, and are sound, with their lines and domains.

    `main` is the file that was asked about; the providers are all that were read, and
    the origins say where each of them stands.
    """
    domains: dict[str, list[str]] = {}
    for provider, origin in zip(providers, origins, strict=False):
        domains.setdefault(origin.file, []).append(domain_of(provider))
    problems = list(problems)
    of_files: dict[str, list[int]] = {}
    for index, problem in enumerate(problems):
        of_files.setdefault(problem.file, []).append(index)
    for file, own in of_files.items():
        path = main.parent / file if file else main
        text = ""
        if any(problems[index].line is None for index in own):
            with suppress(OSError, ConfigError):  # it is gone since it was read
                text = _text_of(path)
        its = _located([problems[it] for it in own], text, domains.get(file, ()))
        for index, problem in zip(own, its, strict=True):
            problems[index] = problem
    return problems


def _text_as_read(part: Part) -> str:
    """The text of a part that was read some time ago, "" where it changed since."""
    path = part.base / PurePath(part.file).name
    try:
        text = _text_of(path)
        return text if lasting_state(path) == part.state else ""
    except (OSError, ConfigError):
        return ""


def _with_listing(source: Source) -> Provider:
    if source.listing is None:
        return source.provider
    values = structs.asdict(source.provider)
    return ListingProvider(**values, listing=source.listing)
