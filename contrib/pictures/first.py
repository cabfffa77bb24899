"""Take the README's picture, `first.png`: `python contrib/pictures/first.py`.

On the left the page on a phone, on the right what `check` really says at a terminal: of the
tests' world in a network namespace, which takes root's rights. What the picture leaves out
of the commands are the options that lead there (`--resolver`, `--allow-private`). Another
file may be named for it.
Needs what the tests need: `pip install '.[test-all]'`, chromium, and the world's servers.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright
from seen import AGENTS, LOGO

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent.parent / "tests"))

from strangers import at_terminal  # noqa: E402 (the path is that of the lines before)
from support import run, serving  # noqa: E402
from world import ADDRESSES, ELSEWHERE, OTHER_NAMES, TOML, WEB, Real, real  # noqa: E402
from world import DOMAIN as WORLDS  # noqa: E402

DOMAIN = "example.com"
ADDRESS = f"fred@{DOMAIN}"
PAGE = """
[provider.page]
logo = "logo.svg"
colour = "#1f5f7a"

[provider.page.contact]
name = "The office"
phone = "+1 555 0100"
"""


def configured(folder: Path) -> Path:
    """The world's file, with a name and clothes for the page."""
    (folder / "logo.svg").write_text(LOGO.replace("#7a1f3d", "#1f5f7a"))
    name = 'display_name = "Example Mail"'
    file = folder / "autoconfig.toml"
    toml = TOML.replace(WORLDS, DOMAIN).replace("]\n", f"]\n{name}\n", 1)
    file.write_text(toml + PAGE)
    return file


def conversation(here: Real, file: Path) -> list[tuple[str, str]]:
    """Commands as a person types them, and what each says, in its colours.

    First a record is missing in DNS; then it is there.
    """
    dns = ("dns", f"--target=www.{DOMAIN}")
    hosts = ADDRESSES.replace(WORLDS, DOMAIN).replace(WEB, ELSEWHERE)
    records = run(*dns, cwd=file.parent).stdout.splitlines(True)
    without = [it for it in records if not it.startswith("_ua-auto-config")]

    def shown(*words: str) -> str:
        _, told = here.inside.call(
            at_terminal,
            *("--color", *words, "--resolver", OTHER_NAMES),
            typed={},
            cwd=file.parent,
            COLUMNS=str(COLUMNS),
        )
        lines = told.replace("\r\n", "\n").split("\n")
        return "\n".join(it.rpartition("\r")[2] for it in lines)  # written over

    def check() -> tuple[str, str]:
        return f"check {ADDRESS}", shown("check", ADDRESS, "--allow-private")

    here.web(ELSEWHERE, here.web_certificate, file)
    here.names.serve(hosts + "".join(without))
    said = [check()]
    lacks = shown(*dns, "--diff")
    said.append((f"dns --target www.{DOMAIN} --diff", lacks))
    here.names.serve(hosts + "".join(records))
    return [*said, check()]


# --- The picture -----------------------------------------------------------------------

COLUMNS = 80  # that the screen beside the phone has room for
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff"}
STYLES = {"1": "font-weight:700", "2": "opacity:.6", "4": "text-decoration:underline"}
STYLES |= {code: f"color:{colour}" for code, colour in COLOURS.items()}
SHEET = """
body { margin: 0; padding: 28px; width: 1144px; background: #dfe7ec; display: flex;
  gap: 28px; align-items: stretch; font-family: sans-serif; box-sizing: border-box }
.phone { flex: none; width: 360px; border: 10px solid #1b1f24; border-radius: 34px;
  overflow: hidden; background: #fff; height: 640px }
.phone img { width: 360px; display: block }
.screen { flex: 1; background: #12161d; color: #d7dde4; border-radius: 12px;
  padding: 18px 22px; font: 13px/1.45 monospace; white-space: pre-wrap;
  overflow-wrap: anywhere }
.screen b { color: #fff }
"""


def as_html(text: str) -> str:
    """A terminal's text with its colours (ECMA-48, SGR) as HTML."""

    def style(match: re.Match[str]) -> str:
        codes = [it for it in match[1].split(";") if it.strip("0")]
        styles = ";".join(STYLES[code] for code in codes)
        return f'<span style="{styles}">' if styles else "</span>" * 3

    # A reset ends all that were begun; an end without a beginning is nothing to HTML.
    return re.sub(r"\x1b\[([0-9;]*)m", style, html.escape(text))


def phone(browser: Browser, url: str) -> bytes:
    """The page as an iPhone shows it."""
    context = browser.new_context(
        viewport=ViewportSize(width=390, height=693),
        user_agent=AGENTS["ios"],
        device_scale_factor=1.5,
    )
    page = context.new_page()
    page.goto(f"{url}/mail/setup?emailaddress={ADDRESS}&program=iphone")
    shot = page.screenshot()
    context.close()
    return shot


def picture(browser: Browser, shown: bytes, said: list[tuple[str, str]]) -> Image.Image:
    """Both side by side."""
    data = b64encode(shown).decode()
    lines = [f"<b>$ flask-autoconfig {it}</b>\n{as_html(told)}" for it, told in said]
    text = "\n".join(lines)
    context = browser.new_context(
        viewport=ViewportSize(width=1144, height=716), device_scale_factor=1.5
    )
    page = context.new_page()
    page.set_content(
        f"<!doctype html><style>{SHEET}</style><div class=phone>"
        f'<img src="data:image/png;base64,{data}"></div><div class=screen>{text}</div>'
    )
    shot = Image.open(BytesIO(page.screenshot(full_page=True)))
    context.close()
    return shot.quantize(128, dither=Image.Dither.NONE)


def take(file: Path) -> None:
    """Start the world, look at both, write the picture."""
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        toml = configured(folder)
        with serving(toml) as url:
            shown = phone(browser, url)
        with real() as here, here.fresh():
            said = conversation(here, toml)
        picture(browser, shown, said).save(file, optimize=True)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if sys.argv[1:] else HERE / "first.png")
