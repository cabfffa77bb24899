"""The page for people, in a real Chromium."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support import TWO_DOMAINS, fetch, program, serving
from werkzeug.test import Client

from flask_autoconfig import autoconfig, create_app

MORE = """
[[provider.calendar]]
type = "caldav"
url = "https://dav.example.com/%EMAILADDRESS%/"
[[provider.documentation]]
url = "https://www.example.com/help"
descr = { en = "How to set up your client", fr = "Réglages pas à pas" }
[[provider.instruction]]
descr = { en = "Call us on working days." }
[provider.enable]
visit_url = "https://www.example.com/account"
instruction = { en = "Switch IMAP on" }
[provider.webmail]
login_page = "https://webmail.example.com/"
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("page") / "autoconfig.toml"
    text = TWO_DOMAINS.replace('"example2.com"', '"*.example.com"')
    text = text.replace("[[provider.incoming]]", "%s\n[[provider.incoming]]", 1)
    file.write_text(text % 'display_name = "Example <Mail>"' + MORE)
    with serving(file) as url:
        yield f"{url}/mail/setup"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=options
        )
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open the page in a fresh context; whatever the browser complains of is a failure."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visit(target: str, *, width: int = 1280, **options: object) -> Page:
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(target)
        return page

    yield visit
    for context in contexts:
        context.close()
    statuses = "Failed to load resource: the server responded with a status of 4"
    assert [it for it in complaints if not it.startswith(statuses)] == []


def test_a_person_types_an_address_and_reads_the_settings(
    visit: Open, url: str
) -> None:
    page = visit(url)
    page.get_by_label("E-mail address").fill("fred@example.com")
    page.get_by_role("button", name="Show settings").click()
    incoming = page.get_by_role("table", name="Incoming mail (IMAP)")
    rows = incoming.get_by_role("row").all_inner_texts()
    assert [" ".join(row.replace("Copy", "").split()) for row in rows] == [
        "Server imap.example.com",
        "Port 993",
        "Encryption SSL/TLS",
        "User name fred@example.com",
        "Password your e-mail password (“normal password”)",
    ]
    assert page.get_by_role("heading", level=1).inner_text() == "Example <Mail>"
    for name in ("Incoming mail (POP3)", "Outgoing mail (SMTP)", "Calendar (CalDAV)"):
        assert page.get_by_role("table", name=name).is_visible()


def test_every_value_can_be_copied(visit: Open, url: str) -> None:
    page = visit(
        f"{url}?emailaddress=fred@example.com",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page.get_by_role("button", name="Copy Server: smtp.example.com").click()
    page.get_by_text("Copied: smtp.example.com").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "smtp.example.com"


def test_the_keyboard_is_enough(visit: Open, url: str) -> None:
    page = visit(url)
    page.keyboard.press("Tab")
    page.keyboard.type("fred@example.com")
    page.keyboard.press("Enter")
    page.get_by_role("table", name="Incoming mail (IMAP)").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.get_by_text("Thunderbird finds the settings by itself").is_visible()


def test_the_profile_can_be_downloaded(visit: Open, url: str, tmp_path: Path) -> None:
    page = visit(f"{url}?emailaddress=fred@example.com")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the Apple profile").click()
    assert download.value.suggested_filename == "example.com.mobileconfig"
    download.value.save_as(tmp_path / "profile")
    assert b"fred@example.com" in (tmp_path / "profile").read_bytes()


def test_it_works_without_javascript(visit: Open, url: str) -> None:
    page = visit(url, java_script_enabled=False)
    page.get_by_label("E-mail address").fill("fred@example.com")
    page.get_by_role("button", name="Show settings").click()
    assert page.get_by_role("table", name="Incoming mail (IMAP)").is_visible()
    assert page.get_by_role("button", name="Copy Port: 993").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("query", ["", "?emailaddress=fred@example.com", "?email=x"])
def test_axe_has_nothing_to_say_and_nothing_sticks_out(
    visit: Open, url: str, width: int, scheme: str, query: str
) -> None:
    page = visit(url + query, width=width, color_scheme=scheme, bypass_csp=True)
    for summary in page.locator("summary").all():
        summary.click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_browsers_language_is_taken(visit: Open, url: str) -> None:
    page = visit(f"{url}?emailaddress=fred@example.com", locale="fr-CA")
    assert page.get_attribute("html", "lang") == "fr"
    assert page.get_by_role("table", name="Courrier entrant (IMAP)").is_visible()
    assert page.get_by_role("link", name="Réglages pas à pas").is_visible()


def test_the_providers_own_pages_and_words_are_there(visit: Open, url: str) -> None:
    page = visit(f"{url}?emailaddress=fred@example.com")
    for name, target in (
        ("Switch IMAP on", "https://www.example.com/account"),
        ("How to set up your client", "https://www.example.com/help"),
        (
            "Read your mail in the browser (webmail)",
            "https://webmail.example.com/",
        ),
    ):
        assert page.get_by_role("link", name=name).get_attribute("href") == target
    assert page.get_by_text("Call us on working days.").is_visible()


def test_the_page_loads_nothing_from_elsewhere(visit: Open, url: str) -> None:
    requested: list[str] = []
    page = visit(url)
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"{url}?emailaddress=fred@example.com")
    assert all(it.startswith(url.partition("/mail")[0]) for it in requested)


