"""Reads autoconfig.toml, with every problem at once.

`read` gives all that serving takes; `load` and `loads` give the tables alone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from ..errors import ConfigError, Problem
from ..files import read_file
from . import rules
from .building import Builder, domains_in
from .tables import Config, Incoming, OAuth2, Outgoing, Pop3, Provider, Sign, Webmail

if TYPE_CHECKING:
    from ..signing import Signer

# The tables by their heading, the likelier home of a stray key first.
_HOMES = {
    "the top of the file, before the first table": Config,
    "[[provider]]": Provider,
    "[provider.webmail]": Webmail,
    "[provider.oauth2]": OAuth2,
    "[provider.incoming.pop3]": Pop3,
    "[[provider.incoming]]": Incoming,
    "[[provider.outgoing]]": Outgoing,
}


class Loaded(NamedTuple):
    """A configuration as it was read, with all that the files it names say."""

    tables: Config  # as the TOML has them
    providers: tuple[Provider, ...]  # the same, those of `domains_file` among `domains`
    signer: Signer | None = None  # made of the files of `[sign]`
    watched: tuple[Path, ...] = ()  # the files that it names, beside the TOML itself
    modified: float = 0.0  # when it was read, in seconds since 1970


def load(file: str | os.PathLike[str]) -> Config:
    """The tables of a TOML file, as it has them; raises ConfigError."""
    return read(file).tables


def loads(text: str, *, base: str | os.PathLike[str] = ".") -> Config:
    """The tables of a TOML text; relative paths in it count from `base`.

    Raises ConfigError with every problem.
    """
    return _read_text(text, Path(base)).tables


def read(file: str | os.PathLike[str]) -> Loaded:
    """Read the configuration from a TOML file; raises ConfigError."""
    path = Path(file)
    try:
        text = read_file(path).decode("utf-8-sig")
        loaded = _read_text(text, path.parent)
    except UnicodeDecodeError as error:
        problem = Problem("", f"not UTF-8 at byte {error.start}", "save it as UTF-8")
        raise ConfigError([problem], str(path)) from error
    except (OSError, ValueError) as error:
        raise ConfigError([_unreadable(path, error)], str(path)) from error
    except ConfigError as error:
        raise ConfigError(error.problems, str(path), error.named) from error
    # Not the file's own time: an older one in its place is news to a client as well.
    return loaded._replace(modified=time.time())


def _unreadable(path: Path, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        cure = "give the file's path with --config, or in AUTOCONFIG_FILE"
        return Problem("", f"there is no file {path}", cure)
    reason = getattr(error, "strerror", None) or error
    return Problem("", f"cannot read {path}: {reason}", "make it a readable file")


def _read_text(text: str, base: Path) -> Loaded:
    import tomllib

    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of a number without end, too
        what = str(error).partition(" for integer string")[0]
        if isinstance(error, RecursionError):
            what = "tables nested too deep"
        cure = "mend the line that it names"
        raise ConfigError([Problem("", f"not TOML: {what}", cure)]) from error
    return from_raw(raw, base=base)


def from_raw(raw: dict[str, Any], *, base: str | os.PathLike[str] = ".") -> Loaded:
    """Read a parsed TOML document, a mapping with its keys; raises ConfigError."""
    base = Path(base)
    builder = Builder(_HOMES)
    config: Config = builder.struct(Config, raw, "")
    listed = _domains_of_files(config, base, builder)
    signer = None
    if config.sign and not builder.is_faulty("sign"):
        signer = _signer(config.sign, base, builder)

    rules.apply(config, listed, builder)
    watched = _named_files(config, base)
    try:
        builder.raise_problems()
    except ConfigError as error:
        error.named = watched
        raise
    return Loaded(config, _with_domains(config.provider, listed), signer, watched)


def _domains_of_files(
    config: Config, base: Path, builder: Builder
) -> list[tuple[str, ...]]:
    """For each provider the domains that its `domains_file` lists."""
    listed: list[tuple[str, ...]] = []
    for index, provider in enumerate(config.provider):
        place = f"provider[{index}].domains_file"
        name = provider.domains_file
        listed.append(domains_in(base / name, place, builder) if name else ())
    return listed


def _with_domains(
    providers: tuple[Provider, ...], listed: list[tuple[str, ...]]
) -> tuple[Provider, ...]:
    return tuple(
        structs.replace(provider, domains=(*provider.domains, *more))
        if more
        else provider
        for provider, more in zip(providers, listed, strict=True)
    )


def _named_files(config: Config, base: Path) -> tuple[Path, ...]:
    names = [provider.domains_file for provider in config.provider]
    if config.sign:
        names += [config.sign.certificate, config.sign.key, config.sign.chain]
    return tuple(base / name for name in names if name)


def _signer(sign: Sign, base: Path, builder: Builder) -> Signer | None:
    from ..signing import Signer, UnusableError

    chain = base / sign.chain if sign.chain else None
    try:
        return Signer(base / sign.certificate, base / sign.key, chain)
    except UnusableError as error:
        builder.add(f"sign.{error.key}", error.message, error.cure)
        return None
