"""The commands as a user runs them: what they print, where, and their exit codes."""

import json
import re
from pathlib import Path

import click
import pytest
from client_requests import CONFIG, POX
from documents import text_of
from services import captured, run, run_process, serve, until
from support import ISP, TWO_DOMAINS, Write, rows

from flask_autoconfig.tools.cli import cli

FAULTY = TWO_DOMAINS.replace('"imap"', '"imp"').replace('"smtp.', '"smtp .')
PRELOADING = "gunicorn --preload flask_autoconfig:create_app()"


# --- validate ----------------------------------------------------------------------------


def test_validate_prints_problems_and_warnings_as_compilers_do(toml: Write) -> None:
    file = toml(FAULTY)
    result = run("--config", file, "validate", code=1)
    first, line, cure, second, *_ = result.stdout.splitlines()
    place = "provider[0].incoming[0].type (example.com)"
    assert first.startswith(f"{file}:6: error: {place}: expected one of")
    assert line == '  6 | type = "imp"'
    assert cure == '  do: did you mean "imap"?'
    place = "provider[0].outgoing[0].hostname (example.com)"
    assert second.startswith(f"{file}:15: error: {place}: expected a host name")

    as_json = run("--config", file, "validate", "--json").stdout
    row, _ = json.loads(as_json)["problems"]
    keys = {"file", "line", "column", "place", "domain", "message", "cure", "client"}
    assert set(row) == keys
    assert (row["file"], row["line"], row["domain"]) == (str(file), 6, "example.com")
    assert row["place"] == "provider[0].incoming[0].type"

    toml(TWO_DOMAINS + 'socket_type = "plain"\n')
    result = run("--config", file, "validate", code=0)
    place = "provider[0].outgoing[0].socket_type (example.com)"
    assert result.stdout.startswith(f"{file}:16: warning: {place}: Every client: ")

    toml(TWO_DOMAINS)
    result = run("--config", file, "validate")
    assert (result.returncode, result.stdout) == (0, "")
    assert "no problems, no warnings" in result.stderr


# --- The file ----------------------------------------------------------------------------


def test_option_then_environment_then_default_name_the_file(tmp_path: Path) -> None:
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
    result = run("--config", "/nowhere.toml", *command.split(), code=1)
    assert "there is no file /nowhere.toml" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "words",
    [
        "flask-autoconfig serve",
        "gunicorn --bind=127.0.0.1:0 flask_autoconfig:create_app()",
        pytest.param(PRELOADING, marks=pytest.mark.world),
    ],
)
def test_serve_and_gunicorn_end_with_problems(toml: Write, words: str) -> None:
    # As in a shell or a job of a service, which inherit the process id of another.
    inherited = dict.fromkeys(("SYSTEMD_EXEC_PID", "LISTEN_PID"), "1")
    inherited |= {"INVOCATION_ID": "0" * 32, "NOTIFY_SOCKET": "/none"}
    result = captured(*words.split(), AUTOCONFIG_FILE=str(toml(FAULTY)), **inherited)
    assert result.returncode > 0
    assert "2 problems" in result.stderr
    assert "Serving" not in result.stderr
    place = "provider[0].incoming[0].type (example.com)"
    assert f"{place}: expected one of" in result.stderr
    assert "Traceback" not in result.stderr


# --- show --------------------------------------------------------------------------------


def test_show_prints_what_serve_answers_which_logs_no_query_and_believes_no_header(
    file: Path,
) -> None:
    with serve(file, "--workers", "1") as service:
        log = service.log
        served = service.fetch(f"{CONFIG}?emailaddress=secret@example2.com").body
        assert service.fetch(CONFIG, SCRIPT_NAME="/mail").status == 200
        assert service.fetch(POX, X_Forwarded_Proto="http").status == 200
        until(lambda: log.read_text().count(f"GET {CONFIG} HTTP/1.1") == 2)
    assert "secret" not in log.read_text()
    for subject in ("a@example2.com", "example2.com"):
        assert run("--config", file, "show", subject).stdout.encode() == served


