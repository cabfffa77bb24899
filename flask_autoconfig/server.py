"""`serve`: gunicorn as the service runs by itself, with nothing in front of it.

Three things are not gunicorn's own: no client can hold up others by being slow, no log
holds what a client sent, and a worker hears that it shall stop from its first moment.
The environment's GUNICORN_CMD_ARGS counts for all else.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import runpy
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from .address import host_of, is_ip
from .answers import stop_reading
from .families import AUTODISCOVER_V2, METHODS
from .listeners import UnusableError
from .listeners import check as check_addresses
from .reload import log

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Clients of one worker that may be slow at the same time; a waiting thread costs little.
_THREADS = 64
# File descriptors that a worker needs beside its connections and the one that each thread
# may have open (a hook's database): its logs, listeners and pipes, and files read again.
_OWN_DESCRIPTORS = 32
_HEAD_SECONDS = 5  # for the first byte of a connection, and then for a request's head
_ENDS_IDLE = (25, 3)  # the version of gunicorn whose workers can end idle connections
_LAST_SECONDS = 0.2  # in which a client may still take its answer and hang up
# More than a request may take: a stop waits no longer, whoever still holds on.
_STOP_SECONDS = 7
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _worker_class() -> type:
    from gunicorn.workers.gthread import ThreadWorker

    class Worker(ThreadWorker):  # type: ignore[misc]
        """A worker whose clients can hold no more than a thread, and that not for long.

        Beside what gunicorn documents it uses `enqueue_req`, `pending_conns`, `poller` and
        `on_pending_socket_readable` of its class, and `data_ready` and `initialized` of a
        connection, which gunicorn has from 25.3 on (tried with that and 27.0.1). With an
        older one an idle connection holds a thread.
        """

        def load_wsgi(self) -> None:
            # When each connection whose request's head is being read has to have sent it.
            self.heads: dict[Any, float] = {}
            super().load_wsgi()

        def init_signals(self) -> None:
            super().init_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)

        def enqueue_req(self, connection: Any) -> None:
            """Give a new connection a thread only when its first byte is there."""
            is_old = not hasattr(self, "pending_conns")
            if is_old or connection.initialized or connection.data_ready:
                super().enqueue_req(connection)
                return
            connection.sock.setblocking(False)
            connection.timeout = time.monotonic() + _HEAD_SECONDS
            self.pending_conns.append(connection)
            call = partial(self.on_pending_socket_readable, connection)
            self.poller.register(connection.sock, selectors.EVENT_READ, call)

        def notify(self) -> None:
            """About once a second: end the reading of heads that take too long."""
            super().notify()
            now = time.monotonic()
            for connection, until in self.heads.copy().items():
                if until < now:
                    stop_reading(connection.sock)

        def handle_request(self, request: Any, connection: Any) -> Any:
            self.heads.pop(connection, None)
            if any(name in _OF_A_BODY for name, _ in request.headers):
                request.force_close()  # or gunicorn would wait for the rest of the body
            return super().handle_request(request, connection)

        def handle(self, connection: Any) -> Any:
            self.heads[connection] = time.monotonic() + _HEAD_SECONDS
            try:
                is_kept = super().handle(connection)
            finally:
                self.heads.pop(connection, None)
            if is_kept is False:
                _let_go(connection.sock)
            return is_kept

    return Worker


def _hold_signals_through_forks() -> None:
    """Keep what a worker is told back until it can hear.

    It starts with the handlers of its master, who would take the word for its own.
    """

    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _STOPS),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPS),
    )


_OF_A_BODY = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING"})


def _let_go(connection: socket.socket) -> None:
    """Wait a moment for the client to hang up, so that closing need not.

    gunicorn closes, and waits two seconds for each client, in the one loop of the worker
    that accepts all others.
    """
    until = time.monotonic() + _LAST_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    stop_reading(connection)


def _logger_class() -> type:
    from gunicorn.glogging import Logger

    class WithoutAddresses(Logger):  # type: ignore[misc]
        """A logger that writes one line a request, and nothing of what was sent in it."""

        def setup(self, config: Any) -> None:
            super().setup(config)
            log.handlers[:] = self.error_log.handlers
            log.setLevel(self.loglevel)
            log.propagate = False

        def atoms(self, *arguments: Any) -> dict[str, Any]:
            """What a line may be made of, nothing that the client could hide there."""
            atoms = super().atoms(*arguments)
            known = {key: shown(atoms[key]) for key in ("H", "s", "b")}
            method = str(atoms["m"])
            known["m"] = method if method in METHODS else "-"
            # A proxy may pass on whatever the client says of its address.
            known["h"] = atoms["h"] if is_ip(str(atoms["h"])) else "-"
            known["host"] = host_of(str(atoms.get("{http_host}e", ""))) or "-"
            return {**known, "t": atoms["t"], "U": _without_address(atoms["U"])}

        def debug(self, message: object, *arguments: Any, **options: Any) -> None:
            """What `--log-level debug` would add of a request are its bytes."""
            text = str(message)
            super().debug(text.partition(" %")[0] if arguments else text, **options)

        def warning(self, message: object, *arguments: Any, **options: Any) -> None:
            """What is wrong with a request is told without its bytes."""
            text = str(message)
            if text.startswith("Invalid request"):
                text = text.partition(": ")[0]
            super().warning(text, *arguments, **options)

        def exception(self, message: object, *arguments: Any, **options: Any) -> None:
            """Where an error was, but not of which request, nor the error's own words."""
            kind, _, where = sys.exc_info()
            frames = "".join(traceback.format_tb(where))
            text = str(message).partition(" %")[0]
            self.error("%s\n%s%s", text, frames, kind and kind.__name__)

    return WithoutAddresses


