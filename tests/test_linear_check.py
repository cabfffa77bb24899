"""Commands read what servers send, files to import and records in linear time."""

import gc
import itertools
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import dns.rdata
import pytest
from dns.rdata import Rdata
from linear import TOKENS, assert_linear
from services import run
from strangers import server
from support import IMAP, SMTP, TWO_DOMAINS, Patch, provider_of, table

from flask_autoconfig import families
from flask_autoconfig.address import Address
from flask_autoconfig.cleaning import clean, clean_lines
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.values import quote
from flask_autoconfig.documents import thunderbird, xml
from flask_autoconfig.documents.setups import (
    UnusableDocumentError,
    read_outlook,
    read_pacc,
    read_profile,
)
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.tools import clients, reading, terminal
from flask_autoconfig.tools.check import Case, Report, report, texts
from flask_autoconfig.tools.check.facts import Facts
from flask_autoconfig.tools.check.findings import finding, merged, shown
from flask_autoconfig.tools.check.rules import single, web
from flask_autoconfig.tools.importers import import_files
from flask_autoconfig.tools.net.http import Request, Response, fetch_once
from flask_autoconfig.tools.net.mail import Endpoint, mail_server
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError
from flask_autoconfig.tools.net.untrusted import Secrets, split_url
from flask_autoconfig.tools.records import FORMATS, Published, as_text, compare
from flask_autoconfig.tools.warnings import find_warnings
from flask_autoconfig.tools.zone import Record

WHO = Address("fred", "example.com")
CASE = Case(WHO.domain, families.chosen(None, ""), address=WHO)

Call = Callable[[str], object]


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    """Measure without the garbage collector, whose runs depend on all of the memory."""
    gc.disable()
    yield
    gc.enable()


def _clients(text: str) -> None:
    for name in ("Thunderbird for Android (K-9)", "Delta Chat", "Evolution"):
        (client,) = [known for known in clients.CLIENTS if known.name == name]
        seen = reading.read(text.encode("utf-8", "replace"), client.rules, WHO)
        assert seen.setup is not None or (seen.reason and seen.cure)


def _documents(text: str) -> None:
    """Read a document as `import` does, with its warnings."""
    with suppress(NotAutoconfigError, ConfigError):
        raw = Reader().read(text.encode("utf-8", "replace"))
        (provider,) = from_raw({"provider": [raw]}).providers
        find_warnings([provider], ours=False)


def _others(text: str) -> None:
    body = text.encode("utf-8", "replace")
    for read in (read_outlook, read_pacc, read_profile):
        with suppress(UnusableDocumentError):
            read(body)
    single._inside(b"<?xml" + body)


def _pages(text: str) -> None:
    """Look for everything that an HTTP response may be."""
    body = text.encode("utf-8", "replace")
    for status, start in ((200, b""), (200, b"<html>"), (404, b""), (500, b"")):
        response = Response(
            "https://a.test/", status, {"content-type": text}, start + body
        )
        web.response_problem(CASE, response, "https://a.test/mail/config-v1.1.xml")
        response.redirects = ["https://a.test/mail/config-v1.1.xml"]
        web.response_problem(CASE, response, "https://a.test/mail/config-v1.1.xml")
        web.decompressed(response)


def _headers(text: str) -> None:
    names = ("location", "content-encoding", "allow", "age", "x-cache", "content-type")
    response = Response("https://a.test/x", 302, dict.fromkeys(names, text), b"x")
    with suppress(ProbeError):
        _ = response.target
    web.from_cache(response)
    web.response_problem(CASE, response, "https://a.test/y")
    for url in (text, f"https://{text}", f"https://a.test/{text}"):
        split_url(url)
        shown(url)


def _messages(text: str) -> None:
    clean(text)
    for kind in ("login", "sending", "inbox"):
        texts.code_of(kind, text[:200])
    Secrets("secret").quoted(text)
    found = finding("document.unusable", text, reason=text, advice=text)
    output = Report("example.com", (), tuple(merged([found, found])), None, False)
    list(report.verdict(output, 80))
    list(report.details(output, verbose=True, width=80))


