"""Worlds that are right stay green; logins; what a person, a program and cron are told."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from paper import Paper
from strangers import at_terminal
from test_check_mistakes import (
    ANYWHERE,
    AT_CONFIG,
    POX,
    WEB_NAMES,
    at_web,
    edited,
    expired,
    good,
    lead,
    mail,
    page,
    says,
    self_signed,
)
from world import (
    ADDRESSES,
    BIND,
    DAV,
    DEAD,
    DOMAIN,
    ELSEWHERE,
    HOSTER,
    HOSTER_WEB,
    IMAP,
    OTHER_NAMES,
    PASSWORD,
    SITE,
    SMTP,
    TOML,
    USER,
    WEB,
    Asked,
    Checking,
    Real,
    app_of,
    postfix,
    talks,
    validating,
)

pytestmark = pytest.mark.world
ALL = [
    *("Thunderbird", "Thunderbird for Android (K-9)", "Evolution", "Kontact"),
    *("Delta Chat", "Outlook (classic)", "iPhone", "PACC", "GNOME Online Accounts"),
    *("SnappyMail", "FairEmail", "Calendars"),
]


@pytest.fixture
def here(on_paper: Paper) -> Paper:
    return on_paper


def wrong(report: dict[str, Any]) -> list[str]:
    return [
        f"{it['status']} {it['subject']}: {it['seen']}"
        for it in report["findings"]
        if it["status"] in ("warning", "failure")
    ]


def works(report: dict[str, Any]) -> dict[str, bool | None]:
    return {it["client"]: it["works"] for it in report["clients"]}


# --- Right worlds ---------------------------------------------------------------------


@pytest.mark.world
def test_every_client_works_where_all_is_right_and_real(really: Real) -> None:
    file = really.file
    with really.service(file):
        report = really.check(USER, file=file, names=BIND)
    assert wrong(report) == []
    assert works(report) == dict.fromkeys(ALL, True)
    for client in report["clients"]:
        assert client["stopped_by"] is None
        assert client["sets_up"]
    (kontact,) = [it for it in report["clients"] if it["client"] == "Kontact"]
    assert kontact["sets_up"][0] == {
        "type": "imap",
        "hostname": f"imap.{DOMAIN}",
        "port": 993,
        "socket_type": "SSL",
        "username": "%EMAILADDRESS%",
        "authentication": "password-cleartext",
    }


SITES = {
    "404": says(404, "Not Found here"),
    "403": says(403, "Forbidden"),
    "405": says(405, "Method Not Allowed"),
    "a page for every path": page("<div id=app></div>"),
}


@pytest.mark.parametrize("site", SITES)
def test_a_domain_whose_web_site_knows_nothing_of_mail_is_right(
    here: Paper, site: str
) -> None:
    here.front.answer = lambda it: SITES[site](it) if it.host == DOMAIN else None
    for file in (here.file, None):
        rest = () if file else ("--allow-private",)
        report = here.check(USER, *rest, file=file)
        assert wrong(report) == []
        assert set(works(report).values()) == {True}


def test_submission_by_starttls_is_right(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "starttls.toml"
    line = 'type = "smtp"\nsocket_type = "STARTTLS"'
    file.write_text(TOML.replace('type = "smtp"', line))
    serve(here, file)
    report = here.check(USER, file=file)
    assert wrong(report) == []
    assert set(works(report).values()) == {True}
    alone = here.check(USER, "--allow-private")
    assert wrong(alone) == []


def serve(here: Checking, file: Path) -> None:
    """Let the domain publish what a file says."""
    here.web(ELSEWHERE, here.certificate(*WEB_NAMES), file)
    zone = ADDRESSES.replace(f"IN A {WEB}", f"IN A {ELSEWHERE}")
    here.names.serve(zone + here.records(file))


def test_a_domain_that_publishes_by_well_known_alone_is_right(here: Paper) -> None:
    here.names.serve(ADDRESSES)
    for file in (here.file, None):
        rest = () if file else ("--allow-private",)
        report = here.check(USER, *rest, file=file)
        assert wrong(report) == []
        fares = works(report)
        assert fares["Thunderbird"] is fares["Kontact"] is fares["Delta Chat"] is True
        assert fares["PACC"] is None  # nothing is published for it
        notes = [it for it in report["findings"] if it["status"] == "note"]
        assert f"autoconfig.{DOMAIN}" in {it["subject"] for it in notes} or file is None


def test_a_wildcard_that_leads_to_a_web_site_publishes_nothing(here: Paper) -> None:
    site = here.web(SITE, here.certificate("customer.test"))
    site.answer = says(200, "hello")
    hosts = "autoconfig IN A {0}\nautodiscover IN A {0}\nua-auto-config IN A {0}\n"
    other = "no-such-name-e3b0c442 IN A {0}\n"
    here.names.serve(ADDRESSES + (hosts + other).format(SITE))
    report = here.check(USER, "--allow-private")
    assert wrong(report) == []
    fares = works(report)
    assert fares["Thunderbird"] is fares["Kontact"] is True  # by .well-known
    assert fares["PACC"] is None


def test_a_customer_of_a_hoster_gets_the_hosters_settings(here: Paper) -> None:
    here.names.serve(
        f"$ORIGIN customer.test.\n@ IN MX 1 mx.{HOSTER}.\n"
        f"mx.{HOSTER}. IN A {SITE}\nautoconfig.{HOSTER}. IN A {WEB}\n"
        f"imap.{DOMAIN}. IN A 127.0.0.12\nsmtp.{DOMAIN}. IN A 127.0.0.13\n"
        f"dav.{DOMAIN}. IN A 127.0.0.11\n"
    )

    def answer(asked: Asked) -> Any:
        if asked.host == f"autoconfig.{HOSTER}" and "config-v1" in asked.path:
            asked.host, asked.query = f"autoconfig.{DOMAIN}", ""
            status, headers, body = asked.served()
            name = b"<domain>customer.test</domain><incomingServer"
            return status, headers, body.replace(b"<incomingServer", name, 1)
        return None

    here.front.answer = answer
    report = here.check("fred@customer.test", "--allow-private")
    assert wrong(report) == []
    fares = works(report)
    assert fares["Thunderbird"] is True
    assert fares["Evolution"] is None
    assert HOSTER_WEB != WEB


def test_a_customer_of_a_hoster_needs_no_names_of_his_own(
    here: Paper, tmp_path: Path
) -> None:
    file = tmp_path / "hoster.toml"
    file.write_text(
        TOML.replace(
            f'domains = ["{DOMAIN}"]',
            f'domains = ["customer.test"]\nmx_domains = ["{HOSTER}"]',
        )
    )
    here.names.serve(
        f"$ORIGIN customer.test.\n@ IN MX 1 mx.{HOSTER}.\n"
        f"mx.{HOSTER}. IN A {SITE}\nautoconfig.{HOSTER}. IN A {WEB}\n"
        f"imap.{DOMAIN}. IN A {IMAP}\nsmtp.{DOMAIN}. IN A {SMTP}\n"
        f"dav.{DOMAIN}. IN A {DAV}\n"
    )
    app = app_of(file)

    def answer(asked: Asked) -> Any:
        if asked.host != f"autoconfig.{HOSTER}":
            return None
        base = f"https://{asked.host}/"
        return app("GET", base, asked.path, asked.query, b"")

    here.front.answer = answer
    report = here.check("fred@customer.test", "--allow-private", file=file)
    mail_alone = [it for it in wrong(report) if "caldav" not in it]
    assert mail_alone == []
    assert works(report)["Thunderbird"] is True


def test_a_login_of_each_persons_own_is_not_everybodys(here: Paper) -> None:
    """A site that knows the logins tells each person's, and nobody's to others."""

    def answer(asked: Asked) -> Any:
        if asked.path not in (*ANYWHERE, POX):
            return None
        status, headers, body = asked.served()
        is_freds = USER in unquote(asked.query) or USER.encode() in asked.body
        if is_freds:
            body = body.replace(b"%EMAILADDRESS%", b"u1001")
            body = body.replace(f"<LoginName>{USER}<".encode(), b"<LoginName>u1001<")
        return status, headers, body

    here.front.answer = answer
    report = here.check(USER, "--allow-private")
    assert "for everybody" not in str(report)
    assert works(report)["Thunderbird"] is works(report)["Outlook (classic)"] is True


def test_two_good_servers_of_one_document_are_no_failure(here: Paper) -> None:
    second = (
        '<incomingServer type="imap"><hostname>imap.example.test</hostname>'
        "<port>143</port><socketType>STARTTLS</socketType>"
        "<authentication>password-cleartext</authentication>"
        "<username>%EMAILADDRESS%</username></incomingServer><outgoing"
    )
    answer = edited(("<outgoing", second))
    here.front.answer = lambda it: answer(it) if it.path in ANYWHERE else None
    report = here.check(USER, "--allow-private")
    assert [it for it in report["findings"] if it["status"] == "failure"] == []
    assert works(report)["Evolution"] is True


def test_a_domain_at_exchange_is_told_to_publish_nothing(here: Paper) -> None:
    elsewhere = "autodiscover.exchange.test"
    here.names.serve(
        f"$ORIGIN {DOMAIN}.\n@ IN MX 1 mx.exchange.test.\nmx.exchange.test. IN A {SMTP}\n"
        f"autodiscover IN CNAME {elsewhere}.\n{elsewhere}. IN A {ELSEWHERE}\n"
    )
    made = here.web(ELSEWHERE, here.certificate(elsewhere))

    def answer(asked: Asked) -> Any:
        if not asked.secure:
            return says(302, Location=f"https://{elsewhere}{asked.path}")(asked)
        return says(401, WWW_Authenticate="Basic realm=x")(asked)

    made.answer = answer
    report = here.check(USER, "--allow-private")
    assert [it for it in report["findings"] if it["status"] == "failure"] == []
    seen = [it["seen"] for it in report["findings"] if it["clients"]]
    assert any(f"it leads to {elsewhere}, which wants a login" in it for it in seen)
    assert set(works(report).values()) == {None}


def test_the_files_of_export_lack_nothing(here: Paper, tmp_path: Path) -> None:
    file = here.file
    done = here.invoke("--config", file, "export", tmp_path / "www")
    assert done.exit_code == 0, done.stderr
    types = {
        "config-v1.1.xml": "text/xml",
        "mail-v1.xml": "text/xml",
        "user-agent-configuration.json": "application/json",
        "apple-mail.mobileconfig": "application/x-apple-aspen-config",
    }

    def answer(asked: Asked) -> Any:
        if "autodiscover" in asked.path or "dav" in asked.path:
            return None  # which files cannot answer
        name = asked.path.rpartition("/")[2]
        found = tmp_path / "www" / DOMAIN / asked.path.lstrip("/")
        if name in types and found.is_file():
            return 200, {"Content-Type": types[name]}, found.read_bytes()
        return says(404)(asked)

    here.front.answer = answer
    report = here.check(USER, file=file)
    assert wrong(report) == []
    assert works(report)["iPhone"] is works(report)["PACC"] is True


def test_a_pop3_server_without_capa_has_user_and_pass(
    here: Paper, tmp_path: Path
) -> None:
    behave = talks("+OK hello", ("CAPA", "-ERR what"))
    mail("pop", 995, behave, good(f"pop.{DOMAIN}"))(here)
    file = tmp_path / "pop.toml"
    text = f'\n[[provider.incoming]]\ntype = "pop3"\nhostname = "pop.{DOMAIN}"\n'
    file.write_text(TOML + text)
    report = here.check(DOMAIN, "--unpublished", file=file)
    assert wrong(report) == []
    seen = [it["seen"] for it in report["findings"] if "pop3" in it["subject"]]
    assert any("it offers LOGIN" in it for it in seen)


# --- A real name server that validates ------------------------------------------------


@pytest.mark.world
def test_a_domain_whose_signatures_do_not_hold_is_told_by_name(really: Real) -> None:
    with validating(really.folder / "validating", really.inside, "127.0.0.55"):
        report = really.check(USER, file=really.file, names="127.0.0.55")
    (found,) = [it for it in report["findings"] if it["status"] == "failure"]
    assert "DNSSEC" in found["seen"]
    assert "DS record" in found["cure"]
    assert set(works(report).values()) == {False}


# --- One cause once -------------------------------------------------------------------


def test_an_expired_certificate_is_one_cause_with_all_its_places(here: Paper) -> None:
    names = [
        f"{it}.{DOMAIN}" for it in ("autoconfig", "autodiscover", "ua-auto-config")
    ]
    at_web(expired(*names, DOMAIN))(here)
    report = here.check(USER, file=here.file)
    found = [it for it in report["findings"] if it["status"] == "failure"]
    (cause,) = [it for it in found if "certificate has expired" in it["seen"]]
    for name in names:
        assert f"https://{name}/" in cause["subject"]
    assert f"https://{DOMAIN}/" in cause["subject"]
    assert "PACC" in cause["clients"]
    assert "Kontact" not in cause["clients"] or "Delta Chat" in cause["clients"]


def test_three_domains_on_one_server_ask_it_once(here: Paper, tmp_path: Path) -> None:
    asked: list[bytes] = []

    def count(connection: socket.socket) -> None:
        asked.append(b"somebody came")
        talks("* OK", ("CAPABILITY", "* CAPABILITY AUTH=PLAIN\r\na OK"))(connection)

    mail("imap", 993, count, good(f"imap.{DOMAIN}"))(here)
    file = tmp_path / "three.toml"
    names = f'["{DOMAIN}", "two.test", "three.test"]'
    file.write_text(TOML.replace(f'["{DOMAIN}"]', names))
    options: tuple[str, ...] = (
        "check",
        "--all",
        "--unpublished",
        "--json",
        "--resolver",
        OTHER_NAMES,
    )
    done = here.invoke("--config", str(file), *options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [it["domain"] for it in lines] == [DOMAIN, "two.test", "three.test"]
    assert len(asked) == 1


# --- For people, programs and cron ----------------------------------------------------


def person(here: Paper, *arguments: str, file: Path | None = None) -> Any:
    file = file or here.file
    options = ("--resolver", OTHER_NAMES, "--timeout", "5")
    return here.invoke("--config", str(file), "check", *arguments, *options)


def broken(here: Paper) -> None:
    here.front.answer = lambda it: (
        says(500)(it) if not it.query and "config-v1" in it.path else None
    )


def test_the_verdict_comes_first(here: Paper) -> None:
    broken(here)
    done = person(here, USER)
    works_in, fails_in, *rest = done.stdout.splitlines()
    assert works_in.startswith(f"{DOMAIN}  works in Thunderbird, Evolution, Delta Chat")
    assert fails_in.startswith(" " * len(DOMAIN) + "  fails in Thunderbird for Android")
    assert "Kontact: " in fails_in
    assert "without an address the server answers 500" in fails_in
    assert rest[0].startswith("failure  https: without an address")
    assert any(line.strip() == f"at   {AT_CONFIG}" for line in rest)
    assert "(--verbose shows them)" in rest[-1]
    assert done.exit_code == 1


def test_verbose_lists_what_is_well_and_quiet_only_what_is_wrong(here: Paper) -> None:
    assert "it offers LOGIN, PLAIN" in person(here, USER, "--verbose").stdout
    done = person(here, USER, "--quiet")
    assert (done.stdout, done.stderr, done.exit_code) == ("", "", 0)
    told = json.loads(person(here, USER, "--quiet", "--json").stdout)
    assert told["findings"] == []
    assert all(it["works"] for it in told["clients"])
    broken(here)
    done = person(here, USER, "--quiet")
    assert "without an address" in done.stdout
    assert "--verbose" not in done.stdout
    assert done.stderr == ""


def test_the_form_for_programs_stays(here: Paper) -> None:
    broken(here)
    report = here.check(USER, file=here.file)
    assert list(report) == ["domain", "clients", "findings"]
    assert report["domain"] == DOMAIN
    assert [it["client"] for it in report["clients"]] == ALL
    for client in report["clients"]:
        assert list(client) == ["client", "works", "sets_up", "stopped_by"]
        assert (client["works"] is False) == bool(client["stopped_by"])
    for found in report["findings"]:
        assert list(found) == [
            *("code", "status", "step", "subject", "seen", "why", "cure", "clients")
        ]
        assert found["status"] in ("ok", "note", "warning", "failure")
    order = [it["status"] for it in report["findings"]]
    worst_first = ["failure", "warning", "note", "ok"]
    assert order == sorted(order, key=worst_first.index)


def test_all_domains_are_checked_side_by_side_for_cron(
    here: Paper, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(TOML.replace(f'["{DOMAIN}"]', f'["{DOMAIN}", "second.test"]'))
    done = person(here, "--all", "--json", file=file)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["domain"], second["domain"]) == (DOMAIN, "second.test")
    assert done.exit_code == 1  # there is no second
    done = person(here, "--all", file=file)
    assert done.stdout.startswith(f"{DOMAIN}  works in ")
    assert "\nsecond.test  " in done.stdout
    assert "there is no such domain in DNS" in done.stdout
    done = person(here, "--all", "--quiet", file=file)
    assert not done.stdout.startswith(DOMAIN)
    assert "second.test  " in done.stdout
    assert person(here, "--all", "--quiet").stdout == ""


def test_what_is_the_same_for_many_domains_is_told_in_full_but_once(
    here: Paper, tmp_path: Path
) -> None:
    """None of these is in DNS, and one dead server is everybody's."""
    names = ("one.test", "two.test", "three.test")
    listed = ", ".join(f'"{it}"' for it in names)
    file = tmp_path / "three.toml"
    file.write_text(TOML.replace(f'["{DOMAIN}"]', f"[{listed}]"))
    lead("imap", DEAD)(here)
    done = person(here, "--all", "--unpublished", file=file)
    assert done.exit_code == 1
    assert done.stdout.count("nothing listens there") == 3
    assert done.stdout.count("why:") == 1
    lines = done.stdout.splitlines()
    same = [it for it in lines if "as for one.test: server imap " in it]
    assert len(same) == 2
    assert (
        done.stderr == "3 domains: 0 are well, 3 fail: one.test, two.test, three.test\n"
    )
    told = person(here, "--all", "--unpublished", "--json", file=file)
    for line in map(json.loads, told.stdout.splitlines()):
        assert [it["why"] for it in line["findings"] if it["status"] == "failure"]
    assert person(here, "--all", "--unpublished", "-q", file=file).stderr == ""


