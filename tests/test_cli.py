"""The commands, as a person runs them: what they print, where, and their exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import BIN, ISP, ISP_FILES, TWO_DOMAINS, fetch, run, serving, until

from flask_autoconfig import load
from flask_autoconfig.config.reading import loads
from flask_autoconfig.documents import thunderbird
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.service import Service
from flask_autoconfig.tools.commands.serve import _places
from flask_autoconfig.tools.export import export
from flask_autoconfig.tools.files import Folder, opened

Write = Callable[..., Path]
FAULTY = TWO_DOMAINS.replace('"imap"', '"imp"').replace('"smtp.', '"smtp .')


def test_validate_is_content_with_a_good_file(toml: Write) -> None:
    done = run("--config", toml(TWO_DOMAINS), "validate")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no problems, no warnings" in done.stderr


def test_validate_prints_every_problem_and_exits_1(toml: Write) -> None:
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


def test_validate_prints_warnings_with_the_clients_name_and_exits_0(
    toml: Write,
) -> None:
    text = TWO_DOMAINS + 'socket_type = "plain"\n'
    file = toml(text)
    done = run("--config", file, "validate")
    assert done.returncode == 0
    warning = done.stdout.splitlines()[0]
    place = "provider[0].outgoing[0].socket_type (example.com)"
    assert warning.startswith(f"{file}:16: warning: {place}: Every client: ")


def test_validate_for_programs_is_json(toml: Write) -> None:
    done = run("--config", toml(FAULTY), "validate", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert [it["place"] for it in report["problems"]] == [
        "provider[0].incoming[0].type",
        "provider[0].outgoing[0].hostname",
    ]
    keys = {"file", "line", "column", "place", "domain", "message", "cure", "client"}
    assert set(report["problems"][0]) == keys
    assert [it["line"] for it in report["problems"]] == [6, 15]
    assert {it["domain"] for it in report["problems"]} == {"example.com"}


def test_the_file_is_the_options_then_the_environments_then_here(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(("option", "environment", "autoconfig"), 1):
        (tmp_path / f"{name}.toml").write_text(
            TWO_DOMAINS.replace("imap.", f"imap{number}.")
        )
    option = ("--config", "option.toml")
    environment = {"AUTOCONFIG_FILE": "environment.toml"}
    assert "imap1." in run(*option, "show", cwd=tmp_path, **environment).stdout
    assert "imap2." in run("show", cwd=tmp_path, **environment).stdout
    assert "imap3." in run("show", cwd=tmp_path, AUTOCONFIG_FILE="").stdout


def test_a_file_that_is_not_there_is_an_error_without_a_traceback() -> None:
    for command in (["validate"], ["show"], ["serve"], ["export", "/tmp/x"]):  # noqa: S108
        done = run("--config", "/nowhere.toml", *command)
        assert done.returncode == 1
        assert "there is no file /nowhere.toml" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_a_misspelt_command_is_exit_2() -> None:
    assert run("validat").returncode == 2
    assert run("serve", "--workers", "0").returncode == 2


def test_serve_with_a_faulty_file_ends_with_the_problems(toml: Write) -> None:
    done = run("--config", toml(FAULTY), "serve")
    assert done.returncode == 1
    assert "2 problems" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--bind=127.0.0.1:0", "--preload"])
def test_gunicorn_with_a_faulty_file_ends_with_the_problems(
    toml: Write, option: str
) -> None:
    done = subprocess.run(
        [BIN / "gunicorn", option, "flask_autoconfig:create_app()"],
        env={**os.environ, "AUTOCONFIG_FILE": str(toml(FAULTY))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    place = "provider[0].incoming[0].type (example.com)"
    assert f"  line 6: {place}: expected one of" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_prints_what_is_served(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    with serving(file) as url:
        served = fetch(f"{url}/mail/config-v1.1.xml?emailaddress=a@example2.com").body
    for whom in ("a@example2.com", "example2.com"):
        assert run("--config", file, "show", whom).stdout.encode() == served


@pytest.mark.parametrize(
    ("format_", "start"),
    [
        ("thunderbird", "<?xml"),
        ("outlook", "<?xml"),
        ("apple", "<?xml"),
        ("pacc", "{"),
    ],
)
def test_show_has_every_format(toml: Write, format_: str, start: str) -> None:
    done = run(
        "--config", toml(TWO_DOMAINS), "show", "a@example.com", "--format", format_
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(start)
    assert "imap.example.com" in done.stdout


def test_show_of_what_a_format_cannot_say_exits_1(toml: Write) -> None:
    file = toml(TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname'))
    done = run("--config", file, "show", "example.com", "--format", "pacc")
    assert done.returncode == 1
    assert "pacc has no place for any server" in done.stderr


def test_show_of_a_domain_that_is_not_served_exits_1(toml: Write) -> None:
    done = run("--config", toml(TWO_DOMAINS), "show", "fred@nowhere.test")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is served for fred@nowhere.test" in done.stderr


def test_show_of_something_that_is_no_address_is_wrong_usage(toml: Write) -> None:
    assert run("--config", toml(TWO_DOMAINS), "show", "fred@@").returncode == 2


def test_the_schema_is_json() -> None:
    assert json.loads(run("schema").stdout)["title"] == "autoconfig.toml"


def _count(log: Path, line: str) -> int:
    return log.read_text().count(line)


def test_serve_logs_requests_without_the_query(toml: Write, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), "--workers", "1", log=log) as url:
        fetch(f"{url}/mail/config-v1.1.xml?emailaddress=secret@example.com")
        for at in ("@", "%40"):
            path = f"/autodiscover/autodiscover.json/v1.0/secret{at}example.com"
            fetch(f"{url}{path}?Protocol=AutodiscoverV1")
        line = "GET /autodiscover/autodiscover.json/… HTTP/1.1"
        first = "GET /mail/config-v1.1.xml HTTP/1.1"
        # They follow the answers, in whatever order.
        until(lambda: (_count(log, first), _count(log, line)) == (1, 2))
    text = log.read_text()
    assert "secret" not in text


def test_the_commands_are_in_a_flask_project_too(toml: Write, tmp_path: Path) -> None:
    toml(TWO_DOMAINS, "mail.toml")
    (tmp_path / "site_app.py").write_text(
        "from flask import Flask\n"
        "from flask_autoconfig import autoconfig\n"
        "app = Flask(__name__)\n"
        'app.config["AUTOCONFIG_FILE"] = "mail.toml"\n'
        "app.register_blueprint(autoconfig)\n"
    )

    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "flask", "--app", "site_app", "autoconfig", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert "imap.example.com" in flask("show", "fred@example.com").stdout
    (tmp_path / "mail.toml").write_text(FAULTY)
    done = flask("validate")
    assert done.returncode == 1
    assert "provider[0].incoming[0].type" in done.stdout
    assert "Traceback" not in done.stderr


# --- import --------------------------------------------------------------------------


def test_import_gives_a_provider_for_each_file_and_leaves_defaults_out() -> None:
    done = run("import", *ISP_FILES)
    assert done.returncode == 0
    config = loads(done.stdout)
    assert len(config.provider) == len(ISP_FILES)
    assert "993" not in done.stdout
    assert 'password-cleartext"\nport' not in done.stdout


def test_import_names_file_and_element_of_what_is_lost() -> None:
    done = run("import", ISP / "slips.test.xml")
    (warning,) = done.stderr.splitlines()
    assert "slips.test.xml" in warning
    assert "<displayNameShort>" in warning


def test_import_keeps_the_order_of_servers_and_says_what_it_does(
    tmp_path: Path,
) -> None:
    text = TWO_DOMAINS.replace('"imap"', '"x"').replace('"pop3"', '"imap"')
    (provider,) = loads(text.replace('"x"', '"pop3"')).provider
    file = tmp_path / "old.xml"
    file.write_bytes(thunderbird.write(provider))
    done = run("import", file)
    assert [it.type for it in loads(done.stdout).provider[0].incoming] == [
        "pop3",
        "imap",
    ]
    assert f"{file}: pop3 stays before imap" in done.stderr
    assert "FairEmail" in done.stderr
    (tmp_path / "new.toml").write_text(done.stdout)
    validated = run("--config", tmp_path / "new.toml", "validate")
    place = "provider[0].incoming[0] (example.com)"
    assert f"warning: {place}: FairEmail: " in validated.stdout


def test_import_prints_nothing_if_one_file_is_faulty(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    for content in ("<html/>", '<!DOCTYPE a [<!ENTITY b "c">]><clientConfig/>', ""):
        bad.write_text(content)
        done = run("import", ISP / "diary.test.xml", bad)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(bad) in done.stderr
        assert "Traceback" not in done.stderr


def test_import_names_the_line_of_a_bad_value(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    text = (ISP / "diary.test.xml").read_text().replace("993", "99333")
    bad.write_text(text.replace("diary.test", "bad.test"))
    line = 1 + text[: text.index("99333")].count("\n")
    done = run("import", ISP / "diary.test.xml", bad)
    assert done.returncode == 0
    assert f"{bad}: incoming[0].port is left out (line {line}, <port>)" in done.stderr


def test_import_of_a_domain_in_two_files_names_both(tmp_path: Path) -> None:
    original = ISP / "diary.test.xml"
    copy = tmp_path / "copy.xml"
    copy.write_bytes(original.read_bytes())
    done = run("import", original, copy)
    assert done.returncode == 1
    assert f"{copy}: it lists the domain diary.test, as {original} does" in done.stderr


def test_import_of_a_missing_file_exits_1(tmp_path: Path) -> None:
    done = run("import", tmp_path / "nowhere.xml")
    assert done.returncode == 1
    assert "nowhere.xml: cannot read it" in done.stderr


# --- export --------------------------------------------------------------------------

PATHS = (
    "mail/config-v1.1.xml",
    ".well-known/autoconfig/mail/config-v1.1.xml",
    ".well-known/mail-v1.xml",
    ".well-known/user-agent-configuration.json",
    ".well-known/apple-mail.mobileconfig",
    "email.mobileconfig",
)


def test_export_writes_byte_for_byte_what_is_served(
    toml: Write, tmp_path: Path
) -> None:
    file, out = toml(TWO_DOMAINS), tmp_path / "out"
    assert run("--config", file, "export", out).returncode == 0
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    domains = ("example.com", "example2.com")
    assert files == {f"{domain}/{path}" for domain in domains for path in PATHS}
    with serving(file) as url:
        for domain in domains:
            for path in PATHS:
                served = fetch(f"{url}/{path}", Host=domain).body
                assert (out / domain / path).read_bytes() == served


def test_export_leaves_foreign_files_alone_and_names_what_is_left_over(
    toml: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("--config", toml(TWO_DOMAINS), "export", out)
    (out / "index.html").write_text("mine")
    done = run("--config", toml(TWO_DOMAINS.replace("2.com", "3.com")), "export", out)
    assert (out / "index.html").read_text() == "mine"
    assert f"{out}/example2.com/mail/config-v1.1.xml is no longer served" in done.stderr


def test_export_says_what_cannot_be_a_file(toml: Write, tmp_path: Path) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"*.example.net"')
    done = run("--config", toml(text), "export", tmp_path / "out")
    assert "*.example.net has no static files" in done.stderr


def test_an_export_that_fails_leaves_the_old_files_whole(
    toml: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(Service(toml(TWO_DOMAINS)), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    file = toml(TWO_DOMAINS.replace("imap.", "mail."))
    written = []
    write = Folder.write

    def full_disk(self: Folder, name: str, data: bytes) -> None:
        written.append(name)
        if len(written) == 3:
            raise OSError(28, "No space left on device", name)
        write(self, name, data)

    monkeypatch.setattr(Folder, "write", full_disk)
    with pytest.raises(ConfigError, match="No space left on device"):
        export(Service(file), out)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert after == before
    assert load(file)  # and the file itself was never at fault


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the exported one, with a file that is none of its business."""
    folder = tmp_path / "outside"
    (folder / "mail").mkdir(parents=True)
    (folder / "mail/config-v1.1.xml").write_text("mine")
    return folder


