"""The commands as a user runs them: what they print, where, and their exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import BIN, ISP, ISP_FILES, TWO_DOMAINS, fetch, run, serving, until

from flask_autoconfig.config.reading import loads
from flask_autoconfig.documents import thunderbird
from flask_autoconfig.tools.commands.serve import _addresses

Write = Callable[..., Path]
FAULTY = TWO_DOMAINS.replace('"imap"', '"imp"').replace('"smtp.', '"smtp .')
STARTTLS = TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname')
CONFIG = "/mail/config-v1.1.xml"


def start(
    program: str, *arguments: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Start a program of this environment and wait for its end."""
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- validate ----------------------------------------------------------------------------


def test_validate_prints_problems_and_warnings_as_compilers_do(toml: Write) -> None:
    file = toml(FAULTY)
    done = run("--config", file, "validate")
    assert done.returncode == 1
    first, line, cure, second, *_ = done.stdout.splitlines()
    place = "provider[0].incoming[0].type (example.com)"
    assert first.startswith(f"{file}:6: error: {place}: expected one of")
    assert line == '  6 | type = "imp"'
    assert cure == '  do: did you mean "imap"?'
    place = "provider[0].outgoing[0].hostname (example.com)"
    assert second.startswith(f"{file}:15: error: {place}: expected a host name")

    toml(TWO_DOMAINS + 'socket_type = "plain"\n')
    done = run("--config", file, "validate")
    assert done.returncode == 0
    place = "provider[0].outgoing[0].socket_type (example.com)"
    assert done.stdout.startswith(f"{file}:16: warning: {place}: Every client: ")

    toml(TWO_DOMAINS)
    done = run("--config", file, "validate")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no problems, no warnings" in done.stderr


def test_validate_for_programs_is_json(toml: Write) -> None:
    done = run("--config", toml(FAULTY), "validate", "--json")
    problems = json.loads(done.stdout)["problems"]
    assert done.returncode == 1
    keys = {"file", "line", "column", "place", "domain", "message", "cure", "client"}
    assert set(problems[0]) == keys
    assert [(row["line"], row["place"], row["domain"]) for row in problems] == [
        (6, "provider[0].incoming[0].type", "example.com"),
        (15, "provider[0].outgoing[0].hostname", "example.com"),
    ]


# --- The file ----------------------------------------------------------------------------


