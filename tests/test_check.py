"""init, dns and check in a world, and what is really typed at a terminal."""

import os
import pty
import signal
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from paper import IMAP_TALK, SMTP_TALK, Paper
from seeds import failing, lead, mail_server, make, responds
from services import until
from strangers import WITH_SIGINT
from support import BIN, Write, loads, tables
from test_check_right import log_in, login_codes, logins
from world import (
    DOMAIN,
    IMAP,
    OTHER_NAMES,
    PASSWORD,
    SMTP,
    TOML,
    USER,
    Checking,
    Real,
    talks,
)

from flask_autoconfig.config.reading import load
from flask_autoconfig.tools import discover
from flask_autoconfig.tools.check import texts
from flask_autoconfig.tools.net.common import software_of
from flask_autoconfig.tools.net.mail import Endpoint, MailServer

# The file with a POP3 server too.
WITH_POP3 = TOML.replace(
    "[[provider.outgoing]]",
    f'[[provider.incoming]]\ntype = "pop3"\nhostname = "pop.{DOMAIN}"\n\n'
    "[[provider.outgoing]]",
)


def init(world: Checking, *options: str | Path, domain: str = DOMAIN) -> Result:
    return world.invoke("init", domain, "--resolver", OTHER_NAMES, *options)


def test_check_recommends_init_for_a_domain_that_publishes_nothing(
    world: Paper,
) -> None:
    world.names.serve(AT + OWN)
    found = world.check(DOMAIN, "--allow-private")["findings"]
    (failed,) = [finding for finding in found if finding["code"] == "document.none"]
    assert "flask-autoconfig init" in failed["cure"]


# --- init ------------------------------------------------------------------------------


def failed(world: Checking, *options: str | Path, domain: str = DOMAIN) -> str:
    """Run `init`, which writes nothing; returns what stderr shows."""
    result = init(world, *options, domain=domain)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


def test_init_prefers_what_clients_support_then_security_then_srv_records() -> None:
    def rank(mechanism: str, socket_type: str, source: str) -> tuple[bool, ...]:
        endpoint = Endpoint("imap", "imap.test", 993, socket_type)
        return discover.rank(endpoint, MailServer(mechanisms={mechanism}), source)

    best_first = [
        rank("PLAIN", "SSL", "SRV"),
        rank("PLAIN", "SSL", "name"),
        rank("PLAIN", "STARTTLS", "SRV"),
        rank("CRAM-MD5", "SSL", "SRV"),
    ]
    assert best_first == sorted(best_first)
    assert len({*best_first}) == len(best_first)


def test_init_overwrites_a_file_only_with_force(world: Paper, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine")
    assert "--force" in failed(world, "--allow-private", "-o", file)
    assert file.read_text() == "# mine"
    assert init(world, "--allow-private", "-o", file, "--force").exit_code == 0
    assert load(file).provider


def test_init_writes_no_file_without_servers(world: Paper, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    output = failed(world, "-o", file, domain="nowhere.test")
    assert "there is no such domain in DNS: look at how it is spelt" in output
    world.names.serve(f"{DOMAIN}. IN TXT none\n")
    assert "write the file by hand" in failed(world, "-o", file)
    assert not file.exists()


INIT, LOGINS = tables("check_init.toml"), tables("check_logins.toml")
SERVERS = INIT.pop("servers")
AT = f"$ORIGIN {DOMAIN}.\n$TTL 60\n"
OWN = f"imap IN A {IMAP}\nsmtp IN A {SMTP}\n"
XML = {"Content-Type": "text/xml"}
SETTINGS = Path(__file__).with_name("gmail.xml").read_text()


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(claim, marks=[pytest.mark.world] * row.get("slow", 0))
        for claim, row in INIT.items()
    ],
)
def test_init_takes(world: Paper, claim: str) -> None:
    row = INIT[claim]
    world.names.serve(AT + row["records"])
    urls = ["hoster.test/mail/config-v1", "live.*/hoster.test"]
    at = "|".join([*urls, *row.get("settings", ())])
    hosted = {"at": at, "response": 200, "body": SETTINGS, "headers": XML}
    answers = [*row.get("answers", ()), hosted, {"response": 404}]
    make(world, {"answers": answers})
    for name in row.get("servers", ()):
        mail_server(world, **SERVERS[name])
    result = init(world, "--allow-private", "--timeout", "2", "-o", "-")
    output = result.stdout + " ".join(result.stderr.split())
    assert result.exit_code == int("hostname =" not in result.stdout)
    assert [words for words in row["has"] if words not in output] == []
    assert [words for words in row.get("lacks", ()) if words in result.stdout] == []
    for words in row.get("absent", ["customary names such"]):
        assert words not in output


@pytest.mark.parametrize(
    "body",
    ["", "hello", "<clientConfig/>", "<html", SETTINGS.partition("<outgoing")[0]]
    + [SETTINGS.replace("smtp.gmail.com", "no host"), SETTINGS.replace("OAuth2", "\0")],
)
def test_init_leaves_alone_what_no_client_can_use(world: Paper, body: str) -> None:
    world.names.serve(AT + INIT["what the ISP database says"]["records"] + OWN)
    world.front.answer = responds(200, body, Content_Type="text/xml")
    (provider,) = loads(init(world, "--allow-private", "-o", "-").stdout).provider
    assert provider.incoming[0].hostname == f"imap.{DOMAIN}"


