"""Answers a visitor of the page, inside a Flask request of the site that shows it."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from flask import render_template, request
from markupsafe import Markup

from ..address import Address, address_in_query, unfold
from ..answers import (
    BAD_ADDRESS,
    KEPT_BY_NOBODY_ELSE,
    OK,
    SECURITY_HEADERS,
    Answer,
    Header,
    Request,
)
from ..documents import apple
from ..snapshot import Lookup, Served
from . import content
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
        values |= _settings(lookup, served, served.address, language)

    nonce = secrets.token_urlsafe(16)
    html = render_template(
        "autoconfig/setup.html",
        _=gettext,
        language=language,
        nonce=nonce,
        action=request.script_root + asked.path,
        typed=typed,
        **values,
    )
    return Answer(status, html.encode(), _headers(nonce), common=SECURITY_HEADERS)


def _settings(
    lookup: Lookup, served: Served, address: Address, language: str
) -> dict[str, Any]:
    base = request.url_root.rstrip("/")
    query = f"emailaddress={quote(str(address))}"
    here = f"{base}{request.path}?{query}"
    return {
        "settings": content.settings(served.provider, address, language),
        "address": f"{address.local}@{unfold(address.domain)}",
        "here": here,
        "here_text": base.split("://")[-1] + request.path,
        "qr": Markup(content.qr_code(here)),  # noqa: S704 (segno's own SVG)
        "profile": _profile(lookup, served, query),
    }


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
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy),
        ("Vary", "Accept-Language"),
        KEPT_BY_NOBODY_ELSE,
    ]
