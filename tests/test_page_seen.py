"""The page as it is seen: pairs of programs, languages, widths and appearances.

`contrib/pictures/make.py` looks at all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import catalogs
import pytest
import seen
from allpairspy import AllPairs
from browsing import browser
from page_server import served
from playwright.sync_api import Browser
from seen import LANGUAGES, LOOKS, PROGRAMS, WIDTHS, Case
from support import fetch, serving

from flask_autoconfig import create_app
from flask_autoconfig.page import languages, words

pytestmark = pytest.mark.world
__all__ = ["browser"]  # a fixture

PAIRS = [
    Case(*it) for it in AllPairs([PROGRAMS, LANGUAGES, WIDTHS, LOOKS, (True, False)])
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = seen.configuration(tmp_path_factory.mktemp("seen"), seen.LONG_NAME)
    with serving(file) as url:
        yield f"{url}/mail/setup"


@pytest.mark.parametrize("case", PAIRS, ids=lambda it: "-".join(map(str, it)))
def test_nothing_is_wrong_with_what_is_seen(
    browser: Browser, url: str, case: Case
) -> None:
    with seen.shown(browser, url, case) as page:
        assert page.get_attribute("html", "lang") == case.language
        assert page.locator(".steps h3").count() > 0
        assert seen.complaints(page, case) == []


def test_every_pair_is_looked_at() -> None:
    for first, values in enumerate((PROGRAMS, LANGUAGES, WIDTHS, LOOKS)):
        for second in range(first):
            pairs = {(case[second], case[first]) for case in PAIRS}
            others = (PROGRAMS, LANGUAGES, WIDTHS, LOOKS)[second]
            assert pairs == {(one, it) for one in others for it in values}


@pytest.mark.parametrize(
    "query", ["", "emailaddress=nobody", f"emailaddress={seen.ADDRESS}"]
)
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_wrong_before_a_program_is_chosen(
    browser: Browser, url: str, query: str, width: int
) -> None:
    for look in ("light", "dark"):
        case = Case("", "en", width, look)
        with seen.shown(browser, url, case, "windows") as page:
            page.goto(f"{url}?{query}")
            assert seen.complaints(page, case) == []


def test_a_page_is_small(url: str) -> None:
    for program in PROGRAMS:
        for language in LANGUAGES:
            case = Case(program, language, 390, "light")
            reply = fetch(f"{url}?{case.query}", User_Agent=seen.AGENTS["android"])
            assert len(reply.body) < 30_000


# --- From right to left ----------------------------------------------------------------


@pytest.fixture
def mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A language that is written from right to left, of words that nobody wrote."""
    folder = tmp_path / "locale"
    shutil.copytree(catalogs.LOCALE, folder)
    catalogs.main(["ar"], folder)
    file = folder / "ar/LC_MESSAGES/autoconfig.po"
    catalog = catalogs.read(file)
    for message in catalog:
        if message.id:
            message.string = f"\u202e{message.id}\u202c"
    file.with_suffix(".mo").write_bytes(catalogs.compiled(catalog))
    monkeypatch.setattr(languages, "LOCALE", folder)
    languages.languages.cache_clear()
    languages.translations.cache_clear()
    yield folder
    languages.languages.cache_clear()
    languages.translations.cache_clear()


def test_a_language_may_go_from_right_to_left(
    browser: Browser, mirrored: Path, tmp_path: Path
) -> None:
    with served(create_app(seen.configuration(tmp_path))) as base:
        case = Case("gmail", "ar", 390, "light")
        with seen.shown(browser, f"{base}/mail/setup", case) as page:
            assert page.get_attribute("html", "dir") == "rtl"
            assert seen.complaints(page, case) == []
            value = page.locator("dd .value").first
            assert value.evaluate("it => getComputedStyle(it).direction") == "ltr"
            button = page.locator("dd .copy").first
            boxes = value.bounding_box(), button.bounding_box()
            assert boxes[0]
            assert boxes[1]
            assert boxes[1]["x"] < boxes[0]["x"]  # the button is at the line's end
            dot, heading = page.locator(".dot").first, page.locator(".steps h3").first
            first, then = dot.bounding_box(), heading.bounding_box()
            assert first
            assert then
            assert first["x"] + first["width"] >= then["x"] + then["width"] - 1


def test_the_languages_written_from_right_to_left_are_known() -> None:
    for language, direction in (("ar", "rtl"), ("he-IL", "rtl"), ("de", "ltr")):
        assert words.Words(language, str).direction == direction
