"""Reloads the configuration when a file changes, and keeps the last valid one."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from .config.reading import Loaded, matching, read
from .errors import ConfigError, Problem
from .files import State, changed_since, state_of

Built = TypeVar("Built")
# The state of each file by its path, None for a missing one. Paths are strings, which is
# four times as fast for thousands of files.
Signature = dict[str, State | None]
log = logging.getLogger("flask_autoconfig")
# The effects of an edit, which every worker process logs.
reloads = log.getChild("reload")

_CHECK_EVERY = 0.4  # seconds between two checks of the files
_STALE_AFTER = 1.2  # seconds after a check after which a request makes one itself
_SHARE = 10  # a check takes at most a tenth of the time between two
_LONGEST_WAIT = 0.8  # seconds between two checks, however many files there are
_MAX_LINES = 5  # of a file, in the log
_SETTLED_AFTER = 0.2  # seconds without a change after which a file is complete


class Live(Generic[Built]):
    """The result of `build` for a configuration, rebuilt when a file changes.

    A thread checks the files and replaces the configuration when the new one is complete
    and valid. Where threads do not run, or did not survive a fork, requests check instead.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Loaded,
        build: Callable[[Loaded], Built],
        fallback: Built | None,
        advise: Callable[[Built, Built], str],
        prepare: Callable[[], object],
    ) -> None:
        """Read the file, or use a configuration without a file, which never changes.

        Raises ConfigError unless there is a `fallback`, which is used until a file that is
        faulty or missing at the start is corrected. `advise` returns what the user has to
        do after an edit, or "". The thread calls `prepare` after each check.
        """
        self._build = build
        self._advise = advise
        self.prepare = prepare
        self._stale_at = float("-inf")  # on the monotonic clock
        self._pid = 0  # of the process that the thread runs in
        self._lock = threading.Lock()  # held during a check
        self.is_static = isinstance(source, Loaded)
        if isinstance(source, Loaded):
            self.file = Path("AUTOCONFIG")  # the key in the app's configuration
            self.built = build(source)
            log_warnings(source)
            return

        self.file = Path(source).absolute()
        # The other files that the configuration refers to, and the patterns of `include`,
        # which may match more files.
        self._watched: tuple[Path, ...] = ()
        self._patterns: tuple[str, ...] = ()
        # The state of the files that were read last, be they valid or faulty.
        self._known: Signature = {}
        # The last state that could not be read. It is logged once, but read again.
        self._unread: Signature = {}
        self._loaded: Loaded | None = None  # the last valid configuration
        signature, started = self._signature(), time.time_ns()
        try:
            self._loaded, self.built = self._read()
            self._remember(self._loaded, signature, started)
            log_warnings(self._loaded)
        except ConfigError as fault:
            if fallback is None:
                raise
            self.built = fallback
            self._remember(fault, signature, started)
        # The state at the last check: a change is loaded when two checks agree.
        self._pending = self._known

    def current(self) -> Built:
        """Return the result of `build` for the current configuration."""
        if time.monotonic() > self._stale_at:
            if self._pid != os.getpid():  # the first request, here or after a fork
                self._pid = os.getpid()
                self._lock = threading.Lock()  # the old one may be held in the parent
                watch = threading.Thread(
                    target=_watch, args=(weakref.ref(self),), daemon=True
                )
                with suppress(RuntimeError):  # without a thread, requests check
                    watch.start()
            if self.is_static:
                self._stale_at = float("inf")
            self.look()
        return self.built

    def look(self) -> None:
        """Reload files that have changed and are complete, in one thread at a time."""
        if self.is_static or not self._lock.acquire(blocking=False):
            return
        signature = self._pending
        try:
            signature = self._signature()
            if signature != self._known and self._is_settled(signature):
                self._load(signature)
        except (OSError, MemoryError):
            pass  # for lack of memory or descriptors; the next check tries again
        except Exception:  # an internal error must not reach the requests
            self._known = signature
            reloads.exception("Cannot load %s. %s", self.file, self._consequence)
        finally:
            self._pending = signature
            self._stale_at = time.monotonic() + _STALE_AFTER
            self._lock.release()

    def _signature(self) -> Signature:
        """Return the state of all files, with those that `include` matches now."""
        base = self.file.parent
        names = matching(self._patterns, base, self.file)
        included = (os.path.join(base, name) for name in names)
        paths = dict.fromkeys((str(self.file), *map(str, self._watched), *included))
        return {path: state_of(path) for path in paths}

    def _is_settled(self, signature: Signature) -> bool:
        """Whether the files are complete: an editor may truncate a file, then write it."""
        if signature == self._pending:
            return True
        now = time.time_ns()
        return all(
            state and abs(now - state[2]) > _SETTLED_AFTER * 1e9
            for state in signature.values()
        )

    def _load(self, signature: Signature) -> None:
        started, clock = time.time_ns(), time.monotonic()
        old_loaded, old_built = self._loaded, self.built
        try:
            loaded, built = self._read()
        except ConfigError as fault:
            if self._signature() == signature:
                self._remember(fault, signature, started)
            return
        if self._signature() != signature:
            return  # a file changed while it was being read
        self._remember(loaded, signature, started)
        self.built, self._loaded = built, loaded
        milliseconds = round((time.monotonic() - clock) * 1000)
        providers = _counted(len(loaded.providers), "provider")
        domains = _counted(len(loaded.claims), "domain")
        summary = f"{providers}, {domains}, in {milliseconds} milliseconds"
        if advice := self._advise(old_built, built):
            summary += f"; {advice}"
        reloads.info("%s is loaded: %s", self.file, summary)
        log_warnings(loaded, old_loaded)

    def _read(self) -> tuple[Loaded, Built]:
        """Read and build the configuration; raises ConfigError, OSError or MemoryError."""
        last_valid, interval = self._loaded, sys.getswitchinterval()
        # Threads are switched more often, so that a large file does not delay requests.
        sys.setswitchinterval(min(interval, 0.0005))
        try:
            loaded = read(self.file, last_valid)
            # HTTP dates have whole seconds, and those of two versions must differ.
            earliest = last_valid.modified + 1 if last_valid else 0.0
            loaded = loaded._replace(modified=max(loaded.modified, earliest))
            return loaded, self._build(loaded)
        finally:
            sys.setswitchinterval(interval)

    @property
    def _consequence(self) -> str:
        if self._loaded is None:
            return "Requests are answered with 503 until it is corrected."
        return "The last valid configuration remains in use."

    def _remember(
        self, result: Loaded | ConfigError, signature: Signature, started: int
    ) -> None:
        """Watch the files that were read, and remember their state at that time.

        The state of a file that was not watched before is known only after reading. If it
        may have changed since reading began, it is read again. A problem is logged once.
        """
        is_unread = isinstance(result, ConfigError) and result.is_unread
        if isinstance(result, Loaded):
            self._watched, self._patterns = result.watched, result.patterns
        else:
            if not is_unread or self._unread != signature:
                reloads.error("%s\n%s", result, self._consequence)
            self._watched = tuple(dict.fromkeys((*self._watched, *result.referenced)))
            self._patterns = tuple(dict.fromkeys((*self._patterns, *result.patterns)))
        states: Signature = {}
        for path in map(str, (self.file, *self._watched)):
            state = signature[path] if path in signature else state_of(path)
            if state and path not in signature and changed_since(state, started):
                state = (0,)  # differs from the state of any file
            states[path] = state
        self._unread = states if is_unread else {}
        if not is_unread:
            self._known = states


