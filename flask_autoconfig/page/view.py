"""Answers a visitor of the page, inside a Flask request of the site that shows it."""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import quote

from flask import render_template, request

from ..address import Address, address_in_query, unfold
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


def answer(lookup: Lookup, asked: Request) -> Answer:
    """The page for whoever asks; the template says how it looks."""
    accepted = [tag for tag, quality in request.accept_languages if quality > 0]
    language = best_match(accepted, languages()) or "en"
    gettext = translations(language).gettext
    typed = address_in_query(asked.query)[:_LONGEST_SHOWN]
    served = lookup.find(asked.query, asked.host) if typed else None

    values: dict[str, Any] = {"settings": None, "error": None}
    status = OK
    if isinstance(served, Answer):
        status = served.status
        values["error"] = (
            gettext("That is no e-mail address. It looks like name@example.com.")
            if served is BAD_ADDRESS
            else gettext("There are no settings here for that address.")
        )
    elif served is not None and served.address is not None:
        values |= _settings(lookup, served, served.address, language, asked)

    nonce = secrets.token_urlsafe(16)
    html = render_template(
        "autoconfig/setup.html",
        _=gettext,
        language=language,
        nonce=nonce,
        action=_path(asked),
        typed=typed,
        **values,
    )
    return Answer(status, html.encode(), _headers(nonce), common=SECURITY_HEADERS)


def qr_code(lookup: Lookup, asked: Request) -> Answer:
    """The picture of the address of somebody's page, for the camera of a phone."""
    served = lookup.find(asked.query, asked.host)
    if isinstance(served, Answer):
        return served
    here = _here(asked, served.address) if served.address else "/"
    if here.startswith("/") or not qr.fits(here):
        return NO_PICTURE
    headers = [("Content-Type", "image/svg+xml"), KEPT_BY_NOBODY_ELSE]
    headers.append(("Content-Security-Policy", "default-src 'none'"))
    return Answer(OK, qr.picture(here), headers, common=SECURITY_HEADERS)


def _settings(
    lookup: Lookup, served: Served, address: Address, language: str, asked: Request
) -> dict[str, Any]:
    here = _here(asked, address)
    query = here.partition("?")[2]
    shows_picture = not here.startswith("/") and qr.fits(here)
    picture = f"{_path(asked)}/qr.svg?{query}" if shows_picture else None
    return {
        "settings": content.settings(served.provider, address, language),
        "address": f"{address.local}@{unfold(address.domain)}",
        "here": here,
        "here_text": here.partition("?")[0].rpartition("://")[2],
        "qr": picture,
        "profile": _profile(lookup, served, query),
    }


def _path(asked: Request) -> str:
    """The page's own path, below which its picture is."""
    return request.script_root + asked.path.removesuffix("/qr.svg")


def _here(asked: Request, address: Address) -> str:
    """The page's own address for somebody, without a host where the client's is none."""
    target = f"{quote(_path(asked))}?emailaddress={quote(str(address))}"
    if not _AUTHORITY.fullmatch(asked.host):
        return target
    scheme = "https" if request.scheme == "https" else "http"  # a proxy says it
    return f"{scheme}://{asked.host}{target}"


_AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:.]+\](?::[0-9]+)?")
NO_PICTURE = in_words("404 Not Found", "There is no picture of that.")


def _profile(lookup: Lookup, served: Served, query: str) -> str | None:
    """Where the Apple profile is, if that family is served and has one."""
    path = lookup.path_of("apple")
    if path is None or apple.write(served.provider, served.recipient) is None:
        return None
    return f"{request.script_root}{path}?{query}"


def _headers(nonce: str) -> list[Header]:
    """Nothing from elsewhere, nothing kept, not to be framed."""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("Vary", "Accept-Language"),
        KEPT_BY_NOBODY_ELSE,
    ]
