"""Reloads the configuration when a file changes, and keeps the last valid one."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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

_CHECK_EVERY = 0.4  # seconds between two checks of the files
_STALE_AFTER = 1.2  # seconds after a check after which a request makes one itself
_LAST_GOOD = "The last valid configuration remains in use."
_SHARE = 10  # a check takes at most a tenth of the time between two
_LONGEST_WAIT = 0.8  # seconds between two checks, however many files there are
_MOST_LINES = 5  # of a file, in the log
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
        change: Callable[[Built, Built], str],
    ) -> None:
        """Read the file, or use a configuration without a file, which never changes.

        Raises ConfigError unless there is a `fallback`, which is used until a file that is
        faulty or missing at the start is corrected. `change` returns what the user has to
        do after an edit, or "".
        """
        self.is_static = isinstance(source, Loaded)
        if isinstance(source, Loaded):
            self.file = Path("AUTOCONFIG")  # the key in the app's configuration
            self.built = build(source)
            self._stale_at = float("inf")
            log_warnings(source)
            return
        self._change = change
        self.file = Path(source).absolute()
        # The other files that the configuration refers to.
        self._watched: tuple[Path, ...] = ()
        self._patterns: tuple[str, ...] = ()  # of `include`, which may match more files
        signature = self._signature()
        started = time.time_ns()
        self._loaded: Loaded | None = None  # the last valid one
        self._build = build
        self._goes_on = _LAST_GOOD
        unread = False
        try:
            loaded = self._loaded = read(self.file)
            watched, patterns = loaded.watched, loaded.patterns
            self.built = build(loaded)
            log_warnings(loaded)
        except ConfigError as error:
            if fallback is None:
                raise
            watched, patterns, self.built = error.named, error.patterns, fallback
            self._goes_on = "Requests are answered with 503 until it is corrected."
            log.error("%s\n%s", error, self._goes_on)
            unread = error.is_unread
        # The state of the files that `built` was made of, or that were found faulty.
        self._known = self._now_known(watched, signature, started)
        # The last state that could not be read, and was logged; reading is tried again.
        self._unread: Signature = {}
        self._again_at = 0.0  # on the monotonic clock
        if unread:
            self._unread, self._known = self._known, {}
        self._patterns = patterns
        # The state at the last check: a change is loaded when two checks agree.
        self._pending = self._known
        # A state that was found faulty once: it is read again before that is logged.
        self._doubted = self._known
        self._stale_at = float("-inf")  # on the monotonic clock
        self._pid = 0  # of the process that the thread runs in
        self._lock = threading.Lock()  # held during a check

    def current(self) -> Built:
        """Return the result of `build` for the current configuration."""
        if time.monotonic() > self._stale_at:
            self._catch_up()
        return self.built

    def _catch_up(self) -> None:
        if self._pid != os.getpid():  # the first request, here or after a fork
            self._pid = os.getpid()
            self._lock = threading.Lock()  # the parent may have held the other
            watcher = threading.Thread(
                target=_watch, args=(weakref.ref(self),), daemon=True
            )
            with suppress(RuntimeError):  # without a thread, requests check
                watcher.start()
        self.look()

    def look(self) -> None:
        """Load what has changed, if it is complete; one thread at a time."""
        if self.is_static or not self._lock.acquire(blocking=False):
            return
        signature = self._pending
        try:
            signature = self._signature()
            if signature != self._known and self._is_settled(signature):
                self._load(signature)
        except (OSError, MemoryError):
            pass  # out of a resource: the next check tries again
        except Exception:  # an internal error must not reach the requests
            self._known = signature
            log.exception("Cannot load %s. %s", self.file, _LAST_GOOD)
        finally:
            self._pending = signature
            self._stale_at = time.monotonic() + _STALE_AFTER
            self._lock.release()

    def _signature(self) -> Signature:
        """Return the state of all files, with those that `include` matches now."""
        base = self.file.parent
        names = matching(self._patterns, base, self.file)
        come = (os.path.join(base, name) for name in names)
        paths = dict.fromkeys((str(self.file), *map(str, self._watched), *come))
        return {path: state_of(path) for path in paths}

    def _is_settled(self, signature: Signature) -> bool:
        """Whether writing has ended: an editor may truncate a file and then rewrite it."""
        if signature == self._pending:
            return True
        now = time.time_ns()
        times = [state[2] for state in signature.values() if state]
        return all(abs(now - time_) > _SETTLED_AFTER * 1e9 for time_ in times)

    def _load(self, signature: Signature) -> None:
        started, clock = time.time_ns(), time.monotonic()
        if signature == self._unread and clock < self._again_at:
            return
        is_unread = False
        built: Built | None = None
        loaded: Loaded | None = None
        watched, patterns = self._watched, self._patterns
        before, trouble = self._loaded, ""
        try:
            with _requests_first():
                loaded = self._as_newer(read(self.file, before))
                watched, patterns = loaded.watched, loaded.patterns
                built = self._build(loaded)
        except ConfigError as error:
            trouble, is_unread = str(error), error.is_unread
            watched = tuple(dict.fromkeys([*self._watched, *error.named]))
            patterns = tuple(dict.fromkeys([*self._patterns, *error.patterns]))

        except (OSError, MemoryError) as error:
            trouble, is_unread = f"{self.file}: {error or 'no memory'}", True

        if self._signature() != signature:
            return  # it changed while it was read
        if built is None and self._doubted != signature:
            self._doubted = signature  # a slow disk may not have the rest yet
            return
        if is_unread:
            self._again_at = time.monotonic() + _SHARE * (time.monotonic() - clock)
            if self._unread != signature:
                log.error("%s\n%s", trouble, self._goes_on)
            self._unread = self._now_known(watched, signature, started)
            self._patterns = patterns
            return

        self._known = self._now_known(watched, signature, started)
        self._patterns = patterns
        if built is None or loaded is None:
            log.error("%s\n%s", trouble, self._goes_on)
            return
        last, self.built, self._loaded = self.built, built, loaded
        self._goes_on = _LAST_GOOD
        took = round((time.monotonic() - clock) * 1000)
        content = _content(loaded)
        todo = self._change(last, built)
        news = f"{content}, in {took} milliseconds{'; ' if todo else ''}{todo}"
        log.info("%s is loaded: %s", self.file, news)
        log_warnings(loaded, before)

    def _as_newer(self, loaded: Loaded) -> Loaded:
        """Return the configuration with a time that differs in whole seconds (HTTP)."""
        before = self._loaded.modified if self._loaded else 0.0
        return loaded._replace(modified=max(loaded.modified, before + 1))

    def _now_known(
        self, watched: tuple[Path, ...], signature: Signature, started: int
    ) -> Signature:
        """Watch these files from now on, and return their state when they were read.

        The state of a file that was not watched before is known only after reading. If it
        may have changed since reading began, it is read again.
        """
        self._watched = watched
        return {
            path: signature[path] if path in signature else _as_read(path, started)
            for path in map(str, (self.file, *watched))
        }


def _content(loaded: Loaded) -> str:
    providers = len(loaded.providers)
    domains = len(loaded.claims)
    return f"{_counted(providers, 'provider')}, {_counted(domains, 'domain')}"


def log_warnings(loaded: Loaded, before: Loaded | None = None) -> None:
    """Log the skipped lines of each file that was read, and unsafe keys."""
    known = before.listings if before else {}
    for path, listing in loaded.listings.items():
        if listing.skipped and listing is not known.get(path):
            log.warning("%s", _few(listing.skipped, f"{path}: skipped"))
    if loaded.unmatched and (before is None or loaded.unmatched != before.unmatched):
        log.warning("%s", _few(loaded.unmatched, "Nothing is included"))
    if loaded.unsafe and (before is None or loaded.unsafe != before.unsafe):
        log.warning("%s", _few(loaded.unsafe, "Profiles are not signed safely"))


def _few(problems: Sequence[Problem], head: str) -> str:
    lines = [f"  {problem._replace(file='')}" for problem in problems[:_MOST_LINES]]
    more = len(problems) - len(lines)
    return "\n".join([f"{head}:", *lines, *([f"  and {more} more"] if more else [])])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@contextmanager
def _requests_first() -> Iterator[None]:
    """Switch threads more often, so that a large file does not delay requests."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, 0.0005))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _as_read(path: str, started: int) -> State | None:
    """Return the file's state, or a dummy if it may have changed since reading began."""
    state = state_of(path)
    return (0,) if state and changed_since(state, started) else state


def _watch(reference: weakref.ref[Live[Built]]) -> None:
    pid, wait = os.getpid(), _CHECK_EVERY
    while True:
        time.sleep(wait)
        live = reference()
        if live is None or live._pid != pid:
            return
        start = time.thread_time()
        live.look()
        took = time.thread_time() - start
        wait = max(_CHECK_EVERY, min(_LONGEST_WAIT, _SHARE * took))
        del live  # or it would never be freed
