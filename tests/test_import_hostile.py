"""`import` of files that strangers made: each ends with a message, soon, or is read."""

import json
import os
import resource
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services import captured
from support import BIN, program, rows, table
from test_import import AUTOMX, CASES, SEED, import_files, moved

from flask_autoconfig.errors import ConfigError
from flask_autoconfig.tools.importers.automx import _Database

ISP = Path(__file__).parent / "isp"
# ruff: noqa: S608 (the queries are made of constants)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
DATABASE = (CASES / "automx2.sql").read_text()


def database(file: Path, script: str = "") -> Path:
    with closing(sqlite3.connect(file)) as base:
        filled = script.replace("{endless}", ENDLESS).replace("{long}", "x" * 90_000)
        base.executescript(DATABASE + filled)
    return file


def imported(file: Path) -> list[str]:
    """The domains that `import` makes of a file."""
    text, _ = import_files([file])
    return [d for table in tomllib.loads(text)["provider"] for d in table["domains"]]


def little() -> None:
    """Give this process little memory and time."""
    resource.setrlimit(resource.RLIMIT_AS, (1024 * 1024 * 1024,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


def fault_of(file: Path) -> str:
    """What `import` says of a file at fault, after it ended as it should."""
    result = subprocess.run(
        [BIN / "flask-autoconfig", "import", file],
        stdin=subprocess.DEVNULL,
        preexec_fn=little,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    assert "Traceback" not in result.stderr
    assert str(file) in result.stderr
    assert "; " in result.stderr or "do: " in result.stderr  # what to do
    return result.stderr


# --- Databases --------------------------------------------------------------------------


@rows("hostile_tables", "script, words", "imports.toml")
def test_a_hostile_database_is_refused(tmp_path: Path, script: str, words: str) -> None:
    assert words in fault_of(database(tmp_path / "db.sqlite", script))


@pytest.mark.parametrize("row", ["1, 1", "i, 1"])
def test_a_repeated_server_counts_once(tmp_path: Path, row: str) -> None:
    script = (
        f"INSERT INTO server {ENDLESS} SELECT i, 1, 'a.test', 993, 'imap', 'SSL', "
        "'a', 'plain' FROM n LIMIT 2, 50000;"
        f"INSERT INTO server_domain {ENDLESS} SELECT {row} FROM n LIMIT 2, 50000;"
    )
    text, _ = import_files([database(tmp_path / "db.sqlite", script)])
    (provider,) = tomllib.loads(text)["provider"]
    assert len(provider["incoming"]) == len(set(row.split(", ")))


def test_nothing_in_a_database_may_be_computed() -> None:
    with closing(sqlite3.connect(":memory:")) as base:
        _Database(base)
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            base.execute("SELECT hex(1)")


@rows("unread", "script", "imports.toml")
def test_unread_parts_of_a_database_do_no_harm(tmp_path: Path, script: str) -> None:
    assert imported(database(tmp_path / "db.sqlite", script)) == ["example.com"]


@pytest.mark.parametrize("name", ["a?mode=rwc&x=.db", "a#b", "100%", "a%3fb", "ä b"])
def test_a_database_is_found_by_any_name(tmp_path: Path, name: str) -> None:
    before = database(tmp_path / name).read_bytes()
    assert imported(tmp_path / name) == ["example.com"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


def test_changes_that_are_not_in_the_database_yet_are_told_of(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite"
    with closing(sqlite3.connect(file)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        base.executescript(DATABASE)
        assert "db.sqlite-wal has changes that are not in it" in fault_of(file)
    assert imported(file) == ["example.com"]


@pytest.mark.world
def test_a_database_through_a_pipe_is_refused(tmp_path: Path) -> None:
    file = database(tmp_path / "db.sqlite")
    command = f"{BIN}/flask-autoconfig import <(cat {file})"
    result = captured(program("bash"), "-c", command, code=1)
    assert "it is no ordinary file" in result.stderr


# --- Odd files --------------------------------------------------------------------------

XML = (ISP / "diary.test.xml").read_text()
DIGITS = "9" * 5000


def seed(**changes: object) -> bytes:
    return json.dumps({**SEED, **changes}).encode()


ODD: dict[str, bytes] = {
    **{
        name: (before + times * repeated).encode()
        for name, (before, repeated, times) in table("odd", "imports.toml").items()
    },
    "binary": bytes(range(256)) * 16,
    "UTF-16 XML cut": XML.encode("utf-16")[:-3],
    "UTF-16 INI": AUTOMX.encode("utf-16"),
    "UTF-16 JSON": json.dumps(SEED).encode("utf-16"),
    "Latin-1 INI": AUTOMX.replace("Inc.", "Größe").encode("latin-1"),
    "a number of many digits": seed(version=0).replace(b"587", DIGITS.encode()),
    "a surrogate": seed(provider="\ud800"),
    "JSON that is no UTF-8": seed().replace(b"Example", b"\xff"),
    "NaN": seed().replace(b"587", b"NaN"),
    "an odd provider": seed(provider=[]),
    "odd domains": seed(domains=[{"name": None}]),
    "an odd host": seed(servers=[{"type": "imap", "name": {}}]),
    "an odd type": seed(servers=[{"type": []}]),
    "an odd priority": seed(servers=[{"type": "imap", "prio": "x"}]),
    "an odd URL": seed(servers=[{"type": "caldav", "url": "https://[x"}]),
    "a port of many digits": AUTOMX.replace("587", DIGITS).encode(),
    "a long setting": AUTOMX.replace("Example Inc.", "x" * 5000).encode(),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_an_odd_file_is_a_problem_with_its_name(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        import_files([file])
    for problem in caught.value.problems:
        assert str(file) in str(problem)
        assert problem.cure


ODD_VALUES = {
    "a port of many digits in XML": XML.replace("993", DIGITS),
    "a port of other digits in XML": XML.replace("993", "९९३"),
    "a large port": seed().replace(b"587", b"1" + b"0" * 30),
    "a NUL": seed(provider="a\0b"),
    "a port of other digits": AUTOMX.replace("587", "²"),
}


@pytest.mark.parametrize("data", ODD_VALUES.values(), ids=ODD_VALUES.keys())
def test_only_an_odd_value_is_left_out(tmp_path: Path, data: str | bytes) -> None:
    providers, notes = moved(tmp_path / "file", data)
    assert providers[0]["incoming"]
    assert "is left out" in notes


PLACES: dict[str, Callable[[Path], object]] = {
    "no file": lambda file: file,
    "a folder": Path.mkdir,
    "a pipe that nobody writes to": os.mkfifo,
    "a link to itself": lambda file: file.symlink_to(file),
    "a device without an end": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES.keys())
def test_no_file_is_told(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "file")
    fault_of(tmp_path / "file")


def test_every_file_at_fault_is_named(tmp_path: Path) -> None:
    names = [tmp_path, tmp_path / "none"]
    with pytest.raises(ConfigError) as caught:
        import_files(names)
    assert [problem.place for problem in caught.value.problems] == list(map(str, names))


# --- Any change of a good file ----------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each format."""
    folder = tmp_path_factory.mktemp("good")
    return {
        "xml": XML.encode(),
        "seed": json.dumps(SEED).encode(),
        "automx": AUTOMX.encode(),
        "database": database(folder / "db.sqlite").read_bytes(),
    }


BYTES = [b"\0", b"\xff\xfe", *(bytes([byte]) for byte in b'[]{}"<&\n')]
WORDS = [b"null", b"-1", b"1e999", b"[]", b"{}", DIGITS.encode(), b"\\ud800"]
PIECES = st.one_of(st.binary(max_size=8), st.sampled_from([*BYTES, *WORDS]))


@pytest.mark.parametrize("name", ["xml", "seed", "automx", "database"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), max_size=4),
    end=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_a_file_that_is_changed_or_cut_is_read_or_told_of(
    good: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    changes: list[tuple[float, int, bytes]],
    end: float,
) -> None:
    data = good[name]
    for where, gone, piece in changes:
        at = 16 + int(where * (len(data) - 16))
        end_at = at + (len(piece) if name == "database" else gone)
        data = data[:at] + piece + data[end_at:]
    file = tmp_path_factory.getbasetemp() / f"changed-{name}"
    file.write_bytes(data[: int(end * len(data))])
    with suppress(ConfigError):
        import_files([file])
