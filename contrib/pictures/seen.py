"""The states of the page in Chromium, and the faults in how they are displayed.

The tests visit all pairs of programs, languages, widths and appearances; `make.py` visits
every combination.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from flask_autoconfig.config.tables import ProgramName

if TYPE_CHECKING:  # the fast tests have neither Playwright nor axe
    from playwright.sync_api import Browser, Page

ADDRESS = "anna@harmony.example"
PROGRAMS: tuple[str, ...] = get_args(ProgramName)
LANGUAGES = ("en", "de", "fr", "it", "es", "nl")
WIDTHS = (320, 390, 1280)
Look = Literal["light", "dark", "forced", "print"]
LOOKS: tuple[Look, ...] = get_args(Look)
AGENTS = {
    "ios": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
    "mac": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Safari/605.1.15",
    "android": "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like "
    "Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
    "like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "linux": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
}
# The device for the steps of a program; the default is a computer with Windows.
HOMES = {
    "iphone": "ios",
    "mac": "mac",
    "gmail": "android",
    "samsung": "android",
    "outlook-mobile": "ios",
    "evolution": "linux",
    "thunderbird": "linux",
}

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">
<circle cx="20" cy="20" r="15" fill="none" stroke="#7a1f3d" stroke-width="5"/>
<circle cx="20" cy="20" r="6" fill="#7a1f3d"/>
</svg>
"""
NAME = "Harmony Brass Band"
LONG_NAME = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunter"  # 60 letters
)
_TOML = """
[[provider]]
domains = ["harmony.example"]
display_name = "NAME"

[[provider.incoming]]
type = "imap"
hostname = "imap.harmony.example"
authentication = ["OAuth2", "password-cleartext"]

[[provider.incoming]]
type = "pop3"
hostname = "pop.harmony.example"

[[provider.outgoing]]
type = "smtp"
hostname = "smtp.harmony.example"

[[provider.calendar]]
type = "caldav"
url = "https://dav.harmony.example/%EMAILADDRESS%/"

[[provider.address_book]]
type = "carddav"
url = "https://dav.harmony.example/%EMAILADDRESS%/"

[[provider.documentation]]
url = "https://www.harmony.example/help"
descr = { en = "Our own pages about e-mail", de = "Unsere Seiten zu E-Mail" }

[[provider.instruction]]
descr = { en = "It takes five minutes.", de = "Es dauert fünf Minuten." }

[provider.enable]
visit_url = "https://www.harmony.example/app-password"

[provider.enable.instruction]
en = "Your normal password does not work in mail programs: make an app password."
de = "Ihr normales Passwort gilt nicht in Mailprogrammen: Machen Sie ein App-Passwort."

[provider.webmail]
login_page = "https://webmail.harmony.example/"

[provider.page]
logo = "logo.svg"
colour = "#7a1f3d"
privacy_url = "https://www.harmony.example/privacy"

[provider.page.contact]
name = "The office"
phone = "044 123 45 67"
email = "help@harmony.example"
url = "https://www.harmony.example/contact"
hours = "Mo–Fr 9–12"
"""


def configuration(folder: Path, name: str = NAME) -> Path:
    """Write the configuration of an association and its logo; return the TOML file."""
    (folder / "logo.svg").write_text(LOGO, encoding="utf-8")
    file = folder / "autoconfig.toml"
    file.write_text(_TOML.replace("NAME", name), encoding="utf-8")
    return file


class Case(NamedTuple):
    """A state of the page, and how it is displayed."""

    program: str
    language: str
    width: int
    look: Look
    has_script: bool = True

    @property
    def query(self) -> str:
        """The query of the state."""
        name = "&name=Anna" if self.program == "thunderbird-mobile" else ""
        lang = f"&lang={self.language}"
        return f"emailaddress={ADDRESS}&program={self.program}{lang}{name}"


@contextmanager
def shown(
    browser: Browser, url: str, case: Case, device: str | None = None
) -> Iterator[Page]:
    """Open the page in a state, with its folded parts open."""
    home = HOMES.get(case.program, "windows") if device is None else device
    context = browser.new_context(
        viewport={"width": case.width, "height": 900},
        user_agent=AGENTS.get(home, "somebody"),
        color_scheme="dark" if case.look == "dark" else "light",
        forced_colors="active" if case.look == "forced" else "none",
        java_script_enabled=case.has_script,
        bypass_csp=True,  # for axe alone
    )
    try:
        page = context.new_page()
        page.goto(f"{url}?{case.query}")
        if case.look == "print":
            page.emulate_media(media="print")
        else:
            page.evaluate(
                "document.querySelectorAll('details').forEach(node => node.open = 1)"
            )
        yield page
    finally:
        context.close()