def test_init_tells_a_zone_that_dnssec_refuses(world: Paper) -> None:
    world.name_server(OTHER_NAMES, failing("SERVFAIL", 6))
    output = " ".join(failed(world).split())
    assert "DNSSEC: the signatures are bogus: says it: sign the zone anew" in output


# --- check --login ----------------------------------------------------------------------


@pytest.mark.world
def test_a_real_login_is_tried_at_each_server(real_world: Real, toml: Write) -> None:
    file = toml(WITH_POP3)
    for password, outcome in ((PASSWORD, "works"), ("wrong-password", "is refused: ")):
        found = logins(log_in(real_world, file, password=password))
        types = [finding["subject"].partition(" ")[0] for finding in found]
        assert types == ["imap", "pop3", "smtp", f"https://dav.{DOMAIN}/"]
        for finding in found:
            assert finding["seen"].startswith(f"the login of {USER} {outcome}")


@pytest.mark.world
def test_a_login_by_cram_md5(real_world: Real, toml: Write) -> None:
    line = '"imap"\nauthentication = "password-encrypted"'
    file = toml(TOML.replace('"imap"', line))
    real_world.dovecot(mechanisms="plain cram-md5")
    lead(real_world, "imap")
    report = log_in(real_world, file)
    assert {finding["status"] for finding in logins(report)} == {"ok"}
    assert "password-encrypted" in str(report)


@pytest.mark.parametrize("kind", ["login", "sending", "sender"])
def test_the_cause_of_a_refusal_follows_its_words(kind: Any) -> None:
    for code, responses in LOGINS[kind].items():
        for response in responses:
            assert texts.code_of(kind, response) == code, response


def test_the_software_of_a_server_follows_its_words() -> None:
    for software, responses in LOGINS["software"].items():
        for response in responses:
            assert software_of([response]) == software, response


@pytest.mark.parametrize("claim", LOGINS["after"])
@pytest.mark.parametrize("has_file", [True, False])
def test_a_login_of_no_use_is_named(world: Paper, claim: str, has_file: bool) -> None:
    command, response, code = LOGINS["after"][claim]
    type_ = "imap" if command in ("EXAMINE", "AUTHENTICATE") else "smtp"
    port = 993 if type_ == "imap" else 465
    greeting, talk = ("* OK", IMAP_TALK) if type_ == "imap" else ("220 hi", SMTP_TALK)
    behave = talks(greeting, (command, response), *talk)
    make(world, {"mail": {"at": (type_, port), "behave": behave}})
    how = ("--json", "--allow-private", "--unpublished" if has_file else "--yes")
    found = logins(log_in(world, world.file if has_file else None, how=how))
    (finding,) = [finding for finding in found if finding["subject"].startswith(type_)]
    assert finding["code"] == code
    assert code == "login.good" or response[-20:] in finding["seen"]
    is_hurt = finding["status"] == "failure" and not has_file
    assert ("Thunderbird" in finding["clients"]) is is_hurt


@pytest.mark.world
@pytest.mark.parametrize(
    ("more", "code"), LOGINS["postfix"].values(), ids=LOGINS["postfix"]
)
def test_a_useless_real_postfix_is_named(
    real_world: Real, more: str, code: str
) -> None:
    real_world.postfix(real_world.folder / "dovecot/auth-smtp", more)
    lead(real_world, "smtp")
    assert code in login_codes(log_in(real_world, real_world.file))


@pytest.mark.world
def test_a_real_dovecot_without_an_inbox_is_named(real_world: Real) -> None:
    real_world.dovecot(more="mail_location = maildir:/proc/nowhere")
    lead(real_world, "imap")
    assert "login.no-inbox" in login_codes(log_in(real_world, real_world.file))


def test_no_password_goes_to_a_server_that_cannot_be_trusted(world: Paper) -> None:
    server = {"at": ("smtp", 465), "offers": "AUTH PLAIN", "names": ["other.test"]}
    make(world, {"mail": server})
    found = log_in(world, world.file)["findings"]
    smtp = [finding for finding in found if finding["subject"].startswith("smtp smtp.")]
    assert smtp[0]["code"] == "tls.name-mismatch"
    assert "login.server-faulty" in [finding["code"] for finding in smtp]
    assert "login.good" not in [finding["code"] for finding in smtp]


@pytest.mark.world
def test_ctrl_c_at_the_password_turns_the_echo_on_again(real_world: Real) -> None:
    words = ["--config", str(real_world.file), "check", USER, "--login"]
    words += ["--unpublished", "--resolver", OTHER_NAMES]
    leader, inside = pty.openpty()
    process = real_world.inside.call(
        subprocess.Popen,
        [BIN / "python", "-c", WITH_SIGINT, BIN / "flask-autoconfig", *words],
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )

    def echoes() -> bool:
        return bool(termios.tcgetattr(inside)[3] & termios.ECHO)

    try:
        until(lambda: not echoes())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert echoes()
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(inside)
