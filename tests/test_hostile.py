"""Servers and documents that are hostile or broken: refused in time, in bounded memory."""

import plistlib
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from strangers import Behaviour, server
from support import Patch, tables

from flask_autoconfig.cleaning import clean
from flask_autoconfig.documents import setups
from flask_autoconfig.documents.outlook import RESPONSE
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.documents.xml import NotXmlError, parse
from flask_autoconfig.families import FAMILIES
from flask_autoconfig.tools.check.facts import Facts
from flask_autoconfig.tools.check.findings import Case, finding
from flask_autoconfig.tools.check.rules import web
from flask_autoconfig.tools.net.http import Request, fetch_once, follow_redirects
from flask_autoconfig.tools.net.mail import Endpoint, mail_server
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError
from flask_autoconfig.tools.net.untrusted import is_public

OUTSIDE = Network(Resolver(timeout=0.5), timeout=0.5)
NETWORK = replace(OUTSIDE, allow_private=True)
PATIENT = replace(NETWORK, timeout=10.0)


def probe(network: Network, kind: str, port: int, host: str = "127.0.0.1") -> None:
    """Take one step at a server: *kind* is a URL's scheme, or a mail server's type."""
    network = network.step()
    if kind.startswith("http"):
        follow_redirects(
            lambda url: fetch_once(network, Request(url)), f"{kind}://{host}:{port}/"
        )
        return
    type_, socket_type = kind.split()
    mail_server(network, Endpoint(type_, host, port, socket_type))


def sending(*parts: bytes, forever: bytes = b"", pause: float = 0) -> Behaviour:
    """Send the parts, each after something is received but the first, then the rest."""

    def behave(connection: socket.socket) -> None:
        for number, part in enumerate(parts):
            if number:
                connection.recv(4096)
            connection.sendall(part)
        while True:
            connection.sendall(forever)
            time.sleep(pause if forever else 5)

    return behave


def redirecting(target: str) -> Behaviour:
    """Redirect to a target, in which {} is the number of the request; 200 after 30."""
    numbers = count()

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        number = next(numbers)
        status = "302 Found" if number < 30 else "200 OK"
        head = f"HTTP/1.1 {status}\r\nLocation: {target.format(number)}\r\n"
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())

    return behave


def test_a_private_address_that_no_redirect_leads_to_is_told_as_one() -> None:
    request = Request("https://192.168.1.5/")
    _, wrong = web.fetch(Case("example.com", FAMILIES), Facts(OUTSIDE), request)
    assert wrong is not None
    assert wrong.code == "http.private"


def test_only_the_public_addresses_of_a_host_are_contacted(monkeypatch: Patch) -> None:
    network = replace(OUTSIDE, resolver=Resolver(timeout=1))
    addresses = ["192.168.20.5", "9.9.9.9"]
    monkeypatch.setattr(Resolver, "addresses", lambda *_: addresses)
    assert network.addresses("mail.example.com", 993) == ["9.9.9.9"]
    addresses.pop()
    with pytest.raises(
        ProbeError, match=r"192\.168\.20\.5, which is not on the internet"
    ):
        network.addresses("mail.example.com", 993)


def behaviour(row: dict[str, Any]) -> Behaviour:
    if "target" in row:
        return redirecting(row["target"])
    if "hangs_up" in row:
        return lambda connection: None
    parts = [part.encode("latin-1") for part in row.get("parts", ())]
    forever = row.get("forever", "").encode("latin-1") * row.get("times", 1)
    return sending(*parts, forever=forever, pause=row.get("pause", 0))


SERVERS = tables("hostile.toml")
ADDRESSES = SERVERS.pop("addresses")
ROWS = [
    pytest.param(kind, row, id=f"{kind}, {name}")
    for kind, rows in SERVERS.items()
    for name, row in rows.items()
]


@pytest.mark.parametrize(("kind", "row"), ROWS)
def test_a_hostile_server_ends_in_an_error_in_time_and_in_bounded_memory(
    kind: str, row: dict[str, Any]
) -> None:
    before, message = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, row["message"]
    with server(behaviour(row)) as port, pytest.raises(ProbeError, match=message):
        # What is no matter of time is given plenty, since a machine may be slow.
        probe(NETWORK if "in time" in message else PATIENT, kind, port)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 20 * 1024  # KiB


def test_one_deadline_counts_for_all_connections_of_a_step() -> None:
    with server(sending(b"* OK\r\n")) as port:
        step = NETWORK.step()
        for _ in range(3):
            with pytest.raises(ProbeError, match="in time"):
                mail_server(step, Endpoint("imap", "127.0.0.1", port, "plain"))
        assert time.monotonic() - step.until < 1


def test_a_connection_that_comes_after_the_deadline_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        with pytest.raises(ProbeError, match="in time"):
            NETWORK.step(0).start_tls(lambda: connection, "late.test")
        assert connection.fileno() == -1


