"""Moving here from automx2, its database and its seed, and from automx."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support import BIN, fetch, free_port, lacking, run, running, serving

from flask_autoconfig.documents.thunderbird_reader import Reader

SEED: dict[str, Any] = {
    "version": 2,
    "provider": "Example Inc.",
    "domains": [{"name": "example.com"}, {"name": "example.net"}],
    "servers": [
        {"type": "smtp", "name": "smtp.example.com", "port": 587},
        {"type": "imap", "name": "imap2.example.com", "prio": 20},
        {"type": "imap", "name": "imap.example.com"},
        {"type": "pop", "name": "pop.example.com"},
        {
            "type": "caldav",
            "port": 8443,
            "url": "https://dav.example.com/%EMAILADDRESS%/",
        },
    ],
}
AUTOMX = """
[automx]
provider = example.com
domains = example.com, example.net, own.example.org
[DEFAULT]
account_name = Example Inc.
account_name_short = Example
smtp = yes
smtp_server = smtp.example.com
smtp_port = 587
smtp_encryption = starttls
smtp_auth = plaintext
smtp_auth_identity = %u
smtp_default = yes
[global]
backend = static
imap = yes
imap_server = imap.example.com
imap_port = 993
imap_encryption = ssl
imap_auth = encrypted
[example.net]
backend = global
[own.example.org]
backend = ldap
account_name = Own - ${cn}
smtp_auth_identity = ${uid}
pop = yes
pop_server = pop.%d
pop_port = 995
pop_encryption = auto
[unlisted.example.org]
backend = static
"""


def moved(file: Path, text: str | bytes) -> tuple[list[dict[str, Any]], str]:
    """The providers of the TOML that `import` makes of a file, and what it says is lost."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run("import", file)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return tomllib.loads(done.stdout)["provider"], done.stderr


# --- automx2 ---------------------------------------------------------------------------


OLDER = {**SEED, "version": 1, "domains": ["example.com", "example.net"]}


@pytest.mark.parametrize("seed", [SEED, OLDER], ids=["version 2", "older"])
def test_a_seed_of_automx2_is_a_provider_in_the_order_of_its_priorities(
    tmp_path: Path, seed: dict[str, Any]
) -> None:
    (provider,), lost = moved(tmp_path / "seed.json", json.dumps(seed))
    assert provider["domains"] == ["example.com", "example.net"]
    assert provider["display_name"] == "Example Inc."
    hosts = [it["hostname"] for it in provider["incoming"]]
    assert hosts == ["imap.example.com", "pop.example.com", "imap2.example.com"]
    assert provider["outgoing"][0]["socket_type"] == "STARTTLS"
    url = "https://dav.example.com:8443/%EMAILADDRESS%/"
    assert provider["calendar"] == [{"type": "caldav", "url": url}]
    assert not lost


def test_what_ldap_tells_a_seeds_domain_is_lost_and_said(tmp_path: Path) -> None:
    domains = [{"name": "example.com", "ldapserver_id": 1}]
    _, lost = moved(tmp_path / "seed.json", json.dumps({**SEED, "domains": domains}))
    assert "find_username" in lost


@pytest.fixture
def database(tmp_path: Path) -> tuple[Path, Path]:
    """A database that automx2 itself made of the seed, and its configuration."""
    if find_spec("automx2") is None:
        lacking("automx2")
    conf, base = tmp_path / "automx2.conf", tmp_path / "db.sqlite"
    conf.write_text(f"[automx2]\nloglevel = ERROR\ndb_uri = sqlite:///{base}\n")
    made = (
        "import json, sys; from automx2.server import app\n"
        "reply = app.test_client().post('/initdb/', json=json.loads(sys.argv[1]))\n"
        "assert reply.status_code == 200, reply.text"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", made, json.dumps(SEED)],
        env={"AUTOMX2_CONF": str(conf), "PATH": str(BIN)},
        check=True,
        capture_output=True,
    )
    return base, conf


@pytest.mark.world
def test_what_automx2_answers_from_its_database_we_answer_too(
    database: tuple[Path, Path], tmp_path: Path
) -> None:
    base, conf = database
    (provider,), lost = moved(tmp_path / "copy.sqlite", base.read_bytes())
    assert not lost
    file = tmp_path / "autoconfig.toml"
    file.write_text(run("import", base).stdout)
    question = "/mail/config-v1.1.xml?emailaddress=fred@example.net"
    port = free_port()
    command = (BIN / "gunicorn", "-b", f"127.0.0.1:{port}", "automx2.server:app")
    env = {"AUTOMX2_CONF": str(conf), "PYTHONWARNINGS": "ignore"}
    with running(*command, port=port, env=env, at_once=True), serving(file) as ours:
        theirs = Reader().read(fetch(f"http://127.0.0.1:{port}{question}").body)
        mine = Reader().read(fetch(ours + question).body)
    keys = ("domains", "display_name", "display_short_name", "incoming", "outgoing")
    for key in keys:
        assert mine[key] == theirs[key], key
    assert provider["calendar"][0]["url"].startswith("https://dav.example.com")


