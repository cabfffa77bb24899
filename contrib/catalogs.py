"""Bring the page's catalogs up to date: `python contrib/catalogs.py [LANGUAGE ...]`.

Collects the texts of the page, merges them into each language's .po file and compiles
it, once something in it is translated. With languages named (`de`, `pt_BR`), only those
are touched; a new one is made.
Needs Babel and Jinja2.
"""

from __future__ import annotations

import sys
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
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
# `_` in a template is the site's own; the second argument of `label` describes it.
_KEYWORDS = {**DEFAULT_KEYWORDS, "say": None, "label": (2,)}


def files(locale: Path = LOCALE) -> list[Path]:
    """The catalogs that there are."""
    return sorted(locale.glob(f"*/{_NAME}"))


def texts() -> Catalog:
    """The texts that the package has to say, with where they stand."""
    catalog = Catalog(project="flask_autoconfig", fuzzy=False)
    found = extract_from_dir(PACKAGE, _METHODS, keywords=_KEYWORDS)
    for file, line, message, comments, context in found:
        place = [(f"flask_autoconfig/{file}", line)]
        catalog.add(message, None, place, auto_comments=comments, context=context)
    return catalog


def read(file: Path) -> Catalog:
    """A language's catalog."""
    with file.open("rb") as stream:
        return read_po(stream, locale=file.parent.parent.name)


def compiled(catalog: Catalog) -> bytes:
    """What gettext reads."""
    stream = BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def compile_all(locale: Path = LOCALE, into: Path | None = None) -> list[Path]:
    """Compile each catalog, beside its source or into a folder; gives the files."""
    made = []
    for file in files(locale):
        target = (into or locale) / file.relative_to(locale).with_suffix(".mo")
        if compile_one(read(file), target):
            made.append(target)
    return made


def compile_one(catalog: Catalog, target: Path) -> bool:
    """Compile a catalog in which somebody has translated something already.

    The page would name its language, and say English words, with an empty one.
    """
    if not any(message.string for message in catalog if message.id):
        target.unlink(missing_ok=True)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(compiled(catalog))
    return True


def update(file: Path) -> None:
    """Merge the texts into a catalog, or make it, and compile it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    language = file.parent.parent.name
    new = Catalog(language, project="flask_autoconfig", version="1", fuzzy=False)
    catalog = read(file) if file.exists() else new
    catalog.header_comment = f"# flask_autoconfig: the page for people, {language}."
    catalog.update(texts(), no_fuzzy_matching=True)
    with file.open("wb") as stream:
        write_po(stream, catalog, width=88, no_location=True, ignore_obsolete=True)
    compile_one(catalog, file.with_suffix(".mo"))
    missing = [it.id for it in catalog if it.id and not it.string]
    print(f"{file}: {len(missing)} texts to translate")


def main(languages: Iterable[str], locale: Path = LOCALE) -> None:
    """Update the catalogs of these languages, of all that there are for none."""
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
