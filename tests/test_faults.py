"""Faults of a long-running service, with real processes, mostly under load."""

from __future__ import annotations

import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fronts import nginx, nginx_site_without_tls
from support import (
    BIN,
    TWO_DOMAINS,
    end,
    fetch,
    free_port,
    snapshot_of,
    until,
    wait_for,
)

from flask_autoconfig.answers import Request
from flask_autoconfig.service import Service

pytestmark = pytest.mark.world
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


def _handles_signals(worker: int) -> bool:
    """Whether a gunicorn worker has installed its own signal handlers.

    The arbiter's, which it has before, catch SIGHUP.
    """
    with suppress(OSError):  # it may have ended
        status = Path(f"/proc/{worker}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\s+(\w+)", status, re.M)
        hangup = 1 << (signal.SIGHUP - 1)
        return not int(caught, 16) & hangup
    return False


@dataclass
class Running:
    url: str
    port: int
    file: Path
    listener: socket.socket
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        command = [str(BIN / "flask-autoconfig"), "--config", str(self.file), "serve"]
        number = self.listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _INHERIT, str(number), *command, "--workers", "2"],
            pass_fds=[number],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        wait_for(self.port, process)
        assert fetch(self.url + "/healthz").status == 200
        return process

    def has_all_workers(self) -> bool:
        return len(workers := self.workers()) == 2 and all(
            map(_handles_signals, workers)
        )

    def answers(self, host: bytes) -> bool:
        """Whether each of many responses, from all workers, names that host."""
        return all(host in fetch(self.url + CONFIG).body for _ in range(20))

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.processes[-1].pid}/task")
        text = "".join(it.read_text() for it in children.glob("*/children"))
        return [int(word) for word in text.split()]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        port = listener.getsockname()[1]
        running = Running(f"http://127.0.0.1:{port}", port, file, listener)
        running.start()
        try:
            until(running.has_all_workers)
            yield running
        finally:
            for process in running.processes:
                end(process, at_once=True)


