"""Hooks that query PostgreSQL, which restarts under load."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres import Postgres, postgres
from support import BIN, ROOT, TWO_DOMAINS, Reply, fetch, free_port, running, until
from support import run_process as run

pytestmark = pytest.mark.world
Write = Callable[..., Path]
CUSTOMERS = 20_000
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """The example's table; every second customer has servers of their own."""
    with postgres() as server:
        until(lambda: _takes_connections(server))
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute((EXAMPLES / "customers.sql").read_bytes())
            connection.execute(
                """INSERT INTO customer
                SELECT d, CASE WHEN n %% 2 = 0 THEN 'example.com' END, 'Customer ' || n,
                'imap.' || d, 'smtp.' || d
                FROM (SELECT n, 'c' || n || '.test' AS d FROM generate_series(1, %s) AS n)
                AS numbers""",
                [CUSTOMERS],
            )
            connection.execute("ANALYZE customer")
        yield server


def _takes_connections(server: Postgres) -> bool:
    try:
        psycopg.connect(server.url).close()
    except psycopg.OperationalError:
        return False
    return True


BY_ADDRESS = """
import customers

def find_provider_by_address(address):
    return customers.find_provider(address.rpartition("@")[2])
"""


@pytest.fixture(params=["customers", "by_address"])
def url(request: pytest.FixtureRequest, server: Postgres, toml: Write) -> Iterator[str]:
    """The example or the same by address, whose one worker caches for a second."""
    port = free_port()
    file = toml(f"hook_max_age = 1\n{TWO_DOMAINS}")
    file.with_name("by_address.py").write_text(BY_ADDRESS)
    command = (BIN / "flask-autoconfig", "--config", file, "serve", "--workers", "1")
    options = ("--bind", f"127.0.0.1:{port}", "--hooks", request.param)
    log = file.with_name("log")
    env = {"DATABASE_URL": server.url, "PYTHONPATH": f"{EXAMPLES}:{file.parent}"}
    with running(*command, *options, port=port, log=log, env=env, at_once=True):
        yield f"http://127.0.0.1:{port}"
    assert "fred" not in log.read_text()


def ask(url: str, number: int) -> Reply:
    return fetch(f"{url}/mail/config-v1.1.xml?emailaddress=fred@c{number}.test")


def is_right(reply: Reply, number: int) -> bool:
    own = f"<hostname>imap.c{number}.test</hostname>".encode() in reply.body
    of_file = b"<hostname>imap.example.com</hostname>" in reply.body
    is_its_own = f"<domain>c{number}.test</domain>".encode() in reply.body
    return is_its_own and (of_file if number % 2 == 0 else own)


def test_every_customer_has_their_own_settings(url: str) -> None:
    for number in (1, 2, 777, 778, CUSTOMERS - 1, CUSTOMERS):
        assert is_right(ask(url, number), number)
    assert ask(url, CUSTOMERS + 1).status == 404


class Load:
    """Clients that request the same customers repeatedly, and new ones."""

    def __init__(self, url: str, known: range, new: range) -> None:
        self.statuses: dict[str, set[int]] = defaultdict(set)
        self.wrong: list[tuple[int, Reply]] = []
        self._ends = threading.Event()
        arguments = (url, known, iter(new))
        self._threads = [
            threading.Thread(target=self._ask, args=arguments) for _ in range(6)
        ]

    def _ask(self, url: str, known: range, new: Iterator[int]) -> None:
        while not self._ends.is_set():
            for number in (next(new), *known):
                reply = ask(url, number)
                kind = "known" if number in known else "new"
                self.statuses[kind].add(reply.status)
                says_when = reply.status == 503 and "Retry-After" in reply.headers
                if not (says_when or (reply.status == 200 and is_right(reply, number))):
                    self.wrong.append((number, reply))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()


def test_no_response_is_wrong_while_the_database_restarts(
    server: Postgres, url: str
) -> None:
    known = range(101, 121)
    for number in known:
        assert is_right(ask(url, number), number)
    with Load(url, known, range(1000, CUSTOMERS)) as load:
        time.sleep(2)
        assert load.statuses == {"known": {200}, "new": {200}}
        server.stop()
        until(lambda: 503 in load.statuses["new"])
        time.sleep(3)  # longer than an answer is kept
        server.start()
        until(lambda: ask(url, 500).status == 200)
    assert not load.wrong
    assert load.statuses == {"known": {200}, "new": {200, 503}}
    with Load(url, known, range(600, 1000)) as load:
        time.sleep(1)
    assert load.statuses == {"known": {200}, "new": {200}}


def test_the_commands_query_the_database(server: Postgres, toml: Write) -> None:
    env: Any = {"DATABASE_URL": server.url, "AUTOCONFIG_HOOKS": "customers"}
    env |= {"PYTHONPATH": str(EXAMPLES), "AUTOCONFIG_FILE": str(toml(TWO_DOMAINS))}
    for words, text in (
        ("show fred@c7.test", "<hostname>imap.c7.test</hostname>"),
        ("dns c7.test --target x.test", "_imaps._tcp IN SRV 0 1 993 imap.c7.test."),
        ("check fred@c7.test --unpublished", "imap.c7.test"),
        ("dns c0.test --target x.test", "the file does not serve it"),
    ):
        done = run(*words.split(), **env)
        assert text in done.stdout + done.stderr
        assert done.returncode == 1 or "c0" not in words
