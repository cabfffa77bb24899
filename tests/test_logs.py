"""What `serve` writes: one line a request, no address, and what it took up."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from support import BIN, TWO_DOMAINS, end, fetch, free_port, serving, until, wait_for

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred.secret@example.com"


def raw(url: str, line: str) -> None:
    """One request by its first line, whatever the answer."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(f"{line}\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        while sock.recv(65536):
            pass


def test_a_request_is_one_line_whatever_is_in_it(toml: Write, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), log=log) as url:
        before = len(log.read_text().splitlines())
        paths = (
            "/a%0ab",
            "/a%0db",
            "/a%1b[2Jb",
            '/a"b',
            "/a%22b",
            "/a%c2%85b",
            "/%5cn",
        )
        for path in paths:
            raw(url, f"GET {path} HTTP/1.1")
        raw(url, "GET'`|~ /last HTTP/1.1")
        until(lambda: "/last" in log.read_text())
    lines = log.read_bytes().decode().split("\n")[before:-1]
    requests = [line for line in lines if "HTTP/1.1" in line]
    assert len(requests) == len(paths) + 1
    assert all(line.isprintable() for line in lines)
    for line in requests:
        parts = r'127\.0\.0\.1 \[.*?\] "(?:[^"\\]|\\.)*" \d+ \d+ a'
        assert re.fullmatch(parts, line), line
        path = "/last" if line == requests[-1] else "/…"
        assert f'"- {path} ' in line or f'"GET {path} ' in line


def test_no_address_is_in_a_line(toml: Write, tmp_path: Path) -> None:
    log = tmp_path / "log"
    v2 = "/autodiscover/autodiscover.json"
    at = (
        *("@", "%40", "%2540", "%252540", "%25252540", "%EF%BC%A0", "%EF%B9%AB", ";"),
        *("%u0040", "%25u0040", "=40", "<at>", "%3Cat%3E", "&#64;", "(at)", "%00"),
    )
    with serving(toml(TWO_DOMAINS), log=log) as url:
        for sign in at:
            raw(url, f"GET {v2}/v1.0/fred.secret{sign}example.com?Protocol=x HTTP/1.1")
            raw(url, f"GET {v2}/v1.0/secret/b{sign}example.com?Protocol=x HTTP/1.1")
            raw(url, f"GET {v2}/v1.0/secret%2Fb{sign}example.com HTTP/1.1")
            raw(url, f"GET {v2}/v1.0/secret%252Fb{sign}example.com HTTP/1.1")
            raw(url, f"GET {v2.upper()}/v1.0/secret/a HTTP/1.1")
            raw(url, f"GET /mail/secret/b/c{sign}example.com HTTP/1.1")
            raw(url, f"SECRET{sign}A.TEST / HTTP/1.1")
            raw(url, f"GET /fred.secret{sign}example.com HTTP/1.1")
            raw(url, f"GET /a%0a/fred.secret{sign}example.com/b HTTP/1.1")
            raw(url, f"GET http://fred.secret{sign}example.com/ HTTP/1.1")
            raw(url, f"GET\x01 /fred.secret{sign}example.com HTTP/1.1")
            raw(url, f"fred.secret{sign}example.com / HTTP/1.1")
            raw(url, f"GET / fred.secret{sign}example.com")
            raw(url, f"GET / HTTP/1.1\r\nfred.secret{sign}example.com")
        raw(url, "SECRET / HTTP/1.1")
        raw(url, "GET /last HTTP/1.1")
        until(lambda: "/last" in log.read_text())
    text = log.read_text()
    assert "secret" not in text.lower()
    assert "@" not in text
    assert text.count(f'"GET {v2}/… HTTP/1.1"') == 5 * len(at)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("Autoconfig.Example.COM:8000", "autoconfig.example.com"),
        ("autoconfig.xn--bcher-kva.example", "autoconfig.xn--bcher-kva.example"),
        ("autoconfig.nowhere.test.", "autoconfig.nowhere.test"),
        ("fred.secret@example.com", "-"),
        ("fred.secret%2540example.com", "-"),
        ("secret 192.0.2.7", "-"),
        ('secret" 200', "-"),
        ("secret." * 50, "-"),
        ("", "-"),
    ],
)
def test_a_line_ends_with_the_host_that_was_asked_where_it_is_one(
    toml: Write, tmp_path: Path, asked: str, told: str
) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), log=log) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(f"GET /last HTTP/1.0\r\nHost: {asked}\r\n\r\n".encode())
            while sock.recv(65536):
                pass
        until(lambda: "/last" in log.read_text())
    text = log.read_text()
    (line,) = [it for it in text.splitlines() if "/last" in it]
    assert line.endswith(f' "GET /last HTTP/1.0" 404 46 {told}'), line
    assert "secret" not in text


