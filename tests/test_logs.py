"""The log of `serve`: one line for each request, no addresses, and each reload."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services import CONFIG, Service, fetch, free_port, running, serve, until
from support import BIN, TWO_DOMAINS, tables

V2 = "/autodiscover/autodiscover.json"
SENT = tables("logs.toml")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service behind one proxy."""
    file = tmp_path_factory.mktemp("service") / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    with serve(file, "--proxies", "1") as service:
        yield service


Sends = Callable[..., list[str]]


@pytest.fixture
def send(service: Service) -> Sends:
    """A function that sends the heads of requests, and returns their lines of the log."""
    time.sleep(0.1)  # a line follows its response
    with service.log.open("w"):  # the service appends
        pass

    def send(*heads: str, lasts: int = 1) -> list[str]:
        for head in heads:
            service.send(f"{head}\r\nConnection: close\r\n\r\n".encode())
        until(lambda: service.log.read_text().count("/last") >= lasts)
        text = service.log.read_bytes().decode()
        assert "secret" not in text.lower()
        assert "@" not in text
        return [line for line in text.split("\n") if " HTTP/1." in line]

    return send


def test_a_request_is_one_printable_line(send: Sends) -> None:
    paths = ["/a%0ab", "/a%0db", "/a%1b[2Jb", '/a"b', "/a%22b", "/a%c2%85b", "/%5cn"]
    heads = [f"GET {path} HTTP/1.1\r\nHost: a" for path in paths]
    lines = send(*heads, "GET'`|~ /last HTTP/1.1\r\nHost: a")
    assert len(lines) == len(paths) + 1
    assert all(line.isprintable() for line in lines)
    for line in lines:
        parts = r'127\.0\.0\.1 \[.*?\] "(GET /…|- /last) HTTP/1.1" \d+ \d+ a'
        assert re.fullmatch(parts, line), line


def test_no_line_has_an_address(send: Sends) -> None:
    heads = [
        head.format(at=at) + "\r\nHost: a"
        for at in SENT["at_signs"]
        for head in SENT["heads"]
    ]
    lines = send(*heads, "GET /last HTTP/1.1\r\nHost: a")
    number = sum(f'"GET {V2}/… HTTP/1.1"' in line for line in lines)
    assert number == 5 * len(SENT["at_signs"])


def test_a_line_has_only_a_valid_host_and_client(send: Sends) -> None:
    hosts, clients = SENT["hosts"] | {"secret." * 50: "-"}, SENT["clients"]
    headers = [f"Host: {host}" for host in hosts]
    headers += [f"Host: a\r\nX-Forwarded-For: {client}" for client in clients]
    headers.append("Host: a\r\nX-Forwarded-Host: autoconfig.example.com")
    heads = [f"GET /last HTTP/1.0\r\n{header}" for header in headers]
    lines = send(*heads, lasts=len(heads))
    ends = [re.sub(r'.* "GET /last HTTP/1.0" 404 \d+ ', "", line) for line in lines]
    assert sorted(ends) == sorted(
        [*hosts.values(), *("a" for _ in clients), "autoconfig.example.com"]
    )
    starts = [line.partition(" ")[0] for line in lines if line.endswith(" a")]
    assert sorted(starts) == sorted(clients.values())


@pytest.mark.world
@pytest.mark.parametrize("out", [">&-", "| head -n 0", ">/dev/full"])
def test_an_unwritable_log_goes_nowhere(file: Path, tmp_path: Path, out: str) -> None:
    port, errors = free_port(), tmp_path / "errors"
    words = f"--config {file} serve --bind 127.0.0.1:{port}"
    shell = f"{BIN}/flask-autoconfig {words} 2>{errors} {out}"
    with running("/bin/sh", "-c", shell, port=port):
        for _ in range(20):
            assert fetch(f"http://127.0.0.1:{port}{CONFIG}").status == 200
        time.sleep(0.5)  # the log follows the response
    text = errors.read_text()
    assert "Booting worker" in text
    assert not any(word in text for word in ("secret", "emailaddress", "Traceback"))
