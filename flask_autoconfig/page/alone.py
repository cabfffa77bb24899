"""The page where no Flask site shows it: our own templates, by Jinja alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..snapshot import Shown

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "autoconfig/setup.html"
VARIABLE = "autoconfig_page"


class Alone:
    """A stage of our own."""

    def language(self) -> str | None:
        """The visitor's browser decides."""
        return None

    def catalogs(self) -> Path | None:
        """There are no others than ours."""
        return None

    def takes(self, _error: Exception) -> bool:
        """There is no site."""
        return False

    def show(self, page: object, policy: str) -> Shown:
        """The page in our template."""
        return Shown(_template().render({VARIABLE: page}), policy)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return environment.get_template(TEMPLATE)


ALONE = Alone()