def _below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("example.com", ""),
        ("example.com/mail", "mail"),
        ("example2.com/.well-known", ""),
        ("example2.com/.well-known/autoconfig", "nowhere"),
    ],
)
def test_export_refuses_a_link_in_a_folders_place(
    toml: Write, tmp_path: Path, outside: Path, link: str, target: str
) -> None:
    out = tmp_path / "out"
    assert run("--config", toml(TWO_DOMAINS), "export", out).returncode == 0
    (out / link).rename(tmp_path / "away")
    (out / link).symlink_to(outside / target)
    before = _below(out), _below(outside)
    done = run("--config", toml(TWO_DOMAINS.replace("imap.", "new.")), "export", out)
    assert done.returncode == 1
    assert f"{out / link}: cannot write: a link or a file is in" in done.stderr
    assert (_below(out), _below(outside)) == before
    assert not list(out.glob(".autoconfig-*"))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("mail/config-v1.1.xml", "mail/config-v1.1.xml"),
        ("email.mobileconfig", "mail"),
        (".well-known/apple-mail.mobileconfig", "nowhere"),
    ],
)
def test_export_refuses_a_link_in_a_files_place(
    toml: Write, tmp_path: Path, outside: Path, name: str, target: str
) -> None:
    out = tmp_path / "out"
    assert run("--config", toml(TWO_DOMAINS), "export", out).returncode == 0
    link = out / "example.com" / name
    link.unlink()
    link.symlink_to(outside / target)
    before = _below(out), _below(outside)
    done = run("--config", toml(TWO_DOMAINS.replace("imap.", "new.")), "export", out)
    assert done.returncode == 1
    assert f"{link}: cannot write: it is a link; remove it" in done.stderr
    assert (_below(out), _below(outside)) == before