@dataclass
class Load:
    """Requests from several threads, and their outcomes."""

    port: int
    bodies: dict[bytes, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def _work(self) -> None:
        while not self.over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", CONFIG)
                reply = connection.getresponse()
                body = reply.read()
                self.bodies[body] = self.bodies.get(body, 0) + 1
                self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()


@contextmanager
def load(port: int, threads: int = 4) -> Iterator[Load]:
    load = Load(port)
    workers = [threading.Thread(target=load._work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        time.sleep(0.3)
        yield load
        time.sleep(0.3)
    finally:
        load.over.set()
        for worker in workers:
            worker.join()


def documents() -> set[bytes]:
    """Return the two documents that may be served."""
    from flask_autoconfig.config.reading import loads
    from flask_autoconfig.documents import Recipient, thunderbird

    configs = [loads(text) for text in (TWO_DOMAINS, OTHER)]
    return {
        thunderbird.write(it.provider[0], Recipient("example.com")) for it in configs
    }


def test_a_killed_worker_costs_at_most_the_requests_in_flight(running: Running) -> None:
    with load(running.port) as result:
        for _ in range(3):
            killed = running.workers()[0]
            os.kill(killed, signal.SIGKILL)
            until(lambda: killed not in running.workers())  # noqa: B023
            until(running.has_all_workers)
        until(lambda: sum(result.bodies.values()) > 100)
    assert set(result.statuses) == {200}
    assert set(result.bodies) <= documents()
    assert len(result.lost) <= 3 * 4  # four in flight at each kill


def test_a_reload_by_sighup_loses_no_request(running: Running) -> None:
    with load(running.port) as result:
        for _ in range(3):
            before = set(running.workers())
            running.processes[-1].send_signal(signal.SIGHUP)
            until(lambda: not before & set(running.workers()))  # noqa: B023
            until(running.has_all_workers)
    assert result.lost == []
    assert set(result.statuses) == {200}


def test_a_restart_by_sigterm_loses_no_request(running: Running) -> None:
    with load(running.port) as result:
        for _ in range(2):
            old = running.processes[-1]
            running.start()
            old.terminate()
            assert old.wait(40) == 0
            until(running.has_all_workers)
            time.sleep(0.3)  # of requests to the new one alone
    assert result.lost == []
    assert set(result.statuses) == {200}


def _in_place(file: Path, text: str) -> None:
    with file.open("r+") as out:
        out.write(text)
        out.truncate()


def _by_renaming(file: Path, text: str) -> None:
    beside = file.with_suffix(".swp")
    beside.write_text(text)
    beside.rename(file)


def _truncate_and_rewrite(file: Path, text: str) -> None:
    with file.open("w") as out:
        half = len(text) // 2
        out.write(text[:half])
        out.flush()
        out.write(text[half:])


def test_a_thousand_edits_under_load_serve_only_complete_files(
    running: Running,
) -> None:
    ways = (_in_place, _by_renaming, _truncate_and_rewrite)
    with load(running.port) as result:
        for number in range(1000):
            text = OTHER if number % 2 else TWO_DOMAINS
            ways[number % 3](running.file, text)
            time.sleep(0.3 if number % 100 == 0 else 0.005)
        until(lambda: running.answers(b"mail.example.com"))
    assert result.lost == []
    assert set(result.statuses) == {200}
    assert set(result.bodies) == documents()


def test_a_full_disk_leaves_the_last_good_configuration_in_use(
    running: Running,
) -> None:
    def limit() -> None:  # of what the editor can still write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    editor = "import sys\nwith open(sys.argv[1], 'w') as out: out.write(sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", editor, str(running.file), OTHER],
        preexec_fn=limit,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert running.file.stat().st_size == 100
    time.sleep(2)
    assert b"imap.example.com" in fetch(running.url + CONFIG).body
    running.file.write_text(OTHER)
    until(lambda: running.answers(b"mail.example.com"))


def test_an_unreadable_file_leaves_the_last_good_configuration_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    service = Service(file)
    file.write_text(OTHER)
    file.chmod(0)

    def refused(*_: object) -> bytes:  # what root would not meet
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        if os.getuid() == 0:
            patch.setattr("flask_autoconfig.config.reading.read_file", refused)
        for _ in range(3):
            service.live.look()
    answer = service.answer(Request("/mail/config-v1.1.xml"))
    assert answer is not None
    assert b"imap.example.com" in answer.body
    assert caplog.text.count("Permission denied") == 1
    file.chmod(0o644)
    for _ in range(2):
        service.live.look()
    answer = service.answer(Request("/mail/config-v1.1.xml"))
    assert answer is not None
    assert b"mail.example.com" in answer.body


def test_a_clock_that_is_set_back_does_not_hide_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    live = Service(file).live
    year = 365 * 86400
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - year * 1_000_000_000)
    file.write_text(OTHER)
    os.utime(file, (time.time() - year, time.time() - year))
    for _ in range(2):
        live.look()
    assert "mail.example.com" in str(snapshot_of(live).loaded)


@pytest.mark.parametrize("size", [8 * 1024, 64 * 1024, 1024 * 1024])
def test_headers_of_any_size_are_answered_without_a_server_error(
    running: Running, size: int
) -> None:
    for target, header in (
        ("/healthz", "x" * size),
        (f"/mail/config-v1.1.xml?emailaddress={'x' * size}", "x"),
    ):
        with socket.create_connection(("127.0.0.1", running.port), 10) as sock:
            request = f"GET {target} HTTP/1.1\r\nHost: a\r\nX: {header}\r\n\r\n"
            with suppress(OSError):  # it may refuse before all of it is sent
                sock.sendall(request.encode())
            with suppress(ConnectionResetError):
                status = re.match(rb"HTTP/1\.1 (\d+)", sock.recv(100) or b"")
                assert status is None or int(status[1]) < 500
    assert fetch(running.url + CONFIG).status == 200


def _resident(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    (found,) = re.findall(
        r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M
    )
    return int(found)


def test_ten_thousand_unknown_domains_do_not_use_up_memory(
    running: Running,
) -> None:
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
    before = {pid: _resident(pid) for pid in running.workers()}
    ask(10_000, 1000)
    for pid, size in before.items():
        assert _resident(pid) - size < 4 * 1024


def test_slow_clients_do_not_delay_others_behind_nginx(
    running: Running, tmp_path: Path
) -> None:
    port = free_port()
    site = nginx_site_without_tls(tmp_path, f"127.0.0.1:{running.port}", port)
    with nginx(tmp_path, site, port):
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for sock in slow:
            sock.sendall(b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: au")
        start = time.monotonic()
        for _ in range(20):
            url = f"http://127.0.0.1:{port}{CONFIG}"
            assert fetch(url, Host="autoconfig.example.com").status == 200
        assert time.monotonic() - start < 10
        for sock in slow:
            sock.close()
