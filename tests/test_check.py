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
from paper import IMAP_SAYS, SMTP_SAYS, Paper
from seeds import failing, lead, mail_server, make, says
from services import until
from strangers import HEARING
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


def init(here: Checking, *options: str | Path, domain: str = DOMAIN) -> Result:
    return here.invoke("init", domain, "--resolver", OTHER_NAMES, *options)


def test_check_recommends_init_for_a_domain_that_publishes_nothing(here: Paper) -> None:
    here.names.serve(AT + OWN)
    found = here.check(DOMAIN, "--allow-private")["findings"]
    (failed,) = [each for each in found if each["code"] == "document.none"]
    assert "flask-autoconfig init" in failed["cure"]


# --- init ------------------------------------------------------------------------------


def failed(here: Checking, *options: str | Path, domain: str = DOMAIN) -> str:
    """Run `init`, which writes nothing; returns what stderr shows."""
    done = init(here, *options, domain=domain)
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr


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


def test_init_overwrites_a_file_only_with_force(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine")
    assert "--force" in failed(here, "--allow-private", "-o", file)
    assert file.read_text() == "# mine"
    assert init(here, "--allow-private", "-o", file, "--force").exit_code == 0
    assert load(file).provider


def test_init_writes_no_file_without_servers(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    shown = failed(here, "-o", file, domain="nowhere.test")
    assert "there is no such domain in DNS: look at how it is spelt" in shown
    here.names.serve(f"{DOMAIN}. IN TXT none\n")
    assert "write the file by hand" in failed(here, "-o", file)
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
def test_init_takes(here: Paper, claim: str) -> None:
    row = INIT[claim]
    here.names.serve(AT + row["records"])
    urls = ["hoster.test/mail/config-v1", "live.*/hoster.test"]
    at = "|".join([*urls, *row.get("settings", ())])
    hosted = {"at": at, "reply": 200, "body": SETTINGS, "headers": XML}
    answers = [*row.get("answers", ()), hosted, {"reply": 404}]
    make(here, {"answers": answers})
    for name in row.get("servers", ()):
        mail_server(here, **SERVERS[name])
    done = init(here, "--allow-private", "--timeout", "2", "-o", "-")
    shown = done.stdout + " ".join(done.stderr.split())
    assert done.exit_code == int("hostname =" not in done.stdout)
    assert [words for words in row["has"] if words not in shown] == []
    assert [words for words in row.get("lacks", ()) if words in done.stdout] == []
    for words in row.get("untold", ["customary names such"]):
        assert words not in shown


@pytest.mark.parametrize(
    "body",
    ["", "hello", "<clientConfig/>", "<html", SETTINGS.partition("<outgoing")[0]]
    + [SETTINGS.replace("smtp.gmail.com", "no host"), SETTINGS.replace("OAuth2", "\0")],
)
def test_init_leaves_alone_what_no_client_can_use(here: Paper, body: str) -> None:
    here.names.serve(AT + INIT["what the ISP database says"]["records"] + OWN)
    here.front.answer = says(200, body, Content_Type="text/xml")
    (provider,) = loads(init(here, "--allow-private", "-o", "-").stdout).provider
    assert provider.incoming[0].hostname == f"imap.{DOMAIN}"


def test_init_tells_a_zone_that_dnssec_refuses(here: Paper) -> None:
    here.name_server(OTHER_NAMES, failing("SERVFAIL", 6))
    shown = " ".join(failed(here).split())
    assert "DNSSEC: the signatures are bogus: says it: sign the zone anew" in shown


# --- check --login ----------------------------------------------------------------------


@pytest.mark.world
def test_a_real_login_is_tried_at_each_server(really: Real, toml: Write) -> None:
    file = toml(WITH_POP3)
    for password, outcome in ((PASSWORD, "works"), ("wrong-password", "is refused: ")):
        found = logins(log_in(really, file, password=password))
        types = [each["subject"].partition(" ")[0] for each in found]
        assert types == ["imap", "pop3", "smtp", f"https://dav.{DOMAIN}/"]
        for each in found:
            assert each["seen"].startswith(f"the login of {USER} {outcome}")


@pytest.mark.world
def test_a_login_by_cram_md5(really: Real, toml: Write) -> None:
    line = '"imap"\nauthentication = "password-encrypted"'
    file = toml(TOML.replace('"imap"', line))
    really.dovecot(mechanisms="plain cram-md5")
    lead(really, "imap")
    report = log_in(really, file)
    assert {each["status"] for each in logins(report)} == {"ok"}
    assert "password-encrypted" in str(report)


@pytest.mark.parametrize("kind", ["login", "sending", "sender"])
def test_the_cause_of_a_refusal_follows_its_words(kind: Any) -> None:
    for code, replies in LOGINS[kind].items():
        for reply in replies:
            assert texts.code_of(kind, reply) == code, reply


def test_the_software_of_a_server_follows_its_words() -> None:
    for software, replies in LOGINS["software"].items():
        for reply in replies:
            assert software_of([reply]) == software, reply


@pytest.mark.parametrize("claim", LOGINS["after"])
@pytest.mark.parametrize("has_file", [True, False])
def test_a_login_of_no_use_is_named(here: Paper, claim: str, has_file: bool) -> None:
    command, reply, code = LOGINS["after"][claim]
    type_ = "imap" if command in ("EXAMINE", "AUTHENTICATE") else "smtp"
    port = 993 if type_ == "imap" else 465
    greeting, said = ("* OK", IMAP_SAYS) if type_ == "imap" else ("220 hi", SMTP_SAYS)
    behave = talks(greeting, (command, reply), *said)
    make(here, {"mail": {"at": (type_, port), "behave": behave}})
    how = ("--json", "--allow-private", "--unpublished" if has_file else "--yes")
    found = logins(log_in(here, here.file if has_file else None, how=how))
    (one,) = [each for each in found if each["subject"].startswith(type_)]
    assert one["code"] == code
    assert code == "login.good" or reply[-20:] in one["seen"]
    is_hurt = one["status"] == "failure" and not has_file
    assert ("Thunderbird" in one["clients"]) is is_hurt


@pytest.mark.world
@pytest.mark.parametrize(
    ("more", "code"), LOGINS["postfix"].values(), ids=LOGINS["postfix"]
)
def test_a_useless_real_postfix_is_named(really: Real, more: str, code: str) -> None:
    really.postfix(really.folder / "dovecot/auth-smtp", more)
    lead(really, "smtp")
    assert code in login_codes(log_in(really, really.file))


@pytest.mark.world
def test_a_real_dovecot_without_an_inbox_is_named(really: Real) -> None:
    really.dovecot(more="mail_location = maildir:/proc/nowhere")
    lead(really, "imap")
    assert "login.no-inbox" in login_codes(log_in(really, really.file))


def test_no_password_goes_to_a_server_that_cannot_be_trusted(here: Paper) -> None:
    server = {"at": ("smtp", 465), "offers": "AUTH PLAIN", "names": ["other.test"]}
    make(here, {"mail": server})
    found = log_in(here, here.file)["findings"]
    smtp = [each for each in found if each["subject"].startswith("smtp smtp.")]
    assert smtp[0]["code"] == "tls.name-mismatch"
    assert "login.server-faulty" in [each["code"] for each in smtp]
    assert "login.good" not in [each["code"] for each in smtp]


@pytest.mark.world
def test_ctrl_c_at_the_password_turns_the_echo_on_again(really: Real) -> None:
    words = ["--config", str(really.file), "check", USER, "--login"]
    words += ["--unpublished", "--resolver", OTHER_NAMES]
    leader, inside = pty.openpty()
    process = really.inside.call(
        subprocess.Popen,
        [BIN / "python", "-c", HEARING, BIN / "flask-autoconfig", *words],
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