def test_a_folder_that_becomes_a_link_while_export_writes_is_not_followed(
    toml: Write, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = _below(outside)
    replace = Folder._replace

    def swapped(self: Folder, source: Folder, name: str, new_name: str) -> None:
        mail = out / "example.com/mail"
        if self.path == mail and not mail.is_symlink():
            mail.rename(tmp_path / "away")
            mail.symlink_to(outside / "mail")
        replace(self, source, name, new_name)

    monkeypatch.setattr(Folder, "_replace", swapped)
    export(Service(toml(TWO_DOMAINS)), out)
    assert _below(outside) == before
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="a link or a file is in a folder's place"):
        export(Service(toml(TWO_DOMAINS)), out)
    assert _below(outside) == before


@pytest.mark.parametrize("name", ["..", ".", "", "a/b"])
def test_no_name_climbs_out_of_a_folder(tmp_path: Path, name: str) -> None:
    with (
        opened(tmp_path / "out") as folder,
        pytest.raises(OSError, match="it is no name of a folder"),
        folder.below(("a", name)),
    ):
        pass
    for domain in ("../a.test", "a.test/../../b", "..", "/etc"):
        with pytest.raises(ConfigError):
            loads(TWO_DOMAINS.replace("example2.com", domain))


def test_an_export_that_is_told_to_stop_leaves_nothing_behind(
    toml: Write, tmp_path: Path
) -> None:
    names = ", ".join(f'"d{number}.test"' for number in range(20_000))
    text = TWO_DOMAINS.replace('"example.com", "example2.com"', names)
    file = toml(text.replace("domains =", "list_domains = false\ndomains ="))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [BIN / "flask-autoconfig", "--config", file, "export", out],
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(out.glob(".autoconfig-*/10")):
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 143
    assert list(out.iterdir()) == []


