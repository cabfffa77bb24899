"""The page in Chromium: what a person sees, does, types and prints."""

import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import seen
import zxingcpp
from browsing import Open, browser, served, url, visit
from PIL import Image, ImageChops
from playwright.sync_api import Page, PdfMargins
from seen import ADDRESS, LANGUAGES, PROGRAMS
from support import program

from flask_autoconfig import create_app

pytestmark = pytest.mark.world
__all__ = ["browser", "url", "visit"]  # fixtures
ANNA = f"?emailaddress={ADDRESS}"


def steps(page: Page) -> list[str]:
    return page.locator(".autoconfig-steps [id^=step-]").all_inner_texts()


def tiles(page: Page, within: str = "h2 + ul.autoconfig-tiles") -> list[str]:
    """Return the programs shown at once, or those within another element."""
    texts = page.locator(f"{within} .autoconfig-tile").all_inner_texts()
    return [text.partition("\n")[0] for text in texts]


# --- From the address to the steps -----------------------------------------------------


def test_an_iphone_gets_to_the_profile(visit: Open, url: str, tmp_path: Path) -> None:
    page = visit(url, "ios", width=390)
    page.get_by_label("Your e-mail address").fill(ADDRESS)
    page.get_by_role("button", name="Show me how").click()
    page.wait_for_url("**emailaddress=**")
    assert tiles(page) == ["iPhone or iPad", "Gmail", "Outlook"]
    assert steps(page) == [
        "Your name, as others see it",
        "Get the profile",
        "Open Settings within eight minutes",
        "Tap Install",
        "Type your e-mail password",
        "Send yourself a test message",
    ]
    text = page.locator(".autoconfig-steps").inner_text()
    assert "for mail, calendar and contacts" in text
    page.get_by_role("textbox", name="Your name, as others see it").fill("Anna Muster")
    with (
        page.expect_request("**/mail/mobileconfig**") as info,
        page.expect_download() as download,
    ):
        page.get_by_role("button", name="Set up this device").click()
    assert f"emailaddress={quote(ADDRESS)}&lang=en&name=Anna+Muster" in info.value.url
    download.value.save_as(tmp_path / "profile")
    assert ADDRESS.encode() in (tmp_path / "profile").read_bytes()


def test_the_page_works_with_a_keyboard(visit: Open, url: str) -> None:
    page = visit(url, "windows")

    def tab_to(text: str) -> None:
        for _ in range(15):
            page.keyboard.press("Tab")
            if text in page.evaluate("document.activeElement.outerHTML"):
                return

    tab_to("<input")
    page.keyboard.type(ADDRESS)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="1. Your program").wait_for()
    tab_to("Outlook (classic)")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="2. In Outlook (classic)").wait_for()


def test_the_page_works_without_javascript(visit: Open, url: str) -> None:
    page = visit(url, "android", java_script_enabled=False)
    page.get_by_label("Your e-mail address").fill(ADDRESS)
    page.get_by_role("button", name="Show me how").click()
    page.wait_for_url("**emailaddress=**")
    page.get_by_role("link", name="Gmail").click()
    page.wait_for_url("**program=gmail**")
    assert steps(page)[0] == "Open Gmail and add an account"
    assert page.get_by_role("button", name="Copy").count() == 0
    assert page.get_by_role("button", name="Print").count() == 0


def test_an_ipad_that_poses_as_a_mac_gets_the_profile(visit: Open, url: str) -> None:
    touch = "Object.defineProperty(navigator, 'maxTouchPoints', { get: () => 5 })"
    page = visit(url, "mac")
    page.add_init_script(touch)
    for query in (ANNA, f"{ANNA}&program=iphone"):  # as typed, and as a helper's link
        page.goto(url + query)
        page.wait_for_url("**device=ios")
        page.get_by_role("heading", name="2. On your iPhone or iPad").wait_for()
        assert page.locator("li img.autoconfig-qr").count() == 0
        with page.expect_download() as download:
            page.get_by_role("button", name="Set up this device").click()
        assert download.value.suggested_filename.endswith(".mobileconfig")
    page.get_by_text("Another device or program").click()
    page.get_by_role("link", name="Mac (Mail)").click()  # a choice is respected
    page.get_by_role("heading", name="2. On your Mac").wait_for()


