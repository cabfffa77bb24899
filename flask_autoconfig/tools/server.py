"""Runs an application under gunicorn, with settings that suit `serve`.

The environment's GUNICORN_CMD_ARGS applies, except to what is fixed in serve.toml.

The service may run without a proxy that would buffer requests, so that the worker has
deadlines: slow clients hold a bounded thread for a bounded time. Besides gunicorn's
documented interface, it uses these names of `gthread`, tried with gunicorn 25.3 and 27.0.1:
`enqueue_req`, `pending_conns`, `poller`, `on_pending_socket_readable` and
`set_accept_enabled` of the worker, and `data_ready` and `initialized` of a connection;
and `init_signals` of the worker and `spawn_worker` of the arbiter.
With an older release, an idle connection occupies a thread.
"""

import errno
import json
import logging
import os
import re
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import click
from gunicorn.app.base import Application, BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.instrument.statsd import Statsd
from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import ThreadWorker

from ..address import host_of, is_ip
from ..answers import shut_down
from ..families import AUTODISCOVER_V2, METHODS
from ..files import table_beside
from ..reload import log

_HEAD_SECONDS = 5  # for the first byte of a connection, then for a request's head
_ANSWER_SECONDS = 20  # for a response to be made and received
_CLOSE_SECONDS = 0.2  # for the client to receive the response and close
_BODY_HEADERS = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING"})
_SETTINGS = table_beside(__file__, "serve.toml")
_DEFAULTS, _FIXED = _SETTINGS["defaults"], _SETTINGS["fixed"]


# --- The worker --------------------------------------------------------------------------


class Worker(ThreadWorker):  # type: ignore[misc]
    """A threaded worker with deadlines for each phase of a request."""

    # By connection, with what ends there; each process has only one worker.
    deadlines: ClassVar[dict[Any, tuple[float, int]]] = {}

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):  # new clients must not wait and be reset
            for listener in self.sockets:
                listener.close()

    def enqueue_req(self, connection: Any) -> None:
        """Assign a thread to a new connection only with its first byte."""
        is_old = not hasattr(self, "pending_conns")
        if is_old or connection.initialized or connection.data_ready:
            super().enqueue_req(connection)
            return
        connection.sock.setblocking(False)
        connection.timeout = time.monotonic() + _HEAD_SECONDS
        self.pending_conns.append(connection)
        callback = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, callback)

    def notify(self) -> None:
        """Enforce the deadlines; gunicorn calls this about once a second."""
        super().notify()
        now = time.monotonic()
        for connection, (deadline, how) in self.deadlines.copy().items():
            if deadline < now:
                shut_down(connection.sock, how)

    def handle(self, connection: Any) -> Any:
        # The response to an incomplete head can still be sent.
        deadline = time.monotonic() + _HEAD_SECONDS
        self.deadlines[connection] = deadline, socket.SHUT_RD
        try:
            keep_alive = super().handle(connection)
        finally:
            self.deadlines.pop(connection, None)
        if keep_alive is False:
            _finish(connection.sock)
        return keep_alive

    def handle_request(self, request: Any, connection: Any) -> Any:
        deadline = time.monotonic() + _ANSWER_SECONDS
        self.deadlines[connection] = deadline, socket.SHUT_RDWR
        if any(name in _BODY_HEADERS for name, _ in request.headers):
            request.force_close()  # else gunicorn waits for the rest of the body
        return super().handle_request(request, connection)


def _finish(connection: socket.socket) -> None:
    """Wait a moment for the client to close its end.

    When gunicorn closes a connection, it waits up to two seconds for the client, in the
    loop that accepts all other connections.
    """
    deadline = time.monotonic() + _CLOSE_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (remaining := deadline - time.monotonic()) > 0:
            connection.settimeout(remaining)
            if not connection.recv(65536):
                break
    shut_down(connection)


# --- The server --------------------------------------------------------------------------


class _Arbiter(Arbiter):  # type: ignore[misc]
    def spawn_worker(self) -> Any:
        # A worker would lose a signal that arrives before it has its own handlers: it
        # would go on accepting requests, and be killed in the middle of them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

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
        except (RuntimeError, ValueError) as error:
            raise click.ClickException(str(error)) from error


class Server(Application, _Runner):  # type: ignore[misc]
    """A gunicorn server for one application; `run()` serves until it is stopped.

    Each worker calls `load_app` when it starts. The arbiter calls `refresh` about once a
    second. `options` are settings by gunicorn's names that override all others; None
    leaves a setting as it is. Raises ClickException, in one line with the remedy.
    """

    cfg: Any
    ignored: list[str]  # the given settings that `_FIXED` overrides

    def __init__(
        self, load_app: Callable[[], Any], refresh: Callable[[], Any], **options: Any
    ) -> None:
        self.load, self.refresh = load_app, refresh
        self._options = {k: v for k, v in options.items() if v is not None}
        super().__init__()
        _check_ports(self.cfg)
        # Otherwise Python prints a record that cannot be written, with the query in it.
        logging.raiseExceptions = False

    def do_load_config(self) -> None:
        """Load the settings; if that fails after a HUP signal, keep the earlier ones.

        gunicorn's method would parse the options of `serve`.
        """
        earlier, name = self.cfg, "arguments"  # name: the setting an error is about
        self.cfg = Config("see `gunicorn --help`", prog="GUNICORN_CMD_ARGS")
        try:
            words = self.cfg.get_cmd_args_from_env()
            parsed = vars(self.cfg.parser().parse_args(words))
            given = {k: v for k, v in parsed.items() if v is not None}
            name = "config"
            if file := given.pop(name, ""):
                given = self.load_config_from_file(file) | given
            settings = {**_DEFAULTS, **given, **_FIXED, **self._options}
            for name in settings.keys() & self.cfg.settings:  # those of this release
                self.cfg.set(name, settings[name])
            name = "certfile"
            self.chdir()  # relative file names refer to it
            if self.cfg.is_ssl:
                ssl_context(self.cfg)
            name = "bind"
            self.cfg.address  # noqa: B018 (parsed on access)
            self.ignored = sorted(given.keys() & _FIXED)
        except (Exception, SystemExit) as error:  # each setting has its own validator
            if earlier is not None:
                self.cfg = earlier
                log.error("gunicorn: %s: %r; earlier settings stay in use", name, error)
            elif isinstance(error, SystemExit):  # gunicorn has written the reason
                raise
            else:
                message = f"GUNICORN_CMD_ARGS: {name}: {error}; see `gunicorn --help`"
                raise click.ClickException(message) from error


