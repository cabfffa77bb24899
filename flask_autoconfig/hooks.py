"""The site's own functions, and their answers, kept for a while.

However often strangers ask, a function is asked once in `hook_max_age` for a domain or an
address, and once for all that ask at the same time. One that raises changes nothing of
what is known: its last good answer goes on for a day. One that never answers holds a few
threads, and not all of them.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
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

Answered = TypeVar("Answered")
# domain -> a provider's id, a Provider, a mapping with the TOML's keys, or None
FindProvider = Callable[[str], str | Provider | Mapping[str, Any] | None]
FindUsername = Callable[[str], str | None]  # address -> login name or None
log = logging.getLogger("flask_autoconfig")

_A_DAY = 86_400.0  # seconds that the last good answer of a faulty function goes on
_AGAIN_AFTER = 2.0  # seconds after which a function that failed is asked again
_PATIENCE = 4.0  # seconds that a request waits for another one's question
_SLOW_AFTER = 10.0  # seconds after which the log tells of a question
# Questions that may be open at the same time in a process, and how long one more waits:
# functions that hang must not hold all threads.
_MOST_OPEN = 16
_TURN = 1.0
# Bytes of answers that are kept: a large hoster's domains, and apart from them what
# strangers make up, which must not push those out.
_MOST_KNOWN = 256 * 1024 * 1024
_MOST_UNKNOWN = 4 * 1024 * 1024
_ANSWER_BYTES = 500  # what Python spends on an answer beside its key and its content
_BYTES_OF_A_CHARACTER = 4  # of an answer's repr(), at most


class HookFailed(Exception):  # noqa: N818 (what has happened, not what is wrong)
    """A function raised or gave what cannot be served, and no good answer is kept."""


class WrongAnswerError(TypeError):
    """A function gave what is no answer; the words hold nothing of what it gave."""


class HookedProvider(NamedTuple):
    """A provider that find_provider returned, and not the file's."""

    provider: Provider
    number: int  # another one for another provider
    modified: float  # when it was first told, in seconds since 1970


class Functions:
    """A site's functions; they may be set after the service was made."""

    def __init__(
        self,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
    ) -> None:
        self.find_provider = find_provider
        self.find_username = find_username


class Hooks:
    """A site's functions, and what they told one app: another has another database."""

    def __init__(
        self,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
        *,
        functions: Functions | None = None,
    ) -> None:
        self._functions = functions or Functions(find_provider, find_username)
        turns = threading.BoundedSemaphore(_MOST_OPEN)
        self._providers: Kept[str | HookedProvider] = Kept(
            "find_provider", self._ask_provider, turns
        )
        self._logins: Kept[str] = Kept("find_username", self._ask_login, turns)
        self._count = 0

    @property
    def find_provider(self) -> FindProvider | None:
        """The function from a domain to its provider."""
        return self._functions.find_provider

    @property
    def find_username(self) -> FindUsername | None:
        """The function from an address to its login."""
        return self._functions.find_username

    @classmethod
    def of(cls, source: ModuleType | object) -> Hooks:
        """Those of an object or module; raises TypeError without any."""
        hooks = cls()
        hooks.take(source)
        return hooks

    def take(self, source: object) -> None:
        """Use the functions of an object or module; raises TypeError without any.

        Of an `Autoconfig`, they are those that were given to it.
        """
        own = getattr(source, "functions", None)
        source = own if isinstance(own, Functions) else source
        functions = Functions(
            getattr(source, "find_provider", None),
            getattr(source, "find_username", None),
        )
        named = [it for it in vars(functions).values() if it]
        if not named or not all(map(callable, named)):
            raise TypeError(f"no function find_provider or find_username in {source!r}")
        self._functions = functions

    def provider_of(self, domain: str, max_age: float) -> str | HookedProvider | None:
        """A provider's id or a provider of its own, None for no such domain.

        Raises HookFailed.
        """
        if self.find_provider is None or not domain:
            return None
        return self._providers.get(domain, max_age)

    def login_of(self, address: str, max_age: float) -> str | None:
        """The login name, None for what the file says. Raises HookFailed."""
        return self._logins.get(address, max_age)

    def refuse(self, domain: str, words: str) -> HookFailed:
        """Tell the log why what was told of a domain cannot be served."""
        self._providers.failures.tell(domain, words)
        return HookFailed("find_provider")

    def _ask_provider(
        self, domain: str, last: str | HookedProvider | None
    ) -> str | HookedProvider | None:
        assert self.find_provider is not None  # noqa: S101 (see provider_of)
        told = self.find_provider(domain)
        if told is None:
            return None
        if isinstance(told, str):
            return fold(told)
        provider = _checked(told, domain)
        if isinstance(last, HookedProvider) and last.provider == provider:
            return last
        self._count += 1
        return HookedProvider(provider, self._count, time.time())

    def _ask_login(self, address: str, _last: str | None) -> str | None:
        assert self.find_username is not None  # noqa: S101 (see Service.find_address)
        login = self.find_username(address)
        if login is None:
            return None
        if not isinstance(login, str):
            kind = type(login).__name__
            raise WrongAnswerError(f"it gave {kind}, and should give a text or None")
        if not login:
            raise WrongAnswerError(
                "it gave an empty text; None is for what the file says"
            )
        return placeholder_text(login)


