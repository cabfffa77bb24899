"""`check --login` shows the password nowhere, and reports each login that is not tried."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from services import run, typed
from strangers import Behaviour, server
from support import Patch, certificate_for, rows

from flask_autoconfig.tools.net.mail import Endpoint, log_in
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError
from flask_autoconfig.tools.net.untrusted import Secrets

HOST, USER = "mail.example.test", "fred@example.test"
PASSWORD = 'Sécret "of\\fred%/+'


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# What a server may make of the password.
ECHOES = {
    "as it is": PASSWORD,
    "in upper case": PASSWORD.upper(),
    "percent-encoded": quote(PASSWORD, safe=""),
    "as in a form": quote_plus(PASSWORD),
    "behind the name, in Base64": b64(f"{USER}:{PASSWORD}"),
    "in Base64, without padding": b64(f"{USER} {PASSWORD}").rstrip("="),
    "with much before it": "x" * 95 + PASSWORD,
    "as character references": "".join(f"&#{ord(char):012};" for char in PASSWORD),
    "as names of characters": escape(PASSWORD),
    "as quoted-printable": quote(PASSWORD, safe="").replace("%", "="),
    "all as quoted-printable": PASSWORD.encode().hex("=").upper(),
    "percent-encoded twice": quote(quote(PASSWORD, safe=""), safe=""),
    "in hexadecimal": PASSWORD.encode().hex(),
    "as escapes": "".join(f"\\u{ord(char):04x}" for char in PASSWORD),
    "with spaces between": " ".join(PASSWORD),
    "with dots between": ".".join(PASSWORD),
    "with marks of no width between": "\u200b".join(PASSWORD),
    "backwards": PASSWORD[::-1],
    "in full width": "".join(
        chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in PASSWORD
    ),
    "without its first character": PASSWORD[1:],
    "without its last character": PASSWORD[:-1],
    "its first half": PASSWORD[: len(PASSWORD) // 2],
}


def echoing(
    type_: str, mechanisms: str, echo: Callable[[str], str] = str, *, yes: bool = False
) -> Behaviour:
    """Return a mail server that refuses every login, with what it heard of the client.

    With *yes* it lets people in, and refuses what they want then.
    """
    sasl = " ".join(f"AUTH={name}" for name in mechanisms.split())
    greeting, go_on, let_in, offers = {
        "imap": ("* OK", "+", "a OK", f"* CAPABILITY IMAP4rev1 {sasl}\r\na OK"),
        "pop3": ("+OK", "+", "+OK", f"+OK\r\nUSER\r\nSASL {mechanisms}\r\n."),
        "smtp": ("220-x\r\n220 y", "334", "235 in", f"250-x\r\n250 AUTH {mechanisms}"),
    }[type_]

    def answers(lines: Iterator[str]) -> Iterator[str]:
        yield greeting
        for line in lines:
            words, is_login = line.upper(), "AUTH" in line.upper()
            if words.startswith(("EHLO", "CAPA", "A CAPABILITY", "USER")):
                yield "+OK" if words.startswith("USER") else offers
                continue
            if is_login and not words.startswith("AUTH PLAIN "):
                for _ in range(2 if words == "AUTH LOGIN" else 1):
                    yield f"{go_on} {b64('<1.2@x>') if 'CRAM' in words else ''}"
                    line = next(lines, "")
            yield let_in if is_login and yes else f"{CODES[type_]} {echo(line)}"

    def behave(connection: socket.socket) -> None:
        received = connection.makefile("r", encoding="utf-8", newline="\r\n")
        for answer in answers(line.rstrip("\r\n") for line in received):
            connection.sendall(f"{answer}\r\n".encode())

    return behave


Refusal = Callable[..., str]


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: Patch) -> Refusal:
    """Log in at such a server on loopback; returns its refusal."""
    certificate = certificate_for(HOST, folder=tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    resolver = Resolver(("127.0.0.1", 9), timeout=1)

    def log(
        behave: Behaviour, type_: str, mechanisms: str = "PLAIN", host: str = HOST
    ) -> str:
        with server(behave, certificate) as port:
            mapped = {(host, 993): ("127.0.0.1", port)}
            endpoint = Endpoint(type_, host, 993, "SSL")
            network = Network(resolver, connect_to=mapped)
            offered = tuple(mechanisms.split())
            return log_in(network, endpoint, offered, USER, PASSWORD, USER).said

    return log


REPEATED = "(the server repeats the password: its words are not shown)"
CODES = {"imap": "a NO", "pop3": "-ERR", "smtp": "535"}


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("type_", CODES)
def test_a_server_that_repeats_what_it_heard_is_quoted_without_it(
    refusal: Refusal, type_: str, offered: str
) -> None:
    later = echoing(type_, offered, lambda line: f"{line} {PASSWORD}", yes=True)
    echoes = (echoing(type_, offered, change) for change in (str, str.lower, str.upper))
    for behave in (*echoes, later):
        assert refusal(behave, type_, offered) == f"{CODES[type_]} {REPEATED}"


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_a_password_is_hidden_in_every_form(echo: str) -> None:
    assert Secrets(PASSWORD).quoted(f"535 {echo}") == f"535 {REPEATED}"


@pytest.mark.parametrize("type_", CODES)
def test_a_greeting_with_a_password_is_not_shown(refusal: Refusal, type_: str) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(f"no {'x' * 80} {PASSWORD}\r\n".encode())
        with suppress(OSError):
            connection.recv(100)

    with pytest.raises(ProbeError) as raised:
        refusal(greet, type_)
    assert REPEATED in str(raised.value)
    assert "xxx" not in str(raised.value)


@pytest.mark.parametrize("secret", ["a", "ab", "é", "?!", "235", "OK", "5355"])
def test_a_short_password_is_hidden_too(secret: str) -> None:
    for code in ("no", "235", "OK", "535 5.7.8"):
        shown = Secrets(secret).quoted(f"{code} {secret}")
        assert shown in (REPEATED, f"{code} {REPEATED}")
    assert Secrets(secret).quoted(f"{secret} no") == REPEATED


@rows("replies_with_a_password", "line, shown", "tables.toml")
def test_a_code_is_shown_and_words_that_repeat_nothing(line: str, shown: str) -> None:
    quoted = Secrets("hunters2").quoted(line.format("hunters2"))
    assert quoted == shown.format(REPEATED)


def test_a_reference_of_many_digits_is_quoted() -> None:
    line = "535 &#" + "1" * 5000
    assert Secrets("hunters2").quoted(line) == line


def test_a_method_that_no_server_offers_gets_no_password(refusal: Refusal) -> None:
    words = "does not offer PLAIN or LOGIN"
    with pytest.raises(ProbeError, match=words) as raised:
        refusal(echoing("smtp", "XOAUTH2"), "smtp", "PLAIN LOGIN")
    assert raised.value.kind == "login"


def test_a_server_with_a_bad_certificate_gets_no_password(refusal: Refusal) -> None:
    with pytest.raises(ProbeError, match="cannot be trusted") as raised:
        refusal(echoing("imap", "PLAIN"), "imap", host="other.example.test")
    assert raised.value.kind == "login"


# --- Logins that are not tried ------------------------------------------------------------

FILE = """
[[provider]]
domains = ["example.test"]
incoming = [{type = "imap", hostname = "mail.example.test"%s}]
outgoing = [{type = "smtp", hostname = "mail.example.test"}]
"""
NOT_TRIED = {
    "nobody listens": FILE % "",
    "another method": FILE % ', authentication = "OAuth2"',
    "unencrypted": FILE % ', socket_type = "plain"',
    "no settings": "",
}


@pytest.mark.parametrize("text", NOT_TRIED.values(), ids=NOT_TRIED)
def test_a_login_that_is_not_tried_is_a_warning(tmp_path: Path, text: str) -> None:
    options = ["--json", "--yes", "--login", "--resolver", "127.0.0.1:9"]
    if text:
        (tmp_path / "autoconfig.toml").write_text(text)
        options.append("--unpublished")
    with typed(PASSWORD) as number:
        options += ["--timeout", "0.2", "--password-fd", str(number)]
        result = run("check", USER, *options, cwd=tmp_path)
    found = json.loads(result.stdout)["findings"]
    logins = [finding for finding in found if finding["step"] == "login"]
    subjects = ", ".join(finding["subject"] for finding in logins)
    expected = ["imap mail.", "smtp mail."] if text else [USER]
    assert all(start in subjects for start in expected)
    for finding in logins:
        assert finding["status"] == "warning"
        assert finding["seen"].startswith("not tried")
        assert finding["why"] or ":" in finding["seen"]
