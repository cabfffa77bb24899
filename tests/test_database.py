"""Hooks that query PostgreSQL, which restarts under load."""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import (
    BIN,
    ROOT,
    TWO_DOMAINS,
    Reply,
    end,
    fetch,
    free_port,
    lacking,
    open_folder,
    running,
    until,
    wait_for,
)

pytestmark = pytest.mark.world
Write = Callable[..., Path]
CUSTOMERS = 20_000
EXAMPLES = ROOT / "examples"


class Postgres:
    """A server on loopback whose only user, `mail`, needs no password."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql://mail@127.0.0.1:{self.port}/postgres"
        self._folder = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._options: dict[str, Any] = {}
        if os.getuid() == 0:  # as whom PostgreSQL refuses to run
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._options = {"user": user.pw_uid, "group": user.pw_gid}
        subprocess.run(
            [_program("initdb"), "--username=mail", "--auth=trust", "--no-sync"],
            env={"PGDATA": str(self._folder), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            check=True,
            **self._options,
        )

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = ["listen_addresses=127.0.0.1", "fsync=off"]
        settings.append(f"unix_socket_directories={self._folder}")
        words = [word for setting in settings for word in ("-c", setting)]
        process = self._process = subprocess.Popen(
            [_program("postgres"), "-D", self._folder, "-p", str(self.port), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._options,
        )
        wait_for(self.port, process)
        ready = (_program("pg_isready"), "--quiet", f"--dbname={self.url}")
        until(lambda: subprocess.run(ready).returncode == 0)

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            end(self._process, at_once=True)
            self._process = None
            (self._folder / "postmaster.pid").unlink(missing_ok=True)


def _program(name: str) -> Path:
    # Debian keeps each release's programs in a folder of its own, outside of PATH.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found[-1] if found else lacking(f"PostgreSQL's {name}")


@pytest.fixture(scope="module")
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
            server.stop()


@pytest.fixture
def url(server: Postgres, toml: Write) -> Iterator[str]:
    """The example, whose one worker caches for a second."""
    port = free_port()
    file = toml(f"hook_max_age = 1\n{TWO_DOMAINS}")
    command = (BIN / "flask-autoconfig", "--config", file, "serve", "--workers", "1")
    options = ("--bind", f"127.0.0.1:{port}", "--hooks", "customers")
    log = file.with_name("log")
    env = {"DATABASE_URL": server.url, "PYTHONPATH": str(EXAMPLES)}
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


def test_every_customer_has_their_settings_also_while_the_database_restarts(
    server: Postgres, url: str
) -> None:
    known = range(101, 121)
    for number in (1, 2, 777, 778, CUSTOMERS - 1, CUSTOMERS, *known):
        assert is_right(ask(url, number), number)
    assert ask(url, CUSTOMERS + 1).status == 404
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