def test_files_that_are_exported_can_be_read_by_a_web_server(
    toml: Write, tmp_path: Path
) -> None:
    old = os.umask(0o022)
    try:
        export(Service(toml(TWO_DOMAINS)), tmp_path / "out")
    finally:
        os.umask(old)
    for path in (tmp_path / "out").rglob("*"):
        assert path.stat().st_mode & 0o444 == 0o444, path


def test_show_of_what_is_not_served_is_not_taken_for_nobody(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    assert run("--config", file, "show", "unknown.test").returncode == 1
    for nonsense in ("https://example.com/", "typo..com"):
        assert run("--config", file, "show", nonsense).returncode == 2


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(
    "command",
    ["show", "schema", "dns --target www.example.com", "--help", "--version"],
)
def test_a_full_disk_behind_stdout_is_told_without_a_traceback(
    toml: Write, command: str, buffered: bool
) -> None:
    env = {key: it for key, it in os.environ.items() if key != "PYTHONUNBUFFERED"}
    words = ["--config", str(toml(TWO_DOMAINS)), *command.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(BIN / "flask-autoconfig"), *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=env if buffered else {**env, "PYTHONUNBUFFERED": "1"},
        )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write the output: No space left on device; "
        "make room there, or send it to another file\n",
    )


BESIDE_THE_COMMAND = {
    "validate --config a.toml": "--config goes before the command",
    "check --color": "flask-autoconfig --color check",
    "--json validate": "flask-autoconfig validate --json",
}


@pytest.mark.parametrize(("words", "cure"), BESIDE_THE_COMMAND.items())
def test_an_option_on_the_wrong_side_of_the_command_is_told_where_it_goes(
    words: str, cure: str
) -> None:
    done = run(*words.split())
    assert done.returncode == 2
    assert cure in " ".join(done.stderr.split())


def test_an_option_that_nobody_has_is_told_as_before() -> None:
    for words in (("--nothing", "validate"), ("validate", "--nothing")):
        assert "No such option" in run(*words).stderr


