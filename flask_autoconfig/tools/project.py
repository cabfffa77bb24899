"""The subject of a command: a file, or what the app of a Flask project serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..address import Address, fold, is_ip, parse_address
from ..config.reading import Loaded, read
from ..errors import ConfigError
from ..files import DEFAULT_FILE, file_in_environment
from ..hooks import HookFailed, Hooks
from ..hooks.calling import load_hooks, name_in_environment
from ..service import Service
from ..snapshot import Served

if TYPE_CHECKING:
    from flask import Flask
    from flask.cli import ScriptInfo


def named_file() -> Path | None:
    """Return the file of --config, if it is given."""
    file: Path | None = click.get_current_context().meta["flask_autoconfig.file"]
    return file


def script_info() -> ScriptInfo | None:
    """Return the ScriptInfo of `flask autoconfig …`, None for `flask-autoconfig`."""
    from flask.cli import ScriptInfo

    return click.get_current_context().find_object(ScriptInfo)


def flask_app() -> Flask | None:
    """Return the app of the Flask project, if any; raises ConfigError if it is faulty."""
    from flask.cli import NoAppException

    info = script_info()
    if info is None:
        return None
    try:
        return info.load_app()
    except NoAppException:
        if info.app_import_path:  # --app names an app that does not exist
            raise
        return None


def service_of(app: Flask | None) -> Service | None:
    service: Service | None = app.extensions.get("autoconfig") if app else None
    return service


def of_project() -> Service | None:
    """Return the service of the Flask project, None where --config overrides it."""
    return None if named_file() else service_of(flask_app())


def file() -> Path:
    """Return the file to work on: --config, else the Flask project's, else the default."""
    try:
        if service := of_project():
            return Path(service.live.file)
    except ConfigError as error:
        if not Path(error.file).is_absolute():
            raise
        return Path(error.file)  # which the app refuses
    return named_file() or Path(file_in_environment() or DEFAULT_FILE)


def is_there() -> bool:
    """Return whether there is a configuration: a Flask project's mapping, or a file."""
    service = of_project()
    return (service is not None and service.live.is_static) or file().is_file()


def loaded() -> Loaded:
    service = of_project()
    if service is not None and service.live.is_static:
        return service.snapshot.loaded
    return read(file())


def service() -> Service:
    """Return the service of the Flask project, or one for the file; raises ConfigError."""
    app = None if named_file() else flask_app()
    existing = service_of(app)
    if app is None or existing is None:
        hooks = name_in_environment()
        return Service(file(), hooks=Hooks(load_hooks(hooks)) if hooks else None)
    is_ready = existing.live.current().lookup.is_ready
    if not is_ready:  # the site started with a faulty file
        return Service(Path(existing.live.file), hooks=existing.hooks)
    # The hooks may use the site's database.
    click.get_current_context().with_resource(app.app_context())
    return existing


def served(service: Service, domain: str, address: Address | None = None) -> Served:
    """Return what is served for a folded domain, or an address; raises ConfigError."""
    lookup = service.lookup
    with hook_failures_reported(service, domain):
        by_address = address and lookup.find_address(address, "")
        result = by_address if address else lookup.find_domain(domain)
    if result is None:
        message, cure = "the file does not serve it", "add it to a provider's domains"
        parent = domain.partition(".")[2]
        if parent.encode() in service.snapshot.loaded.claims:
            cure = f"name {parent}; if addresses end in @{domain}, {cure}"
        raise ConfigError.of(domain, message, cure, str(service.live.file))
    return result


@contextmanager
def hook_failures_reported(service: Service, subject: str) -> Iterator[None]:
    """Turn the failure of a hook into a ConfigError about *subject*."""
    try:
        yield
    except HookFailed as error:
        message, file_ = f"{error} failed", str(service.live.file)
        raise ConfigError.of(subject, message, "see the line above", file_) from None


def domain(text: str) -> str:
    """Return the folded domain of an argument, which may be an address."""
    with suppress(ValueError):
        folded = fold(text.rpartition("@")[2])
        if not is_ip(folded):
            return folded
    message = f"{text!r} is not a domain; write one like example.com"
    raise click.BadParameter(message, param_hint="DOMAIN")


def address(text: str) -> Address:
    with suppress(ValueError):
        return parse_address(text)
    message = f"{text!r} is not an e-mail address"
    raise click.BadParameter(message, param_hint="ADDRESS")


def domains(service: Service, text: str) -> list[str]:
    """Return the domain of an argument, or all if it is ""; raises ConfigError."""
    if text:
        name = domain(text)
        served(service, name)
        return [name]
    claims = service.snapshot.loaded.claims
    names = [name.decode() for name in claims if not name.startswith(b"*")]
    if not names:
        cure = "name a domain that one of its patterns matches"
        raise ConfigError.of("", "the file has only patterns of domains", cure, "")
    return names
