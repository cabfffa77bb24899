"""Faults of a long-running service, with real processes, mostly under load."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from services import children_of, end, fetch, load, until, wait_for
from support import BIN, TWO_DOMAINS, loads, snapshot_of

from flask_autoconfig.documents import Recipient, thunderbird
from flask_autoconfig.service import Service

pytestmark = pytest.mark.world
Patch = pytest.MonkeyPatch
CONFIG = "/mail/config-v1.1.xml?emailaddress=fred@example.com"
OTHER = TWO_DOMAINS.replace("imap.", "mail.")


# systemd-socket-activate starts its program at the first connection; this is the same
# from the start: the socket is there before the service and after it.
_INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def _status(pid: int, name: str, base: int = 10) -> int:
    """Return a number of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    (found,) = re.findall(rf"^{name}:\s+(\w+)", text, re.M)
    return int(found, base)


def _handles_signals(worker: int) -> bool:
    """Whether a gunicorn worker has installed its own signal handlers.

    The arbiter's, which it has before, catch SIGHUP.
    """
    with suppress(OSError):  # it may have ended
        return not _status(worker, "SigCgt", 16) & 1 << (signal.SIGHUP - 1)
    return False


class Running:
    """Services that take over one listening socket, as from systemd."""

    def __init__(self, file: Path, listener: socket.socket) -> None:
        self.file = file
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._number = listener.fileno()

    def start(self) -> None:
        number, program = str(self._number), str(BIN / "flask-autoconfig")
        command = [program, "--config", str(self.file), "serve"]
        process = subprocess.Popen(
            [sys.executable, "-c", _INHERIT, number, *command, "--workers", "2"],
            pass_fds=[self._number],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        wait_for(self.port, process)
        assert fetch(self.url + "/healthz").status == 200

    def workers(self) -> set[int]:
        return set(children_of(self.processes[-1].pid))

    def wait_for_workers(self, *, without: Set[int] = frozenset()) -> None:
        """Wait until two workers run, none of them among these."""

        def are_there() -> bool:
            workers = self.workers()
            new = len(workers) == 2 and not workers & without
            return new and all(map(_handles_signals, workers))

        until(are_there)

    def answers(self, host: bytes) -> bool:
        """Whether each of many responses, from all workers, names that host."""
        return all(host in fetch(self.url + CONFIG).body for _ in range(20))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        running = Running(file, listener)
        running.start()
        try:
            running.wait_for_workers()
            yield running
        finally:
            for process in running.processes:
                end(process, at_once=True)


class Outcomes(NamedTuple):
    bodies: Counter[bytes]
    statuses: set[int]
    lost: list[str]


@contextmanager
def loaded(running: Running) -> Iterator[Outcomes]:
    """Send requests from several threads until the block ends."""
    outcomes = Outcomes(Counter(), set(), [])

    def ask() -> None:
        try:
            reply = fetch(running.url + CONFIG)
        except (OSError, http.client.HTTPException) as error:
            outcomes.lost.append(repr(error))
        else:
            outcomes.bodies[reply.body] += 1
            outcomes.statuses.add(reply.status)

    with load(ask):
        time.sleep(0.3)
        yield outcomes
        time.sleep(0.3)


DOCUMENTS = {
    thunderbird.write(loads(text).provider[0], Recipient("example.com"))
    for text in (TWO_DOMAINS, OTHER)
}


def test_a_killed_worker_costs_at_most_the_requests_in_flight(running: Running) -> None:
    with loaded(running) as outcomes:
        for _ in range(3):
            killed = min(running.workers())
            os.kill(killed, signal.SIGKILL)
            running.wait_for_workers(without={killed})
        until(lambda: outcomes.bodies.total() > 100)
    assert outcomes.statuses == {200}
    assert set(outcomes.bodies) <= DOCUMENTS
    assert len(outcomes.lost) <= 3 * 4  # four in flight at each kill


def test_a_reload_or_a_restart_loses_no_request(running: Running) -> None:
    with loaded(running) as outcomes:
        for _ in range(3):
            before = running.workers()
            running.processes[-1].send_signal(signal.SIGHUP)
            running.wait_for_workers(without=before)
        for _ in range(2):
            old = running.processes[-1]
            running.start()
            old.terminate()
            assert old.wait(40) == 0
            running.wait_for_workers()
            time.sleep(0.3)  # of requests to the new one alone
    assert outcomes.lost == []
    assert outcomes.statuses == {200}


def _in_place(file: Path, text: str) -> None:
    with file.open("r+") as out:
        out.write(text)
        out.truncate()


def _by_renaming(file: Path, text: str) -> None:
    file.with_suffix(".swp").write_text(text)
    file.with_suffix(".swp").rename(file)


def _in_halves(file: Path, text: str) -> None:
    with file.open("w") as out:
        out.write(text[: len(text) // 2])
        out.flush()
        out.write(text[len(text) // 2 :])


def test_only_complete_files_are_served_under_load(running: Running) -> None:
    ways = (_in_place, _by_renaming, _in_halves)
    with loaded(running) as outcomes:
        for number in range(1000):
            text = OTHER if number % 2 else TWO_DOMAINS
            ways[number % 3](running.file, text)
            time.sleep(0.3 if number % 100 == 0 else 0.005)
        until(lambda: running.answers(b"mail.example.com"))
    assert outcomes.lost == []
    assert outcomes.statuses == {200}
    assert set(outcomes.bodies) == DOCUMENTS


def test_a_clock_that_is_set_back_hides_no_edit(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    live = Service(file).live
    year, real = 365 * 86400, time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - year * 1_000_000_000)
    file.write_text(OTHER)
    os.utime(file, (time.time() - year, time.time() - year))
    for _ in range(2):
        live.look()
    assert "mail.example.com" in str(snapshot_of(live).loaded)


def test_headers_of_any_size_cause_no_error(running: Running) -> None:
    for size in (8 * 1024, 64 * 1024, 1024 * 1024):
        long = "x" * size
        for target, header in (
            ("/healthz", long),
            (f"/mail/config-v1.1.xml?emailaddress={long}", "x"),
        ):
            with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
                request = f"GET {target} HTTP/1.1\r\nHost: a\r\nX: {header}\r\n\r\n"
                with suppress(OSError):  # it may refuse before all of it is sent
                    sock.sendall(request.encode())
                with suppress(ConnectionResetError):
                    status = re.match(rb"HTTP/1\.1 (\d+)", sock.recv(100) or b"")
                    assert status is None or int(status[1]) < 500
        assert fetch(running.url + CONFIG).status == 200


def test_unknown_domains_do_not_use_up_memory(running: Running) -> None:
    def ask(count: int, start: int) -> None:
        for number in range(start, start + count):
            if number % 100 == 0:  # now and then another worker
                connection = http.client.HTTPConnection("127.0.0.1", running.port)
            where = f"/mail/config-v1.1.xml?emailaddress=user{number}@d{number}.test"
            connection.request("GET", where, headers={"Host": f"h{number}.test"})
            reply = connection.getresponse()
            assert (reply.status, reply.read() != b"") == (404, True)
            if number % 100 == 99:
                connection.close()

    ask(1000, 0)
    before = {pid: _status(pid, "VmRSS") for pid in running.workers()}
    ask(10_000, 1000)
    for pid, size in before.items():
        assert _status(pid, "VmRSS") - size < 4 * 1024  # KiB
