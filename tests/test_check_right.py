"""Right worlds have no problems; logins; the report for people, programs and cron."""

import hashlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from paper import Every, Paper, World, own_url
from seeds import (
    AT_CONFIG,
    IMAP_NAME,
    SMTP_NAME,
    checked,
    dav,
    lead,
    limited,
    mail_server,
    make,
    responds,
)
from services import typed
from strangers import at_terminal
from support import Patch, replaced, tables
from werkzeug.datastructures import Authorization
from world import (
    ADDRESSES,
    BIND,
    DAV,
    DEAD,
    DOMAIN,
    ELSEWHERE,
    IMAP,
    OTHER_NAMES,
    PASSWORD,
    SMTP,
    TOML,
    USER,
    WEB,
    Answer,
    FrontRequest,
    Real,
    talks,
    validating,
)

from flask_autoconfig.tools.check import run

pytestmark = pytest.mark.world
ALL = [
    *("Thunderbird", "Thunderbird for Android (K-9)", "Evolution", "Kontact"),
    *("Delta Chat", "Outlook (classic)", "iPhone", "PACC", "GNOME Online Accounts"),
    *("SnappyMail", "FairEmail", "Mailspring", "Calendars"),
]
Report = dict[str, Any]
IMAP_ACCOUNT = {  # as clients set it up
    "type": "imap",
    "hostname": IMAP_NAME,
    "port": 993,
    "socket_type": "SSL",
    "username": "%EMAILADDRESS%",
    "authentication": "password-cleartext",
}


def problems(report: Report) -> list[str]:
    return [
        f"{found['status']} {found['subject']}: {found['seen']}"
        for found in report["findings"]
        if found["status"] in ("warning", "failure")
    ]


def failures(report: Report) -> list[dict[str, Any]]:
    return [found for found in report["findings"] if found["status"] == "failure"]


def works(report: Report) -> dict[str, bool | None]:
    return {row["client"]: row["works"] for row in report["clients"]}


def codes(report: Report) -> list[str]:
    return [found["code"] for found in report["findings"]]


def written(tmp_path: Path, *edits: tuple[str, str], more: str = "") -> Path:
    """The usual file with replacements and further text."""
    file = tmp_path / "other.toml"
    file.write_text(replaced(TOML + more, *edits))
    return file


# --- Right worlds ---------------------------------------------------------------------


def publish(world: Paper, file: Path, *names: str) -> None:
    """Let the domain publish what a file says, with a certificate of *names*, or any."""
    before = {"front": world.front, "zone": world.zone}
    world.stack.callback(vars(world).update, before)
    certificate = world.certificate(*names) if names else Every()
    world.front = world.web(WEB, certificate, file)
    world.zone = world.records(file)
    world.names.load(world.zone)


def of_all(world: Paper, file: Path, *options: str) -> list[Report]:
    result = person(world, "--all", "--json", *options, file=file)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_thirty_domains_ask_few_questions_twice(world: Paper, tmp_path: Path) -> None:
    names = [f"d{number}.{DOMAIN}" for number in range(30)]
    served, queries = world.names.respond, []

    def respond(query: Any) -> Any:
        queries.append(str(query.question[0]))
        return served(query)

    world.name_server(OTHER_NAMES, respond)
    mail_server(world, offers="AUTH=PLAIN", address=IMAP)
    zones = (f"$ORIGIN {name}.\n@ IN MX 1 mx.{DOMAIN}.\n" for name in names)
    world.names.load(ADDRESSES, *zones)
    reports = of_all(world, written(tmp_path, (f'["{DOMAIN}"]', json.dumps(names))))
    assert [report["domain"] for report in reports] == names
    assert len(queries) < 1.1 * len(set(queries))  # some are asked at the same moment
    assert f"d29.{DOMAIN}. IN MX" in queries
    assert len(world.connections) == 2  # the second as a client of TLS 1.2


