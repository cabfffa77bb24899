"""The hooks that `serve` imports by name, or from a Flask project."""

import os
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from services import Service, captured, run_flask, serve, until
from services import run as run_here
from services import run_process as run
from support import TWO_DOMAINS, Patch, rows

from flask_autoconfig import ConfigError, create_app
from flask_autoconfig.hooks.calling import load_hooks

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
def file(file: Path) -> Path:
    """A configuration in a folder with a module of hooks."""
    file.with_name("customers.py").write_text(MODULE)
    return file


def replace_module(service: Service, text: str) -> None:
    """Replace the module of hooks, and restart the workers."""
    service.log.with_name("customers.py").write_text(text)
    shutil.rmtree(service.log.with_name("__pycache__"), ignore_errors=True)
    service.process.send_signal(signal.SIGHUP)


# --- Hooks by name ----------------------------------------------------------------------


def test_each_worker_imports_the_hooks_and_the_arbiter_does_not(file: Path) -> None:
    with serve(file, "--hooks", "customers", "--workers", "3") as service:
        # By each worker, and by the child process that validates them.
        until(lambda: service.log.read_text().count("imported by") == 4)
        assert b"imap.example.com" in service.config_of("customer.test").body
        for domain, status in {
            "customer.test": 200,
            "elsewhere.test": 404,
            "broken.test": 503,
        }.items():
            assert service.config_of(domain).status == status
            for label in ("autoconfig", "ua-auto-config"):  # as Caddy asks
                health = service.fetch(f"/healthz?domain={label}.{domain}")
                assert health.status == status
        assert service.fetch("/healthz?domain=").status == 404
        assert service.fetch("/healthz").status == 200
        log = service.log.read_text()
    importers = set(re.findall(r"imported by (\d+)", log))
    workers = set(re.findall(r"Booting worker with pid: (\d+)", log))
    assert str(service.process.pid) not in importers
    assert workers < importers
    assert len(importers - workers) == 1


def test_a_class_is_instantiated_once_in_each_worker(file: Path) -> None:
    with serve(file, "--hooks", "customers:Logins", "--workers", "1") as service:
        assert b"<username>u1001</username>" in service.config_of("example.com").body
        for _ in range(3):
            assert service.fetch("/readyz").status == 200
        # By the child process that validates them, too.
        assert service.log.read_text().count("created by") == 2


def test_a_process_of_the_module_is_ended_with_its_importer(file: Path) -> None:
    name = f"30{os.getpid()}"
    starts = f"import subprocess\nsubprocess.Popen(['sleep', '{name}'])\n"
    file.with_name("customers.py").write_text(starts + MODULE)
    with serve(file, "--hooks", "customers", "--workers", "1") as service:
        assert service.config_of("customer.test").status == 200
        commands = []
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it may have ended
                commands.append(command.read_text(errors="replace"))
        assert commands.count(f"sleep\0{name}\0") == 1  # the worker's


@rows("faulty_hooks", "name, text, message", "commands.toml")
def test_faulty_hooks_are_named_with_their_place(
    file: Path, name: str, text: str, message: str, monkeypatch: Patch
) -> None:
    module = file.with_name("faulty.py")
    module.write_text(text)
    monkeypatch.chdir(file.parent)
    with pytest.raises(ConfigError) as caught:
        create_app("autoconfig.toml", hooks=name)
    assert message.format(file=module) in str(caught.value)


def test_hooks_that_end_the_process_end_the_start(file: Path) -> None:
    text = "print('connecting', flush=True); import os; os._exit(7)"
    file.with_name("faulty.py").write_text(text)
    ended = run("serve", "--hooks", "faulty", cwd=file.parent)
    assert (ended.returncode, ended.stdout) == (1, "connecting\n")
    assert "importing the hooks or the app ends the process\n" in ended.stderr
    assert ended.stderr.startswith("Error: ")


def test_a_new_worker_imports_the_module_as_it_is_then(file: Path) -> None:
    with serve(file, "--hooks", "customers", "--workers", "1") as service:
        assert service.config_of("customer.test").status == 200
        assert b"u2002" not in service.config_of("example.com").body
        replace_module(service, "1 / 0")
        until(lambda: service.config_of("customer.test").status == 503)
        assert service.config_of("example.com").status == 200
        assert "ZeroDivisionError" in service.log.read_text()
        file.with_name("customers.py").write_text(MODULE)  # without a restart
        until(lambda: service.config_of("customer.test").status == 200)
        more = "\ndef find_username(address):\n    return 'u2002'\n"
        replace_module(service, MODULE + more)
        until(lambda: b"u2002" in service.config_of("example.com").body)


