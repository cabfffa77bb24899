"""Faults of a long-running service, with real processes, mostly under load."""

import http.client
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from services import Service, load, serve, until
from support import TWO_DOMAINS, Patch, loads, look, snapshot_of
from test_live import saved_by_renaming

from flask_autoconfig import service
from flask_autoconfig.documents import Recipient, thunderbird

pytestmark = pytest.mark.world
OTHER = TWO_DOMAINS.replace("imap.", "mail.")


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


def wait_for_workers(service: Service, without: Set[int] = frozenset()) -> set[int]:
    """Wait until two workers run, none of them among these, and return them."""

    def are_there() -> bool:
        workers = service.workers()
        new = len(workers) == 2 and without.isdisjoint(workers)
        return new and all(map(_handles_signals, workers))

    until(are_there)
    return {*service.workers()}


@pytest.fixture
def running(file: Path) -> Iterator[Service]:
    with serve(file, "--workers", "2") as service:
        wait_for_workers(service)
        yield service


class Outcomes(NamedTuple):
    bodies: Counter[bytes]
    statuses: set[int]
    errors: list[str]


@contextmanager
def loaded(running: Service) -> Iterator[Outcomes]:
    """Send requests from several threads until the block ends."""
    outcomes = Outcomes(Counter(), set(), [])

    def send() -> None:
        try:
            response = running.fetch()
        except (OSError, http.client.HTTPException) as error:
            outcomes.errors.append(repr(error))
        else:
            outcomes.bodies[response.body] += 1
            outcomes.statuses.add(response.status)

    with load(send):
        time.sleep(0.3)
        yield outcomes
        time.sleep(0.3)


DOCUMENTS = {
    thunderbird.write(loads(text).provider[0], Recipient("example.com"))
    for text in (TWO_DOMAINS, OTHER)
}


def test_a_killed_worker_costs_at_most_the_requests_in_flight(running: Service) -> None:
    with loaded(running) as outcomes:
        for _ in range(3):
            killed = min(running.workers())
            os.kill(killed, signal.SIGKILL)
            wait_for_workers(running, without={killed})
        until(lambda: outcomes.bodies.total() > 100)
    assert outcomes.statuses == {200}
    assert set(outcomes.bodies) <= DOCUMENTS
    assert len(outcomes.errors) <= 3 * 4  # four in flight at each kill


def test_a_reload_loses_no_request(running: Service) -> None:
    workers = {*running.workers()}
    with loaded(running) as outcomes:
        for _ in range(3):
            running.process.send_signal(signal.SIGHUP)
            workers = wait_for_workers(running, without=workers)
    assert outcomes.errors == []
    assert outcomes.statuses == {200}


def _in_place(file: Path, text: str) -> None:
    with file.open("r+") as out:
        out.write(text)
        out.truncate()


def _in_halves(file: Path, text: str) -> None:
    with file.open("w") as out:
        out.write(text[: len(text) // 2])
        out.flush()
        out.write(text[len(text) // 2 :])


def test_only_whole_files_are_served_under_load(running: Service, file: Path) -> None:
    def is_taken_up() -> bool:  # by all workers
        return all(b"mail.example.com" in running.fetch().body for _ in range(20))

    ways = (_in_place, saved_by_renaming, _in_halves)
    with loaded(running) as outcomes:
        for number in range(1000):
            text = OTHER if number % 2 else TWO_DOMAINS
            ways[number % 3](file, text)
            time.sleep(0.3 if number % 100 == 0 else 0.005)
        until(is_taken_up)
    assert outcomes.errors == []
    assert outcomes.statuses == {200}
    assert set(outcomes.bodies) == DOCUMENTS


def test_a_clock_that_is_set_back_hides_no_edit(file: Path, monkeypatch: Patch) -> None:
    live = service.Service(file).live
    year, real = 365 * 86400, time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - year * 1_000_000_000)
    file.write_text(OTHER)
    os.utime(file, (time.time() - year, time.time() - year))
    look(live, 2)
    assert "mail.example.com" in str(snapshot_of(live).loaded)


def test_headers_of_any_size_cause_no_error(running: Service) -> None:
    for size in (8 * 1024, 64 * 1024, 1024 * 1024):
        long = "x" * size
        for target, header in (
            ("/healthz", long),
            (f"/mail/config-v1.1.xml?emailaddress={long}", "x"),
        ):
            request = f"GET {target} HTTP/1.1\r\nHost: a\r\nX: {header}\r\n\r\n"
            status = re.match(rb"HTTP/1\.1 (\d+)", running.send(request.encode()))
            assert status is None or int(status[1]) < 500
        assert running.fetch().status == 200


def test_unknown_domains_do_not_use_up_memory(running: Service) -> None:
    def send(count: int, start: int) -> None:
        for number in range(start, start + count):
            if number % 100 == 0:  # now and then another worker
                connection = http.client.HTTPConnection("127.0.0.1", running.port)
            where = f"/mail/config-v1.1.xml?emailaddress=user{number}@d{number}.test"
            connection.request("GET", where, headers={"Host": f"h{number}.test"})
            response = connection.getresponse()
            assert (response.status, response.read() != b"") == (404, True)
            if number % 100 == 99:
                connection.close()

    send(1000, 0)
    before = {pid: _status(pid, "VmRSS") for pid in running.workers()}
    send(10_000, 1000)
    for pid, size in before.items():
        assert _status(pid, "VmRSS") - size < 4 * 1024  # KiB
