"""`import` reads each format, and reports by line what it leaves out."""

import json
import os
import socket
import sqlite3
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from services import captured, fetch, free_port, run, running, serving
from strangers import answering, listening, server
from support import BIN, TWO_DOMAINS, certificate_for, lacking, loads, rows

from flask_autoconfig.address import Address
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.documents import Recipient, activesync, apple, outlook
from flask_autoconfig.documents.thunderbird_reader import Reader
from flask_autoconfig.tools import importers

CASES = Path(__file__).parent / "imports"
AUTOMX = (CASES / "automx.conf").read_text()
CONFIG = (CASES / "config.xml").read_text()
SEED: dict[str, Any] = json.loads((CASES / "seed.json").read_text())


def import_files(files: Sequence[importers.Source]) -> tuple[str, list[str]]:
    """Return the TOML, and what is left out of it."""
    notes: list[str] = []
    return importers.import_files(files, notes.append), notes


def moved(file: Path, text: str | bytes) -> tuple[list[dict[str, Any]], str]:
    """Return the providers that `import` writes for a file, and its notes."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("import", file, code=0)
    return tomllib.loads(result.stdout)["provider"], result.stderr


EXPECTED = sorted(CASES.glob("*.toml"))


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda file: file.stem)
def test_a_file_becomes_the_one_beside_it(tmp_path: Path, expected: Path) -> None:
    """The notes are its comments. UPDATE_WORDS=1 writes it."""
    file = expected.with_suffix("")
    if file.suffix == ".sql":
        with closing(sqlite3.connect(tmp_path / "db.sqlite")) as base:
            base.executescript(file.read_text())
        file = tmp_path / "db.sqlite"
    text, notes = import_files([file])
    found = "".join(f"# {note.partition(': ')[2]}\n" for note in notes) + text
    if os.environ.get("UPDATE_WORDS") == "1":
        expected.write_text(found)
    assert found == expected.read_text()


WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"


@pytest.fixture
def database(tmp_path: Path) -> tuple[Path, Path]:
    """A database that automx2 itself made of the seed, and its configuration."""
    if find_spec("automx2") is None:
        lacking("automx2")
    conf, base = tmp_path / "automx2.conf", tmp_path / "db.sqlite"
    conf.write_text(f"[automx2]\nloglevel = ERROR\ndb_uri = sqlite:///{base}\n")
    script = (
        "import json, sys; from automx2.server import app\n"
        "reply = app.test_client().post('/initdb/', json=json.loads(sys.argv[1]))\n"
        "assert reply.status_code == 200, reply.text"
    )
    words = ("python", "-W", "ignore", "-c", script, json.dumps(SEED))
    captured(*words, AUTOMX2_CONF=str(conf), code=0)
    return base, conf


@pytest.mark.world
def test_what_automx2_answers_from_its_database_we_answer_too(
    database: tuple[Path, Path], tmp_path: Path
) -> None:
    """And nothing else, as README has it."""
    base, conf = database
    (provider,), notes = moved(tmp_path / "copy.sqlite", base.read_bytes())
    assert not notes
    file = tmp_path / "autoconfig.toml"
    file.write_text(run("import", base).stdout)
    question = "/mail/config-v1.1.xml?emailaddress=fred@example.net"
    port = free_port()
    command = (BIN / "gunicorn", "-b", f"127.0.0.1:{port}", "automx2.server:app")
    env = {"AUTOMX2_CONF": str(conf), "PYTHONWARNINGS": "ignore"}
    with running(*command, port=port, env=env, at_once=True), serving(file) as own_url:
        url = f"http://127.0.0.1:{port}"
        expected = Reader().read(fetch(url + question).body)
        assert fetch(f"{url}/mail/config-v1.1.xml").status == 400
        for path in (WELL_KNOWN, "/autodiscover/autodiscover.json"):
            assert fetch(f"{url}{path}?emailaddress=fred@example.net").status == 404
        actual = Reader().read(fetch(own_url + question).body)
    keys = ("domains", "display_name", "display_short_name", "incoming", "outgoing")
    for key in keys:
        assert actual[key] == expected[key], key
    assert provider["calendar"][0]["url"].startswith("https://dav.example.com")


# --- config-v1.1.xml -------------------------------------------------------------------


@rows("odd_xml", "old, new, note, remaining", "imports.toml")
def test_an_odd_value_of_xml_is_named_by_its_line_and_loses_nothing_else(
    tmp_path: Path, old: str, new: str, note: str, remaining: str
) -> None:
    (tmp_path / "odd.xml").write_text(CONFIG.replace(old, new, 1))
    text, notes = import_files([tmp_path / "odd.xml"])
    assert note in "\n".join(notes)
    assert remaining in text
    (provider,) = tomllib.loads(text)["provider"]
    assert "imap.test" in [server.get("hostname") for server in provider["incoming"]]
    assert provider["outgoing"][0]["hostname"] == "smtp.test"


def test_what_is_left_out_is_named_although_the_import_fails() -> None:
    result = run("import", CASES / "smtps-as-incoming.xml")
    assert (result.returncode, result.stdout) == (1, "")
    for line, type_ in ((8, "imaps"), (10, "pop3s"), (11, "smtp"), (12, "smtps")):
        start = f"line {line}: <incomingServer> is left out: the type {type_} is none"
        assert start in result.stderr
    assert "it has imap but no smtp" in result.stderr


def test_the_same_servers_in_several_files_become_one_provider(tmp_path: Path) -> None:
    files = []
    for name in ("example.com", "example.net", "a.test"):
        text = CONFIG.replace("example.com", name)
        files.append(tmp_path / name)
        files[-1].write_text(
            text.replace("imap.test", "b.test") if "a." in name else text
        )
    text, notes = import_files(files)
    first, second = tomllib.loads(text)["provider"]
    assert first["domains"] == ["example.com", "example.net"]
    assert first["display_name"] == "%EMAILDOMAIN% Mail"
    assert second["domains"] == ["a.test"]
    assert notes == []


# --- What one person's client gets -----------------------------------------------------


RECIPIENT = Recipient("example.com", Address("fred", "example.com"))


def served(**server: str) -> dict[str, Any]:
    """A provider with these keys in each of its servers."""
    dav = {"url": "https://a.test:8443/c", **server}
    server |= {"hostname": "mail.example.com"}
    return {
        "domains": ["example.com"],
        "incoming": [{"type": "imap", **server}],
        "outgoing": [{"type": "smtp", **server, "socket_type": "STARTTLS"}],
        "calendar": [{"type": "caldav", **dav}],
        "address_book": [{"type": "carddav", **dav}],
    }


def exchange(type_: str, path: str) -> dict[str, Any]:
    server = {"type": type_, "url": f"https://mail.example.com/{path}"}
    return {"domains": ["example.com"], "incoming": [server]}


BY_ADDRESS, BY_NAME = served(), served(username="%EMAILLOCALPART%")
EWS = exchange("ews", "EWS/Exchange.asmx")
ACTIVESYNC = exchange("activesync", "Microsoft-Server-ActiveSync")


@pytest.mark.parametrize(
    ("write", "raw"),
    [
        *((outlook.write, raw) for raw in (BY_ADDRESS, BY_NAME, EWS)),
        *((apple.write, raw) for raw in (BY_ADDRESS, BY_NAME, ACTIVESYNC)),
        (activesync.write, ACTIVESYNC),
    ],
)
def test_what_we_serve_is_read_again(
    tmp_path: Path, write: Callable[..., bytes], raw: dict[str, Any]
) -> None:
    loaded = from_raw({"provider": [raw]})
    # The address is nowhere but in the user name where there is no other place for it.
    user = b"<User><AutoDiscoverSMTPAddress>fred@example.com"
    user += b"</AutoDiscoverSMTPAddress></User><Account>"
    body = write(loaded.providers[0], RECIPIENT)
    (tmp_path / "file").write_bytes(body.replace(b"<Account>", user))
    assert loads(import_files([tmp_path / "file"])[0]) == loaded.tables


def test_a_signed_profile_is_read_too(tmp_path: Path) -> None:
    (provider,) = loads(TWO_DOMAINS).provider
    file = tmp_path / "signed.mobileconfig"
    body = apple.write(provider, RECIPIENT)
    assert body is not None
    file.write_bytes(b"\x30\x82\x10\x00" + body + b"\0signature")
    assert "imap.example.com" in import_files([file])[0]


@rows("personal", "old, new, note", "imports.toml")
def test_odd_values_are_reported(tmp_path: Path, old: str, new: str, note: str) -> None:
    file = tmp_path / "file"
    file.write_text((CASES / "autodiscover.xml").read_text().replace(old, new, 1))
    result = run("import", file)
    assert note in result.stderr
    assert "u1234" not in result.stdout


@rows("faulty", "text, words", "imports.toml")
def test_a_faulty_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(text.encode("latin-1"))
    result = run("import", file)
    assert (result.returncode, result.stdout) == (1, "")
    assert words in result.stderr
    assert str(file) in result.stderr
    assert "it begins with" not in result.stderr  # which is not what is wrong


# --- A file at a URL ----------------------------------------------------------------------


def test_a_file_at_a_url_is_fetched(tmp_path: Path) -> None:
    files = certificate_for("localhost", folder=tmp_path)
    response = b"HTTP/1.1 200 OK\r\n\r\n" + CONFIG.encode()
    with server(answering(response), files) as port:
        url = f"https://localhost:{port}/mail/config-v1.1.xml"
        result = run("import", url, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert result.stdout == run("import", CASES / "config.xml").stdout
        assert run("import", url).returncode == 1  # nobody vouches for the server


LOST = {
    "404 Not Found\r\n\r\n": "answers with status 404",
    f"200 OK\r\n\r\n{'x' * 1_100_000}": "more than 1024 KiB",
    "200 OK\r\nContent-Length: 9\r\n\r\nhalf": "ends after 4 of the 9 bytes",
    "302 Found\r\nLocation: file:///etc/passwd\r\n\r\n": "no web address",
    "302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n": "not on the internet",
}


@pytest.mark.parametrize(("response", "words"), LOST.items(), ids=LOST.values())
def test_a_url_without_a_whole_file_is_refused(response: str, words: str) -> None:
    with server(answering(f"HTTP/1.1 {response}".encode())) as port:
        result = run("import", f"http://127.0.0.1:{port}/")
    assert (result.returncode, result.stdout) == (1, "")
    assert words in result.stderr
    assert "download it" in result.stderr


@pytest.mark.world  # it needs port 80
def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    files = certificate_for("localhost", folder=tmp_path)
    moved = answering(b"HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\n\r\n")
    found = answering(b"HTTP/1.1 200 OK\r\n\r\n" + CONFIG.encode())
    plain = socket.create_server(("127.0.0.1", 80))
    with server(moved, files) as port, listening(plain, found):
        url = f"https://localhost:{port}/"
        result = run("import", url, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        fetched = run("import", "http://localhost/", code=0)
    assert "http://localhost/: it came over http, where anybody may" in fetched.stderr
    assert (result.returncode, result.stdout) == (1, "")
    assert "a redirect leads to http" in result.stderr
