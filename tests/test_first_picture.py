"""The picture on top of the README is what its script makes of the real programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image
from support import BIN, ROOT, program

PICTURES = ROOT / "contrib/pictures"


@pytest.mark.world
def test_the_script_makes_the_readmes_picture(tmp_path: Path) -> None:
    for name in ("chromium", "dovecot", "postfix", "named"):
        program(name)
    made = tmp_path / "first.png"
    subprocess.run([BIN / "python", PICTURES / "first.py", made], check=True)
    with Image.open(made) as picture, Image.open(PICTURES / "first.png") as lies_here:
        assert picture.size == lies_here.size
    for file in (made, PICTURES / "first.png"):
        assert file.stat().st_size < 150_000


def test_the_readme_shows_it_with_words_for_who_cannot_see_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head = readme.partition("\n## ")[0]
    assert "](contrib/pictures/first.png)" in head
    assert "![](" not in readme
