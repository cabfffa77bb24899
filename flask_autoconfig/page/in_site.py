"""Renders the page in a Flask site, with the site's template, language and policy."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

from flask import current_app, render_template
from jinja2 import Environment, TemplateNotFound, UndefinedError
from werkzeug.exceptions import HTTPException

from . import alone
from .alone import TEMPLATE, TEMPLATES, TO_OVERRIDE, VARIABLE, Shown

log = logging.getLogger("flask_autoconfig")


def language() -> str | None:
    """Return the tag of Flask-Babel's locale, or None without Flask-Babel."""
    if "babel" not in current_app.extensions:
        return None
    from flask_babel import get_locale

    locale: Any = get_locale()
    return str(locale).replace("_", "-") if locale else None


def catalogs() -> Path | None:
    """Return the folder `AUTOCONFIG_LOCALE`, which is relative to the app's root path."""
    folder = current_app.config.get("AUTOCONFIG_LOCALE")
    return Path(current_app.root_path) / folder if folder else None


def takes(error: Exception) -> bool:
    """Return whether the site handles an error: an `abort()`, or any while debugging."""
    propagates = current_app.config.get("PROPAGATE_EXCEPTIONS")
    if propagates is None:
        propagates = current_app.testing or current_app.debug
    return bool(propagates) or isinstance(error, HTTPException)


def show(page: Any, policy: str) -> Shown:
    """Render the page in the site's template, or in the package's.

    *policy* applies to the package's template only, since a site may load its style and
    pictures from anywhere. `AUTOCONFIG_PAGE_CSP` replaces it for both.
    """
    site_policy: str | None = current_app.config.get("AUTOCONFIG_PAGE_CSP")
    own_policy = policy if site_policy is None else site_policy
    page = page._replace(nonce=_nonce())
    if not _has_templates():
        return alone.show(page, own_policy)
    in_site = {VARIABLE: page._replace(is_in_site=True)}
    try:
        return Shown(render_template(TEMPLATE, **in_site), site_policy)
    except UndefinedError as error:
        if takes(error):
            raise
        log.error(_OUTDATED_TEMPLATE, TEMPLATE, _line_of(error))
        return alone.show(page, own_policy)


_OUTDATED_TEMPLATE = (
    "The site's template %s failed (%s), so the package's template is used. If it was "
    "written for version 1.0, let it extend the site's layout and "
    '{%% include "autoconfig/content.html" %%}; the values are in autoconfig_page'
)


def _line_of(error: UndefinedError) -> str:
    """Name the template's line that raised; the message may contain an address."""
    # Jinja puts the template's name and lines into the traceback.
    frames = extract_tb(error.__traceback__)
    lines = [frame for frame in frames if not frame.filename.endswith(".py")]
    return (
        f"undefined in {lines[-1].filename}, line {lines[-1].lineno}" if lines else ""
    )


def _has_templates() -> bool:
    """Return whether the site overrides a template; then its Jinja renders them all.

    As with Jinja's own cache, templates added later count only if they are reloaded.
    """
    environment = current_app.jinja_env
    return (_look if environment.auto_reload else _look_once)(environment)


def _look(environment: Environment) -> bool:
    return any(_overrides(environment, name) for name in TO_OVERRIDE)


_look_once = lru_cache(maxsize=16)(_look)  # one entry for each app of the process


def _overrides(environment: Environment, name: str) -> bool:
    if environment.loader is None:
        return False
    try:
        file = environment.loader.get_source(environment, name)[1] or ""
    except TemplateNotFound:  # the site's own loader does not include the package's
        return False
    return TEMPLATES not in Path(file).parents


def _nonce() -> str:
    """Return the nonce of the site's policy (Talisman's `csp_nonce`), or ""."""
    context: dict[str, Any] = {}
    current_app.update_template_context(context)
    found = context.get("csp_nonce", current_app.jinja_env.globals.get("csp_nonce"))
    nonce = found() if callable(found) else found
    return nonce if isinstance(nonce, str) else ""
