"""Commands print visible characters and line ends only, no matter who chose the text."""

import io
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import dns.edns
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rrset
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from services import captured, run
from strangers import Behaviour, answering, server
from support import TWO_DOMAINS, Write, rows
from test_chains import issued, loaded
from test_resolver import type_of
from world import NameServer

from flask_autoconfig.tools import terminal

DOMAIN = "example.com"
# Escape sequences, C1 controls, line ends of all kinds, a title, direction overrides.
EVIL = (
    "\x1b[31mred\x1b[0m\x1b]0;owned\x07\x9b1m\r\x0b\x0c\x85\u2028\u2029"
    "\u202egnp\u2066\u200b\ufeff\x7f\0 ok\n"
)
ARGUMENT = EVIL.replace("\0", "")  # which ends an argument of a program
RAW = EVIL.encode() + b"\xff\xed\xa0\x80"
LABEL = b"\x1bc\n\x9b" + "\u202e".encode()
TARGET = b"\4imap\7example\3com\0"
LABELS = "imap smtp pop autoconfig autodiscover mail www mx"
HOSTS = (DOMAIN, *(f"{label}.{DOMAIN}" for label in LABELS.split()))


def answer(query: dns.message.Message) -> dns.message.Message:
    """Return hostile records, and for some questions a failure with a hostile reason."""
    response = dns.message.make_response(query, recursion_available=True)
    name, type_ = query.question[0].name, type_of(query)
    first = name.labels[0]
    if b"example2" in name.labels or (type_ == "A" and first == b"pop"):
        reason = dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, EVIL)
        response.set_rcode(dns.rcode.SERVFAIL)
        response.use_edns(0, options=[reason])
        return response
    odd = dns.name.Name([LABEL, b"test", b""]).to_wire() or b""
    texts = [b"v=UAAC1; " + RAW, b"path=/" + RAW]
    has_alias = first == b"ua-auto-config"  # which leads elsewhere
    data = {
        "TXT": [bytes([len(text)]) + text for text in texts],
        "SRV": [b"\0\0\0\0\x03\xe1" + TARGET, b"\0\1\0\0\x03\xe1" + odd],
        "MX": [b"\0\1" + odd, b"\0\2" + TARGET],
        "A": [b"\x7f\0\0\2" if has_alias else b"\x7f\0\0\1"],
        "CNAME": [odd] if has_alias else [],
    }.get(type_, [])
    rdatas = [dns.rdata.from_wire("IN", type_, wire, 0, len(wire)) for wire in data]
    if rdatas:
        response.answer.append(dns.rrset.from_rdata_list(name, 60, rdatas))
    return response


def evil_certificate(folder: Path) -> tuple[Path, Path]:
    host = x509.SubjectAlternativeName([x509.DNSName("\x1b[31m\n\x07.test")])
    loaded([issued(EVIL[:60], None, host)], folder)
    return folder / "chain.pem", folder / "chain.pem"


