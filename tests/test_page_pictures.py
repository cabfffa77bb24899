"""The QR code for Thunderbird for Android, the logo, and the colours of the page."""

import json
import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
import seen
import zxingcpp
from browsing import Open, browser, served, visit
from PIL import Image
from services import until
from support import TWO_DOMAINS, Write, problems_of, rows, table
from werkzeug.test import Client, TestResponse

from flask_autoconfig import create_app
from flask_autoconfig.page import assets, look

__all__ = ["browser", "visit"]  # fixtures
CODE = "/mail/setup/account.svg"


def fetch(file: Path, target: str, **headers: str) -> TestResponse:
    return Client(create_app(file)).get(target, headers=headers)


# --- Export for Mobile -----------------------------------------------------------------


def export(incoming: object, outgoing: object, identity: object) -> bytes:
    """Return an "Export for Mobile" of one account, format version 1.

    Version, number and count of the exports, and no element that a reader can do without.
    """
    content = [1, [1, 1], incoming, [[outgoing, identity]]]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def scan(picture: bytes, open_page: Open) -> bytes:
    """Return what a camera reads from a picture on a screen."""
    url = f"data:image/svg+xml;base64,{b64encode(picture).decode()}"
    page = open_page(url, width=400)
    shot = Image.open(BytesIO(page.screenshot()))
    (code,) = zxingcpp.read_barcodes(shot)
    assert code.format in (zxingcpp.BarcodeFormat.QRCode,)
    read: bytes = code.bytes
    return read


@pytest.mark.world
@rows("servers", "server, expected")
def test_the_code_has_the_servers_as_the_format_encodes_them(
    visit: Open, toml: Write, server: str, expected: list[object]
) -> None:
    file = toml(
        '[[provider]]\ndomains = ["example.com"]\n[[provider.incoming]]\n'
        f'hostname = "imap.example.com"\n{server}\n'
        '[[provider.outgoing]]\ntype = "smtp"\nhostname = "smtp.example.com"\n'
        'authentication = "none"\nsocket_type = "plain"\n'
    )
    response = fetch(file, f"{CODE}?emailaddress=fred@example.com&name=Fred")
    assert response.headers["Content-Type"] == "image/svg+xml"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    outgoing = [0, "smtp.example.com", 25, 0, 0, ""]
    identity = ["fred@example.com", "Fred"]
    assert scan(response.data, visit) == export(expected, outgoing, identity)


@pytest.mark.world
@pytest.mark.parametrize("name", ["Anna Muster", "Zoë ’t Łąka", "安娜"])
def test_the_code_has_name_and_address(visit: Open, toml: Write, name: str) -> None:
    file = toml(TWO_DOMAINS.replace("example2.com", "bücher.example"))
    query = f"emailaddress={quote('fred@bücher.example')}&name={quote(name)}"
    address = "fred@xn--bcher-kva.example"
    incoming = [0, "imap.example.com", 993, 3, 1, address]
    outgoing = [0, "smtp.example.com", 465, 3, 1, address]
    read = scan(fetch(file, f"{CODE}?{query}").data, visit)
    assert read == export(incoming, outgoing, [address, name])


def test_the_limits_are_those_of_versions_10_and_15() -> None:
    for most, version in ((assets.MAX_BYTES, 10), (assets.MAX_LARGE_BYTES, 15)):
        side = int(re.findall(rb'width="(\d+)"', assets.picture("x" * most))[0])
        assert side == (17 + 4 * version + 8) * 4
    assert assets.fits("x" * 213)
    assert not assets.fits("x" * 214)


# --- The logo --------------------------------------------------------------------------

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink">'
WITHIN_ITSELF = (
    f'{SVG}<defs><g id="a"><circle r="1"/></g></defs><use href="#a"/>'
    '<style>.a { fill: url(#b) }</style><circle r="1" fill="url(#b)"/>'
    """<style>.b { fill: url('#b') }</style><g fill='url( "#b" )' mask="url(' #b')"/>"""
    "</svg>"
)


def _png() -> bytes:
    stream = BytesIO()
    Image.new("RGB", (1, 1), "#7a1f3d").save(stream, "PNG")
    return stream.getvalue()


LOGOS = {
    "within-itself.svg": (WITHIN_ITSELF.encode(), "image/svg+xml"),
    "logo.svg": (seen.LOGO.encode(), "image/svg+xml"),
    "with a DOCTYPE.svg": (
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "https://www.w3.org/a.dtd">'
        + seen.LOGO.encode(),
        "image/svg+xml",
    ),
    "logo.png": (_png(), "image/png"),
    "logo.jpg": (b"\xff\xd8\xff\xe0 and so on", "image/jpeg"),
    "logo.webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    "wrongly-named.svg": (_png(), "image/png"),
}


