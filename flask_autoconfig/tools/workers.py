"""What `serve` serves: found out in a child process, imported by each worker.

A pool of connections that a module or a site opens at import does not survive a fork: all
workers would share it, and its threads would run in none. So nothing of the user's is
imported in the server's own process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import click

from ..config.mapping import plain
from ..errors import ConfigError
from ..hooks import Hooks
from ..importing import imported, in_words, name_in_environment
from . import project

Result = TypeVar("Result")


class Site(NamedTuple):
    """What the standalone service serves: a file, or what a Flask project's app does."""

    name: str  # of the file, for people
    config: dict[str, Any]  # keys of the standalone app's configuration
    functions: tuple[str, ...] = ()  # names of the hooks that there are
    module: str | None = None  # MODULE[:OBJECT] with the hooks; None: the project's app


def site(hooks: str | None) -> Site:
    """Return what is to be served; raises ConfigError where it is faulty.

    Of the hooks, those of the name come first, then the project's, then the
    environment's.
    """
    hooks = hooks or (None if project.is_project() else name_in_environment())
    if hooks is None and not project.is_project():
        return _site_of(project.file())
    return _in_a_child(partial(_look, hooks))


def _look(hooks: str | None) -> Site:
    found = _site_of_project() if project.is_project() else _site_of(project.file())
    if hooks is None and not found.functions:
        hooks = name_in_environment()
    if hooks is None:
        return found
    return found._replace(module=hooks, functions=_names_of(imported(hooks)))


def _site_of(file: Path) -> Site:
    return Site(str(file), {"AUTOCONFIG_FILE": file})


def _site_of_project() -> Site:
    try:
        app = project.flask_app()
    except ConfigError as error:
        return _site_of(project.file_of(error))
    own = project.service_of(app)
    if app is None or own is None:
        return _site_of(project.file())
    keys = ("AUTOCONFIG", "AUTOCONFIG_CLIENTS")
    config = {key: app.config[key] for key in keys if key in app.config}
    if own.live.is_static:
        config["AUTOCONFIG"] = plain(config["AUTOCONFIG"])  # of whatever kind it was
    else:
        config = {**config, "AUTOCONFIG": None, "AUTOCONFIG_FILE": own.live.file}
    return Site(str(own.live.file), config, _names_of(own.hooks))


def _names_of(hooks: Hooks) -> tuple[str, ...]:
    names = ("find_provider", "find_username")
    return tuple(name for name in names if getattr(hooks, name) is not None)


# --- In each worker ---------------------------------------------------------------------


def fetcher(site: Site, hooks: Hooks) -> Callable[[], None]:
    """Return what imports the site's hooks into `hooks`; it raises what the import does.

    Until that has succeeded in a worker, each lookup tries it again, and fails with it.
    """
    info = project.script_info()
    lock = threading.Lock()

    def fetch() -> None:
        with lock:
            if site.module is not None:
                hooks.take(imported(site.module))
            elif site.functions:
                hooks.take(_in_context(info.load_app() if info else None))

    def stand_in(name: str) -> Callable[[str], Any]:
        def ask(key: str) -> Any:
            fetch()
            return getattr(hooks, name)(key)

        return ask

    if site.functions:
        hooks.take(SimpleNamespace(**{name: stand_in(name) for name in site.functions}))
    return fetch


def _in_context(app: Any) -> SimpleNamespace:
    """The hooks of a site, each called in an app context: they may ask its database."""
    own = project.service_of(app)
    assert own is not None  # noqa: S101 (see _site_of_project)

    def within(function: Callable[[str], Any]) -> Callable[[str], Any]:
        def ask(key: str) -> Any:
            with app.app_context():
                return function(key)

        return ask

    names = _names_of(own.hooks)
    return SimpleNamespace(**{it: within(getattr(own.hooks, it)) for it in names})


# --- In a child -------------------------------------------------------------------------


def _in_a_child(look: Callable[[], Result]) -> Result:
    """Return what a function returns in a process of which nothing else stays.

    Raises the ConfigError that the function raises, ClickException for all else.
    """
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(sender, look))
    child.start()
    sender.close()
    try:
        # Not to the end of the pipe: a process that the child started holds it open.
        result, error = receiver.recv()
    except EOFError:
        raise click.ClickException(
            "importing the hooks or the app ends the process"
        ) from None
    finally:
        if child.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        child.join()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _send(sender: Connection, look: Callable[[], object]) -> None:
    os.setsid()  # so that what the import starts can be ended with it
    result, error = None, None
    try:
        result = look()
    except (ConfigError, click.ClickException) as raised:
        error = raised
    except BaseException as raised:  # a module may raise anything, SystemExit included
        error = click.ClickException(in_words(raised))
    with suppress(OSError, ValueError):  # they may be closed
        sys.stdout.flush()
        sys.stderr.flush()
    sender.send((result, error))