def test_an_old_database_without_priorities_and_calendars_is_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "db.sqlite"
    with closing(sqlite3.connect(file)) as base:
        base.executescript("""
            CREATE TABLE provider (id INTEGER, name TEXT, short_name TEXT);
            CREATE TABLE server (id INTEGER, name TEXT, port INTEGER, type TEXT,
                socket_type TEXT, user_name TEXT, authentication TEXT);
            CREATE TABLE domain (id INTEGER, name TEXT, provider_id INTEGER,
                ldapserver_id INTEGER);
            CREATE TABLE server_domain (server_id INTEGER, domain_id INTEGER);
            INSERT INTO provider VALUES (1, 'Example Inc.', 'Example');
            INSERT INTO domain VALUES (1, 'example.com', 1, 7), (2, 'example.net', 1, NULL),
                (3, 'other.example.org', 1, NULL), (4, 'empty.example.org', 1, NULL);
            INSERT INTO server VALUES
                (1, 'imap.example.com', 993, 'imap', 'SSL', '%EMAILADDRESS%', 'plain'),
                (2, 'smtp.example.com', 25, 'smtp', 'plain', '%EMAILLOCALPART%', 'NTLM'),
                (3, 'x.example.com', 1, 'telex', 'SSL', 'x', 'plain');
            INSERT INTO server_domain VALUES (1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3),
                (2, 3), (3, 3), (99, 1);
        """)
    (provider,), lost = moved(tmp_path / "copy.sqlite", file.read_bytes())
    domains = ["example.com", "example.net", "other.example.org"]
    assert provider["domains"] == domains
    assert provider["outgoing"] == [
        {
            "type": "smtp",
            "hostname": "smtp.example.com",
            "socket_type": "plain",
            "username": "%EMAILLOCALPART%",
            "authentication": "NTLM",
        }
    ]
    assert "x.example.com of the type telex is left out" in lost
    assert "empty.example.org: left out, it has no servers" in lost
    assert "find_username" in lost


# --- automx ----------------------------------------------------------------------------


def test_an_automx_conf_is_a_provider_for_each_section_that_answers(
    tmp_path: Path,
) -> None:
    (general, own), lost = moved(tmp_path / "automx.conf", AUTOMX)
    assert general["domains"] == ["example.com", "example.net"]
    assert general["display_name"] == "Example Inc."
    assert general["display_short_name"] == "Example"
    assert general["incoming"] == [
        {
            "type": "imap",
            "hostname": "imap.example.com",
            "username": "%EMAILLOCALPART%",
            "authentication": "password-encrypted",
        }
    ]
    assert general["outgoing"][0]["username"] == "%EMAILLOCALPART%"
    assert "use_global_preferred_server" not in general["outgoing"][0]
    assert own["domains"] == ["own.example.org"]
    assert own["incoming"][0]["hostname"] == "pop.%EMAILDOMAIN%"
    for words in (
        "line 14: smtp_default = yes is left out",
        "line 25: [own.example.org]: what ldap looks up for a user is lost",
        "line 26: account_name = Own - ${cn} is left out",
        "line 27: smtp_auth_identity = ${uid} is left out",
        "line 31: pop_encryption = auto became SSL",
    ):
        assert words in lost
    assert "unlisted" not in lost


def test_with_any_domain_each_section_counts_but_those_that_filters_lead_to(
    tmp_path: Path,
) -> None:
    text = AUTOMX.replace("example.com, example.net, own.example.org", "*")
    text += "imap = yes\nimap_server = imap.example.org\n"
    text += "[foo.example.org]\nbackend = filter\nsection_filter = bar.example.org\n"
    text += "[bar.example.org]\nbackend = static\n"
    providers, lost = moved(tmp_path / "automx.conf", text)
    domains = [domain for it in providers for domain in it["domains"]]
    assert sorted(domains) == [
        *("*", "example.net", "own.example.org", "unlisted.example.org")
    ]
    assert "foo.example.org: left out, its backend is 'filter'" in lost


# --- What cannot be read ---------------------------------------------------------------

FAULTY = {
    "no JSON": (b"{nonsense", "no readable seed of automx2"),
    "another JSON": (b'{"domains": "x"}', "Expected `array`, got `str`"),
    "deep JSON": (b'{"a":' * 100_000, "no readable seed of automx2"),
    "no database": (b"SQLite format 3\0nonsense", "no readable database of automx2"),
    "no INI": (b"[automx]\nnonsense", "line 2 has no `key = value`"),
    "no domain": (b'{"domains": [5], "servers": []}', "domains"),
    "odd servers": (
        b'{"domains": ["example.com"], "servers": [5, {"type": "imap"}]}',
        "Expected `object`, got `int`",
    ),
    "no host": (
        b'{"domains": ["example.com"], "servers": [{"type": "imap"}]}',
        "hostname",
    ),
}


@pytest.mark.parametrize(("data", "words"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_file_is_told_with_its_name(
    tmp_path: Path, data: bytes, words: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    done = run("import", file)
    assert done.returncode == 1
    assert words in done.stderr
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
