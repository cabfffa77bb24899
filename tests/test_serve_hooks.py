"""The hooks that `serve` imports by name, or from a Flask project."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import BIN, ROOT, TWO_DOMAINS, fetch, free_port, running, until
from support import run_process as run

from flask_autoconfig import ConfigError, create_app, importing

CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@"
MODULE = """
import os
print("imported by", os.getpid(), flush=True)

def find_provider(domain):
    return {"customer.test": "example.com", "broken.test": 5}.get(domain)

class Logins:
    def __init__(self):
        print("created by", os.getpid(), flush=True)

    def find_username(self, address):
        return "u1001"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and a module of hooks."""
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS)
    (tmp_path / "customers.py").write_text(MODULE)
    return tmp_path


@contextmanager
def serving(
    folder: Path, *options: str, program: str = "flask-autoconfig"
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `serve` in that folder, with the log in its file `log`."""
    port = free_port()
    command = f"cd {folder} && exec {BIN}/{program} serve --bind 127.0.0.1:{port}"
    shell = ("/bin/sh", "-c", f"{command} {' '.join(options)}")
    with running(*shell, port=port, log=folder / "log", at_once=True) as process:
        yield f"http://127.0.0.1:{port}", process


def replace_module(folder: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    """Replace the module of hooks, and restart the workers."""
    (folder / "customers.py").write_text(text)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    process.send_signal(signal.SIGHUP)


# --- Hooks by name ----------------------------------------------------------------------


def test_each_worker_imports_the_hooks_and_the_arbiter_does_not(folder: Path) -> None:
    log = folder / "log"
    with serving(folder, "--hooks", "customers", "--workers", "3") as (url, process):
        # By each worker, and by the child process that validates them.
        until(lambda: log.read_text().count("imported by") == 4)
        assert b"imap.example.com" in fetch(f"{url}{CONFIG}customer.test").body
        health = f"{url}/healthz?domain=autoconfig."
        for domain, status, health_status in (
            ("customer.test", 200, 200),
            ("elsewhere.test", 404, 404),
            ("broken.test", 503, 503),
        ):
            assert fetch(f"{url}{CONFIG}{domain}").status == status
            assert fetch(f"{health}{domain}").status == health_status
        importers = set(re.findall(r"imported by (\d+)", log.read_text()))
        workers = set(re.findall(r"Booting worker with pid: (\d+)", log.read_text()))
        assert str(process.pid) not in importers
        assert workers < importers
        assert len(importers - workers) == 1


def test_a_class_is_instantiated_in_each_worker(folder: Path) -> None:
    with serving(folder, "--hooks", "customers:Logins", "--workers", "1") as (url, _):
        body = fetch(f"{url}{CONFIG}example.com").body
    assert b"<username>u1001</username>" in body
    assert (folder / "log").read_text().count("created by") == 2


NO_HOOKS = "name a module with find_provider, find_provider_by_address or find_username"
FAULTY = {  # the name, a module of that name, and the messages
    "an unknown module": ("customer", None, ["No module named 'customer'", NO_HOOKS]),
    "an unknown object": (
        "customers:nothing",
        *(None, ["has no attribute 'nothing'", NO_HOOKS]),
    ),
    "an object without hooks": (
        "customers:os",
        *(
            None,
            [
                "no function find_provider, find_provider_by_address or find_username",
                NO_HOOKS,
            ],
        ),
    ),
    "an exception": (
        "faulty",
        "1 / 0",
        ["its import fails: ZeroDivisionError: division by zero at {file}:1; correct"],
    ),
    "an exit": (
        "faulty",
        "import sys; sys.exit(3)",
        ["its import fails: SystemExit: 3 at {file}:1; correct"],
    ),
    "an exception in a library": (
        "faulty",
        "import os\nos.environ['NOWHERE']",
        ["its import fails: KeyError: 'NOWHERE' at {file}:2; correct"],
    ),
    "a missing import": (
        "faulty",
        "import not_there",
        ["No module named 'not_there' at {file}:1; install not_there"],
    ),
}


@pytest.mark.parametrize(("name", "text", "messages"), FAULTY.values(), ids=FAULTY)
def test_faulty_hooks_end_the_start_with_the_error_and_its_place(
    folder: Path,
    name: str,
    text: str | None,
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = folder / "faulty.py"
    if text is not None:
        file.write_text(text)
    ended = run("serve", "--hooks", name, cwd=folder)
    assert ended.returncode == 1
    for message in messages:
        assert message.format(file=file) in ended.stderr
    assert ("name a module" in ended.stderr) == (text is None)
    assert "Traceback" not in ended.stderr
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as caught:
        create_app("autoconfig.toml", hooks=name)
    assert messages[0].format(file=file) in str(caught.value)


def test_a_module_that_ends_the_process_ends_the_start_with_one_line(
    folder: Path,
) -> None:
    (folder / "faulty.py").write_text("import os\nos._exit(7)")
    ended = run("serve", "--hooks", "faulty", cwd=folder)
    assert ended.returncode == 1
    assert ended.stderr == "Error: importing the hooks or the app ends the process\n"


def test_a_module_that_starts_a_process_does_not_delay_the_start(folder: Path) -> None:
    text = "import multiprocessing\ncache = multiprocessing.Manager().dict()\n" + MODULE
    (folder / "customers.py").write_text(text)
    with serving(folder, "--hooks", "customers", "--workers", "1") as (url, _):
        assert fetch(f"{url}{CONFIG}customer.test").status == 200


def test_a_new_worker_imports_the_module_as_it_is_then(folder: Path) -> None:
    with serving(folder, "--hooks", "customers", "--workers", "1") as (url, process):
        assert fetch(f"{url}{CONFIG}customer.test").status == 200
        assert b"u2002" not in fetch(f"{url}{CONFIG}example.com").body
        replace_module(folder, "1 / 0", process)
        until(lambda: fetch(f"{url}{CONFIG}customer.test").status == 503)
        assert fetch(f"{url}{CONFIG}example.com").status == 200
        assert "ZeroDivisionError" in (folder / "log").read_text()
        (folder / "customers.py").write_text(MODULE)  # imported without a restart
        until(lambda: fetch(f"{url}{CONFIG}customer.test").status == 200)
        more = "\ndef find_username(address):\n    return 'u2002'\n"
        replace_module(folder, MODULE + more, process)
        until(lambda: b"u2002" in fetch(f"{url}{CONFIG}example.com").body)


def test_the_commands_call_the_hooks_named_in_the_environment(folder: Path) -> None:
    hooks = {"AUTOCONFIG_HOOKS": "customers"}
    target = ("--target", "www.example.com")
    for command, text in (
        (("show", "fred@customer.test"), "<domain>customer.test</domain>"),
        (("dns", "customer.test", *target), "$ORIGIN customer.test."),
        (("check", "customer.test", "--unpublished"), "imap.example.com"),
    ):
        assert text in run(*command, cwd=folder, **hooks).stdout
    for command in (("show", "fred@broken.test"), ("dns", "broken.test", *target)):
        ended = run(*command, cwd=folder, **hooks)
        assert ended.returncode == 1
        assert "find_provider failed" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_blueprint_gives_its_registered_hooks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "blueprint_hooks.py").write_text(
        "from flask_autoconfig import Autoconfig\nautoconfig = Autoconfig()\n"
        "autoconfig.find_provider(lambda domain: 'example.com')\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    hooks = importing.load_hooks("blueprint_hooks:autoconfig")
    assert hooks["find_username"] is None
    assert hooks["find_provider"]("x.test") == "example.com"


def test_the_database_example_says_how_to_serve_it() -> None:
    assert "serve --hooks customers" in (ROOT / "examples/customers.py").read_text()


# --- A Flask project --------------------------------------------------------------------

SITE = """
import os
from flask import Flask, current_app
from flask_autoconfig import Autoconfig

print("created by", os.getpid(), flush=True)
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
SITE_WITH_A_MAPPING = SITE.replace(
    'app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"',
    """from types import MappingProxyType
app.config["AUTOCONFIG"] = MappingProxyType({"provider": [{
    "domains": ["example.com"],
    "incoming": [{"type": "imap", "hostname": "imap.example.com"}],
    "outgoing": [{"type": "smtp", "hostname": "smtp.example.com"}],
}]})""",
)
FLASK = "flask --app our_site autoconfig"


@pytest.mark.parametrize("site", [SITE, SITE_WITH_A_MAPPING], ids=["file", "mapping"])
def test_a_project_is_served_with_its_hooks_and_imported_in_each_worker(
    folder: Path, site: str
) -> None:
    (folder / "our_site.py").write_text(site)
    with serving(folder, "--workers", "2", program=FLASK) as (url, process):
        assert b"imap.example.com" in fetch(f"{url}{CONFIG}customer.test").body
        assert fetch(f"{url}{CONFIG}elsewhere.test").status == 404
        assert fetch(f"{url}/mail/setup").status == 404  # by AUTOCONFIG_CLIENTS
        log = folder / "log"
        until(lambda: log.read_text().count("created by") == 3)
        assert f"created by {process.pid}\n" not in log.read_text()
    for words, text in (
        ("show fred@customer.test", "imap.example.com"),
        ("dns customer.test --target www.example.com", "imap.example.com"),
        ("validate", "no problems"),
        ("check customer.test --unpublished", "imap.example.com"),
    ):
        ended = in_project(folder, words)
        assert "Traceback" not in ended.stderr, words
        assert text in ended.stdout + ended.stderr, words


def test_a_faulty_project_ends_the_start_with_a_message(folder: Path) -> None:
    for text, words in (("1 / 0", "ZeroDivisionError"), (SITE, "provider[0]")):
        (folder / "our_site.py").write_text(text)
        (folder / "autoconfig.toml").write_text("[[provider]]\ndomains = [5]")
        ended = in_project(folder, "serve")
        assert ended.returncode != 0
        assert words in ended.stderr


def in_project(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project."""
    return subprocess.run(
        [BIN / "flask", *FLASK.split()[1:], *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


# --- Reloads ----------------------------------------------------------------------------


def test_a_worker_that_starts_with_a_broken_file_uses_the_last_good_one(
    folder: Path,
) -> None:
    file = folder / "autoconfig.toml"
    with serving(folder, "--workers", "1") as (url, process):
        url += f"{CONFIG}example.com"
        file.write_text(TWO_DOMAINS.replace("imap.example.com", "new.example.com"))
        until(lambda: b"new.example.com" in fetch(url).body)
        time.sleep(3)  # the arbiter looks for an edit about once a second
        file.write_text("[[")
        until(lambda: "remains in use" in (folder / "log").read_text())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (worker,) = children.read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: children.read_text().split() not in ([], [worker]))
        assert b"new.example.com" in fetch(url).body
