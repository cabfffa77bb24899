"""Invalid values from servers and from DNS: findings, never tracebacks."""

from __future__ import annotations

import json
import plistlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from strangers import answering, server
from support import certificate_for
from world import NameServer

from flask_autoconfig import families
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
POX = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

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


def _document(value: str) -> bytes:
    def server_of(tag: str, type_: str, port: str) -> str:
        return (
            f'<{tag} type="{type_}"><hostname>{text}</hostname><port>{port}</port>'
            f"<socketType>SSL</socketType><username>{text}</username>"
            f"<authentication>password-cleartext</authentication></{tag}>"
        )

    text = _in_xml(value)
    return (
        f'<clientConfig version="1.1"><emailProvider id="{DOMAIN}">'
        f"<domain>{DOMAIN}</domain><domain>{text}</domain>"
        f"{server_of('incomingServer', 'imap', '993')}"
        f"{server_of('outgoingServer', 'smtp', text)}</emailProvider>"
        f"<calendar><serverURL>https://{text}/</serverURL></calendar></clientConfig>"
    ).encode()


def _in_xml(value: str) -> str:
    fit = "".join(char for char in value if char >= " " and char != "\ud800")
    return escape(fit)


def _autodiscover(value: str) -> bytes:
    text = _in_xml(value)
    return (
        f'<Autodiscover><Response xmlns="{POX}"><Account><RedirectUrl>https://{text}/'
        f"</RedirectUrl><Protocol><Type>IMAP</Type><Server>{text or 'x.test'}</Server>"
        f"<Port>{text}</Port><LoginName>{text}</LoginName></Protocol>"
        "<Protocol><Type>SMTP</Type><Server>x.test</Server><Port>99999</Port>"
        "</Protocol></Account></Response></Autodiscover>"
    ).encode()


def _profile(value: str) -> bytes:
    payload: dict[str, Any] = {"PayloadType": "com.apple.mail.managed"}
    payload["EmailAccountType"] = value
    for way in ("Incoming", "Outgoing"):
        payload[f"{way}MailServerHostName"] = value
        payload[f"{way}MailServerPortNumber"] = 4242
        payload[f"{way}MailServerUsername"] = value
    try:
        profile = plistlib.dumps({"PayloadContent": [payload]})
    except ValueError:  # control characters, which it has no place for
        return value.encode("utf-8", "replace")
    return profile.replace(b"4242", value.encode("utf-8", "replace"))


class Web:
    """The web servers of a domain; they put one value in every place."""

    value = ""

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        while len(body) < int(length or 0):
            body += connection.recv(65536)
        _, path, _ = head.decode("latin-1").split(" ", 2)
        host = head.lower().partition(b"host: ")[2].partition(b"\r\n")[0].decode()
        connection.sendall(self.answer(host, path.partition("?")[0]))

    def answer(self, host: str, path: str) -> bytes:
        if host.startswith("autoconfig") or "caldav" in path:
            return self.redirect(f"https://{self.value}/")
        if "carddav" in path or "mail/config" in path:
            return self.redirect(self.value)
        if host.startswith("ua-auto-config"):
            host_ = {"host": self.value}
            said = {"protocols": {"imap": host_, "submit": host_}}
            return _found("application/json", json.dumps(said).encode())
        if path.endswith(".json"):
            url = json.dumps({"Url": f"https://{self.value}/"})
            return _found("application/json", url.encode())
        if "autodiscover" in path.lower():
            return _found("text/xml", _autodiscover(self.value))
        if "mobileconfig" in path or "apple" in path:
            type_ = "application/x-apple-aspen-config"
            return _found(type_, _profile(self.value))
        return _found("text/xml", _document(self.value))

    def redirect(self, location: str) -> bytes:
        raw = location.encode("utf-8", "surrogatepass")
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
        return head + raw + b"\r\nAge: 999999999999\r\n\r\n"


def _found(type_: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {type_}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


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


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_invalid_value_is_a_finding(here: World, value: str) -> None:
    here.web.value = value
    told = here.check()
    assert told.findings
    assert not any(it.seen.startswith("could not be checked") for it in told.findings)
    shown = [*report.verdict(told), *report.details(told, verbose=True)]
    "".join((*shown, report.line(told))).encode()
    discover.discover(DOMAIN, here.network, lambda _: None)


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
        told = here.check()
        assert told.findings
        report.line(told).encode()
        discover.discover(DOMAIN, here.network, lambda _: None)
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


def test_an_error_in_one_domain_does_not_stop_the_others(
    here: World,
) -> None:
    cases = [Case(f"{name}.test", CASE.families) for name in ("a", "b", "c")]

    def look(case: Case, facts: Facts, _: Any) -> Report:
        if case.domain == "b.test":
            raise OverflowError("int too large\x1b")
        return Report(case.domain, (), (), None, False)

    late: list[str] = []
    facts = Facts(here.network)
    tell: Any = lambda _: None  # noqa: E731
    told = list(_side_by_side(cases, look, facts, here.network, tell, late))
    assert [case.domain for case, _ in told] == ["a.test", "b.test", "c.test"]
    (found,) = told[1][1].findings
    assert found.status == "failure"
    assert found.seen == "could not be checked: OverflowError: int too large?"
    assert not told[0][1].findings
    assert not told[2][1].findings
    assert late == []


def test_a_check_that_hangs_does_not_hold_up_the_others(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_autoconfig.tools.commands.check._MARGIN", 1.0)
    cases = [Case(f"{name}.test", CASE.families) for name in ("a", "b")]
    over = threading.Event()

    def look(case: Case, facts: Facts, _: Any) -> Report:
        if case.domain == "a.test":
            over.wait(60)
        return Report(case.domain, (), (), None, False)

    network = replace(here.network, timeout=0.1)
    late: list[str] = []
    tell: Any = lambda _: None  # noqa: E731
    told = list(_side_by_side(cases, look, Facts(network), network, tell, late))
    over.set()
    assert late == ["a.test"]
    assert "could not be checked: it did not end" in told[0][1].findings[0].seen
    assert told[1][1].findings == ()
