"""The page where no Flask site shows it: our own templates, by Jinja alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..lookup import Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment, Template
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "autoconfig/setup.html"
# What a site may have a template of its own for.
TO_OVERRIDE = (TEMPLATE, "autoconfig/base.html", "autoconfig/content.html")
_BODY = "autoconfig/parts/body.html"
_COLOURS = "autoconfig/colours.css"
_MACROS = "autoconfig/parts/macros.html"
VARIABLE = "autoconfig_page"


def language() -> str | None:
    """The visitor's browser decides."""
    return None


def catalogs() -> Path | None:
    """There are no others than ours."""
    return None


def takes(_error: Exception) -> bool:
    """There is no site."""
    return False


def show(page: object, policy: str) -> Shown:
    """The page in our template."""
    return Shown(_template(TEMPLATE).render({VARIABLE: page}), policy)


def body_of(page: object) -> str:
    """What the page says, as HTML without a layout."""
    return _template(_BODY).render({VARIABLE: page})


def style_of(colours: Mapping[str, str]) -> str:
    """The style sheet of a provider's colours, which goes after ours."""
    return _template(_COLOURS).render(colours)


def macro(name: str) -> Callable[..., Markup]:
    """A macro of parts/macros.html that needs nothing of a page."""
    found: Callable[..., Markup] = getattr(_template(_MACROS).module, name)
    return found


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    from .words import pieces

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pieces"] = pieces
    return environment


def _template(name: str) -> Template:
    return _environment().get_template(name)
