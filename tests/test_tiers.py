"""conftest.py fails fast tests that are skipped or need more than pip installs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from support import BIN, ROOT

TESTS = """
import subprocess
import pytest

def test_of_python():
    subprocess.run(["/bin/sh", "-c", "true"], check=True)

def test_that_skips():
    pytest.skip("no such program")

def test_that_starts_a_program():
    subprocess.run(["/usr/bin/env"], check=True)

@pytest.mark.world
def test_of_the_world():
    subprocess.run(["/usr/bin/env"], check=True)

@pytest.mark.install
def test_of_installers():
    pytest.skip("no such program")
"""


def test_a_fast_test_fails_if_it_skips_or_starts_a_program(tmp_path: Path) -> None:
    file = tmp_path / "test_of_mine.py"
    file.write_text(TESTS)
    options = [
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        f"{ROOT}/pyproject.toml",
    ]
    done = subprocess.run(
        [BIN / "pytest", *options, file],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "CI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    (counts,) = re.findall(r"^=+ (.*) in [\d.]+s =+$", done.stdout, re.MULTILINE)
    assert counts == "2 failed, 1 passed, 2 deselected"