def test_the_sum_is_told_once(here: Paper) -> None:
    done = person(here, USER)
    assert "ok (--verbose shows them)" in done.stdout
    assert done.stderr == ""


def test_all_takes_a_file_and_no_domain(here: Paper, tmp_path: Path) -> None:
    assert person(here, "--all", DOMAIN).exit_code == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert here.invoke("check", "--all").exit_code == 2


def test_another_providers_warnings_are_nobody_elses(
    here: Paper, tmp_path: Path
) -> None:
    file = tmp_path / "other.toml"
    other = TOML.replace(DOMAIN, "other.test").replace(
        '"imap"', '"imap"\nsocket_type = "plain"'
    )
    file.write_text(TOML + other)
    report = here.check(USER, "--unpublished", file=file)
    assert wrong(report) == []


@pytest.mark.world
def test_it_tells_what_it_does_while_it_runs(really: Real) -> None:
    file = str(really.file)
    options = ["--config", file, "check", USER, "--resolver", OTHER_NAMES]
    _, shown = really.inside.call(at_terminal, *options, typed={})
    assert shown.startswith(f"\rchecking {DOMAIN}")
    assert "asking DNS and the web" in shown


@pytest.mark.world
def test_the_worst_world_is_told_within_fifteen_seconds(really: Real) -> None:
    """Every address takes connections and says nothing, or is silent."""

    def silent(connection: socket.socket) -> None:
        connection.recv(10)
        time.sleep(20)

    for port in (443, 80, 993, 465, 143, 587):
        really.listen(ELSEWHERE, port, silent)
    zone = (ADDRESSES + really.zone).splitlines(True)
    text = "".join(zone)
    for address in (WEB, "127.0.0.11", "127.0.0.12", "127.0.0.13"):
        text = text.replace(f"IN A {address}", f"IN A {ELSEWHERE}")
    really.names.serve(text)
    start = time.monotonic()
    file = really.file
    done = really.run(
        *("--config", file, "check", USER, "--resolver", OTHER_NAMES, "--json")
    )
    took = time.monotonic() - start
    report = json.loads(done.stdout)
    assert took < 15 + 5  # and a slow machine
    assert set(works(report).values()) <= {False, None}
    assert any("did not finish in time" in it for it in wrong(report))


