"""Hooks by name and those of a site, under the service by itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import (
    BIN,
    ROOT,
    TWO_DOMAINS,
    fetch,
    free_port,
    running,
    until,
)
from support import (
    run_process as run,
)

from flask_autoconfig import ConfigError, create_app, importing

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@"
MODULE = """
import os
print("imported by", os.getpid(), flush=True)

def find_provider(domain):
    return {"customer.test": "example.com", "broken.test": 5}.get(domain)

class Logins:
    def __init__(self):
        print("made by", os.getpid(), flush=True)

    def find_username(self, address):
        return "u1001"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and a module of hooks."""
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS)
    (tmp_path / "customers.py").write_text(MODULE)
    return tmp_path


def serve(folder: Path, *options: str) -> tuple[tuple[str, ...], int]:
    """What starts the service in that folder with two workers."""
    port = free_port()
    # gunicorn goes where it is told to; Python looks where the command was given.
    command = (
        f"cd {folder} && exec {BIN}/flask-autoconfig serve --bind 127.0.0.1:{port}"
    )
    return ("/bin/sh", "-c", f"{command} {' '.join(options)}"), port


def test_each_worker_imports_the_hooks_and_the_server_itself_does_not(
    folder: Path,
) -> None:
    log = folder / "log"
    command, port = serve(folder, "--hooks", "customers", "--workers", "3")
    with running(*command, port=port, log=log, at_once=True) as process:
        until(
            lambda: log.read_text().count("imported by") == 4
        )  # and the one that looks
        url = f"http://127.0.0.1:{port}"
        assert b"imap.example.com" in fetch(f"{url}{CONFIG}customer.test").body
        assert fetch(f"{url}{CONFIG}elsewhere.test").status == 404
        assert fetch(f"{url}{CONFIG}broken.test").status == 503
        assert fetch(f"{url}/healthz?domain=autoconfig.customer.test").status == 200
        assert fetch(f"{url}/healthz?domain=autoconfig.elsewhere.test").status == 404
        assert fetch(f"{url}/healthz?domain=autoconfig.broken.test").status == 503
        importers = set(re.findall(r"imported by (\d+)", log.read_text()))
        workers = set(re.findall(r"Booting worker with pid: (\d+)", log.read_text()))
        assert str(process.pid) not in importers
        assert workers < importers
        assert len(importers - workers) == 1


def test_an_object_in_a_module_is_taken_and_a_class_is_made(folder: Path) -> None:
    command, port = serve(folder, "--hooks", "customers:Logins", "--workers", "1")
    log = folder / "log"
    with running(*command, port=port, log=log, at_once=True):
        body = fetch(f"http://127.0.0.1:{port}{CONFIG}example.com").body
    assert b"<username>u1001</username>" in body
    assert log.read_text().count("made by") == 2


FAULTY = {
    "customer": "No module named 'customer'",
    "customers:nothing": "has no attribute 'nothing'",
    "customers:os": "no function find_provider or find_username",
}


@pytest.mark.parametrize(("name", "words"), FAULTY.items())
def test_hooks_that_are_none_end_the_start_with_a_line_that_says_what_to_do(
    folder: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run("serve", "--hooks", name, cwd=folder)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "name a module with find_provider or find_username" in ended.stderr
    assert "Traceback" not in ended.stderr
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as caught:
        create_app("autoconfig.toml", hooks=name)
    assert words in str(caught.value)


FAILING = {
    "1 / 0": "ZeroDivisionError: division by zero at {file}:1; correct",
    "import sys; sys.exit(3)": "SystemExit: 3 at {file}:1; correct",
    "import os\nos.environ['NOWHERE']": "KeyError: 'NOWHERE' at {file}:2; correct",
    "import not_there": "No module named 'not_there' at {file}:1; install not_there",
}


@pytest.mark.parametrize(("text", "words"), FAILING.items())
def test_a_module_whose_import_fails_is_told_with_the_error_and_its_place(
    folder: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "faulty.py"
    file.write_text(text)
    ended = run("serve", "--hooks", "faulty", cwd=folder)
    assert ended.returncode == 1
    assert "faulty: the module exists, but its import fails: " in ended.stderr
    assert words.format(file=file) in ended.stderr
    assert "name a module" not in ended.stderr
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="its import fails"):
        create_app("autoconfig.toml", hooks="faulty")


def test_a_module_that_ends_the_process_is_told_in_one_line(folder: Path) -> None:
    (folder / "faulty.py").write_text("import os\nos._exit(7)")
    ended = run("serve", "--hooks", "faulty", cwd=folder)
    assert ended.returncode == 1
    assert ended.stderr == "Error: importing the hooks or the app ends the process\n"


def test_a_module_that_breaks_later_stops_only_its_own_answers(folder: Path) -> None:
    log = folder / "log"
    command, port = serve(folder, "--hooks", "customers", "--workers", "1")
    with running(*command, port=port, log=log, at_once=True) as process:
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}{CONFIG}customer.test").status == 200
        (folder / "customers.py").write_text("1 / 0")
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        process.send_signal(signal.SIGHUP)
        until(lambda: fetch(f"{url}{CONFIG}customer.test").status == 503)
        assert fetch(f"{url}{CONFIG}example.com").status == 200
        assert "ZeroDivisionError" in log.read_text()
        (folder / "customers.py").write_text(MODULE)
        until(lambda: fetch(f"{url}{CONFIG}customer.test").status == 200)


def test_the_commands_ask_the_hooks_of_the_environment(folder: Path) -> None:
    hooks = {"AUTOCONFIG_HOOKS": "customers"}
    shown = run("show", "fred@customer.test", cwd=folder, **hooks)
    assert "<domain>customer.test</domain>" in shown.stdout
    target = ("--target", "www.example.com")
    records = run("dns", "customer.test", *target, cwd=folder, **hooks)
    assert "$ORIGIN customer.test." in records.stdout
    for command in (("show", "fred@broken.test"), ("dns", "broken.test", *target)):
        ended = run(*command, cwd=folder, **hooks)
        assert ended.returncode == 1
        assert "find_provider failed" in ended.stderr
        assert "Traceback" not in ended.stderr
    checked = run("check", "customer.test", "--unpublished", cwd=folder, **hooks)
    assert "imap.example.com" in checked.stdout


SITE = """
import os
from flask import Flask, current_app
from flask_autoconfig import Autoconfig

