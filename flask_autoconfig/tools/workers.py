"""What `serve` serves: determined in a child process, imported by each worker.

A connection pool that a module or a site opens when it is imported does not survive a
fork: all workers would share it, and its threads would run in none of them. So the
server's own process imports no code of the user.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..config.mapping import plain
from ..errors import ConfigError
from ..hooks import Functions
from ..importing import describe, load_hooks, name_in_environment
from . import project


class Site(NamedTuple):
    """What the standalone service serves: a file, or the settings of a project's app."""

    name: str  # of the file, for messages
    config: dict[str, Any]  # configuration keys of the standalone app
    functions: tuple[str, ...] = ()  # the names of the hooks that exist
    module: str | None = None  # MODULE[:OBJECT] of the hooks; None: the project's app


def site(hooks: str | None) -> Site:
    """Return what to serve; raises ConfigError or ClickException.

    The hooks are those of the name, else those of the project, else those of the
    environment.
    """
    if not project.is_project():
        hooks = hooks or name_in_environment()
        if hooks is None:
            return _site_of_file(project.file())
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_site, args=(sender, hooks))
    child.start()
    sender.close()
    try:
        # Not until the end of the pipe: a process that the child started keeps it open.
        found, error = receiver.recv()
    except EOFError:
        message = "importing the hooks or the app ends the process"
        raise click.ClickException(message) from None
    finally:
        if child.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        child.join()
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _site_of_file(file: Path) -> Site:
    return Site(str(file), {"AUTOCONFIG_FILE": file})


# --- In the child -----------------------------------------------------------------------


def _send_site(sender: Connection, hooks: str | None) -> None:
    """Send what to serve, or the exception to raise."""
    os.setsid()  # so that processes started by the import can be ended with it
    found, error = None, None
    try:
        found = _site_of_project()
        if hooks is None and not found.functions:
            hooks = name_in_environment()
        if hooks is not None:
            found = found._replace(module=hooks, functions=_names(load_hooks(hooks)))
    except (ConfigError, click.ClickException) as raised:
        error = raised
    except BaseException as raised:  # a module may raise anything, even SystemExit
        error = click.ClickException(describe(raised))
    with suppress(OSError, ValueError):  # the streams may be closed
        sys.stdout.flush()
        sys.stderr.flush()
    sender.send((found, error))


def _site_of_project() -> Site:
    try:
        app = project.flask_app() if project.is_project() else None
    except ConfigError as error:
        return _site_of_file(project.file_of(error))
    service = project.service_of(app)
    if app is None or service is None:
        return _site_of_file(project.file())
    keys = ("AUTOCONFIG", "AUTOCONFIG_CLIENTS")
    config = {key: app.config[key] for key in keys if key in app.config}
    if service.live.is_static:
        config["AUTOCONFIG"] = plain(config["AUTOCONFIG"])  # which can be pickled
    else:
        config |= {"AUTOCONFIG": None, "AUTOCONFIG_FILE": service.live.file}
    return Site(str(service.live.file), config, _names(service.hooks.functions))


def _names(functions: Functions) -> tuple[str, ...]:
    return tuple(name for name, function in functions.items() if function is not None)


# --- In each worker ---------------------------------------------------------------------


def importer(site: Site, functions: Functions) -> Callable[[], None]:
    """Return a function that imports the site's hooks into `functions`, or raises.

    Until it has succeeded in a worker, each lookup calls it again, and fails with it.
    """
    info = project.script_info()
    lock = threading.Lock()

    def import_hooks() -> None:
        with lock:
            if site.module is not None:
                functions.set(**load_hooks(site.module))
            elif site.functions:
                functions.set(**_functions_of_app(info.load_app() if info else None))

    def deferred(name: str) -> Callable[[str], Any]:
        def call(key: str) -> Any:
            import_hooks()
            return functions[name](key)

        return call

    functions.set(**{name: deferred(name) for name in site.functions})
    return import_hooks


def _functions_of_app(app: Any) -> dict[str, Callable[[str], Any] | None]:
    """Return a site's hooks, each called in an app context: they may use its database."""
    service = project.service_of(app)
    assert service is not None  # noqa: S101 (see _site_of_project)

    def in_context(function: Callable[[str], Any]) -> Callable[[str], Any]:
        def call(key: str) -> Any:
            with app.app_context():
                return function(key)

        return call

    functions = service.hooks.functions
    return {name: it and in_context(it) for name, it in functions.items()}
