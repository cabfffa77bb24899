"""`check --login`: no server's words show the password, and no login is left out unsaid."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from strangers import Behaviour, server
from support import certificate_for
from support import run_process as run

from flask_autoconfig.tools.net.mail import Endpoint, log_in
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network, ProbeError
from flask_autoconfig.tools.net.untrusted import Secrets

HOST, USER = "mail.example.test", "fred@example.test"
PASSWORD = 'Sécret "of\\fred%/+'
MECHANISMS = ("PLAIN", "LOGIN")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# What a server may make of what it heard.
ECHOES: dict[str, Callable[[str], str]] = {
    "what it heard": lambda heard: heard,
    "what it heard, in lower case": str.lower,
    "what it heard, in upper case": str.upper,
    "what it heard, percent-encoded": lambda heard: quote(heard, safe=""),
    "the password": lambda _: PASSWORD,
    "the password in upper case": lambda _: PASSWORD.upper(),
    "the password, percent-encoded": lambda _: quote(PASSWORD, safe=""),
    "the password as in a form": lambda _: quote_plus(PASSWORD),
    "the password behind the name": lambda _: b64(f"{USER}:{PASSWORD}"),
    "both in Base64, without padding": lambda _: b64(f"{USER} {PASSWORD}").rstrip("="),
    "the password, with much before it": lambda _: "x" * 95 + PASSWORD,
    "character references": lambda _: "".join(f"&#{ord(it):012};" for it in PASSWORD),
    "names of characters": lambda _: escape(PASSWORD),
    "quoted-printable": lambda _: quote(PASSWORD, safe="").replace("%", "="),
    "all quoted-printable": lambda _: PASSWORD.encode().hex("=").upper(),
    "percent-encoded twice": lambda _: quote(quote(PASSWORD, safe=""), safe=""),
    "hex": lambda _: PASSWORD.encode().hex(),
    "escapes": lambda _: "".join(f"\\u{ord(it):04x}" for it in PASSWORD),
    "spaces between": lambda _: " ".join(PASSWORD),
    "dots between": lambda _: ".".join(PASSWORD),
    "marks of no width between": lambda _: "\u200b".join(PASSWORD),
    "backwards": lambda _: PASSWORD[::-1],
    "full width": lambda _: "".join(
        chr(ord(it) + 0xFEE0) if "!" <= it <= "~" else it for it in PASSWORD
    ),
    "without its first character": lambda _: PASSWORD[1:],
    "without its last character": lambda _: PASSWORD[:-1],
    "its first half": lambda _: PASSWORD[: len(PASSWORD) // 2],
    "on two lines": lambda _: PASSWORD[:9] + "\r\n" + PASSWORD[9:],
}


class Echo:
    """A mail server that refuses every login, with what it heard of the client."""

    def __init__(self, type_: str, mechanisms: str, echo: Callable[[str], str]) -> None:
        self.type, self.mechanisms, self.echo = type_, mechanisms, echo
        self.heard = ""

    def __call__(self, connection: socket.socket) -> None:
        greeting = {"imap": "* OK", "pop3": "+OK", "smtp": "220"}[self.type]
        lines = connection.makefile("r", encoding="utf-8", newline="\r\n")

        def say(text: str) -> None:
            connection.sendall(f"{text}\r\n".encode())

        say(greeting)
        asked = {"imap": "+ ", "pop3": "+ ", "smtp": "334 "}[self.type]
        is_asked = 0
        for line in lines:
            line = line.rstrip("\r\n")
            words = line.upper()
            if is_asked:
                self.heard += line
                is_asked -= 1
                say(asked if is_asked else self.refusal(line))
            elif words.startswith(("EHLO", "CAPA", "A CAPABILITY")):
                say(self.offers())
            elif "AUTH" in words:
                is_asked = 2 if words == "AUTH LOGIN" else 1
                say(f"{asked}{b64('<1.2@x>') if 'CRAM' in words else ''}")
            elif words.startswith("USER"):
                say("+OK")
            else:  # a command that has the password in it, or the end
                self.heard += line
                say(self.refusal(line))

    def offers(self) -> str:
        if self.type == "imap":
            sasl = " ".join(f"AUTH={it}" for it in self.mechanisms.split())
            return f"* CAPABILITY IMAP4rev1 {sasl}\r\na OK"
        if self.type == "pop3":
            return f"+OK\r\nUSER\r\nSASL {self.mechanisms}\r\n."
        return f"250-x\r\n250 AUTH {self.mechanisms}"

    def refusal(self, heard: str) -> str:
        return f"{CODES[self.type]} {self.echo(heard)}"


@pytest.fixture
def lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Network]:
    """A network in which the host is at a port of loopback."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def network(port: int) -> Network:
        places = {(HOST, 993): ("127.0.0.1", port)}
        return Network(Resolver(("127.0.0.1", 9), timeout=1), 5.0, places)

    return network