def test_show_has_every_format(file: Path) -> None:
    begins = {"pacc": "{"}
    for format_ in ("thunderbird", "outlook", "apple", "pacc"):
        result = run("--config", file, "show", "a@example.com", "--format", format_)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(begins.get(format_, "<?xml"))
        assert "imap.example.com" in result.stdout


# --- import ------------------------------------------------------------------------------

DIARY = ISP / "diary.test.xml"


def test_import_prints_nothing_if_one_file_is_faulty(tmp_path: Path) -> None:
    copy = tmp_path / "copy.xml"
    copy.write_text(DIARY.read_text().replace("<hostname>", "<hostname>x."))
    for file, reason in (
        (copy, f"{copy}: {DIARY} has other settings for diary.test; import one of"),
        (tmp_path / "none", f"{tmp_path / 'none'}: cannot read it"),
    ):
        result = run("import", DIARY, file)
        assert (result.returncode, result.stdout) == (1, "")
        assert reason in result.stderr


def test_import_writes_utf8_whatever_the_locale() -> None:
    file = ISP / "access.test.xml"
    result = run_process("import", file, PYTHONIOENCODING="latin-1")
    assert "メール" in result.stdout


def test_output_in_an_encoding_without_a_character_is_escaped(tmp_path: Path) -> None:
    faulty = tmp_path / "autoconfig.toml"
    faulty.write_text("id = “a”", encoding="utf-8")
    result = run_process("--config", faulty, "validate", PYTHONIOENCODING="latin-1")
    assert result.returncode == 1
    assert "id = \\u201ca\\u201d" in result.stdout + result.stderr


# --- Output and options ------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["dns --target www.example.com", "--help"])
def test_a_full_disk_behind_stdout_is_an_error_without_a_traceback(
    file: Path, command: str, unbuffered: str
) -> None:
    words = ("--config", str(file), *command.split())
    with Path("/dev/full").open("wb") as full:
        result = run_process(*words, stdout=full, PYTHONUNBUFFERED=unbuffered, code=1)
    assert result.stderr == "Error: No space left on device\n"


STARTTLS = TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname')


@rows("refused", "words, code, message", "commands.toml")
def test_a_command_that_cannot_work_says_so_with_the_remedy(
    toml: Write, words: str, code: int, message: str
) -> None:
    toml(STARTTLS, "starttls.toml")
    result = run(*words.split(), cwd=toml(TWO_DOMAINS, "two.toml").parent)
    assert (result.returncode, result.stdout) == (code, "")
    assert " ".join(result.stderr.split()).count(message) == 1
    assert "Warning" not in result.stderr  # of a password that would be echoed


# --- Help --------------------------------------------------------------------------------

COMMANDS = cli.list_commands(click.Context(cli))


def test_the_list_of_commands_is_not_cut_and_has_the_order_of_the_documents() -> None:
    for columns in (60, 80):
        page = run_process("--help", COLUMNS=str(columns)).stdout
        commands = page.partition("Commands:")[2]
        assert re.findall(r"^  ([a-z]+)  +\S", commands, re.M) == COMMANDS
        assert not re.search(r"\.\.\.|…", commands)
        assert max(map(len, page.splitlines())) <= columns
    text = text_of("contrib/README.md")
    table = text.partition("| command | what it does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)", table, re.M) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_accepts_its_examples_and_explains_its_options(name: str) -> None:
    _, _, examples = run(name, "--help").stdout.partition("Example")
    lines = [line.split() for line in examples.splitlines()[1:] if line]
    assert lines
    context = cli.make_context("flask-autoconfig", [name])
    command = cli.get_command(context, name)
    assert command is not None
    for first, *words in lines:
        assert first == "flask-autoconfig"
        arguments = words[words.index(name) + 1 :]
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        command.make_context(name, arguments, parent=context)
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


def test_python_runs_the_commands_too() -> None:
    result = captured("python", "-m", "flask_autoconfig", "--help")
    assert result.stdout == run("--help").stdout
