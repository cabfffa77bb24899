"""Serves the QR codes, the logo and the colours of the page."""

from __future__ import annotations

import re
from io import BytesIO
from urllib.parse import parse_qs, quote

from ..answers import (
    NOT_SERVED,
    OK,
    PRIVATE,
    SECURITY_HEADERS,
    Answer,
    Header,
    Request,
    text_answer,
)
from ..config.logo import Logo
from ..lookup import Lookup
from ..snapshot import Served
from . import look, mobile
from .account import Account
from .alone import style_of
from .visit import Visit

NO_PICTURE = text_answer("404 Not Found", "There is no picture of that.")
# Bytes in a QR code of version 10, which a phone easily reads from a screen, and of
# version 15, which takes a steady hand (ISO/IEC 18004, table 7, error correction M).
MOST_BYTES = 213
MOST_LARGE_BYTES = 412
_MASK = 0  # fixed: trying all eight masks takes four times as long
_CACHED_AN_HOUR = ("Cache-Control", "private, max-age=3600")
_PUBLIC_AN_HOUR = ("Cache-Control", "public, max-age=3600, no-transform")
_NOTHING = ("Content-Security-Policy", "default-src 'none'")
# An SVG may contain a style; it can neither run nor load anything.
_LOGO_POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; sandbox",
)


# --- QR codes -------------------------------------------------------------------------


def fits(url: str) -> bool:
    """Return whether there is a QR code of a URL: it is absolute and short enough."""
    return not url.startswith("/") and len(url.encode()) <= MOST_BYTES


def picture(content: str | bytes) -> bytes:
    """Return a QR code as SVG."""
    import segno

    code = segno.make(
        content, error="m", mode="byte", micro=False, mask=_MASK, boost_error=False
    )
    stream = BytesIO()
    code.save(stream, kind="svg", scale=4, border=4, dark="#000", light="#fff")
    return stream.getvalue()


def qr_code(lookup: Lookup, request: Request) -> Answer:
    """Return the QR code of the page's URL for an address."""
    served = lookup.find_person(request.query, request.host)
    if isinstance(served, Answer):
        return served
    visit = Visit(request)
    query = visit.query(served.address)
    url = f"{visit.origin}{quote(visit.path('/qr.svg'))}?{query}"
    return _qr_answer(url if served.address is not None and fits(url) else None)


def account_code(lookup: Lookup, request: Request) -> Answer:
    """Return the QR code of an account for Thunderbird for Android."""
    served = lookup.find_person(request.query, request.host)
    if isinstance(served, Answer):
        return served
    if served.address is None:
        return NO_PICTURE
    name = Visit(request).name
    return _qr_answer(account_content(Account(served.provider, served.address), name))


def account_content(account: Account, name: str) -> bytes | None:
    """Return the content of that code; None without a name, or if it does not fit."""
    servers = account.mail_servers(mobile.METHODS)
    if not name or servers is None:
        return None
    content = mobile.export(servers, account.address, name)
    return content if content and len(content) <= MOST_LARGE_BYTES else None


def code_path(path: str, account: Account, name: str) -> str | None:
    """Return the path of the account's QR code, or None if there is none."""
    if account_content(account, name) is None:
        return None
    address = quote(str(account.address))
    return f"{path}/account.svg?emailaddress={address}&name={quote(name)}"


def _qr_answer(content: str | bytes | None) -> Answer:
    if content is None:
        return NO_PICTURE
    return _answer(picture(content), "image/svg+xml", PRIVATE, _NOTHING)


# --- Logo and colours -----------------------------------------------------------------


def logo_path(path: str, served: Served) -> str:
    """Return the path of the provider's logo, "" if it has none."""
    picture = _logo(served)
    if picture is None:
        return ""
    address = served.address
    person = f"emailaddress={quote(str(address))}&" if address is not None else ""
    return f"{path}/logo?{person}v={picture.name}"


def _logo(served: Served) -> Logo | None:
    return served.snapshot.loaded.logos.get(served.match.provider_index)


def logo(lookup: Lookup, request: Request) -> Answer:
    """Return the logo of the provider that serves the address or the host."""
    served = lookup.find_person(request.query, request.host)
    if isinstance(served, Answer):
        return served
    picture = _logo(served)
    if picture is None:
        return NOT_SERVED
    return _answer(picture.data, picture.content_type, _CACHED_AN_HOUR, _LOGO_POLICY)


def colours(_lookup: Lookup, request: Request) -> Answer:
    """Return the style sheet with a provider's colour."""
    (colour, *_) = parse_qs(request.query[:100]).get("colour", [""])
    if not re.fullmatch("[0-9a-f]{6}", colour):
        return NOT_SERVED
    body = style_of(look.colours(f"#{colour}")).encode()
    return _answer(body, "text/css; charset=utf-8", _PUBLIC_AN_HOUR)


def _answer(body: bytes, content_type: str, *headers: Header) -> Answer:
    every = [("Content-Type", content_type), *headers]
    return Answer(OK, body, every, common=SECURITY_HEADERS)
