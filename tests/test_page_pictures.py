"""The page's pictures: the code that sets up Thunderbird for Android, logo, colours."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import seen
import zxingcpp
from browsing import Open, browser, visit
from page_server import served
from PIL import Image
from support import TWO_DOMAINS
from werkzeug.test import Client, TestResponse

from flask_autoconfig import ConfigError, create_app, load
from flask_autoconfig.page import look, mobile, qr
from flask_autoconfig.tools.warnings import find_warnings

__all__ = ["browser", "visit"]  # fixtures
Write = Callable[..., Path]
CODE = "/mail/setup/account.svg"


# --- Export for Mobile -----------------------------------------------------------------


class Reader:
    """Reads an "Export for Mobile", format version 1, by the rules of its document.

    What a reader must refuse raises; more elements than are known are no fault of it, but
    a writer has none of them.
    """

    def __init__(self, payload: bytes) -> None:
        root = json.loads(payload.decode("utf-8"))
        version, misc, *accounts = root
        assert (type(version), version) == (int, 1)
        assert misc == [1, 1]
        assert len(accounts) == 2
        self.incoming = self._server(accounts[0], protocols=(0, 1), most=8)
        (group,) = accounts[1]
        outgoing, *identities = group
        self.outgoing = self._server(outgoing, protocols=(0,), most=7)
        assert len(identities) == 1
        self.address, self.name = identities[0]
        assert self.address.isascii()
        assert re.fullmatch(r"[^@\s]+@[^@\s]+", self.address)
        self._line(self.name)

    def _server(
        self, array: list[Any], protocols: tuple[int, ...], most: int
    ) -> list[Any]:
        protocol, host, port, security, method, username, *optional = array
        assert protocol in protocols
        assert len(array) <= most
        assert host.isascii()
        assert re.fullmatch(r"[A-Za-z0-9.-]{1,253}", host)
        assert type(port) is int
        assert 1 <= port <= 65535
        assert security in (0, 2, 3)
        assert method in range(7)
        self._line(username)
        assert optional == []  # neither a name of its own nor a password
        return array

    @staticmethod
    def _line(text: str) -> None:
        assert not re.search(r"[\r\n]", text)


def ask(file: Path, target: str, **headers: str) -> TestResponse:
    return Client(create_app(file)).get(target, headers=headers)


def scan(picture: bytes, open_page: Open) -> bytes:
    """What a camera reads from a picture on a screen."""

    def show(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "image/svg+xml")])
        return [picture]

    with served(show) as url:
        page = open_page(url, width=400)
        shot = Image.open(BytesIO(page.screenshot()))
    (code,) = zxingcpp.read_barcodes(shot)
    assert code.format in (zxingcpp.BarcodeFormat.QRCode,)
    read: bytes = code.bytes
    return read


@pytest.mark.world
@pytest.mark.parametrize("name", ["Anna Muster", "Zoë ’t Łąka", "安娜"])
def test_the_code_sets_up_thunderbird_for_android(
    visit: Open, toml: Write, name: str
) -> None:
    file = toml(TWO_DOMAINS)
    query = f"emailaddress=fred@example.com&name={quote(name)}"
    reply = ask(file, f"{CODE}?{query}")
    assert reply.headers["Content-Type"] == "image/svg+xml"
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'"
    export = Reader(scan(reply.data, visit))
    assert export.incoming == [0, "imap.example.com", 993, 3, 1, "fred@example.com"]
    assert export.outgoing == [0, "smtp.example.com", 465, 3, 1, "fred@example.com"]
    assert (export.address, export.name) == ("fred@example.com", name)


SERVERS = {
    "STARTTLS and an encrypted password": (
        'type = "imap"\nsocket_type = "STARTTLS"\n'
        'authentication = "password-encrypted"',
        [0, "imap.example.com", 143, 2, 2, "fred@example.com"],
    ),
    "a password where OAuth2 stands first": (
        'type = "imap"\nauthentication = ["OAuth2", "password-cleartext"]',
        [0, "imap.example.com", 993, 3, 1, "fred@example.com"],
    ),
    "POP3, and a login of one's own": (
        'type = "pop3"\nusername = "%EMAILLOCALPART%"\nport = 9995',
        [1, "imap.example.com", 9995, 3, 1, "fred"],
    ),
    "a SASL name": (
        'type = "imap"\nauthentication = {system = "sasl", name = "SCRAM-SHA-256"}',
        [0, "imap.example.com", 993, 3, 1, "fred@example.com"],
    ),
}


@pytest.mark.world
@pytest.mark.parametrize(("server", "expected"), SERVERS.values(), ids=SERVERS.keys())
def test_each_server_is_written_as_the_format_has_it(
    visit: Open, toml: Write, server: str, expected: list[object]
) -> None:
    file = toml(
        '[[provider]]\ndomains = ["example.com"]\n[[provider.incoming]]\n'
        f'hostname = "imap.example.com"\n{server}\n'
        '[[provider.outgoing]]\ntype = "smtp"\nhostname = "smtp.example.com"\n'
        'authentication = "none"\nsocket_type = "plain"\n'
    )
    reply = ask(file, f"{CODE}?emailaddress=fred@example.com&name=Fred")
    export = Reader(scan(reply.data, visit))
    assert export.incoming == expected
    assert export.outgoing == [0, "smtp.example.com", 25, 0, 0, ""]


@pytest.mark.world
def test_an_international_domain_is_written_in_ascii(visit: Open, toml: Write) -> None:
    file = toml(TWO_DOMAINS.replace("example2.com", "bücher.example"))
    query = f"emailaddress={quote('fred@bücher.example')}&name=Fred"
    export = Reader(scan(ask(file, f"{CODE}?{query}").data, visit))
    assert export.address == "fred@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("emailaddress=fred@example.com", 404),  # the name belongs into it
        ("emailaddress=fred@example.com&name=", 404),
        ("emailaddress=fred@example.com&name=%0a", 404),
        (f"emailaddress={quote('füße@example.com')}&name=Fred", 404),  # ASCII only
        ("emailaddress=fred@nowhere.test&name=Fred", 404),
        ("emailaddress=fred&name=Fred", 400),
    ],
)
def test_there_is_no_code_of_what_the_format_has_no_place_for(
    toml: Write, query: str, status: int
) -> None:
    assert ask(toml(TWO_DOMAINS), f"{CODE}?{query}").status_code == status


def test_a_provider_of_oauth2_alone_has_no_code_and_no_such_tile(toml: Write) -> None:
    text = TWO_DOMAINS.replace(
        'type = "imap"', 'type = "imap"\nauthentication = "OAuth2"'
    ).replace('type = "pop3"', 'type = "pop3"\nauthentication = "OAuth2"')
    file = toml(text)
    query = "emailaddress=fred@example.com&name=Fred"
    assert ask(file, f"{CODE}?{query}").status_code == 404
    page = ask(file, f"/mail/setup?{query}&program=thunderbird-mobile").text
    assert "#steps" in page
    assert "thunderbird-mobile#steps" not in page
    assert "sign in at your provider’s own page (OAuth2)" in page


def test_the_largest_codes_are_of_the_versions_that_they_are_meant_to_be() -> None:
    for most, version in ((qr.MOST_BYTES, 10), (qr.MOST_LARGE_BYTES, 15)):
        side = int(re.findall(rb'width="(\d+)"', qr.picture("x" * most))[0])
        assert side == (17 + 4 * version + 8) * 4
    assert qr.fits("x" * 213)
    assert not qr.fits("x" * 214)
    assert mobile.METHODS.keys() <= {
        "none",
        "client-IP-address",
        "smtp-after-pop",
        "password-cleartext",
        "password-encrypted",
    }


# --- The logo --------------------------------------------------------------------------


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        length = len(data).to_bytes(4, "big")
        return length + checked + zlib.crc32(checked).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(b"\0\x7a\x1f\x3d")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*it) for it in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


REPEATED = (
    '<svg xmlns="http://www.w3.org/2000/svg"><g id="a"><path d="M0 0" fill="#abc"/></g>'
    + '<use href="#a"/>' * 1000
    + "</svg>"
)
LOGOS = {
    "repeated.svg": (REPEATED.encode(), "image/svg+xml"),
    "logo.svg": (seen.LOGO.encode(), "image/svg+xml"),
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
def test_a_logo_is_shown_from_our_own_path(toml: Write, name: str) -> None:
    data, kind = LOGOS[name]
    file = with_logo(toml, name, data)
    page = ask(file, "/mail/setup", Host="autoconfig.example.com").text
    (target,) = set(re.findall(r'(?:src|href)="(/mail/setup/logo\?[^"]*)"', page))
    assert page.count(target) == 2  # and in the browser's tab
    reply = ask(file, target, Host="autoconfig.example.com")
    assert reply.data == data
    assert reply.headers["Content-Type"] == kind
    assert "sandbox" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_another_logo_is_taken_up_with_the_file(toml: Write) -> None:
    file = with_logo(toml, "logo.png", _png())
    client = Client(create_app(file))
    before = client.get("/mail/setup").text
    picture = _png() + b" "
    (file.parent / "logo.png").write_bytes(picture)
    for _ in range(100):
        reply = client.get("/mail/setup/logo")
        if reply.data == picture:
            break
        time.sleep(0.05)
    assert reply.data == picture
    assert client.get("/mail/setup").text != before


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink">'


def _doubling(reference: str) -> str:
    """A picture of 2^30 shapes: each element refers twice to the one before it."""
    lines = (f'<g id="a{it}">{reference.format(it - 1) * 2}</g>' for it in range(1, 31))
    return f'{SVG}<path id="a0" d="M0 0"/>{"".join(lines)}</svg>'


BAD_LOGOS = {
    "shapes that double": _doubling('<use href="#a{}"/>'),
    "shapes that double by an escaped name": _doubling('<use x:href="#%61{}"/>'),
    "fills that double": _doubling('<path fill="url( #a{} )"/>'),
    "a shape in itself": f'{SVG}<g id="a"><use href="#a"/></g></svg>',
    "a long way of references": SVG
    + "".join(f'<use id="a{it}" href="#a{it + 1}"/>' for it in range(1000))
    + "</svg>",
    "a script": f"{SVG}<script>alert(1)</script></svg>",
    "a handler": f'{SVG}<circle r="1" onload="alert(1)"/></svg>',
    "a foreign document": f"{SVG}<foreignObject><p/></foreignObject></svg>",
    "a picture from elsewhere": f'{SVG}<image x:href="https://evil.test/"/></svg>',
    "a use from elsewhere": f'{SVG}<use href="https://evil.test/#a"/></svg>',
    "a link": f'{SVG}<a href="#a"><circle r="1"/></a></svg>',
    "a script's address": f'{SVG}<set to="javascript:alert(1)"/></svg>',
    "a style from elsewhere": f"{SVG}<style>@import 'https://evil.test/';</style></svg>",
    "a fill from elsewhere": f'{SVG}<circle r="1" fill="url(https://evil.test/)"/></svg>',
    "a quoted fill from elsewhere": f"{SVG}<g fill='url( \"b.svg#a\")'/></svg>",
    "a style sheet": '<?xml-stylesheet href="a.css"?>' + SVG + "</svg>",
    "entities": f'<!DOCTYPE svg [<!ENTITY a "b">]>{SVG}&a;</svg>',
    "another XML": "<html/>",
    "no picture": "GIF89a",
    "nothing": "",
    "too much": f"{SVG}{' ' * 66_000}</svg>",
}


@pytest.mark.parametrize("text", BAD_LOGOS.values(), ids=BAD_LOGOS.keys())
def test_a_logo_that_could_do_more_than_be_seen_is_refused(
    toml: Write, text: str
) -> None:
    file = with_logo(toml, "logo.svg", text.encode())
    with pytest.raises(ConfigError) as caught:
        create_app(file)
    (problem,) = caught.value.problems
    assert problem.place == "provider[0].page.logo"
    assert "PNG" in problem.cure


def test_a_logo_within_itself_is_taken(toml: Write) -> None:
    text = (
        f'{SVG}<defs><g id="a"><circle r="1"/></g></defs><use href="#a"/>'
        '<style>.a { fill: url(#b) }</style><circle r="1" fill="url(#b)"/>'
        """<style>.b { fill: url('#b') }</style><g fill='url( "#b" )' mask="url(' #b')"/>"""
        "</svg>"
    )
    assert ask(with_logo(toml, "logo.svg", text.encode()), "/mail/setup/logo").data


def test_a_logo_that_is_not_there_is_told(toml: Write) -> None:
    file = toml(f'{TWO_DOMAINS}[provider.page]\nlogo = "none.png"\n')
    with pytest.raises(ConfigError, match=r"page\.logo .*: cannot read .*none\.png"):
        create_app(file)


# --- Colours ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "colour", ["#7a1f3d", "#ffe600", "#000000", "#ffffff", "#777777"]
)
def test_every_colour_can_be_read(colour: str) -> None:
    colours = look.colours(colour)
    assert colours["brand"] == colour
    assert colours["on_brand"] in ("#000000", "#ffffff")
    assert look.contrast(colours["on_brand"], colour) >= 4.5
    for ground in ("#ffffff", look.PAPER):
        assert look.contrast(colours["accent"], ground) >= 4.5
    for ground in (look.DARK_PAPER, "#12161d"):
        assert look.contrast(colours["dark_accent"], ground) >= 4.5


def test_the_contrast_is_that_of_the_standard() -> None:
    assert look.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert look.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert look.contrast("#ff0000", "#ff0000") == 1


def test_the_grounds_are_those_of_the_style() -> None:
    sheet = (Path(look.__file__).parent / "static/style.css").read_text()
    assert f"--paper: {look.PAPER}" in sheet
    assert f"--card: {look.DARK_PAPER}" in sheet


def test_a_colour_is_a_style_sheet_and_nothing_else_is(toml: Write) -> None:
    file = toml(f'{TWO_DOMAINS}[provider.page]\ncolour = "#7A1F3D"\n')
    page = ask(file, "/mail/setup?emailaddress=fred@example.com").text
    assert 'href="/mail/setup/colours.css?colour=7a1f3d"' in page
    reply = ask(file, "/mail/setup/colours.css?colour=7a1f3d")
    assert reply.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"--brand: #7a1f3d" in reply.data
    for query in ("", "colour=red", "colour=7a1f3d}body{x:y", "colour=7A1F3D"):
        status = ask(file, f"/mail/setup/colours.css?{query}").status_code
        assert status == 404


def test_validate_tells_of_a_pale_colour(toml: Write) -> None:
    pale = load(toml(f'{TWO_DOMAINS}[provider.page]\ncolour = "#ffe600"\n'))
    (warning,) = [it for it in find_warnings(pale.provider) if "colour" in it.place]
    assert warning.place == "provider[0].page.colour"
    assert "1.2:1, under 4.5:1" in warning.message
    dark = load(toml(f'{TWO_DOMAINS}[provider.page]\ncolour = "#7a1f3d"\n'))
    assert not [it for it in find_warnings(dark.provider) if "colour" in it.place]