def test_behind_a_proxy_the_host_is_the_one_that_it_passes_on(
    toml: Write, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), "--proxies", "1", log=log) as url:
        fetch(f"{url}/last", X_Forwarded_Host="autoconfig.example.com")
        until(lambda: "/last" in log.read_text())
    assert re.search('"GET /last .* autoconfig.example.com\n', log.read_text())


@pytest.mark.world
@pytest.mark.parametrize("stdout", ["closed", "a pipe that nobody reads", "/dev/full"])
def test_a_log_that_cannot_be_written_is_not_told_elsewhere(
    toml: Write, tmp_path: Path, stdout: str
) -> None:
    errors = tmp_path / "errors"
    port = free_port()
    words = ("--config", toml(TWO_DOMAINS), "serve", "--bind", f"127.0.0.1:{port}")
    command = [str(it) for it in (BIN / "flask-autoconfig", *words)]
    with errors.open("wb") as err:
        process = _with_stdout(stdout, command, err)
    try:
        wait_for(port, process)
        for _ in range(20):
            assert fetch(f"http://127.0.0.1:{port}{CONFIG}").status == 200
        time.sleep(0.5)  # the log follows the answer
    finally:
        end(process)
    text = errors.read_text()
    assert "Booting worker" in text
    assert "secret" not in text
    assert "emailaddress" not in text
    assert "Traceback" not in text


def _with_stdout(
    kind: str, command: list[str], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    if kind == "closed":
        words = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
        return subprocess.Popen(words, stderr=errors, start_new_session=True)
    if kind == "/dev/full":
        with Path(kind).open("wb") as full:
            return subprocess.Popen(
                command, stdout=full, stderr=errors, start_new_session=True
            )
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.close()
    return process


def test_a_configuration_that_is_taken_up_is_logged(
    toml: Write, tmp_path: Path
) -> None:
    file, log = toml(TWO_DOMAINS), tmp_path / "log"
    line = re.compile(
        rf"\[INFO\] {re.escape(str(file))} is taken up: "
        r"1 provider, 2 domains, in \d+ milliseconds; the pacc document of example.com "
        r"and 1 more changed: publish its digest, `flask-autoconfig dns --diff`\n"
    )
    with serving(file, "--workers", "1", log=log) as url:
        fetch(url + CONFIG)
        toml(TWO_DOMAINS.replace("imap.", "mail."))
        until(lambda: len(line.findall(log.read_text())) == 1)
        file.write_text("[[provider")
        until(lambda: "The last good configuration" in log.read_text())
        toml(TWO_DOMAINS)
        until(lambda: len(line.findall(log.read_text())) == 2)


def test_an_edit_that_changes_no_digest_says_nothing_of_one(
    toml: Write, tmp_path: Path
) -> None:
    file, log = toml(TWO_DOMAINS), tmp_path / "log"
    with serving(file, "--workers", "1", log=log) as url:
        fetch(url + CONFIG)
        toml("max_age = 60\n" + TWO_DOMAINS)
        until(lambda: "is taken up" in log.read_text())
    assert "PACC" not in log.read_text()


@pytest.mark.parametrize(
    "claimed", ["fred.secret@example.com", '10.0.0.9 - "GET /admin HTTP/1.1" 200 1']
)
def test_what_a_proxy_passes_on_of_a_client_is_an_ip_address_or_nothing(
    toml: Write, tmp_path: Path, claimed: str
) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), "--proxies", "1", log=log) as url:
        fetch(f"{url}/healthz", X_Forwarded_For=claimed)
        fetch(f"{url}/last", X_Forwarded_For="192.0.2.7")
        until(lambda: "/last" in log.read_text())
    text = log.read_text()
    assert claimed not in text
    assert "\n- [" in text
    assert "\n192.0.2.7 [" in text
