"""The examples run, and those, the files and the page template of version 1.0.0."""

from __future__ import annotations

import ast
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import ScriptInfo
from services import fetch, free_port, run, running
from support import BIN, ROOT, TWO_DOMAINS, rows
from werkzeug.test import Client

from flask_autoconfig import AutoconfigMiddleware, autoconfig, create_app

EXAMPLES = ROOT / "examples"
CONFIG = "/mail/config-v1.1.xml?emailaddress="


def flask(example: str, *command: str) -> tuple[str, ...]:
    return (str(BIN / "flask"), "--app", str(EXAMPLES / example), *command)


@contextmanager
def site(example: str) -> Iterator[str]:
    """Run an example; yield its base URL."""
    port = free_port()
    with running(*flask(example, "run", "--port", str(port)), port=port, at_once=True):
        yield f"http://127.0.0.1:{port}"


def test_the_example_has_two_domains_and_tls_on_the_standard_ports() -> None:
    file = EXAMPLES / "autoconfig.toml"
    body = Client(create_app(file)).get(f"{CONFIG}fred@example.net").text
    for text in ("imap", "993", "pop3", "995", "smtp", "465", "example.com"):
        assert text in body
    assert body.count("<socketType>SSL</socketType>") == 3
    assert run("--config", file, "validate").stdout == ""


def test_the_existing_site_continues_and_answers_mail_clients() -> None:
    with site("existing_site.py") as url:
        assert fetch(f"{url}/").body == b"Welcome to Example Ltd."
        document = fetch(f"{url}{CONFIG}fred@example.net")
    assert b"<domain>example.net</domain>" in document.body


def test_the_user_database_has_domains_and_logins() -> None:
    with site("user_database.py:create_app") as url:
        fred = fetch(f"{url}{CONFIG}fred@customer.test")
        nobody = fetch(f"{url}{CONFIG}nobody@customer.test")
        anna = fetch(f"{url}{CONFIG}anna@customer.test")
        assert fetch(f"{url}{CONFIG}fred@nowhere.test").status == 404
    assert anna.body.count(b"<hostname>shard7.example.com</hostname>") == 2
    assert anna.body.count(b"<username>u1002</username>") == 2
    assert fred.body.count(b"<username>u1001</username>") == 3
    assert b"<domain>customer.test</domain>" in fred.body
    # An address that does not exist has the same response but for the login.
    (login,) = set(re.findall(rb"<username>(u[0-9]{4})</username>", nobody.body))
    assert nobody.body.replace(login, b"u1001") == fred.body
    for name in set(fred.headers) - {"Date", "Content-Length"}:
        assert fred.headers[name] == nobody.headers[name]
    assert fred.headers["Cache-Control"] == "private, no-store"


def test_the_host_matching_site_answers_mail_clients_of_any_domain() -> None:
    with site("subdomain.py") as url:
        assert fetch(f"{url}/", Host="shop.example.com").body == b"Welcome to the shop."
        for domain in ("example.com", "example.net"):
            host = f"autoconfig.{domain}"
            assert fetch(f"{url}/mail/config-v1.1.xml", Host=host).status == 200
            assert fetch(f"{url}/", Host=host).status == 404


def test_the_factory_finds_the_file_in_its_instance_folder() -> None:
    with site("app_factory") as url:
        assert fetch(f"{url}{CONFIG}fred@example.net").status == 200
        pacc = "/.well-known/user-agent-configuration.json"
        assert fetch(url + pacc, Host="ua-auto-config.example.com").status == 404


@rows("customers", "domain, host", "tables.toml")
def test_the_hosters_file_has_its_customers(domain: str, host: str) -> None:
    file = EXAMPLES / "hoster.toml"
    done = run("--config", file, "show", f"fred@{domain}")
    assert f"<hostname>{host}</hostname>" in done.stdout
    assert f"<domain>{domain}</domain>" in done.stdout
    others = {"customer-1.test", "customer-3.test"} - {domain}
    assert not [other for other in others if other in done.stdout]
    assert run("--config", file, "validate").stdout == ""


def test_a_page_and_a_welcome_mail_have_the_settings() -> None:
    with site("own_pages.py") as url:
        page = fetch(f"{url}/me").body.decode()
        assert "imap: imap.example.com, port 993" in " ".join(page.split())
        (setup, profile) = re.findall(r'href="([^"]+)"', page)
        assert setup.startswith(url)
        assert "imap.example.com" in fetch(setup).body.decode()
        assert b"<plist" in fetch(profile).body

    def welcome(address: str) -> str:
        command = flask("own_pages.py", "welcome", address)
        mail = subprocess.run(command, capture_output=True, check=True).stdout
        content: str = message_from_bytes(mail, policy=policy.default).get_content()
        return content

    text = welcome("fred@example.com")
    assert "Reading: imap.example.com, port 993 (SSL)" in text
    assert "https://autoconfig.example.com/mail/setup?emailaddress=fred" in text
    assert "autoconfig" not in welcome("fred@elsewhere.test")


def test_responses_are_counted_without_addresses() -> None:
    with site("counting.py") as url:
        for address in ("fred@example.net", "fred@elsewhere.test"):
            fetch(f"{url}{CONFIG}{address}")
        metrics = fetch(f"{url}/metrics").body.decode()
    counter = 'autoconfig_answers_total{family="thunderbird",outcome="%s"} 1.0'
    assert counter % "served" in metrics
    assert counter % "not served" in metrics
    assert "fred" not in metrics
    assert "elsewhere" not in metrics


@pytest.mark.parametrize(
    "file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: str(file.name)
)
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

Log = pytest.LogCaptureFixture
OLD = ROOT / "tests/v1.0.0"  # files of that release, unchanged
OLD_EXAMPLES = OLD / "examples"
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
    yield lambda name: ScriptInfo(app_import_path=str(OLD_EXAMPLES / name)).load_app()
    for name, module in list(sys.modules.items()):
        if str(OLD_EXAMPLES) in str(getattr(module, "__file__", "")):
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
    [*(f"examples/{file.name}" for file in OLD_EXAMPLES.glob("*.toml")), "full.toml"],
)
def test_a_file_of_1_0_is_valid(name: str, tmp_path: Path, caplog: Log) -> None:
    shutil.copytree(OLD_EXAMPLES, tmp_path, dirs_exist_ok=True)
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
