"""The command `serve`.

A connection pool that the user's code opens on import does not survive a fork: all
workers would share it, and its threads would run in none of them. So a child process
determines what is served, each worker imports the hooks, and the server's own process
imports no code of the user.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from typing import Any

import click
from flask import Flask

from ...config.building import plain
from ...errors import ConfigError
from ...hooks import HOOK_NAMES, Functions
from ...hooks.calling import describe, load_hooks, name_in_environment
from ...middleware import within
from ...reload import log, reloads
from ...service import Service
from ...standalone import create_app
from .. import options, project, server, terminal


def _address(value: str) -> str:
    """Return an address that gunicorn accepts: HOST:PORT, `unix:PATH` or `fd:NUMBER`."""
    if re.fullmatch(r"(unix|fd):.+|.*:\d{1,5}", value):
        return value
    raise click.BadParameter(f"{value!r} is no HOST:PORT, such as 127.0.0.1:8000")


@options.command("serve", bind=_address)
def command(args: options.Asked) -> None:
    settings: dict[str, Any] = {"bind": args.bind, "workers": args.processes}
    # Neither a faulty file nor hooks that cannot be imported may end a service of systemd:
    # after a few restarts systemd gives up the service and its socket, and a correction
    # does not bring them back. Only in the service's main process do these variables have
    # its own id; shells inherit them (systemd.exec(5) since 248, sd_listen_fds(3)).
    service_ids = (os.environ.get("SYSTEMD_EXEC_PID"), os.environ.get("LISTEN_PID"))
    if args.strict is None:
        args.strict = str(os.getpid()) not in service_ids
    announce: Callable[[str], None] = partial(terminal.echo, err=True)
    if args.log_format == "json":
        server.log_json()
        settings["access_log_format"] = server.JSON
        announce = log.info
    try:
        _serve(args, announce, settings)
    except (ConfigError, click.ClickException, OSError) as error:
        if args.log_format == "text":
            raise
        log.error("%s", error)
        raise click.exceptions.Exit(1) from None


def _serve(
    args: options.Asked, announce: Callable[[str], None], settings: dict[str, Any]
) -> None:
    hooks = args.hooks or name_in_environment()
    if project.named_file() is None and project.script_info():
        config, names = _call_in_child(_project_settings)
    else:
        config, names = {"AUTOCONFIG_FILE": project.file()}, ()
    if hooks:
        try:
            names = _call_in_child(lambda: _names_of(load_hooks(hooks)))
        except (ConfigError, click.ClickException) as error:
            if args.strict:
                raise
            log.error(
                "%s\nRequests are answered with 503 until it is corrected.", error
            )
            names = HOOK_NAMES
    config["AUTOCONFIG_STRICT"] = args.strict
    app = create_app(config, proxies=args.proxies, hooks=Functions())
    service: Service = app.extensions["autoconfig"]
    if hooks or names:
        project_hooks = partial(_project_hooks, project.script_info())
        load = partial(load_hooks, hooks) if hooks else project_hooks
        _defer_import(service.hooks.functions, names, load)

    def load_app() -> Flask:
        reloads.disabled = True  # only the arbiter logs them
        try:
            service.hooks.functions.load()
        except Exception as error:  # the worker serves what needs no hooks
            log.error("%s: %s", type(error).__name__, error)
        return app

    gunicorn = server.Server(load_app, service.live.look, **settings)
    if gunicorn.ignored:
        ignored = ", ".join(gunicorn.ignored)
        announce(f"GUNICORN_CMD_ARGS: serve keeps its own {ignored}")
    # `built` was read at the start. `current` would start a thread to look for edits,
    # which the workers would lose.
    count = len(service.live.built.lookup.snapshot.loaded.claims)
    domains = f"{count} domain{'s' * (count != 1)}"
    sockets = ", ".join(gunicorn.cfg.bind)
    sockets = "the sockets that systemd opened" if server.is_activated() else sockets
    announce(f"Serving {service.live.file}, {domains}, at {sockets}")
    gunicorn.run()


# --- In a child process -----------------------------------------------------------------


def _call_in_child(function: Callable[[], Any]) -> Any:
    """Return the result of a function that imports the user's code, or raise its error.

    The child has its own process group, so that processes of the user's code end with it.
    """
    receiver, sender = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            outcome = _outcome(function)
            with suppress(OSError, ValueError, AttributeError):  # they may be closed
                sys.stdout.flush()
                sys.stderr.flush()
            sender.send(outcome)
        finally:
            os._exit(0)
    sender.close()
    try:
        # Only one message: a process that the child started may keep the pipe open.
        result = receiver.recv()
    except EOFError:
        message = "importing the hooks or the app ends the process"
        raise click.ClickException(message) from None
    finally:
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if isinstance(result, Exception):
        raise result
    return result


def _outcome(function: Callable[[], Any]) -> Any:
    """Return the result of a function, or the exception to raise in the parent."""
    try:
        return function()
    except (ConfigError, click.ClickException) as error:
        return error
    except BaseException as error:  # a module may raise anything, even SystemExit
        return click.ClickException(describe(error, in_full=True))


def _names_of(functions: Functions) -> tuple[str, ...]:
    return tuple(name for name, function in functions.items() if function)


def _project_settings() -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings of the project's app for `create_app`, and names of hooks."""
    app = project.flask_app()
    service = project.service_of(app)
    if app is None or service is None:
        return {"AUTOCONFIG_FILE": project.file()}, ()
    config = {"AUTOCONFIG_CLIENTS": app.config.get("AUTOCONFIG_CLIENTS")}
    if service.live.is_static:
        config["AUTOCONFIG"] = plain(app.config["AUTOCONFIG"])  # which can be pickled
    else:
        config["AUTOCONFIG_FILE"] = service.live.file
    return config, _names_of(service.hooks.functions)


# --- In each worker ---------------------------------------------------------------------


def _defer_import(
    functions: Functions, names: tuple[str, ...], load: Callable[[], dict[str, Any]]
) -> None:
    """Import the hooks only by `functions.load` or the first call of a hook.

    Until that succeeds in a worker, each call repeats the import, and fails with it.
    """
    lock = threading.Lock()

    def import_hooks() -> None:
        with lock:
            if functions.load is import_hooks:  # a class is instantiated only once
                functions.set(**load())
                functions.load = lambda: None

    def import_and_call(name: str, key: str) -> Any:
        try:
            import_hooks()
        except ConfigError as error:  # it stands for faults in the result of a hook
            raise ImportError(str(error)) from None
        function = functions[name]
        return function and function(key)  # after a failed start, it may not exist

    functions.set(**{name: partial(import_and_call, name) for name in names})
    functions.load = import_hooks


def _project_hooks(info: Any) -> dict[str, Any]:
    """Return the hooks of a project, each with an app context, by its ScriptInfo."""
    app = info.load_app()
    hooks = app.extensions["autoconfig"].hooks.functions.items()
    return {name: function and within(app, function) for name, function in hooks}
