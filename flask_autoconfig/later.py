"""Hooks that each worker gets by itself: what is opened before a fork does not live.

A pool of connections, which a module or a site makes while it is imported, would be
shared by all workers, and its threads would be in none. So the server's own process looks
into a child that ends at once, and knows what there is; a worker imports it anew.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError, Problem
from .hooks import Hooks

Seen = TypeVar("Seen")


class Later:
    """Hooks that are fetched when they are asked for in this process the first time."""

    def __init__(self, fetch: Callable[[], Hooks]) -> None:
        self._fetch = fetch
        self._fetched: Hooks | None = None
        self._lock = threading.Lock()

    def get(self) -> Hooks:
        """Fetch them, unless they are there; raises whatever fetching does."""
        with self._lock:
            if self._fetched is None:
                self._fetched = self._fetch()
            return self._fetched

    def hooks(self, names: Collection[str]) -> Hooks:
        """Those of these names, `find_provider` and `find_username`."""
        return Hooks(*(self._function(it) if it in names else None for it in HOOKS))

    def _function(self, name: str) -> Callable[[str], Any]:
        def ask(key: str) -> Any:
            return getattr(self.get(), name)(key)

        return ask


HOOKS = ("find_provider", "find_username")


def name_in_environment() -> str | None:
    """What the environment names as hooks, if it does."""
    return os.environ.get("AUTOCONFIG_HOOKS") or None


def names_of(hooks: Hooks) -> list[str]:
    """Which functions there are."""
    return [name for name in HOOKS if getattr(hooks, name) is not None]


def named(name: str) -> tuple[Later, Hooks]:
    """The hooks that `MODULE` or `MODULE:OBJECT` names, for each worker to import.

    Raises ConfigError where there are none, with what importing them said.
    """
    later = Later(lambda: imported(name))
    try:
        return later, later.hooks(in_a_child(lambda: names_of(later.get())))
    except ChildError as error:
        raise _refusal(name, str(error)) from None


def imported(name: str) -> Hooks:
    """The hooks that `MODULE` or `MODULE:OBJECT` names, imported here.

    The working directory is where Python looks too. An object that is a class is made,
    without arguments. Raises ConfigError as `named` does.
    """
    try:
        return _imported(name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise _refusal(name, _words(error)) from error


def _refusal(name: str, message: str, cure: str = "") -> ConfigError:
    cure = cure or (
        "name a module with find_provider or find_username, as customers or app:hooks"
    )
    return ConfigError([Problem(name, message, cure)], "hooks")


def _imported(name: str) -> Hooks:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if not module or (missing and f"{module}.".startswith(f"{missing}.")):
            raise
        message = f"the module is there, and its import fails: {_words(error)}"
        cure = f"install {missing}" if missing else "mend what it says there"
        raise _refusal(name, message, cure) from error
    for part in filter(None, path.split(".")):
        found = getattr(found, part)
    return Hooks.of(found() if isinstance(found, type) else found)


class ChildError(Exception):
    """What a child could not do, in words."""


def in_a_child(look: Callable[[], Seen]) -> Seen:
    """What a function gives in a process of its own, of which nothing else stays.

    Raises the ConfigError that it raises, and ChildError for all else.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()  # and whatever it starts ends with it
        os.close(readable)
        outcome = pickle.dumps(_outcome(look))
        with suppress(OSError, ValueError):  # they may be closed
            sys.stdout.flush()
            sys.stderr.flush()
        with open(writable, "wb") as stream:
            stream.write(outcome)
        os._exit(0)
    os.close(writable)
    try:
        # Not to the end of the pipe: a process that the child started holds it open.
        with open(readable, "rb") as stream:
            seen, error = pickle.load(stream)  # noqa: S301 (our own child's)
    except EOFError:
        raise ChildError("it ends the process") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if error is not None:
        raise error
    return seen  # type: ignore[no-any-return]


def _outcome(look: Callable[[], object]) -> tuple[object, Exception | None]:
    try:
        return look(), None
    except ConfigError as error:
        return None, error
    except BaseException as error:  # a module may do anything, exit included
        return None, ChildError(_words(error))


def _words(error: BaseException) -> str:
    """One line, with the place where it is the imported code that failed."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(__file__).parent), "<frozen")
    theirs = [it for it in frames if not it.filename.startswith((*ours, _IMPORTLIB))]
    if not theirs:
        return words
    # A person's own line, and not that of a library which she called there.
    own = [it for it in theirs if not it.filename.startswith(_LIBRARIES)]
    place = own[-1] if own else theirs[0]
    return f"{words} at {place.filename}:{place.lineno}"


_LIBRARIES = tuple({sysconfig.get_path(it) for it in ("stdlib", "purelib", "platlib")})
_IMPORTLIB = str(Path(sysconfig.get_path("stdlib")) / "importlib")
