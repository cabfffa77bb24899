from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from support import BIN, TWO_DOMAINS, Write

if TYPE_CHECKING:
    from paper import Paper
    from world import Real

# No deadline for an example, and no checks of time: machines may be slow.
settings.register_profile("all", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("all")

_TIERS = ("world", "install")
_HAS_ALL = find_spec("playwright") is not None
_FAST = "not world and not install"  # as in pyproject.toml
_OF_A_TIER = re.compile(
    rf"^pytestmark = (?:\[[^\]]*)?pytest\.mark\.(?:{'|'.join(_TIERS)})\b", re.MULTILINE
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without fast tests, which may import packages of `test-all`."""
    if collection_path.suffix != ".py" or (
        _HAS_ALL and config.option.markexpr != _FAST
    ):
        return None
    return bool(_OF_A_TIER.search(collection_path.read_text(encoding="utf-8"))) or None


def pytest_configure(config: pytest.Config) -> None:
    expression = config.option.markexpr.replace("not ", "not-").split()
    if not _HAS_ALL and {*_TIERS} & {*expression}:
        raise pytest.UsageError("run first: pip install '.[test-all]'")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of workers for `-n auto`: half of the time, fast tests wait."""
    cores = len(os.sched_getaffinity(0))
    return 2 * cores if config.option.markexpr == _FAST else cores


# Commands start the shell themselves.
_EVERYWHERE = (Path(sys.executable), Path("/bin/sh"))


class _Guard:
    """Fails a fast test that starts a program that pip did not install."""

    is_on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event == "subprocess.Popen":
            path = Path(arguments[0])
            if path.parent != BIN and path not in _EVERYWHERE:
                pytest.fail(f"{path} is not in this environment: mark the test")


_guard = _Guard()
sys.addaudithook(_guard)
_PROCESS, _exit = os.getpid(), os._exit


def _end(code: int) -> None:
    """Fail the test whose command ends the process, which runs further tests."""
    if os.getpid() != _PROCESS:  # a child
        _exit(code)
    pytest.fail(f"the process would end with exit code {code}")


def _is_fast(item: pytest.Item) -> bool:
    return not any(item.get_closest_marker(tier) for tier in _TIERS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _guard.is_on = _is_fast(item)
    # No fast test meets a public authority, and reading all takes 30 ms a connection.
    roots = {"SSL_CERT_FILE": os.devnull} if _guard.is_on else {}
    try:
        with patch.object(os, "_exit", _end), patch.dict(os.environ, roots):
            return (yield)
    finally:
        _guard.is_on = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a fast test that is skipped, since it needs nothing special."""
    report = yield
    if report.skipped and _is_fast(item):
        report.outcome = "failed"
    return report


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    """Write a configuration file; return its path."""

    def write(text: str, name: str = "autoconfig.toml") -> Path:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write


@pytest.fixture
def file(toml: Write) -> Path:
    """A configuration of two domains."""
    return toml(TWO_DOMAINS)


@pytest.fixture(scope="session")
def _real() -> Iterator[Real]:
    from world import real

    with real() as world:
        yield world


@pytest.fixture(scope="session")
def _paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    from paper import Paper

    return Paper(tmp_path_factory.mktemp("paper"))


@pytest.fixture
def real_world(_real: Real) -> Iterator[Real]:
    """The real servers in their initial state, for one test."""
    with _real.fresh():
        yield _real


@pytest.fixture
def world(_paper: Paper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    """The same servers in memory."""
    monkeypatch.delenv("AUTOCONFIG_FILE", raising=False)
    with _paper.fresh():
        yield _paper