def test_commands_call_hooks_of_the_environment(file: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "customers", raising=False)
    target = "--target www.example.com"
    for words, text in (
        ("show fred@customer.test", "<domain>customer.test</domain>"),
        (f"dns customer.test {target}", "$ORIGIN customer.test."),
        ("check customer.test --unpublished", "imap.example.com"),
        ("show fred@broken.test", "find_provider failed"),
        (f"dns broken.test {target}", "find_provider failed"),
    ):
        ended = run_here(*words.split(), cwd=file.parent, AUTOCONFIG_HOOKS="customers")
        assert text in ended.stdout + ended.stderr
        assert ended.returncode == 1 or "broken" not in words


def test_a_blueprint_gives_its_hooks(tmp_path: Path, monkeypatch: Patch) -> None:
    (tmp_path / "blueprint_hooks.py").write_text(
        "from flask_autoconfig import Autoconfig\nautoconfig = Autoconfig()\n"
        "autoconfig.find_provider(lambda domain: 'example.com')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    hooks = load_hooks("blueprint_hooks:autoconfig")
    assert hooks["find_username"] is None
    assert hooks["find_provider"]("x.test") == "example.com"


# --- A Flask project --------------------------------------------------------------------

SITE = """
import os
from types import MappingProxyType
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
    """app.config["AUTOCONFIG"] = MappingProxyType({"provider": [{
    "domains": ["example.com"],
    "incoming": [{"type": "imap", "hostname": "imap.example.com"}],
    "outgoing": [{"type": "smtp", "hostname": "smtp.example.com"}],
}]})""",
)
FLASK = "flask --app our_site autoconfig"
flask = partial(run_flask, "our_site", "autoconfig")


@pytest.mark.parametrize("site", [SITE, SITE_WITH_A_MAPPING], ids=["file", "mapping"])
def test_each_worker_imports_a_project_and_its_hooks(file: Path, site: str) -> None:
    file.with_name("our_site.py").write_text(site)
    with serve(file, "--workers", "2", command=FLASK) as service:
        assert b"imap.example.com" in service.config_of("customer.test").body
        assert service.config_of("elsewhere.test").status == 404
        assert service.fetch("/mail/setup").status == 404  # by AUTOCONFIG_CLIENTS
        until(lambda: service.log.read_text().count("created by") == 3)
        assert f"created by {service.process.pid}\n" not in service.log.read_text()
    for words, text in (
        ("show fred@customer.test", "<domain>customer.test</domain>"),
        ("dns customer.test --target www.example.com", "imap.example.com"),
        ("validate", "no problems"),
        ("check customer.test --unpublished", "imap.example.com"),
    ):
        ended = flask(*words.split(), cwd=file.parent)
        assert text in ended.stdout + ended.stderr, words


def test_a_faulty_project_ends_the_start_with_a_message(file: Path) -> None:
    file.write_text("[[provider]]\ndomains = [5]")
    for text, words in (("1 / 0", "ZeroDivisionError"), (SITE, "provider[0]")):
        file.with_name("our_site.py").write_text(text)
        ended = captured(*FLASK.split(), "serve", cwd=file.parent)
        assert ended.returncode != 0
        assert words in ended.stderr
    for debug in ("0", "1"):  # in debug mode the app itself refuses the file
        ended = flask("validate", cwd=file.parent, FLASK_DEBUG=debug)
        assert ended.returncode == 1
        assert "provider[0]" in ended.stdout
    ended = flask("show", cwd=file.parent)
    assert ended.returncode == 1
    assert "autoconfig.toml: 2 problems" in ended.stderr.partition("Error: ")[2]
    nothing = run_flask("no_such_site", "autoconfig", "validate", cwd=file.parent)
    assert nothing.returncode == 2


def test_a_new_worker_uses_the_last_good_file(file: Path) -> None:
    with serve(file, "--workers", "1") as service:
        file.write_text(TWO_DOMAINS.replace("imap.example.com", "new.example.com"))
        until(lambda: b"new.example.com" in service.fetch().body)
        time.sleep(3)  # the arbiter looks for an edit about once a second
        file.write_text("[[")
        until(lambda: "remains in use" in service.log.read_text())
        (worker,) = service.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: service.workers() not in ([], [worker]))
        assert b"new.example.com" in service.fetch().body
