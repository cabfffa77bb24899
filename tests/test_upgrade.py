"""The examples and files of version 1.0.0 still work.

The folder `v1.0.0` has them, unchanged since that release.
"""

import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo
from support import run
from werkzeug.test import Client

from flask_autoconfig import AutoconfigMiddleware

Log = pytest.LogCaptureFixture
OLD = Path(__file__).parent / "v1.0.0"
EXAMPLES = OLD / "examples"
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@"
# Each site, how `flask --app` names it, and an address that it serves.
SITES = {
    "existing_site.py": "fred@example.net",
    "subdomain.py": "fred@example.com",
    "user_database.py:create_app": "fred@customer.example",
    "app_factory": "fred@example.com",
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Flask]]:
    """A function that loads an example as the command `flask` does."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda name: ScriptInfo(app_import_path=str(EXAMPLES / name)).load_app()
    for name, module in list(sys.modules.items()):
        if str(EXAMPLES) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("name", SITES)
def test_an_example_of_1_0_answers(load: Callable[[str], Flask], name: str) -> None:
    client = Client(load(name))
    for path in ("/mail/config-v1.1.xml", "/mail/setup", "/mail/mobileconfig"):
        answer = client.get(f"{path}?emailaddress={SITES[name]}")
        assert answer.status_code == 200
        assert b"imap.example.com" in answer.get_data()


@pytest.mark.parametrize(
    "name",
    [*(f"examples/{file.name}" for file in EXAMPLES.glob("*.toml")), "full.toml"],
)
def test_a_file_of_1_0_is_valid(name: str, tmp_path: Path, caplog: Log) -> None:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    file = shutil.copy(OLD / name, tmp_path / "autoconfig.toml")
    with caplog.at_level(logging.WARNING):
        service = AutoconfigMiddleware(lambda *_: [], file).service
        assert not caplog.records
    asked = next(iter(service.snapshot.loaded.claims)).decode().lstrip("*.")
    assert service.lookup.find(f"emailaddress=fred@{asked or 'any.test'}", "")
    assert run("--config", file, "validate").returncode == 0
