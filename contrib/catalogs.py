"""Update the catalogs of the page: `python contrib/catalogs.py [LANGUAGE ...]`.

Extract the texts of the package, merge them into the .po file of each language, and
compile it unless it is empty. Languages (`de`, `pt_BR`) restrict this to their files,
which are created if necessary. Requires Babel and Jinja2.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parent.parent / "flask_autoconfig"
LOCALE = PACKAGE / "page/locale"
_NAME = "LC_MESSAGES/autoconfig.po"
_PROGRAMS = PACKAGE / "page/programs.toml"
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
# `_` in a template belongs to the site. The second argument of `label` is a text.
_KEYWORDS = {**DEFAULT_KEYWORDS, "say": None, "label": (2,)}


def files(locale: Path = LOCALE) -> list[Path]:
    """Return the .po files."""
    return sorted(locale.glob(f"*/{_NAME}"))


def texts() -> Catalog:
    """Return the texts of the package with their locations."""
    catalog = Catalog(project="flask_autoconfig", fuzzy=False)
    found = extract_from_dir(PACKAGE, _METHODS, keywords=_KEYWORDS)
    for file, line, message, comments, context in found:
        place = [(f"flask_autoconfig/{file}", line)]
        catalog.add(message, None, place, auto_comments=comments, context=context)
    programs = tomllib.loads(_PROGRAMS.read_text(encoding="utf-8"))
    titles = [program["title"] for program in programs["program"] if "title" in program]
    for text in (*programs["to_translate"], *titles):
        catalog.add(text, None, [(str(_PROGRAMS.relative_to(PACKAGE.parent)), 1)])
    return catalog


def read(file: Path) -> Catalog:
    """Read a .po file."""
    with file.open("rb") as stream:
        return read_po(stream, locale=file.parent.parent.name)


def compiled(catalog: Catalog) -> bytes:
    """Return the content of the .mo file."""
    stream = BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def compile_all(locale: Path = LOCALE, into: Path | None = None) -> list[Path]:
    """Compile each catalog, beside its source or into a folder; return the files."""
    made = []
    for file in files(locale):
        target = (into or locale) / file.relative_to(locale).with_suffix(".mo")
        if compile_one(read(file), target):
            made.append(target)
    return made


def compile_one(catalog: Catalog, target: Path) -> bool:
    """Compile a catalog, or delete the .mo file of one without translations.

    Otherwise the page would offer the language with English texts.
    """
    if not any(message.string for message in catalog if message.id):
        target.unlink(missing_ok=True)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(compiled(catalog))
    return True


def update(file: Path) -> None:
    """Merge the texts into a catalog, create it if necessary, and compile it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    language = file.parent.parent.name
    new = Catalog(language, project="flask_autoconfig", version="1", fuzzy=False)
    catalog = read(file) if file.exists() else new
    catalog.header_comment = f"# flask_autoconfig: the page for people, {language}."
    catalog.update(texts(), no_fuzzy_matching=True)
    with file.open("wb") as stream:
        write_po(stream, catalog, width=88, no_location=True, ignore_obsolete=True)
    compile_one(catalog, file.with_suffix(".mo"))
    missing = [text.id for text in catalog if text.id and not text.string]
    print(f"{file}: {len(missing)} texts to translate")


def main(languages: Iterable[str], locale: Path = LOCALE) -> None:
    """Update the catalogs of these languages, or all of them."""
    named = []
    for language in languages:
        try:
            folder = str(Locale.parse(language.replace("-", "_")))
        except (ValueError, UnknownLocaleError) as error:
            sys.exit(f"{language} is no language: {error}; write one like de or pt_BR")
        named.append(locale / folder / _NAME)
    for file in named or files(locale):
        update(file)


if __name__ == "__main__":
    main(sys.argv[1:])
