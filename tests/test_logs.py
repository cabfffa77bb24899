"""The log of `serve`: one line for each request, no addresses, and each reload."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services import CONFIG, Service, serve
from support import BIN, TWO_DOMAINS, fetch, free_port, running, until

Write = Callable[..., Path]
V2 = "/autodiscover/autodiscover.json"


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


def test_no_line_has_an_address(send: Sends) -> None:
    heads = [
        head.format(at=at) + "\r\nHost: a"
        for at in AT_SIGNS
        for head in HEADS_WITH_AN_ADDRESS
    ]
    lines = send(*heads, "GET /last HTTP/1.1\r\nHost: a")
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


def test_a_line_has_only_a_valid_host_and_client(send: Sends) -> None:
    headers = [f"Host: {host}" for host in HOSTS]
    headers += [f"Host: a\r\nX-Forwarded-For: {client}" for client in CLIENTS]
    headers.append("Host: a\r\nX-Forwarded-Host: autoconfig.example.com")
    heads = [f"GET /last HTTP/1.0\r\n{header}" for header in headers]
    lines = send(*heads, lasts=len(heads))
    ends = [re.sub(r'.* "GET /last HTTP/1.0" 404 \d+ ', "", line) for line in lines]
    assert sorted(ends) == sorted(
        [*HOSTS.values(), *("a" for _ in CLIENTS), "autoconfig.example.com"]
    )
    starts = [line.partition(" ")[0] for line in lines if line.endswith(" a")]
    assert sorted(starts) == sorted(CLIENTS.values())


@pytest.mark.world
@pytest.mark.parametrize("out", [">&-", "| head -n 0", ">/dev/full"])
def test_an_unwritable_log_appears_nowhere_else(
    toml: Write, tmp_path: Path, out: str
) -> None:
    port, errors = free_port(), tmp_path / "errors"
    words = f"--config {toml(TWO_DOMAINS)} serve --bind 127.0.0.1:{port}"
    shell = f"{BIN}/flask-autoconfig {words} 2>{errors} {out}"
    with running("/bin/sh", "-c", shell, port=port):
        for _ in range(20):
            assert fetch(f"http://127.0.0.1:{port}{CONFIG}").status == 200
        time.sleep(0.5)  # the log follows the response
    text = errors.read_text()
    assert "Booting worker" in text
    assert not any(word in text for word in ("secret", "emailaddress", "Traceback"))


def test_a_reload_is_logged_with_outdated_digests(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    line = re.compile(
        rf"\[INFO\] {re.escape(str(file))} is loaded: "
        r"1 provider, 2 domains, in \d+ milliseconds(.*)\n"
    )
    digest = (
        "; the pacc document of example.com and 1 more changed: publish its digest, "
        "`flask-autoconfig dns --diff`"
    )
    with serve(file, "--workers", "1") as service:
        log = service.log
        service.fetch()
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
