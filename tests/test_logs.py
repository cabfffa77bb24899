"""The log of `serve`: one line for each request, no addresses, and each reload."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from support import BIN, TWO_DOMAINS, end, fetch, free_port, serving, until, wait_for

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred.secret@example.com"
V2 = "/autodiscover/autodiscover.json"


class Service(NamedTuple):
    """A running service and its log."""

    url: str
    log: Path

    def send(self, head: str) -> None:
        """Send the head of a request, and read the response."""
        port = int(self.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
            while sock.recv(65536):
                pass

    def lines(self, count: int) -> list[str]:
        """Return the access log once it has so many lines for `/last`."""
        until(lambda: self.log.read_text().count("/last") >= count)
        text = self.log.read_bytes().decode()
        return [line for line in text.split("\n") if " HTTP/1." in line]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service behind one proxy."""
    folder = tmp_path_factory.mktemp("service")
    file, log = folder / "autoconfig.toml", folder / "log"
    file.write_text(TWO_DOMAINS)
    with serving(file, "--proxies", "1", log=log) as url:
        yield Service(url, log)


@pytest.fixture
def empty_log(service: Service) -> Service:
    time.sleep(0.1)  # a line follows its response
    with service.log.open("w"):  # the service appends
        return service


def test_a_request_is_one_printable_line(empty_log: Service) -> None:
    service = empty_log
    paths = ["/a%0ab", "/a%0db", "/a%1b[2Jb", '/a"b', "/a%22b", "/a%c2%85b", "/%5cn"]
    for path in paths:
        service.send(f"GET {path} HTTP/1.1\r\nHost: a")
    service.send("GET'`|~ /last HTTP/1.1\r\nHost: a")
    lines = service.lines(1)
    assert len(lines) == len(paths) + 1
    assert all(line.isprintable() for line in lines)
    for line in lines:
        parts = r'127\.0\.0\.1 \[.*?\] "(GET /…|- /last) HTTP/1.1" \d+ \d+ a'
        assert re.fullmatch(parts, line), line


AT_SIGNS = (
    *("@", "%40", "%2540", "%252540", "%25252540", "%EF%BC%A0", "%EF%B9%AB", ";"),
    *("%u0040", "%25u0040", "=40", "<at>", "%3Cat%3E", "&#64;", "(at)", "%00"),
)
HEADS_WITH_AN_ADDRESS = (
    f"GET {V2}/v1.0/fred.secret{{at}}example.com?Protocol=x HTTP/1.1",
    f"GET {V2}/v1.0/secret/b{{at}}example.com?Protocol=x HTTP/1.1",
    f"GET {V2}/v1.0/secret%2Fb{{at}}example.com HTTP/1.1",
    f"GET {V2}/v1.0/secret%252Fb{{at}}example.com HTTP/1.1",
    f"GET {V2.upper()}/v1.0/secret/a HTTP/1.1",
    "GET /mail/secret/b/c{at}example.com HTTP/1.1",
    "SECRET{at}A.TEST / HTTP/1.1",
    "GET /fred.secret{at}example.com HTTP/1.1",
    "GET /a%0a/fred.secret{at}example.com/b HTTP/1.1",
    "GET http://fred.secret{at}example.com/ HTTP/1.1",
    "GET\x01 /fred.secret{at}example.com HTTP/1.1",
    "fred.secret{at}example.com / HTTP/1.1",
    "GET / fred.secret{at}example.com",
    "GET / HTTP/1.1\r\nfred.secret{at}example.com",
    "SECRET / HTTP/1.1",
)


def test_no_line_has_an_address(empty_log: Service) -> None:
    service = empty_log
    for at in AT_SIGNS:
        for head in HEADS_WITH_AN_ADDRESS:
            service.send(head.format(at=at) + "\r\nHost: a")
    service.send("GET /last HTTP/1.1\r\nHost: a")
    lines = service.lines(1)
    text = service.log.read_text()
    assert "secret" not in text.lower()
    assert "@" not in text
    assert sum(f'"GET {V2}/… HTTP/1.1"' in line for line in lines) == 5 * len(AT_SIGNS)


