"""Which languages there are, and which of them a reader gets."""

from __future__ import annotations

import gettext
from collections.abc import Iterable
from functools import cache
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"


@cache
def languages() -> dict[str, str]:
    """The name of each language's folder (`pt_BR`) by its tag (`pt-BR`), English first."""
    folders = sorted(path.parent.parent.name for path in LOCALE.glob("*/*/*.mo"))
    return {"en": "en"} | {name.replace("_", "-"): name for name in folders}


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalog of a language, by its tag."""
    folder = languages().get(language, language)
    return gettext.translation("autoconfig", LOCALE, [folder], fallback=True)


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


def _key(tag: str) -> str:
    return tag.replace("_", "-").lower()
