"""The page as displayed, for all pairs of programs, languages, widths and appearances.

`contrib/pictures/make.py` looks at every combination.
"""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import catalogs
import pytest
import seen
from allpairspy import AllPairs
from browsing import browser, served
from playwright.sync_api import Browser, FloatRect, Locator
from seen import LANGUAGES, LOOKS, PROGRAMS, WIDTHS, Case
from services import fetch, serving
from support import Patch, program, rows, site
from test_languages import forget_catalogs

from flask_autoconfig import create_app
from flask_autoconfig.page import look, words

pytestmark = pytest.mark.world
__all__ = ["browser"]  # a fixture

PAIRS = [
    Case(*row) for row in AllPairs([PROGRAMS, LANGUAGES, WIDTHS, LOOKS, (True, False)])
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = seen.configuration(tmp_path_factory.mktemp("seen"), seen.LONG_NAME)
    with serving(file) as url:
        yield f"{url}/mail/setup"


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: "-".join(map(str, case)))
def test_a_state_has_no_faults(browser: Browser, url: str, case: Case) -> None:
    with seen.shown(browser, url, case) as page:
        assert page.get_attribute("html", "lang") == case.language
        assert page.locator(".autoconfig-steps h3").count() > 0
        assert seen.complaints(page, case) == []


@pytest.mark.parametrize(
    "query", ["", "emailaddress=nobody", f"emailaddress={seen.ADDRESS}"]
)
@pytest.mark.parametrize("width", [320, 1280])
def test_a_page_without_steps_is_displayed_without_faults(
    browser: Browser, url: str, query: str, width: int
) -> None:
    for appearance in ("light", "dark"):
        case = Case("", "en", width, appearance)
        with seen.shown(browser, url, case, "windows") as page:
            page.goto(f"{url}?{query}")
            assert seen.complaints(page, case) == []


# Words of the tiles that are in more than one line.
_BROKEN_WORDS = """() => [...document.querySelectorAll(".autoconfig-tile span")]
  .flatMap(tile => [...tile.childNodes].map(node => node.firstChild ?? node))
  .flatMap(text => [...text.data.matchAll(/[^\\s-]+/g)].filter(word => {
    const range = document.createRange();
    range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
    return range.getClientRects().length > 1 }).map(String))"""


# Short values in a sentence that are in more than one line.
_BROKEN_VALUES = """() => [...document.querySelectorAll("p .autoconfig-value")]
  .filter(value => value.innerText.length <= 20 &&
    new Set([...value.getClientRects()].map(box => box.top)).size > 1)
  .map(value => value.innerText)"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_short_values_stay_unbroken(browser: Browser, url: str, language: str) -> None:
    with seen.shown(browser, url, Case("gmail", language, 390, "light")) as page:
        assert page.locator("p .autoconfig-short").count() > 3
        for width in range(320, 480, 8):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(_BROKEN_VALUES) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_tiles_break_between_words(browser: Browser, url: str, language: str) -> None:
    for width, size in ((195, "100%"), (390, "200%")):
        case = Case("gmail", language, width, "light")
        with seen.shown(browser, url, case) as page:
            page.add_style_tag(content=f"html {{ font-size: {size} }}")
            assert page.evaluate(_BROKEN_WORDS) == []


@pytest.mark.parametrize(
    ("size", "width"), {"400 60": 192, "40 40": 38, "60 90": 27}.items()
)
def test_the_logo_is_as_wide_as_its_picture(
    browser: Browser, tmp_path: Path, size: str, width: int
) -> None:
    file = seen.configuration(tmp_path)
    logo = seen.LOGO.replace('viewBox="0 0 40 40"', f'viewBox="0 0 {size}"')
    (tmp_path / "logo.svg").write_text(logo)
    case = Case("gmail", "en", 390, "light")
    with (
        served(create_app(file)) as base,
        seen.shown(browser, f"{base}/mail/setup", case) as page,
    ):
        shown = box(page.locator("header img"))
        assert (round(shown["width"]), round(shown["height"])) == (width, 38)
        assert seen.complaints(page, case) == []


@pytest.mark.parametrize("colour", ["#f4f4f4", "#0b0b0b"])
def test_a_button_and_a_number_have_an_edge_in_every_colour(
    browser: Browser, tmp_path: Path, colour: str
) -> None:
    file = seen.configuration(tmp_path)
    file.write_text(file.read_text().replace("#7a1f3d", colour))
    edge = """node => [getComputedStyle(node).borderTopColor,
      getComputedStyle(node.closest(".autoconfig-card")).backgroundColor]
      .map(text => "#" + text.match(/\\d+/g).slice(0, 3).map(
        part => (+part).toString(16).padStart(2, "0")).join(""))"""
    with served(create_app(file)) as base:
        for appearance in LOOKS[:2]:
            case = Case("iphone", "en", 390, appearance)
            with seen.shown(browser, f"{base}/mail/setup", case) as page:
                for part in ("button[type=submit]", ".autoconfig-dot"):
                    line, card = page.locator(part).first.evaluate(edge)
                    assert look.contrast(line, card) >= 3


def test_a_page_is_small(url: str) -> None:
    for name in PROGRAMS:
        for language in LANGUAGES:
            case = Case(name, language, 390, "light")
            response = fetch(f"{url}?{case.query}", User_Agent=seen.AGENTS["android"])
            assert len(response.body) < 20_000


# --- From right to left ----------------------------------------------------------------


@pytest.fixture
def _arabic(tmp_path: Path, monkeypatch: Patch) -> Iterator[None]:
    """A catalog for Arabic, whose texts are the English ones from right to left."""
    folder = tmp_path / "locale"
    shutil.copytree(catalogs.LOCALE, folder)
    catalogs.main(["ar"], folder)
    file = folder / "ar/LC_MESSAGES/autoconfig.po"
    catalog = catalogs.read(file)
    for message in catalog:
        if message.id:
            message.string = f"\u202e{message.id}\u202c"
    file.with_suffix(".mo").write_bytes(catalogs.compiled(catalog))
    monkeypatch.setattr(words, "LOCALE", folder)
    forget_catalogs()
    yield
    forget_catalogs()


def box(element: Locator) -> FloatRect:
    found = element.bounding_box()
    assert found
    return found


@pytest.mark.usefixtures("_arabic")
def test_a_right_to_left_page_is_mirrored(browser: Browser, tmp_path: Path) -> None:
    case = Case("gmail", "ar", 390, "light")
    with (
        served(create_app(seen.configuration(tmp_path))) as base,
        seen.shown(browser, f"{base}/mail/setup", case) as page,
    ):
        assert page.get_attribute("html", "dir") == "rtl"
        assert seen.complaints(page, case) == []
        value = page.locator("dd .autoconfig-value").first
        assert value.evaluate("value => getComputedStyle(value).direction") == "ltr"
        button = page.locator("dd [data-copied]").first
        assert box(button)["x"] < box(value)["x"]  # the button is at the line's end
        dot = page.locator(".autoconfig-dot").first
        heading = page.locator(".autoconfig-steps h3").first
        end = box(dot)["x"] + box(dot)["width"]
        assert end >= box(heading)["x"] + box(heading)["width"] - 1


# --- In sites that use CSS frameworks, whose style sheets npm has ----------------------

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
