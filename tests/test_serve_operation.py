"""`serve` under a service manager, and what it tells those who run it."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from services import Service, free_port, launched, serve, until
from services import run_process as run
from support import BIN, TWO_DOMAINS, Write, program, table

Start = Callable[[Path], AbstractContextManager[Service]]
ONE = ("--workers", "1")
FAULTY = TWO_DOMAINS.replace("hostname", "server")


# --- A faulty file at the start ----------------------------------------------------------


def as_unit_process(file: Path, *options: str) -> AbstractContextManager[Service]:
    """Run `serve` with the variable that systemd sets for the process of ExecStart=."""
    start = file.with_name("start")
    start.write_text(
        f'#!/bin/sh\nSYSTEMD_EXEC_PID=$$ exec {BIN}/flask-autoconfig "$@"\n'
    )
    start.chmod(0o755)
    return serve(file, *ONE, *options, command=f"{start} --config {{file}}")


def behind_socket(file: Path) -> AbstractContextManager[Service]:
    """Run `serve` as systemd runs a service with a socket."""
    port = free_port()
    activate = (program("systemd-socket-activate"), f"--listen=127.0.0.1:{port}")
    command = (BIN / "flask-autoconfig", "--config", file, "serve", *ONE)
    return launched(file.with_name("log"), port, *activate, *command)


def without_strict(file: Path) -> AbstractContextManager[Service]:
    return serve(file, *ONE, "--no-strict")


@pytest.mark.world
@pytest.mark.parametrize("start", [as_unit_process, behind_socket, without_strict])
@pytest.mark.parametrize("is_missing", [False, True], ids=["faulty", "missing"])
def test_it_starts_with_a_bad_file(toml: Write, start: Start, is_missing: bool) -> None:
    file = toml(FAULTY)
    if is_missing:
        file.unlink()
    with start(file) as service:
        response = service.fetch()
        assert response.status == 503
        assert "Retry-After" in response.headers
        assert service.fetch("/healthz?domain=example.com").status == 503
        assert service.fetch("/healthz").status == 200
        assert service.fetch("/readyz").status == 503
        log = service.log.read_text()
        assert log.count("answered with 503 until it is corrected") == 1
        assert str(file) in log
        assert ("the sockets that systemd opened" in log) == (start is behind_socket)
        assert "Traceback" not in log
        file.write_text(TWO_DOMAINS)
        until(lambda: service.fetch().status == 200)
        assert service.fetch("/readyz").status == 200
        until(lambda: "is loaded" in service.log.read_text())
        file.write_text(FAULTY)
        until(lambda: "remains in use" in service.log.read_text())
        assert service.fetch("/readyz").body == b"ok\n"


@pytest.mark.world
def test_a_service_of_systemd_starts_with_hooks_that_fail_to_import(file: Path) -> None:
    hooks = file.with_name("late_hooks.py")
    hooks.write_text("raise OSError('no database')")
    with as_unit_process(file, "--hooks", "late_hooks") as service:
        assert service.fetch().status == service.fetch("/readyz").status == 503
        assert "no database" in service.log.read_text()
        hooks.write_text("def find_username(address): return 'u1'\n")
        # Without another request: a proxy sends none to a service that is not ready.
        until(lambda: service.fetch("/readyz").status == 200)
        until(lambda: b"<username>u1<" in service.fetch().body)


# --- Numbers -----------------------------------------------------------------------------


def test_gunicorn_sends_its_numbers_to_statsd_without_an_address(file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(20)
        arguments = f"--statsd-host 127.0.0.1:{statsd.getsockname()[1]}"
        with serve(file, *ONE, arguments=arguments) as service:
            assert service.fetch().status == 200
            seen: list[bytes] = []
            while b"gunicorn.request.status.200:1|c|@1.0" not in seen:
                seen.append(statsd.recv(4096))
            log = service.log.read_text()
    assert any(line.startswith(b"gunicorn.request.duration:") for line in seen)
    assert '"GET /mail/config-v1.1.xml HTTP/1.1" 200 ' in log
    assert "secret" not in f"{log}{seen}"


LISTENER = """
from flask_autoconfig.signals import answered

@answered.connect
def count(sender, family, outcome, **_):
    print("counted:", family, outcome, flush=True)
