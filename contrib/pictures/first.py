"""Take the README's picture: `python contrib/pictures/first.py [FILE]`.

It shows the page on a phone beside the real output of `check` in a terminal. `check` runs
in a network namespace with the servers of the tests, which requires root. The picture omits
the options for this (`--resolver`, `--allow-private`). The default FILE is `first.png`.
Requires `pip install '.[test-all]'`, Chromium, Dovecot, Postfix and BIND.
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

from services import run, serving  # noqa: E402
from strangers import at_terminal  # noqa: E402 (the path is that of the lines before)
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
    """Write the file of the tests' servers, with a brand for the page."""
    (folder / "logo.svg").write_text(LOGO.replace("#7a1f3d", "#1f5f7a"))
    name = 'display_name = "Example Mail"'
    file = folder / "autoconfig.toml"
    toml = TOML.replace(WORLDS, DOMAIN).replace("]\n", f"]\n{name}\n", 1)
    file.write_text(toml + PAGE)
    return file


def conversation(here: Real, file: Path) -> list[tuple[str, str]]:
    """Run commands; return each with its output in colours.

    First a record is missing in DNS; then it is there.
    """
    dns = ("dns", f"--target=www.{DOMAIN}")
    hosts = ADDRESSES.replace(WORLDS, DOMAIN).replace(WEB, ELSEWHERE)
    records = run(*dns, cwd=file.parent).stdout.splitlines(True)
    without = [line for line in records if not line.startswith("_ua-auto-config")]

    def shown(*words: str) -> str:
        _, output = here.inside.call(
            at_terminal,
            *("--color", *words, "--resolver", OTHER_NAMES),
            typed={},
            cwd=file.parent,
            COLUMNS=str(COLUMNS),
        )
        lines = output.replace("\r\n", "\n").split("\n")
        return "\n".join(line.rpartition("\r")[2] for line in lines)  # without progress

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

COLUMNS = 80  # of the terminal beside the phone
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
    """Return the output of a terminal with its colours (ECMA-48, SGR) as HTML."""

    def style(match: re.Match[str]) -> str:
        codes = [code for code in match[1].split(";") if code.strip("0")]
        styles = ";".join(STYLES[code] for code in codes)
        return f'<span style="{styles}">' if styles else "</span>" * 3

    # A reset closes all elements; HTML ignores an end without a start.
    return re.sub(r"\x1b\[([0-9;]*)m", style, html.escape(text))


def phone(browser: Browser, url: str) -> bytes:
    """Take a picture of the page on an iPhone."""
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
    """Take a picture of both, side by side."""
    data = b64encode(shown).decode()
    lines = [
        f"<b>$ flask-autoconfig {command}</b>\n{as_html(output)}"
        for command, output in said
    ]
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
    """Start the servers, run the commands, write the picture."""
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
