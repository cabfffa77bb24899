"""Renders the page in a Flask site, with the site's template, language and policy."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from flask import current_app, render_template
from jinja2 import Environment, TemplateNotFound
from werkzeug.exceptions import HTTPException

from ..hooks.calling import describe
from ..reload import log
from . import alone
from .alone import TEMPLATE, TEMPLATES, TO_OVERRIDE, VARIABLE


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


def handles(error: Exception) -> bool:
    """Whether the site handles an error: an `abort()`, or any error while debugging."""
    propagates = current_app.config.get("PROPAGATE_EXCEPTIONS")
    if propagates is None:
        propagates = current_app.testing or current_app.debug
    return bool(propagates) or isinstance(error, HTTPException)


def render_page(page: Any, policy: str) -> tuple[str, str]:
    """Render the page in the site's or the package's template; return HTML and policy.

    *policy* is for the package's template only: a site may load its style and pictures
    from anywhere, and sets a policy itself. `AUTOCONFIG_PAGE_CSP` replaces it for both.
    """
    configured = current_app.config.get("AUTOCONFIG_PAGE_CSP")
    site_policy = configured and " ".join(str(configured).split())  # one line
    own_policy = policy if site_policy is None else site_policy
    page.nonce = _nonce()
    page.is_in_site = _has_templates(current_app.jinja_env)
    if not page.is_in_site:
        return alone.render_page(page, own_policy)
    try:
        return render_template(TEMPLATE, **{VARIABLE: page}), site_policy or ""
    except Exception as error:
        if handles(error):
            raise
        log.error(_FAILED_TEMPLATE, TEMPLATE, describe(error, in_full=False))
        page.is_in_site = False
        return alone.render_page(page, own_policy)


_FAILED_TEMPLATE = (
    "The site's template %s failed (%s), so the package's template is used. "
    "If it was written for version 1.0, let it extend the site's layout and "
    '{%% include "autoconfig/content.html" %%}; the values are in autoconfig_page'
)


def _has_templates(environment: Environment) -> bool:
    """Whether the site overrides a template. If so, its own Jinja renders the layout."""
    if environment.loader is None:
        return False
    for name in TO_OVERRIDE:
        try:
            file = environment.loader.get_source(environment, name)[1] or ""
        except TemplateNotFound:  # the site's own loader does not include the package's
            continue
        if TEMPLATES not in Path(file).parents:
            return True
    return False


def _nonce() -> str:
    """Return the nonce of the site's policy (Talisman's `csp_nonce`), or ""."""
    context: dict[str, Any] = {}
    with suppress(Exception):  # from the site's functions; the page works without them
        current_app.update_template_context(context)
    nonce = context.get("csp_nonce", current_app.jinja_env.globals.get("csp_nonce"))
    nonce = nonce() if callable(nonce) else nonce
    return nonce if isinstance(nonce, str) else ""
