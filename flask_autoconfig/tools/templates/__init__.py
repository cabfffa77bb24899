"""Texts for other programs that commands write, as Jinja templates."""

import json
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template


@cache
def template(name: str) -> Template:
    environment = Environment(  # noqa: S701 (no HTML)
        loader=FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = partial(json.dumps, ensure_ascii=False)
    return environment.get_template(name)