"""


@pytest.mark.parametrize("hook", ["", "\ndef find_username(address): return 'u1'\n"])
def test_hooks_may_only_listen_to_the_signal(file: Path, hook: str) -> None:
    file.with_name("listener.py").write_text(LISTENER + hook)
    with serve(file, "--hooks", "listener") as service:
        assert (b"<username>u1<" in service.fetch().body) == bool(hook)
        until(lambda: "counted: thunderbird served\n" in service.log.read_text())


# --- The log as JSON ---------------------------------------------------------------------


def test_each_line_of_the_json_log_is_an_object_without_an_address(file: Path) -> None:
    options = (*ONE, "--proxies", "1", "--log-format", "json")
    logged = table("request_ids", "logs.toml")
    with serve(file, *options, arguments="--access-logformat '%(r)s'") as service:
        for value in logged:
            headers = {"X-Request-ID": value, "X-Forwarded-For": "::1"}
            service.fetch(**headers, Host="autoconfig.example.com")
        path = "/autodiscover/autodiscover.json/v1.0/fred.secret@example.com?Protocol=x"
        service.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        service.send(b"SECRET fred.secret@example.com\r\n\r\n")
        file.write_text(FAULTY)
        until(lambda: "remains in use" in service.log.read_text())
        text = service.log.read_text()
    assert "secret" not in text.lower()
    lines = [json.loads(line) for line in text.splitlines()]
    requests = {line["request_id"]: line for line in lines if "status" in line}
    assert requests.keys() == {found or None for found in logged.values()}
    first = requests["6f1c0a52b1d94c1f8f0e"]
    assert 0 <= first.pop("duration") < 10
    assert first.pop("bytes") > 100
    assert "T" in first.pop("time")
    assert first == {
        "client": "::1",
        "method": "GET",
        "path": "/mail/config-v1.1.xml",
        "protocol": "HTTP/1.1",
        "host": "autoconfig.example.com",
        "request_id": "6f1c0a52b1d94c1f8f0e",
        "status": 200,
    }
    paths = {line.get("path"): line.get("host") for line in lines}
    assert paths["/autodiscover/autodiscover.json/…"] is None
    others = [(line["level"], line["message"]) for line in lines if "level" in line]
    for level, words in (
        ("info", "GUNICORN_CMD_ARGS: serve keeps its own access_log_format"),
        ("info", f"Serving {file}, 2 domains, at 127.0.0.1:"),
        ("info", "Booting worker"),
        ("warning", "Invalid request"),
        ("error", "there is no key"),
    ):
        assert any(x[0] == level and words in x[1] for x in others), (words, others)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (FAULTY, (), "there is no key"),
        (TWO_DOMAINS, ("--hooks", "no_such_module"), "no_such_module"),
        (TWO_DOMAINS, ("--bind", "192.0.2.1:8000"), "cannot serve at 192.0.2.1"),
    ],
)
def test_what_ends_the_start_is_json_too(
    toml: Write, text: str, options: tuple[str, ...], words: str
) -> None:
    command = ("--config", toml(text), "serve", "--log-format", "json")
    ended = run(*command, *options)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert line["level"] == "error"
    assert words in line["message"]


def test_a_request_id_without_a_trusted_proxy_is_not_logged(file: Path) -> None:
    with serve(file, *ONE, "--log-format", "json") as service:
        service.fetch(**{"X-Request-ID": "6f1c0a52b1d94c1f8f0e"})
        until(lambda: '"request_id": null' in service.log.read_text())


@pytest.mark.world
def test_a_reload_is_logged_once_for_all_workers(file: Path) -> None:
    customers = file.with_name("customers")
    customers.write_text("customer.test\n@@\n")
    listed = TWO_DOMAINS.replace("domains =", 'domains_file = "customers"\ndomains =')
    with serve(file, "--workers", "4") as service:
        for _ in range(100):  # a worker begins to look for edits with its first request
            service.fetch()

        def logged(words: str) -> int:
            return service.log.read_text().count(words)

        for name, text, words in (
            (file, listed, "customers: skipped:\n  line 2: "),
            (customers, "@@\ncustomer.test\n", "customers: skipped:\n  line 1: "),
            (file, "clients = ['dav']\n" + listed, "is loaded"),
            (file, FAULTY, "remains in use"),
        ):
            before = logged(words)
            name.write_text(text)
            until(lambda: logged(words) > before)  # noqa: B023
            time.sleep(1.5)  # in which each worker notices it
            assert logged(words) == before + 1
