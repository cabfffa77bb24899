"""Serves what the page loads: QR codes, the logo, style sheets and the script."""

import json
import re
from email.utils import formatdate
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from .. import answers
from ..answers import NOT_SERVED, Answer, Header, Request, text_answer
from ..config.logo import Logo
from ..config.tables import WITHOUT_LOGIN, AuthenticationMethod, Method, Server
from ..lookup import Lookup
from ..snapshot import Served
from . import look
from .alone import render
from .programs import Account
from .visit import Visit

_NO_PICTURE = text_answer("404 Not Found", "There is no picture of that.")
# Bytes in a QR code of version 10, which a phone easily reads from a screen, and of
# version 15, which needs a steady hand (ISO/IEC 18004, table 7, error correction M).
MAX_BYTES = 213
MAX_LARGE_BYTES = 412
CSS = "text/css; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
_MASK = 0  # fixed: trying all eight masks takes four times as long
_MAX_AGE = 3600  # seconds
_COLOUR = re.compile("#[0-9a-f]{6}")
_QR_POLICY = ("Content-Security-Policy", "default-src 'none'")
# Lets an SVG contain a style, but neither run nor load anything.
_LOGO_POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; sandbox",
)


def _answer(body: bytes, content_type: str, *headers: Header) -> Answer:
    all_headers = [("Content-Type", content_type), *headers]
    return Answer(answers.OK, body, all_headers, common=answers.SECURITY_HEADERS)


# --- QR codes -------------------------------------------------------------------------


def fits(url: str) -> bool:
    """Whether a URL gets a QR code: it is absolute and short enough."""
    return not url.startswith("/") and len(url.encode()) <= MAX_BYTES


def picture(content: str | bytes) -> bytes:
    import segno

    code = segno.make(
        content, error="m", mode="byte", micro=False, mask=_MASK, boost_error=False
    )
    stream = BytesIO()
    code.save(stream, kind="svg", scale=4, border=4, dark="#000", light="#fff")
    return stream.getvalue()


def qr_code(lookup: Lookup, request: Request) -> Answer:
    served = lookup.find_for_person(request.query, request.host)
    visit = Visit(request)
    url = visit.url(visit.query(served.address), "/qr.svg")
    return _qr_answer(url if served.address and fits(url) else None)


def account_code(lookup: Lookup, request: Request) -> Answer:
    served = lookup.find_for_person(request.query, request.host)
    if served.address is None:
        return _NO_PICTURE
    account = Account(served.provider, served.address, name=Visit(request).name)
    return _qr_answer(account_content(account))


def _qr_answer(content: str | bytes | None) -> Answer:
    if content is None:
        return _NO_PICTURE
    return _answer(picture(content), "image/svg+xml", answers.PRIVATE, _QR_POLICY)


# Thunderbird's "Export for Mobile", format version 1: JSON arrays by position
# (`feature/migration/qrcode/qr-code-format.md` of thunderbird-android). It contains no
# password: the app asks for it.
_VERSION = 1
_ONE_OF_ONE = [1, 1]  # the number of the code, and of the codes of an export
_PROTOCOLS = {"imap": 0, "pop3": 1, "smtp": 0}  # of incoming and of outgoing servers
_SECURITY = {"plain": 0, "STARTTLS": 2, "SSL": 3}
_METHODS: dict[Method, int] = {
    **dict.fromkeys(WITHOUT_LOGIN, 0),
    "password-cleartext": 1,
    "password-encrypted": 2,
}


def account_content(account: Account) -> bytes | None:
    """Return the content of the account's QR code.

    None without the person's name, for an address beyond ASCII, or if it does not fit.
    """
    servers = account.mail_servers(_METHODS)
    address = str(account.address)
    if not account.name or servers is None or not address.isascii():
        return None
    incoming, outgoing = map(_exported, servers)
    group = [outgoing, [address, account.name]]
    export = [_VERSION, _ONE_OF_ONE, incoming, [group]]
    text = json.dumps(export, ensure_ascii=False, separators=(",", ":")).encode()
    return text if len(text) <= MAX_LARGE_BYTES else None


def _exported(server: Server) -> list[Any]:
    (method,) = server.authentication
    is_sasl = isinstance(method, AuthenticationMethod)
    return [
        _PROTOCOLS[server.type],
        server.hostname,
        server.port,
        _SECURITY[server.socket_type or "SSL"],
        _METHODS["password-cleartext" if is_sasl else method],
        server.username or "",
    ]


# --- Logo -----------------------------------------------------------------------------


def logo_path(path: str, served: Served) -> str:
    """Return the path of the provider's logo, "" if it has none."""
    picture = _logo(served)
    person = f"emailaddress={quote(str(served.address))}&" if served.address else ""
    return f"{path}/logo?{person}v={picture.name}" if picture else ""


def _logo(served: Served) -> Logo | None:
    return served.snapshot.loaded.logos.get(served.match.provider_index)


def logo(lookup: Lookup, request: Request) -> Answer:
    served = lookup.find_for_person(request.query, request.host)
    picture = _logo(served)
    if picture is None:
        return NOT_SERVED
    cached = ("Cache-Control", f"private, max-age={_MAX_AGE}")
    return _answer(picture.data, picture.content_type, cached, _LOGO_POLICY)


# --- Style sheets and the script ------------------------------------------------------


def colours(_lookup: Lookup, request: Request) -> Answer:
    keys = parse_qs(request.query[:100])
    chosen = {key: f"#{keys[key][0]}" for key in ("colour", "logo") if key in keys}
    if not chosen or not all(map(_COLOUR.fullmatch, chosen.values())):
        return NOT_SERVED
    brand = look.colours(chosen["colour"]) if "colour" in chosen else {}
    body = render("autoconfig/colours.css", logo=chosen.get("logo"), **brand).encode()
    cached = ("Cache-Control", f"public, max-age={_MAX_AGE}, no-transform")
    return _answer(body, CSS, cached)


def file(_lookup: Lookup, request: Request) -> Answer:
    """Return the file in `static/` with the name at the end of the path."""
    return _static(request.path.rpartition("/")[2])


@cache
def _static(name: str) -> Answer:
    file = Path(__file__).parent / "static" / name
    return answers.public(
        file.read_bytes(),
        [("Content-Type", CSS if file.suffix == ".css" else JAVASCRIPT)],
        cache_control=answers.public_cache_control(_MAX_AGE),
        modified=formatdate(file.stat().st_mtime, usegmt=True),
    )
