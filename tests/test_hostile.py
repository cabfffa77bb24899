"""Servers that mean harm, or are broken: a clear finding, in time, in bounded memory."""

from __future__ import annotations

import plistlib
import resource
import socket
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from strangers import Behaviour, answering, server
from support import run

from flask_autoconfig import ConfigError
from flask_autoconfig.address import Address, parse_address
from flask_autoconfig.cleaning import clean
from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.documents import apple_reader
from flask_autoconfig.documents.setups import MeaninglessError
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.documents.xml import NotXmlError, parse
from flask_autoconfig.tools import reading
from flask_autoconfig.tools.check.findings import finding
from flask_autoconfig.tools.clients import CLIENTS
from flask_autoconfig.tools.net.http import Reply, fetch_once, following
from flask_autoconfig.tools.net.mail import Endpoint, mail_server
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError
from flask_autoconfig.tools.net.untrusted import is_public
from flask_autoconfig.tools.reading import read

NETWORK = Network(Resolver(timeout=1), timeout=1.0, allow_private=True)


def silence(connection: socket.socket) -> None:
    time.sleep(5)


def endless_banner(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"* this is no greeting\r\n220-\r\n" * 1000)


def endless_capabilities(connection: socket.socket) -> None:
    connection.sendall(b"* OK hello\r\n")
    connection.recv(1000)
    while True:
        connection.sendall(b"* CAPABILITY X\r\n" * 1000)


def line_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def drip(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"*")
        time.sleep(0.1)


def hang_up(connection: socket.socket) -> None:
    return


def rubbish(connection: socket.socket) -> None:
    connection.sendall(bytes(range(256)) + b"\r\n")
    time.sleep(5)


MAIL = {
    "a server that never speaks": (silence, "did not finish in time"),
    "an endless banner": (endless_banner, "no IMAP greeting"),
    "endless capabilities": (endless_capabilities, "an answer without end"),
    "a line without end": (line_without_end, "a line without end"),
    "a byte now and then": (drip, "did not finish in time"),
    "a server that hangs up": (hang_up, "closed the connection"),
    "rubbish": (rubbish, "no IMAP greeting"),
}


@pytest.mark.parametrize(("behave", "message"), MAIL.values(), ids=MAIL.keys())
def test_a_hostile_mail_server_ends_in_a_finding_in_time(
    behave: Behaviour, message: str
) -> None:
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError, match=message):
            mail_server(NETWORK, Endpoint("imap", "127.0.0.1", port, "plain"))
        assert time.monotonic() - start < 4


def fetched(by: Network, url: str) -> Reply:
    """What a URL gives in one step, redirects followed."""
    step = by.step()
    return following(lambda it: fetch_once(step, it), url)


@pytest.mark.parametrize("behave", [silence, rubbish, drip, hang_up])
def test_a_handshake_that_comes_to_nothing_ends_in_time(behave: Behaviour) -> None:
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError):
            mail_server(NETWORK, Endpoint("imap", "127.0.0.1", port, "SSL"))
        with pytest.raises(ProbeError):
            fetched(NETWORK, f"https://127.0.0.1:{port}/")
        assert time.monotonic() - start < 8