def test_a_silent_address_leaves_the_others_time(monkeypatch: Patch) -> None:
    with socket.socket() as full, server(sending(b"hello\r\n")) as port:
        full.bind(("127.0.0.2", port))
        full.listen(0)
        with socket.create_connection(("127.0.0.2", port)):  # the queue is full now
            resolver = Resolver(timeout=1)
            addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
            monkeypatch.setattr(resolver, "addresses", lambda _: addresses)
            monkeypatch.setattr(resolver, "until", lambda _: resolver)
            network = replace(NETWORK, resolver=resolver, timeout=2.0)
            with pytest.raises(ProbeError, match=r"^127.0.0.1 port .*no IMAP greeting"):
                probe(network, "imap plain", port, "slow.test")
            addresses.pop()
            with pytest.raises(ProbeError) as raised:
                probe(replace(network, timeout=0.5), "imap plain", port, "slow.test")
    assert str(raised.value) == (
        f"127.0.0.2 port {port}: no answer in time; "
        f"127.0.0.3 port {port}: nothing listens there"
    )


# --- Addresses and ports that are off limits ----------------------------------------------


def test_an_address_is_public_if_it_is_on_the_internet() -> None:
    public, others = ADDRESSES["public"], ADDRESSES["not_public"]
    assert [address for address in (*others, *public) if is_public(address)] == public


def test_only_the_users_own_hosts_may_have_private_addresses() -> None:
    connections: list[int] = []
    with server(lambda _: connections.append(1)) as port:
        other = replace(OUTSIDE, own=frozenset({("localhost", port + 1)}))
        imap = "imap plain"
        for network, kind in ((OUTSIDE, "http"), (OUTSIDE, imap), (other, imap)):
            with pytest.raises(ProbeError, match="which is not on the internet"):
                probe(network, kind, port, "localhost")
        assert not connections
        own = replace(OUTSIDE, own=frozenset({("localhost", port)}))
        with pytest.raises(ProbeError, match="the server closed the connection"):
            probe(own, imap, port, "localhost")
    assert connections == [1]


def test_ports_of_other_services_are_not_connected_to(monkeypatch: Patch) -> None:
    def leave(*_: object) -> socket.socket:
        raise AssertionError("nothing may leave this machine")

    monkeypatch.setattr(socket, "create_connection", leave)
    with pytest.raises(ProbeError, match="is not a port of mail or web servers"):
        probe(OUTSIDE, "http", 22, "192.0.32.8")


SHOWN = {
    "Bücher 漢字": "Bücher 漢字",
    "\x1b[31mred\x9b0m": "?[31mred?0m",
    "one\nok  forged: line": "one?ok  forged: line",
    "a\u202egnp.exe": "a?gnp.exe",
    "a\u2066b\u2028c\u0085d\u200be": "a?b?c?d?e",
    "x" * 2000: "x" * 999 + "…",
}


def test_text_from_a_server_is_shown_without_control_characters() -> None:
    for text, shown in SHOWN.items():
        assert clean(text) == shown
        assert finding("dns.address", text, addresses=text).seen == shown


# --- Documents -------------------------------------------------------------------------

HEAD = b'<clientConfig version="1.1"><emailProvider id="a.test"><domain>a.test</domain>'
TAIL = b"</emailProvider></clientConfig>"
ICONS = {"PayloadContent": [{"PayloadType": "x", "Icon": b"x" * 2**18}]}
PROTOCOL = b"<Protocol><Type>IMAP</Type><Server>a.test</Server></Protocol>"
POX = b'<Response xmlns="%s">%s</Response>' % (RESPONSE.encode(), PROTOCOL * 101)
PAYLOADS = {"PayloadContent": [{"PayloadType": "com.apple.mail.managed"}] * 101}
ATTRIBUTES = b" ".join(b"a%d=''" % number for number in range(20_000))
LARGE_DOCUMENTS: dict[str, tuple[Callable[[bytes], object], bytes, str]] = {
    "domains": (Reader().read, HEAD + b"<domain>b.test</domain>" * 20_000, "256 KiB"),
    "deep": (parse, b"<clientConfig>" + b"<a>" * 80_000, "100 levels"),
    "just too deep": (parse, b"<a>" * 101 + b"</a>" * 101, "100 levels"),
    "elements": (parse, b"<a>" + b"<a/>" * 10_000 + b"</a>", "10000 elements"),
    "attributes": (parse, b"<a %s/>" % ATTRIBUTES, "attributes"),
    "bytes": (parse, b"<a>" + b" " * 2**18 + b"</a>", "256 KiB"),
    "Outlook's servers": (setups.read_outlook, POX, "servers, more than 100"),
    "payloads": (
        setups.read_profile,
        plistlib.dumps(PAYLOADS),
        "101 payloads, more than 100",
    ),
    "a property list": (setups.read_profile, plistlib.dumps(ICONS), "256 KiB"),
}


@pytest.mark.parametrize(
    ("read", "text", "words"), LARGE_DOCUMENTS.values(), ids=LARGE_DOCUMENTS
)
def test_a_document_larger_than_any_real_one_is_refused(
    read: Callable[[bytes], object], text: bytes, words: str
) -> None:
    refusals = (NotAutoconfigError, NotXmlError, setups.UnusableDocumentError)
    with pytest.raises(refusals, match=words):
        read(text)


def test_xml_within_the_bounds_is_parsed() -> None:
    levels, elements = b"<a>" * 99, b"<a/>" * 9_900
    root = parse(levels + elements + b"</a>" * 99)
    assert sum(1 for _ in root.iter()) == 9_999
