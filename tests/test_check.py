"""init, dns and check in a world, and what is really typed at a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.zone
import pytest
from bind import bind
from click.testing import Result
from paper import Paper
from seeds import good, lead, mail, says
from strangers import HEARING, at_terminal
from support import BIN, TWO_DOMAINS, ZONE_HEAD, free_port, program, run, until
from test_check_right import log_in, logins
from world import (
    ADDRESSES,
    DEAD,
    DOMAIN,
    ELSEWHERE,
    OTHER_NAMES,
    PASSWORD,
    TOML,
    USER,
    WEB,
    Checking,
    Real,
    real_dovecot,
    talks,
)

from flask_autoconfig.config.reading import load, loads

Findings = list[dict[str, Any]]
TIMEOUT = ("--timeout", "6")  # machines are shared, and slow at times
# The file with a POP3 server too.
WITH_POP3 = TOML.replace(
    "[[provider.outgoing]]",
    f'[[provider.incoming]]\ntype = "pop3"\nhostname = "pop.{DOMAIN}"\n\n'
    "[[provider.outgoing]]",
)
INSIDE = ("--resolver", OTHER_NAMES, "--allow-private")


@pytest.fixture
def here(on_paper: Paper) -> Paper:
    return on_paper


Ask = Callable[..., Findings]


@pytest.fixture
def findings(here: Paper, tmp_path: Path) -> Ask:
    """What `check` finds, with a file of this text; only what is not ok by default."""

    def ask(text: str, *options: str, ok: bool = False) -> Findings:
        file = tmp_path / "autoconfig.toml"
        file.write_text(text)
        found: Findings = here.check(DOMAIN, *options, file=file)["findings"]
        assert all(
            it["why"] and it["cure"] for it in found if it["status"] == "failure"
        )
        return [it for it in found if ok or it["status"] in ("warning", "failure")]

    return ask


def only(found: Findings) -> dict[str, Any]:
    assert len(found) == 1, found
    return found[0]


def codes(found: Findings, status: str = "failure") -> list[str]:
    return [it["code"] for it in found if it["status"] == status]


def init(here: Checking, *options: str | Path, domain: str = DOMAIN) -> Result:
    return here.invoke("init", domain, "--resolver", OTHER_NAMES, *options)


# --- Without a file ----------------------------------------------------------------------


def test_without_a_file_what_is_published_is_checked(here: Paper) -> None:
    done = here.invoke("check", USER, "-v", *INSIDE)
    assert done.exit_code == 0, done.stdout
    assert f"imap imap.{DOMAIN}:993 SSL: it offers LOGIN, PLAIN" in done.stdout
    assert "failure" not in done.stdout
    assert "\x1b[" not in done.stdout


def test_a_domain_with_nothing_published_is_told_what_to_do(here: Paper) -> None:
    here.names.serve(ADDRESSES.replace(f"IN A {WEB}", f"IN A {DEAD}"))
    found = here.check(DOMAIN, "--allow-private")["findings"]
    failed = [it for it in found if it["status"] == "failure"]
    assert any("flask-autoconfig init" in it["cure"] for it in failed)


# --- init ------------------------------------------------------------------------------


def test_init_takes_the_safest_server_of_each_kind(here: Paper) -> None:
    here.names.load("")
    here.front.answer = says(404)
    done = init(here, "--allow-private", "-o", "-")
    assert done.exit_code == 0
    (provider,) = loads(done.stdout).provider
    found = [
        (it.type, it.hostname, it.port, it.socket_type) for _, it in provider.servers
    ]
    assert found == [
        ("imap", f"imap.{DOMAIN}", 993, "SSL"),
        ("pop3", f"pop.{DOMAIN}", 995, "SSL"),
        ("smtp", f"smtp.{DOMAIN}", 465, "SSL"),
    ]
    assert "imap imap.example.test:143 STARTTLS is left out" in done.stderr
    assert f"MX {DOMAIN}: mx.{DOMAIN}" in done.stderr


def test_init_goes_by_srv_records(here: Paper) -> None:
    done = init(here, "--allow-private", "-o", "-")
    (provider,) = loads(done.stdout).provider
    assert provider.calendar[0].url == f"https://dav.{DOMAIN}/"


def test_init_leaves_an_odd_url_out_and_says_so(here: Paper) -> None:
    here.names.load(
        "_caldavs._tcp IN SRV 0 0 443 dav.example.test.\n"
        '_caldavs._tcp IN TXT "path=/a b"\n'
        "_carddavs._tcp IN SRV 0 0 443 _dav.example.test.\n"
        "_jmap._tcp IN SRV 0 0 443 dav.example.test.\n"
    )
    done = init(here, "--allow-private", "-o", "-")
    assert done.exit_code == 0, done.stderr
    assert f"note: caldav https://dav.{DOMAIN}/a b is left out: " in done.stderr
    assert (
        f"note: carddav https://_dav.{DOMAIN}/.well-known/carddav is left out: "
        in done.stderr
    )
    (provider,) = loads(done.stdout).provider
    assert not provider.calendar
    assert not provider.address_book
    assert provider.incoming[-1].url == f"https://dav.{DOMAIN}/.well-known/jmap"


def test_init_never_overwrites_a_file_unasked(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("# mine")
    done = init(here, "--allow-private", "-o", file)
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert file.read_text() == "# mine"
    done = init(here, "--allow-private", "-o", file, "--force")
    assert done.exit_code == 0
    assert load(file).provider


def test_init_that_finds_nothing_says_what_to_do(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    done = init(here, "-o", file, domain="nowhere.test")
    assert done.exit_code == 1
    assert "there is no such domain in DNS: look at how it is spelt" in done.stderr
    assert not file.exists()


@pytest.mark.world
def test_init_of_a_domain_without_servers_says_what_to_do() -> None:
    with bind(DOMAIN) as server:
        done = run("init", DOMAIN, "-o", "-", "--resolver", server.resolver, *TIMEOUT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "write the file by hand" in done.stderr


def test_init_without_a_name_server_says_so_at_once() -> None:
    nobody = ("--resolver", "192.0.2.1", "--timeout", "0.2")
    done = run("init", DOMAIN, "-o", "-", *nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "no name server answers" in done.stderr
    assert "--resolver" in done.stderr


def test_init_leaves_out_what_the_domain_says_it_does_not_offer(here: Paper) -> None:
    here.names.load("_pop3s._tcp IN SRV 0 0 0 .\n_imaps._tcp IN SRV 0 0 993 imap\n")
    done = init(here, "--allow-private", "-o", "-")
    (provider,) = loads(done.stdout).provider
    assert [it.type for it in provider.incoming] == ["imap"]
    assert (
        f"note: pop3 pop.{DOMAIN}:995 SSL is left out: _pop3s._tcp.{DOMAIN} in DNS says"
        in done.stderr
    )


def test_init_looks_for_nothing_before_it_knows_where_to_write(tmp_path: Path) -> None:
    file = tmp_path / "nowhere/mine.toml"
    done = run("init", DOMAIN, "-o", file, "--resolver", "192.0.2.1")
    assert done.returncode == 1
    assert f"{file}: cannot write it: {file.parent}: No such file" in done.stderr
    assert "DNS" not in done.stderr


def test_init_publishes_encrypted_passwords_only_where_nothing_else_is_offered(
    here: Paper,
) -> None:
    mail("imap", 993, CRAM_ALONE, good(f"imap.{DOMAIN}"))(here)
    done = init(here, "--allow-private", "-o", "-")
    (provider,) = loads(done.stdout).provider
    assert provider.incoming[0].authentication == ("password-encrypted",)
    assert provider.outgoing[0].authentication == ("password-cleartext",)


CRAM_ALONE = talks(
    "* OK", ("CAPABILITY", "* CAPABILITY LOGINDISABLED AUTH=CRAM-MD5\r\na OK")
)


def test_init_of_something_that_is_no_domain_is_wrong_usage() -> None:
    assert run("init", "not a domain").returncode == 2
    assert run("init", "192.0.2.1").returncode == 2
    assert run("init", "example.com", "--resolver", "x:y:z").returncode == 2


# --- dns -------------------------------------------------------------------------------


@pytest.mark.world
def test_the_zone_is_one_for_dnspython_and_for_bind(
    here: Paper, tmp_path: Path
) -> None:
    zone = ZONE_HEAD + here.zone
    parsed = dns.zone.from_text(zone, origin=DOMAIN)
    target = parsed.find_rdataset("_imaps._tcp", "SRV")[0]
    assert (target.priority, target.port, str(target.target)) == (0, 993, "imap")
    assert str(parsed.find_rdataset("_imap._tcp", "SRV")[0].target) == "."
    for label in ("autoconfig", "autodiscover", "ua-auto-config"):
        assert str(parsed.find_rdataset(label, "CNAME")[0].target) == "www"
    (path,) = parsed.find_rdataset("_caldavs._tcp", "TXT")[0].strings
    assert path == b"path=/"
    (tmp_path / "zone").write_text(zone)
    subprocess.run(
        [program("named-checkzone"), DOMAIN, str(tmp_path / "zone")],
        check=True,
        capture_output=True,
    )


def test_every_exact_domain_has_a_zone(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS.replace('"example2.com"', '"example2.com", "*.x.test"'))
    done = run("--config", file, "dns", "--target", "www.example.com", "--json")
    zones = json.loads(done.stdout)
    assert list(zones) == ["example.com", "example2.com"]
    assert zones["example.com"]["certificate_names"] == [
        "autoconfig.example.com",
        "autodiscover.example.com",
        "ua-auto-config.example.com",
        "example.com",
    ]
    done = run("--config", file, "dns", "a.x.test", "--target", "www.example.com")
    assert "$ORIGIN a.x.test." in done.stdout


def test_the_days_of_a_change_over_have_both_digests(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(TWO_DOMAINS)
    new.write_text(TWO_DOMAINS.replace("imap.", "mail."))
    options = ("dns", "example.com", "--target", "www.example.com")
    first = _digests(run("--config", old, *options).stdout)
    second = _digests(run("--config", new, *options).stdout)
    both = _digests(run("--config", new, *options, "--previous", old).stdout)
    assert len(first) == len(second) == 1
    assert both == [*second, *first]


def _digests(zone: str) -> list[str]:
    return [line for line in zone.splitlines() if line.startswith("_ua-auto-config ")]


def test_dns_of_a_domain_that_is_not_in_the_file_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    done = run("--config", file, "dns", "nowhere.test", "--target", "www.example.com")
    assert done.returncode == 1
    assert "the file does not serve it" in done.stderr
    for target in ("a b", "192.0.2.1"):
        assert run("--config", file, "dns", "--target", target).returncode == 2


# --- check -------------------------------------------------------------------------------


def test_a_wrong_port_is_told_with_the_right_one(findings: Ask) -> None:
    found = only(
        findings(TOML.replace('"imap"', '"imap"\nport = 994'), "--unpublished")
    )
    assert found["code"] == "server.wrong-port"
    assert "port = 993" in found["cure"]


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ('type = "imap"\nport = 143\nsocket_type = "SSL"', 'socket_type = "STARTTLS"'),
        ('type = "imap"\nport = 993\nsocket_type = "STARTTLS"', 'socket_type = "SSL"'),
    ],
)
def test_wrong_encryption_is_told_with_the_right_one(
    findings: Ask, line: str, cure: str
) -> None:
    text = TOML.replace('type = "imap"', line)
    found = only(
        [it for it in findings(text, "--unpublished") if it["status"] == "failure"]
    )
    assert found["subject"].startswith(f"imap imap.{DOMAIN}")
    assert cure in found["cure"]


SUBMITS = talks("220 here", ("EHLO", "250 AUTH PLAIN"))


@pytest.mark.parametrize(
    ("name", "days", "status", "code"),
    [
        ("smtp", -3, "failure", "tls.expired"),
        ("other", 90, "failure", "tls.name-mismatch"),
        ("smtp", 3, "warning", "tls.ends-soon"),
    ],
)
def test_a_submission_servers_bad_certificate_is_told(
    here: Paper, findings: Ask, name: str, days: int, status: str, code: str
) -> None:
    mail("smtp", 465, SUBMITS, good(f"{name}.{DOMAIN}", days=days))(here)
    found = only(findings(TOML, "--unpublished"))
    place = f"smtp smtp.{DOMAIN}:465 SSL"
    assert (found["subject"], found["status"], found["code"]) == (place, status, code)


def test_a_method_that_is_published_and_not_offered_is_told(findings: Ask) -> None:
    text = TOML.replace('"imap"', '"imap"\nauthentication = "password-encrypted"')
    found = only(
        [it for it in findings(text, "--unpublished") if it["status"] == "failure"]
    )
    assert found["code"] == "server.method-not-offered"
    assert 'authentication = "password-cleartext"' in found["cure"]


PLAIN = TOML.replace('"imap"', '"imap"\nport = 143\nsocket_type = "plain"')
STARTTLS = TOML.replace('"imap"', '"imap"\nport = 143\nsocket_type = "STARTTLS"')


def test_logindisabled_is_told(here: Paper, findings: Ask) -> None:
    capable = "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na OK"
    mail("imap", 143, talks("* OK", ("CAPABILITY", capable)))(here)
    assert "LOGINDISABLED" in [it["seen"] for it in findings(PLAIN, "--unpublished")]


def test_passwords_before_encryption_are_told(here: Paper, findings: Ask) -> None:
    capable = ("CAPABILITY", "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\na OK")
    behave = talks("* OK", capable, inside=talks("", capable))
    certificate = here.certificate(f"imap.{DOMAIN}")
    here.listen(ELSEWHERE, 143, behave, certificate, at_once=False)
    lead("imap", ELSEWHERE)(here)
    found = findings(STARTTLS, "--unpublished")
    assert "it takes passwords before encryption too" in [it["seen"] for it in found]


def test_a_server_without_encryption_is_told(here: Paper, findings: Ask) -> None:
    capable = ("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK")
    mail("imap", 143, talks("* OK", capable))(here)
    found = findings(PLAIN, "--unpublished")
    assert "unencrypted" in [it["seen"] for it in found if it["step"] == "server"]


def test_a_calendar_server_that_is_not_there_is_told(
    here: Paper, findings: Ask
) -> None:
    text = TOML.replace("https://dav.", "https://imap.")
    found = only(findings(text, "--unpublished"))
    assert (found["status"], found["subject"]) == ("failure", f"https://imap.{DOMAIN}/")


def test_an_mx_host_that_is_not_below_mx_domains_is_told(
    here: Paper, findings: Ask
) -> None:
    text = TOML.replace("domains =", 'mx_domains = ["other.test"]\ndomains =')
    found = [it for it in findings(text) if it["subject"].endswith(" MX")]
    assert only(found)["seen"] == f"mx.{DOMAIN}: none is below mx_domains"


@pytest.mark.world
def test_a_terminal_gets_colours_and_types_the_password_unseen(
    really: Real, tmp_path: Path
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(WITH_POP3)
    options = ["--config", str(file), "check", USER, "--login", "--unpublished"]
    options += ["--resolver", OTHER_NAMES, *TIMEOUT]
    typed = {f"smtp smtp.{DOMAIN}:465 SSL: ": PASSWORD}
    code, shown = really.inside.call(at_terminal, *options, typed=typed)
    assert code == 0, shown
    assert f"Password of {USER} at imap imap.{DOMAIN}:993 SSL, pop3 " in shown
    assert f"the login of {USER} works" in " ".join(shown.split())
    assert PASSWORD not in shown
    assert "\x1b[32m" in shown


@pytest.mark.world
def test_ctrl_c_at_the_password_gives_the_terminal_its_echo_back(really: Real) -> None:
    words = ["--config", str(really.file), "check", USER, "--login"]
    words += ["--unpublished", "--resolver", OTHER_NAMES, *TIMEOUT]
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


def test_a_document_that_differs_from_the_file_is_told(
    here: Paper, findings: Ask
) -> None:
    text = TOML.replace(f"imap.{DOMAIN}", f"dav.{DOMAIN}")
    found = findings(text)
    seen = [it["seen"] for it in found if it["step"] == "document"]
    wanted = f"incoming[0].hostname is imap.{DOMAIN}, the file says dav.{DOMAIN}"
    assert wanted in seen
    differing = "".join(it["subject"] for it in found if it["step"] == "document")
    assert "/autodiscover/autodiscover.xml" in differing
    assert f"https://ua-auto-config.{DOMAIN}/" in differing


def test_a_missing_name_is_told(here: Paper, findings: Ask) -> None:
    lines = here.zone.splitlines(True)
    here.names.load("".join(it for it in lines if not it.startswith("autoconfig ")))
    assert findings(TOML) == []  # the .well-known URL still works
    found = findings(TOML, ok=True)
    told = only([it for it in found if it["subject"] == f"autoconfig.{DOMAIN}"])
    assert told["status"] == "note"
    assert "publish a CNAME" in told["cure"]
    here.front.answer = says(502)
    assert codes(findings(TOML))[0] == "http.no-upstream"


def test_an_srv_record_for_what_is_not_offered_is_told(
    here: Paper, findings: Ask
) -> None:
    here.names.load(
        here.zone.replace(
            "_imap._tcp IN SRV 0 0 0 .", f"_imap._tcp IN SRV 0 1 143 imap.{DOMAIN}."
        )
    )
    found = only(findings(TOML))
    assert found["seen"].endswith("the file says “not offered”")


def test_missing_srv_records_are_noted_and_a_missing_digest_stops_pacc(
    here: Paper, findings: Ask
) -> None:
    names = [
        line for line in here.zone.splitlines(True) if "CNAME" in line or "$" in line
    ]
    here.names.load("".join(names))
    found = findings(TOML, ok=True)
    seen = {(it["status"], it["seen"]) for it in found}
    assert {("note", "there is none"), ("failure", "there is no digest")} <= seen
    hurt = [str(it["clients"]) for it in found if it["status"] == "failure"]
    assert hurt == ["['PACC']"]


def test_a_name_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    resolver = ("--resolver", f"127.0.0.1:{free_port()}", "--timeout", "0.2")
    done = run("--config", file, "check", "example.com", "--json", *resolver)
    assert done.returncode == 1
    found = json.loads(done.stdout)["findings"]
    assert any("no name server answers" in it["seen"] for it in found)


# --- check: the document by each client's rules -------------------------------------------


def test_a_foreign_document_is_judged_by_each_clients_rules(here: Paper) -> None:
    document = (
        '\ufeff<clientConfig version="1.1"><emailProvider id="example.test">'
        '<domain>example.test</domain><incomingServer type="imap" x="y">'
        "<hostname> imap.example.test</hostname><port>993</port>"
        "<socketType>SSL</socketType><username>%EMAILADDRESS%</username>"
        "<authentication>password-encrypted</authentication></incomingServer>"
        '<outgoingServer type="smtp"><hostname>smtp.example.test</hostname>'
        "<port>465</port><socketType>SSL</socketType><username>a&amp;b</username>"
        "<authentication>password-cleartext</authentication></outgoingServer>"
        "</emailProvider></clientConfig>"
    )
    xml = {"Content-Type": "text/xml"}
    here.front.answer = lambda it: (
        (200, xml, document.encode())
        if it.secure and it.path == "/mail/config-v1.1.xml"
        else says(404)(it)
    )
    report = here.check(DOMAIN, "--allow-private")
    said = {
        (" ".join(it["clients"]), it["seen"].replace(f"{it['clients'][0]}: ", "")[:25])
        for it in report["findings"]
        if it["step"] == "document" and it["status"] == "warning"
    }
    # Kontact finds no settings in it, and so it is not warned about it as well.
    unusable = [it for it in report["findings"] if it["code"] == "document.unusable"]
    assert "Kontact" in {name for it in unusable for name in it["clients"]}
    assert said == {
        ("Evolution", "a byte order mark stands "),
        ("Kontact and Evolution", "incoming[0].authenticatio"),
        ("Delta Chat", "outgoing[0].username: it "),
        ("Every client", "outgoing[0].username: eve"),
    }


# --- check: login ----------------------------------------------------------------------


@pytest.mark.world
def test_a_real_login_is_tried_at_each_server(really: Real, tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(WITH_POP3)
    told = logins(log_in(really, file))
    assert [it["subject"].split()[0] for it in told] == ["imap", "pop3", "smtp"]
    assert {it["seen"] for it in told} == {f"the login of {USER} works"}


@pytest.mark.world
def test_a_wrong_password_is_told_and_shown_nowhere(
    really: Real, tmp_path: Path
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(WITH_POP3)
    told = logins(log_in(really, file, password="wrong-password"))
    assert len(told) == 3
    assert all(it["seen"].startswith(f"{USER} is refused: ") for it in told)


@pytest.mark.world
def test_a_login_by_cram_md5(really: Real, tmp_path: Path) -> None:
    certificate = really.certificate(f"imap.{DOMAIN}")
    file = tmp_path / "autoconfig.toml"
    line = '"imap"\nauthentication = "password-encrypted"'
    file.write_text(TOML.replace('"imap"', line))
    options = {"mechanisms": "plain cram-md5"}
    folder = really.folder / "cram"
    with real_dovecot(really.inside, folder, certificate, ELSEWHERE, **options):
        lead("imap", ELSEWHERE)(really)
        told = log_in(really, file)
    assert {it["status"] for it in logins(told)} == {"ok"}
    assert "password-encrypted" in str(told)


def test_no_password_goes_to_a_server_that_cannot_be_trusted(here: Paper) -> None:
    mail("smtp", 465, SUBMITS, good("other.test"))(here)
    told = log_in(here, here.file)["findings"]
    smtp = [it for it in told if it["subject"].startswith("smtp smtp.")]
    assert smtp[0]["code"] == "tls.name-mismatch"
    (login,) = [it for it in smtp if it["step"] == "login"]
    assert (login["status"], login["seen"]) == ("warning", "not tried")


def test_login_without_an_address_is_wrong_usage(here: Paper) -> None:
    done = here.invoke("--config", here.file, "check", DOMAIN, "--login")
    assert done.exit_code == 2
