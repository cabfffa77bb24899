"""How commands end early: by Ctrl-C, at a deadline, or because nobody reads the output."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services import run_process
from strangers import WITH_SIGINT
from support import BIN, ISP_FILES, TWO_DOMAINS, Write

pytestmark = pytest.mark.world


@contextmanager
def started(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command that does not ignore Ctrl-C, and kill it in the end."""
    with subprocess.Popen(
        [BIN / "python", "-c", WITH_SIGINT, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


WAITING = (
    "check example.com",
    "check --all",
    "check --unpublished --json",
    "init example.com -o -",
    "dns --target www.example.com --diff",
)


@pytest.mark.parametrize("command", WAITING)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_command(file: Path, command: str, number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(60)
        resolver = f"127.0.0.1:{silent.getsockname()[1]}"
        options = ("--resolver", resolver, "--timeout", "300")
        program = (BIN / "flask-autoconfig", "--config", file)
        with started(*program, *command.split(), *options) as process:
            silent.recv(512)  # the command waits for the answer
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    assert process.returncode == -number  # which shells report as 130 and 143
    assert out == ""
    assert "Traceback" not in err


# As may happen in `check`: a search in a thread that keeps the interpreter's lock.
ENDLESS = """
import re, sys, threading
from flask_autoconfig.tools import ending
with ending.at_once(), ending.within(float(sys.argv[1])):
    search = lambda: re.fullmatch("(a|a)+", "a" * 40 + "b")
    thread = threading.Thread(target=search)
    print("begun", flush=True)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(
    ("seconds", "number"),
    [("300", signal.SIGINT), ("1", signal.SIGALRM)],
    ids=["by Ctrl-C", "at its deadline"],
)
def test_a_computation_ends(seconds: str, number: int) -> None:
    with started(BIN / "python", "-c", ENDLESS, seconds) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if number == signal.SIGINT:
            process.send_signal(number)
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (-number, "")


OFFLINE = "--resolver 127.0.0.1:9 --timeout 0.2"
PRINTING = (
    *("--help", "check --help", "--version", "validate", "validate --json"),
    *("dns --target www.example.com", "show", "schema", f"import {ISP_FILES[0]}"),
    f"check example.com -v --unpublished {OFFLINE}",
    f"check --all --json {OFFLINE}",
)


@pytest.mark.parametrize("command", PRINTING, ids=lambda words: words.split(" /")[0])
def test_a_closed_pipe_ends_a_command_silently(toml: Write, command: str) -> None:
    file = toml(f'{TWO_DOMAINS}socket_type = "plain"\n')
    read, write = os.pipe()
    os.close(read)
    result = run_process("--config", file, *command.split(), stdout=write)
    os.close(write)
    assert result.returncode == 141
    assert "rror" not in result.stderr  # Error, error, BrokenPipeError
