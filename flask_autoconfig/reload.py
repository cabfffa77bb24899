"""Takes up an edited file in this process, and keeps the last good one until then."""

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
# The state of each file by its path, None for one that is not there. Paths are texts
# here: of thousands of files that is four times as fast.
Signature = dict[str, State | None]
log = logging.getLogger("flask_autoconfig")

_LOOK_EVERY = 0.4  # seconds between two looks at the files
_STALE_AFTER = 1.2  # seconds after a look after which a request looks itself
_LAST_GOOD = "The last good configuration goes on answering."
_SHARE = 10  # of many files: a look's time at most that part of the time between two
_LONGEST_WAIT = 0.8  # seconds between two looks, however many files there are
_MOST_LINES = 5  # of a file, in the log
_SETTLED_AFTER = 0.2  # seconds without a change that make a file whole


class Live(Generic[Built]):
    """What `build` makes of a configuration, made anew when its file changes.

    A thread of its own looks at the files and swaps a new configuration in when it is
    whole and right; until then the last good one stays. Where threads do not run, or
    did not survive a fork, the next request looks instead.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Loaded,
        build: Callable[[Loaded], Built],
        fallback: Built | None,
        change: Callable[[Built, Built], str],
    ) -> None:
        """Read the file, or take a configuration that no file has and nothing changes.

        Raises ConfigError unless there is a `fallback`, which answers until a file that
        is faulty at the start, or not there, is mended. `change` says what a person has
        to do after an edit, "" for nothing.
        """
        self.is_static = isinstance(source, Loaded)
        if isinstance(source, Loaded):
            self.file = Path("AUTOCONFIG")  # as the app's configuration calls it
            self.built = build(source)
            self._stale_at = float("inf")
            log_warnings(source)
            return
        self._change = change
        self.file = Path(source).absolute()
        # The files beside it whose change counts: those that the last reading named.
        self._watched: tuple[Path, ...] = ()
        self._patterns: tuple[str, ...] = ()  # of `include`, by which more may come
        signature = self._signature()
        started = time.time_ns()
        self._loaded: Loaded | None = None  # the last good one
        self._build = build
        self._goes_on = _LAST_GOOD
        unread = False
        try:
            loaded = self._loaded = read(self.file)
            watched, patterns = loaded.watched, loaded.patterns
            self.built = build(loaded)  # what answers
            log_warnings(loaded)
        except ConfigError as error:
            if fallback is None:
                raise
            watched, patterns, self.built = error.named, error.patterns, fallback
            self._goes_on = "Nothing but 503 is answered until it is mended."
            log.error("%s\n%s", error, self._goes_on)
            unread = error.is_unread
        # The files' state that `built` was made of, or that was refused for good.
        self._known = self._now_known(watched, signature, started)
        # The last state that could not be read, and was logged; it is read again.
        self._unread: Signature = {}
        self._again_at = 0.0  # when, on the monotonic clock
        if unread:
            self._unread, self._known = self._known, {}
        self._patterns = patterns
        # Their state at the last look: a change is taken up when two looks agree.
        self._pending = self._known
        # The state that was refused once: it is read again before it is believed faulty.
        self._doubted = self._known
        self._stale_at = float("-inf")  # on the monotonic clock: requests look then
        self._pid = 0  # of the process that the watching thread runs in
        self._lock = threading.Lock()  # one look at a time

    def current(self) -> Built:
        """The configuration to answer with now."""
        if time.monotonic() > self._stale_at:
            self._catch_up()
        return self.built

    def _catch_up(self) -> None:
        if self._pid != os.getpid():  # the first request, here or after a fork
            self._pid = os.getpid()
            self._lock = threading.Lock()  # the parent's may have been held
            watcher = threading.Thread(
                target=_watch, args=(weakref.ref(self),), daemon=True
            )
            with suppress(RuntimeError):  # no thread is to be had: requests look
                watcher.start()
        self.look()

    def look(self) -> None:
        """Take up what has changed, if it is whole; one thread at a time."""
        if self.is_static or not self._lock.acquire(blocking=False):
            return
        signature = self._pending
        try:
            signature = self._signature()
            if signature != self._known and self._is_settled(signature):
                self._take_up(signature)
        except (OSError, MemoryError):
            pass  # there is not enough of something: the next look will do
        except Exception:  # a fault of ours must not reach the requests
            self._known = signature
            log.exception("Cannot take up %s, the last one stays", self.file)
        finally:
            self._pending = signature
            self._stale_at = time.monotonic() + _STALE_AFTER
            self._lock.release()

    def _signature(self) -> Signature:
        """The state of every file that counts, of those that have come by now too."""
        base = self.file.parent
        names = matching(self._patterns, base, self.file)
        come = (os.path.join(base, name) for name in names)
        paths = dict.fromkeys((str(self.file), *map(str, self._watched), *come))
        return {path: state_of(path) for path in paths}

    def _is_settled(self, signature: Signature) -> bool:
        """Whether nobody is still writing: an editor may truncate and then rewrite."""
        if signature == self._pending:
            return True
        now = time.time_ns()
        times = [state[2] for state in signature.values() if state]
        return all(abs(now - time_) > _SETTLED_AFTER * 1e9 for time_ in times)

    def _take_up(self, signature: Signature) -> None:
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
            return  # it changed while it was read: look again
        if built is None and self._doubted != signature:
            self._doubted = signature  # a slow disk may still hold the rest back
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
        log.info("%s is taken up: %s", self.file, news)
        log_warnings(loaded, before)

    def _as_newer(self, loaded: Loaded) -> Loaded:
        """It with a time that HTTP, which counts seconds, tells from the last one's."""
        before = self._loaded.modified if self._loaded else 0.0
        return loaded._replace(modified=max(loaded.modified, before + 1))

    def _now_known(
        self, watched: tuple[Path, ...], signature: Signature, started: int
    ) -> Signature:
        """Watch these files from now on; what is known of them is their state as read.

        Of one that was not watched before, only its state afterwards can be seen: where
        it changed since the reading began, it is read again.
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
    """Log what is skipped of each file that was read anew, and unsafe keys."""
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
    """Hand the interpreter over more often: a large file must not hold requests up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, 0.0005))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _as_read(path: str, started: int) -> State | None:
    """Its state, unless it may have changed since the reading began."""
    state = state_of(path)
    return (0,) if state and changed_since(state, started) else state


def _watch(reference: weakref.ref[Live[Built]]) -> None:
    pid, wait = os.getpid(), _LOOK_EVERY
    while True:
        time.sleep(wait)
        live = reference()
        if live is None or live._pid != pid:
            return
        start = time.thread_time()
        live.look()
        took = time.thread_time() - start
        wait = max(_LOOK_EVERY, min(_LONGEST_WAIT, _SHARE * took))
        del live  # or it would never be freed