def assert_texts(report: Report, row: dict[str, Any]) -> None:
    """Assert the parts of findings and the verdicts of clients that a row has."""
    for code, parts in row.get("texts", {}).items():
        (found, *_) = [item for item in report["findings"] if item["code"] == code]
        texts = " ".join(found[key] for key in ("subject", "seen", "why", "cure"))
        assert [part for part in parts if part not in texts] == []
    fares = works(report)
    assert {fares[client] for client in row.get("works", ())} <= {True}
    assert {fares[client] for client in row.get("fails", ())} <= {False}
    assert {fares[client] for client in row.get("unknown", ())} <= {None}


RIGHT = tables("check_right.toml")


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_wrong_with(world: Paper, tmp_path: Path, name: str) -> None:
    row = RIGHT[name]
    if names := row.get("published"):
        file = written(tmp_path, *row["file"].items())
        publish(world, file, *([] if names is True else names))
    make(world, row)
    for way in row.get("ways", ("file", "none")):
        report = checked(world, row, tmp_path, with_file=way == "file")
        if not row.get("faulty"):
            assert (failures if row.get("warned") else problems)(report) == []
        assert "None" not in str([finding["seen"] for finding in report["findings"]])
        fares = works(report)
        if "all" in row:
            assert set(fares.values()) == {True if row["all"] is True else None}
        assert_texts(report, row)
        assert {*row.get("codes", ())} <= {*codes(report)}
        assert {*row.get("no_codes", ())}.isdisjoint(codes(report))


NO_TIME = f"warning {DOMAIN}: the check had no time left for all of its questions"


def test_a_check_without_time_states_nothing(world: Paper, monkeypatch: Patch) -> None:
    monkeypatch.setattr(run, "_TIMEOUTS", 0)
    for file in (world.file, None):
        assert problems(world.check(USER, "--allow-private", file=file)) == [NO_TIME]


def test_many_domains_at_limited_servers_are_right(
    world: Paper, tmp_path: Path
) -> None:
    names = [DOMAIN, *(f"d{number}.test" for number in range(3))]
    file = written(tmp_path, (f'["{DOMAIN}"]', json.dumps(names)))
    zone = ADDRESSES + world.zone
    publish(world, file)
    world.names.serve("".join(zone.replace(DOMAIN, name) for name in names))
    limited(world, [30, 0.5])
    # The pauses take most of the usual time, and a busy machine the rest.
    reports = of_all(world, file, "--allow-private", "--timeout", "15")
    assert not [
        (found["code"], found["seen"])
        for report in reports
        for found in report["findings"]
        if found["code"].startswith("http.")
    ]


def test_without_the_isp_database_the_verdict_says_so(world: Paper) -> None:
    world.names.serve(ADDRESSES)
    world.front.answer = responds(404)
    options = ("--resolver", OTHER_NAMES, "--timeout", "5", "--allow-private")
    text = world.invoke("check", USER, *options).output
    assert "ISP database could not be asked" in text
    assert "works in no client" not in text


def test_the_files_of_export_lack_nothing(world: Paper, tmp_path: Path) -> None:
    result = world.invoke("--config", world.file, "export", tmp_path / "www")
    assert result.exit_code == 0, result.stderr
    types = {
        ".xml": "text/xml",
        ".json": "application/json",
        ".mobileconfig": "application/x-apple-aspen-config",
    }

    def answer(request: FrontRequest) -> Any:
        if "autodiscover" in request.path.lower() or "dav" in request.path:
            return None  # files cannot answer these requests
        found = tmp_path / "www" / DOMAIN / request.path.lstrip("/")
        if found.suffix in types and found.is_file():
            return 200, {"Content-Type": types[found.suffix]}, found.read_bytes()
        return responds(404)(request)

    world.front.answer = answer
    report = world.check(USER, file=world.file)
    assert problems(report) == []
    assert works(report)["iPhone"] is works(report)["PACC"] is True