def complaints(page: Page, case: Case) -> list[str]:
    """Return the faults of the page as displayed."""
    found = [
        f"the page scrolls sideways: {fault}" for fault in _too_wide(page, case.width)
    ]
    if case.look == "print":
        return found
    found += [f"a small target: {fault}" for fault in page.evaluate(_SMALL_TARGETS)]
    found += [f"a value breaks at {fault}" for fault in page.evaluate(_ODD_BREAKS)]
    found += [
        f"a picture without a name: {fault}" for fault in page.evaluate(_NAMELESS)
    ]
    if case.has_script:
        found += _by_axe(page, case)
        page.add_style_tag(content=_SPACED)
        found += [
            f"spaced: it scrolls: {fault}" for fault in _too_wide(page, case.width)
        ]
        found += [f"spaced: cut off: {fault}" for fault in page.evaluate(_CUT_OFF)]
    return found


def _by_axe(page: Page, case: Case) -> Iterator[str]:
    """Yield violations and incomplete results of axe-core."""
    from axe_playwright_python.sync_playwright import Axe

    # axe does not see forced colours, which are those of the system.
    options = {"rules": {"color-contrast": {"enabled": case.look != "forced"}}}
    results = Axe().run(page, options=options).response
    for kind in ("violations", "incomplete"):
        for rule in results[kind]:
            for node in rule["nodes"]:
                yield f"{kind}: {rule['id']}: {node['html'][:120]}"


def _too_wide(page: Page, width: int) -> list[str]:
    wide: list[str] = page.evaluate(_STICKING_OUT, width)
    return wide


_STICKING_OUT = """width => document.documentElement.scrollWidth <= width ? [] :
  [...document.querySelectorAll("body *")]
    .filter(node => node.getBoundingClientRect().right > width + 1)
    .map(node => node.outerHTML.slice(0, 100)).slice(0, 3)"""

# WCAG 2.2, 2.5.8 exempts links in a sentence.
_SMALL_TARGETS = """() => [...document.querySelectorAll(
  ".autoconfig a, .autoconfig button, .autoconfig summary, .autoconfig input")]
  .filter(node => node.type !== "hidden" && node.offsetParent !== null)
  .filter(node => !node.closest("p") || node.matches("button") ||
    node.closest("p").textContent.trim() === node.textContent.trim())
  .filter(node => { const box = node.getBoundingClientRect();
                  return box.height < 44 || box.width < 44 })
  .map(node => node.outerHTML.slice(0, 100))"""

_NAMELESS = """() => [...document.querySelectorAll("img")]
  .filter(node => !node.hasAttribute("alt") ||
    node.loading !== "lazy" && !(node.complete && node.naturalWidth))
  .map(node => node.outerHTML)"""

# A value may break only after / . and @, unless the part is longer than a line.
_ODD_BREAKS = """() => {
  const found = [];
  for (const value of document.querySelectorAll(".autoconfig-value")) {
    if (value.offsetParent === null) continue;
    const range = document.createRange();
    let before = "", top = null, start = null;
    const walker = document.createTreeWalker(value, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      for (let at = 0; at < node.length; at++) {
        range.setStart(node, at); range.setEnd(node, at + 1);
        const box = range.getBoundingClientRect();
        if (!box.height) continue;
        if (top !== null && box.top > top + 4 && !"/.@".includes(before))
          found.push(value.textContent);
        top = box.top; before = node.data[at];
      }
    }
  }
  return found;
}"""

# WCAG 2.2, 1.4.12
_SPACED = """* { line-height: 1.5 !important; letter-spacing: .12em !important;
  word-spacing: .16em !important } p { margin-bottom: 2em !important }"""
_CUT_OFF = """() => [...document.querySelectorAll(".autoconfig *")]
  .filter(node => node.offsetParent !== null && node.clientHeight &&
    getComputedStyle(node).overflow !== "visible" && node.tagName !== "INPUT" &&
    node.tagName !== "svg" &&
    (node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1))
  .map(node => node.outerHTML.slice(0, 100))"""