# --- Content ---------------------------------------------------------------------------


def test_a_value_beside_its_label_can_be_copied_twice(visit: Open, url: str) -> None:
    page = visit(
        f"{url}{ANNA}&program=gmail",
        "android",
        permissions=["clipboard-read", "clipboard-write"],
    )
    field = page.locator("dl > div").filter(has_text="SMTP server")
    assert field.locator(".autoconfig-value").inner_text() == "smtp.harmony.example"
    button = field.get_by_role("button", name="Copy SMTP server: smtp.harmony.example")
    boxes = """[...document.querySelectorAll("dl, dl *:not([role=status])")].map(
        node => JSON.stringify(node.getBoundingClientRect()))"""
    button.scroll_into_view_if_needed()
    before = page.evaluate(boxes)
    for _ in range(2):
        page.evaluate("navigator.clipboard.writeText('')")
        button.click()
        field.get_by_role("status").get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "smtp.harmony.example"
        assert button.inner_text() == "Copied"
        assert page.evaluate(boxes) == before


def test_screen_readers_get_program_number_and_language(visit: Open, url: str) -> None:
    page = visit(f"{url}{ANNA}&program=iphone&lang=fr", "ios")
    assert page.title() == f"iPhone ou iPad – Configurer votre messagerie – {seen.NAME}"
    shown = page.get_by_role("list").filter(has=page.get_by_role("heading"))
    for number, title in enumerate(("Votre nom", "Téléchargez le profil"), 1):
        heading = shown.get_by_role("heading", name=f"{number} {title}")
        assert heading.is_visible()
    for english in ("It takes five minutes.", "Our own pages about e-mail"):
        assert page.get_by_text(english).get_attribute("lang") == "en"
    page.get_by_role("link", name="Deutsch").click()
    text = page.get_by_text("Es dauert fünf Minuten.")
    assert text.evaluate("text => text.closest('[lang]').lang") == "de"
    assert text.get_attribute("lang") is None


def test_a_mistyped_domain_is_an_error_with_a_suggestion(visit: Open, url: str) -> None:
    page = visit(f"{url}?emailaddress=anna@harmonie.example&program=iphone", "ios")
    assert page.title().startswith("Error: “harmonie.example” is not one of our")
    alert = page.get_by_role("alert")
    assert "Did you mean anna@harmony.example?" in alert.inner_text()
    assert alert.evaluate("alert => alert === document.activeElement")
    field = page.get_by_label("Your e-mail address")
    assert field.input_value() == "anna@harmonie.example"
    assert field.get_attribute("aria-describedby") == alert.get_attribute("id")
    page.get_by_role("link", name="anna@harmony.example").click()
    page.get_by_role("heading", name="2. On your iPhone or iPad").wait_for()


def test_a_printed_sheet_has_a_line_for_the_password(visit: Open, url: str) -> None:
    for name in ("outlook-new", "gmail", "iphone", "other"):
        page = visit(f"{url}{ANNA}&program={name}")
        page.emulate_media(media="print")
        assert page.get_by_text("Password (only on paper").is_visible()
        assert not page.get_by_role("link", name="Evolution").is_visible()
        assert not page.get_by_role("button", name="Copy").first.is_visible()


def test_the_header_has_the_providers_colour_and_logo(visit: Open, url: str) -> None:
    page = visit(url)
    head = page.locator("header")
    colour = "getComputedStyle(document.querySelector('header')).backgroundColor"
    assert page.evaluate(colour) == "rgb(122, 31, 61)"
    # The link's text has the name.
    assert head.get_by_role("link", name=seen.NAME, exact=True).is_visible()


# --- QR codes --------------------------------------------------------------------------


def test_the_qr_code_of_the_steps_unfolds_in_the_page(visit: Open, url: str) -> None:
    page = visit(f"{url}{ANNA}&program=thunderbird")
    page.get_by_text("These steps as a QR code").click()
    code = page.get_by_role("img", name="QR code of this page’s address")
    code.scroll_into_view_if_needed()
    page.wait_for_function(
        "code => code.complete && code.naturalWidth > 0", arg=code.element_handle()
    )
    assert page.url == f"{url}{ANNA}&program=thunderbird"