def test_the_calendar_of_the_file_stays_where_its_server_redirects(
    world: Paper,
) -> None:
    answers = [{"at": r"test/\?", "to": "/fred/"}, {"calendars": True}]
    make(world, {"when": "at another calendar", "answers": answers})
    report = world.check(USER, file=world.file)
    (calendar,) = report["clients"][ALL.index("Calendars")]["sets_up"]
    assert calendar["url"] == f"https://dav.{DOMAIN}/"


def test_a_domain_whose_signatures_do_not_hold_is_reported(real_world: Real) -> None:
    with validating(real_world.folder / "validating", real_world.inside, "127.0.0.55"):
        report = real_world.check(USER, file=real_world.file, names="127.0.0.55")
    (found,) = failures(report)
    assert "DNSSEC" in found["seen"]
    assert "DS record" in found["cure"]
    assert set(works(report).values()) == {False}


# --- For people, programs and cron ----------------------------------------------------


def person(world: Paper, *arguments: str, file: Path | None = None) -> Any:
    options = ("--resolver", OTHER_NAMES, "--timeout", "5")
    return world.invoke("--config", file or world.file, "check", *arguments, *options)


BROKEN = {"when": "without an address", "response": 500}


def test_the_verdict_comes_first_and_says_whom_a_failure_hurts(world: Paper) -> None:
    world.names.serve(f"{ADDRESSES}{world.zone}".replace(" mx.", " gone."))
    works_in, fails_at, *_ = person(world, USER).stdout.splitlines()
    assert works_in.startswith(f"{DOMAIN}  works in Outlook (classic), iPhone, Thun")
    assert f"fails at {DOMAIN} MX: other mail servers cannot deliver mail" in fails_at
    world.names.load(world.zone)
    make(world, BROKEN)
    result = person(world, USER)
    works_in, fails_in, *rest = result.stdout.splitlines()
    assert works_in.startswith(f"{DOMAIN}  works in Outlook (classic), iPhone, Thun")
    assert fails_in.startswith(" " * len(DOMAIN) + "  fails in Thunderbird for Android")
    assert "Kontact, Mailspring: without an address, the server answers 500" in fails_in
    assert rest[0].startswith("failure  https: without an address")
    assert any(line.strip() == f"at   {AT_CONFIG}" for line in rest)
    assert "ok (--verbose shows them)" in rest[-1]
    assert (result.exit_code, result.stderr) == (1, "")


def test_verbose_shows_good_results_and_quiet_only_problems(world: Paper) -> None:
    assert "offers LOGIN, PLAIN" in person(world, USER, "--verbose").stdout
    result = person(world, USER, "--quiet")
    assert (result.stdout, result.stderr, result.exit_code) == ("", "", 0)
    assert json.loads(person(world, USER, "-q", "--json").stdout)["findings"] == []
    make(world, BROKEN)
    result = person(world, USER, "--quiet")
    assert "without an address" in result.stdout
    assert "--verbose" not in result.stdout
    assert result.stderr == ""


def test_settings_behind_a_login_are_not_told_as_missing(world: Paper) -> None:
    name = "Autodiscover that asks people for their password, as mailcow does"
    make(world, RIGHT[name])
    output = person(world, USER, file=world.file).stdout
    assert "not checked for Outlook (classic): the settings require a login" in output
    assert "nothing is published" not in output


def test_the_form_for_programs_stays(world: Paper) -> None:
    make(world, BROKEN)
    report = world.check(USER, file=world.file)
    assert list(report) == ["domain", "clients", "findings"]
    assert report["domain"] == DOMAIN
    assert list(works(report)) == ALL
    for row in report["clients"]:
        assert list(row) == ["client", "works", "sets_up", "stopped_by"]
        assert (row["works"] is False) == bool(row["stopped_by"])
    assert report["clients"][0]["sets_up"][0] == IMAP_ACCOUNT
    keys = ["code", "status", "step", "subject", "seen", "why", "cure", "clients"]
    assert all(list(found) == keys for found in report["findings"])
    order = [found["status"] for found in report["findings"]]
    assert order == sorted(order, key=["failure", "warning", "note", "ok"].index)


