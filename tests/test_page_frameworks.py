"""The page in the layout of sites that use CSS frameworks, whose style sheets npm has."""

from __future__ import annotations

import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import seen
from browsing import browser, served
from flask import Flask
from playwright.sync_api import Browser
from seen import Case
from support import program

from flask_autoconfig import Autoconfig, create_app

pytestmark = pytest.mark.world
__all__ = ["browser"]  # a fixture


class Framework(NamedTuple):
    package: str  # of npm
    sheet: str
    theme: str = ""  # attributes of <html>
    is_dark: bool = False


_BOOTSTRAP, _DAISYUI = ("bootstrap@5.3.8", "dist/css/bootstrap.css"), "daisyui@5.0.50"
_BULMA, _PICO = (
    ("bulma@1.0.4", "css/bulma.css"),
    ("@picocss/pico@2.1.1", "css/pico.css"),
)
FRAMEWORKS = {
    "Bootstrap 3": Framework("bootstrap@3.4.1", "dist/css/bootstrap.css"),
    "Bootstrap 5": Framework(*_BOOTSTRAP),
    "Bootstrap 5, dark": Framework(*_BOOTSTRAP, 'data-bs-theme="dark"', True),
    "Foundation": Framework("foundation-sites@6.9.0", "dist/css/foundation.css"),
    "Bulma": Framework(*_BULMA),
    "Bulma, dark": Framework(*_BULMA, 'data-theme="dark"', True),
    "daisyUI": Framework(_DAISYUI, "daisyui.css", 'data-theme="light"'),
    "daisyUI, dark": Framework(_DAISYUI, "daisyui.css", 'data-theme="dark"', True),
    "Pico": Framework(*_PICO, 'data-theme="light"'),
    "Pico, dark": Framework(*_PICO, 'data-theme="dark"', True),
}
LAYOUT = """<!doctype html><html lang="en" {theme}><title>Our site</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{{% raw %}}{sheet}{{% endraw %}}</style>
<body><main class="container content">{{% include "autoconfig/content.html" %}}</main>"""
STATES = {
    "steps with servers": Case("outlook-new", "en", 1280, "light"),
    "a profile": Case("iphone", "en", 390, "light"),
    "a table": Case("other", "de", 390, "light"),
}
# How each element of the page is laid out, without the parts that one layout alone has.
_SHAPES = """() => [...document.querySelectorAll(".autoconfig h1, h1 ~ *, h1 ~ * *")]
  .filter(node => !node.closest("nav, script, svg"))
  .map(node => { const style = getComputedStyle(node);
    return [node.tagName, node.className, style.display, style.float, style.columnCount,
      style.listStyleType, style.position, style.textTransform, style.fontWeight,
      getComputedStyle(node, "::before").content, getComputedStyle(node, "::after").content
    ].join(" ") })"""
_BACKGROUND = """() => getComputedStyle(document.querySelector(".autoconfig"))
  .backgroundColor"""


@cache
def sheet_of(package: str, sheet: str) -> str:
    """Return a style sheet of a package of npm."""
    with TemporaryDirectory() as folder:
        command = [program("npm"), "pack", "--silent", package]
        name = subprocess.check_output(command, cwd=folder, text=True).strip()
        with tarfile.open(Path(folder, name)) as archive:
            file = archive.extractfile(f"package/{sheet}")
            assert file
            return file.read().decode()


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seen.configuration(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def shapes(configuration: Path, browser: Browser) -> dict[str, list[str]]:
    """The layout of the elements in the package's own layout, by state."""
    found: dict[str, list[str]] = {}
    with served(create_app(configuration)) as url:
        for state, case in STATES.items():
            with seen.shown(browser, f"{url}/mail/setup", case) as page:
                found[state] = page.evaluate(_SHAPES)
    return found


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_page_is_legible_and_laid_out_as_its_own_in_a_site_with(
    name: str,
    configuration: Path,
    shapes: dict[str, list[str]],
    browser: Browser,
    tmp_path: Path,
) -> None:
    framework = FRAMEWORKS[name]
    template = tmp_path / "templates/autoconfig/setup.html"
    template.parent.mkdir(parents=True)
    sheet = sheet_of(framework.package, framework.sheet)
    template.write_text(LAYOUT.format(theme=framework.theme, sheet=sheet))
    app = Flask("site", root_path=str(tmp_path))
    app.config["AUTOCONFIG_FILE"] = configuration
    app.register_blueprint(Autoconfig())
    with served(app) as url:
        for state, case in STATES.items():
            with seen.shown(browser, f"{url}/mail/setup", case) as page:
                assert seen.complaints(page, case) == [], state
                assert page.evaluate(_SHAPES) == shapes[state], state
                red, *_ = page.evaluate(_BACKGROUND).removeprefix("rgb(").split(",")
                assert (int(red) < 128) == framework.is_dark