DOCUMENT = thunderbird.write(provider_of(incoming=[IMAP], outgoing=[SMTP])).decode()
# A document with a place for a repeated text, and what is repeated there.
PLACES = {
    "the root": (DOCUMENT.replace("<emailP", "{}<emailP"), "elements"),
    "a provider": (DOCUMENT.replace("<incomingS", "{}<incomingS"), "elements"),
    "a server": (DOCUMENT.replace("</incomingS", "{}</incomingS"), "elements"),
} | {
    tag: (DOCUMENT.replace(f"<{tag}>", f"<{tag}>{{}}", 1), "values")
    for tag in ("hostname", "port", "username", "socketType")
}
REPEATED = table("repeated", "linear.toml")


@pytest.mark.parametrize(("place", "kind"), PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("call", [_clients, _documents])
def test_repeated_elements_and_long_values(call: Call, place: str, kind: str) -> None:
    for token in REPEATED[kind]:
        assert_linear(lambda text: call(place.format(text)), token, [""])


@pytest.mark.world
@pytest.mark.parametrize(
    "call", [_clients, _documents, _others, _pages, _headers, _messages]
)
def test_any_token_repeated(call: Call) -> None:
    for token in (*TOKENS, *REPEATED["markup"], *REPEATED["elements"][:5]):
        assert_linear(call, token, ["", "x"] if call in (_pages, _headers) else [""])


@pytest.mark.parametrize(
    ("start", "end"),
    [("<a>", "</a>"), ("<array>", "</array>"), ("[", "]"), ('{"Url":', "}")],
)
def test_nested_elements_and_values(start: str, end: str) -> None:
    def call(text: str) -> None:
        nested = text + end * (len(text) // len(start))
        for place in ("{}", PLACES["a provider"][0]):
            _clients(place.format(nested))
            _documents(place.format(nested))
        _others(nested)
        _others(f"<plist><dict><key>PayloadContent</key>{nested}</dict></plist>")
        _others(f'{{"protocols": {nested}}}')

    assert_linear(call, start, [""])


def test_elements_with_different_names() -> None:
    def call(text: str) -> None:
        numbers = range(len(text) // 20)
        elements = "".join(f"<a{number}> x</a{number}>" for number in numbers)
        for place, _ in PLACES.values():
            _clients(place.format(elements))
            _documents(place.format(elements))

    assert_linear(call, "a", [""])


def _binary(objects: list[bytes]) -> bytes:
    """Return a binary property list whose root is the first of the objects."""
    starts = itertools.accumulate(map(len, objects), initial=8)
    offsets = b"".join(struct.pack(">I", start) for start in starts)[:-4]
    body = b"bplist00" + b"".join(objects)
    return body + offsets + struct.pack(">6xBBQQQ", 4, 1, len(objects), 0, len(body))


def test_a_property_list_of_exponential_size_is_not_expanded() -> None:
    keys = ("PayloadContent", "PayloadType", "IncomingMailServerHostName")
    values = [
        *(b"\x5f\x10" + bytes([len(key)]) + key.encode() for key in keys),
        b"\x5f\x10\x16com.apple.mail.managed",
    ]
    # 0 is the dictionary, 1 the list of payloads, 2 the payload, 7 the list that doubles.
    objects = [b"\xd1\x03\x01", b"\xa1\x02", b"\xd2\x04\x05\x06\x07", *values]
    doubling = [b"\xa2" + bytes([number + 1] * 2) for number in range(len(objects), 41)]
    with pytest.raises(UnusableDocumentError, match="no PayloadType"):
        read_profile(_binary([*objects, *doubling, b"\x09"]))


def test_a_property_list_whose_objects_overlap_is_refused() -> None:
    size = 100_000
    text = b"\x5f\x12" + struct.pack(">I", size) + b"a" * size
    starts = b"".join(struct.pack(">I", 8) for _ in range(size // 10))
    tail = struct.pack(">6xBBQQQ", 4, 4, size // 10, 0, 8 + len(text))
    with pytest.raises(UnusableDocumentError, match="without bounds"):
        read_profile(b"bplist00" + text + starts + tail)


NETWORK = Network(Resolver(("127.0.0.1", 9), timeout=0.1), allow_private=True)


# How responses begin, and what sends them.
HEADS = {name: (head, "http") for name, head in table("heads", "linear.toml").items()}
HEADS |= {
    "imap": ("* OK\r\n", "imap"),
    "pop3": ("+OK\r\n+OK\r\n", "pop3"),
    "smtp": ("220 \r\n", "smtp"),
}


@pytest.mark.parametrize(("head", "kind"), HEADS.values(), ids=HEADS)
def test_long_answers_of_servers(head: str, kind: str) -> None:
    sent = b""

    def behave(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    def call(text: str) -> None:
        nonlocal sent
        sent = (head + text).encode()
        with suppress(ProbeError):
            if kind == "http":
                fetch_once(NETWORK.step(), Request(f"http://127.0.0.1:{port}/"))
            else:
                mail_server(NETWORK, Endpoint(kind, "127.0.0.1", port, "plain"))

    with server(behave) as port:
        for token in REPEATED["http" if kind == "http" else "mail"]:
            assert_linear(call, token, [""])


def test_of_long_headers_only_a_part_is_searched() -> None:
    head = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n"
    challenges = 20 * f"WWW-Authenticate: Basic {'a ,' * 20_000}\r\n"

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(f"{head}{challenges}\r\n".encode())

    facts = Facts(NETWORK)
    with server(behave) as port:
        request = Request(f"http://127.0.0.1:{port}/")
        response, _ = web.fetch(Case("a.test", ()), facts, request)
    assert len(response.every) == 21
    assert max(len(value) for _, value in response.every) == 8192


# --- DNS --------------------------------------------------------------------------------

WANTED = [
    Record("autoconfig", "CNAME", "www.example.com."),
    Record("_imaps._tcp", "SRV", "0 1 993 imap.example.com."),
    Record("_ua-auto-config", "TXT", '"v=UAAC1; a=sha256; d=x"'),
]
_TAG = b"v=UAAC1; "


class Read(Resolver):
    """Records that were read already, without a name server."""

    def __init__(self, records: dict[str, list[Rdata]]) -> None:
        self._records = records

    def _lookup(self, name: str, type_: str, flags: int | None = None) -> list[Any]:
        return self._records.get(type_, [])

    def addresses(self, host: str) -> list[str]:
        return []


def _record(type_: str, wire: bytes) -> Rdata:
    return dns.rdata.from_wire("IN", type_, wire, 0, len(wire))


def _text(*strings: bytes) -> Rdata:
    return _record("TXT", b"".join(bytes([len(string)]) + string for string in strings))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _records(text: str) -> Iterator[dict[str, list[Rdata]]]:
    """Yield a text of many strings; thousands of texts, and of names, of 48 bytes."""
    yield {"TXT": [_text(*_cut(_TAG + text.encode(), 255))]}
    pieces = [b"%d %s" % piece for piece in enumerate(_cut(text.encode(), 48))]
    yield {"TXT": [_text(_TAG + piece) for piece in pieces]}
    names = [bytes([len(piece)]) + piece + b"\0" for piece in pieces]
    services = [_record("SRV", b"\0\0\0\1\3\xe1" + name) for name in names]
    yield {"CNAME": [_record("CNAME", name) for name in names], "SRV": services}


TEXTS = ("a", "\n", "é", "\u200b", "\ud800", "\x1b[", "\x1b[0m", "\x1b[0;")


def test_records_are_compared_and_written_in_linear_time() -> None:
    def write(text: str) -> None:
        for records in _records(text):
            published = Published("example.com", ["example.com"], WANTED)
            found = compare(published, Read(records))
            for name in FORMATS:
                as_text(name, [found])

    assert_linear(write, 'a"\\\n')  # three are escaped


@pytest.mark.parametrize(
    "call", [clean, clean_lines, quote, terminal.echo, terminal.print_line]
)
def test_text_is_cleaned_and_printed_in_linear_time(
    call: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in TEXTS:
        assert_linear(call, token)
        capsys.readouterr()


def test_records_of_many_domains_are_printed_in_linear_time(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    many = 'domains_file = "names"\ndomains ='
    file.write_text(TWO_DOMAINS.replace("domains =", many))

    def call(text: str) -> None:
        count = len(text) // 32
        names = "\n".join(f"d{number}.test" for number in range(count))
        (tmp_path / "names").write_text(names)
        result = run("--config", file, "dns", "--target", "www.example.com")
        assert result.stdout.count("$ORIGIN") == count + 2

    assert_linear(call, "a", ends=[""])


# --- Files to import -------------------------------------------------------------------

XML = """<clientConfig version="1.1"><emailProvider id="example.com">
{}<domain>example.com</domain><displayName>Example</displayName>
<incomingServer type="imap"><hostname>imap.example.com</hostname>{}</incomingServer>
<outgoingServer type="smtp"><hostname>smtp.example.com</hostname></outgoingServer>
</emailProvider></clientConfig>"""
AUTOMX = """[automx]
domains = {}
[DEFAULT]
account_name = {}
[example.com]
imap = yes
imap_server = imap.example.com
smtp = yes
smtp_server = smtp.example.com
"""
SERVERS = [
    {"type": "imap", "name": "imap.example.com"},
    {"type": "smtp", "name": "smtp.example.com"},
]


def _seed(text: str) -> str:
    seed = {"domains": ["example.com"], "servers": SERVERS, "provider": text}
    return json.dumps(seed, ensure_ascii=False)


# What is made of a text for a file of each format: as it is, and where values stand.
FILES: dict[str, Callable[[str], str]] = {
    "anything": str,
    "XML with elements of a provider": lambda text: XML.format(text, ""),
    "XML with elements of a server": lambda text: XML.format("", text),
    "XML with an attribute": lambda text: XML.format("", f"<a b={quoteattr(text)}/>"),
    "seed": _seed,
    "seed that goes on": lambda text: '{"domains": ' + text,
    "automx.conf": lambda text: AUTOMX.format("example.com", "Example") + text,
    "automx.conf with domains": lambda text: AUTOMX.format(text, "Example"),
    "automx.conf with a name": lambda text: AUTOMX.format("*", text),
}
WITH_EVERY_TOKEN = ("anything", "XML with an attribute", "automx.conf")


def numbered(token: str, text: str) -> str:
    """The text with a number in each repetition of a token, for its `N` or `a`."""
    mark = "N" if "N" in token else "a"
    parts = text.split(token)
    return "".join(
        part + (token.replace(mark, f"{mark}{number}", 1) if number else "")
        for number, part in enumerate(parts)
    )


@pytest.mark.world
@pytest.mark.parametrize("name", FILES)
def test_any_file_in_linear_time(tmp_path: Path, name: str, monkeypatch: Patch) -> None:
    # Larger ones are refused, which tells nothing of the time for smaller ones.
    monkeypatch.setattr(xml, "MAX_BYTES", 2**20)
    monkeypatch.setattr(xml, "_MAX_LEVELS", 2**20)
    monkeypatch.setattr(xml, "_MAX_NODES", 2**20)
    file = tmp_path / "file"

    def call(text: str) -> None:
        written = FILES[name](text)
        file.write_bytes(written.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            import_files([file], lambda _: None)

    for token in TOKENS if name in WITH_EVERY_TOKEN else REPEATED["import"]:
        assert_linear(call, token)
        if "a" in token and token in REPEATED["import"]:
            assert_linear(lambda n, token=token: call(numbered(token, n)), token)  # type: ignore[misc]
