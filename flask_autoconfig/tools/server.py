"""Runs an application under gunicorn."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gunicorn
from gunicorn.app.base import Application, BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config

from ..reload import log
from . import listeners
from .gunicorn_settings import check_tls, configured
from .gunicorn_worker import STOP_SIGNALS
from .listeners import UnusableError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The version of gunicorn from which an idle connection occupies no thread.
_ENDS_IDLE = (25, 3)


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

        A worker that starts later gets the configuration of this process.
        """
        super().murder_workers()
        log.disabled = True  # the workers log the reload
        try:
            self.app.refresh()
        finally:
            log.disabled = False


class _Runner(BaseApplication):  # type: ignore[misc]
    def run(self) -> None:
        try:
            _Arbiter(self).run()
        except RuntimeError as error:
            raise SystemExit(f"Error: {error}") from error


class Server(Application, _Runner):  # type: ignore[misc]
    """A gunicorn server for one application; `run()` serves until it is stopped.

    Each worker calls `load_app` when it starts. The arbiter calls `refresh` about once a
    second. `options` are settings by gunicorn's names that override GUNICORN_CMD_ARGS;
    None leaves a setting as it is. Raises UnusableError.
    """

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
        _warn_of_old_version()
        os.chdir(self.cfg.chdir)  # relative file names refer to it
        check_tls(self.cfg)
        listeners.check(self.cfg)
        # Python would print a record that cannot be written, with the query in it.
        logging.raiseExceptions = False

    def do_load_config(self) -> None:
        """Load the settings; after a HUP signal, an error leaves the earlier ones.

        gunicorn's own method would parse the command line of `flask-autoconfig`.
        """
        try:
            self.cfg, self.ignored = configured(self._options)
        except UnusableError as error:
            if self.cfg is None:
                raise
            log.error("%s", error)


def _warn_of_old_version() -> None:
    if gunicorn.version_info < _ENDS_IDLE:
        log.warning(
            "gunicorn %s lets each idle connection occupy a thread; %s or newer does not",
            gunicorn.__version__,
            ".".join(map(str, _ENDS_IDLE)),
        )
    if gunicorn.version_info < (23,):  # it logs the class of the worker as text
        Config.worker_class_str = "gthread"
