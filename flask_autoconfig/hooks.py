"""The site's hooks (`HOOK_NAMES`), and a cache of their results.

Within `hook_max_age` a hook is called once for a domain or an address, and once for all
simultaneous requests. When a hook raises, its last good result is used for a day. A hook
that never returns blocks a limited number of threads.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import structs

from .address import fold
from .bounded import Bounded
from .config.mapping import is_mapping, plain
from .config.reading import from_raw
from .config.tables import Provider
from .config.values import placeholder_text
from .errors import ConfigError, Problem

Result = TypeVar("Result")
Hook = TypeVar("Hook")
HOOK_NAMES = ("find_provider", "find_provider_by_address", "find_username")
# domain (of find_provider_by_address: address) -> a provider's id, a Provider, a mapping
# with the TOML's keys, or None
FindProvider = Callable[[str], str | Provider | Mapping[str, Any] | None]
FindUsername = Callable[[str], str | None]  # address -> login name or None
log = logging.getLogger("flask_autoconfig")

_A_DAY = 86_400.0  # seconds that the last good result is used when a hook fails
_RETRY_AFTER = 2.0  # seconds before a hook that failed is called again
_PATIENCE = 4.0  # seconds that a request waits for another request's call
_SLOW_AFTER = 10.0  # seconds after which a call is logged as slow
# Simultaneous calls in a process, and how long one more waits for its turn: hooks that
# hang must not block all threads.
_MOST_CALLS = 16
_TURN = 1.0
# Bytes of cached results: those for a large hoster's domains, and separately the misses,
# which anybody can cause and which must not evict the others.
_MOST_KNOWN = 256 * 1024 * 1024
_MOST_UNKNOWN = 4 * 1024 * 1024
_RESULT_BYTES = 500  # memory of a result without its key and content
_BYTES_OF_A_CHARACTER = 4  # of a result's repr(), at most


class HookFailed(Exception):  # noqa: N818 (a state, not a mistake)
    """A hook failed, and there is no earlier result to fall back on."""


class WrongResultError(TypeError):
    """A hook returned an unusable value; the message holds nothing of the value."""


class HookedProvider(NamedTuple):
    """A provider that find_provider returned instead of the id of one in the file."""

    provider: Provider
    number: int  # unique
    modified: float  # when it was first returned, in seconds since 1970


class Functions:
    """The hooks of a site; they may be set after the service is created."""

    def __init__(
        self,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
        find_provider_by_address: FindProvider | None = None,
    ) -> None:
        self.find_provider = synchronous(find_provider)
        self.find_username = synchronous(find_username)
        self.find_provider_by_address = synchronous(find_provider_by_address)


def synchronous(function: Hook) -> Hook:
    """Return the function; raises TypeError for an async one."""
    if iscoroutinefunction(function):
        raise TypeError(
            f"{function.__name__} is an async function, and hooks are called without an "
            "event loop: write it with def, or use asgiref.sync.async_to_sync"
        )
    return function


class Hooks:
    """The hooks of a site with the cached results for one app."""

    def __init__(
        self,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
        *,
        find_provider_by_address: FindProvider | None = None,
        functions: Functions | None = None,
    ) -> None:
        self._functions = functions or Functions(
            find_provider, find_username, find_provider_by_address
        )
        turns = threading.BoundedSemaphore(_MOST_CALLS)
        self._providers: CachedHook[str | HookedProvider] = CachedHook(
            "find_provider", self._call_find_provider, turns
        )
        self._providers_by_address: CachedHook[str | HookedProvider] = CachedHook(
            "find_provider_by_address", self._call_find_provider_by_address, turns
        )
        self._logins: CachedHook[str] = CachedHook(
            "find_username", self._call_find_username, turns
        )
        self._count = 0

    @property
    def find_provider(self) -> FindProvider | None:
        """The hook from a domain to its provider, or None."""
        return self._functions.find_provider

    @property
    def find_provider_by_address(self) -> FindProvider | None:
        """The hook from an address to its provider, or None."""
        return self._functions.find_provider_by_address

    @property
    def find_username(self) -> FindUsername | None:
        """The hook from an address to its login name, or None."""
        return self._functions.find_username

    @classmethod
    def of(cls, source: ModuleType | object) -> Hooks:
        """Return the hooks of an object or module; raises TypeError without any."""
        hooks = cls()
        hooks.take(source)
        return hooks

    def take(self, source: object) -> None:
        """Use the hooks of an object, module or `Autoconfig`; raises TypeError."""
        own = getattr(source, "functions", None)
        source = own if isinstance(own, Functions) else source
        functions = {name: getattr(source, name, None) for name in HOOK_NAMES}
        named = [function for function in functions.values() if function]
        if not named or not all(map(callable, named)):
            *names, last = HOOK_NAMES
            raise TypeError(f"no function {', '.join(names)} or {last} in {source!r}")
        self._functions = Functions(**functions)

    def provider_of(self, domain: str, max_age: float) -> str | HookedProvider | None:
        """Return a provider or the id of one, None for an unknown domain.

        Raises HookFailed.
        """
        if self.find_provider is None or not domain:
            return None
        return self._providers.get(domain, max_age)

    def provider_of_address(
        self, address: str, max_age: float
    ) -> str | HookedProvider | None:
        """Return the address's own provider or the id of one, None to use its domain's.

        Raises HookFailed.
        """
        if self.find_provider_by_address is None:
            return None
        return self._providers_by_address.get(address, max_age)

    def login_of(self, address: str, max_age: float) -> str | None:
        """Return the login name, None to use the file's; raises HookFailed."""
        return self._logins.get(address, max_age)

    def refuse(self, key: str, words: str) -> HookFailed:
        """Log why the provider of a domain or address cannot be served.

        Returns the exception to raise.
        """
        hook = self._providers_by_address if "@" in key else self._providers
        hook.failures.log(key, words)
        return HookFailed(hook.name)

    def _call_find_provider(
        self, domain: str, last: str | HookedProvider | None
    ) -> str | HookedProvider | None:
        assert self.find_provider is not None  # noqa: S101 (see provider_of)
        return self._usable(self.find_provider(domain), domain, last)

    def _call_find_provider_by_address(
        self, address: str, last: str | HookedProvider | None
    ) -> str | HookedProvider | None:
        function = self.find_provider_by_address
        assert function is not None  # noqa: S101 (see provider_of_address)
        return self._usable(function(address), address.rpartition("@")[2], last)

    def _usable(
        self, result: Any, domain: str, last: str | HookedProvider | None
    ) -> str | HookedProvider | None:
        """Validate the result of a hook for a domain or an address there."""
        if result is None:
            return None
        if isinstance(result, str):
            return fold(result)
        provider = _checked(result, domain)
        if isinstance(last, HookedProvider) and last.provider == provider:
            return last
        self._count += 1
        return HookedProvider(provider, self._count, time.time())

    def _call_find_username(self, address: str, _last: str | None) -> str | None:
        assert self.find_username is not None  # noqa: S101 (see Service.find_address)
        login = self.find_username(address)
        if login is None:
            return None
        if not isinstance(login, str):
            kind = type(login).__name__
            raise WrongResultError(f"it returned {kind} instead of a string or None")
        if not login:
            raise WrongResultError(
                "it returned an empty string; return None to use the file's login name"
            )
        return placeholder_text(login)


