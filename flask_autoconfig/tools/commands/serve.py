"""The command `serve`.

A connection pool that a module or a site opens when it is imported does not survive a
fork: all workers would share it, and its threads would run in none of them. So a child
process determines what is served, each worker imports the hooks, and the server's own
process imports no code of the user.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...config.building import plain
from ...errors import ConfigError
from ...hooks import HOOK_NAMES, Functions, Hooks
from ...hooks.calling import describe, load_hooks, name_in_environment
from ...reload import log, reloads
from ...service import Service
from .. import options, project, terminal

if TYPE_CHECKING:
    from flask import Flask
    from flask.cli import ScriptInfo


def _address(value: str) -> str:
    """Return an address that gunicorn accepts: HOST:PORT, `unix:PATH` or `fd:NUMBER`."""
    if re.fullmatch(r"(unix|fd):.+|.*:\d{1,5}", value):
        return value
    raise click.BadParameter(f"{value!r} is no HOST:PORT, such as 127.0.0.1:8000")


@click.command("serve")
@options.of(
    "serve",
    bind=_address,
    processes=click.IntRange(1, 1024),
    proxies=click.IntRange(0, 16),
    log_format=click.Choice(["text", "json"]),
)
@click.option(
    "--strict/--no-strict",
    default=None,
    help="Whether a faulty file ends the start; by default not in a service of systemd.",
)
def command(
    bind: str | None,
    processes: int | None,
    proxies: int,
    hooks: str | None,
    strict: bool | None,
    log_format: str,
) -> None:
    """Run the standalone service under gunicorn.

    The environment variable GUNICORN_CMD_ARGS may hold further options of gunicorn. A
    faulty file ends the start with its problems, and so do faulty hooks; with --no-strict
    and in a service of systemd they are logged, and clients get 503 until they are
    corrected.
    """
    from .. import gunicorn_logging

    settings: dict[str, Any] = {"bind": bind, "workers": processes}
    # Neither a faulty file nor hooks that cannot be imported must end a service of systemd:
    # after a few restarts systemd gives the service up, and its socket too, and a
    # correction brings neither back. The variables name the process that is meant: shells
    # in a service inherit them (systemd.exec(5) since version 248, sd_listen_fds(3)).
    of_systemd = (os.environ.get("SYSTEMD_EXEC_PID"), os.environ.get("LISTEN_PID"))
    is_strict = str(os.getpid()) not in of_systemd if strict is None else strict
    announce: Callable[[str], None] = partial(terminal.echo, err=True)
    if log_format == "json":
        gunicorn_logging.log_json()
        settings["access_log_format"] = gunicorn_logging.JSON
        announce = log.info
    try:
        _serve(hooks, proxies, is_strict, announce, settings)
    except (ConfigError, click.ClickException, OSError) as error:
        if log_format == "text":
            raise
        shown = getattr(error, "shown", None) or getattr(error, "format_message", None)
        log.error("%s", shown() if shown else error)
        raise click.exceptions.Exit(1) from None


def _serve(
    hooks: str | None,
    proxies: int,
    is_strict: bool,
    announce: Callable[[str], None],
    settings: dict[str, Any],
) -> None:
    from ... import standalone

    try:
        site = _site(hooks)
    except (ConfigError, click.ClickException) as error:
        hooks = hooks or name_in_environment()
        if is_strict or project.is_project() or hooks is None:
            raise
        log.error("%s\nRequests are answered with 503 until it is corrected.", error)
        site = _site_of_file(project.file())._replace(hooks=hooks)
    config = {**site.config, "AUTOCONFIG_STRICT": is_strict}
    app = standalone.create_app(config, proxies=proxies, hooks=Functions())
    service: Service = app.extensions["autoconfig"]
    import_hooks = _importer(site, service.hooks.functions)
    # Not before `create_app`, which reports errors differently under gunicorn.
    from .. import server

    def load_app() -> Flask:
        reloads.disabled = True  # the arbiter logs them, once
        try:
            import_hooks()
        except Exception as error:  # the worker answers what it can without hooks
            log.error("%s: %s", type(error).__name__, error)
        return app

    gunicorn = server.Server(load_app, service.live.look, **settings)
    if gunicorn.ignored:
        names = ", ".join(gunicorn.ignored)
        announce(f"GUNICORN_CMD_ARGS: serve keeps its own {names}")
    # `built` is what was read at the start. Looking for an edit would start a thread,
    # which the workers would lose.
    built = service.live.built
    count = len(built.lookup.snapshot.loaded.claims) if built.lookup else 0
    where = _addresses(gunicorn.cfg, built.router.first_paths.get("page", ""))
    announce(f"Serving {site.name}, {count} domain{'s' * (count != 1)}, at {where}")
    gunicorn.run()


def _addresses(config: Any, page: str) -> str:
    """Return where the page is served, as clickable URLs."""
    scheme = "https" if config.is_ssl else "http"
    addresses = []
    for bind in config.bind:
        host = "127.0.0.1" if bind.startswith(":") else ""  # all addresses
        is_url = not bind.startswith(("unix:", "fd:"))
        addresses.append(f"{scheme}://{host}{bind}{page}" if is_url else bind)
    return ", ".join(addresses)


# --- What is served ----------------------------------------------------------------------


class _Site(NamedTuple):
    """What the standalone service serves: a file, or the settings of a project's app."""

    name: str  # of the file, for messages
    config: dict[str, Any]  # configuration keys of the standalone app
    hooks: str | None = None  # MODULE[:OBJECT], "" for those of the project's app
    names: tuple[str, ...] = HOOK_NAMES  # of the hooks that exist


