"""Invalid values from servers and from DNS: findings, never tracebacks."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import parse_headers
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from strangers import answering, server
from support import certificate_for
from werkzeug.test import TestResponse
from world import NameServer

from flask_autoconfig import create_app, families
from flask_autoconfig.address import Address
from flask_autoconfig.tools import discover
from flask_autoconfig.tools.check import Case, Facts, Report, published, reach, report
from flask_autoconfig.tools.commands.check import _side_by_side
from flask_autoconfig.tools.net.http import fetch_once
from flask_autoconfig.tools.net.mail import Endpoint, mail_server
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError

pytestmark = pytest.mark.world  # the signature of a profile is read by openssl

DOMAIN = "example.test"
CASE = Case(DOMAIN, families.chosen(None, ""), address=Address("fred", DOMAIN))
MARKED = f"""
[[provider]]
domains = ["{DOMAIN}"]
mx_domains = ["marked.test"]
incoming = [
    {{type = "imap", hostname = "marked.test", username = "marked.test"}},
    {{type = "pop3", hostname = "marked.test"}},
]
outgoing = [{{type = "smtp", hostname = "marked.test", port = 4242}}]
calendar = [{{type = "caldav", url = "https://marked.test/"}}]
"""

VALUES = {
    "a space": "a b",
    "an open bracket": "[x",
    "an invalid IPv6 address": "[::g]",
    "an IPv6 address with a zone": "[fe80::1%25eth0]",
    "a port out of range": "x.test:99999",
    "a port of 5,000 digits": "x.test:" + "9" * 5000,
    "a port that is no number": "x.test:a",
    "5,000 digits": "9" * 5000,
    "a number of 31 digits": "1" + "0" * 30,
    "a negative number": "-1",
    "nothing": "",
    "a long name": "a" * 5000,
    "a long name of labels": "a." * 5000 + "test",
    "empty labels": "..test",
    "a letter beyond ASCII": "é" * 70,
    "a compatibility character": "a\u2100b",
    "an invalid A-label": "xn--a.xn--0.test",
    "a backslash": "a\\@b.test",
    "a percent sign": "%zz%00%",
    "a user": "user:secret@[x",
    "control characters": "a\x00\x1b\x7f\x85b",
    "a line break": "a\r\n b",
    "a surrogate": "a\ud800b",
    "placeholders": "%EMAILADDRESS%.%EMAILDOMAIN%",
}


class Web:
    """The web servers of a domain; they put one value in place of each marked one."""

    def __init__(self) -> None:
        self.value = ""
        self._site = create_app({"AUTOCONFIG": tomllib.loads(MARKED)}).test_client()

    def __call__(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as request:
            first = request.readline().decode("latin-1")
            if not first:
                return
            headers = parse_headers(request)
            body = request.read(int(headers["Content-Length"] or 0))
        method, path, _ = first.split(" ")
        host = headers["Host"].lower()
        if host.startswith("autoconfig") or "caldav" in path:
            reply = self._redirect(f"https://{self.value}/")
        elif "carddav" in path or "mail/config" in path:
            reply = self._redirect(self.value)
        else:
            type_ = headers["Content-Type"]
            own: Any = {
                "base_url": f"https://{host}",
                "data": body,
                "content_type": type_,
            }
            reply = self._changed(self._site.open(path, method=method, **own), host)
        connection.sendall(reply)

    def _redirect(self, location: str) -> bytes:
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nAge: 999999999999\r\n"
        to = location.encode("utf-8", "surrogatepass")
        return head + b"Location: " + to + b"\r\n\r\n"

    def _changed(self, found: TestResponse, host: str) -> bytes:
        value = json.dumps(self.value)[1:-1]
        if not found.is_json:
            fit = (char for char in self.value if char >= " " and char != "\ud800")
            value = escape("".join(fit))
        redirect = f"<Account><RedirectUrl>https://{value}/</RedirectUrl>"
        text = found.text.replace("<Account>", redirect)
        for marked in ("marked.test", "4242", *[host] * found.is_json):
            text = text.replace(marked, value)
        data = text.encode()
        head = f"HTTP/1.1 {found.status}\r\nContent-Type: {found.content_type}\r\n"
        return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


class World:
    """The web servers and the name server of a domain."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.web = Web()
        self.names = stack.enter_context(NameServer(base=f"$ORIGIN {DOMAIN}.\n"))
        labels = ("autoconfig.", "autodiscover.", "ua-auto-config.", "")
        hosts = [f"{label}{DOMAIN}" for label in labels]
        certificate = certificate_for(*hosts, folder=folder)
        ports = {
            80: stack.enter_context(server(self.web)),
            443: stack.enter_context(server(self.web, certificate)),
        }
        places = {
            (host, at): ("127.0.0.1", ports[at]) for host in hosts for at in ports
        }
        self.network = Network(
            Resolver(("127.0.0.1", self.names.port), timeout=1), 1.0, places
        )
        self.zone()

    def zone(self, *records: str) -> None:
        self.names.load("".join(f"{it}\n" for it in ("@ IN A 127.0.0.1", *records)))

    def check(self) -> Report:
        facts = Facts(reach(CASE, self.network))
        return published(CASE, facts, lambda _: None)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        world = World(folder, stack)
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        yield world


