"""What a command works on: a file, or what the app of a Flask project serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import families
from ..address import Address, fold, is_ip
from ..config.reading import Loaded, read
from ..errors import ConfigError, Problem
from ..families import Family
from ..files import DEFAULT_FILE, file_in_environment
from ..hooks import HookFailed
from ..importing import load_hooks, name_in_environment
from ..service import Service
from ..snapshot import Served
from . import problems, terminal

if TYPE_CHECKING:
    from flask import Flask
    from flask.cli import ScriptInfo


def named_file() -> Path | None:
    """The file that --config names."""
    told: Path | None = click.get_current_context().meta["flask_autoconfig.file"]
    return told


def file() -> Path:
    """The file to work on: as told, else the Flask project's own, else the default."""
    told = named_file()
    if told is not None:
        return told
    of_project = _file_of_project()
    if of_project is not None:
        return of_project
    return Path(file_in_environment() or DEFAULT_FILE)


def loaded() -> Loaded:
    """The configuration to work on; raises ConfigError.

    It is the file's, or the mapping that a Flask project's app has for one.
    """
    own = None if named_file() else service_of(flask_app())
    if own is not None and own.live.is_static:
        return own.snapshot.loaded
    return read(file())


def service() -> Service:
    """What a client would ask: of a Flask project the app's own, with its hooks.

    Raises ConfigError.
    """
    app = None if named_file() else flask_app()
    own = service_of(app)
    if app is None or own is None:
        name = name_in_environment()
        return Service(file(), hooks=load_hooks(name) if name else None)
    if own.live.current().lookup is None:  # the site started without a sound file
        raise ConfigError(_problems_of(own.live.file), str(own.live.file))
    # The hooks may ask the site's database.
    click.get_current_context().with_resource(app.app_context())
    return own


def is_there() -> bool:
    """Whether there is a configuration to work on, that a project or a file has."""
    own = None if named_file() else service_of(flask_app())
    return (own is not None and own.live.is_static) or file().is_file()


def served_address(service: Service, address: Address) -> Served:
    """Who serves an address, with the login that the hooks tell; raises ConfigError."""
    with asking(service, address.domain):
        found = service.lookup.find_address(address, "")
    return _sure(service, found, address.domain)


def served(service: Service, domain: str) -> Served:
    """Who serves a folded domain, by the file or the hooks; raises ConfigError."""
    with asking(service, domain):
        found = service.lookup.find_domain(domain)
    return _sure(service, found, domain)


@contextmanager
def asking(service: Service, subject: str) -> Iterator[None]:
    """Tell of a hook that fails while it is asked, as a ConfigError."""
    try:
        yield
    except HookFailed as error:
        message, cure = f"{error} failed", "see the line above"
        problem = Problem(subject, message, cure)
        raise ConfigError([problem], str(service.live.file)) from None


def _sure(service: Service, found: Served | None, domain: str) -> Served:
    if found is None:
        cure = "add it to a provider's domains"
        problem = Problem(domain, "the file does not serve it", cure)
        raise ConfigError([problem], str(service.live.file))
    return found


# --- Which families and domains ---------------------------------------------------------


def served_families(loaded: Loaded) -> tuple[Family, ...]:
    """The families that serve this file: a Flask project's own, else as told, else its.

    Raises ConfigError for an unknown name.
    """
    own = None if named_file() else service_of(flask_app())
    if own is not None:
        return own.speaking
    override = families.overriding()
    if override is not None:
        return override
    return families.chosen(loaded.tables.clients, "clients")


def silent_families() -> list[Problem]:
    """Families that the hooks of a Flask project keep silent, each with the reason."""
    own = None if named_file() else service_of(flask_app())
    return [
        Problem(
            "",
            f"they get nothing ({it.name}), since they log in with the address, and "
            "find_username has other logins",
            "leave `clients` without that family, if you like",
            it.askers,
        )
        for it in (own.families if own else ())
        if own and it not in own.speaking
    ]


def domain(text: str) -> str:
    """A domain as it was typed, or that of an address, folded."""
    try:
        folded = fold(text.rpartition("@")[2])
        if is_ip(folded):
            raise ValueError("an address of a machine")
        return folded
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no domain; write one like example.com", param_hint="DOMAIN"
        ) from None


def domains(service: Service, asked: str) -> list[str]:
    """The domain asked about, or every exact domain of the file; raises ConfigError."""
    if asked:
        name = domain(asked)
        served(service, name)
        return [name]
    names = [
        name.decode()
        for name in service.snapshot.loaded.claims
        if not name.startswith(b"*")
    ]
    if not names:
        cure = "name one of the domains that its patterns stand for"
        raise ConfigError([Problem("", "the file has no exact domain", cure)])
    return names


def tell_problem(problem: Problem) -> None:
    """Say on stderr what is wrong, where a command goes on."""
    for line in problems.of_error(ConfigError([problem]), terminal.width(err=True)):
        terminal.echo(line, styled=True, err=True)


def is_project() -> bool:
    """Whether a Flask project says what to work on."""
    return named_file() is None and script_info() is not None


def script_info() -> ScriptInfo | None:
    """Return what `flask autoconfig …` knows of its project, None without one."""
    from flask.cli import ScriptInfo

    return click.get_current_context().find_object(ScriptInfo)


def flask_app() -> Flask | None:
    """In `flask autoconfig …`, the project's app; raises ConfigError if it is faulty."""
    from flask.cli import NoAppException

    info = script_info()
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path:  # one was named, and is not there
            raise
        return None


def service_of(app: Flask | None) -> Service | None:
    """Return the service of an app that registered the blueprint, else None."""
    own: Service | None = app.extensions.get("autoconfig") if app else None
    return own


def _file_of_project() -> Path | None:
    """In `flask autoconfig …`, the file that the project's app was registered with."""
    try:
        own = service_of(flask_app())
    except ConfigError as error:
        return file_of(error)
    return None if own is None else Path(own.live.file)


def file_of(error: ConfigError) -> Path:
    """The file that an app stops at; raises the error where it names none."""
    if Path(error.file).is_absolute():
        return Path(error.file)
    raise error


def _problems_of(file: Path) -> tuple[Problem, ...]:
    """Why a file is not served."""
    try:
        read(file)
    except ConfigError as error:
        return error.problems
    return (Problem("", "it has just been mended", "run this again"),)
