"""The labels that the page quotes, compared with what Thunderbird and Evolution install."""

import gettext
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from support import lacking

from flask_autoconfig.page.words import LABELS, Words, labels, translations

LANGUAGES = ("en", "de", "fr", "it", "es", "nl")
TABLES = tomllib.loads(LABELS.read_text(encoding="utf-8"))
_OMNI = Path("/usr/lib/thunderbird/omni.ja")
_PACKS = Path("/usr/lib/thunderbird/extensions")
_LOCALE = Path("/usr/share/locale")
_FOLDERS = {"en": "en-US", "es": "es-ES"}


def thunderbird_label(language: str, source: str) -> str:
    """Return a message of Thunderbird's texts (Fluent), or an attribute of one."""
    folder = _FOLDERS.get(language, language)
    pack = _PACKS / f"langpack-{folder}@thunderbird.mozilla.org.xpi"
    archive = _OMNI if language == "en" else pack
    if not archive.exists():
        lacking(str(archive))
    file, _, key = source.partition(" ")
    message, _, attribute = key.partition(".")
    with zipfile.ZipFile(archive) as texts:
        text = texts.read(f"localization/{folder}/{file}").decode()
    gone = f"{source} is gone from Thunderbird's {language} texts"
    found = re.search(rf"^{message} *=(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE)
    assert found, gone
    if attribute:
        found = re.search(rf"^\s+\.{attribute} *= *(.*)$", found[1], re.MULTILINE)
        assert found, gone
    return found[1].strip().partition("\n")[0]


class _Gone(gettext.NullTranslations):
    """Fails for a text that a catalog does not have."""

    def gettext(self, message: str) -> str:
        raise AssertionError(f"{message} is gone from Evolution's texts")

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


def evolution_label(language: str, source: str) -> str:
    """Return a label of Evolution by its English text (after its context and `|`)."""
    context, _, label = source.rpartition("|")
    if language != "en":
        file = _LOCALE / language / "LC_MESSAGES/evolution.mo"
        if not file.exists():
            lacking(str(file))
        with file.open("rb") as stream:
            catalog = gettext.GNUTranslations(stream)
        catalog.add_fallback(_Gone())
        label = catalog.pgettext(context, label) if context else catalog.gettext(label)
    # Without the access key and the colon.
    label = re.sub(r"\(_\w\)", "", label).replace("_", "").strip()
    return re.sub(r"\s*:$", "", label)


INSTALLED = {"thunderbird": thunderbird_label, "evolution": evolution_label}


@pytest.mark.world
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("program", "name"),
    [(program, name) for program in INSTALLED for name in TABLES[program]],
)
def test_a_label_is_the_programs_own(program: str, name: str, language: str) -> None:
    label = TABLES[program][name]
    assert label[language] == INSTALLED[program](language, label["source"])


def test_a_label_has_a_source_and_is_known_or_unseen_in_each_language() -> None:
    for label in (label for table in TABLES.values() for label in table.values()):
        unseen = label.get("unseen", "").split()
        texts = {tag: text for tag, text in label.items() if tag != "unseen"}
        assert all(texts.values()), label
        assert sorted([*texts, *unseen]) == sorted(["source", *LANGUAGES]), label


def test_a_label_that_nobody_saw_in_a_language_is_described() -> None:
    english, german = Words("en", None), Words("de-CH", None)
    install = '<b class="autoconfig-label">Install</b>'
    go_on = german.label("thunderbird.continue")
    assert go_on == '<b class="autoconfig-label">Weiter</b>'
    assert english.label("iphone.install", "a button") == install
    assert german.label("samsung.other", "ein <Knopf>") == "ein &lt;Knopf&gt;"
    other = Words("ja", None).label("thunderbird.continue")
    assert other == '<b class="autoconfig-label" lang="en">Continue</b>'
    with pytest.raises(LookupError):
        english.label("thunderbird.telegram")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_description_of_a_label_quotes_no_word_that_nobody_saw(language: str) -> None:
    templates = (LABELS.parent / "templates").rglob("*.html")
    code = "".join(file.read_text(encoding="utf-8") for file in templates)
    descriptions = set(re.findall(r'\blabel\("[^"]+", "([^"]+)"\)', code))
    say = translations(language, None).gettext
    assert descriptions
    assert [text for text in map(say, descriptions) if set(text) & set("„“”«»‘")] == []


def test_the_labels_are_those_that_the_page_quotes() -> None:
    folder = LABELS.parent
    files = [*folder.rglob("*.py"), *folder.rglob("*.html")]
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    assert set(re.findall(r'"([a-z0-9-]+\.[a-z0-9-]+)"', code)) >= set(labels())
    assert set(re.findall(r'\blabel\("([^"]+)"', code)) <= set(labels())
