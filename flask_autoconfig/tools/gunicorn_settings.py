"""The gunicorn configuration of `serve`.

The environment's GUNICORN_CMD_ARGS applies, except to the settings in `_FIXED`.
"""

from __future__ import annotations

import resource
import runpy
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NoReturn

from gunicorn.config import Config
from gunicorn.sock import ssl_context

from ..reload import log
from .gunicorn_logging import ACCESS_FORMAT, Logger
from .gunicorn_worker import Worker
from .listeners import UnusableError

DEFAULT_BIND = "127.0.0.1:8000"
DEFAULT_WORKERS = 2
# The clients of one worker that may be slow at the same time; an idle thread costs little.
_THREADS = 64
# File descriptors of a worker besides its connections and one for each thread (a hook's
# database): its logs, listeners, pipes and configuration files.
_OTHER_DESCRIPTORS = 32
_GRACEFUL_SECONDS = 7  # more than any request may take

_DEFAULTS: dict[str, Any] = {
    "bind": DEFAULT_BIND,
    "workers": DEFAULT_WORKERS,
    "threads": _THREADS,
    "graceful_timeout": _GRACEFUL_SECONDS,
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
    "access_log_format": ACCESS_FORMAT,
    # Only --proxies decides which headers are trusted.
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
    "header_map": "drop",
    "strip_header_spaces": False,
    "permit_obsolete_folding": False,
    "control_socket_disable": True,
}


def configured(options: Mapping[str, Any]) -> tuple[Config, list[str]]:
    """Return gunicorn's configuration, and the names of the given settings it ignores.

    `options` override GUNICORN_CMD_ARGS. Raises UnusableError.
    """
    config = Config(prog="flask-autoconfig")
    given = _given(config)
    for name, value in {**_DEFAULTS, **given, **options, **_FIXED}.items():
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
    _limit_connections(config)
    return config, sorted(given.keys() & _FIXED.keys())


def _given(config: Config) -> dict[str, Any]:
    """Return the settings of GUNICORN_CMD_ARGS and of a file named there."""

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
    file = given.pop("config", None)
    return {**_file_settings(file), **given} if file else given


def _file_settings(name: str) -> dict[str, Any]:
    """Return the variables of a configuration file: a path or `python:MODULE`."""
    try:
        if name.startswith("python:"):
            return vars(import_module(name.removeprefix("python:")))
        return runpy.run_path(name.removeprefix("file:"))
    except Exception as error:
        raise _faulty(f"--config {name}: {type(error).__name__}: {error}") from error


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


def check_tls(config: Config) -> None:
    """Raise UnusableError for a certificate that cannot be loaded."""
    if not config.is_ssl:
        return
    try:
        ssl_context(config)
    except (OSError, ValueError) as error:
        files = f"certfile {config.certfile}, keyfile {config.keyfile}"
        raise _faulty(f"{files}: {error}") from error
