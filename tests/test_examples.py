"""The examples run, and those, the files and the page template of version 1.0.0."""

import ast
import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from email import message_from_string, policy
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo
from services import captured, run, run_flask
from support import ROOT, TWO_DOMAINS, Log, Patch, assert_answered, rows, sender, tables
from werkzeug.test import Client

from flask_autoconfig import AutoconfigMiddleware, autoconfig, create_app

EXAMPLES = ROOT / "examples"
CONFIG = "/mail/config-v1.1.xml?emailaddress="
WORLD = pytest.mark.world


def test_the_example_has_two_domains_and_tls_on_the_standard_ports() -> None:
    file = EXAMPLES / "autoconfig.toml"
    body = Client(create_app(file)).get(f"{CONFIG}fred@example.net").text
    for text in ("imap", "993", "pop3", "995", "smtp", "465", "example.com"):
        assert text in body
    assert body.count("<socketType>SSL</socketType>") == 3
    assert run("--config", file, "validate").stdout == ""


@pytest.fixture
def load(monkeypatch: Patch) -> Iterator[Callable[[Path], Flask]]:
    """A function that loads an example as the command `flask` does."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda file: ScriptInfo(app_import_path=str(file)).load_app()
    for name, module in list(sys.modules.items()):
        if "/examples/" in str(getattr(module, "__file__", "")):
            del sys.modules[name]


SITES = tables("examples.toml")


@pytest.mark.parametrize("name", SITES)
def test_an_example_answers(load: Callable[[Path], Flask], name: str) -> None:
    send = sender(load(ROOT / name))
    for request in SITES[name]["requests"]:
        assert_answered(send, request)


def test_the_user_database_reveals_no_mailboxes(load: Callable[[Path], Flask]) -> None:
    client = Client(load(EXAMPLES / "user_database.py:create_app"))
    fred, nobody = (
        client.get(f"{CONFIG}{name}@customer.test") for name in ("fred", "nobody")
    )
    # An address that does not exist has the same response but for the login.
    (login,) = set(re.findall("<username>(u[0-9]{4})</username>", nobody.text))
    assert nobody.text.replace(login, "u1001") == fred.text
    assert {**fred.headers} == {**nobody.headers}


@rows("customers", "domain, host", "tables.toml")
def test_the_hosters_file_has_its_customers(domain: str, host: str) -> None:
    file = EXAMPLES / "hoster.toml"
    result = run("--config", file, "show", f"fred@{domain}")
    assert f"<hostname>{host}</hostname>" in result.stdout
    assert f"<domain>{domain}</domain>" in result.stdout
    others = {"customer-1.test", "customer-3.test"} - {domain}
    assert not [other for other in others if other in result.stdout]
    assert run("--config", file, "validate").stdout == ""


def test_page_and_welcome_mail_have_the_settings(load: Callable[[Path], Flask]) -> None:
    client = Client(load(EXAMPLES / "own_pages.py"))
    page = client.get("/me").text
    assert "imap: imap.example.com, port 993" in " ".join(page.split())
    (setup, profile) = re.findall(r'href="([^"]+)"', page)
    assert setup.startswith("http://localhost/")
    assert "imap.example.com" in client.get(setup).text
    assert "<plist" in client.get(profile).text

    def welcome(address: str) -> str:
        mail = run_flask("own_pages.py", "welcome", address, cwd=EXAMPLES).stdout
        content: str = message_from_string(mail, policy=policy.default).get_content()
        return content

    text = welcome("fred@example.com")
    assert "Reading: imap.example.com, port 993 (SSL)" in text
    assert "https://autoconfig.example.com/mail/setup?emailaddress=fred" in text
    assert "autoconfig" not in welcome("fred@elsewhere.test")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_an_example_names_its_requirements(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    head = (ast.get_docstring(tree) or "").lower()
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| .*\[{file.name}\].*$", table)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    roots = {str(node.module).partition(".")[0] for node in imports}
    # Flask itself requires Click.
    others = roots - sys.stdlib_module_names - {"flask", "flask_autoconfig", "click"}
    for word in {word for name in others for word in name.split("_")}:
        assert word in head, word
        assert word in row, word


# --- Version 1.0.0 -----------------------------------------------------------------------
OLD = ROOT / "tests/v1.0.0"  # files of that release, unchanged
OLD_EXAMPLES = OLD / "examples"


@pytest.mark.parametrize(
    "name",
    [*(f"examples/{file.name}" for file in OLD_EXAMPLES.glob("*.toml")), "full.toml"],
)
def test_a_file_of_1_0_is_valid(name: str, tmp_path: Path, caplog: Log) -> None:
    shutil.copytree(OLD_EXAMPLES, tmp_path, dirs_exist_ok=True)
    file = shutil.copy(OLD / name, tmp_path / "autoconfig.toml")
    with caplog.at_level(logging.WARNING):
        service = AutoconfigMiddleware(lambda *_: [], file).service
        assert not caplog.records
    domain = next(iter(service.snapshot.loaded.claims)).decode().lstrip("*.")
    assert service.lookup.find(f"emailaddress=fred@{domain or 'any.test'}", "")
    assert run("--config", file, "validate").returncode == 0


def test_a_template_of_1_0_is_logged_and_replaced(tmp_path: Path, caplog: Log) -> None:
    (tmp_path / "templates/autoconfig").mkdir(parents=True)
    shutil.copy(OLD / "setup.html", tmp_path / "templates/autoconfig/setup.html")
    app = Flask("site", root_path=str(tmp_path))
    app.config["AUTOCONFIG_FILE"] = OLD_EXAMPLES / "autoconfig.toml"
    app.register_blueprint(autoconfig)
    page = Client(app).get("/mail/setup?emailaddress=fred@example.com")
    assert page.status_code == 200
    assert "imap.example.com" in page.text
    assert '{% include "autoconfig/content.html" %}' in caplog.text


# A worker that has answered one request, and then the files of another release.
IN_PLACE = """
import sys, time, tomllib
from pathlib import Path
from flask_autoconfig import AutoconfigMiddleware, autoconfig, create_app
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


@pytest.mark.parametrize("source", ["file", pytest.param("mapping", marks=WORLD)])
def test_the_page_outlasts_an_upgrade_before_its_first_visit(
    source: str, toml: Callable[[str], Path], tmp_path: Path
) -> None:
    skip = shutil.ignore_patterns("__pycache__")
    package = tmp_path / "site" / "flask_autoconfig"
    shutil.copytree(ROOT / "flask_autoconfig", package, ignore=skip)
    (tmp_path / "site/worker.py").write_text(IN_PLACE)
    words = ("python", "worker.py", toml(TWO_DOMAINS), source)
    captured(*words, cwd=package.parent, code=0)