def assert_is_reported(here: World) -> None:
    told = here.check()
    assert told.findings
    assert not any(it.seen.startswith("could not be checked") for it in told.findings)
    shown = [*report.verdict(told), *report.details(told, verbose=True)]
    "".join((*shown, report.line(told))).encode()
    discover.discover(DOMAIN, here.network, lambda _: None)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_invalid_value_is_a_finding(here: World, value: str) -> None:
    here.web.value = value
    assert_is_reported(here)


# In the syntax of zone files (RFC 1035, section 5.1).
NAMES = {
    "a space": r"a\032b",
    "a bracket": r"\[x",
    "a slash and a colon": r"a\/b\:1",
    "control characters": r"a\000\027\127b",
    "bytes beyond ASCII": r"\255\254",
    "a dot in a label": r"a\.b",
    "an at sign": r"a\@b",
    "an invalid A-label": "xn--a",
    "long labels": ".".join(["a" * 63] * 3),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_invalid_name_in_dns_is_a_finding(here: World, name: str) -> None:
    target = name if name.count(".") > 1 else f"{name}.{DOMAIN}"
    services = ("_imaps", "_submissions", "_caldavs", "_carddavs", "_autodiscover")
    here.web.value = "x.test"
    here.zone(
        f"@ IN MX 1 {target}.",
        *(f"{it}._tcp IN SRV 0 1 443 {target}." for it in services),
        f'_caldavs._tcp IN TXT "path=/{"[x" if "[" in name else "a b"}"',
    )
    try:
        assert_is_reported(here)
    finally:
        here.zone()


# --- Invalid HTTP -----------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
RESPONSES = {
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of 5,000 digits": b"HTTP/1.1 " + b"9" * 5000 + b" x\r\n\r\n",
    "a negative status": b"HTTP/1.1 -20 x\r\n\r\n",
    "a version of 5,000 digits": b"HTTP/1." + b"9" * 5000 + b" 200 x\r\n\r\n",
    "a header without a colon": OK + b"x\r\n\r\n",
    "bytes in headers": OK + b"\xff\x00\x80: \xfe\x85\r\nLocation: \xff\r\n\r\n",
    "a length of 5,000 digits": OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx",
    "a negative length": OK + b"Content-Length: -1\r\n\r\nx",
    "a negative chunk": CHUNKED + b"-1\r\n" + b"x" * 5_000_000,
    "a chunk of 5,000 digits": CHUNKED + b"f" * 5000 + b"\r\nx",
    "a chunk that is no number": CHUNKED + b"zz\r\nx",
    "trailers without end": CHUNKED + b"0\r\n" + b"a: b\r\n" * 900_000,
    "interim responses without end": b"HTTP/1.1 100 x\r\n\r\n" * 250_000,
    "101": b"HTTP/1.1 101 x\r\n\r\n",
    "an unknown coding": OK + b"Content-Encoding: \xff\r\n\r\nx",
    "a body that is not gzip": OK + b"Content-Encoding: gzip\r\n\r\nx",
}


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_an_invalid_response_is_an_error_with_a_message(response: bytes) -> None:
    network = Network(Resolver(timeout=1), timeout=2.0, allow_private=True)
    with server(answering(response)) as port:
        try:
            reply = fetch_once(network.step(), f"http://127.0.0.1:{port}/")
        except ProbeError as error:
            assert str(error)
        else:
            assert len(reply.body) < 100


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_an_invalid_port_is_an_error_with_a_message(port: int) -> None:
    network = Network(Resolver(timeout=1), timeout=1.0, allow_private=True)
    with pytest.raises(ProbeError, match="is not a valid port"):
        mail_server(network, Endpoint("imap", "127.0.0.1", port, "SSL"))


# --- One domain of many -----------------------------------------------------------------


def test_a_check_that_fails_does_not_stop_the_others(here: World) -> None:
    cases = [Case(f"{name}.test", CASE.families) for name in ("fails", "ends")]

    def look(case: Case, facts: Facts, _: Any) -> Report:
        if case.domain == "fails.test":
            raise OverflowError("int too large\x1b")
        return Report(case.domain, (), (), None, False)

    told = list(_side_by_side(cases, look, here.network, lambda _: None))
    assert [case for case, _ in told] == cases
    (failed,), ended = (report.findings for _, report in told)
    assert failed.status == "failure"
    assert failed.seen == "could not be checked: OverflowError: int too large?"
    assert not ended