def test_the_file_is_the_options_then_the_environments_then_the_default(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(("option", "environment", "autoconfig"), 1):
        text = TWO_DOMAINS.replace("imap.", f"imap{number}.")
        (tmp_path / f"{name}.toml").write_text(text)
    option = ("--config", "option.toml")
    environment = {"AUTOCONFIG_FILE": "environment.toml"}
    assert "imap1." in run(*option, "show", cwd=tmp_path, **environment).stdout
    assert "imap2." in run("show", cwd=tmp_path, **environment).stdout
    assert "imap3." in run("show", cwd=tmp_path, AUTOCONFIG_FILE="").stdout


@pytest.mark.parametrize("command", ["validate", "show", "serve", "export out"])
def test_a_missing_file_is_an_error_without_a_traceback(command: str) -> None:
    done = run("--config", "/nowhere.toml", *command.split())
    assert done.returncode == 1
    assert "there is no file /nowhere.toml" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["flask-autoconfig", "serve"],
        ["gunicorn", "--bind=127.0.0.1:0", "flask_autoconfig:create_app()"],
        ["gunicorn", "--preload", "flask_autoconfig:create_app()"],
    ],
)
def test_serve_and_gunicorn_end_with_the_problems_of_a_faulty_file(
    toml: Write, words: list[str]
) -> None:
    done = start(*words, AUTOCONFIG_FILE=str(toml(FAULTY)))
    assert done.returncode > 0
    assert "2 problems" in done.stderr
    assert "provider[0].incoming[0].type (example.com): expected one of" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", ["--unpublished", "--unpublished example.com", "--all"]
)
def test_check_says_how_to_create_a_missing_file(
    tmp_path: Path, arguments: str
) -> None:
    done = run("check", *arguments.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert "flask-autoconfig init DOMAIN" in done.stderr


# --- show and schema ---------------------------------------------------------------------


def test_show_prints_what_is_served(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    with serving(file) as url:
        served = fetch(f"{url}{CONFIG}?emailaddress=a@example2.com").body
    for subject in ("a@example2.com", "example2.com"):
        assert run("--config", file, "show", subject).stdout.encode() == served


@pytest.mark.parametrize(
    ("format_", "beginning"),
    [("thunderbird", "<?xml"), ("outlook", "<?xml"), ("apple", "<?xml"), ("pacc", "{")],
)
def test_show_has_every_format(toml: Write, format_: str, beginning: str) -> None:
    options = ("--format", format_)
    done = run("--config", toml(TWO_DOMAINS), "show", "a@example.com", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(beginning)
    assert "imap.example.com" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("fred@nowhere.test", 1, "nothing is served for fred@nowhere.test"),
        ("nowhere.test", 1, "nothing is served for nowhere.test"),
        ("example.com --format pacc", 1, "pacc has no place for any server"),
        ("fred@@", 2, "'fred@@' is not an email address"),
        ("https://example.com/", 2, "is not a domain; write one like example.com"),
        ("typo..com", 2, "is not a domain"),
    ],
)
def test_show_says_why_there_is_no_document(
    toml: Write, arguments: str, code: int, message: str
) -> None:
    done = run("--config", toml(STARTTLS), "show", *arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count(message) == 1


def test_the_schema_is_json() -> None:
    assert json.loads(run("schema").stdout)["title"] == "autoconfig.toml"


# --- serve -------------------------------------------------------------------------------


def test_serve_logs_no_address_and_believes_no_forwarded_header(
    toml: Write, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), "--workers", "1", log=log) as url:
        fetch(f"{url}{CONFIG}?emailaddress=secret@example.com")
        for at in ("@", "%40"):
            path = f"/autodiscover/autodiscover.json/v1.0/secret{at}example.com"
            fetch(f"{url}{path}?Protocol=AutodiscoverV1")
        assert fetch(url + CONFIG, SCRIPT_NAME="/mail").status == 200
        pox = f"{url}/autodiscover/autodiscover.xml"
        assert fetch(pox, X_Forwarded_Proto="http").status == 200
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            sock.sendall("GET /?a=secret@é.test HTTP/1.1\r\n\r\n".encode())
            assert b" 400 " in sock.recv(100)
        until(lambda: "Invalid request" in log.read_text())
        line = "GET /autodiscover/autodiscover.json/… HTTP/1.1"
        until(lambda: log.read_text().count(line) == 2)  # after the answers
        until(lambda: f"GET {CONFIG} HTTP/1.1" in log.read_text())
    assert "secret" not in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [("--workers 0", "--workers"), ("--bind 18142", "write 127.0.0.1:18142")],
)
def test_serve_refuses_wrong_options(arguments: str, message: str) -> None:
    done = run("serve", *arguments.split())
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        (":18141", "http://127.0.0.1:18141/mail/setup"),
        ("127.0.0.2:1", "http://127.0.0.2:1/mail/setup"),
        ("unix:/run/it", "unix:/run/it"),
    ],
)
def test_serve_prints_an_address_to_click(bind: str, url: str) -> None:
    config = SimpleNamespace(bind=[bind], is_ssl=False)
    assert _addresses(config, "/mail/setup") == url


# --- In a Flask project ------------------------------------------------------------------

SITE = """
from flask import Flask, current_app
from flask_autoconfig import autoconfig
app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = "mail.toml"
@autoconfig.find_provider
def provider_of(domain):
    assert current_app.name
    return "example.com" if domain == "customer.test" else None
app.register_blueprint(autoconfig)
"""


