"""The page in a Flask site: its template, its language, its policy where it has them."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

from flask import current_app, render_template
from jinja2 import Environment, TemplateNotFound, UndefinedError
from werkzeug.exceptions import HTTPException

from ..lookup import Shown
from . import alone
from .alone import TEMPLATE, TEMPLATES, TO_OVERRIDE, VARIABLE

log = logging.getLogger("flask_autoconfig")


def language() -> str | None:
    """What Flask-Babel says, where the site has it."""
    if "babel" not in current_app.extensions:
        return None
    from flask_babel import get_locale

    locale: Any = get_locale()
    return str(locale).replace("_", "-") if locale else None


def catalogs() -> Path | None:
    """`AUTOCONFIG_LOCALE`, which counts from the app's folder."""
    folder = current_app.config.get("AUTOCONFIG_LOCALE")
    return Path(current_app.root_path) / folder if folder else None


def takes(error: Exception) -> bool:
    """What a site's template wants to be an answer, and all while it is developed."""
    propagates = current_app.config.get("PROPAGATE_EXCEPTIONS")
    if propagates is None:
        propagates = current_app.testing or current_app.debug
    return bool(propagates) or isinstance(error, HTTPException)


def show(page: Any, policy: str) -> Shown:
    """The page in the site's own template, or in ours.

    The policy is for ours alone, since the site's style and pictures come from
    wherever it keeps them; `AUTOCONFIG_PAGE_CSP` says another for both.
    """
    said: str | None = current_app.config.get("AUTOCONFIG_PAGE_CSP")
    ours = policy if said is None else said
    page = page._replace(nonce=_nonce())
    if not _has_templates():
        return alone.show(page, ours)
    in_site = {VARIABLE: page._replace(is_in_site=True)}
    try:
        return Shown(render_template(TEMPLATE, **in_site), said)
    except UndefinedError as error:
        if takes(error):
            raise
        log.error(_OLD, TEMPLATE, _line_of(error))
        return alone.show(page, ours)


_OLD = (
    "The site's own template %s cannot be used (%s), ours is. It may be one for version "
    '1.0: let it extend the site\'s layout and {%% include "autoconfig/content.html" %%}, '
    "whose values stand in autoconfig_page"
)


def _line_of(error: UndefinedError) -> str:
    """Return the template's line that raised; the message may hold an address."""
    frames = extract_tb(error.__traceback__)
    # Jinja puts the template's own name and lines in the traceback.
    own = [frame for frame in frames if not frame.filename.endswith(".py")]
    return f"undefined in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def _has_templates() -> bool:
    """Whether the site has one of the page's templates: then all go by its own Jinja.

    As with Jinja's own cache, a later template counts only where templates are reloaded.
    """
    environment = current_app.jinja_env
    return (_look if environment.auto_reload else _look_once)(environment)


def _look(environment: Environment) -> bool:
    return any(
        TEMPLATES not in Path(found).parents
        for name in TO_OVERRIDE
        if (found := _file_of(environment, name)) is not None
    )


_look_once = lru_cache(maxsize=16)(_look)  # for each app of a process


def _file_of(environment: Environment, name: str) -> str | None:
    """Return the file of a site's template, "" for one that is in no file."""
    if environment.loader is None:
        return None
    try:
        return environment.loader.get_source(environment, name)[1] or ""
    except TemplateNotFound:  # the site has a loader of its own, without ours
        return None


def _nonce() -> str:
    """That of the site's policy (Talisman's `csp_nonce`), "" without one."""
    context: dict[str, Any] = {}
    current_app.update_template_context(context)
    found = context.get("csp_nonce", current_app.jinja_env.globals.get("csp_nonce"))
    nonce = found() if callable(found) else found
    return nonce if isinstance(nonce, str) else ""