# A code of version 10 holds 213 bytes: what the page's own address leaves of them.
LONGEST = "f" * 64 + "@" + "d" * 60 + ".example.com"


@pytest.mark.parametrize("address", ["fred@example.com", "füße+1@example.com", LONGEST])
def test_a_phone_reads_the_qr_code_from_the_screen(
    visit: Open, url: str, address: str, tmp_path: Path
) -> None:
    target = f"{url}?emailaddress={quote(address)}"
    page = visit(target)
    screen = tmp_path / "screen.png"
    page.locator("img.qr").screenshot(path=screen)
    done = subprocess.run(
        [program("zbarimg"), "--quiet", "--raw", screen],
        capture_output=True,
        text=True,
        check=True,
    )
    assert unquote(done.stdout.strip()) == unquote(target)


def test_a_code_that_would_be_too_large_is_left_out(visit: Open, url: str) -> None:
    address = quote("ü" * 32 + "@" + "d" * 60 + ".example.com")
    page = visit(f"{url}?emailaddress={address}")
    assert page.locator("img.qr").count() == 0
    assert page.get_by_text("Open this address there:").is_visible()
    assert fetch(f"{url}/qr.svg?emailaddress={address}").status == 404


def test_the_picture_is_private_and_for_those_who_are_served(url: str) -> None:
    reply = fetch(f"{url}/qr.svg?emailaddress=fred@example.com")
    assert reply.headers["Content-Type"] == "image/svg+xml"
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'"
    for query, status in (
        ("", 404),
        ("emailaddress=fred@nowhere.test", 404),
        ("emailaddress=fred", 400),
    ):
        assert fetch(f"{url}/qr.svg?{query}").status == status


@pytest.mark.parametrize(
    "host",
    ["xn--.test", "xn--a.example.com", "xn--\xe9.test", "a..b", "x" * 300, "[::1]:80"],
)
def test_no_host_that_a_client_sends_is_too_odd(url: str, host: str) -> None:
    for path in ("", "/qr.svg"):
        target = f"{url}{path}?emailaddress=fred@example.com"
        assert fetch(target, Host=host).status in (200, 400, 404)


def test_a_scheme_that_a_proxy_passes_on_is_one_of_the_web(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    client = Client(create_app(file, proxies=1))
    for scheme, shown in (("javascript", "http"), ("https", "https")):
        reply = client.get(
            "/mail/setup?emailaddress=fred@example.com",
            headers={"Host": "example.com", "X-Forwarded-Proto": scheme},
        )
        assert f'<a href="{shown}://example.com/mail/setup?' in reply.text


def test_a_host_that_is_no_host_is_not_repeated(url: str) -> None:
    reply = fetch(f"{url}?emailaddress=fred@example.com", Host="evil.test/<script>")
    assert b"evil" not in reply.body
    assert (
        b'href="/mail/setup?emailaddress=fred%40example.com">/mail/setup<' in reply.body
    )
    assert b"qr.svg" not in reply.body


def test_the_policy_allows_nothing_but_the_pages_own(url: str) -> None:
    reply = fetch(f"{url}?emailaddress=fred@example.com")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for file in (b"style.css", b"script.js"):
        assert b'"/mail/setup/' + file + b'"' in reply.body
        own = fetch(f"{url}/{file.decode()}")
        assert own.status == 200
        assert (
            fetch(f"{url}/{file.decode()}", If_None_Match=own.headers["ETag"]).status
            == 304
        )
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert reply.headers["Vary"] == "Accept-Language"
    assert b" style=" not in reply.body
    assert b" onclick=" not in reply.body


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ("fred@nowhere.test", 404, "There are no settings here for that address."),
        ("fred", 400, "That is no e-mail address."),
        ('"><script>alert(1)</script>', 400, "That is no e-mail address."),
    ],
)
def test_what_cannot_be_shown_is_said_beside_what_was_typed(
    url: str, typed: str, status: int, words: str
) -> None:
    reply = fetch(f"{url}?emailaddress={quote(typed)}")
    assert reply.status == status
    assert words in reply.body.decode()
    assert b"<script>alert" not in reply.body


def test_a_site_overrides_the_page_with_a_template_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS)
    (tmp_path / "templates/autoconfig").mkdir(parents=True)
    template = (
        "Ours: {{ autoconfig_page.settings.sections[0].title }} "
        "{{ autoconfig_page.address }}"
    )
    (tmp_path / "templates/autoconfig/setup.html").write_text(template)
    app = Flask("site", root_path=str(tmp_path))
    app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
    app.register_blueprint(autoconfig)
    reply = Client(app).get("/mail/setup?emailaddress=fred@example.com")
    assert reply.text == "Ours: Incoming mail (IMAP) fred@example.com"
