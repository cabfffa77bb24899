"""The page where no Flask site shows it: our own templates, by Jinja alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..lookup import Shown

if TYPE_CHECKING:
    from jinja2 import Environment, Template

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "autoconfig/setup.html"
# What a site may have a template of its own for.
TO_OVERRIDE = (TEMPLATE, "autoconfig/base.html", "autoconfig/content.html")
BODY = "autoconfig/parts/body.html"
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
    return _template(BODY).render({VARIABLE: page})


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, auto_reload=False)


def _template(name: str) -> Template:
    return _environment().get_template(name)
