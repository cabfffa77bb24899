"""Runs an application under gunicorn, with settings that suit `serve`.

The environment's GUNICORN_CMD_ARGS applies, except to the settings in `_FIXED`.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import runpy
import signal
import socket
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import gunicorn
from gunicorn.app.base import Application, BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.sock import ssl_context

from ..reload import log
from .gunicorn_logging import ACCESS_FORMATS, Logger, StatsdLogger
from .gunicorn_worker import STOP_SIGNALS, Worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# File descriptors of a worker besides its connections and one for each thread (a hook's
# database): its logs, listeners, pipes and configuration files.
_OTHER_DESCRIPTORS = 32
DEFAULTS: dict[str, Any] = {
    "bind": "127.0.0.1:8000",
    "workers": 2,
    # The clients of one worker that may be slow at the same time; an idle thread costs
    # little.
    "threads": 64,
    "graceful_timeout": 7,  # more than any request may take
    "accesslog": "-",
    "proc_name": "flask-autoconfig",
}
_FIXED: dict[str, Any] = {
    "preload_app": False,  # each worker imports the hooks itself
    # The worker's deadlines exist for HTTP/1.1 alone.
    "worker_class": Worker,
    "protocol": "http",
    "http_protocols": "h1",
    # The default format has the query with the address.
    "logger_class": Logger,
    "access_log_format": ACCESS_FORMATS["text"],
    # Only --proxies decides which headers are trusted.
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
    "header_map": "drop",
    "strip_header_spaces": False,
    "permit_obsolete_folding": False,
    "control_socket_disable": True,
}


class UnusableError(Exception):
    """`serve` cannot start; the message is one line with the remedy."""


class _Arbiter(Arbiter):  # type: ignore[misc]
    def spawn_worker(self) -> Any:
        """Start a worker with the stop signals blocked.

        Until it installs its own handlers it has those of the arbiter, which would
        discard a signal. `Worker.init_signals` unblocks them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def murder_workers(self) -> None:
        """Reload an edited file; gunicorn calls this about once a second.

        A worker that starts later gets the configuration of this process, which alone
        logs the reload.
        """
        super().murder_workers()
        self.app.refresh()


class _Runner(BaseApplication):  # type: ignore[misc]
    def run(self) -> None:
        try:
            _Arbiter(self).run()
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error


class Server(Application, _Runner):  # type: ignore[misc]
    """A gunicorn server for one application; `run()` serves until it is stopped.

    Each worker calls `load_app` when it starts. The arbiter calls `refresh` about once a
    second. `options` are settings by gunicorn's names that override all others; None
    leaves a setting as it is. Raises UnusableError.
    """

    cfg: Any
    ignored: list[str]  # the given settings that `_FIXED` overrides

    def __init__(
        self,
        load_app: Callable[[], WSGIApplication],
        refresh: Callable[[], object],
        **options: Any,
    ) -> None:
        self.load = load_app
        self.refresh = refresh
        self._options = {
            key: value for key, value in options.items() if value is not None
        }
        super().__init__()
        if gunicorn.version_info < (25, 3):
            log.warning(
                "gunicorn %s lets each idle connection occupy a thread; 25.3 or newer "
                "does not",
                gunicorn.__version__,
            )
        os.chdir(self.cfg.chdir)  # relative file names refer to it
        if self.cfg.is_ssl:
            try:
                ssl_context(self.cfg)
            except (OSError, ValueError) as error:
                files = f"certfile {self.cfg.certfile}, keyfile {self.cfg.keyfile}"
                raise _faulty(f"{files}: {error}") from error
        _check_listeners(self.cfg)
        # Python would print a record that cannot be written, with the query in it.
        logging.raiseExceptions = False

    def do_load_config(self) -> None:
        """Load the settings; after a HUP signal, an error leaves the earlier ones.

        gunicorn's own method would parse the command line of `flask-autoconfig`.
        """
        config = Config(prog="flask-autoconfig")
        try:
            given = _given(config)
            _apply({**DEFAULTS, **given, **_FIXED, **self._options}, config)
        except UnusableError as error:
            if self.cfg is None:
                raise
            log.error("%s", error)
            return
        self.cfg, self.ignored = config, sorted(given.keys() & _FIXED.keys())