def greeting(start: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.sendall(start + RAW + b"\r\n")
        while connection.recv(4096):
            connection.sendall(b"a NO " + RAW + b"\r\n" + start + RAW + b"\r\n")

    return behave


_XML = b"""<clientConfig version="1.1"><emailProvider id="%s"><domain>example.com</domain>
<displayName>%s</displayName><incomingServer type="imap"><hostname>imap.%s</hostname>
<port>993</port><socketType>SSL</socketType><username>%s</username>
<authentication>%s</authentication></incomingServer></emailProvider></clientConfig>"""
# XML allows all of these, but no C0 controls.
_IN_XML = "\x9b1m\x85\u2028\u2029\u202egnp\u2066\u200b\ufeff\x7f".encode()
DOCUMENT = _XML.replace(b"%s", _IN_XML)
RESPONSES = {
    "a document": b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n" + DOCUMENT,
    "a body": b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n" + RAW,
    "a status": b"HTTP/1.1 500 " + RAW.replace(b"\n", b"") + b"\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: https://"
    + RAW.replace(b"\n", b"").replace(b"\r", b"")
    + b".test/\r\n\r\n",
    "a type": b"HTTP/1.1 200 OK\r\nServer: \x1b[31m\xc2\x9b\r\nContent-Type: \x1b[31m\xe2"
    b"\x80\xae/x\r\n\r\n<html>",
    "no HTTP": RAW,
}


@contextmanager
def strangers(response: bytes, folder: Path) -> Iterator[list[str]]:
    """Yield options that lead a command to hostile servers, one of the web."""
    behaviours = [answering(response), greeting(b"* OK "), greeting(b"220 ")]
    certificate = evil_certificate(folder)
    with ExitStack() as stack:
        names = stack.enter_context(NameServer(respond=answer))
        servers = [
            stack.enter_context(server(behaviour, secure))
            for behaviour in behaviours
            for secure in (None, certificate)
        ]
        words = ["--resolver", f"127.0.0.1:{names.port}", "--timeout", "0.5"]
        words += ["--allow-private"]
        for public, port in zip((80, 443, 143, 993, 587, 465), servers, strict=True):
            for host in HOSTS:
                words += ["--connect-to", f"{host}:{public}:127.0.0.1:{port}"]
        yield words


def printed(*words: str | Path | bytes, cwd: Path | None = None) -> tuple[str, str]:
    """Return the output of a command, which ended with a code of its own."""
    result = run(*map(os.fsdecode, words), cwd=cwd, PYTHONUTF8="1")
    assert result.returncode in (0, 1, 2)
    return result.stdout, result.stderr


def invisible(text: str) -> set[str]:
    return {char for char in text if char != "\n" and not char.isprintable()}


@pytest.mark.parametrize(
    "name",
    [
        # The fast tests have the first row, which goes through most formats.
        pytest.param(name, marks=() if name == "a document" else pytest.mark.world)
        for name in RESPONSES
    ],
)
def test_no_command_prints_servers_raw(toml: Write, tmp_path: Path, name: str) -> None:
    styles = re.compile(r"\x1b\[(?:0|1|3[0-9])m")
    with strangers(RESPONSES[name], tmp_path) as options:
        for command in (
            ("--color", "--config", toml(TWO_DOMAINS), "check", DOMAIN, "--verbose"),
            ("init", DOMAIN, "-o", "-"),
        ):
            out, err = printed(*command, *options, cwd=tmp_path)
            assert "\x1b[31mred" not in out + err
            assert not invisible(styles.sub("", out + err))
        if name == "a document":  # the escapes of JSON do not depend on it
            out, err = printed("check", DOMAIN, "--json", *options, cwd=tmp_path)
            assert out.isascii()
            assert not invisible(out + err)
            assert json.loads(out)["findings"]


def test_dns_prints_nothing_raw_of_dns(toml: Write) -> None:
    with NameServer(respond=answer) as names:
        for format_ in ("zone", "table", "nsupdate", "json"):
            words = ("--target", "www.example.com", "--diff", "--format", format_)
            resolver = ("--resolver", f"127.0.0.1:{names.port}")
            out, err = printed("--config", toml(TWO_DOMAINS), "dns", *words, *resolver)
            assert "\\027" in out
            assert "example2.com: not compared" in err
            assert out.isascii()
            assert not invisible(out + err)


GOOD = TWO_DOMAINS.encode()
FILES = {
    "no TOML": b"[[provider]]\n" + RAW,
    "a value": GOOD.replace(b'"imap"', b'"im' + _IN_XML + b'"'),
    "an escape": GOOD.replace(b'"imap"', rb'"im\u001b[31m\u202e\n"'),
    "a key": GOOD + rb'"\u001b[31m\u202e\n\u2028" = 1' + b"\n",
    "a host": GOOD.replace(b"imap.example.com", b"imap" + _IN_XML),
    "a comment": GOOD + "# \u202e\nx = \n".encode(),
    "an include": b'include = ["\\u001b[31m\\u202e\\n.toml"]\n' + GOOD,
    "a listing": GOOD + b'domains_file = "\\u001b[31m\\u2028"\n',
    "XML": DOCUMENT,
    "broken XML": b"<clientConfig>" + RAW,
    "JSON": b'{"a": "' + RAW + b'"}',
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_no_command_prints_a_file_raw(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "\x1b[31m\u202e\x9b.toml"
    file.write_bytes(data)
    for command in (
        ("--config", file, "validate"),
        ("--config", file, "validate", "--json"),
        ("--config", file, "show", DOMAIN),
        ("--config", file, "dns", "--target", "www.example.com"),
        ("--config", file, "export", tmp_path / "out"),
        ("import", file),
    ):
        out, err = printed(*command)
        assert not invisible(out + err), command


@rows("raw_arguments", "words", "commands.toml")
def test_no_message_quotes_an_argument_raw(words: list[str]) -> None:
    out, err = printed(*(word.replace("{}", ARGUMENT) for word in words))
    assert err
    assert not invisible(out + err)


def test_no_message_quotes_a_name_raw_that_is_no_utf8() -> None:
    out, err = printed("import", b"\xff\x1b[31m")
    assert err
    assert not invisible(out + err)


def test_the_traceback_of_a_fault_is_clean() -> None:
    script = (
        "import sys, flask_autoconfig.tools.commands.schema as it\n"
        "from flask_autoconfig.tools import cli\n"
        f"def fail(*_, **__): raise RuntimeError({EVIL!r})\n"
        "it.command.callback = fail\n"
        "sys.argv = ['flask-autoconfig', 'schema']\n"
        "cli.main()\n"
    )
    result = captured("python", "-c", script, code=1)
    assert "RuntimeError: ?[31mred" in result.stderr
    assert not invisible(result.stderr)


@given(st.text(), st.text())
def test_any_text_is_printed_clean(first: str, second: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        terminal.print_line(first, err=True)
        terminal.echo(f"{first}\n{second}")
    assert not invisible(out.getvalue() + err.getvalue())
    assert err.getvalue().count("\n") == 1
    assert out.getvalue().count("\n") == (first + second).count("\n") + 2
