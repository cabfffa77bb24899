"""The choice of the visitor's language, and the catalogs with the page's texts."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import catalogs
import pytest
from babel.messages.pofile import write_po
from support import TWO_DOMAINS, Patch, Write, rows
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.page import words

Fetch = Callable[[str], str]
TITLES = {"da": "Opsæt din e-mail", "pt_BR": "Configurar seu e-mail"}
NOTES = """
[[provider.instruction]]
descr = { fr = "Appelez-nous.", en = "Call us.", pt-BR = "Ligue.", pt-PT = "Telefone." }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's catalogs and two more."""
    folder = tmp_path_factory.mktemp("locale")
    shutil.copytree(catalogs.LOCALE, folder, dirs_exist_ok=True)
    catalogs.main(TITLES, folder)
    for name, title in TITLES.items():
        file = folder / name / "LC_MESSAGES/autoconfig.po"
        catalog = catalogs.read(file)
        catalog["Set up your e-mail"].string = title
        with file.open("wb") as output:
            write_po(output, catalog)
    catalogs.compile_all(folder)
    return folder


def forget_catalogs() -> None:
    words.languages.cache_clear()
    words.translations.cache_clear()
    words.words_in.cache_clear()
    words.words_of_documents.cache_clear()


@pytest.fixture
def fetch(folder: Path, monkeypatch: Patch, toml: Write) -> Iterator[Fetch]:
    """Return the page for a value of Accept-Language, with these catalogs."""
    monkeypatch.setattr(words, "LOCALE", folder)
    forget_catalogs()
    client = Client(create_app(toml(TWO_DOMAINS + NOTES)))

    def fetch(accepted: str) -> str:
        target = "/mail/setup?emailaddress=fred@example.com"
        return client.get(target, headers={"Accept-Language": accepted}).text

    yield fetch
    forget_catalogs()


@rows("accepted", "accepted, language, text")
def test_the_best_language_of_package_and_file_is_chosen(
    fetch: Fetch, accepted: str, language: str, text: str
) -> None:
    page = fetch(accepted)
    assert f'<html lang="{language}">' in page
    assert text in page


def test_a_script_takes_precedence_over_the_language() -> None:
    tags = ["zh-Hans", "zh-Hant"]
    assert words.best_match(["zh-Hant-TW"], tags) == "zh-Hant"


# --- The catalogs ----------------------------------------------------------------------


def test_every_text_is_translated_and_compiled() -> None:
    texts = {message.id for message in catalogs.texts() if message.id}
    files = catalogs.files()
    tags = [file.parent.parent.name for file in files]
    assert tags == ["de", "es", "fr", "it", "nl"]
    for file in files:
        catalog = catalogs.read(file)
        assert {message.id for message in catalog if message.id} == texts
        assert [message.id for message in catalog if not message.string] == []
        compiled = words.LOCALE / file.relative_to(catalogs.LOCALE)
        data = compiled.with_suffix(".mo").read_bytes()
        assert data == catalogs.compiled(catalog)


def test_a_new_language_leaves_the_others_unchanged(tmp_path: Path) -> None:
    shutil.copytree(catalogs.LOCALE, tmp_path, dirs_exist_ok=True)
    french = tmp_path / "fr/LC_MESSAGES/autoconfig.po"
    french.write_text("# edited\n" + french.read_text())
    before = french.read_bytes(), french.stat().st_mtime_ns
    catalogs.main(["pt-BR"], tmp_path)
    assert (french.read_bytes(), french.stat().st_mtime_ns) == before
    # Without translations it is not compiled, so that the page does not offer it.
    names = [file.name for file in (tmp_path / "pt_BR/LC_MESSAGES").iterdir()]
    assert names == ["autoconfig.po"]


def test_a_word_that_is_no_language_makes_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="klingon is no language"):
        catalogs.main(["klingon"], tmp_path)
    assert list(tmp_path.iterdir()) == []