def test_a_port_alone_is_told_what_to_write() -> None:
    done = run("serve", "--bind", "18142")
    assert done.returncode == 2
    assert "write 127.0.0.1:18142" in done.stderr


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        (":18141", "http://127.0.0.1:18141/mail/setup"),
        ("127.0.0.2:1", "http://127.0.0.2:1/mail/setup"),
        ("unix:/run/it", "unix:/run/it"),
    ],
)
def test_the_address_of_the_start_is_one_to_click(bind: str, url: str) -> None:
    config = SimpleNamespace(bind=[bind], is_ssl=False)
    assert _places(config, "/mail/setup") == url


def test_defaults_stand_in_the_help_of_serve_without_parentheses() -> None:
    told = run("serve", "--help").stdout
    assert "127.0.0.1:8000 by default" in told
    assert "(127.0.0.1:8000)" not in told


def test_show_of_what_is_not_served_says_so_once(toml: Write) -> None:
    done = run("--config", toml(TWO_DOMAINS), "show", "fred@other.test")
    assert done.returncode == 1
    assert done.stderr.count("other.test") == 1


def test_a_full_disk_behind_stderr_does_not_hide_the_exit_code(toml: Write) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [str(BIN / "flask-autoconfig"), "--config", "/nowhere.toml", "show"]
        assert subprocess.run(command, stderr=full, check=False).returncode == 1


def test_import_writes_utf8_whatever_the_terminal_speaks(tmp_path: Path) -> None:
    source = ISP / "access.test.xml"
    done = subprocess.run(
        [BIN / "flask-autoconfig", "import", source],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert "メール" in done.stdout.decode()


def test_import_leaves_out_what_breaks_no_client(tmp_path: Path) -> None:
    text = (ISP / "diary.test.xml").read_text(encoding="utf-8")
    text = text.replace("</incomingServer>", "<pop3/></incomingServer>")
    text = text.replace("</emailProvider>", "<enable/><documentation/></emailProvider>")
    text = text.replace(
        "<authentication>", "<authentication>magic</authentication><authentication>", 1
    )
    file = tmp_path / "odd.xml"
    file.write_text(text)
    done = run("import", file)
    assert done.returncode == 0
    for name in ("pop3", "enable", "documentation", "authentication"):
        assert f"<{name}> is left out: " in done.stderr
    (provider,) = loads(done.stdout).provider
    assert provider.incoming[0].hostname == "imap.diary.test"


def test_import_of_one_file_twice_says_so() -> None:
    file = ISP / "diary.test.xml"
    done = run("import", file, file)
    assert done.returncode == 1
    assert "it is named twice" in done.stderr


def test_no_forwarded_header_is_believed_unasked(toml: Write, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(toml(TWO_DOMAINS), "--workers", "1", log=log) as url:
        path = "/mail/config-v1.1.xml"
        assert fetch(url + path, SCRIPT_NAME="/mail").status == 200
        pox = f"{url}/autodiscover/autodiscover.xml"
        assert fetch(pox, X_Forwarded_Proto="http").status == 200
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            sock.sendall("GET /?a=secret@é.test HTTP/1.1\r\n\r\n".encode())
            assert b" 400 " in sock.recv(100)
        until(lambda: "Invalid request" in log.read_text())
    assert "secret" not in log.read_text()


def test_in_a_flask_project_show_asks_the_projects_hooks(
    toml: Write, tmp_path: Path
) -> None:
    toml(TWO_DOMAINS, "autoconfig.toml")
    (tmp_path / "hooked.py").write_text(
        "from flask import Flask, current_app\n"
        "from flask_autoconfig import autoconfig\n"
        "app = Flask(__name__)\n"
        "@autoconfig.find_provider\n"
        "def provider_of(domain):\n"
        "    assert current_app.name\n"
        "    return 'example.com' if domain == 'customer.test' else None\n"
        "app.register_blueprint(autoconfig)\n"
    )
    command = [str(BIN / "flask"), "--app", "hooked", "autoconfig", "show"]
    for whom in ("a@customer.test", "customer.test"):
        done = subprocess.run(
            [*command, whom], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert "<domain>customer.test</domain>" in done.stdout, done.stderr
    missing = subprocess.run(
        [BIN / "flask", "--app", "nowhere_app", "autoconfig", "validate"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert missing.returncode == 2


@pytest.mark.parametrize(
    "arguments", [("--unpublished",), ("--unpublished", "example.com"), ("--all",)]
)
def test_check_says_how_to_come_by_the_file_that_it_takes(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run("check", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "flask-autoconfig init DOMAIN" in done.stderr
