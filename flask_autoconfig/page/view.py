"""Answers a visitor of the page; the stage that it is shown on gives the template."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from werkzeug.wrappers import Request as Visit

from ..address import Address, address_in_query, is_authority, unfold
from ..answers import (
    BAD_ADDRESS,
    KEPT_BY_NOBODY_ELSE,
    OK,
    SECURITY_HEADERS,
    Answer,
    Header,
    Request,
    in_words,
)
from ..documents import apple
from ..snapshot import Lookup, Served
from . import content, qr
from .languages import best_match, languages, translations

_LONGEST_SHOWN = 254  # of what was typed (RFC 5321, section 4.5.3.1.3)
# Nothing from elsewhere, not to be framed.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Page(NamedTuple):
    """What the templates know, as `autoconfig_page`."""

    say: Callable[[str], str]  # a text of ours in the visitor's language
    language: str  # its tag
    path: str  # the page's own; its style and script lie below
    typed: str  # what was asked for
    error: str | None = None  # why nothing is shown for that
    settings: content.Settings | None = None  # what to enter by hand
    address: str = ""  # as people write it
    here: str = ""  # the page's own address for that e-mail address
    here_text: str = ""  # the same, short
    picture: str | None = None  # where the QR code of `here` is
    profile: str | None = None  # where the Apple profile is


def answer(lookup: Lookup, asked: Request) -> Answer:
    """The page for whoever asks; the template says how it looks."""
    visit = Visit(asked.environ or {})
    own = lookup.stage.catalogs()
    language = _language(lookup, visit, languages(own))
    say = translations(language, own).gettext
    typed = address_in_query(asked.query)[:_LONGEST_SHOWN]
    served = lookup.find(asked.query, asked.host) if typed else None

    page = Page(say, language, _path(asked, visit), typed)
    status = OK
    if isinstance(served, Answer):
        status = served.status
        page = page._replace(
            error=say("That is no e-mail address. It looks like name@example.com.")
            if served is BAD_ADDRESS
            else say("There are no settings here for that address.")
        )
    elif served is not None and served.address is not None:
        page = _with_settings(page, lookup, served, served.address, asked, visit)
    shown = lookup.stage.show(page, POLICY)
    body = shown.html.encode()
    return Answer(status, body, _headers(shown.policy), common=SECURITY_HEADERS)


def _language(lookup: Lookup, visit: Visit, there: dict[str, str]) -> str:
    """The site's choice, else the browser's, as far as there is a catalog."""
    wanted = [tag for tag, quality in visit.accept_languages if quality > 0]
    chosen = lookup.stage.language()
    return best_match([chosen, *wanted] if chosen else wanted, there) or "en"


def qr_code(lookup: Lookup, asked: Request) -> Answer:
    """The picture of the address of somebody's page, for the camera of a phone."""
    served = lookup.find(asked.query, asked.host)
    if isinstance(served, Answer):
        return served
    visit = Visit(asked.environ or {})
    here = _here(asked, visit, served.address) if served.address else "/"
    if here.startswith("/") or not qr.fits(here):
        return NO_PICTURE
    headers = [("Content-Type", "image/svg+xml"), KEPT_BY_NOBODY_ELSE]
    headers.append(("Content-Security-Policy", "default-src 'none'"))
    return Answer(OK, qr.picture(here), headers, common=SECURITY_HEADERS)


def _with_settings(
    page: Page,
    lookup: Lookup,
    served: Served,
    address: Address,
    asked: Request,
    visit: Visit,
) -> Page:
    here = _here(asked, visit, address)
    query = here.partition("?")[2]
    shows_picture = not here.startswith("/") and qr.fits(here)
    return page._replace(
        settings=content.settings(served.provider, address, page.language, page.say),
        address=f"{address.local}@{unfold(address.domain)}",
        here=here,
        here_text=here.partition("?")[0].rpartition("://")[2],
        picture=f"{page.path}/qr.svg?{query}" if shows_picture else None,
        profile=_profile(lookup, served, visit, query),
    )


def _path(asked: Request, visit: Visit) -> str:
    """The page's own path, below which its picture is."""
    return visit.root_path.rstrip("/") + asked.path.removesuffix("/qr.svg")


def _here(asked: Request, visit: Visit, address: Address) -> str:
    """The page's own address for somebody, without a host where the client's is none."""
    path = quote(_path(asked, visit))
    target = f"{path}?emailaddress={quote(str(address))}"
    if not is_authority(asked.host):
        return target
    scheme = "https" if visit.scheme == "https" else "http"  # a proxy says it
    return f"{scheme}://{asked.host}{target}"


NO_PICTURE = in_words("404 Not Found", "There is no picture of that.")


def _profile(lookup: Lookup, served: Served, visit: Visit, query: str) -> str | None:
    """Where the Apple profile is, if that family is served and has one."""
    path = lookup.path_of("apple")
    if path is None or apple.write(served.provider, served.recipient) is None:
        return None
    return f"{visit.root_path.rstrip('/')}{path}?{query}"


def _headers(policy: str | None) -> list[Header]:
    """Nothing is kept by anybody else."""
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Vary", "Accept-Language"),
        KEPT_BY_NOBODY_ELSE,
    ]
    if policy:
        headers.append(("Content-Security-Policy", policy))
    return headers
