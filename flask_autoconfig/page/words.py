"""The texts of the page in the visitor's language, and the labels of programs."""

import gettext
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from .. import documents
from ..documents import Recipient
from ..files import table_beside
from .alone import macro

LOCALE = Path(__file__).parent / "locale"
LABELS = Path(__file__).parent / "labels.toml"
LONGEST_TAG = 35  # characters of a language (RFC 5646, section 4.4.1)
_RIGHT_TO_LEFT = frozenset(("ar", "arc", "dv", "fa", "he", "ku", "ps", "ur", "yi"))


def N_(text: str) -> str:  # noqa: N802 (gettext's name for a text to be extracted)
    """Mark a text that is translated later."""
    return text


# --- Languages ------------------------------------------------------------------------


@cache
def languages(site_catalogs: Path | None = None) -> dict[str, str]:
    """Return the folder of each language (`pt_BR`) by its tag (`pt-BR`), English first.

    *site_catalogs* is a folder with further catalogs.
    """
    roots = [LOCALE, site_catalogs] if site_catalogs else [LOCALE]
    files = (file for root in roots for file in root.glob("*/*/autoconfig.mo"))
    folders = sorted({file.parent.parent.name for file in files})
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
    own = gettext.translation("autoconfig", site_catalogs, [folder], fallback=True)
    own.add_fallback(catalog)
    return own


def best_match(wanted: Iterable[str], available: Iterable[str]) -> str | None:
    """Return the available tag for the first wanted tag that has one, or None.

    For `fr-CA` it is that, or else `fr` (RFC 4647, section 3.4), or else another region's.
    """
    tags = {_key(tag): tag for tag in available}
    for key in map(_key, wanted):
        subtags = key.split("-")
        prefixes = ("-".join(subtags[:end]) for end in range(len(subtags), 0, -1))
        regions = (tag for tag in tags if tag.partition("-")[0] == subtags[0])
        for candidate in (*prefixes, *regions):
            if candidate in tags:
                return tags[candidate]
    return None


def _key(tag: str) -> str:
    return tag[:LONGEST_TAG].replace("_", "-").lower()


@cache
def words_of_documents(site_catalogs: Path | None) -> documents.Words:
    tags = languages(site_catalogs)
    return tuple((tag, translations(tag, site_catalogs).gettext) for tag in tags)


def best_text(texts: Mapping[str, str], language: str, recipient: Recipient) -> str:
    """Return the text in a language, or else in English, in no language, or in any.

    A text in a language other than the wanted one is marked with that language.
    """
    tag = best_match([language, "en", "", *texts], texts) or ""
    text = recipient.text(texts.get(tag, ""))
    if not text or not tag or best_match([language], [tag]):
        return text
    return macro("foreign")(text, tag)


# --- Texts and labels -----------------------------------------------------------------


@cache
def labels() -> Mapping[str, Mapping[str, str]]:
    return {
        f"{program}.{name}": texts
        for program, names in table_beside(__file__, LABELS.name).items()
        for name, texts in names.items()
    }


class Words:
    """Translates the package's texts, and quotes the labels of programs."""

    def __init__(self, language: str, site_catalogs: Path | None) -> None:
        self.language = language
        translate = translations(language, site_catalogs).gettext
        is_right_to_left = language.partition("-")[0].lower() in _RIGHT_TO_LEFT
        self.direction = "rtl" if is_right_to_left else "ltr"  # HTML's attribute `dir`
        # The cache is bounded: all texts are in the code and the templates.
        self._translated = cache(lambda text: escape(translate(text)))

    def say(self, text: str, /, **values: object) -> Markup:
        """Translate a text, and fill in its `%(name)s`."""
        translated = self._translated(text)
        return translated % values if values else translated

    def label(self, name: str, description: str = "") -> Markup:
        """Quote a label in a program's user interface.

        *name* is its key in labels.toml. If nobody has seen the label in the visitor's
        language, *description* is translated instead.
        """
        texts = labels().get(name, {})
        tag = best_match([self.language], texts.keys() - {"source", "unseen"})
        if tag is not None:
            return macro("quoted")(texts[tag])
        if description:
            return self.say(description)
        return macro("quoted")(texts["en"], "en")


words_in = cache(Words)
