"""The page in a Flask site: its template, its language, its policy where it has them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from flask import current_app, render_template
from jinja2 import Template, UndefinedError
from werkzeug.exceptions import HTTPException

from ..snapshot import Shown
from .alone import ALONE, TEMPLATE, TEMPLATES, VARIABLE

log = logging.getLogger("flask_autoconfig")


class InSite:
    """A stage in the Flask site whose request this is."""

    def language(self) -> str | None:
        """What Flask-Babel says, where the site has it."""
        if "babel" not in current_app.extensions:
            return None
        from flask_babel import get_locale

        locale: Any = get_locale()
        return str(locale).replace("_", "-") if locale else None

    def catalogs(self) -> Path | None:
        """`AUTOCONFIG_LOCALE`, which counts from the app's folder."""
        folder = current_app.config.get("AUTOCONFIG_LOCALE")
        return Path(current_app.root_path) / folder if folder else None

    def takes(self, error: Exception) -> bool:
        """What a site's template wants to be an answer, and all while it is developed."""
        propagates = current_app.config.get("PROPAGATE_EXCEPTIONS")
        if propagates is None:
            propagates = current_app.testing or current_app.debug
        return bool(propagates) or isinstance(error, HTTPException)

    def show(self, page: object, policy: str) -> Shown:
        """The page in the site's own template, or in ours.

        The policy is for ours alone, since the site's style and pictures come from
        wherever it keeps them; `AUTOCONFIG_PAGE_CSP` says another for both.
        """
        template = current_app.jinja_env.get_template(TEMPLATE)
        said: str | None = current_app.config.get("AUTOCONFIG_PAGE_CSP")
        try:
            html = render_template(template, **{VARIABLE: page})
        except UndefinedError as error:
            if _is_ours(template):
                raise
            log.error(_OLD, TEMPLATE, error)
            return ALONE.show(page, policy if said is None else said)
        if said is None and _is_ours(template):
            said = policy
        return Shown(html, said)


_OLD = (
    "The site's own template %s cannot be used (%s), ours is. It may be one for version "
    '1.0: let it extend the site\'s layout and {%% include "autoconfig/content.html" %%}, '
    "whose values stand in autoconfig_page"
)


def _is_ours(template: Template) -> bool:
    return (
        template.filename is not None and TEMPLATES in Path(template.filename).parents
    )


IN_SITE = InSite()
