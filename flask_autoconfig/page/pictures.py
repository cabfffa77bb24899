"""The page's pictures, each at an address of its own: QR codes, logo, colours."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

from ..address import Address
from ..answers import (
    NOT_SERVED,
    OK,
    PRIVATE,
    SECURITY_HEADERS,
    Answer,
    Request,
    text_answer,
)
from ..config.logo import Logo
from ..lookup import Lookup
from ..snapshot import Served
from . import look, mobile, qr
from .account import Account
from .alone import style_of
from .visit import Visit

NO_PICTURE = text_answer("404 Not Found", "There is no picture of that.")
_KEPT_FOR_A_WHILE = ("Cache-Control", "private, max-age=3600")
_COLOUR = re.compile(r"colour=([0-9a-f]{6})")
_PLAIN_POLICY = "default-src 'none'"
# An SVG may carry a style of its own; nothing in it runs or loads anything.
_LOGO_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def fits(url: str) -> bool:
    """Whether there is a QR code of a page's address: absolute, and not too long."""
    return not url.startswith("/") and qr.fits(url)


def qr_code(lookup: Lookup, asked: Request) -> Answer:
    """The picture of the address of somebody's page, for the camera of a phone."""
    served = lookup.find_person(asked.query, asked.host)
    if isinstance(served, Answer):
        return served
    visit = Visit(asked)
    if served.address is None:
        return NO_PICTURE
    query = visit.query(served.address)
    here = f"{visit.origin}{quote(visit.path('/qr.svg'))}?{query}"
    return _svg(qr.picture(here)) if fits(here) else NO_PICTURE


def account_code(lookup: Lookup, asked: Request) -> Answer:
    """The picture of an account, which Thunderbird for Android reads."""
    served = lookup.find_person(asked.query, asked.host)
    if isinstance(served, Answer):
        return served
    visit = Visit(asked)
    if served.address is None or not visit.name:
        return NO_PICTURE
    account = Account(served.provider, served.address, "")
    content = account_content(account, visit.name)
    return NO_PICTURE if content is None else _svg(qr.picture(content))


def account_content(account: Account, name: str) -> bytes | None:
    """What that picture says; None where it would not fit."""
    box = account.box(mobile.METHODS)
    said = mobile.export(box, account.address, name) if box else None
    return said if said and qr.fits_large(said) else None


def code_path(path: str, account: Account, visit: Visit) -> str | None:
    """Where the picture of the account is; None without a name, or without one."""
    if not visit.name or account_content(account, visit.name) is None:
        return None
    return f"{path}/account.svg?{_of(account.address)}&name={quote(visit.name)}"


def _of(address: Address) -> str:
    return f"emailaddress={quote(str(address))}"


def _svg(picture: bytes) -> Answer:
    headers = [("Content-Type", "image/svg+xml"), PRIVATE]
    headers.append(("Content-Security-Policy", _PLAIN_POLICY))
    return Answer(OK, picture, headers, common=SECURITY_HEADERS)


def logo_path(path: str, served: Served) -> str:
    """Where the provider's logo is, "" where it has none."""
    logo = _logo(served)
    if logo is None:
        return ""
    query = f"v={logo.name}"
    if served.address is not None:
        query = f"{_of(served.address)}&{query}"
    return f"{path}/logo?{query}"


def _logo(served: Served) -> Logo | None:
    if served.hooked is not None:
        return None
    return served.snapshot.loaded.logos.get(served.match.provider_index)


def logo(lookup: Lookup, asked: Request) -> Answer:
    """The provider's logo, by the address or by the host."""
    served = lookup.find_person(asked.query, asked.host)
    if isinstance(served, Answer):
        return served
    picture = _logo(served)
    if picture is None:
        return NOT_SERVED
    headers = [("Content-Type", picture.content_type), _KEPT_FOR_A_WHILE]
    headers.append(("Content-Security-Policy", _LOGO_POLICY))
    return Answer(OK, picture.data, headers, common=SECURITY_HEADERS)


def colours(_lookup: Lookup, asked: Request) -> Answer:
    """The style sheet of a colour, which the page has for its provider."""
    said = dict(parse_qsl(asked.query[:100])).get("colour", "")
    if not _COLOUR.fullmatch(f"colour={said}"):
        return NOT_SERVED
    body = style_of(look.colours(f"#{said}")).encode()
    headers = [("Content-Type", "text/css; charset=utf-8")]
    headers.append(("Cache-Control", "public, max-age=3600, no-transform"))
    return Answer(OK, body, headers, common=SECURITY_HEADERS)
