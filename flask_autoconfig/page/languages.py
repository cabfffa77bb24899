"""Which languages there are, and which of them a reader gets."""

from __future__ import annotations

import gettext
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
# Of a language tag, in characters: RFC 5646, section 4.4.1.
LONGEST_TAG = 35
_LONGEST_HEADER = 1024  # of Accept-Language; browsers send less than a hundred


@cache
def languages(own: Path | None = None) -> dict[str, str]:
    """The name of each language's folder (`pt_BR`) by its tag (`pt-BR`), English first.

    A site may have a folder with catalogs of its own.
    """
    places = [LOCALE, own] if own else [LOCALE]
    found = {file for place in places for file in place.glob("*/*/autoconfig.mo")}
    folders = sorted(file.parent.parent.name for file in found)
    return {"en": "en"} | {name.replace("_", "-"): name for name in folders}


@cache
def translations(language: str, own: Path | None = None) -> gettext.NullTranslations:
    """The catalog of a language, by its tag; a site's own goes before ours."""
    folder = languages(own).get(language, language)
    ours = gettext.translation("autoconfig", LOCALE, [folder], fallback=True)
    if own is None:
        return ours
    theirs = gettext.translation("autoconfig", own, [folder], fallback=True)
    theirs.add_fallback(ours)
    return theirs


def best_match(wanted: Iterable[str], available: Iterable[str]) -> str | None:
    """The available tag for the first wanted language that has one, None without.

    As RFC 4647, section 3.4: `fr-CA` takes `fr`; where that is not there either, a
    language takes another region's words (`pt` takes `pt-BR`).
    """
    by_key = {_key(tag): tag for tag in available}
    for tag in wanted:
        key = _key(tag)
        while key:
            if key in by_key:
                return by_key[key]
            key = key.rpartition("-")[0]
        if tag == "" and "" in by_key:
            return by_key[""]
        primary = _key(tag).partition("-")[0]
        for other, found in by_key.items():
            if primary and other.partition("-")[0] == primary:
                return found
    return None


def accepted(header: str) -> list[str]:
    """Return the tags in an Accept-Language header, the most wanted first."""
    from werkzeug.datastructures import LanguageAccept
    from werkzeug.http import parse_accept_header

    wanted = parse_accept_header(header[:_LONGEST_HEADER], LanguageAccept)
    return [tag for tag, quality in wanted if quality > 0]


def _key(tag: str) -> str:
    return tag[:LONGEST_TAG].replace("_", "-").lower()