def test_an_smtp_greeting_without_end_is_bounded() -> None:
    def endless(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-and more\r\n" * 1000)

    with (
        server(endless) as port,
        pytest.raises(ProbeError, match="an answer without end"),
    ):
        mail_server(NETWORK, Endpoint("smtp", "127.0.0.1", port, "plain"))


def _answer(*parts: bytes, forever: bytes = b"", pause: float = 0) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        for part in parts:
            connection.sendall(part)
        while forever:
            connection.sendall(forever)
            time.sleep(pause)

    return behave


OK = b"HTTP/1.1 200 OK\r\n"
WEB = {
    "100 MB": (
        _answer(OK, b"Content-Length: 104857600\r\n\r\n", forever=b"x" * 65536),
        "more than 1024 KiB",
    ),
    "a body without end": (_answer(OK, b"\r\n", forever=b"x" * 65536), "more than"),
    "a body that drips": (_answer(OK, b"\r\n", forever=b"x", pause=0.1), "in time"),
    "headers without end": (_answer(OK, forever=b"X: y\r\n"), "no HTTP answer"),
    "headers that drip": (_answer(OK, forever=b"X: y\r\n", pause=0.3), "in time"),
    "interim answers for ever": (
        _answer(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
        "in time",
    ),
    "a status line of rubbish": (_answer(b"\x00\xff\r\n\r\n"), "no HTTP answer"),
    "nothing": (silence, "in time"),
    "a redirect to itself": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        "redirects without end",
    ),
    "a redirect to a file": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
        "leads to no web address",
    ),
    "a redirect to a broken URL": (
        _answer(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n"),
        "no URL|no web address",
    ),
}


@pytest.mark.parametrize(("behave", "message"), WEB.values(), ids=WEB.keys())
def test_a_hostile_web_server_ends_in_a_finding_in_time(
    behave: Behaviour, message: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with server(behave) as port:
        with pytest.raises(ProbeError, match=message):
            fetched(NETWORK, f"http://127.0.0.1:{port}/")
        assert time.monotonic() - start < 4
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 20 * 1024  # KiB


def test_redirects_that_each_lead_further_come_to_an_end() -> None:
    count = iter(range(10_000))

    def further(connection: socket.socket) -> None:
        connection.recv(4096)
        place = f"Location: /{next(count)}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(b"HTTP/1.1 302 Found\r\n" + place.encode())

    with server(further) as port, pytest.raises(ProbeError, match="without end"):
        fetched(NETWORK, f"http://127.0.0.1:{port}/")
    assert next(count) < 10


# --- Where nobody may lead us ------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1"),
        *("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        *("2001:0:53aa:64c:0:fbff:80ff:fffe", "ff02::1", "fe80::1%lo", "no address"),
        *("64:ff9b:1::7f00:1", "fec0::1", "::ffff:0:7f00:1", "5f00::1", "3fff::1"),
        *("4000::1", "192.88.99.1"),
    ],
)
def test_an_address_that_is_not_on_the_internet_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9"])
def test_an_address_of_the_internet_is_known(address: str) -> None:
    assert is_public(address)


STRANGER = Network(Resolver(timeout=1), timeout=1.0)


def test_a_host_that_a_stranger_names_is_not_asked_inside() -> None:
    asked: list[bytes] = []
    with server(lambda _: asked.append(b"somebody came")) as port:
        with pytest.raises(ProbeError, match="which is not on the internet"):
            fetched(STRANGER, f"http://127.0.0.1:{port}/")
        with pytest.raises(ProbeError, match="which is not on the internet"):
            mail_server(STRANGER, Endpoint("imap", "localhost", port, "plain"))
        own = replace(STRANGER, own=frozenset({("localhost", port)}))
        elsewhere = replace(STRANGER, own=frozenset({("localhost", port + 1)}))
        with pytest.raises(ProbeError, match="which is not on the internet"):
            mail_server(elsewhere, Endpoint("imap", "localhost", port, "plain"))
        with pytest.raises(ProbeError, match="the server closed the connection"):
            mail_server(own, Endpoint("imap", "localhost", port, "plain"))
    assert len(asked) == 1


def test_a_redirect_leads_nowhere_inside() -> None:
    asked: list[bytes] = []
    inside = server(lambda connection: asked.append(connection.recv(9)))
    with inside as port:
        target = f"http://127.0.0.1:{port}/latest/meta-data"
        reply = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n".encode()
        with server(answering(reply)) as first:
            mapped = {("evil.test", 80): ("127.0.0.1", first)}
            with pytest.raises(ProbeError, match="not on the internet"):
                fetched(replace(STRANGER, connect_to=mapped), "http://evil.test/")
    assert asked == []


def test_a_port_of_another_service_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(*_: object) -> socket.socket:
        raise AssertionError("nothing may leave this machine")

    monkeypatch.setattr(socket, "create_connection", leave)
    with pytest.raises(ProbeError, match="is not a port of mail or web servers"):
        fetched(STRANGER, "http://192.0.32.8:22/")


# --- One deadline ---------------------------------------------------------------------


def test_two_addresses_of_which_one_is_silent_and_one_drips_end_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slowly(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    with socket.socket() as full, server(slowly) as port:
        full.bind(("127.0.0.2", port))
        full.listen(0)
        with socket.create_connection(("127.0.0.2", port)):  # no more gets in
            resolver = Resolver(timeout=1)
            addresses = ["127.0.0.2", "127.0.0.1"]
            monkeypatch.setattr(resolver, "addresses", lambda *_, **__: addresses)
            slow = Network(resolver, timeout=2.0, allow_private=True)
            start = time.monotonic()
            with pytest.raises(ProbeError):
                mail_server(slow, Endpoint("imap", "slow.test", port, "plain"))
    assert time.monotonic() - start < 6


def test_a_step_ends_however_many_connections_it_takes() -> None:
    start = time.monotonic()
    with server(silence) as port:
        step = NETWORK.step()
        for _ in range(5):
            with pytest.raises(ProbeError, match="in time"):
                mail_server(step, Endpoint("imap", "127.0.0.1", port, "plain"))
    assert time.monotonic() - start < 4


# --- What is shown --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a plain word", "a plain word"),
        ("Bücher 漢字", "Bücher 漢字"),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("one\nok  forged: line", "one?ok  forged: line"),
        ("a\u202egnp.exe", "a?gnp.exe"),
        ("a\u2066b\u2069", "a?b?"),
        ("a\u2028b\u0085c\u200bd", "a?b?c?d"),
        ("\x9b31m", "?31m"),
        ("x" * 2000, "x" * 999 + "…"),
    ],
)
def test_what_came_from_outside_is_shown_clean(said: str, shown: str) -> None:
    assert clean(said) == shown
    assert finding("dns.address", said, addresses=said).seen == shown


