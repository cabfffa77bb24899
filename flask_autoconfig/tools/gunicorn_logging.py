"""The gunicorn logger of `serve`: a line for each request, without anything private."""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.instrument.statsd import Statsd

from ..address import host_of, is_ip
from ..families import AUTODISCOVER_V2, METHODS
from ..reload import log

ACCESS_FORMAT = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(host)s'
# An @ can be encoded in more ways than can be listed, so only these are logged.
_PLAIN_PATH = re.compile("[A-Za-z0-9/._~-]*")


class Logger(GunicornLogger):  # type: ignore[misc]
    """Logs no address, and nothing else that a client could choose freely."""

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.error_log.addFilter(_redact)
        log.handlers[:] = self.error_log.handlers
        log.setLevel(self.loglevel)
        log.propagate = False

    def atoms(self, *arguments: Any) -> dict[str, Any]:
        """Return the values for `ACCESS_FORMAT`; the query is left out."""
        atoms = super().atoms(*arguments)
        method, client, path = (str(atoms[key]) for key in ("m", "h", "U"))
        if path.lower().startswith(f"{AUTODISCOVER_V2}/"):
            path = f"{AUTODISCOVER_V2}/…"  # a local part may have slashes
        elif not _PLAIN_PATH.fullmatch(path):
            path = "/…"
        return {
            **{key: _escaped(atoms[key]) for key in ("H", "s", "b")},
            "t": atoms["t"],
            "m": method if method in METHODS else "-",
            "h": client if is_ip(client) else "-",  # proxies pass on any text
            "host": host_of(str(atoms.get("{http_host}e", ""))) or "-",
            "U": path,
        }


class StatsdLogger(Logger, Statsd):  # type: ignore[misc]
    """The same logger, which also sends gunicorn's numbers to `--statsd-host`."""


def _redact(record: logging.LogRecord) -> bool:
    """Remove from gunicorn's own messages what they quote of a request."""
    message = str(record.msg)
    if record.exc_info:
        kind, _, frames = record.exc_info
        lines = "".join(traceback.format_tb(frames))
        name = kind.__name__ if kind else ""
        record.msg = "%s\n%s%s"
        record.args = (message.partition(" %")[0], lines, name)
        record.exc_info = None
    elif record.levelno == logging.DEBUG and record.args:
        record.msg, record.args = message.partition(" %")[0], ()
    elif message.startswith("Invalid request"):
        record.msg = message.partition(": ")[0]
    return True


def _escaped(value: object) -> str:
    """Return printable ASCII on one line; gunicorn escapes quotes itself."""
    return str(value).encode("unicode_escape").decode("ascii")
