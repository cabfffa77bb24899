"""Inspect the whole page and take pictures of it: `python contrib/pictures/make.py`.

Visit every combination of program, language, width and appearance in Chromium, with and
without JavaScript, report faults, and take the pictures of this directory. With
`--pictures`, only take the pictures. Requires `pip install '.[test-all]'` and Chromium.
"""

from __future__ import annotations

import shutil
import sys
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from seen import (
    ADDRESS,
    AGENTS,
    LANGUAGES,
    LOOKS,
    PROGRAMS,
    WIDTHS,
    Case,
    complaints,
    configuration,
    shown,
)

from flask_autoconfig import create_app

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent / "tests"))

from browsing import served  # noqa: E402 (the path is that of the line before)

ANNA = f"emailaddress={ADDRESS}"
# The name of the picture, device, width, query and appearance.
PICTURES = (
    ("empty", "ios", 390, "", "light"),
    ("iphone", "ios", 390, f"{ANNA}&program=iphone", "light"),
    ("gmail", "android", 390, f"{ANNA}&program=gmail", "light"),
    ("unknown", "ios", 390, "emailaddress=anna@harmonie.example", "light"),
    ("outlook", "windows", 1000, f"{ANNA}&program=outlook-new", "light"),
    (
        *("thunderbird-mobile", "windows", 1000),
        *(f"{ANNA}&program=thunderbird-mobile&name=Anna", "dark"),
    ),
    ("thunderbird-de", "linux", 1000, f"{ANNA}&program=thunderbird&lang=de", "light"),
    ("print", "windows", 780, f"{ANNA}&program=outlook-new", "print"),
)


def take(browser: Browser, url: str) -> None:
    """Take the pictures."""
    for name, device, width, query, look in PICTURES:
        context = browser.new_context(
            viewport={"width": width, "height": 760},
            user_agent=AGENTS[device],
            color_scheme="dark" if look == "dark" else "light",
        )
        page = context.new_page()
        page.goto(f"{url}?{query}")
        if look == "print":
            page.emulate_media(media="print")
        shot = Image.open(BytesIO(page.screenshot(full_page=True)))
        shot.quantize(64).save(HERE / f"{name}.png", optimize=True)
        context.close()


def look_at_all(browser: Browser, url: str) -> int:
    """Print the faults of all states; return their number."""
    count = faults = 0
    for program in PROGRAMS:
        for values in product(LANGUAGES, WIDTHS, LOOKS, (True, False)):
            case = Case(program, *values)
            with shown(browser, url, case) as page:
                for complaint in complaints(page, case):
                    print(f"{case}: {complaint}")
                    faults += 1
            count += 1
        print(f"{program}: {count} pages so far, {faults} faults", flush=True)
    return faults


def main() -> int:
    """Serve the page, take the pictures, inspect the states."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        with served(create_app(configuration(Path(folder)))) as base:
            url = f"{base}/mail/setup"
            take(browser, url)
            faults = 0 if "--pictures" in sys.argv else look_at_all(browser, url)
        browser.close()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
