"""Hooks that query PostgreSQL, which restarts under load."""

import os
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from services import Response, free_port, load, running, serve, until
from support import ROOT, TWO_DOMAINS, Patch, Write, lacking, open_folder, program

pytestmark = pytest.mark.world
CUSTOMERS = 20_000
EXAMPLES = ROOT / "examples"


class Postgres:
    """A server on loopback whose only user, `mail`, needs no password."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql://mail@127.0.0.1:{self.port}/postgres"
        self._folder, self._runs = folder / "data", ExitStack()
        self._as: list[str | Path] = []
        if os.getuid() == 0:  # as whom PostgreSQL refuses to run
            shutil.chown(folder, "postgres", "postgres")
            ids = ("--reuid=postgres", "--regid=postgres", "--clear-groups")
            self._as = [program("setpriv"), *ids]
        words = [*self._as, _program("initdb"), "--username=mail", "--auth=trust"]
        env = {"PGDATA": str(self._folder), "LC_ALL": "C.UTF-8"}
        subprocess.run([*words, "--no-sync"], env=env, check=True, capture_output=True)

    def start(self) -> None:
        (self._folder / "postmaster.pid").unlink(missing_ok=True)
        settings = f"unix_socket_directories={self._folder}"
        where = (f"-p{self.port}", "-D", self._folder)
        command = [*self._as, _program("postgres"), *where]
        command += ["-clisten_addresses=127.0.0.1", "-cfsync=off", f"-c{settings}"]
        self._runs.enter_context(running(*command, port=self.port, at_once=True))
        ready = (_program("pg_isready"), "--quiet", f"--dbname={self.url}")
        until(lambda: subprocess.run(ready).returncode == 0)

    def kill(self) -> None:
        self._runs.close()


def _program(name: str) -> Path:
    # Debian keeps each release's programs in a folder of its own, outside of PATH.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else lacking(f"PostgreSQL's {name}")


@pytest.fixture
def server() -> Iterator[Postgres]:
    """The example's table; every second customer has servers of their own."""
    with open_folder() as folder:
        server = Postgres(folder)
        server.start()
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute((EXAMPLES / "customers.sql").read_bytes())
                connection.execute(
                    """INSERT INTO customer
                    SELECT d, CASE WHEN n %% 2 = 0 THEN 'example.com' END,
                    'Customer ' || n, 'imap.' || d, 'smtp.' || d FROM
                    (SELECT n, 'c' || n || '.test' AS d FROM generate_series(1, %s) AS n)
                    AS numbers""",
                    [CUSTOMERS],
                )
                connection.execute("ANALYZE customer")
            yield server
        finally:
            server.kill()


@pytest.fixture
def fetch(
    server: Postgres, toml: Write, monkeypatch: Patch
) -> Iterator[Callable[[int], Response]]:
    """Ask the example, whose one worker caches for a second, for a customer's settings."""
    monkeypatch.setenv("DATABASE_URL", server.url)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    file = toml(f"hook_max_age = 1\n{TWO_DOMAINS}")
    with serve(file, "--workers", "1", "--hooks", "customers") as service:
        yield lambda number: service.config_of(f"c{number}.test")
    assert "fred" not in service.log.read_text()


def is_right(response: Response, number: int) -> bool:
    own = f"<hostname>imap.c{number}.test</hostname>".encode() in response.body
    of_file = b"<hostname>imap.example.com</hostname>" in response.body
    is_its_own = f"<domain>c{number}.test</domain>".encode() in response.body
    return is_its_own and (of_file if number % 2 == 0 else own)


@contextmanager
def loaded(
    fetch: Callable[[int], Response], known: range, new: range
) -> Iterator[dict[str, set[int]]]:
    """Let clients ask for the same customers repeatedly, and for new ones.

    Yield the statuses of the responses, which must be right, or say when to come again.
    """
    statuses: dict[str, set[int]] = defaultdict(set)
    fresh = iter(new)

    def ask_for_all() -> None:
        for number in (next(fresh), *known):
            response = fetch(number)
            statuses["known" if number in known else "new"].add(response.status)
            says_when = response.status == 503 and "Retry-After" in response.headers
            is_served = response.status == 200 and is_right(response, number)
            assert says_when or is_served, (number, response)

    with load(ask_for_all, clients=6):
        yield statuses


def test_every_customer_has_their_settings_also_while_the_database_restarts(
    server: Postgres, fetch: Callable[[int], Response]
) -> None:
    known = range(101, 121)
    for number in (1, 2, 777, 778, CUSTOMERS - 1, CUSTOMERS, *known):
        assert is_right(fetch(number), number)
    assert fetch(CUSTOMERS + 1).status == 404
    with loaded(fetch, known, range(1000, CUSTOMERS)) as statuses:
        time.sleep(2)
        assert statuses == {"known": {200}, "new": {200}}
        server.kill()
        until(lambda: 503 in statuses["new"])
        time.sleep(3)  # longer than an answer is kept
        server.start()
        until(lambda: fetch(500).status == 200)
    assert statuses == {"known": {200}, "new": {200, 503}}
    with loaded(fetch, known, range(600, 1000)) as statuses:
        time.sleep(1)
    assert statuses == {"known": {200}, "new": {200}}
