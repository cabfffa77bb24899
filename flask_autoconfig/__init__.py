"""Mail clients set themselves up: one TOML file, for Flask sites and alone."""

from .blueprint import Autoconfig, autoconfig
from .errors import ConfigError
from .model import load
from .standalone import create_app

__version__: str

__all__ = [
    "Autoconfig",
    "ConfigError",
    "__version__",
    "autoconfig",
    "create_app",
    "load",
]


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: a site at start-up never does."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("flask-autoconfig")