REPEATED = "(the server repeats the password: its words are not shown)"
CODES = {"imap": "a NO", "pop3": "-ERR", "smtp": "535"}


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("type_", ["imap", "pop3", "smtp"])
def test_a_server_that_repeats_the_password_is_quoted_without_it(
    lead: Callable[[int], Network], tmp_path: Path, type_: str, offered: str
) -> None:
    behave = Echo(type_, offered, str)
    with server(behave, certificate_for(HOST, folder=tmp_path)) as port:
        for name, behave.echo in ECHOES.items():
            said = _said(lead(port), type_, (offered,))
            assert said == f"{CODES[type_]} {REPEATED}", name


def _said(network: Network, type_: str, mechanisms: tuple[str, ...]) -> str:
    """The refusal of a login."""
    endpoint = Endpoint(type_, HOST, 993, "SSL")
    return log_in(
        network, endpoint, mechanisms=mechanisms, user=USER, password=PASSWORD
    )


@pytest.mark.parametrize("type_", ["imap", "pop3", "smtp"])
def test_a_greeting_that_repeats_the_password_is_quoted_without_it(
    lead: Callable[[int], Network], tmp_path: Path, type_: str
) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(f"no {'x' * 80} {PASSWORD}\r\n".encode())
        with suppress(OSError):
            connection.recv(100)

    with (
        server(greet, certificate_for(HOST, folder=tmp_path)) as port,
        pytest.raises(ProbeError) as raised,
    ):
        _said(lead(port), type_, MECHANISMS)
    assert REPEATED in str(raised.value)
    assert "xxx" not in str(raised.value)


@pytest.mark.parametrize("secret", ["a", "ab", "é", "?!", "235", "OK", "5355"])
def test_a_short_password_is_hidden_too(secret: str) -> None:
    for code in ("no", "235", "OK", "535 5.7.8"):
        assert Secrets(secret).quoted(f"{code} {secret}").removesuffix(REPEATED) in (
            "",
            f"{code} ",
        )
    assert Secrets(secret).quoted(f"{secret} no") == REPEATED


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("535 5.7.8 {}", "535 5.7.8 "),
        ("454-4.7.0 x {}", "454-4.7.0 "),
        ("a NO [AUTHENTICATIONFAILED] {}", "a NO [AUTHENTICATIONFAILED] "),
        ("-ERR [SYS/TEMP] {}", "-ERR [SYS/TEMP] "),
        ("a NO [HUNTERS] {}", ""),
        ("535hunters {}", ""),
        ("a NO [AUTHENTICATIONFAILED] Sorry, no", None),
        ("535 5.7.8 hun, said the bear", None),
        ("535 &#" + "1" * 5000, None),
    ],
)
def test_a_response_code_is_shown_and_words_that_repeat_nothing(
    said: str, shown: str | None
) -> None:
    expected = said if shown is None else shown + REPEATED
    assert Secrets("hunters2").quoted(said.format("hunters2")) == expected


# --- Logins that are not tried ------------------------------------------------------------

FILE = """
[[provider]]
domains = ["example.test"]

[[provider.incoming]]
type = "imap"
hostname = "mail.example.test"
{incoming}

[[provider.outgoing]]
type = "smtp"
hostname = "mail.example.test"
"""
NOT_TRIED = {
    "nobody listens": "",
    "another method": 'authentication = "OAuth2"\n',
    "unencrypted": 'socket_type = "plain"\n',
}


def _checked(folder: Path, *arguments: str) -> Any:
    read, write = os.pipe()
    os.write(write, f"{PASSWORD}\n".encode())
    os.close(write)
    try:
        return run(
            *(*arguments, "--yes", "--login", "--password-fd", str(read)),
            *("--resolver", "127.0.0.1:9", "--timeout", "0.5"),
            cwd=folder,
            SSL_CERT_FILE=str(folder / "ca.pem"),
        )
    finally:
        os.close(read)


def _logins(done: Any) -> list[dict[str, str]]:
    found = json.loads(done.stdout)["findings"]
    return [it for it in found if it["step"] == "login"]


@pytest.mark.parametrize("incoming", NOT_TRIED.values(), ids=NOT_TRIED)
def test_a_login_that_is_not_tried_is_a_warning(tmp_path: Path, incoming: str) -> None:
    (tmp_path / "autoconfig.toml").write_text(FILE.format(incoming=incoming))
    done = _checked(tmp_path, "check", USER, "--unpublished", "--json")
    told = _logins(done)
    subjects = ", ".join(it["subject"] for it in told)
    assert "imap mail." in subjects
    assert "smtp mail." in subjects
    for it in told:
        assert it["status"] == "warning"
        assert it["seen"].startswith("not tried")
        assert it["why"] or ":" in it["seen"]


def test_a_login_without_any_settings_is_a_warning(tmp_path: Path) -> None:
    done = _checked(tmp_path, "check", USER, "--json")
    (told,) = _logins(done)
    assert (told["status"], told["seen"]) == ("warning", "not tried")
    assert told["why"]


def test_a_method_that_a_server_does_not_offer_gets_no_password(
    lead: Callable[[int], Network], tmp_path: Path
) -> None:
    behave: Behaviour = Echo("smtp", "XOAUTH2", str)
    with (
        server(behave, certificate_for(HOST, folder=tmp_path)) as port,
        pytest.raises(ProbeError, match="does not offer PLAIN or LOGIN") as raised,
    ):
        _said(lead(port), "smtp", MECHANISMS)
    assert raised.value.kind == "login"
