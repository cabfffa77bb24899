"""Finds catalogs of translations, and the language that a visitor gets."""

from __future__ import annotations

import gettext
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from ..documents import Words

LOCALE = Path(__file__).parent / "locale"
LONGEST_TAG = 35  # characters (RFC 5646, section 4.4.1)
_LONGEST_HEADER = 1024  # browsers send an Accept-Language of less than a hundred


@cache
def languages(site_catalogs: Path | None = None) -> dict[str, str]:
    """Return the folder of each language (`pt_BR`) by its tag (`pt-BR`), English first.

    *site_catalogs* is a folder with further catalogs.
    """
    roots = [LOCALE, site_catalogs] if site_catalogs else [LOCALE]
    found = {file for root in roots for file in root.glob("*/*/autoconfig.mo")}
    folders = sorted(file.parent.parent.name for file in found)
    return {"en": "en"} | {name.replace("_", "-"): name for name in folders}


@cache
def translations(
    language: str, site_catalogs: Path | None = None
) -> gettext.NullTranslations:
    """Return the catalog of a language by its tag; the site's takes precedence."""
    folder = languages(site_catalogs).get(language, language)
    catalog = gettext.translation("autoconfig", LOCALE, [folder], fallback=True)
    if site_catalogs is None:
        return catalog
    first = gettext.translation("autoconfig", site_catalogs, [folder], fallback=True)
    first.add_fallback(catalog)
    return first


def best_match(wanted: Iterable[str], available: Iterable[str]) -> str | None:
    """Return the available tag for the first wanted tag that has one, or None.

    Look up `fr-CA`, then `fr` (RFC 4647, section 3.4), then another region of the same
    language (`pt` gets `pt-BR`).
    """
    by_key = {_key(tag): tag for tag in available}
    for key in map(_key, wanted):
        if key in by_key:
            return by_key[key]
        prefix = key
        while prefix := prefix.rpartition("-")[0]:
            if prefix in by_key:
                return by_key[prefix]
        language = key.partition("-")[0]
        for other, tag in by_key.items():
            if language and other.partition("-")[0] == language:
                return tag
    return None


def accepted(header: str) -> list[str]:
    """Return the tags in an Accept-Language header, the preferred one first."""
    from werkzeug.datastructures import LanguageAccept
    from werkzeug.http import parse_accept_header

    wanted = parse_accept_header(header[:_LONGEST_HEADER], LanguageAccept)
    return [tag for tag, quality in wanted if quality > 0]


def _key(tag: str) -> str:
    return tag[:LONGEST_TAG].replace("_", "-").lower()


class CatalogWords(Words):
    """The translations for documents, in every language of the page."""

    def __init__(self, site_catalogs: Callable[[], Path | None]) -> None:
        """*site_catalogs* returns the folder with the site's catalogs, or None."""
        self._site_catalogs = site_catalogs

    def best(self, wanted: str) -> str:
        """Return the tag of the available language for a wanted one, or `en`."""
        return best_match([wanted], self.languages()) or "en"

    def languages(self) -> list[str]:
        """Return the tags of all languages, English first."""
        return list(languages(self._site_catalogs()))

    def say(self, text: str, language: str) -> str:
        """Translate a text; without a translation it stays English."""
        return translations(language, self._site_catalogs()).gettext(text)
