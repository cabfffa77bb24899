"""Takes up an edited file in this process, and keeps the last good one until then."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from .config.reading import Loaded, read
from .errors import ConfigError

Built = TypeVar("Built")
# Of each file what changes when it does, None for one that is not there.
Signature = tuple[tuple[int, ...] | None, ...]
log = logging.getLogger("flask_autoconfig")

_LOOK_EVERY = 0.4  # seconds between two looks at the files
_STALE_AFTER = 1.2  # seconds after which a request looks itself, having no watcher
_CLOCK_STEP = 20_000_000  # nanoseconds: file systems stamp by a coarse clock
_LAST_GOOD = "The last good configuration goes on answering."
_SETTLED_AFTER = 0.2  # seconds without a change that make a file whole


class Live(Generic[Built]):
    """What `build` makes of a file's configuration, made anew when the file changes.

    A thread of its own looks at the files and swaps a new configuration in when it is
    whole and right; until then the last good one stays. Where threads do not run, or
    did not survive a fork, the next request looks instead.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        build: Callable[[Loaded], Built],
        instead: Built | None = None,
    ) -> None:
        """Read the file; raises ConfigError unless there is something `instead`.

        That answers until a file that is faulty at the start, or not there, is mended.
        """
        self.file = Path(file).absolute()
        # The files beside it whose change counts: those that the last reading named.
        self._watched: tuple[Path, ...] = ()
        signature = self._signature()
        started = time.time_ns()
        self._modified = 0.0
        self._build = build
        self._goes_on = _LAST_GOOD
        try:
            loaded = read(self.file)
            watched, self._modified = loaded.watched, loaded.modified
            self.built = build(loaded)  # what answers
        except ConfigError as error:
            if instead is None:
                raise
            watched, self.built = error.named, instead
            self._goes_on = "Nothing but 503 is answered until it is mended."
            log.error("%s\n%s", error, self._goes_on)
        # The files' state that `built` was made of, or that was refused for good.
        self._known = self._now_known(watched, signature, started)
        # Their state at the last look: a change is taken up when two looks agree.
        self._pending = self._known
        # The state that was refused once: it is read again before it is believed faulty.
        self._doubted = self._known
        self._looked = float("-inf")  # when, on the monotonic clock
        self._pid = 0  # of the process that the watching thread runs in
        self._lock = threading.Lock()  # one look at a time

    def current(self) -> Built:
        """The configuration to answer with now."""
        if time.monotonic() - self._looked > _STALE_AFTER:
            self._catch_up()
        return self.built

    def _catch_up(self) -> None:
        if self._pid != os.getpid():  # the first request, here or after a fork
            self._pid = os.getpid()
            self._lock = threading.Lock()  # the parent's may have been held
            threading.Thread(
                target=_watch, args=(weakref.ref(self),), daemon=True
            ).start()
        self.look()

    def look(self) -> None:
        """Take up what has changed, if it is whole; one thread at a time."""
        if not self._lock.acquire(blocking=False):
            return
        signature = self._signature()
        try:
            if signature != self._known and self._is_settled(signature):
                self._take_up(signature)
        except Exception:  # a fault of ours must not reach the requests
            self._known = signature
            log.exception("Cannot take up %s, the last one stays", self.file)
        finally:
            self._pending = signature
            self._looked = time.monotonic()
            self._lock.release()

    def _signature(self) -> Signature:
        """What changes when a file does; equality counts, since clocks can go back."""
        return tuple(_state_of(path) for path in (self.file, *self._watched))

    def _is_settled(self, signature: Signature) -> bool:
        """Whether nobody is still writing: an editor may truncate and then rewrite."""
        if signature == self._pending:
            return True
        now = time.time_ns()
        times = [state[2] for state in signature if state]
        return all(abs(now - time_) > _SETTLED_AFTER * 1e9 for time_ in times)

    def _take_up(self, signature: Signature) -> None:
        started, clock = time.time_ns(), time.monotonic()
        built: Built | None = None
        trouble = content = ""
        modified = self._modified
        try:
            with _requests_first():
                loaded = self._as_newer(read(self.file))
                watched, content = loaded.watched, _content(loaded)
                modified = loaded.modified
                built = self._build(loaded)
        except ConfigError as error:
            trouble = str(error)
            watched = tuple(dict.fromkeys([*self._watched, *error.named]))

        if self._signature() != signature:
            return  # it changed while it was read: look again
        if built is None and self._doubted != signature:
            self._doubted = signature  # a slow disk may still hold the rest back
            return

        self._known = self._now_known(watched, signature, started)
        if built is None:
            log.error("%s\n%s", trouble, self._goes_on)
            return
        self.built, self._modified = built, modified
        self._goes_on = _LAST_GOOD
        took = round((time.monotonic() - clock) * 1000)
        log.info("%s is taken up: %s, in %d milliseconds", self.file, content, took)

    def _as_newer(self, loaded: Loaded) -> Loaded:
        """It with a time that HTTP, which counts seconds, tells from the last one's."""
        return loaded._replace(modified=max(loaded.modified, self._modified + 1))

    def _now_known(
        self, watched: tuple[Path, ...], signature: Signature, started: int
    ) -> Signature:
        """Watch these files from now on; what is known of them is their state as read.

        Of one that was not watched before, only its state afterwards can be seen: where
        it changed since the reading began, it is read again.
        """
        before = dict(zip((self.file, *self._watched), signature, strict=True))
        self._watched = watched
        return tuple(
            before[path] if path in before else _unless_changed(path, started)
            for path in (self.file, *watched)
        )


class Still(Live[Built]):
    """What was made of a configuration that no file says: it never changes."""

    def __init__(self, built: Built) -> None:
        self.file = Path()
        self.built = built

    def current(self) -> Built:
        """The configuration to answer with, now and ever."""
        return self.built

    def look(self) -> None:
        """There is nothing to look at."""


def _content(loaded: Loaded) -> str:
    providers = len(loaded.providers)
    domains = sum(len(provider.domains) for provider in loaded.providers)
    return f"{_counted(providers, 'provider')}, {_counted(domains, 'domain')}"


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


def _unless_changed(path: Path, since: int) -> tuple[int, ...] | None:
    state = _state_of(path)
    return (0,) if state and state[3] >= since - _CLOCK_STEP else state


def _state_of(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _watch(reference: weakref.ref[Live[Built]]) -> None:
    pid = os.getpid()
    while True:
        time.sleep(_LOOK_EVERY)
        live = reference()
        if live is None or live._pid != pid:
            return
        live.look()
        del live  # or it would never be freed
