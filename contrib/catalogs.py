"""Bring the page's catalogs up to date: `python contrib/catalogs.py [LANGUAGE]`.

Collects the texts of the page, merges them into each language's .po file (a new one for
LANGUAGE) and compiles those. Needs Babel.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parent.parent / "flask_autoconfig"
LOCALE = PACKAGE / "page/locale"
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]


def texts() -> Catalog:
    """The texts that the package has to say, with where they stand."""
    catalog = Catalog(project="flask_autoconfig", fuzzy=False)
    for file, line, message, comments, context in extract_from_dir(PACKAGE, _METHODS):
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


def main() -> None:
    """Update every catalog."""
    files = set(LOCALE.glob("*/LC_MESSAGES/autoconfig.po"))
    files |= {LOCALE / it / "LC_MESSAGES/autoconfig.po" for it in sys.argv[1:]}
    for file in sorted(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        language = file.parent.parent.name
        new = Catalog(language, project="flask_autoconfig", version="1", fuzzy=False)
        catalog = read(file) if file.exists() else new
        catalog.header_comment = f"# flask_autoconfig: the page for people, {language}."
        catalog.update(texts(), no_fuzzy_matching=True)
        with file.open("wb") as stream:
            write_po(stream, catalog, width=88, no_location=True, ignore_obsolete=True)
        file.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = [it.id for it in catalog if it.id and not it.string]
        print(f"{file}: {len(missing)} texts to translate")


if __name__ == "__main__":
    main()