# There are more ways to write an address's sign than can be listed.
_PLAIN = re.compile("[A-Za-z0-9/._~-]*")


def _without_address(path: object) -> str:
    """Return a decoded path for the log: only its beginning where it may hold an address.

    Before the sign a local part may have anything, slashes too (RFC 5322, section 3.2.3).
    """
    text = str(path)
    own = AUTODISCOVER_V2 + "/"
    if text.lower().startswith(own):
        return own + "…"
    return text if _PLAIN.fullmatch(text) else "/…"


def shown(value: object) -> str:
    """Printable ASCII on one line, all else escaped; gunicorn does quotes itself."""
    return str(value).encode("unicode_escape").decode("ascii")


def _watching(look: Callable[[], object]) -> type:
    """What runs gunicorn with an eye on the files in its own process too.

    gunicorn comes by about once a second to see whether its workers are alive.
    """
    from gunicorn.app.base import BaseApplication
    from gunicorn.arbiter import Arbiter

    class Watching(Arbiter):  # type: ignore[misc]
        def murder_workers(self) -> None:
            super().murder_workers()
            log.disabled = True  # the workers tell of it
            try:
                look()
            finally:
                log.disabled = False

    class Runner(BaseApplication):  # type: ignore[misc]
        def run(self) -> None:
            try:
                Watching(self).run()
            except RuntimeError as error:
                raise SystemExit(f"Error: {error}") from error

    return Runner


# --- Settings ------------------------------------------------------------------------


def _defaults() -> dict[str, Any]:
    """What counts where neither an option nor GUNICORN_CMD_ARGS says something else."""
    return {
        "bind": DEFAULT_BIND,
        "workers": DEFAULT_WORKERS,
        "threads": _THREADS,
        "graceful_timeout": _STOP_SECONDS,
        "accesslog": "-",
        "proc_name": "flask-autoconfig",
    }


def _kept() -> dict[str, Any]:
    """What no argument of gunicorn's changes."""
    return {
        # Each worker imports the hooks itself.
        "preload_app": False,
        # The guard against slow clients, which knows HTTP/1.1 alone.
        "worker_class": _worker_class(),
        "protocol": "http",
        "http_protocols": "h1",
        # Without the query: it holds the address.
        "logger_class": _logger_class(),
        "access_log_format": '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(host)s',
        # Only --proxies says who is believed: not gunicorn's own idea of it, nor a
        # header that a proxy takes for another one.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "header_map": "drop",
        "strip_header_spaces": False,
        "permit_obsolete_folding": False,
        "control_socket_disable": True,
    }


DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_WORKERS = 2


def _given(config: Any) -> dict[str, Any]:
    """What GUNICORN_CMD_ARGS sets, a file that it names included; may be unusable."""

    def refuse(message: str) -> NoReturn:
        raise _faulty(message)

    parser = config.parser()
    parser.error = refuse  # its own prints the usage of all of gunicorn
    try:
        words = config.get_cmd_args_from_env()
    except ValueError as error:  # of its quotes
        raise _faulty(str(error)) from error
    said = {
        name: value
        for name, value in vars(parser.parse_args(words)).items()
        if value is not None and name != "args"
    }
    file = said.pop("config", None)
    return {**(_in_file(file) if file else {}), **said}