def is_activated() -> bool:
    """Return whether the sockets come from systemd (sd_listen_fds(3))."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def _check_ports(config: Any) -> None:
    """Raise ClickException for an address that gunicorn would retry for seconds.

    Sockets from systemd or, after USR2, from another server are bound already.
    """
    if is_activated() or "GUNICORN_FD" in os.environ:
        return
    for name, address in zip(config.bind, config.address, strict=True):
        try:
            if isinstance(address, str):
                # gunicorn would take over the socket of a live server.
                with socket.socket(socket.AF_UNIX) as client:
                    client.setblocking(False)
                    if client.connect_ex(address) in (0, errno.EAGAIN):
                        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            elif not isinstance(address, int):  # a descriptor
                family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
                # It never listens: clients are refused at once, not cut off later.
                with socket.socket(family) as listener:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    reuse = int(config.reuse_port)
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
                    listener.bind(address)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            message = f"cannot serve at {name}: {reason}; choose another by --bind"
            raise click.ClickException(message) from error


# --- The log: a line for each request, without anything private --------------------------

JSON = "%(json)s"  # the access_log_format
# The only paths to be logged: an @ can be encoded in more ways than can be listed.
_PLAIN_PATH = re.compile("[A-Za-z0-9/._~-]*")
# Hexadecimal digits, UUIDs, counters and the like; without dots, it is no domain.
_PLAIN_ID = re.compile("[A-Za-z0-9_:-]{1,64}")
_BY_PROXY = "werkzeug.proxy_fix.orig"  # a key in the environ of --proxies


class Logger(Statsd):  # type: ignore[misc]
    """Logs no address, and nothing else that a client can choose freely.

    It sends gunicorn's metrics to `--statsd-host`, if that is given.
    """

    atoms_wrapper_class = dict  # all atoms exist and are escaped

    def setup(self, config: Any) -> None:
        super().setup(config)
        if config.access_log_format == JSON:
            for handler in self.error_log.handlers:
                handler.setFormatter(_JsonFormatter())
        self.error_log.addFilter(_redact)
        log.handlers[:] = self.error_log.handlers
        log.setLevel(self.loglevel)
        log.propagate = False

    def atoms(
        self, response: Any, request: Any, environ: dict[str, Any], duration: timedelta
    ) -> dict[str, Any]:
        """Return the values for both formats, without the query."""
        atoms = super().atoms(response, request, environ, duration)
        method, client, path = (str(atoms[key]) for key in ("m", "h", "U"))
        if path.lower().startswith(f"{AUTODISCOVER_V2}/"):
            path = f"{AUTODISCOVER_V2}/…"  # a local part may have slashes
        elif not _PLAIN_PATH.fullmatch(path):
            path = "/…"
        id_ = environ.get("HTTP_X_REQUEST_ID", "") if _BY_PROXY in environ else ""
        fields = {
            "time": _now(),
            "client": client if is_ip(client) else None,  # proxies pass on any text
            "method": method if method in METHODS else None,
            "path": path,
            "protocol": atoms["H"],
            "host": host_of(environ.get("HTTP_HOST", "")) or None,
            "request_id": id_ if _PLAIN_ID.fullmatch(id_) else None,
            "status": int(atoms["s"]),
            "bytes": atoms["B"],
            "duration": duration.total_seconds(),
        }
        texts = {k: "-" if v is None else v for k, v in fields.items()}
        return {**texts, "t": atoms["t"], "json": json.dumps(fields)}


class _JsonFormatter(logging.Formatter):
    """Formats a record with its traceback as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelname.lower(), "pid": record.process}
        return json.dumps({"time": _now(), **fields, "message": super().format(record)})


def log_json() -> None:
    """Log as JSON even before `Logger.setup`, which replaces the handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter())
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _redact(record: logging.LogRecord) -> bool:
    """Remove quotations of a request from gunicorn's own messages."""
    message = str(record.msg)
    if record.exc_info:
        type_, _, frames = record.exc_info
        name = type_.__name__ if type_ else ""
        record.exc_text = "".join(traceback.format_tb(frames)) + name
        record.exc_info = None
    if record.exc_text or (record.levelno == logging.DEBUG and record.args):
        record.msg, record.args = message.partition(" %")[0], ()
    elif message.startswith("Invalid request"):
        record.msg = message.partition(": ")[0]
    return True
