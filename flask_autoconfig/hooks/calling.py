"""Imports and calls the site's hooks, and keeps their results.

Within `hook_max_age` a hook is called once for a domain or an address, and once for all
simultaneous requests. When a hook raises, its last good result is used for a day. A hook
that never returns blocks a limited number of threads.
"""

import logging
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import structs
from werkzeug.exceptions import NotFound

from ..address import fold
from ..answers import UNAVAILABLE
from ..bounded import BoundedCache
from ..config.building import is_mapping, plain
from ..config.reading import from_raw
from ..config.tables import Provider
from ..config.values import placeholder_text
from ..errors import ConfigError
from ..signals import answered
from . import HOOK_NAMES, Found, Functions, HookedProvider, HookFailed

log = logging.getLogger("flask_autoconfig")

_A_DAY = 86_400.0  # seconds that the last good result is used when a hook fails
_RETRY_AFTER = 2.0  # seconds before a hook that failed is called again
_PATIENCE = 4.0  # seconds that a request waits for another request's call
_SLOW_AFTER = 10.0  # seconds after which a call is logged as slow
# Simultaneous calls in a process, and how long one more waits for a free slot: hooks that
# hang must not block all threads.
_MAX_CALLS = 16
_SLOT_SECONDS = 1.0
# Bytes of cached results: those for a large hoster's domains, and separately the misses,
# which anybody can cause and which must not evict the others.
_MAX_KNOWN = 256 * 1024 * 1024
_MAX_UNKNOWN = 4 * 1024 * 1024
_RESULT_BYTES = 600  # memory of a result without its key and content
_BYTES_OF_A_CHARACTER = 4  # of a result's repr(), at most


def _provider(result: Any, key: str, previous: Found | None) -> Found | None:
    """Validate a hook's result for a key; `previous` is that of an earlier call."""
    if result is None:
        return None
    if isinstance(result, str):
        return fold(result)
    provider = _valid_provider(result, key.rpartition("@")[2])
    if isinstance(previous, HookedProvider) and previous.provider == provider:
        return previous
    return HookedProvider(provider, next(_NUMBERS), time.time())


def _login(result: Any, _key: str, _previous: str | None) -> str | None:
    if result is None:
        return None
    if not isinstance(result, str) or not result:
        raise _unusable("a login name, or None to use the file's", result)
    return placeholder_text(result)


_NUMBERS = count(1)


def _valid_provider(result: Provider | Mapping[str, Any], domain: str) -> Provider:
    """Validate a provider from a hook like one in the file; raises ConfigError."""
    if isinstance(result, Provider):
        from ..config.writing import to_raw

        result = to_raw(result)
    if not is_mapping(result):
        raise _unusable("an id, a mapping or None", result)
    raw = plain(result)
    # A database must not choose files of this machine.
    for place, table in (("domains_file", raw), ("page.logo", raw.get("page"))):
        if isinstance(table, dict) and place.rpartition(".")[2] in table:
            raise ConfigError.of(place, "it names a file", "leave it out")
    provider = from_raw({"provider": [{"domains": [domain], **raw}]}).providers[0]
    if domain in provider.domains:
        return provider
    # Clients look for the address's domain in the document.
    return structs.replace(provider, domains=(domain, *provider.domains))


def _unusable(expected: str, result: Any) -> ConfigError:
    """Return the error for a result, without its value, which may be private."""
    kind = f"{'' if result else 'an empty '}{type(result).__name__}"
    return ConfigError.of("", f"got {kind}", f"return {expected}")


@dataclass(slots=True)
class _Entry:
    """A cached result. Times are of the monotonic clock."""

    result: Any = None
    good_until: float = 0.0  # until then the result is used if the hook fails
    fresh_until: float = 0.0  # until then the hook is not called again
    calling: threading.Lock = field(default_factory=threading.Lock)  # held in a call
    called_at: float = 0.0


