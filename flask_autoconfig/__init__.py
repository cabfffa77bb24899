"""Mail clients set themselves up: one TOML file, for Flask sites and alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blueprint import Autoconfig as Autoconfig
    from .blueprint import autoconfig as autoconfig
    from .config.reading import load as load
    from .errors import ConfigError as ConfigError
    from .middleware import AutoconfigMiddleware as AutoconfigMiddleware
    from .service import Settings as Settings
    from .standalone import create_app as create_app

    __version__: str

# Looked up when it is asked for: `flask` loads the commands of every package that is
# installed, in projects that use none of this as well.
_HOMES = {
    "Autoconfig": ".blueprint",
    "AutoconfigMiddleware": ".middleware",
    "ConfigError": ".errors",
    "Settings": ".service",
    "autoconfig": ".blueprint",
    "create_app": ".standalone",
    "load": ".config.reading",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("flask-autoconfig")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value
