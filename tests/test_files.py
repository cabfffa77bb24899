"""Files that are no ordinary ones: pipes, sockets and devices, and odd dates."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from support import (
    TWO_DOMAINS,
    certificate_for,
    fetch,
    serving,
    until,
)
from support import (
    run_process as run,
)

from flask_autoconfig.answers import Request
from flask_autoconfig.config.reading import read
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.files import read_file
from flask_autoconfig.service import Service

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml"


@contextmanager
def a_pipe(path: Path) -> Iterator[None]:
    os.mkfifo(path)
    yield


@contextmanager
def a_socket(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's whole name may have 107 octets
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)
        yield


@contextmanager
def a_device(path: Path) -> Iterator[None]:
    path.symlink_to("/dev/zero")
    yield


@contextmanager
def a_folder(path: Path) -> Iterator[None]:
    path.mkdir()
    yield


ODD = pytest.mark.parametrize("odd", [a_pipe, a_socket, a_device, a_folder])
Odd = Callable[[Path], AbstractContextManager[None]]
SIGNED = """
[sign]
certificate = "example.com.pem"
key = "example.com.key"
[[provider]]
domains_file = "domains"
"""
NAMED = ["autoconfig.toml", "domains", "example.com.pem", "example.com.key"]


@pytest.fixture
def whole(toml: Write, tmp_path: Path) -> Path:
    """A configuration that names every kind of file."""
    certificate_for("example.com", folder=tmp_path)
    (tmp_path / "domains").write_text("example.org\n")
    return toml(TWO_DOMAINS.replace("[[provider]]", SIGNED, 1))


@ODD
@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_no_ordinary_one_is_a_problem_at_once(
    whole: Path, odd: Odd, name: str
) -> None:
    assert read(whole)
    (whole.parent / name).unlink()
    start = time.monotonic()
    with (
        odd(whole.parent / name),
        pytest.raises(ConfigError, match="it is no ordinary file"),
    ):
        read(whole)
    assert time.monotonic() - start < 5


@ODD
@pytest.mark.parametrize("name", NAMED)
def test_a_watched_file_that_becomes_no_ordinary_one_changes_nothing(
    whole: Path, odd: Odd, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(whole)
    (whole.parent / name).unlink()
    with odd(whole.parent / name):
        for _ in range(5):
            service.live.look()
        answer = service.answer(Request(CONFIG, "emailaddress=a@example.org"))
    assert answer is not None
    assert answer.status == "200 OK"
    assert caplog.text.count("it is no ordinary file") == 1
    assert "The last good configuration goes on answering." in caplog.text


def test_serve_goes_on_when_its_file_becomes_a_pipe(whole: Path) -> None:
    log = whole.parent / "log"
    with serving(whole, "--workers", "1", log=log) as url:
        asked = f"{url}{CONFIG}?emailaddress=a@example.org"
        assert fetch(asked).status == 200
        whole.unlink()
        os.mkfifo(whole)
        until(lambda: "it is no ordinary file" in log.read_text())
        assert fetch(asked).status == 200


def test_a_command_with_a_pipe_for_its_file_ends(whole: Path) -> None:
    whole.unlink()
    os.mkfifo(whole)
    done = run("--config", whole, "validate")
    assert done.returncode == 1
    assert "it is no ordinary file" in done.stdout


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * 2048)
    assert len(read_file(file, 2048)) == 2048
    with pytest.raises(OSError, match="more than 1 KiB"):
        read_file(file, 2047)


# --- Odd dates -------------------------------------------------------------------------


@pytest.mark.parametrize("year", [1900, 9998, 30000, 200_000])
def test_show_and_serve_take_a_file_of_any_date(toml: Write, year: int) -> None:
    file = toml(TWO_DOMAINS)
    with suppress(OSError, OverflowError):  # the file system may know no such date
        os.utime(file, ns=(0, min((year - 1970) * 31_556_952, 9_200_000_000) * 10**9))
    done = run("--config", file, "show")
    assert (done.returncode, done.stderr) == (0, "")
    answer = Service(file).answer(Request(CONFIG))
    assert answer is not None
    assert parsedate_to_datetime(answer.modified).timestamp() <= time.time()