def test_in_a_flask_project_commands_take_its_file_and_ask_its_hooks(
    toml: Write, tmp_path: Path
) -> None:
    file = toml(TWO_DOMAINS, "mail.toml")
    (tmp_path / "site_app.py").write_text(SITE)

    def flask(app: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return start("flask", "--app", app, "autoconfig", *words, cwd=tmp_path, **env)

    assert "imap.example.com" in flask("site_app", "show", "fred@example.com").stdout
    for subject in ("a@customer.test", "customer.test"):
        done = flask("site_app", "show", subject)
        assert "<domain>customer.test</domain>" in done.stdout, done.stderr
    file.write_text(FAULTY)
    for debug in ("0", "1"):  # in debug mode the app itself refuses the file
        done = flask("site_app", "validate", FLASK_DEBUG=debug)
        assert done.returncode == 1
        assert "provider[0].incoming[0].type" in done.stdout
        assert "Traceback" not in done.stderr
    assert flask("no_such_app", "validate").returncode == 2


# --- import ------------------------------------------------------------------------------


def test_import_gives_a_provider_for_each_file_and_leaves_defaults_out() -> None:
    done = run("import", *ISP_FILES)
    assert done.returncode == 0
    assert len(loads(done.stdout).provider) == len(ISP_FILES)
    assert "993" not in done.stdout
    assert 'password-cleartext"\nport' not in done.stdout


def test_import_names_file_and_element_of_what_is_lost(tmp_path: Path) -> None:
    done = run("import", ISP / "slips.test.xml")
    (warning,) = done.stderr.splitlines()
    assert "slips.test.xml" in warning
    assert "<displayNameShort>" in warning

    text = (ISP / "diary.test.xml").read_text(encoding="utf-8")
    text = text.replace("</incomingServer>", "<pop3/></incomingServer>")
    text = text.replace("</emailProvider>", "<enable/><documentation/></emailProvider>")
    method = "<authentication>"
    text = text.replace(method, f"{method}magic</authentication>{method}", 1)
    file = tmp_path / "odd.xml"
    file.write_text(text)
    done = run("import", file)
    for name in ("pop3", "enable", "documentation", "authentication"):
        assert f"<{name}> is left out: " in done.stderr
    (provider,) = loads(done.stdout).provider
    assert provider.incoming[0].hostname == "imap.diary.test"


def test_import_keeps_the_order_of_servers_and_validate_says_what_it_means(
    tmp_path: Path,
) -> None:
    text = TWO_DOMAINS.replace('"imap"', '"x"').replace('"pop3"', '"imap"')
    (provider,) = loads(text.replace('"x"', '"pop3"')).provider
    file = tmp_path / "old.xml"
    file.write_bytes(thunderbird.write(provider))
    done = run("import", file)
    types = [server.type for server in loads(done.stdout).provider[0].incoming]
    assert types == ["pop3", "imap"]
    (tmp_path / "new.toml").write_text(done.stdout)
    validated = run("--config", tmp_path / "new.toml", "validate")
    place = "provider[0].incoming[0] (example.com)"
    assert f"warning: {place}: FairEmail and Geary: " in validated.stdout


DIARY = (ISP / "diary.test.xml").read_text(encoding="utf-8")
BAD_VALUE = DIARY.replace("993", "99333").replace("diary.test", "bad.test")
LINE = 1 + BAD_VALUE[: BAD_VALUE.index("99333")].count("\n")


@pytest.mark.parametrize(
    ("content", "messages"),
    {
        "HTML": ("<html/>", ["{bad}"]),
        "an entity": ('<!DOCTYPE a [<!ENTITY b "c">]><clientConfig/>', ["{bad}"]),
        "an empty file": ("", ["{bad}"]),
        "a domain twice": (DIARY, ["{bad}: it lists the domain diary.test, as {good}"]),
        "no file": (None, ["{bad}: cannot read it"]),
    }.values(),
)
def test_import_prints_nothing_if_one_file_is_faulty(
    tmp_path: Path, content: str | None, messages: list[str]
) -> None:
    good, bad = ISP / "diary.test.xml", tmp_path / "bad.xml"
    if content is not None:
        bad.write_text(content)
    done = run("import", good, bad)
    assert (done.returncode, done.stdout) == (1, "")
    for message in messages:
        assert message.format(good=good, bad=bad) in done.stderr


def test_import_leaves_a_bad_value_out_and_names_its_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text(BAD_VALUE)
    done = run("import", bad)
    assert done.returncode == 0
    place = f"{bad}: incoming[0].port is left out (line {LINE}, <port>)"
    assert place in done.stderr


def test_import_of_one_file_twice_says_so() -> None:
    done = run("import", ISP / "diary.test.xml", ISP / "diary.test.xml")
    assert done.returncode == 1
    assert "it is named twice" in done.stderr


def test_import_writes_utf8_whatever_the_locale() -> None:
    source = ISP / "access.test.xml"
    done = subprocess.run(
        [BIN / "flask-autoconfig", "import", source],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert "メール" in done.stdout.decode()


# --- Output and options ------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", ["show", "dns --target www.example.com", "--help", "--version"]
)
def test_a_full_disk_behind_stdout_is_an_error_without_a_traceback(
    toml: Write, command: str, unbuffered: str
) -> None:
    words = ["--config", str(toml(TWO_DOMAINS)), *command.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(BIN / "flask-autoconfig"), *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write the output: No space left on device; "
        "make room there, or send it to another file\n",
    )


def test_a_full_disk_behind_stderr_does_not_hide_the_exit_code() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [str(BIN / "flask-autoconfig"), "--config", "/nowhere.toml", "show"]
        assert subprocess.run(command, stderr=full, check=False).returncode == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "validate --config a.toml",
            "before the command: flask-autoconfig --config FILE",
        ),
        ("check --color", "before the command: flask-autoconfig --color check"),
        ("--json validate", "after the command: flask-autoconfig validate --json"),
        ("--nothing validate", "No such option"),
        ("validate --nothing", "No such option"),
    ],
)
def test_an_option_on_the_wrong_side_of_the_command_is_an_error_with_the_right_order(
    words: str, message: str
) -> None:
    done = run(*words.split())
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