# What a request claims to be, and how its line begins or ends.
HOSTS = {
    "Autoconfig.Example.COM:8000": "autoconfig.example.com",
    "autoconfig.xn--bcher-kva.example": "autoconfig.xn--bcher-kva.example",
    "autoconfig.nowhere.test.": "autoconfig.nowhere.test",
    "fred.secret@example.com": "-",
    "fred.secret%2540example.com": "-",
    "secret 192.0.2.7": "-",
    'secret" 200': "-",
    "secret." * 50: "-",
    "": "-",
}
CLIENTS = {
    "192.0.2.7": "192.0.2.7",
    "fred.secret@example.com": "-",
    '10.0.0.9 - "GET /secret HTTP/1.1" 200 1': "-",
}


def test_a_line_has_the_host_and_the_client_only_if_they_are_valid(
    empty_log: Service,
) -> None:
    service = empty_log
    for host in HOSTS:
        service.send(f"GET /last HTTP/1.0\r\nHost: {host}")
    for client in CLIENTS:
        service.send(f"GET /last HTTP/1.0\r\nHost: a\r\nX-Forwarded-For: {client}")
    forwarded = "X-Forwarded-Host: autoconfig.example.com"
    service.send(f"GET /last HTTP/1.0\r\nHost: a\r\n{forwarded}")
    lines = service.lines(len(HOSTS) + len(CLIENTS) + 1)
    ends = [re.sub(r'.* "GET /last HTTP/1.0" 404 \d+ ', "", line) for line in lines]
    assert sorted(ends) == sorted(
        [*HOSTS.values(), *("a" for _ in CLIENTS), "autoconfig.example.com"]
    )
    starts = [line.partition(" ")[0] for line in lines if line.endswith(" a")]
    assert sorted(starts) == sorted(CLIENTS.values())
    assert "secret" not in service.log.read_text()


@pytest.mark.world
@pytest.mark.parametrize("stdout", ["closed", "a closed pipe", "/dev/full"])
def test_a_log_that_cannot_be_written_appears_nowhere_else(
    toml: Write, tmp_path: Path, stdout: str
) -> None:
    port, errors = free_port(), tmp_path / "errors"
    words = ("--config", toml(TWO_DOMAINS), "serve", "--bind", f"127.0.0.1:{port}")
    with errors.open("wb") as stderr:
        process = _started(
            stdout, [str(BIN / "flask-autoconfig"), *map(str, words)], stderr
        )
    try:
        wait_for(port, process)
        for _ in range(20):
            assert fetch(f"http://127.0.0.1:{port}{CONFIG}").status == 200
        time.sleep(0.5)  # the log follows the response
    finally:
        end(process)
    text = errors.read_text()
    assert "Booting worker" in text
    assert not any(word in text for word in ("secret", "emailaddress", "Traceback"))


def _started(
    stdout: str, command: list[str], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    redirected = {"closed": ">&-", "/dev/full": ">/dev/full"}.get(stdout, "")
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *command],
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    return process


def test_a_reload_is_logged_with_the_digests_that_it_made_outdated(
    toml: Write, tmp_path: Path
) -> None:
    file, log = toml(TWO_DOMAINS), tmp_path / "log"
    line = re.compile(
        rf"\[INFO\] {re.escape(str(file))} is loaded: "
        r"1 provider, 2 domains, in \d+ milliseconds(.*)\n"
    )
    digest = (
        "; the pacc document of example.com and 1 more changed: publish its digest, "
        "`flask-autoconfig dns --diff`"
    )
    with serving(file, "--workers", "1", log=log) as url:
        fetch(url + CONFIG)
        for text, expected in (
            (TWO_DOMAINS.replace("imap.", "mail."), [digest]),
            ("[[provider", [digest]),
            (TWO_DOMAINS, [digest, digest]),
            ("max_age = 60\n" + TWO_DOMAINS, [digest, digest, ""]),
        ):
            file.write_text(text)
            if text == "[[provider":
                until(lambda: "The last valid configuration" in log.read_text())
            until(lambda: line.findall(log.read_text()) == expected)  # noqa: B023