print("made by", os.getpid(), flush=True)
app = Flask(__name__)
app.config["CUSTOMERS"] = {"customer.test": "example.com"}
app.config["AUTOCONFIG_CLIENTS"] = {"thunderbird"}
autoconfig = Autoconfig()

@autoconfig.find_provider
def find(domain):
    return current_app.config["CUSTOMERS"].get(domain)

app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)
"""
WITH_A_MAPPING = SITE.replace(
    'app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"',
    """from types import MappingProxyType
app.config["AUTOCONFIG"] = MappingProxyType({"provider": [{
    "domains": ["example.com"],
    "incoming": [{"type": "imap", "hostname": "imap.example.com"}],
    "outgoing": [{"type": "smtp", "hostname": "smtp.example.com"}],
}]})""",
)


@pytest.mark.parametrize("site", [SITE, WITH_A_MAPPING], ids=["a file", "a mapping"])
def test_serve_in_a_project_keeps_the_sites_hooks_and_makes_it_in_each_worker(
    folder: Path, site: str
) -> None:
    (folder / "site_of_mine.py").write_text(site)
    log, port = folder / "log", free_port()
    flask = f"{BIN}/flask --app site_of_mine autoconfig"
    command = f"cd {folder} && exec {flask} serve --bind 127.0.0.1:{port} --workers 2"
    with running("/bin/sh", "-c", command, port=port, log=log, at_once=True) as process:
        url = f"http://127.0.0.1:{port}"
        assert b"imap.example.com" in fetch(f"{url}{CONFIG}customer.test").body
        assert fetch(f"{url}{CONFIG}elsewhere.test").status == 404
        assert fetch(f"{url}/mail/setup").status == 404  # the site's own families
        until(lambda: log.read_text().count("made by") == 3)
        assert f"made by {process.pid}\n" not in log.read_text()
    for words in (
        "show fred@customer.test",
        "dns customer.test --target www.example.com",
        "validate",
        "check customer.test --unpublished",
    ):
        ended = subprocess.run(
            ["/bin/sh", "-c", f"cd {folder} && {flask} {words}"],
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in ended.stderr, words
        seen = ended.stdout + ended.stderr
        assert "imap.example.com" in seen or "no problems" in seen, words


def test_a_projects_faulty_app_ends_serve_in_words(folder: Path) -> None:
    for text, words in (("1 / 0", "ZeroDivisionError"), (SITE, "provider[0]")):
        (folder / "site_of_mine.py").write_text(text)
        (folder / "autoconfig.toml").write_text("[[provider]]\ndomains = [5]")
        ended = subprocess.run(
            [BIN / "flask", "--app", "site_of_mine", "autoconfig", "serve"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert ended.returncode != 0
        assert words in ended.stderr


def test_the_hooks_of_a_blueprint_are_not_its_decorators(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from flask_autoconfig import Autoconfig\nautoconfig = Autoconfig()\n"
        "autoconfig.find_provider(lambda domain: 'example.com')\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        hooks = importing.imported("mine:autoconfig")
        assert hooks.find_username is None
        assert hooks.provider_of("x.test", 60) == "example.com"


def test_the_example_for_a_database_is_the_readmes() -> None:
    assert "serve --hooks customers" in (ROOT / "examples/customers.py").read_text()


def test_a_module_that_starts_a_process_does_not_hold_the_start_up(
    folder: Path,
) -> None:
    text = "import multiprocessing\ncache = multiprocessing.Manager().dict()\n" + MODULE
    (folder / "customers.py").write_text(text)
    command, port = serve(folder, "--hooks", "customers", "--workers", "1")
    with running(*command, port=port, log=folder / "log", at_once=True):
        answer = fetch(f"http://127.0.0.1:{port}{CONFIG}customer.test")
        assert answer.status == 200


def test_a_new_worker_has_the_functions_that_the_module_has_by_then(
    folder: Path,
) -> None:
    log = folder / "log"
    command, port = serve(folder, "--hooks", "customers", "--workers", "1")
    with running(*command, port=port, log=log, at_once=True) as process:
        url = f"http://127.0.0.1:{port}{CONFIG}example.com"
        assert b"u2002" not in fetch(url).body
        more = "\ndef find_username(address):\n    return 'u2002'\n"
        (folder / "customers.py").write_text(MODULE + more)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        process.send_signal(signal.SIGHUP)
        until(lambda: b"u2002" in fetch(url).body)


def test_a_worker_that_starts_while_the_file_is_broken_has_the_last_good_one(
    folder: Path,
) -> None:
    log, file = folder / "log", folder / "autoconfig.toml"
    command, port = serve(folder, "--workers", "1")
    with running(*command, port=port, log=log, at_once=True) as process:
        url = f"http://127.0.0.1:{port}{CONFIG}example.com"
        file.write_text(TWO_DOMAINS.replace("imap.example.com", "new.example.com"))
        until(lambda: b"new.example.com" in fetch(url).body)
        time.sleep(3)  # the server's own process looks about once a second
        file.write_text("[[")
        until(lambda: "goes on answering" in log.read_text())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (worker,) = children.read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: children.read_text().split() not in ([], [worker]))
        assert b"new.example.com" in fetch(url).body