def test_all_domains_are_checked_at_once_for_cron(world: Paper, tmp_path: Path) -> None:
    file = written(tmp_path, (f'["{DOMAIN}"]', f'["{DOMAIN}", "second.test"]'))
    first, second = of_all(world, file)
    assert (first["domain"], second["domain"]) == (DOMAIN, "second.test")
    assert [found["code"] for found in failures(second)] == ["domain.unknown"]
    result = person(world, "--all", file=file)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{DOMAIN}  works in ")
    assert "\nsecond.test  " in result.stdout
    result = person(world, "--all", "--quiet", file=file)
    assert not result.stdout.startswith(DOMAIN)
    assert "second.test  " in result.stdout
    assert person(world, "--all", "--quiet").stdout == ""


def test_a_finding_of_many_domains_is_shown_once(world: Paper, tmp_path: Path) -> None:
    """None of these is in DNS; they share one dead server."""
    names = ["one.test", "two.test", "three.test"]
    file = written(tmp_path, (f'["{DOMAIN}"]', json.dumps(names)))
    lead(world, "imap", DEAD)
    options = ("--all", "--unpublished")
    result = person(world, *options, file=file)
    assert result.exit_code == 1
    assert result.stdout.count("nothing listens there") == 3
    assert result.stdout.count("why:") == 1
    assert result.stdout.count("as for one.test: server imap ") == 2
    assert result.stderr == f"3 domains: 0 work, 3 fail: {', '.join(names)}\n"
    for report in of_all(world, file, "--unpublished"):
        assert all(found["why"] for found in failures(report))
    assert person(world, *options, "-q", file=file).stderr == ""


def test_warnings_of_another_provider_are_left_out(
    world: Paper, tmp_path: Path
) -> None:
    second = TOML.replace(DOMAIN, "other.test")
    second = second.replace('"imap"', '"imap"\nsocket_type = "plain"')
    file = written(tmp_path, more=second)
    assert problems(world.check(USER, "--unpublished", file=file)) == []


def test_the_worst_world_is_reported_within_fifteen_seconds(real_world: Real) -> None:
    """Every address accepts connections and says nothing, or is silent."""

    def silent(connection: socket.socket) -> None:
        connection.recv(10)
        time.sleep(20)

    for port in (443, 80, 993, 465, 143, 587):
        real_world.listen(ELSEWHERE, port, silent)
    text = ADDRESSES + real_world.zone
    for address in (WEB, DAV, IMAP, SMTP):
        text = text.replace(f"IN A {address}", f"IN A {ELSEWHERE}")
    real_world.names.serve(text)
    start = time.monotonic()
    options = ("check", USER, "--resolver", OTHER_NAMES, "--json")
    result = real_world.run("--config", real_world.file, *options)
    took = time.monotonic() - start
    report = json.loads(result.stdout)
    assert took < 15 + 5  # and a slow machine
    assert set(works(report).values()) <= {False, None}
    assert any("did not finish in time" in problem for problem in problems(report))


# --- Logins ---------------------------------------------------------------------------

UNPUBLISHED = ("--unpublished", "--json")


def log_in(
    world: World,
    file: Path | None,
    *options: str,
    password: str = PASSWORD,
    how: tuple[str, ...] = UNPUBLISHED,
) -> Any:
    """Return what `check --json` prints, or without --json in `how` the text."""
    named = ("--config", file) if file else ()
    with typed(password) as read:
        arguments = ("--password-fd", str(read), "--resolver", OTHER_NAMES)
        address = () if options and options[0].endswith(".test") else (USER,)
        result = world.invoke(*named, "check", *address, *options, *how, *arguments)
    assert result.exit_code in (0, 1), result.output
    assert password not in result.output
    return json.loads(result.stdout) if "--json" in how else result.stdout