# --- Login ----------------------------------------------------------------------------


def log_in(
    here: Checking,
    file: Path,
    *options: str,
    password: str = PASSWORD,
    how: tuple[str, ...] = ("--unpublished", "--json"),
) -> Any:
    """What `check --json` says, or with no --json in `how` the text of it."""
    read, write = os.pipe()
    os.write(write, f"{password}\n".encode())
    os.close(write)
    given = ("--password-fd", str(read), "--resolver", OTHER_NAMES)
    try:
        done = here.invoke("--config", file, "check", USER, *how, *given, *options)
    finally:
        os.close(read)
    assert done.exit_code in (0, 1), done.output
    assert password not in done.output
    return json.loads(done.stdout) if "--json" in how else done.stdout


def logins(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [it for it in report["findings"] if it["step"] == "login"]


@pytest.mark.world
def test_dovecot_and_postfix_let_in_who_knows_the_password(really: Real) -> None:
    told = logins(log_in(really, really.file))
    assert {it["seen"] for it in told} == {f"{USER} is let in"}
    assert [it["subject"].split()[0] for it in told] == ["imap", "smtp"]


def local_part_alone(tmp_path: Path) -> Path:
    """A file that publishes the local part, where the servers want the address."""
    file = tmp_path / "local.toml"
    line = 'username = "%EMAILLOCALPART%"'
    file.write_text(
        TOML.replace('"imap"', f'"imap"\n{line}').replace('"smtp"', f'"smtp"\n{line}')
    )
    return file


def test_a_refused_name_is_tried_once_more_as_the_other_at_one_server(
    here: Paper, tmp_path: Path
) -> None:
    told = logins(log_in(here, local_part_alone(tmp_path), "--yes"))
    first, follows = told
    assert {it["status"] for it in told} == {"failure"}
    assert first["subject"].startswith("imap ")
    assert first["seen"].startswith(
        f"{USER} is let in, the name that is published (fred) is not: a NO "
    )
    assert 'username = "%EMAILADDRESS%"' in first["cure"]
    assert follows["seen"].startswith("fred is refused: ")
    assert "publish the name" in follows["cure"]
    assert "password" not in first["cure"] + follows["cure"]


def test_clients_whose_servers_refuse_the_name_do_not_work(
    here: Paper, tmp_path: Path
) -> None:
    """The domain publishes what this file says."""
    file = local_part_alone(tmp_path)
    serve(here, file)
    report = log_in(here, file, "--yes", how=("--json",))
    told = works(report)
    assert told["Thunderbird"] is told["Evolution"] is told["iPhone"] is False
    assert told["Calendars"]
    first = next(it for it in report["findings"] if it["status"] == "failure")
    assert (
        f"{USER} is let in, the name that is published (fred) is not" in first["seen"]
    )
    assert "Thunderbird" in first["clients"]
    (bird,) = [it for it in report["clients"] if it["client"] == "Thunderbird"]
    assert f"{USER} is let in" in bird["stopped_by"]

    lines = log_in(here, file, "--yes", how=()).splitlines()
    assert lines[0].startswith(f"{DOMAIN}  works in ")
    assert "Calendars" in lines[0]
    assert "Thunderbird" not in lines[0]
    assert "fails in Thunderbird, " in lines[1]
    assert lines[1].count("is let in, the name that is published") == 1
    assert "the login fails at" not in "".join(lines)


@pytest.mark.parametrize(
    "refusal",
    [
        "454 4.7.0 Temporary authentication failure: Connection lost to authentication "
        "server",
        "535 5.7.8 Error: authentication failed: Connection refused to auth socket",
        "451 4.3.0 try again later",
        "535 5.7.8 Error: authentication failed: generic failure",
    ],
)
def test_what_fails_in_the_server_itself_is_not_tried_with_another_name(
    here: Paper, refusal: str
) -> None:
    tried = []

    def behave(connection: socket.socket) -> None:
        tried.append(1)
        talks(
            "220 here",
            ("EHLO", "250-here\r\n250 AUTH PLAIN"),
            ("AUTH PLAIN", "334 "),
            ("AG", refusal),  # \0, and then the name
        )(connection)

    mail("smtp", 465, behave, good(f"smtp.{DOMAIN}"))(here)
    told = logins(log_in(here, here.file, "--yes"))
    let_in, failed = sorted(told, key=lambda it: it["status"] == "failure")
    assert let_in["status"] == "ok"
    assert (
        f"the login of {USER} fails in the server itself: {refusal}" in failed["seen"]
    )
    assert "smtpd_sasl_path" in failed["cure"]
    assert len(tried) == 2  # for what it offers, and for the login


def test_a_server_that_refuses_what_another_takes_is_told_to_look_at_itself(
    here: Paper,
) -> None:
    smtp = talks(
        "220 here",
        ("EHLO", "250-here\r\n250 AUTH PLAIN"),
        ("AUTH PLAIN", "334 "),
        ("AG", "535 5.7.8 Error: authentication failed: (reason unavailable)"),
    )
    mail("smtp", 465, smtp, good(f"smtp.{DOMAIN}"))(here)
    told = logins(log_in(here, here.file, "--yes"))
    assert [it["status"] for it in told] == ["failure", "ok"]
    assert told[0]["why"].startswith(f"imap imap.{DOMAIN}:993")
    assert "takes the same name and password" in told[0]["why"]
    assert "look at the password" not in told[0]["cure"]
    assert "smtpd_sasl_path" in told[0]["cure"]


def test_a_login_without_a_terminal_asks_for_the_descriptor(here: Paper) -> None:
    done = here.invoke("--config", here.file, "check", USER, "--login")
    assert done.exit_code == 2
    assert "--password-fd" in done.stderr
    assert "Warning" not in done.stderr


def test_nobody_is_tried_once_more_unasked(here: Paper, tmp_path: Path) -> None:
    told = logins(log_in(here, local_part_alone(tmp_path)))
    assert len(told) == 2
    assert all(it["status"] == "failure" for it in told)


@pytest.mark.world
def test_a_person_at_a_terminal_is_asked_before_the_other_name_is_tried(
    really: Real, tmp_path: Path
) -> None:
    file = str(local_part_alone(tmp_path))
    options = ["--config", file, "check", USER, "--login", "--unpublished"]
    options += ["--resolver", OTHER_NAMES]
    question = f"Refused. Try once more as {USER} at imap imap.{DOMAIN}:993"
    for answer, again in (("y", True), ("n", False)):
        typed = {"465 SSL: ": PASSWORD, "[y/N]: ": answer}
        code, shown = really.inside.call(at_terminal, *options, typed=typed)
        assert code == 1
        assert question in shown
        assert (f"{USER} is let in" in shown) == again
        assert PASSWORD not in shown


def test_a_wrong_password_is_wrong_under_both_names(
    here: Paper, tmp_path: Path
) -> None:
    file = here.file
    told = logins(log_in(here, file, "--yes", password="wrong-one"))
    assert len([it for it in told if it["status"] == "failure"]) == 2, told
    (again,) = [it for it in told if it["status"] == "note"]
    assert again["seen"].startswith("fred is refused too")


@pytest.mark.world
def test_a_server_that_holds_its_answer_back_is_waited_for(
    really: Real, tmp_path: Path
) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(b"* OK\r\n")
        while line := connection.recv(4096):
            if b"CAPABILITY" in line:
                connection.sendall(b"* CAPABILITY AUTH=PLAIN\r\na OK\r\n")
            elif b"AUTHENTICATE" in line:
                connection.sendall(b"+ \r\n")
            elif b"LOGOUT" not in line:
                time.sleep(3)
                connection.sendall(b"a NO [AUTHENTICATIONFAILED] wrong\r\n")

    mail("imap", 993, slow, good(f"imap.{DOMAIN}"))(really)
    told = logins(log_in(really, really.file, "--timeout", "2"))
    (imap,) = [it for it in told if it["subject"].startswith("imap ")]
    assert "is refused: a NO [AUTHENTICATIONFAILED]" in imap["seen"]


def test_a_login_without_an_answer_is_no_refusal(here: Paper) -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.sendall(b"* OK\r\n")
        while line := connection.recv(4096):
            if b"CAPABILITY" in line:
                connection.sendall(b"* CAPABILITY AUTH=PLAIN\r\na OK\r\n")
            elif b"AUTHENTICATE" in line:
                return

    mail("imap", 993, hang_up, good(f"imap.{DOMAIN}"))(here)
    told = logins(log_in(here, here.file))
    (imap,) = [it for it in told if it["subject"].startswith("imap ")]
    assert f"{USER} gets no answer" in imap["seen"]
    assert "that is no refusal" in imap["why"]


@pytest.mark.world
def test_a_postfix_that_asks_nobody_for_passwords_is_told(
    really: Real, tmp_path: Path
) -> None:
    folder = really.folder / f"postfix-{time.monotonic_ns()}"
    certificate = really.certificate(f"smtp.{DOMAIN}")
    nobody = folder / "nobody"
    with postfix(really.inside, folder, ELSEWHERE, certificate, nobody):
        lead("smtp", ELSEWHERE)(really)
        report = really.check(DOMAIN, "--unpublished", file=really.file)
    (found,) = [it for it in report["findings"] if it["status"] == "failure"]
    assert found["subject"].startswith(f"smtp smtp.{DOMAIN}")


# --- From nothing to all green --------------------------------------------------------


@pytest.mark.world
def test_from_nothing_to_all_green_with_no_hand_edit(
    really: Real, tmp_path: Path
) -> None:
    moved = ADDRESSES.replace(f"IN A {WEB}", f"IN A {ELSEWHERE}")
    really.bind.load("", moved)
    tmp_path.chmod(0o755)
    file = tmp_path / "autoconfig.toml"
    resolver = ("--resolver", f"{BIND}:53")
    done = really.run("init", DOMAIN, "--allow-private", *resolver, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    told = last.partition("next: ")[2]
    assert told == f"flask-autoconfig check --unpublished --resolver {BIND}:53"
    done = really.run(*told.split()[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    text = file.read_text()
    reason = (
        "# it has a customary name; TLS from the first byte; it offers LOGIN, PLAIN"
    )
    assert f"{reason}; its certificate is valid until " in text
    with really.service(file):
        really.bind.load(really.records(file), moved)
        report = really.check(USER, file=file, names=BIND)
    assert wrong(report) == []
    fares = works(report)
    assert fares.pop("Calendars") is None
    assert set(fares.values()) == {True}


def test_init_names_the_file_in_the_next_command(here: Paper, tmp_path: Path) -> None:
    file = tmp_path / "my mail.toml"
    options = ("--allow-private", "--resolver", f"{BIND}:53")
    here.bind.load("")
    done = here.invoke("init", DOMAIN, "-o", file, *options)
    assert f" --config '{file}' check --unpublished" in done.stderr


def test_init_goes_on_over_odd_answers(here: Paper) -> None:
    here.names.load(
        "_imaps._tcp IN SRV 0 0 0 imap\n_pop3s._tcp IN SRV 0 0 995 odd\n",
        "odd IN A 127.0.1.2\n",
    )
    behave = talks("+OK \u20ac", ("CAPA", "+OK\r\n\r\n\x00\r\n."))
    certificate = here.certificate(f"pop.{DOMAIN}")
    here.listen("127.0.1.2", 995, behave, certificate)
    options = ("--allow-private", "--resolver", OTHER_NAMES, "-o", "-")
    done = here.invoke("init", DOMAIN, *options)
    assert done.exit_code == 0, done.stderr
    assert f'hostname = "imap.{DOMAIN}"' in done.stdout


def test_init_prefers_the_server_whose_logins_every_client_can_do(here: Paper) -> None:
    zone = (
        f"_imaps._tcp IN SRV 0 0 993 cram.{DOMAIN}.\n_imaps._tcp IN SRV 1 0 993 imap\n"
    )
    capabilities = "* CAPABILITY LOGINDISABLED AUTH=CRAM-MD5\r\na OK"
    behave = talks("* OK", ("CAPABILITY", capabilities))
    certificate = here.certificate(f"cram.{DOMAIN}")
    here.listen(ELSEWHERE, 993, behave, certificate)
    here.names.load(zone, f"cram IN A {ELSEWHERE}\n")
    options = ("--allow-private", "--resolver", OTHER_NAMES, "-o", "-")
    done = here.invoke("init", DOMAIN, *options)
    assert f'hostname = "imap.{DOMAIN}"' in done.stdout
    assert f"imap cram.{DOMAIN}:993 SSL is left out" in done.stderr


def test_init_says_loudly_that_it_takes_pop3_for_want_of_a_good_certificate(
    here: Paper,
) -> None:
    behave = talks("* OK", ("CAPABILITY", "* CAPABILITY AUTH=PLAIN\r\na OK"))
    certificate = self_signed(f"imap.{DOMAIN}")(here)
    here.listen(ELSEWHERE, 993, behave, certificate)
    addresses = ADDRESSES.replace(f"imap IN A {IMAP}", f"imap IN A {ELSEWHERE}")
    here.names.serve(addresses)
    options = ("--allow-private", "--resolver", OTHER_NAMES, "-o", "-")
    done = here.invoke("init", DOMAIN, *options)
    assert done.exit_code == 0, done.stderr
    loss = f"people get POP3 alone, although there is imap imap.{DOMAIN}:993 SSL"
    assert f"warning: {loss}" in done.stderr
    assert f"# Warning: {loss}" in done.stdout
    assert "self-signed" in done.stdout
    assert f'hostname = "pop.{DOMAIN}"' in done.stdout


def test_init_names_the_servers_that_do_not_answer(here: Paper) -> None:
    records = f"_imaps._tcp IN SRV 0 0 993 dead.{DOMAIN}.\ndead IN A {DEAD}\n"
    here.names.serve(f"$ORIGIN {DOMAIN}.\n$TTL 60\n{records}")
    options = ("--allow-private", "--resolver", OTHER_NAMES, "-o", "-")
    done = here.invoke("init", DOMAIN, *options)
    assert done.exit_code == 1
    assert f"DNS names imap dead.{DOMAIN}:993 SSL, and nobody answers" in done.stderr
    assert "open their ports in the firewall" in " ".join(done.stderr.split())
