"""Imports hooks by name, and describes a failure in one line."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import ConfigError, Problem
from .hooks import Hooks


def name_in_environment() -> str | None:
    """Return the name of the hooks in the environment, or None."""
    return os.environ.get("AUTOCONFIG_HOOKS") or None


def load_hooks(name: str) -> Hooks:
    """Import the hooks that `MODULE` or `MODULE:OBJECT` names; raises ConfigError.

    The working directory is searched too. A class is called without arguments.
    """
    try:
        return _load(name)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        cure = "name a module with find_provider or find_username, as customers or "
        raise _refusal(name, describe(error), f"{cure}app:hooks") from error


def _refusal(name: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(name, message, cure)], "hooks")


def _load(name: str) -> Hooks:
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
        message = f"the module exists, but its import fails: {describe(error)}"
        cure = f"install {missing}" if missing else "correct the code there"
        raise _refusal(name, message, cure) from error
    for part in filter(None, path.split(".")):
        found = getattr(found, part)
    return Hooks.of(found() if isinstance(found, type) else found)


def describe(error: BaseException) -> str:
    """Return an exception in one line, with the line of the code that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    internal = (str(Path(__file__).parent), "<frozen", _IMPORTLIB)
    frames = traceback.extract_tb(error.__traceback__)
    external = [frame for frame in frames if not frame.filename.startswith(internal)]
    if not external:
        return text
    # The user's own line is more useful than that of a library called there.
    users = [frame for frame in external if not frame.filename.startswith(_LIBRARIES)]
    frame = users[-1] if users else external[0]
    return f"{text} at {frame.filename}:{frame.lineno}"


_SCHEMES = ("stdlib", "purelib", "platlib")
_LIBRARIES = tuple({sysconfig.get_path(scheme) for scheme in _SCHEMES})
_IMPORTLIB = str(Path(sysconfig.get_path("stdlib")) / "importlib")
