"""Which language a reader gets, and the catalogs that the page's words come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import catalogs
import pytest
from support import TWO_DOMAINS
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.page import languages

Ask = Callable[[str], str]
TITLES = {"da": "Opsæt din e-mail", "pt_BR": "Configurar seu e-mail"}
NOTES = """
[[provider.instruction]]
descr = { en = "Call us.", fr = "Appelez-nous.", pt-BR = "Ligue.", pt-PT = "Telefone." }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Catalogs like the package's own, with two languages more."""
    folder = tmp_path_factory.mktemp("locale")
    shutil.copytree(catalogs.LOCALE, folder, dirs_exist_ok=True)
    catalogs.main(TITLES, folder)
    for name, title in TITLES.items():
        file = folder / name / "LC_MESSAGES/autoconfig.po"
        untranslated = 'msgid "Set up your e-mail"\nmsgstr ""'
        text = file.read_text(encoding="utf-8")
        assert untranslated in text
        translated = untranslated.replace('msgstr ""', f'msgstr "{title}"')
        file.write_text(text.replace(untranslated, translated), encoding="utf-8")
    catalogs.compile_all(folder)
    return folder


@pytest.fixture
def locale(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """These catalogs instead of the package's own."""
    monkeypatch.setattr(languages, "LOCALE", folder)
    forget_catalogs()
    yield
    forget_catalogs()


def forget_catalogs() -> None:
    languages.languages.cache_clear()
    languages.translations.cache_clear()


@pytest.fixture
def ask(locale: None, toml: Callable[[str], Path]) -> Ask:
    """The page that a browser gets that is set to these languages."""
    client = Client(create_app(toml(TWO_DOMAINS + NOTES)))

    def ask(accepted: str) -> str:
        target = "/mail/setup?emailaddress=fred@example.com"
        return client.get(target, headers={"Accept-Language": accepted}).text

    return ask


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        ("fr", "fr"),
        ("fr-CA,en;q=0.8", "fr"),
        ("da,en;q=0.5", "da"),
        ("de-AT,en;q=0.5", "de"),
        ("de-CH-1996", "de"),
        ("en;q=0.5,de;q=0.9", "de"),
        ("de;q=0,en;q=0.1", "en"),
        ("pt-BR", "pt-BR"),
        ("PT-br,en;q=0.9", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("ja,fr;q=0.1", "fr"),
        ("ja", "en"),
        ("*", "en"),
        ("", "en"),
        ("x;q=nonsense", "en"),
    ],
)
def test_the_first_language_that_is_there_is_taken(
    ask: Ask, accepted: str, given: str
) -> None:
    assert f'<html lang="{given}">' in ask(accepted)


def test_the_words_are_those_of_the_language_that_the_page_names(ask: Ask) -> None:
    assert "Opsæt din e-mail" in ask("da-DK")
    assert "Configurar seu e-mail" in ask("pt-BR")


@pytest.mark.parametrize(
    ("accepted", "words"),
    [("pt-BR", "Ligue."), ("fr-CH", "Appelez-nous."), ("de", "Call us.")],
)
def test_the_files_own_texts_are_matched_like_the_pages(
    ask: Ask, accepted: str, words: str
) -> None:
    assert words in ask(accepted)


# --- The catalogs --------------------------------------------------------------------


def test_every_text_is_translated_into_every_language() -> None:
    wanted = {message.id for message in catalogs.texts() if message.id}
    files = catalogs.files()
    assert [file.parent.parent.name for file in files] == [
        *("de", "es", "fr", "it", "nl")
    ]
    for file in files:
        catalog = catalogs.read(file)
        assert {message.id for message in catalog if message.id} == wanted
        assert [message.id for message in catalog if not message.string] == []


def test_what_is_installed_is_compiled_from_the_catalogs() -> None:
    for file in catalogs.files():
        compiled = languages.LOCALE / file.relative_to(catalogs.LOCALE)
        expected = catalogs.compiled(catalogs.read(file))
        assert compiled.with_suffix(".mo").read_bytes() == expected


def test_a_new_language_leaves_the_others_alone(tmp_path: Path) -> None:
    shutil.copytree(catalogs.LOCALE, tmp_path, dirs_exist_ok=True)
    french = tmp_path / "fr/LC_MESSAGES/autoconfig.po"
    french.write_text("# as somebody left it\n" + french.read_text())
    before = french.read_bytes(), french.stat().st_mtime_ns
    catalogs.main(["pt-BR"], tmp_path)
    assert (french.read_bytes(), french.stat().st_mtime_ns) == before
    assert (tmp_path / "pt_BR/LC_MESSAGES/autoconfig.po").exists()


def test_a_language_without_a_word_is_not_offered(tmp_path: Path) -> None:
    catalogs.main(["fi"], tmp_path)
    assert [file.suffix for file in tmp_path.rglob("*.?o")] == [".po"]


def test_a_word_that_is_no_language_makes_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="klingon is no language"):
        catalogs.main(["klingon"], tmp_path)
    assert list(tmp_path.iterdir()) == []
