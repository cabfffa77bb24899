"""What the project says in prose, and the code that stands in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

from support import ROOT

DOCUMENTS = ("README.md", "contrib/README.md", "examples/README.md", "tests/README.md")
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Code between fences."""

    document: str
    language: str
    code: str


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(language: str | None = None, *documents: str) -> list[Block]:
    """The blocks of these documents, by default of all, in their order."""
    return [
        Block(document, found[2], dedent(found[3]))
        for document in documents or DOCUMENTS
        for found in _BLOCK.finditer(text_of(document))
        if language in (None, found[2])
    ]


def block_with(part: str, *documents: str) -> str:
    """The one block of shell that has this in it."""
    (found,) = [it.code for it in blocks("sh", *documents) if part in it.code]
    return found


def section(document: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    _, found, rest = text_of(document).partition(f"\n## {heading}\n")
    assert found, (document, heading)
    return rest.partition("\n## ")[0]


def cloned(folder: Path) -> Path:
    """The project in a folder, as a fresh clone has it but for the tests."""
    skip = shutil.ignore_patterns("__pycache__", "*.mo")
    for name in ("flask_autoconfig", "contrib", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    return folder