# --- What costs a stranger little -------------------------------------------------------


def documents() -> dict[str, bytes]:
    """Documents that made a reader work for minutes."""
    head = b'<clientConfig version="1.1"><emailProvider id="a.test"><domain>a.test</domain>'
    server = b'<incomingServer type="imap"><hostname>h.test</hostname></incomingServer>'
    tail = b"</emailProvider></clientConfig>"
    references = b"<x><hostname>" + b"&amp;" * 20_000 + b"</hostname></x>"
    opened = b"<hostname>" * 9_000 + b"a&amp;" + b"</hostname>" * 9_000
    return {
        "references": head + server + references + tail,
        "elements in elements": head + server + opened + tail,
        "sections": head + b"<x>" + b"<![CDATA[<port>]]>" * 9_000 + b"</x>" + tail,
        "servers": head + server * 500 + tail,
        "domains": head + b"<domain>b.test</domain>" * 20_000 + tail,
    }


@pytest.mark.parametrize("name", documents())
def test_no_document_keeps_a_reader_busy(name: str, tmp_path: Path) -> None:
    document = documents()[name]
    file = tmp_path / "hostile.xml"
    file.write_bytes(document)
    start = time.process_time()
    with suppress(NotAutoconfigError, ConfigError):
        from_raw({"provider": [Reader().read(document)]})
    for client in CLIENTS:
        read(document, client.rules, Address("fred", "a.test"))
    assert time.process_time() - start < 5  # it was minutes
    assert "Traceback" not in run("import", file).stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("servers", "it has 1002 elements, more than 1000"),
        ("domains", "it has more than 256 KiB, which no client reads"),
    ],
)
def test_a_document_larger_than_any_real_one_is_refused_with_words(
    name: str, words: str
) -> None:
    with pytest.raises(NotAutoconfigError, match=words):
        Reader().read(documents()[name])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"<clientConfig>" + b"<a>" * 80_000, "100 levels"),
        (b"<a>" * 101 + b"</a>" * 101, "100 levels"),
        (b"<a>" + b"<a/>" * 10_000 + b"</a>", "10000 elements"),
        (b"<a %s/>" % b" ".join(b"a%d=''" % it for it in range(20_000)), "attributes"),
        (b"<a>" + b" " * 2**18 + b"</a>", "256 KiB"),
    ],
    ids=["deep", "just too deep", "elements", "attributes", "bytes"],
)
def test_no_xml_is_parsed_beyond_a_bound(document: bytes, words: str) -> None:
    with pytest.raises(NotXmlError, match=f"it has more than .*{words}"):
        parse(document)


def test_xml_within_the_bounds_is_parsed() -> None:
    levels, elements = b"<a>" * 99, b"<a/>" * 9_900
    root = parse(levels + elements + b"</a>" * 99)
    assert sum(1 for _ in root.iter()) == 9_999


def test_a_large_property_list_is_refused() -> None:
    content = [{"PayloadType": "x", "Icon": b"x" * 2**18}]
    with pytest.raises(MeaninglessError, match="more than 256 KiB"):
        apple_reader.read(plistlib.dumps({"PayloadContent": content}))


def test_all_clients_together_parse_a_document_once() -> None:
    text, tail = documents()["servers"], b"<!-- of this test alone -->"
    misses = reading._parsed.cache_info().misses
    who = parse_address("fred@a.test")
    for client in [it for it in CLIENTS if it.family == "thunderbird"][:3]:
        reading.read(text + tail, client.rules, who)
    assert reading._parsed.cache_info().misses == misses + 1


def test_thousands_of_faulty_servers_are_told_of_at_once() -> None:
    server = "[[provider.incoming]]\ntyp = 'imap'\nport = 0\n"
    text = "[[provider]]\ndomains = ['a.test']\n" + server * 8_000
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        loads(text)
    assert len(caught.value.problems) == 16_000
    assert time.process_time() - start < 20  # it was 49 s on a quiet machine