def _checked(result: Provider | Mapping[str, Any], domain: str) -> Provider:
    """Validate a provider from a hook as one of the file; raises ConfigError."""
    if isinstance(result, Provider):
        from .config.writing import to_raw

        result = to_raw(result)
    if not is_mapping(result):
        kind = type(result).__name__
        raise WrongResultError(
            f"it returned {kind} instead of an id, a mapping or None"
        )
    row = plain(result)
    if "domains_file" in row:  # a database must not choose files of this machine
        problem = Problem("domains_file", "it names a file", "return domains instead")
        raise ConfigError([problem])
    page = row.get("page")
    if isinstance(page, dict) and "logo" in page:
        problem = Problem("page.logo", "it names a file", "set the logo in the file")
        raise ConfigError([problem])
    provider = from_raw({"provider": [{"domains": [domain], **row}]}).providers[0]
    if domain in provider.domains:
        return provider
    # Clients look for the address's domain in the document.
    return structs.replace(provider, domains=(domain, *provider.domains))


class _Entry(Generic[Result]):
    """A cached result. Times are of the monotonic clock."""

    __slots__ = ("fresh_until", "good_until", "result")

    def __init__(self) -> None:
        self.result: Result | None = None
        self.fresh_until = 0.0  # until then the hook is not called again
        self.good_until = 0.0  # until then it is the fallback for a hook that fails


class _Call(NamedTuple):
    """A call that has not returned yet."""

    done: threading.Event
    since: float  # on the monotonic clock