def with_logo(toml: Write, name: str, data: bytes) -> Path:
    file = toml(f'{TWO_DOMAINS}[provider.page]\nlogo = "{name}"\n')
    (file.parent / name).write_bytes(data)
    return file


@pytest.mark.parametrize("name", LOGOS)
def test_a_logo_is_served_below_the_page(toml: Write, name: str) -> None:
    data, content_type = LOGOS[name]
    file = with_logo(toml, name, data)
    page = fetch(file, "/mail/setup", Host="autoconfig.example.com").text
    (target,) = set(re.findall(r'(?:src|href)="(/mail/setup/logo\?[^"]*)"', page))
    assert page.count(target) == 2  # also as the icon
    response = fetch(file, target, Host="autoconfig.example.com")
    assert response.data == data
    assert response.headers["Content-Type"] == content_type
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "private, max-age=3600"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_changed_logo_is_reloaded(toml: Write) -> None:
    file = with_logo(toml, "logo.png", _png())
    client = Client(create_app(file))
    before = client.get("/mail/setup").text
    changed = _png() + b" "
    (file.parent / "logo.png").write_bytes(changed)
    until(lambda: client.get("/mail/setup/logo").data == changed)
    assert client.get("/mail/setup").text != before


REFUSED = {
    **{name: f"{SVG}{content}</svg>" for name, content in table("logos").items()},
    "a style sheet": f'<?xml-stylesheet href="a.css"?>{SVG}</svg>',
    "entities": f'<!DOCTYPE svg [<!ENTITY a "b">]>{SVG}&a;</svg>',
    "default attributes": f'<!DOCTYPE svg [<!ATTLIST g a CDATA "b">]>{SVG}<g/></svg>',
    "another XML": "<html/>",
    "no picture": "GIF89a",
    "nothing": "",
    "too many bytes": f"{SVG}{' ' * 66_000}</svg>",
}


@pytest.mark.parametrize("logo", REFUSED.values(), ids=REFUSED)
def test_an_active_or_foreign_logo_is_refused(toml: Write, logo: str) -> None:
    file = with_logo(toml, "logo.svg", logo.encode())
    (problem,) = problems_of(create_app, file)
    assert problem.place == "provider[0].page.logo"
    assert "PNG" in problem.cure


# --- Colours ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "colour", ["#7a1f3d", "#ffe600", "#000000", "#ffffff", "#777777"]
)
def test_text_is_legible_with_every_colour(colour: str) -> None:
    colours = look.colours(colour)
    assert colours["brand"] == colour
    assert colours["on_brand"] in ("#000000", "#ffffff")
    assert look.contrast(colours["on_brand"], colour) >= 4.5
    for background in ("#ffffff", look.PAPER):
        assert look.contrast(colours["accent"], background) >= 4.5
    for background in (look.DARK_PAPER, "#12161d"):
        assert look.contrast(colours["dark_accent"], background) >= 4.5


def test_contrast_and_backgrounds_are_those_of_wcag_and_of_the_style() -> None:
    assert look.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert look.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert look.contrast("#ff0000", "#ff0000") == 1
    sheet = (Path(look.__file__).parent / "static/style.css").read_text()
    assert f"--paper: light-dark({look.PAPER}, " in sheet
    assert f"--card: light-dark(#fff, {look.DARK_PAPER})" in sheet


@pytest.mark.world
def test_a_white_logo_can_have_a_background(toml: Write, visit: Open) -> None:
    white = seen.LOGO.replace("#7a1f3d", "#ffffff").encode()
    for colour in ('colour = "#123"\n', ""):
        file = with_logo(toml, "logo.svg", white)
        file.write_text(f'{file.read_text()}{colour}logo_background = "#7a1f3d"\n')
        with served(create_app(file)) as base:
            page = visit(f"{base}/mail/setup")
            logo = Image.open(BytesIO(page.locator("header img").screenshot()))
            shown = {colour for _, colour in logo.convert("RGB").getcolors(2000) or ()}
            assert {(122, 31, 61), (255, 255, 255)} <= shown
            page.emulate_media(media="print")  # browsers print no backgrounds otherwise
            style = "box => getComputedStyle(box).printColorAdjust"
            assert page.locator(".autoconfig-logo").evaluate(style) == "exact"
