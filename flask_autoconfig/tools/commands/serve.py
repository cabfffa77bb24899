"""The command `serve`.

A connection pool that a module or a site opens when it is imported does not survive a
fork: all workers would share it, and its threads would run in none of them. So a child
process determines what is served, each worker imports the hooks, and the server's own
process imports no code of the user.
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
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ...config.building import plain
from ...errors import ConfigError
from ...hooks import HOOK_NAMES, Functions
from ...importing import describe, load_hooks, name_in_environment
from ...reload import log, reloads
from ...service import Service
from .. import project, terminal

if TYPE_CHECKING:
    from flask import Flask


def _validated_bind(_ctx: object, _option: object, value: str | None) -> str | None:
    """Return an address that gunicorn accepts: HOST:PORT, `unix:PATH` or `fd:NUMBER`."""
    if value is None or value.startswith(("unix:", "fd:")):
        return value
    _, colon, port = value.rpartition(":")
    is_port = port.isdigit() and int(port) < 65536
    if is_port and colon:
        return value
    cure = f"; write 127.0.0.1:{value}" if is_port else ""
    raise click.BadParameter(f"{value!r} is no HOST:PORT{cure}", param_hint="--bind")


@click.command("serve")
@click.option(
    "--bind",
    metavar="HOST:PORT",
    callback=_validated_bind,
    help="Address to serve at; 127.0.0.1:8000 by default.",
)
@click.option(
    "--workers",
    "processes",
    type=click.IntRange(1, 1024),
    help="Number of processes; 2 by default.",
)
@click.option(
    "--proxies",
    default=0,
    show_default=True,
    type=click.IntRange(0, 16),
    help="Number of proxies in front whose X-Forwarded headers are trusted.",
)
@click.option(
    "--hooks",
    metavar="MODULE[:OBJECT]",
    help="Module or object with the hooks (find_provider, …); each worker imports it.",
)
@click.option(
    "--strict/--no-strict",
    default=None,
    help="Whether a faulty file ends the start; by default not in a service of systemd.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the lines of the log: of requests on stdout, of the rest on stderr.",
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

    options = {"bind": bind, "workers": processes}
    options["access_log_format"] = gunicorn_logging.ACCESS_FORMATS[log_format]
    is_strict = not _is_run_by_systemd() if strict is None else strict
    if log_format == "text":
        _serve(hooks, proxies, is_strict, partial(terminal.echo, err=True), options)
        return
    gunicorn_logging.log_json()
    try:
        _serve(hooks, proxies, is_strict, log.info, options)
    except (ConfigError, click.ClickException, OSError) as error:
        shown = getattr(error, "shown", None) or getattr(error, "format_message", None)
        log.error("%s", shown() if shown else error)
        raise click.exceptions.Exit(1) from None


def _serve(
    hooks: str | None,
    proxies: int,
    is_strict: bool,
    announce: Callable[[str], None],
    options: dict[str, Any],
) -> None:
    from ... import standalone

    try:
        site = _site(hooks)
    except (ConfigError, click.ClickException) as error:
        hooks = hooks or name_in_environment()
        if is_strict or project.is_project() or hooks is None:
            raise
        log.error("%s\nRequests are answered with 503 until it is corrected.", error)
        site = _site_of_file(project.file())._replace(
            functions=HOOK_NAMES, module=hooks
        )
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

    try:
        gunicorn = server.Server(load_app, service.live.look, **options)
    except server.UnusableError as error:
        raise click.ClickException(str(error)) from None
    if gunicorn.ignored:
        names = ", ".join(gunicorn.ignored)
        announce(f"GUNICORN_CMD_ARGS: serve keeps its own {names}")
    announce(_started(site.name, service, gunicorn.cfg))
    gunicorn.run()


def _is_run_by_systemd() -> bool:
    """Return whether systemd itself started this process.

    Neither a faulty file nor hooks that cannot be imported must end it: after a few
    restarts systemd gives the service up, and its socket too, and a correction brings
    neither back. The variables name the process that is meant: shells in a service inherit
    them. systemd sets the first since version 248, the second for a service with a socket
    (systemd.exec(5), sd_listen_fds(3)).
    """
    pid = str(os.getpid())
    return pid in (os.environ.get("SYSTEMD_EXEC_PID"), os.environ.get("LISTEN_PID"))


def _started(name: str, service: Service, config: Any) -> str:
    """Return the line that says what is served and where, as clickable URLs."""
    # `built` is what was read at the start. Looking for an edit would start a thread,
    # which the workers would lose.
    built = service.live.built
    count = len(built.lookup.snapshot.loaded.claims) if built.lookup else 0
    domains = f"{count} {'domain' if count == 1 else 'domains'}"
    page = built.router.first_paths.get("page", "")
    return f"Serving {name}, {domains}, at {_addresses(config, page)}"


def _addresses(config: Any, page: str) -> str:
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
    functions: tuple[str, ...] = ()  # the names of the hooks that exist
    module: str | None = None  # MODULE[:OBJECT] of the hooks; None: the project's app


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
        if child.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        child.join()
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _site_of_file(file: Path) -> _Site:
    return _Site(str(file), {"AUTOCONFIG_FILE": file})


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
    return _Site(str(service.live.file), config, _names(service.hooks.functions))


def _names(functions: Functions) -> tuple[str, ...]:
    return tuple(name for name, function in functions.items() if function is not None)


# --- In each worker ---------------------------------------------------------------------


def _importer(site: _Site, functions: Functions) -> Callable[[], None]:
    """Return a function that imports the site's hooks into `functions`, or raises.

    Until it has succeeded in a worker, each lookup calls it again, and fails with it.
    """
    info = project.script_info()
    lock = threading.Lock()

    def import_hooks() -> None:
        with lock:
            if functions.load is not import_hooks:
                return  # a class is instantiated once in a worker
            if site.module is not None:
                functions.set(**load_hooks(site.module))
            elif site.functions:
                functions.set(**_functions_of_app(info.load_app() if info else None))
            functions.load = lambda: None

    def import_and_call(name: str, key: str) -> Any:
        try:
            import_hooks()
        except ConfigError as error:
            raise ImportError(str(error)) from None
        function = functions[name]
        return function and function(key)  # what exists is unknown if the start failed

    functions.set(**{name: partial(import_and_call, name) for name in site.functions})
    functions.load = import_hooks
    return import_hooks


def _functions_of_app(app: Any) -> dict[str, Callable[[str], Any] | None]:
    """Return a site's hooks, each called in an app context: they may use its database."""
    service = project.service_of(app)
    assert service is not None  # noqa: S101 (see _site_of_project)

    def call(function: Callable[[str], Any], key: str) -> Any:
        with app.app_context():
            return function(key)

    functions = service.hooks.functions
    return {name: it and partial(call, it) for name, it in functions.items()}
