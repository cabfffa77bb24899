"""Reads the keys of a Flask app's configuration: the file, and how it is served."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from .config.mapping import plain
from .config.reading import Loaded, from_raw
from .errors import ConfigError, Problem
from .files import DEFAULT_FILE, file_in_environment
from .reload import log
from .service import Service

if TYPE_CHECKING:
    from flask.sansio.app import App


def refusal(place: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(place, message, cure)], "flask_autoconfig")


def source_of(app: App) -> Path | Loaded:
    """Return the app's mapping or its TOML file; raises ConfigError without either."""
    mapping = app.config.get("AUTOCONFIG")
    if mapping is None:
        return _find_file(app)
    if not isinstance(mapping, Mapping):
        message = f"expected a mapping with the TOML's keys, got {mapping!r}"
        cure = "set the path of a file as AUTOCONFIG_FILE"
        raise refusal("AUTOCONFIG", message, cure)
    try:
        return from_raw(plain(mapping), base=app.root_path)
    except ConfigError as error:
        raise ConfigError(error.problems, "AUTOCONFIG") from error


def _find_file(app: App) -> Path:
    root = Path(app.root_path)
    named = app.config.get("AUTOCONFIG_FILE") or file_in_environment()
    if isinstance(named, str | os.PathLike):
        return root / named
    cure = 'set app.config["AUTOCONFIG_FILE"] to your autoconfig.toml'
    if named:
        raise refusal("AUTOCONFIG_FILE", f"expected a path, got {named!r}", cure)
    candidates = [root / DEFAULT_FILE]
    if isinstance(app, Flask):
        candidates.insert(0, Path(app.instance_path) / DEFAULT_FILE)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    tried = " or ".join(map(str, candidates))
    message = f"no configuration: it is not set, and there is no {tried}"
    raise refusal("AUTOCONFIG_FILE", message, cure)


def is_strict(app: App) -> bool:
    """Return whether a faulty file stops the app; raises ConfigError."""
    value = app.config.get("AUTOCONFIG_STRICT", os.environ.get("AUTOCONFIG_STRICT"))
    word = str(value or "").strip().lower()
    if word not in _YES + _NO:
        raise refusal("AUTOCONFIG_STRICT", f"it is {value!r}", "write true or false")
    return word in _YES or bool(app.debug) or bool(app.testing)


_YES = ("true", "1", "yes", "on")
_NO = ("", "false", "0", "no", "off")


def check_page(app: App) -> None:
    """Validate the page's settings; raises ConfigError."""
    policy = app.config.get("AUTOCONFIG_PAGE_CSP", "")
    if not (isinstance(policy, str | None) and str(policy).isprintable()):
        message = f"expected the value of the header, got {policy!r}"
        raise refusal("AUTOCONFIG_PAGE_CSP", message, "write \"default-src 'self'\"")
    folder = app.config.get("AUTOCONFIG_LOCALE")
    if folder is None:
        return
    is_path = isinstance(folder, str | os.PathLike)
    if not is_path or not (Path(app.root_path) / folder).is_dir():
        message = f"there is no folder {folder!r}"
        raise refusal("AUTOCONFIG_LOCALE", message, "set one that has catalogs")


def warn_of_refused_hosts(app: App, service: Service) -> None:
    """Log the host names of clients that the site's `TRUSTED_HOSTS` refuses."""
    trusted = app.config.get("TRUSTED_HOSTS")
    if not trusted:
        return
    from werkzeug.sansio.utils import host_is_trusted

    labels = [family.label for family in service.at_start if family.label]
    names = (f"{at}.{name}" for name in service.some_domains() for at in labels)
    refused = [name for name in names if not host_is_trusted(name, trusted)]
    if refused:
        log.warning(
            "TRUSTED_HOSTS refuses the requests of mail clients to %s: add these names, "
            'or ".example.com" for a domain and all its subdomains',
            ", ".join(refused),
        )