def _checked(told: Provider | Mapping[str, Any], domain: str) -> Provider:
    """What a function told, checked like the file; raises ConfigError."""
    if isinstance(told, Provider):
        from .config.writing import to_raw

        told = to_raw(told)
    if not is_mapping(told):
        kind = type(told).__name__
        raise WrongAnswerError(
            f"it gave {kind}, and should give an id, a mapping or None"
        )
    row = plain(told)
    if "domains_file" in row:  # a row must not choose files of this machine
        problem = Problem("domains_file", "it names a file", "give domains, or none")
        raise ConfigError([problem])
    page = row.get("page")
    if isinstance(page, dict) and "logo" in page:
        problem = Problem("page.logo", "it names a file", "leave the logo to the file")
        raise ConfigError([problem])
    provider = from_raw({"provider": [{"domains": [domain], **row}]}).providers[0]
    if domain in provider.domains:
        return provider
    # Whoever asks finds the own domain in the document.
    return structs.replace(provider, domains=(domain, *provider.domains))


class _Kept(Generic[Answered]):
    """An answer, and when it was given."""

    __slots__ = ("answer", "fresh_until", "good_until")

    def __init__(self) -> None:
        self.answer: Answered | None = None
        self.fresh_until = 0.0  # on the monotonic clock; nobody is asked before
        self.good_until = 0.0  # until then it stands in for a function that fails


class _Open(NamedTuple):
    """A question that was asked, and is not answered yet."""

    answered: threading.Event
    since: float  # on the monotonic clock