def logins(report: Report) -> list[dict[str, Any]]:
    return [found for found in report["findings"] if found["step"] == "login"]


def login_codes(report: Report) -> list[str]:
    return [found["code"] for found in logins(report)]


@pytest.fixture
def local_parts(tmp_path: Path) -> Path:
    """A file that publishes the local part, where the servers want the address."""
    key = 'username = "%EMAILLOCALPART%"'
    return written(tmp_path, ('"imap"', f'"imap"\n{key}'), ('"smtp"', f'"smtp"\n{key}'))


LOGINS = tables("check_logins.toml")
CHECKS, AT_CALENDARS = LOGINS["checks"], LOGINS["calendars"]


@pytest.mark.parametrize("name", CHECKS)
def test_a_login(world: Paper, tmp_path: Path, name: str) -> None:
    row = CHECKS[name]
    make(world, row)
    changes, options = row.get("file", {}), row.get("options", [])
    file = None if changes is False else written(tmp_path, *changes.items())
    is_private = row.get("published") or changes is False
    how = ("--json", "--allow-private" if is_private else "--unpublished")
    report = log_in(
        world, file, *options, password=row.get("password", PASSWORD), how=how
    )
    failed = [found["code"] for found in failures(report)]
    assert login_codes(report) == row.get("logins", login_codes(report))
    assert failed == row.get("failures", failed)
    assert_texts(report, row)
    cures = " ".join(found["cure"] for found in logins(report))
    assert row.get("absent", "\0") not in cures
    assert len(world.connections) == row.get("connections", len(world.connections))
    assert world.front.logins == row.get("logged_in", world.front.logins)


def test_clients_fail_where_the_name_is_refused(
    world: Paper, local_parts: Path
) -> None:
    publish(world, local_parts)
    report = log_in(world, local_parts, "--yes", how=("--json",))
    first = failures(report)[0]
    assert first["code"] == "login.wrong-name"
    assert "Thunderbird" in first["clients"]
    assert first["seen"] in report["clients"][ALL.index("Thunderbird")]["stopped_by"]

    lines = log_in(world, local_parts, "--yes", how=()).splitlines()
    assert lines[0].startswith(f"{DOMAIN}  works in ")
    assert "Calendars" in lines[0]
    assert "Thunderbird" not in lines[0]
    assert "fails in Outlook (classic), iPhone, Thunderbird, " in lines[1]
    assert lines[1].count("accepts the user name") == 1
    assert "the login fails at" not in "".join(lines)


def test_a_server_that_wants_to_know_its_client_opens_the_inbox(world: Paper) -> None:
    """As 163.com, which answers "Unsafe Login" otherwise."""

    received: list[str] = []
    offers = ("CAPABILITY", "* CAPABILITY IMAP4rev1 ID AUTH=PLAIN\r\na OK")
    behave = talks("* OK", offers, ("AUTH", "+ "), ("", "a OK"), received=received)
    make(world, {"mail": {"behave": behave}})
    assert login_codes(log_in(world, world.file)) == ["login.good"] * 3
    commands = [line.split()[1] for line in received if line.startswith("a ")]
    assert commands.index("ID") < commands.index("EXAMINE")


@pytest.mark.parametrize("claim", AT_CALENDARS)
def test_a_login_at_a_calendar_is_tried_there_alone(world: Paper, claim: str) -> None:
    code, response = AT_CALENDARS[claim]
    missing = {"login": True, "at": "/lost/", "response": 404}
    answers = [missing, {"login": True, **response}, {"calendars": True}]
    make(world, {"when": "at another calendar", "answers": answers})
    report = log_in(world, world.file, how=("--json", "--allow-private"))
    assert login_codes(report) == [code, "login.good", "login.good"]
    paths = ["/", "/lost/"] if "lost" in claim else ["/"]
    assert world.front.logins == [f"dav.{DOMAIN}{path}" for path in paths]
    clients = [f["clients"] for f in failures(report) if f["step"] == "login"]
    assert clients == [["Calendars"]] * (code != "login.not-possible")


