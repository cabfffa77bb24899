"""Hostile servers: no password for them, no private addresses, no endless work."""

import base64
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from paper import Every, Paper
from seeds import Response, make, moved, responds
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
    FrontRequest,
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
    return responds(200, thunderbird.write(provider).decode(), Content_Type="text/xml")


class Listener:
    """An IMAP server that accepts every password and records what it receives."""

    def __init__(self) -> None:
        self.received: list[str] = []
        offers = ("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK done")
        responses = (offers, ("AUTHENTICATE", "+ "), ("", "a OK done"))
        self.behave = talks("* OK come in", *responses, received=self.received)

    def has_the_password(self) -> bool:
        encoded = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        return any(secret in "".join(self.received) for secret in (PASSWORD, encoded))


@pytest.fixture
def world(world: Paper) -> Paper:
    """A domain that publishes nothing, at one web server with a domain of strangers."""
    own = NAMES.format(DOMAIN) + f"autoconfig IN A {WEB}\n"
    world.names.serve(NAMES.format(EVIL) + own)
    world.front.answer = responds(404)
    return world


@pytest.fixture
def listener(world: Paper) -> Listener:
    """The IMAP server of both domains."""
    listener = Listener()
    world.listen(IMAP, 993, listener.behave, Every())
    return listener


def command(world: Paper, *words: str | Path) -> Result:
    words = (*words, "--resolver", OTHER_NAMES)
    result = world.invoke(*words, *(() if "--timeout" in words else ("--timeout", "3")))
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def log_in(world: Paper, *options: str) -> Result:
    """Run `check --login` without a file."""
    with typed(PASSWORD) as number:
        arguments = ("--login", "--password-fd", str(number), *options)
        return command(world, "check", USER, "--allow-private", *arguments)


# --- Who gets the password ---------------------------------------------------------------


def test_forged_certificates_get_no_password(world: Paper, listener: Listener) -> None:
    forged = world.web(WEB, world.unknown(AUTOCONFIG, whole=False))
    by_scheme = {True: naming(EVIL), False: responds(404)}
    forged.answer = lambda request: by_scheme[request.secure](request)
    result = log_in(world, "--yes")
    assert result.exit_code == 1
    assert not listener.has_the_password()
    assert f"imap.{EVIL}" not in result.stdout
    assert "the certificate is not valid: no intermediate certificate" in result.stdout
    assert f"at   https://{AUTOCONFIG}/" in result.stdout


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
    world: Paper, listener: Listener, first: str, second: str, words: str
) -> None:
    def answer(request: FrontRequest) -> Any:
        scheme = "https" if request.secure else "http"
        if request.host == EVIL:
            there = naming(EVIL if words else DOMAIN)
            return (there if request.secure else moved(f"https://{EVIL}/2"))(request)
        is_first = request.host == AUTOCONFIG and scheme == first
        return (moved(f"{second}://{EVIL}/") if is_first else responds(404))(request)

    world.front.answer = answer
    result = log_in(world, "--yes")
    assert listener.has_the_password() == (not words)
    assert words in result.stdout


def test_without_a_file_a_login_needs_consent(world: Paper, listener: Listener) -> None:
    world.front.answer = naming(DOMAIN)
    result = log_in(world)
    assert result.exit_code == 2
    assert "or add --yes" in result.stderr
    assert listener.received == []  # nothing was done at all


@pytest.mark.world
def test_people_see_first_where_the_password_goes(
    real_world: Real, tmp_path: Path
) -> None:
    listener = Listener()
    make(real_world, {"mail": {"behave": listener.behave}})
    words = ("check", USER, "--login", "--allow-private", "--resolver", OTHER_NAMES)

    def output_after(sure: str) -> str:
        typed = {"[y/N]: ": sure, f"https://dav.{DOMAIN}/: ": PASSWORD}
        inside = real_world.inside
        return str(inside.call(at_terminal, *words, typed=typed, cwd=tmp_path)[1])

    refused = output_after("n")
    assert "you answered no" in refused
    assert "Password of" not in refused
    assert not listener.has_the_password()
    agreed = output_after("y")
    question = f"Send the password of {USER} at imap imap.{DOMAIN}:993 SSL, smtp smtp."
    assert question in agreed
    assert agreed.index("Send the password") < agreed.index("Password of")
    assert listener.has_the_password()
    assert f"the login of {USER} works" in " ".join(agreed.split())
    assert PASSWORD not in agreed
    assert "\x1b[32m" in agreed