class Kept(Generic[Answered]):
    """The answers of one function."""

    def __init__(
        self,
        name: str,
        ask: Callable[[str, Answered | None], Answered | None],
        turns: threading.BoundedSemaphore,
    ) -> None:
        self._name = name
        self._ask = ask
        self._turns = turns
        self._known: Bounded[str, _Kept[Answered]] = Bounded(_MOST_KNOWN)
        # "no such domain", failures
        self._unknown: Bounded[str, _Kept[Answered]] = Bounded(_MOST_UNKNOWN)
        self._asking: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self.failures = _Telling(name, in_full=name == "find_provider")

    def get(self, key: str, max_age: float) -> Answered | None:
        """The answer for a key, at most `max_age` seconds old unless asking fails.

        Raises HookFailed.
        """
        kept = self._known.get(key) or self._unknown.get(key)
        if kept is None or kept.fresh_until <= time.monotonic():
            kept = self._ask_once(key, max_age, kept)
        if kept.good_until <= time.monotonic():
            raise HookFailed(self._name)
        return kept.answer

    def _ask_once(
        self, key: str, max_age: float, last: _Kept[Answered] | None
    ) -> _Kept[Answered]:
        """Ask, or wait for whoever asks the same; a good answer of before will do."""
        with self._lock:
            kept = self._known.get(key) or self._unknown.get(key)
            if kept is not None and kept.fresh_until > time.monotonic():
                return kept  # somebody has just asked
            other = self._asking.get(key)
            if other is None:
                mine = self._asking[key] = _Open(threading.Event(), time.monotonic())
        if other is None:
            try:
                return self._answer(key, max_age, last or _Kept())
            finally:
                self._asking.pop(key)
                mine.answered.set()
        waits = time.monotonic() - other.since
        if waits > _SLOW_AFTER:
            self.failures.tell(key, f"it has not answered for {waits:.0f} seconds")
        if last is not None and last.good_until > time.monotonic():
            return last
        other.answered.wait(_PATIENCE)
        kept = self._known.get(key) or self._unknown.get(key)
        if kept is None:
            raise HookFailed(self._name)
        return kept

    def _answer(
        self, key: str, max_age: float, kept: _Kept[Answered]
    ) -> _Kept[Answered]:
        now = time.monotonic()
        if not self._turns.acquire(timeout=0 if kept.good_until > now else _TURN):
            oldest = max((now - it.since for it in [*self._asking.values()]), default=0)
            words = f"{_MOST_OPEN} questions wait for answers, the oldest for"
            self.failures.tell(key, f"{words} {oldest:.0f} seconds")
            return self._keep_failure(key, kept)
        try:
            answer = self._ask(key, kept.answer)
        except (Exception, SystemExit) as error:
            if not _says_unknown(error):
                self.failures.tell_error(key, error)
                return self._keep_failure(key, kept)
            answer = None
        finally:
            self._turns.release()
        now = time.monotonic()
        kept.answer = answer
        kept.fresh_until = now + max_age
        kept.good_until = now + max(_A_DAY, max_age)
        return self._keep(key, kept)

    def _keep_failure(self, key: str, kept: _Kept[Answered]) -> _Kept[Answered]:
        kept.fresh_until = time.monotonic() + _AGAIN_AFTER
        return self._keep(key, kept)

    def _keep(self, key: str, kept: _Kept[Answered]) -> _Kept[Answered]:
        content = _BYTES_OF_A_CHARACTER * len(repr(kept.answer))
        with self._lock:
            self._known.pop(key)
            self._unknown.pop(key)
            there = self._unknown if kept.answer is None else self._known
            there.put(key, kept, _ANSWER_BYTES + len(key) + content)
        return kept


def _says_unknown(error: BaseException) -> bool:
    """Whether it is Flask's way to say that there is no such row (`first_or_404`)."""
    from werkzeug.exceptions import NotFound

    return isinstance(error, NotFound)


class _Telling:
    """Tells the log of failures, once a second at most: strangers cause them.

    Unless `in_full`, an error's own words are kept back: they may hold an address. Of an
    address its domain is told.
    """

    def __init__(self, name: str, *, in_full: bool) -> None:
        self._name = name
        self._in_full = in_full
        self._next = 0.0
        self._untold = 0

    def tell_error(self, key: str, error: BaseException) -> None:
        """Write a line of what a function raised."""
        self.tell(key, self._in_words(error))

    def tell(self, key: str, words: str) -> None:
        """Write a line, unless one was written just now."""
        now = time.monotonic()
        if now < self._next:
            self._untold += 1
            return
        more = f", and {self._untold} times more before" if self._untold else ""
        self._next, self._untold = now + 1, 0
        domain = key.rpartition("@")[2]
        log.error("%s failed for %s%s: %s", self._name, domain, more, words)

    def _in_words(self, error: BaseException) -> str:
        if isinstance(error, ConfigError):
            return "it gave no sound provider: " + "; ".join(map(str, error.problems))
        if isinstance(error, WrongAnswerError):
            return str(error)
        *_, last = traceback.extract_tb(error.__traceback__)
        where = f"{type(error).__name__} at {last.filename}:{last.lineno}"
        return f"{where}: {error}".partition("\n")[0] if self._in_full else where
