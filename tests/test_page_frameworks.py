"""The page in the layout of sites that use CSS frameworks, whose style sheets npm has."""

import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import seen
from browsing import browser, served
from playwright.sync_api import Browser
from seen import Case
from support import program, rows, site

from flask_autoconfig import create_app

pytestmark = pytest.mark.world
__all__ = ["browser"]  # a fixture


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
    with TemporaryDirectory() as folder:
        command = [program("npm"), "pack", "--silent", package]
        name = subprocess.check_output(command, cwd=folder, text=True).strip()
        with tarfile.open(Path(folder, name)) as archive:
            file = archive.extractfile(f"package/{sheet}")
            assert file
            return file.read().decode()


@pytest.fixture(scope="module")
def shapes(
    tmp_path_factory: pytest.TempPathFactory, browser: Browser
) -> dict[str, list[str]]:
    """The layout of the elements in the package's own layout, by state."""
    found: dict[str, list[str]] = {}
    file = seen.configuration(tmp_path_factory.mktemp("site"))
    with served(create_app(file)) as url:
        for state, case in STATES.items():
            with seen.shown(browser, f"{url}/mail/setup", case) as page:
                found[state] = page.evaluate(_SHAPES)
    return found


@rows("frameworks", "package, sheet, theme, is_dark", "tables.toml")
def test_the_page_is_legible_and_laid_out_as_its_own_in_a_site_with(
    package: str,
    sheet: str,
    theme: str,
    is_dark: bool,
    shapes: dict[str, list[str]],
    browser: Browser,
    tmp_path: Path,
) -> None:
    template = tmp_path / "templates/autoconfig/setup.html"
    template.parent.mkdir(parents=True)
    template.write_text(LAYOUT.format(theme=theme, sheet=sheet_of(package, sheet)))
    file = seen.configuration(tmp_path)
    with served(site(file)) as url:
        for state, case in STATES.items():
            with seen.shown(browser, f"{url}/mail/setup", case) as page:
                assert seen.complaints(page, case) == [], state
                assert page.evaluate(_SHAPES) == shapes[state], state
                red, *_ = page.evaluate(_BACKGROUND).removeprefix("rgb(").split(",")
                assert (int(red) < 128) == is_dark
