"""Hostile servers: no password for them, no private addresses, no endless work."""

import base64
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from paper import Every, Paper
from seeds import Response, make, moved, says
from services import typed
from strangers import at_terminal
from support import provider_of
from world import (
    DOMAIN,
    ELSEWHERE,
    IMAP,
    OTHER_NAMES,
    PASSWORD,
    USER,
    WEB,
    Asked,
    Real,
    talks,
)

from flask_autoconfig.documents import thunderbird

EVIL = "evil.test"
AUTOCONFIG = f"autoconfig.{DOMAIN}"
NAMES = f"$ORIGIN {{}}.\n@ IN A {WEB}\nimap IN A {IMAP}\n"


def naming(domain: str, *more: str) -> Response:
    """Return the response with a document of a domain's servers, and more of IMAP."""
    own = f"imap.{domain}"
    incoming = [{"type": "imap", "hostname": host} for host in (own, *more)]
    outgoing = [{"type": "smtp", "hostname": own}]
    provider = provider_of(domains=[domain], incoming=incoming, outgoing=outgoing)
    return says(200, thunderbird.write(provider).decode(), Content_Type="text/xml")


class Listener:
    """An IMAP server that accepts every password and records what it receives."""

    def __init__(self) -> None:
        self.received: list[str] = []
        offers = ("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK done")
        replies = (offers, ("AUTHENTICATE", "+ "), ("", "a OK done"))
        self.behave = talks("* OK come in", *replies, heard=self.received)

    def has_the_password(self) -> bool:
        encoded = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        return any(secret in "".join(self.received) for secret in (PASSWORD, encoded))


@pytest.fixture
def here(here: Paper) -> Paper:
    """A domain that publishes nothing, at one web server with a domain of strangers."""
    own = NAMES.format(DOMAIN) + f"autoconfig IN A {WEB}\n"
    here.names.serve(NAMES.format(EVIL) + own)
    here.front.answer = says(404)
    return here


@pytest.fixture
def listener(here: Paper) -> Listener:
    """The IMAP server of both domains."""
    listener = Listener()
    here.listen(IMAP, 993, listener.behave, Every())
    return listener


def command(here: Paper, *words: str | Path) -> Result:
    words = (*words, "--resolver", OTHER_NAMES)
    done = here.invoke(*words, *(() if "--timeout" in words else ("--timeout", "3")))
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done


def log_in(here: Paper, *options: str) -> Result:
    """Run `check --login` without a file."""
    with typed(PASSWORD) as number:
        given = ("--login", "--password-fd", str(number), *options)
        return command(here, "check", USER, "--allow-private", *given)


# --- Who gets the password ---------------------------------------------------------------


def test_forged_certificates_get_no_password(here: Paper, listener: Listener) -> None:
    forged = here.web(WEB, here.unknown(AUTOCONFIG, whole=False))
    forged.answer = lambda asked: (naming(EVIL) if asked.secure else says(404))(asked)
    done = log_in(here, "--yes")
    assert done.exit_code == 1
    assert not listener.has_the_password()
    assert f"imap.{EVIL}" not in done.stdout
    assert "the certificate is not valid: no intermediate certificate" in done.stdout
    assert f"at   https://{AUTOCONFIG}/" in done.stdout


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("http", "https", DOMAIN),
        ("https", "http", "were not retrieved completely over verified https"),
        ("https", "https", ""),
    ],
    ids=["http", "a redirect over http", "https alone"],
)
def test_only_settings_over_https_get_the_password(
    here: Paper, listener: Listener, first: str, second: str, words: str
) -> None:
    def answer(asked: Asked) -> Any:
        scheme = "https" if asked.secure else "http"
        if asked.host == EVIL:
            there = naming(EVIL if words else DOMAIN)
            return (there if asked.secure else moved(f"https://{EVIL}/2"))(asked)
        is_first = asked.host == AUTOCONFIG and scheme == first
        return (moved(f"{second}://{EVIL}/") if is_first else says(404))(asked)

    here.front.answer = answer
    done = log_in(here, "--yes")
    assert listener.has_the_password() == (not words)
    assert words in done.stdout


def test_without_a_file_a_login_needs_consent(here: Paper, listener: Listener) -> None:
    here.front.answer = naming(DOMAIN)
    done = log_in(here)
    assert done.exit_code == 2
    assert "or add --yes" in done.stderr
    assert listener.received == []  # nothing was done at all