# --- Endless lists and private addresses -------------------------------------------------


@pytest.mark.parametrize("others", [25, 3])
def test_only_shown_servers_get_the_password(
    world: Paper, listener: Listener, others: int
) -> None:
    hosts = [f"m{number}.{'x' * 60}.{'y' * 60}.test" for number in range(others)]
    listeners = {host: Listener() for host in hosts}
    records = NAMES.format(DOMAIN) + f"autoconfig IN A {WEB}\n"
    for number, (host, listener_) in enumerate(listeners.items()):
        records += f"{host}. IN A 127.0.3.{number}\n"
        world.listen(f"127.0.3.{number}", 993, listener_.behave, Every())
    world.names.serve(records)
    world.front.answer = naming(DOMAIN, *hosts)
    result = log_in(world, "--yes", "--json")
    consent = result.stderr.partition("Logging in as ")[2]
    contacted = {host for host in hosts if listeners[host].has_the_password()}
    assert contacted == {host for host in listeners if f" {host}:993" in consent}
    assert contacted
    assert (contacted == listeners.keys()) == (others < 20)


@pytest.mark.world  # it waits for many servers
def test_only_some_of_many_servers_in_a_document_are_contacted(world: Paper) -> None:
    hosts = [f"m{number}.test" for number in range(90)]
    connections: list[int] = []

    def silent(connection: socket.socket) -> None:
        connections.append(1)
        connection.recv(1)

    world.listen(ELSEWHERE, 993, silent, Every())
    leads = "".join(f"{host}. IN A {ELSEWHERE}\n" for host in hosts)
    world.names.serve(f"autoconfig.{DOMAIN}. IN A {WEB}\n{leads}")
    world.front.answer = naming(DOMAIN, *hosts)
    result = command(world, "check", DOMAIN, "--allow-private")
    assert 0 < len(connections) < 40
    assert "72 more servers are not asked" in result.stdout


def test_only_some_of_many_servers_in_srv_records_are_contacted(world: Paper) -> None:
    records = [f"_imaps._tcp IN SRV 0 1 993 host{n}.{EVIL}.\n" for n in range(700)]
    world.names.serve("".join((NAMES.format(DOMAIN), *records)))
    result = command(world, "init", DOMAIN, "-o", "-")
    assert "note: more servers that SRV records name are not asked" in result.stderr
    assert len(result.stderr.splitlines()) < 60
    assert result.exit_code == 1


def test_init_contacts_no_private_address(world: Paper, listener: Listener) -> None:
    world.names.serve(f"{NAMES.format(DOMAIN)}_imaps._tcp IN SRV 0 1 993 imap\n")
    result = command(world, "init", DOMAIN, "-o", "-")
    assert listener.received == []
    assert "not asked, unless you say --allow-private" in result.stderr
    command(world, "init", DOMAIN, "-o", "-", "--allow-private")
    assert listener.received


def test_init_writes_no_private_url_and_no_invalid_name(world: Paper) -> None:
    world.names.serve(
        f"{NAMES.format(DOMAIN)}_caldavs._tcp IN SRV 0 1 8443 imap\n"
        "_carddavs._tcp IN SRV 0 1 443 127.0.0.1.\n"
        f"_imaps._tcp IN SRV 0 1 993 under_score.{DOMAIN}.\n"
    )
    result = command(world, "init", DOMAIN, "-o", "-")
    inside = f"https://imap.{DOMAIN}:8443/.well-known/caldav"
    for url in (inside, "https://127.0.0.1/.well-known/carddav"):
        assert f"note: {url}: " in result.stderr
    assert "which is not on the internet" in result.stderr
    assert result.stdout == ""
    assert f"note: under_score.{DOMAIN} is left out: it is not a host" in result.stderr


def test_a_redirect_to_another_port_of_an_own_host_is_not_followed(
    world: Paper,
) -> None:
    hosts: list[str] = []

    def answer(request: FrontRequest) -> Any:
        hosts.append(request.host)
        return moved(f"http://imap.{DOMAIN}:8080/x")(request)

    world.front.answer = answer
    world.listen(IMAP, 8080, lambda _: hosts.append("another port"))
    command(world, "--config", world.file, "check", DOMAIN)
    assert AUTOCONFIG in hosts
    assert "another port" not in hosts
