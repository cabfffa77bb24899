"""Renders the page without a Flask site, by the package's templates and Jinja alone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "autoconfig/setup.html"
# The templates that a site may override.
TO_OVERRIDE = (TEMPLATE, "autoconfig/base.html", "autoconfig/content.html")
VARIABLE = "autoconfig_page"
_BREAK_AFTER = re.compile(r"(?<=[/.@])(?=.)")


def _none(*_: object) -> None:
    """Return None: no site chooses the language, has catalogs or handles errors."""


language = catalogs = handles = _none


def render_page(page: object, policy: str) -> tuple[str, str]:
    """Render the page in the package's layout; return its HTML and the policy."""
    return render(TEMPLATE, **{VARIABLE: page}), policy


def render(name: str, **values: object) -> str:
    return environment().get_template(name).render(values)


def macro(name: str) -> Callable[..., Markup]:
    """Return a macro of parts/macros.html that does not use the page's variables."""
    template = environment().get_template("autoconfig/parts/macros.html")
    function: Callable[..., Markup] = getattr(template.module, name)
    return function


@cache
def environment() -> Environment:
    """Return the environment, with the templates as they are at the first call.

    An upgrade may replace the files before a page is rendered.
    """
    from jinja2 import DictLoader, Environment

    files = {str(file.relative_to(TEMPLATES)): file for file in TEMPLATES.rglob("*.*")}
    texts = {name: file.read_text("utf-8") for name, file in files.items()}
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Splits a long value at the places where a line may break.
    environment.filters["pieces"] = lambda value: _BREAK_AFTER.split(str(value))
    return environment
