"""The examples, files and page template of version 1.0.0 still work.

The folder `v1.0.0` has them, unchanged since that release.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo
from support import ROOT, TWO_DOMAINS, run
from werkzeug.test import Client

from flask_autoconfig import AutoconfigMiddleware, autoconfig

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


def test_a_template_of_1_0_is_logged_and_replaced(tmp_path: Path, caplog: Log) -> None:
    (tmp_path / "templates/autoconfig").mkdir(parents=True)
    shutil.copy(OLD / "setup.html", tmp_path / "templates/autoconfig/setup.html")
    app = Flask("site", root_path=str(tmp_path))
    app.config["AUTOCONFIG_FILE"] = EXAMPLES / "autoconfig.toml"
    app.register_blueprint(autoconfig)
    page = Client(app).get("/mail/setup?emailaddress=fred@example.com")
    assert page.status_code == 200
    assert "imap.example.com" in page.text
    assert '{% include "autoconfig/content.html" %}' in caplog.text


# A worker that has answered one request, and then the files of another release.
IN_PLACE = """
import sys, time, tomllib
from pathlib import Path
from flask_autoconfig import create_app
from werkzeug.test import Client

text = Path(sys.argv[1]).read_text()
source = {"AUTOCONFIG": tomllib.loads(text)} if sys.argv[2] == "mapping" else sys.argv[1]
client = Client(create_app(source))
assert client.get("/mail/config-v1.1.xml").status_code == 200
end = time.monotonic() + 20
loaded = None
while not hasattr(loaded, "environment") or not loaded.environment.cache_info()[3]:
    assert time.monotonic() < end
    time.sleep(0.05)
    loaded = sys.modules.get("flask_autoconfig.page.alone")
time.sleep(0.05)
for file in Path("flask_autoconfig/page").rglob("*.py"):
    file.write_text("raise RuntimeError")
for file in Path("flask_autoconfig/page/templates").rglob("*.html"):
    file.write_text("{{ None.missing }}")
page = client.get("/mail/setup?emailaddress=fred@example.com")
assert page.status_code == 200, page.text
"""


@pytest.mark.parametrize("source", ["file", "mapping"])
def test_the_page_outlasts_an_upgrade_before_its_first_visit(
    source: str, toml: Callable[[str], Path], tmp_path: Path
) -> None:
    skip = shutil.ignore_patterns("__pycache__")
    package = tmp_path / "site" / "flask_autoconfig"
    shutil.copytree(ROOT / "flask_autoconfig", package, ignore=skip)
    (tmp_path / "site/worker.py").write_text(IN_PLACE)
    subprocess.run(
        [sys.executable, "worker.py", toml(TWO_DOMAINS), source],
        cwd=package.parent,
        check=True,
        timeout=60,
    )