@pytest.mark.parametrize(
    ("password", "code"),
    [(PASSWORD, "login.good"), ("other", "login.refused-here-alone")],
)
def test_a_calendar_that_wants_digest_gets_it(
    world: Paper, password: str, code: str
) -> None:
    """As Baikal does, whose challenge has these fields."""
    nonce = "5f2d9c"

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode()).hexdigest()  # noqa: S324

    def answer(request: FrontRequest) -> Answer:
        login = Authorization.from_header(request.login) or Authorization("none")
        names = ("nc", "cnonce", "qop")
        first = md5(USER, "BaikalDAV", password)
        last = md5("PROPFIND", request.path)
        expected = md5(first, nonce, *(str(login.get(name)) for name in names), last)
        if login.get("username") == USER and login.get("response") == expected:
            return own_url("/")
        challenge = f'Digest realm="BaikalDAV",qop="auth",nonce="{nonce}",opaque="ab"'
        return 401, {"WWW-Authenticate": challenge}, b""

    dav(world, answer)
    report = log_in(world, world.file, how=("--json", "--allow-private"))
    assert login_codes(report) == [code, "login.good", "login.good"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_asked_before_the_other_name_is_tried(
    real_world: Real, local_parts: Path, answer: str
) -> None:
    options = ["--config", str(local_parts), "check", USER, "--login", "--unpublished"]
    options += ["--resolver", OTHER_NAMES]
    typed = {f"https://dav.{DOMAIN}/: ": PASSWORD, "[y/N]: ": answer}
    code, output = real_world.inside.call(at_terminal, *options, typed=typed)
    assert code == 1
    assert f"Refused. Try once more as {USER} at imap {IMAP_NAME}:993" in output
    assert (f"accepts the user name {USER}" in output) == (answer == "y")
    assert PASSWORD not in output


def test_a_wrong_password_is_told_at_each_server(world: Paper) -> None:
    output = log_in(world, world.file, password="wrong-one", how=("--unpublished",))
    well, imap, smtp = [line.strip() for line in output.splitlines()[:3]]
    assert well == f"{DOMAIN}  the servers of the file work"
    for line, server in ((imap, f"imap {IMAP_NAME}:993"), (smtp, f"smtp {SMTP_NAME}:")):
        assert line.startswith(f"the login fails at {server}")


def test_a_server_that_delays_its_answer_is_waited_for(real_world: Real) -> None:
    # IMAP until the password; each line follows one that it gets.
    lines = ["* OK", "* CAPABILITY AUTH=PLAIN\r\na OK", "+ "]
    lines.append("a NO [AUTHENTICATIONFAILED] wrong")
    make(real_world, {"mail": {"hangs_up": lines, "late": 3}})
    found = logins(log_in(real_world, real_world.file, "--timeout", "2"))
    (finding,) = [item for item in found if item["subject"].startswith("imap ")]
    assert "a NO [AUTHENTICATIONFAILED]" in finding["seen"]


def test_a_postfix_without_a_password_service_is_reported(real_world: Real) -> None:
    real_world.postfix(real_world.folder / "nobody")
    lead(real_world, "smtp")
    report = real_world.check(DOMAIN, "--unpublished", file=real_world.file)
    (found,) = failures(report)
    assert found["subject"].startswith(f"smtp {SMTP_NAME}")


def test_init_names_the_file_in_the_next_command(world: Paper, tmp_path: Path) -> None:
    file = tmp_path / "my mail.toml"
    options = ("--allow-private", "--resolver", f"{BIND}:53")
    world.load_bind("")
    result = world.invoke("init", DOMAIN, "-o", file, *options)
    assert f" --config '{file}' check --unpublished" in result.stderr
