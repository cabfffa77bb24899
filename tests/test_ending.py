"""How commands end before their time: Ctrl-C, and a reader that has seen enough."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strangers import HEARING
from support import BIN, ISP_FILES, TWO_DOMAINS
from support import run_process as run

from flask_autoconfig.tools.check import report
from flask_autoconfig.tools.check.findings import finding
from flask_autoconfig.tools.check.run import Fare, Report

pytestmark = pytest.mark.world
Write = Callable[..., Path]
SLOW = ("--timeout", "300")  # seconds that whoever is not ended would wait


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """A name server that takes questions and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.settimeout(60)
        yield deaf


WAITING = {
    "check": ("check", "example.com"),
    "check of all": ("check", "--all"),
    "check unpublished": ("check", "--unpublished", "--json"),
    "init": ("init", "example.com", "-o", "-"),
    "dns --diff": ("dns", "--target", "www.example.com", "--diff"),
}


@pytest.mark.parametrize("command", WAITING.values(), ids=WAITING)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_what_waits_for_servers_at_once(
    toml: Write,
    silence: socket.socket,
    command: tuple[str, ...],
    number: int,
) -> None:
    file = toml(TWO_DOMAINS)
    resolver = f"127.0.0.1:{silence.getsockname()[1]}"
    words = ("--config", str(file), *command, "--resolver", resolver, *SLOW)
    with subprocess.Popen(
        [BIN / "python", "-c", HEARING, BIN / "flask-autoconfig", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        silence.recv(512)  # it has begun to ask
        process.send_signal(number)
        try:
            out, told = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == -number  # which shells count as 130 and 143
    assert out == ""
    assert "Traceback" not in told


# --- Computations without end ------------------------------------------------------------

# As it happens in `check`: a search in a thread that keeps the interpreter's lock.
ENDLESS = """
import re, sys, threading
from flask_autoconfig.tools import ending
with ending.at_once(), ending.within(float(sys.argv[1]), "example.com"):
    search = lambda: re.fullmatch("(a|a)+", "a" * 40 + "b")
    thread = threading.Thread(target=search)
    print("begun", flush=True)
    thread.start()
    thread.join()
"""


@pytest.fixture
def endless() -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> subprocess.Popen[str]:
        command = [
            *map(str, (BIN / "python", "-c", HEARING, BIN / "python")),
            "-c",
            ENDLESS,
        ]
        process = subprocess.Popen(
            [*command, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_a_computation_at_once(
    endless: Callable[[float], subprocess.Popen[str]],
) -> None:
    process = endless(300)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert told == ""


def test_a_computation_ends_with_the_last_deadline(
    endless: Callable[[float], subprocess.Popen[str]],
) -> None:
    process = endless(1)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 1
    assert told == "error: example.com: it did not end within 1 seconds\n"


# --- A reader that has seen enough ------------------------------------------------------

OFFLINE = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")
PRINTING = {
    "help": ("--help",),
    "a command's help": ("check", "--help"),
    "the version": ("--version",),
    "validate": ("validate",),
    "validate --json": ("validate", "--json"),
    "dns": ("dns", "--target", "www.example.com"),
    "check": ("check", "example.com", "-v", "--unpublished", *OFFLINE),
    "check --all": ("check", "--all", "--json", *OFFLINE),
    "import": ("import", str(ISP_FILES[0])),
    "show": ("show",),
    "schema": ("schema",),
}


@pytest.mark.parametrize("command", PRINTING.values(), ids=PRINTING)
def test_a_pipe_that_nobody_reads_ends_a_command_without_a_word(
    toml: Write, command: tuple[str, ...]
) -> None:
    file = toml(f'{TWO_DOMAINS}socket_type = "plain"\n')
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [BIN / "flask-autoconfig", "--config", file, *command],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write)
    assert done.returncode == 141
    assert "rror" not in done.stderr  # Error, error, BrokenPipeError
    assert "Traceback" not in done.stderr


# --- What check prints at its end ---------------------------------------------------------


def test_quiet_json_of_what_is_well_is_an_object_all_the_same(toml: Write) -> None:
    command = ("check", "example.com", "--unpublished", "--json", "--quiet", *OFFLINE)
    told = json.loads(run("--config", toml(TWO_DOMAINS), *command).stdout)
    assert {it["status"] for it in told["findings"]} <= {"warning", "failure"}
    assert set(told) == {"domain", "clients", "findings"}


REFUSED = finding("login.refused", "imap imap.example.com:993", user="fred", said="no")


def test_a_refused_login_is_in_the_verdict() -> None:
    fares = (Fare("Thunderbird", True, None, ""),)
    told = Report("example.com", fares, (REFUSED,), None, False)
    assert list(report.verdict(told)) == [
        "example.com  \x1b[32mworks in\x1b[0m Thunderbird",
        "             \x1b[31mthe login fails at\x1b[0m imap imap.example.com:993: "
        "fred is refused: no",
    ]
    (well, refused) = report.verdict(Report("a.test", (), (REFUSED,), None, True))
    assert "the servers of the file work" in well
    assert "the login fails at" in refused