class CachedHook(Generic[Result]):
    """A hook with a cache of its results."""

    def __init__(
        self,
        name: str,
        call: Callable[[str, Result | None], Result | None],
        turns: threading.BoundedSemaphore,
    ) -> None:
        self.name = name
        self._call = call
        self._turns = turns
        self._known: Bounded[str, _Entry[Result]] = Bounded(_MOST_KNOWN)
        # None results and failures
        self._unknown: Bounded[str, _Entry[Result]] = Bounded(_MOST_UNKNOWN)
        self._calls: dict[str, _Call] = {}
        self._lock = threading.Lock()
        self.failures = _FailureLog(name, in_full=name == "find_provider")

    def get(self, key: str, max_age: float) -> Result | None:
        """Return the result for a key, at most `max_age` seconds old unless calls fail.

        Raises HookFailed.
        """
        entry = self._entry(key)
        if entry is None or entry.fresh_until <= time.monotonic():
            entry = self._call_once(key, max_age, entry)
        if entry.good_until <= time.monotonic():
            raise HookFailed(self.name)
        return entry.result

    def _entry(self, key: str) -> _Entry[Result] | None:
        return self._known.get(key) or self._unknown.get(key)

    def _call_once(
        self, key: str, max_age: float, last: _Entry[Result] | None
    ) -> _Entry[Result]:
        """Call the hook, or wait for a call with the same key if there is no fallback."""
        with self._lock:
            entry = self._entry(key)
            if entry is not None and entry.fresh_until > time.monotonic():
                return entry  # another thread has just called it
            running = self._calls.get(key)
            if running is None:
                started = self._calls[key] = _Call(threading.Event(), time.monotonic())
        if running is None:
            try:
                return self._called(key, max_age, last or _Entry())
            finally:
                self._calls.pop(key)
                started.done.set()

        waits = time.monotonic() - running.since
        if waits > _SLOW_AFTER:
            self.failures.log(key, f"it has not returned for {waits:.0f} seconds")
        if last is not None and last.good_until > time.monotonic():
            return last
        running.done.wait(_PATIENCE)
        entry = self._entry(key)
        if entry is None:
            raise HookFailed(self.name)
        return entry

    def _called(
        self, key: str, max_age: float, entry: _Entry[Result]
    ) -> _Entry[Result]:
        now = time.monotonic()
        if not self._turns.acquire(timeout=0 if entry.good_until > now else _TURN):
            calls = list(self._calls.values())
            oldest = max((now - call.since for call in calls), default=0)
            words = f"{_MOST_CALLS} calls have not returned, the oldest for"
            self.failures.log(key, f"{words} {oldest:.0f} seconds")
            return self._store(key, entry, _RETRY_AFTER)
        try:
            result = self._call(key, entry.result)
        except (Exception, SystemExit) as error:
            if not _means_unknown(error):
                self.failures.log(key, self.failures.describe(error))
                return self._store(key, entry, _RETRY_AFTER)
            result = None
        finally:
            self._turns.release()
        entry.result = result
        entry.good_until = time.monotonic() + max(_A_DAY, max_age)
        return self._store(key, entry, max_age)

    def _store(self, key: str, entry: _Entry[Result], fresh: float) -> _Entry[Result]:
        """Store an entry that is fresh for so many seconds from now."""
        entry.fresh_until = time.monotonic() + fresh
        content = _BYTES_OF_A_CHARACTER * len(repr(entry.result))
        with self._lock:
            self._known.pop(key)
            self._unknown.pop(key)
            cache = self._unknown if entry.result is None else self._known
            cache.put(key, entry, _RESULT_BYTES + len(key) + content)
        return entry


def _means_unknown(error: BaseException) -> bool:
    """Whether the exception means that there is no such row (`first_or_404`)."""
    from werkzeug.exceptions import NotFound

    return isinstance(error, NotFound)


class _FailureLog:
    """Logs failures, at most one a second, since anybody can cause them.

    An address is logged as its domain. Unless `in_full`, an exception's message is left
    out, since it may hold an address.
    """

    def __init__(self, name: str, *, in_full: bool) -> None:
        self._name = name
        self._in_full = in_full
        self._next = 0.0
        self._unlogged = 0

    def log(self, key: str, words: str) -> None:
        """Log a failure, unless one was logged within the second."""
        now = time.monotonic()
        if now < self._next:
            self._unlogged += 1
            return
        more = f", and {self._unlogged} times more before" if self._unlogged else ""
        self._next, self._unlogged = now + 1, 0
        domain = key.rpartition("@")[2]
        log.error("%s failed for %s%s: %s", self._name, domain, more, words)

    def describe(self, error: BaseException) -> str:
        """Describe an exception in one line."""
        if isinstance(error, ConfigError):
            problems = "; ".join(map(str, error.problems))
            return f"it returned a faulty provider: {problems}"
        if isinstance(error, WrongResultError):
            return str(error)
        *_, last = traceback.extract_tb(error.__traceback__)
        where = f"{type(error).__name__} at {last.filename}:{last.lineno}"
        return f"{where}: {error}".partition("\n")[0] if self._in_full else where
