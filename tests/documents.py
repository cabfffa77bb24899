"""The README files, and the blocks of code in them."""

import re
import shutil
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from support import ROOT

DOCUMENTS = ("README.md", "contrib/README.md", "examples/README.md", "tests/README.md")
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of code."""

    document: str
    language: str
    code: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(language: str | None = None, *documents: str) -> list[Block]:
    """Return the blocks of documents, by default of all, in their order."""
    return [
        Block(document, found[2], dedent(found[3]))
        for document in documents or DOCUMENTS
        for found in _BLOCK.finditer(text_of(document))
        if language in (None, found[2])
    ]


def block_with(part: str, *documents: str) -> str:
    """Return the one block of shell with this part."""
    (found,) = [code for _, _, code in blocks("sh", *documents) if part in code]
    return found


def section(document: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    _, found, rest = text_of(document).partition(f"\n## {heading}\n")
    assert found, (document, heading)
    return rest.partition("\n## ")[0]


def cloned(folder: Path) -> Path:
    """Copy the project to a folder, as a fresh clone without the tests."""
    skip = shutil.ignore_patterns("__pycache__", "*.mo")
    for name in ("flask_autoconfig", "contrib", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    return folder