def _apply(settings: dict[str, Any], config: Config) -> None:
    for name, value in settings.items():
        if name not in config.settings:  # of another release, or a variable of a file
            continue
        try:
            config.set(name, value)
        except Exception as error:  # each setting has its own validator
            raise _faulty(f"{name}: {error}") from error
    try:
        config.address  # noqa: B018 (parsed on access)
    except RuntimeError as error:
        raise _faulty(str(error)) from error
    if config.statsd_host:
        config.set("logger_class", StatsdLogger)
    _limit_connections(config)


def _given(config: Config) -> dict[str, Any]:
    """Return the settings of GUNICORN_CMD_ARGS and of a file named there.

    They include all variables of that file: a path or `python:MODULE`.
    """

    def fail(message: str) -> NoReturn:
        raise _faulty(message)

    parser = config.parser()
    parser.error = fail  # argparse would print gunicorn's whole usage
    try:
        arguments = parser.parse_args(config.get_cmd_args_from_env())
    except ValueError as error:  # an unclosed quotation
        raise _faulty(str(error)) from error
    given = {key: value for key, value in vars(arguments).items() if value is not None}
    given.pop("args")
    name = given.pop("config", "")
    if not name:
        return given
    try:
        if name.startswith("python:"):
            variables = vars(import_module(name.removeprefix("python:")))
        else:
            variables = runpy.run_path(name.removeprefix("file:"))
    except Exception as error:
        raise _faulty(f"--config {name}: {type(error).__name__}: {error}") from error
    return {**variables, **given}


def _faulty(message: str) -> UnusableError:
    text = " ".join(message.split())
    return UnusableError(f"GUNICORN_CMD_ARGS: {text}; see `gunicorn --help`")


def _limit_connections(config: Config) -> None:
    """Keep a worker's connections below its limit of file descriptors.

    A worker that cannot accept a connection ends. The soft limit is raised only as far
    as needed, since a hook may use select(), which takes no descriptor above 1023.
    """
    others = config.threads + _OTHER_DESCRIPTORS
    wanted = config.worker_connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < wanted:
        connections = max(1, limit - others)
        log.warning(
            "worker_connections: %d instead of %d, since `ulimit -n` allows %d files",
            *(connections, config.worker_connections, limit),
        )
        config.set("worker_connections", connections)


# --- Addresses ---------------------------------------------------------------------------


def _check_listeners(config: Any) -> None:
    """Raise UnusableError for an address for which gunicorn would retry for seconds."""
    is_socket_activated = os.environ.get("LISTEN_PID") == str(os.getpid())
    if is_socket_activated or "GUNICORN_FD" in os.environ:  # the latter after USR2
        return
    for name, address in zip(config.bind, config.address, strict=True):
        if isinstance(address, int):  # an inherited descriptor
            continue
        try:
            _bind_once(address, reuse_port=config.reuse_port)
        except (OSError, OverflowError, ValueError) as error:
            cure = "choose another by --bind"
            if getattr(error, "errno", 0) == errno.EADDRINUSE:
                cure = f"end what serves there, or {cure}"
            reason = (getattr(error, "strerror", "") or str(error)).lower()
            message = f"cannot serve at {name}: {reason}; {cure}"
            raise UnusableError(message) from error


def _bind_once(address: Any, *, reuse_port: bool) -> None:
    """Bind and release an address; raises an exception if that is impossible.

    It never listens, so that a client that connects in this moment is refused instead
    of cut off.
    """
    is_unix = isinstance(address, str)
    if is_unix:
        family = socket.AF_UNIX
        _remove_stale_socket(address)
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    if is_unix:
        os.unlink(address)


def _remove_stale_socket(path: str) -> None:
    """Remove the socket of a server that has ended; raises OSError if one still runs."""
    if not os.path.exists(path):
        return
    if not Path(path).is_socket():
        raise OSError(errno.EEXIST, "there is a file of that name")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        if client.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)
