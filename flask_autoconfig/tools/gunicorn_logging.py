"""The gunicorn logger of `serve`: a line for each request, without anything private."""

import json
import logging
import re
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

from gunicorn.instrument.statsd import Statsd

from ..address import host_of, is_ip
from ..families import AUTODISCOVER_V2, METHODS
from ..reload import log

JSON = "%(json)s"  # the access_log_format
# An @ can be encoded in more ways than can be listed, so only these are logged.
_PLAIN_PATH = re.compile("[A-Za-z0-9/._~-]*")
# Hexadecimal digits, UUIDs, counters and the like; without a dot, it holds no domain.
_PLAIN_ID = re.compile("[A-Za-z0-9_:-]{1,64}")
_BY_PROXY = "werkzeug.proxy_fix.orig"  # a key where --proxies trusts the headers


class Logger(Statsd):  # type: ignore[misc]
    """Logs no address, and nothing else that a client could choose freely.

    It sends gunicorn's numbers to `--statsd-host`, if that is given.
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
        self, response: Any, request: Any, environ: dict[str, Any], took: timedelta
    ) -> dict[str, Any]:
        """Return the values for both formats; the query is left out."""
        atoms = super().atoms(response, request, environ, took)
        method, client, path = (str(atoms[key]) for key in ("m", "h", "U"))
        if path.lower().startswith(f"{AUTODISCOVER_V2}/"):
            path = f"{AUTODISCOVER_V2}/…"  # a local part may have slashes
        elif not _PLAIN_PATH.fullmatch(path):
            path = "/…"
        given = environ.get("HTTP_X_REQUEST_ID", "") if _BY_PROXY in environ else ""
        fields = {
            "time": _now(),
            "client": client if is_ip(client) else None,  # proxies pass on any text
            "method": method if method in METHODS else None,
            "path": path,
            "protocol": atoms["H"],
            "host": host_of(environ.get("HTTP_HOST", "")) or None,
            "request_id": given if _PLAIN_ID.fullmatch(given) else None,
            "status": int(atoms["s"]),
            "bytes": atoms["B"],
            "duration": took.total_seconds(),
        }
        texts = {key: "-" if it is None else it for key, it in fields.items()}
        return {**texts, "t": atoms["t"], "json": json.dumps(fields)}


class _JsonFormatter(logging.Formatter):
    """Formats a record, with its traceback, as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelname.lower(), "pid": record.process}
        return json.dumps({"time": _now(), **fields, "message": super().format(record)})


def log_json() -> None:
    """Log as JSON also before `Logger.setup`, which replaces the handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter())
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _redact(record: logging.LogRecord) -> bool:
    """Remove from gunicorn's own messages what they quote of a request."""
    message = str(record.msg)
    if record.exc_info:
        kind, _, frames = record.exc_info
        name = kind.__name__ if kind else ""
        record.exc_text = "".join(traceback.format_tb(frames)) + name
        record.exc_info = None
    if record.exc_text or (record.levelno == logging.DEBUG and record.args):
        record.msg, record.args = message.partition(" %")[0], ()
    elif message.startswith("Invalid request"):
        record.msg = message.partition(": ")[0]
    return True
