"""The picture at the top of the README is made by its script from real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image
from support import BIN, ROOT, program

PICTURES = ROOT / "contrib/pictures"


@pytest.mark.world
def test_the_script_makes_the_picture(tmp_path: Path) -> None:
    for name in ("chromium", "dovecot", "postfix", "named"):
        program(name)
    made = tmp_path / "first.png"
    subprocess.run([BIN / "python", PICTURES / "first.py", made], check=True)
    with Image.open(made) as picture, Image.open(PICTURES / "first.png") as current:
        assert picture.size == current.size
    for file in (made, PICTURES / "first.png"):
        assert file.stat().st_size < 150_000


def test_the_readme_shows_the_picture_with_an_alternative_text() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head = readme.partition("\n## ")[0]
    assert "](contrib/pictures/first.png)" in head
    assert "![](" not in readme
