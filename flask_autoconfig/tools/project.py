"""What a command works on: a file, or what the app of a Flask project serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import families
from ..config.reading import Loaded
from ..errors import ConfigError, Problem
from ..families import Family
from ..files import DEFAULT_FILE, file_in_environment
from ..service import Service

if TYPE_CHECKING:
    from flask import Flask


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


def service() -> Service:
    """What a client would ask: of a Flask project the app's own, with its hooks."""
    app = None if named_file() else _app()
    own = _service_of(app)
    if app is None or own is None:
        return Service(file())
    # The hooks may ask the site's database.
    click.get_current_context().with_resource(app.app_context())
    return own


def served_families(loaded: Loaded) -> tuple[Family, ...]:
    """The families that serve this file: a Flask project's own, else as told, else its.

    Raises ConfigError for an unknown name.
    """
    own = None if named_file() else _service_of(_app())
    if own is not None:
        return tuple(it for it in own.families if not _is_silent(it, own))
    override = families.overriding()
    if override is not None:
        return override
    return families.chosen(loaded.tables.clients, "clients")


def silent_families() -> list[Problem]:
    """Families that the hooks of a Flask project keep silent, each with the reason."""
    own = None if named_file() else _service_of(_app())
    return [
        Problem(
            "",
            f"they get nothing ({it.name}), since they log in with the address, and "
            "find_username has other logins",
            "leave `clients` without that family, if you like",
            it.askers,
        )
        for it in (own.families if own else ())
        if own and _is_silent(it, own)
    ]


def _is_silent(family: Family, service: Service) -> bool:
    return family.implies_login and service.hooks.find_username is not None


def clients_of_app() -> Any:
    """What a Flask project's own `AUTOCONFIG_CLIENTS` says, None without."""
    app = None if named_file() else _app()
    return app.config.get("AUTOCONFIG_CLIENTS") if app else None


def domain(text: str) -> str:
    """A domain as it was typed, or that of an address, folded."""
    from ..address import fold

    try:
        return fold(text.rpartition("@")[2])
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no domain; write one like example.com", param_hint="DOMAIN"
        ) from None


def domains(loaded: Loaded, asked: str) -> list[str]:
    """The domain asked about, or every exact domain of the file; raises ConfigError."""
    from ..directory import Directory

    if asked:
        name = domain(asked)
        if Directory(loaded).by_domain(name) is None:
            cure = "add it to a provider's domains"
            raise ConfigError([Problem(name, "the file does not serve it", cure)])
        return [name]
    names = [name.decode() for name in loaded.claims if not name.startswith(b"*")]
    if not names:
        cure = "name one of the domains that its patterns stand for"
        raise ConfigError([Problem("", "the file has no exact domain", cure)])
    return names


def _app() -> Flask | None:
    """In `flask autoconfig …`, the project's app; raises ConfigError if it is faulty."""
    from flask.cli import NoAppException, ScriptInfo

    info = click.get_current_context().find_object(ScriptInfo)
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path:  # one was named, and is not there
            raise
        return None


def _service_of(app: Flask | None) -> Service | None:
    own: Service | None = app.extensions.get("autoconfig") if app else None
    return own


def _file_of_project() -> Path | None:
    """In `flask autoconfig …`, the file that the project's app was registered with."""
    try:
        own = _service_of(_app())
    except ConfigError as error:  # the app stops at a faulty file; name that file
        if Path(error.file).is_absolute():
            return Path(error.file)
        raise
    return None if own is None else Path(own.live.file)