def log_warnings(loaded: Loaded, before: Loaded | None = None) -> None:
    """Log warnings, and the skipped lines of domains files, unless `before` had them."""
    logged = _warnings(before) if before else {}
    for heading, problems in _warnings(loaded).items():
        if not problems or problems == logged.get(heading):
            continue
        lines = [f"  {problem._replace(file='')}" for problem in problems[:_MAX_LINES]]
        if len(problems) > _MAX_LINES:
            lines.append(f"  and {len(problems) - _MAX_LINES} more")
        reloads.warning("%s", "\n".join([f"{heading}:", *lines]))


def _warnings(loaded: Loaded) -> dict[str, Sequence[Problem]]:
    """Return the warnings and the skipped lines by their headings in the log."""
    listings = loaded.listings.items()
    skipped = {f"{path}: skipped": listing.skipped for path, listing in listings}
    return {**skipped, "The configuration has warnings": loaded.warnings}


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _watch(reference: weakref.ref[Live[Built]]) -> None:
    pid, wait = os.getpid(), _CHECK_EVERY
    while True:
        time.sleep(wait)
        live = reference()
        if live is None or live._pid != pid:
            return
        start = time.thread_time()
        live.look()
        with suppress(Exception):  # the next request raises and logs the same
            live.prepare()
        if live.is_static:
            return
        cpu_time = time.thread_time() - start
        wait = max(_CHECK_EVERY, min(_LONGEST_WAIT, _SHARE * cpu_time))
        del live  # so that the instance can be freed while the thread sleeps
