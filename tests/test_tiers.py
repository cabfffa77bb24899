"""conftest.py fails what skips, needs more than pip installs, or ends its process."""

import re
from pathlib import Path

from services import captured
from support import ROOT

TESTS = """
import os
import subprocess
import pytest

def test_of_python():
    subprocess.run(["/bin/sh", "-c", "true"], check=True)

def test_that_skips():
    pytest.skip("no such program")

def test_that_starts_a_program():
    subprocess.run(["/usr/bin/env"], check=True)

def test_that_ends_its_process():
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    os._exit(3)

@pytest.mark.world
def test_of_the_world():
    subprocess.run(["/usr/bin/env"], check=True)

@pytest.mark.install
def test_of_installers():
    pytest.skip("no such program")
"""


def test_a_fast_test_that_skips_or_leaves_its_process_fails(tmp_path: Path) -> None:
    (tmp_path / "test_of_mine.py").write_text(TESTS)
    (tmp_path / "test_of_the_world.py").write_text(
        "import pytest\nimport not_there\npytestmark = [pytest.mark.world]\n"
    )
    options = ("-p", "conftest", "-p", "no:cacheprovider", "-c")
    env = {"PYTHONPATH": str(ROOT / "tests"), "CI": ""}
    done = captured("pytest", *options, ROOT / "pyproject.toml", tmp_path, **env)
    (counts,) = re.findall(r"^=+ (.*) in [\d.]+s =+$", done.stdout, re.MULTILINE)
    assert counts == "3 failed, 1 passed, 2 deselected"