@pytest.mark.world
def test_people_see_first_where_the_password_goes(really: Real, tmp_path: Path) -> None:
    listener = Listener()
    make(really, {"mail": {"behave": listener.behave}})
    words = ("check", USER, "--login", "--allow-private", "--resolver", OTHER_NAMES)

    def shown(sure: str) -> str:
        typed = {"[y/N]: ": sure, f"https://dav.{DOMAIN}/: ": PASSWORD}
        inside = really.inside
        return str(inside.call(at_terminal, *words, typed=typed, cwd=tmp_path)[1])

    refused = shown("n")
    assert "you answered no" in refused
    assert "Password of" not in refused
    assert not listener.has_the_password()
    agreed = shown("y")
    asked = f"Send the password of {USER} at imap imap.{DOMAIN}:993 SSL, smtp smtp."
    assert asked in agreed
    assert agreed.index("Send the password") < agreed.index("Password of")
    assert listener.has_the_password()
    assert f"the login of {USER} works" in " ".join(agreed.split())
    assert PASSWORD not in agreed
    assert "\x1b[32m" in agreed


# --- Endless lists and private addresses -------------------------------------------------


@pytest.mark.parametrize("others", [25, 3])
def test_only_shown_servers_get_the_password(
    here: Paper, listener: Listener, others: int
) -> None:
    hosts = [f"m{number}.{'x' * 60}.{'y' * 60}.test" for number in range(others)]
    listeners = {host: Listener() for host in hosts}
    names = NAMES.format(DOMAIN) + f"autoconfig IN A {WEB}\n"
    for number, (host, listens) in enumerate(listeners.items()):
        names += f"{host}. IN A 127.0.3.{number}\n"
        here.listen(f"127.0.3.{number}", 993, listens.behave, Every())
    here.names.serve(names)
    here.front.answer = naming(DOMAIN, *hosts)
    done = log_in(here, "--yes", "--json")
    asked = done.stderr.partition("Logging in as ")[2]
    got = {host for host, each in listeners.items() if each.has_the_password()}
    assert got == {host for host in listeners if f" {host}:993" in asked}
    assert got
    assert (got == listeners.keys()) == (others < 20)


@pytest.mark.world  # it waits for many servers
def test_only_some_of_many_servers_in_a_document_are_contacted(here: Paper) -> None:
    hosts = [f"m{number}.test" for number in range(90)]
    asked: list[int] = []

    def silent(connection: socket.socket) -> None:
        asked.append(1)
        connection.recv(1)

    here.listen(ELSEWHERE, 993, silent, Every())
    leads = "".join(f"{host}. IN A {ELSEWHERE}\n" for host in hosts)
    here.names.serve(f"autoconfig.{DOMAIN}. IN A {WEB}\n{leads}")
    here.front.answer = naming(DOMAIN, *hosts)
    done = command(here, "check", DOMAIN, "--allow-private")
    assert 0 < len(asked) < 40
    assert "72 more servers are not asked" in done.stdout


def test_only_some_of_many_servers_in_srv_records_are_contacted(here: Paper) -> None:
    records = [f"_imaps._tcp IN SRV 0 1 993 host{n}.{EVIL}.\n" for n in range(700)]
    here.names.serve("".join((NAMES.format(DOMAIN), *records)))
    done = command(here, "init", DOMAIN, "-o", "-")
    assert "note: more servers that SRV records name are not asked" in done.stderr
    assert len(done.stderr.splitlines()) < 60
    assert done.exit_code == 1


def test_init_contacts_no_private_address(here: Paper, listener: Listener) -> None:
    here.names.serve(f"{NAMES.format(DOMAIN)}_imaps._tcp IN SRV 0 1 993 imap\n")
    done = command(here, "init", DOMAIN, "-o", "-")
    assert listener.received == []
    assert "not asked, unless you say --allow-private" in done.stderr
    command(here, "init", DOMAIN, "-o", "-", "--allow-private")
    assert listener.received


def test_init_writes_no_private_url_and_no_invalid_name(here: Paper) -> None:
    here.names.serve(
        f"{NAMES.format(DOMAIN)}_caldavs._tcp IN SRV 0 1 8443 imap\n"
        "_carddavs._tcp IN SRV 0 1 443 127.0.0.1.\n"
        f"_imaps._tcp IN SRV 0 1 993 under_score.{DOMAIN}.\n"
    )
    done = command(here, "init", DOMAIN, "-o", "-")
    inside = f"https://imap.{DOMAIN}:8443/.well-known/caldav"
    for url in (inside, "https://127.0.0.1/.well-known/carddav"):
        assert f"note: {url}: " in done.stderr
    assert "which is not on the internet" in done.stderr
    assert done.stdout == ""
    assert f"note: under_score.{DOMAIN} is left out: it is not a host" in done.stderr


def test_a_redirect_to_another_port_of_an_own_host_is_not_followed(here: Paper) -> None:
    asked: list[str] = []

    def answer(asked_: Asked) -> Any:
        asked.append(asked_.host)
        return moved(f"http://imap.{DOMAIN}:8080/x")(asked_)

    here.front.answer = answer
    here.listen(IMAP, 8080, lambda _: asked.append("another port"))
    command(here, "--config", here.file, "check", DOMAIN)
    assert AUTOCONFIG in asked
    assert "another port" not in asked