def _in_file(name: str) -> dict[str, Any]:
    """What a configuration file of gunicorn's sets: a Python file, or python:MODULE."""
    try:
        if name.startswith("python:"):
            return vars(import_module(name.removeprefix("python:")))
        return runpy.run_path(name.removeprefix("file:"))
    except Exception as error:  # whatever the code in it raises
        raise _faulty(f"--config {name}: {type(error).__name__}: {error}") from error


def _faulty(message: str) -> UnusableError:
    return UnusableError(
        f"GUNICORN_CMD_ARGS: {' '.join(message.split())}; "
        "`gunicorn --help` tells what it may hold"
    )


def _configured(told: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """gunicorn's configuration, and the names of what was given and does not count."""
    from gunicorn.config import Config

    config = Config(prog="flask-autoconfig")
    given, kept = _given(config), _kept()
    for name, value in {**_defaults(), **given, **told, **kept}.items():
        if name in config.settings:  # no release has them all, nor a file only them
            _set(config, name, value)
    try:
        config.address  # noqa: B018 (it is read from its words only when asked for)
    except RuntimeError as error:
        raise _faulty(str(error)) from error
    _fit_descriptors(config)
    return config, sorted(given.keys() & kept.keys())


def _set(config: Any, name: str, value: Any) -> None:
    try:
        config.set(name, value)
    except Exception as error:  # each setting has a check of its own
        raise _faulty(f"{name}: {error}") from error


def _fit_descriptors(config: Any) -> None:
    """Let a worker have fewer connections than descriptors: accepting one more ends it.

    The soft limit is raised only as far as the connections need, since a hook may use
    select(), which takes no descriptor above 1023.
    """
    others = config.threads + _OWN_DESCRIPTORS
    wanted = config.worker_connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        fitting = max(1, most - others)
        told = "worker_connections: %d instead of %d, since `ulimit -n` allows %d files"
        log.warning(told, fitting, config.worker_connections, most)
        config.set("worker_connections", fitting)


def _check_tls(config: Any) -> None:
    from gunicorn.sock import ssl_context

    if not config.is_ssl:
        return
    try:
        ssl_context(config)
    except (OSError, ValueError) as error:
        files = f"certfile {config.certfile}, keyfile {config.keyfile}"
        raise _faulty(f"{files}: {error}") from error


# --- Serving -------------------------------------------------------------------------


def prepare(
    load_app: Callable[[], WSGIApplication],
    look: Callable[[], object],
    **told: Any,
) -> Any:
    """gunicorn, ready to serve an app by `run()`; raises UnusableError.

    Each worker calls `load_app` at its start. The server's own process calls `look`
    about once a second: a worker that it starts later has the configuration of then,
    and not that of the service's start.
    `told` are settings by gunicorn's names, which go before GUNICORN_CMD_ARGS; one that
    is None was not told.
    """
    import gunicorn
    from gunicorn.app.base import Application
    from gunicorn.config import Config

    watching = _watching(look)
    told = {name: value for name, value in told.items() if value is not None}

    class Server(Application, watching):  # type: ignore[misc, valid-type]
        """`ignored` names the settings that were given and do not count."""

        ignored: list[str]

        def do_load_config(self) -> None:
            """At the start, and on HUP, when a fault stops nothing.

            gunicorn's own would parse our command line again.
            """
            try:
                self.cfg, self.ignored = _configured(told)
            except UnusableError as error:
                if self.cfg is None:
                    raise
                log.error("%s", error)

        def load(self) -> WSGIApplication:
            return load_app()

    if gunicorn.version_info < _ENDS_IDLE:
        log.warning(
            "gunicorn %s lets each idle connection hold a thread; %s or newer does not",
            gunicorn.__version__,
            ".".join(map(str, _ENDS_IDLE)),
        )
    if gunicorn.version_info < (23,):  # whose log takes the worker's class for a text
        Config.worker_class_str = "gthread"
    server = Server()
    os.chdir(server.cfg.chdir)  # which names of files count from
    _check_tls(server.cfg)
    check_addresses(server.cfg)
    # Python would print the record of a log that cannot be written: query and all.
    logging.raiseExceptions = False
    _hold_signals_through_forks()
    return server
