"""The labels that the page quotes: Thunderbird's and Evolution's are what they install."""

from __future__ import annotations

import gettext
import re
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support import lacking

from flask_autoconfig.page.words import LABELS, Words, labels

LANGUAGES = ("en", "de", "fr", "it", "es", "nl")
TABLES = tomllib.loads(LABELS.read_text(encoding="utf-8"))
_OMNI = Path("/usr/lib/thunderbird/omni.ja")
_PACKS = Path("/usr/lib/thunderbird/extensions")
_LOCALE = Path("/usr/share/locale")
_FOLDERS = {"en": "en-US", "es": "es-ES"}


def _of(program: str) -> Iterator[tuple[str, str]]:
    for name in TABLES[program]:
        for language in LANGUAGES:
            yield name, language


@cache
def _thunderbird_text(language: str, file: str) -> str:
    folder = _FOLDERS.get(language, language)
    pack = _PACKS / f"langpack-{folder}@thunderbird.mozilla.org.xpi"
    archive = _OMNI if language == "en" else pack
    if not archive.exists():
        lacking(str(archive))
    with zipfile.ZipFile(archive) as texts:
        return texts.read(f"localization/{folder}/{file}").decode()


def thunderbird_says(language: str, source: str) -> str:
    """A message of Thunderbird's, or an attribute of one, in its own texts."""
    file, _, key = source.partition(" ")
    message, _, attribute = key.partition(".")
    text = _thunderbird_text(language, file)
    found = re.search(rf"^{message} *=(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE)
    assert found, f"{source} is gone from Thunderbird's {language} texts"
    if not attribute:
        return found[1].strip().partition("\n")[0]
    value = re.search(rf"^\s+\.{attribute} *= *(.*)$", found[1], re.MULTILINE)
    assert value, f"{source} is gone from Thunderbird's {language} texts"
    return value[1].strip()


def evolution_says(language: str, source: str) -> str:
    """A label of Evolution's, by its English text (with a context before `|`)."""
    file = _LOCALE / language / "LC_MESSAGES/evolution.mo"
    if not file.exists():
        lacking(str(file))
    context, _, text = source.rpartition("|")
    with file.open("rb") as stream:
        catalog = gettext.GNUTranslations(stream)
    catalog.add_fallback(_Gone())
    return catalog.pgettext(context, text) if context else catalog.gettext(text)


class _Gone(gettext.NullTranslations):
    """What is asked for a text that a catalog does not have."""

    def gettext(self, message: str) -> str:
        raise AssertionError(f"{message} is gone from Evolution's texts")

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


def _plain(label: str) -> str:
    """Without the letter for the keyboard and the colon."""
    label = re.sub(r"\(_\w\)", "", label).replace("_", "").strip()
    return re.sub(r"\s*:$", "", label)


@pytest.mark.world
@pytest.mark.parametrize(("name", "language"), [*_of("thunderbird")])
def test_a_label_of_thunderbird_is_what_it_shows(name: str, language: str) -> None:
    label = TABLES["thunderbird"][name]
    assert label[language] == thunderbird_says(language, label["source"])


@pytest.mark.world
@pytest.mark.parametrize(("name", "language"), [*_of("evolution")])
def test_a_label_of_evolution_is_what_it_shows(name: str, language: str) -> None:
    label = TABLES["evolution"][name]
    said = label["source"].rpartition("|")[2]
    if language != "en":
        said = evolution_says(language, label["source"])
    assert label[language] == _plain(said)


@pytest.mark.world
def test_a_label_that_is_gone_is_noticed() -> None:
    with pytest.raises(AssertionError, match="gone from Thunderbird's de texts"):
        thunderbird_says("de", "messenger/appmenu.ftl appmenu-new-telegram.label")
    with pytest.raises(AssertionError, match="gone from Evolution's"):
        evolution_says("de", "_Telegram:")


def test_every_label_says_where_it_was_seen() -> None:
    for program, names in TABLES.items():
        for name, words in names.items():
            assert words.get("source"), f"{program}.{name}"
            assert set(words) <= {"source", *LANGUAGES}
            assert "en" in words


def test_a_label_is_quoted_where_it_was_seen_and_described_elsewhere() -> None:
    english, german = Words("en", str), Words("de-CH", str)
    assert german.label("thunderbird.continue") == '<b class="label">Weiter</b>'
    assert english.label("iphone.install", "a button") == (
        '<b class="label">Install</b>'
    )
    assert german.label("iphone.install", "ein <Knopf>") == "ein &lt;Knopf&gt;"
    other = Words("ja", str).label("thunderbird.continue")
    assert other == '<b class="label" lang="en">Continue</b>'


def test_a_label_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"thunderbird\.telegram"):
        Words("en", str).label("thunderbird.telegram")


def test_the_labels_are_those_that_the_page_quotes() -> None:
    folder = LABELS.parent
    files = [*folder.rglob("*.py"), *folder.rglob("*.html")]
    code = "".join(it.read_text(encoding="utf-8") for it in files)
    assert set(re.findall(r'"([a-z0-9-]+\.[a-z0-9-]+)"', code)) >= set(labels())
    assert set(re.findall(r'\blabel\("([^"]+)"', code)) <= set(labels())
