"""Files that are not ordinary ones: pipes, sockets, devices; and odd dates."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from client_requests import CONFIG
from services import run
from support import TWO_DOMAINS, Log, Write, certificate_for, look

from flask_autoconfig.answers import Request
from flask_autoconfig.config.reading import read
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.files import read_file
from flask_autoconfig.service import Service

REASON = "ordinary file"
SIGNED = """
[sign]
certificate = "example.com.pem"
key = "example.com.key"
[[provider]]
domains_file = "domains"
"""


def make_socket(path: Path) -> None:
    # Its name may have only 107 octets.
    with socket.socket(socket.AF_UNIX) as listener, chdir(path.parent):
        listener.bind(path.name)


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}


@pytest.fixture
def whole(toml: Write, tmp_path: Path) -> Path:
    """A configuration that names every kind of file."""
    certificate_for("example.com", folder=tmp_path)
    (tmp_path / "domains").write_text("example.org\n")
    return toml(TWO_DOMAINS.replace("[[provider]]", SIGNED, 1))


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize(
    "name", ["autoconfig.toml", "domains", "example.com.pem", "example.com.key"]
)
def test_a_file_that_is_not_an_ordinary_one_is_an_error_and_changes_nothing(
    whole: Path, make: Callable[[Path], None], name: str, caplog: Log
) -> None:
    service = Service(whole)
    (whole.parent / name).unlink()
    make(whole.parent / name)
    with pytest.raises(ConfigError, match=REASON):
        read(whole)
    look(service.live, 5)
    answer = service.answer(Request(CONFIG, "emailaddress=a@example.org"))
    assert answer is not None
    assert answer.status == "200 OK"
    assert caplog.text.count(REASON) == 1


def test_a_file_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * 2048)
    assert len(read_file(file, 2048)) == 2048
    with pytest.raises(OSError, match="more than 1 KiB"):
        read_file(file, 2047)


def test_a_configuration_beyond_its_limit_is_refused_with_a_cure(toml: Write) -> None:
    file = toml("")
    os.truncate(file, 33 * 1024 * 1024)
    result = run("--config", file, "validate", code=1)
    assert "it has more than 32768 KiB" in result.stdout
    assert "many domains in a domains_file" in result.stdout


def test_a_file_of_any_date_is_served(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    for year in (1900, 9998, 30000, 200_000):
        seconds = min((year - 1970) * 31_556_952, 9_200_000_000)
        with suppress(OSError, OverflowError):  # the file system may know no such date
            os.utime(file, ns=(0, seconds * 10**9))
        result = run("--config", file, "show")
        assert (result.returncode, result.stderr) == (0, "")
        answer = Service(file).answer(Request(CONFIG))
        assert answer is not None
        assert parsedate_to_datetime(answer.modified).timestamp() <= time.time()