# The longest address whose URL fits the 213 bytes of a code of version 10.
LONGEST = "f" * 64 + "@" + "d" * 46 + ".harmony.example"


@pytest.mark.parametrize("address", [ADDRESS, "füße+1@harmony.example", LONGEST])
def test_a_qr_code_can_be_read(visit: Open, tmp_path: Path, address: str) -> None:
    file = seen.configuration(tmp_path)
    domains = '["harmony.example", "*.harmony.example"]'
    file.write_text(file.read_text().replace('["harmony.example"]', domains))
    with served(create_app(file)) as base:
        target = f"{base}/mail/setup?emailaddress={quote(address)}&program=iphone"
        shown = visit(target, "windows").locator("li img.autoconfig-qr").screenshot()
    (code,) = zxingcpp.read_barcodes(Image.open(BytesIO(shown)))
    assert unquote(code.text) == unquote(target)


# --- On paper, as Chromium prints it and poppler and zxing read it ---------------------

MARGIN: PdfMargins = {"top": "15mm", "right": 57, "bottom": "15mm", "left": 57}
RED = (
    ".autoconfig .autoconfig-dot { background: #f00; color: #f00; border-color: #f00 }"
)
HEADINGS = """[...document.querySelectorAll("h1, h2, h3, h4")].map(
    node => node.innerText.trim().replace("\\n", " "))"""


def sheets(file: Path) -> Iterator[tuple[list[str], Image.Image]]:
    """Yield the lines and the picture of each sheet of a PDF."""
    text = subprocess.check_output([program("pdftotext"), "-layout", file, "-"])
    subprocess.check_call([program("pdftoppm"), "-r", "100", "-png", file, file])
    for sheet, picture in zip(
        text.decode().split("\f"), sorted(file.parent.glob("*.png")), strict=False
    ):
        yield (
            [line.strip() for line in sheet.splitlines() if line.strip()],
            (Image.open(picture)),
        )


def heights(picture: Image.Image) -> list[int]:
    """Return the heights of the red circles, from the top."""
    red, green, _ = picture.convert("RGB").split()
    mask = ImageChops.subtract(red, green).point(lambda value: 255 * (value > 100))
    left, _, right, _ = mask.getbbox() or (0, 0, 1, 0)
    column = mask.crop((left, 0, right, mask.height)).resize(
        (1, mask.height), Image.Resampling.BOX
    )
    rows = "".join(" X"[value > 0] for value in column.tobytes())
    return [len(row) for row in rows.split()]


@pytest.mark.parametrize(("name", "device"), [
    *((name, "windows") for name in PROGRAMS), ("iphone", "ios"), ("", "unknown"),
])  # fmt: skip
def test_every_sheet_leads_back_to_the_page_and_nothing_is_cut(
    visit: Open, url: str, tmp_path: Path, name: str, device: str
) -> None:
    page = visit(url, device, bypass_csp=True)
    for language in LANGUAGES[len(name) % 2 :: 2]:
        target = f"{url}?emailaddress={ADDRESS}"
        target += f"&program={name}" * bool(name) + f"&lang={language}"
        page.emulate_media(media="null")
        page.goto(target)
        page.add_style_tag(content=RED)
        steps = page.locator(".autoconfig-dot").count()
        file = tmp_path / language / "paper.pdf"
        # Printing fetches the code of the foot, as it does for a person.
        page.pdf(path=file, format="A4", margin=MARGIN)
        page.emulate_media(media="print")
        headings = page.evaluate(HEADINGS)
        found, servers = 0, 0
        circles: list[int] = []
        for lines, picture in sheets(file):
            foot = max(at for at, line in enumerate(lines) if ADDRESS in line)
            assert lines[foot + 1] == url.removeprefix("http://")
            assert " ".join(lines[foot - 1].split()) not in headings
            codes = {unquote(code.text) for code in zxingcpp.read_barcodes(picture)}
            assert codes == {target}
            circles += heights(picture)
            servers += sum("smtp.harmony.example" in line for line in lines)
            found += 1
        assert found in (1, 2, 3)
        assert servers <= 1
        assert len(circles) == steps
        assert max(circles, default=0) - min(circles, default=0) <= 1
