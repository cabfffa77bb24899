"""The page on paper: each sheet as Chromium prints it, read by poppler and zxing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import zxingcpp
from browsing import Open, browser, url, visit
from PIL import Image, ImageChops
from playwright.sync_api import PdfMargins
from seen import ADDRESS, LANGUAGES, PROGRAMS
from support import program

pytestmark = pytest.mark.world
__all__ = ["browser", "url", "visit"]  # fixtures
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
        asked = f"{url}?emailaddress={ADDRESS}"
        asked += f"&program={name}" * bool(name) + f"&lang={language}"
        page.goto(asked)
        page.add_style_tag(content=RED)
        page.emulate_media(media="print")
        headings = page.evaluate(HEADINGS)
        steps = page.locator(".autoconfig-dot").count()
        file = tmp_path / language / "paper.pdf"
        page.pdf(path=file, format="A4", margin=MARGIN)
        found, servers = 0, 0
        circles: list[int] = []
        for lines, picture in sheets(file):
            foot = next(
                at for at in reversed(range(len(lines))) if ADDRESS in lines[at]
            )
            assert lines[foot + 1] == url.removeprefix("http://")
            assert " ".join(lines[foot - 1].split()) not in headings
            codes = {unquote(code.text) for code in zxingcpp.read_barcodes(picture)}
            assert codes == {asked}
            circles += heights(picture)
            servers += sum("smtp.harmony.example" in line for line in lines)
            found += 1
        assert found in (1, 2, 3)
        assert servers <= 1
        assert len(circles) == steps
        assert max(circles, default=0) - min(circles, default=0) <= 1
