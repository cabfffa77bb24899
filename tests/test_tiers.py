"""conftest.py fails what skips, needs more than pip installs, or ends its process."""

import os
import subprocess
from pathlib import Path

import pytest

FAST = "not world and not install"


def test_a_fast_test_fails_that_starts_a_program_or_ends_its_process() -> None:
    subprocess.run(["/bin/sh", "-c", "true"], check=True)
    with pytest.raises(pytest.fail.Exception, match="env is not in this environment"):
        subprocess.run(["/usr/bin/env"], check=True)
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    with pytest.raises(pytest.fail.Exception, match="would end with exit code 3"):
        os._exit(3)


@pytest.mark.parametrize("tier", ["", "world", "install"])
def test_a_skipping_fast_test_fails(request: pytest.FixtureRequest, tier: str) -> None:
    parent = request.node.parent
    item = pytest.Function.from_parent(parent, name="mine", callobj=lambda: None)
    if tier:
        item.add_marker(tier)
    call = pytest.CallInfo.from_call(lambda: pytest.skip("no such program"), "call")
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    assert report.outcome == ("skipped" if tier else "failed")


def test_a_file_without_fast_tests_is_not_imported(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "test_of_the_world.py"
    file.write_text(
        "import pytest\nimport not_there\npytestmark = [pytest.mark.world]\n"
    )
    is_fast = request.config.option.markexpr == FAST
    ignores = request.config.hook.pytest_ignore_collect
    assert ignores(collection_path=file, config=request.config) == (is_fast or None)
