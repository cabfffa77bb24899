"""Mail clients set themselves up: one TOML file, for Flask sites and alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blueprint import Autoconfig, autoconfig
    from .config.reading import load
    from .errors import ConfigError
    from .middleware import AutoconfigMiddleware
    from .settings import Settings
    from .standalone import create_app

    __version__: str

__all__ = [
    "Autoconfig",
    "AutoconfigMiddleware",
    "ConfigError",
    "Settings",
    "__version__",
    "autoconfig",
    "create_app",
    "load",
]

# Looked up when it is asked for: `flask` loads the commands of every package that is
# installed, in projects that use none of this as well.
_HOMES = {
    "Autoconfig": ".blueprint",
    "AutoconfigMiddleware": ".middleware",
    "ConfigError": ".errors",
    "Settings": ".settings",
    "autoconfig": ".blueprint",
    "create_app": ".standalone",
    "load": ".config.reading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("flask-autoconfig")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value