class CachedHook:
    """A hook with a cache of its results, by domain or address."""

    def __init__(
        self,
        name: str,
        validate: Callable[[Any, str, Any], Any],
        functions: Functions,
        slots: threading.BoundedSemaphore,
    ) -> None:
        self.name = name
        self._validate = validate
        self._functions = functions
        self._slots = slots
        self._known: BoundedCache[str, _Entry] = BoundedCache(_MAX_KNOWN)
        # None results, failures and first calls
        self._unknown: BoundedCache[str, _Entry] = BoundedCache(_MAX_UNKNOWN)
        self._lock = threading.Lock()
        self._logged: set[str] = set()  # domains, in this minute
        self._next_log = self._next_minute = 0.0  # on the monotonic clock

    def get(self, key: str, max_age: float) -> Any:
        """Return the result for a key, at most `max_age` seconds old unless calls fail.

        Return None if the site lacks the hook, or the key is "". Raises HookFailed.
        """
        if not key or self._functions[self.name] is None:
            return None
        with self._lock:
            entry = self._known.get(key) or self._unknown.get(key)
            if entry is None:
                entry = _Entry()
                self._unknown.put(key, entry, _RESULT_BYTES + len(key))
        if entry.fresh_until <= time.monotonic():
            self._renew(key, max_age, entry)
        if entry.good_until <= time.monotonic():
            raise HookFailed(UNAVAILABLE, self.name)
        return entry.result

    def _renew(self, key: str, max_age: float, entry: _Entry) -> None:
        """Call the hook, or wait for another thread's call if there is no fallback."""
        has_fallback = entry.good_until > time.monotonic()
        if not entry.calling.acquire(timeout=0 if has_fallback else _PATIENCE):
            seconds = time.monotonic() - entry.called_at
            if seconds > _SLOW_AFTER:
                self.log_failure(key, f"it has not returned for {seconds:.0f} seconds")
            return
        try:
            if entry.fresh_until > time.monotonic():
                return  # another thread has just called it
            entry.called_at = time.monotonic()
            if not self._slots.acquire(timeout=0 if has_fallback else _SLOT_SECONDS):
                self._fail(key, entry, f"{_MAX_CALLS} calls have not returned")
                return
            try:
                self._call(key, max_age, entry)
            finally:
                self._slots.release()
        finally:
            entry.calling.release()

    def _call(self, key: str, max_age: float, entry: _Entry) -> None:
        try:
            result = self._functions[self.name](key)
            entry.result = self._validate(result, key, entry.result)
        except NotFound:  # raised by Flask-SQLAlchemy's `first_or_404`, for example
            entry.result = None
        except ConfigError as error:
            problems = "; ".join(map(str, error.problems))
            if self.name != "find_provider":  # a message or a key may have the address
                problems = "; ".join(p.place or str(p) for p in error.problems)
                problems = "an address is a key" if "@" in problems else problems
            self._fail(key, entry, f"its result is faulty: {problems}")
            return
        except (Exception, SystemExit) as error:
            # The message of an exception may hold the address.
            reason = describe(error, in_full=self.name == "find_provider")
            self._fail(key, entry, reason)
            return
        # In this order, since other threads may read the entry in between.
        entry.good_until = time.monotonic() + max(_A_DAY, max_age)
        entry.fresh_until = time.monotonic() + max_age
        content = _BYTES_OF_A_CHARACTER * len(repr(entry.result))
        with self._lock:
            self._known.pop(key)
            self._unknown.pop(key)
            cache = self._unknown if entry.result is None else self._known
            cache.put(key, entry, _RESULT_BYTES + len(key) + content)

    def _fail(self, key: str, entry: _Entry, reason: str) -> None:
        entry.fresh_until = time.monotonic() + _RETRY_AFTER
        self.log_failure(key, reason)

    def log_failure(self, key: str, reason: str) -> None:
        """Log a failure with the domain of an address, at most one failure a second.

        Each domain is logged once a minute, so that none hides the failures of others.
        """
        now, domain = time.monotonic(), key.rpartition("@")[2]
        if now >= self._next_minute:
            self._logged, self._next_minute = set(), now + 60
        if now >= self._next_log and domain not in self._logged:
            self._logged.add(domain)
            self._next_log = now + 1
            log.error("%s failed for %s: %s", self.name, domain, reason)


def cached_hooks(functions: Functions) -> dict[str, CachedHook]:
    """Return the hooks of a site by name, with the cached results for one app."""
    slots = threading.BoundedSemaphore(_MAX_CALLS)
    return {
        name: CachedHook(
            name, _login if name == "find_username" else _provider, functions, slots
        )
        for name in HOOK_NAMES
    }


# --- Importing hooks -------------------------------------------------------------------


def name_in_environment() -> str | None:
    return os.environ.get("AUTOCONFIG_HOOKS") or None


def load_hooks(name: str) -> Functions:
    """Import the hooks that `MODULE` or `MODULE:OBJECT` names; raises ConfigError.

    A module without hooks is accepted if its import connects a receiver of the signal.
    """
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module, _, path = name.partition(":")
    *names, last = HOOK_NAMES
    cure = f"name a module with {', '.join(names)} or {last}, as customers or app:hooks"
    prefix = ""
    try:
        source: Any = import_module(module)
        for attribute in filter(None, path.split(".")):
            source = getattr(source, attribute)
        if answered.receivers and not any(hasattr(source, n) for n in HOOK_NAMES):
            return Functions()
        return Functions.of(source() if isinstance(source, type) else source)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        exists = module and not f"{module}.".startswith(f"{missing}.")
        if exists and module not in sys.modules:
            prefix = "the module exists, but its import fails: "
            cure = f"install {missing}" if missing else "correct the code there"
        raise ConfigError.of(
            name, prefix + describe(error, in_full=True), cure, "hooks"
        ) from error


def describe(error: BaseException, *, in_full: bool) -> str:
    """Return an exception on one line, with the line of the user's code that led to it.

    The message, which may hold an address, is added only with `in_full`.
    """
    text = f"{type(error).__name__}: {error}" if in_full else type(error).__name__
    paths = map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))
    libraries = (*paths, str(Path(__file__).parents[1]), "<frozen")
    frames = traceback.extract_tb(error.__traceback__)
    own_frames = [frame for frame in frames if not frame.filename.startswith(libraries)]
    for frame in own_frames[-1:]:
        text += f" at {frame.filename}:{frame.lineno}"
    return " ".join(text.split())
