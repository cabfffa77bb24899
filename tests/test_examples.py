"""The examples run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from support import BIN, ROOT, fetch, free_port, run, running, serving

CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@example.net"


def test_the_example_is_two_domains_with_tls_on_the_standard_ports() -> None:
    with serving(ROOT / "examples/autoconfig.toml") as url:
        body = fetch(url + CONFIG).body.decode()
    for text in ("imap", "993", "pop3", "995", "smtp", "465", "example.com"):
        assert text in body
    assert body.count("<socketType>SSL</socketType>") == 3
    assert run("--config", ROOT / "examples/autoconfig.toml", "validate").stdout == ""


def test_the_existing_site_goes_on_and_answers_mail_clients() -> None:
    port = free_port()
    command = (BIN / "flask", "--app", ROOT / "examples/existing_site.py", "run")
    with running(*command, "--port", str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}/").body == b"Welcome to Example Ltd."
        assert b"<domain>example.net</domain>" in fetch(url + CONFIG).body


def _flask(example: str) -> tuple[str, ...]:
    return (str(BIN / "flask"), "--app", str(ROOT / "examples" / example), "run")


def test_the_user_database_names_domains_and_logins() -> None:
    port = free_port()
    command = (*_flask("user_database.py:create_app"), "--port", str(port))
    with running(*command, port=port):
        url = f"http://127.0.0.1:{port}/mail/config-v1.1.xml?emailaddress="
        fred = fetch(f"{url}fred@customer.test")
        nobody = fetch(f"{url}nobody@customer.test")
        assert fetch(f"{url}fred@nowhere.test").status == 404
    assert fred.body.count(b"<username>u1001</username>") == 3
    assert b"<domain>customer.test</domain>" in fred.body
    # What nobody has looks just like what somebody has.
    (login,) = set(re.findall(rb"<username>(u[0-9]{4})</username>", nobody.body))
    assert nobody.body.replace(login, b"u1001") == fred.body
    for name in fred.headers:
        if name not in ("Date", "Content-Length"):
            assert fred.headers[name] == nobody.headers[name]
    assert fred.headers["Cache-Control"] == "private, no-store"


def test_the_host_matching_site_answers_mail_clients_of_any_domain() -> None:
    port = free_port()
    with running(*_flask("subdomain.py"), "--port", str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}/", Host="shop.example.com").body == b"Welcome to the shop."
        for domain in ("example.com", "example.net"):
            host = f"autoconfig.{domain}"
            assert fetch(f"{url}/mail/config-v1.1.xml", Host=host).status == 200
            assert fetch(f"{url}/", Host=host).status == 404


def test_the_factory_finds_the_file_in_its_instance_folder() -> None:
    port = free_port()
    with running(*_flask("app_factory"), "--port", str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        assert fetch(url + CONFIG).status == 200
        pacc = "/.well-known/user-agent-configuration.json"
        assert fetch(url + pacc, Host="ua-auto-config.example.com").status == 404


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("hoster.test", "imap.hoster.test"),
        ("customer-1.test", "imap.hoster.test"),
        ("a.customers.hoster.test", "imap.hoster.test"),
        ("customer-2.test", "mail.customer-2.test"),
    ],
)
def test_the_hosters_file_knows_its_customers(domain: str, host: str) -> None:
    file = ROOT / "examples/hoster.toml"
    done = run("--config", file, "show", f"fred@{domain}")
    assert f"<hostname>{host}</hostname>" in done.stdout
    assert f"<domain>{domain}</domain>" in done.stdout
    others = {"customer-1.test", "customer-3.test"} - {domain}
    assert not [other for other in others if other in done.stdout]
    assert run("--config", file, "validate").stdout == ""


def test_own_pages_show_the_settings_and_the_welcome_mail_has_them() -> None:
    port = free_port()
    with running(*_flask("own_pages.py"), "--port", str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        page = fetch(f"{url}/me").body.decode()
        assert "imap: imap.example.com, port 993" in " ".join(page.split())
        (setup, profile) = re.findall(r'href="([^"]+)"', page)
        assert setup.startswith(url)
        assert "imap.example.com" in fetch(setup).body.decode()
        assert b"<plist" in fetch(profile).body
    command = (*_flask("own_pages.py")[:-1], "welcome")
    printed = subprocess.run(
        [*command, "fred@example.com"], capture_output=True, check=True
    ).stdout
    mail = message_from_bytes(printed, policy=policy.default).get_content()
    assert "Reading: imap.example.com, port 993 (SSL)" in mail
    assert "https://autoconfig.example.com/mail/setup?emailaddress=fred" in mail
    other = subprocess.run(
        [*command, "fred@elsewhere.test"], capture_output=True, text=True, check=True
    ).stdout
    assert "autoconfig" not in other


def test_the_counting_site_counts_answers_without_addresses() -> None:
    port = free_port()
    with running(*_flask("counting.py"), "--port", str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        fetch(url + CONFIG)
        fetch(f"{url}/mail/config-v1.1.xml?emailaddress=fred@elsewhere.test")
        told = fetch(f"{url}/metrics").body.decode()
    counter = 'autoconfig_answers_total{family="thunderbird",outcome="%s"} 1.0'
    assert counter % "served" in told
    assert counter % "not served" in told
    assert "fred" not in told
    assert "elsewhere" not in told


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda it: it.name)
def test_an_example_names_what_it_needs_in_its_head_and_in_the_table(
    file: Path,
) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    head = (ast.get_docstring(tree) or "").lower()
    table = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| .*\[{file.name}\].*$", table)
    imported = [it for it in ast.walk(tree) if isinstance(it, ast.ImportFrom)]
    roots = {str(it.module).partition(".")[0] for it in imported}
    # What Flask brings along is there.
    others = roots - sys.stdlib_module_names - {"flask", "flask_autoconfig", "click"}
    for word in {word for name in others for word in name.split("_")}:
        assert word in head, word
        assert word in row, word