def _site(hooks: str | None) -> _Site:
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
        if child.pid:  # 0 would be the group of this process
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        child.join()
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _send_site(sender: Connection, hooks: str | None) -> None:
    """In the child, send what to serve, or the exception to raise."""
    os.setsid()  # so that processes started by the import can be ended with it
    found, error = None, None
    try:
        found = _site_of_project()
        if found.hooks is None:
            hooks = hooks or name_in_environment()
        if hooks is not None:
            names = tuple(filter(Hooks(load_hooks(hooks)).has, HOOK_NAMES))
            found = found._replace(hooks=hooks, names=names)
    except (ConfigError, click.ClickException) as raised:
        error = raised
    except BaseException as raised:  # a module may raise anything, even SystemExit
        error = click.ClickException(describe(raised, in_full=True))
    with suppress(OSError, ValueError):  # the streams may be closed
        sys.stdout.flush()
        sys.stderr.flush()
    sender.send((found, error))


def _site_of_file(file: Path) -> _Site:
    return _Site(str(file), {"AUTOCONFIG_FILE": file})


def _site_of_project() -> _Site:
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
    names = tuple(filter(service.hooks.has, HOOK_NAMES))
    return _Site(str(service.live.file), config, "" if names else None, names)


# --- In each worker ---------------------------------------------------------------------


def _importer(site: _Site, functions: Functions) -> Callable[[], None]:
    """Return a function that imports a site's hooks into `functions`, or raises.

    Until it has succeeded in a worker, each lookup calls it again, and fails with it.
    """
    info = project.script_info()
    lock = threading.Lock()

    def import_hooks() -> None:
        with lock:
            if functions.load is not import_hooks:
                return  # a class is instantiated once in a worker
            found = load_hooks(site.hooks) if site.hooks else _functions_of_app(info)
            functions.set(**found)
            functions.load = lambda: None

    def import_and_call(name: str, key: str) -> Any:
        try:
            import_hooks()
        except ConfigError as error:
            raise ImportError(str(error)) from None
        function = functions[name]
        return function and function(key)  # what exists is unknown if the start failed

    if site.hooks is None:
        return lambda: None
    functions.set(**{name: partial(import_and_call, name) for name in site.names})
    functions.load = import_hooks
    return import_hooks


def _functions_of_app(info: ScriptInfo | None) -> dict[str, Any]:
    """Return a site's hooks, each called in an app context: they may use its database."""
    from ...middleware import within

    assert info is not None  # noqa: S101 (see _site_of_project)
    app = info.load_app()
    functions = app.extensions["autoconfig"].hooks.functions
    return {name: it and within(app, it) for name, it in functions.items()}
