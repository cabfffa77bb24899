"""Imports hooks by name, and describes a failure in one line."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .hooks import HOOK_NAMES, Functions
from .signals import answered


def name_in_environment() -> str | None:
    """Return the name of the hooks in the environment, or None."""
    return os.environ.get("AUTOCONFIG_HOOKS") or None


def load_hooks(name: str) -> Functions:
    """Import the hooks that `MODULE` or `MODULE:OBJECT` names; raises ConfigError.

    The working directory is searched too. A class is called without arguments. There may
    be no hooks where the import connects a receiver of the signal `answered`.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, path = name.partition(":")
    *names, last = HOOK_NAMES
    cure = f"name a module with {', '.join(names)} or {last}, as customers or app:hooks"
    prefix = ""
    try:
        found: Any = import_module(module)
        for part in filter(None, path.split(".")):
            found = getattr(found, part)
        if answered.receivers and not any(hasattr(found, it) for it in HOOK_NAMES):
            return Functions()
        return Functions.of(found() if isinstance(found, type) else found)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        is_there = module and not f"{module}.".startswith(f"{missing}.")
        if is_there and module not in sys.modules:
            prefix = "the module exists, but its import fails: "
            cure = f"install {missing}" if missing else "correct the code there"
        raise ConfigError.of(name, prefix + describe(error), cure, "hooks") from error


def describe(error: BaseException) -> str:
    """Return an exception in one line, with the line of the code that raised it."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    external = [frame for frame in frames if not frame.filename.startswith(_INTERNAL)]
    if not external:
        return text
    # The user's own line is more useful than that of a library called there.
    users = [frame for frame in external if not frame.filename.startswith(_LIBRARIES)]
    frame = users[-1] if users else external[0]
    return f"{text} at {frame.filename}:{frame.lineno}"


_LIBRARIES = tuple(map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
_INTERNAL = (
    *(str(Path(__file__).parent), "<frozen"),
    f"{sysconfig.get_path('stdlib')}/importlib",
)
