"""The site's hooks (`HOOK_NAMES`). `calling` is imported with the first call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..answers import Refused
from ..config.tables import Provider

if TYPE_CHECKING:
    from .calling import CachedHook

HOOK_NAMES = ("find_provider", "find_provider_by_address", "find_username")
# domain (of find_provider_by_address: address) -> a provider's id, a Provider, a mapping
# with the TOML's keys, or None
FindProvider = Callable[[str], str | Provider | Mapping[str, Any] | None]
FindUsername = Callable[[str], str | None]  # address -> login name or None


class HookFailed(Refused):
    """A hook failed, and there is no earlier result to fall back on."""


class HookedProvider(NamedTuple):
    """A provider that a hook returned instead of the id of one in the file."""

    provider: Provider
    number: int  # unique
    modified: float  # when it was first returned, in seconds since 1970


# What a hook has found: the id of a provider in the file, or a provider of its own.
Found: TypeAlias = str | HookedProvider


class Functions(dict[str, Any]):
    """The functions of a site by the names of the hooks, None for those it lacks."""

    def __init__(self, **functions: Any) -> None:
        super().__init__(dict.fromkeys(HOOK_NAMES))
        self.set(**functions)
        # `serve` replaces this with a function that imports them, or raises.
        self.load: Callable[[], None] = lambda: None

    def set(self, **functions: Any) -> None:
        """Set some of the functions; raises TypeError for an async function."""
        for function in functions.values():
            if iscoroutinefunction(function):
                raise TypeError(
                    f"{function.__name__} is an async function, and hooks are called "
                    "without an event loop: write it with def, or use "
                    "asgiref.sync.async_to_sync"
                )
        self.update(functions)

    @classmethod
    def of(cls, source: object) -> Functions:
        """Return the hooks of an object, module or `Autoconfig`; raises TypeError."""
        hooks = getattr(source, "functions", None)
        if not isinstance(hooks, cls):
            hooks = cls(**{name: getattr(source, name, None) for name in HOOK_NAMES})
        functions = [function for function in hooks.values() if function is not None]
        if not functions or not all(map(callable, functions)):
            *names, last = HOOK_NAMES
            raise TypeError(f"no function {', '.join(names)} or {last} in {source!r}")
        return hooks


class Hooks:
    """The hooks of a site for one app."""

    def __init__(self, functions: Functions | None = None) -> None:
        self.functions = Functions() if functions is None else functions
        self._cached: dict[str, CachedHook] | None = None
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        return self.functions[name] is not None

    @property
    def cached(self) -> dict[str, CachedHook]:
        """The hooks by name, with their cached results."""
        if self._cached is None:
            from .calling import cached_hooks

            with self._lock:
                self._cached = self._cached or cached_hooks(self.functions)
        return self._cached
