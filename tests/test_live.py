"""An edited file is taken up; a broken one is told of and changes nothing."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from flask import Flask
from support import TWO_DOMAINS, fetch, serving, snapshot_of, until
from werkzeug.test import Client

from flask_autoconfig import Autoconfig, ConfigError, create_app
from flask_autoconfig.answers import Request
from flask_autoconfig.config.reading import Loaded, read
from flask_autoconfig.service import Current, Service

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml"
EDITED = TWO_DOMAINS.replace("imap.", "mail.")


def hosts(url: str, times: int = 8) -> set[bytes]:
    """Which of the two versions answers, over enough requests to meet every worker."""
    bodies = [
        fetch(f"{url}{CONFIG}?emailaddress=a@example.com").body for _ in [0] * times
    ]
    return {b"imap" if b"imap.example.com" in body else b"mail" for body in bodies}


@pytest.fixture
def served(toml: Write, tmp_path: Path) -> Iterator[tuple[Path, str, Path]]:
    file, log = toml(TWO_DOMAINS), tmp_path / "log"
    with serving(file, "--workers", "3", log=log) as url:
        assert hosts(url, 20) == {b"imap"}
        yield file, url, log


def saved_in_place(file: Path, text: str) -> None:
    file.write_text(text)


def saved_by_renaming(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    other.rename(file)


def saved_with_its_old_date(file: Path, text: str) -> None:
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def saved_with_a_date_of_last_year(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, (time.time() - 3e7, time.time() - 3e7))


@pytest.mark.parametrize(
    "save",
    [
        saved_in_place,
        saved_by_renaming,
        saved_with_its_old_date,
        saved_with_a_date_of_last_year,
    ],
)
def test_every_worker_takes_an_edited_file_up_within_two_seconds(
    served: tuple[Path, str, Path], save: Callable[[Path, str], None]
) -> None:
    file, url, _ = served
    save(file, EDITED)
    until(lambda: hosts(url, 20) == {b"mail"}, seconds=2)


@pytest.mark.parametrize("content", ["", "[[provider", None])
def test_a_broken_empty_or_vanished_file_is_logged_and_the_last_good_one_answers(
    served: tuple[Path, str, Path], content: str | None
) -> None:
    file, url, log = served
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    sentence = "The last good configuration goes on answering."
    until(lambda: sentence in log.read_text())
    time.sleep(1)  # in which each worker looks twice more
    assert hosts(url, 20) == {b"imap"}
    assert 1 <= log.read_text().count(sentence) <= 3  # once by each that was asked
    file.write_text(EDITED)
    until(lambda: hosts(url, 20) == {b"mail"}, seconds=2)


def test_a_broken_file_is_logged_once_with_its_problems(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    file = toml(TWO_DOMAINS)
    live = Service(file).live
    file.write_text("[[provider]]")
    with caplog.at_level(logging.INFO, "flask_autoconfig"):
        for _ in range(4):
            live.look()
    (record,) = caplog.records
    assert "provider[0]: it has no domains" in record.getMessage()


def test_a_file_half_written_is_not_taken_up(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    live = Service(file).live
    half = TWO_DOMAINS.replace(', "example2.com"', "")
    file.write_text(half)
    live.look()  # the first look sees a change that is not settled
    file.write_text(EDITED)
    live.look()
    assert snapshot_of(live).directory.by_domain("example2.com") is not None
    live.look()
    assert "mail.example.com" in str(snapshot_of(live).loaded)


def test_the_domains_file_is_taken_up_like_the_toml(
    toml: Write, tmp_path: Path
) -> None:
    (tmp_path / "domains").write_text("one.test\n")
    text = TWO_DOMAINS.replace("domains =", 'domains_file = "domains"\ndomains =')
    live = Service(toml(text)).live
    (tmp_path / "domains").write_text("one.test\ntwo.test\n")
    for _ in range(2):
        live.look()
    assert snapshot_of(live).directory.by_domain("two.test") is not None


def test_without_the_watcher_the_next_request_looks(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    service = Service(file)
    live = service.live
    live._pid = os.getpid()  # as if its thread could not run
    file.write_text(EDITED)
    os.utime(file, (1, 1))
    live._stale_at = float("-inf")
    answer = service.answer(Request(CONFIG, "emailaddress=a@example.com"))
    assert answer is not None
    assert b"mail.example.com" in answer.body


def test_registering_starts_no_thread_that_a_fork_would_lose(toml: Write) -> None:
    before = set(threading.enumerate())  # some of them may end meanwhile
    app = create_app(toml(TWO_DOMAINS))
    site = Flask("site")
    site.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    site.register_blueprint(Autoconfig())
    assert set(threading.enumerate()) <= before
    assert Client(app).get(CONFIG).status_code == 200
    assert len(set(threading.enumerate()) - before) == 1


def test_the_watcher_ends_with_its_service(toml: Write) -> None:
    before = set(threading.enumerate())
    service = Service(toml(TWO_DOMAINS))
    service.answer(Request(CONFIG))
    (watcher,) = set(threading.enumerate()) - before
    del service
    gc.collect()
    watcher.join(5)
    assert not watcher.is_alive()


def test_a_document_is_rendered_once(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(toml(TWO_DOMAINS))
    first = service.answer(Request(CONFIG, "emailaddress=a@example.com"))
    monkeypatch.delattr("flask_autoconfig.documents.xml.to_bytes")
    for address in ("a@example.com", "b@example2.com"):
        assert service.answer(Request(CONFIG, f"emailaddress={address}")) is first


def test_the_cache_is_bounded_whatever_is_asked(toml: Write) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"*"')
    service = Service(toml(text))
    for number in range(10_000):
        service.answer(Request(CONFIG, f"emailaddress=a@d{number}.test"))
    snapshot = service.snapshot
    entries = snapshot._answers._entries.values()
    kept = sum(len(answer.body) + 2000 for answer, _ in entries)
    assert kept == snapshot._answers.bytes
    assert 100_000 < kept <= 8 * 1024 * 1024
    assert len(snapshot._answers) < 10_000


def test_a_file_that_a_faulty_file_names_cures_it_when_it_comes(
    toml: Write, tmp_path: Path
) -> None:
    live = Service(toml(TWO_DOMAINS)).live
    toml(TWO_DOMAINS.replace("domains =", 'domains_file = "later"\ndomains ='))
    for _ in range(4):
        live.look()
    assert snapshot_of(live).directory.by_domain("late.test") is None
    (tmp_path / "later").write_text("late.test\n")
    for _ in range(3):
        live.look()
    assert snapshot_of(live).directory.by_domain("late.test") is not None


def test_an_edit_during_the_take_up_is_taken_up_too(toml: Write) -> None:
    live = Service(toml(TWO_DOMAINS)).live
    build = live._build

    def build_while_somebody_saves(config: Loaded) -> Current:
        live._build = build
        toml(TWO_DOMAINS.replace("imap.", "late."))
        return build(config)

    live._build = build_while_somebody_saves
    toml(EDITED)
    for _ in range(6):
        live.look()
    assert "late.example.com" in str(snapshot_of(live).loaded)


# Runs in a process of its own, since it limits what that process may have.
SHORT_OF = """
import logging, os, resource, sys, time
from flask_autoconfig.answers import Request
from flask_autoconfig.service import Service

file, limit, spare = sys.argv[1], getattr(resource, sys.argv[2]), int(sys.argv[3])
logging.basicConfig()
service = Service(file)
ask = lambda: service.answer(Request("/mail/config-v1.1.xml")).body
ask()  # so that what is imported late is there, and the thread runs
with open("/proc/self/statm") as statm:
    size = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
used = size if limit == resource.RLIMIT_AS else len(os.listdir("/proc/self/fd")) - 1
_, hard = resource.getrlimit(limit)
resource.setrlimit(limit, (used + spare, hard))
os.rename(file + ".new", file)
time.sleep(3)
print(b"mail.example.com" in ask())
resource.setrlimit(limit, (hard, hard))
until = time.monotonic() + 10
while b"mail.example.com" not in ask() and time.monotonic() < until:
    time.sleep(0.05)
print(b"mail.example.com" in ask())
"""


def _short_of(file: Path, *limit: object) -> tuple[list[str], str]:
    command = [sys.executable, "-c", SHORT_OF, str(file), *map(str, limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("limit", "spare", "padding"),
    [("RLIMIT_NOFILE", 0, 0), ("RLIMIT_AS", 16 * 1024 * 1024, 40 * 1024 * 1024)],
)
def test_an_edit_that_cannot_be_read_is_read_again(
    toml: Write, limit: str, spare: int, padding: int
) -> None:
    file = toml(TWO_DOMAINS)
    toml(f"{EDITED}# {'x' * padding}\n", f"{file.name}.new")
    answers, log = _short_of(file, limit, spare)
    assert answers == ["False", "True"], log
    assert log.count("The last good configuration goes on answering.") == 1


def test_reading_a_small_file_takes_little_memory(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    toml(EDITED, f"{file.name}.new")
    answers, log = _short_of(file, "RLIMIT_AS", 64 * 1024 * 1024)
    assert answers == ["True", "True"], log


@pytest.mark.parametrize(
    "text",
    [
        'include = ["dir"]\n' + TWO_DOMAINS,
        TWO_DOMAINS.replace("domains =", 'domains_file = "dir"\ndomains ='),
        f'{TWO_DOMAINS}[provider.page]\nlogo = "dir"\n',
        f'{TWO_DOMAINS}[sign]\ncertificate = "dir"\nkey = "dir"\n',
        None,
    ],
)
def test_a_file_that_cannot_be_read_is_told_from_a_faulty_one(
    toml: Write, tmp_path: Path, text: str | None
) -> None:
    (tmp_path / "dir").mkdir()
    with pytest.raises(ConfigError) as caught:
        read(toml(text) if text else tmp_path / "dir")
    assert caught.value.is_unread
    with pytest.raises(ConfigError) as caught:
        read(toml("[[provider]]"))
    assert not caught.value.is_unread


def test_a_fault_of_our_own_does_not_reach_the_requests(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(toml(TWO_DOMAINS))

    def fail(config: Loaded) -> Current:
        raise RuntimeError("a bug")

    service.live._build = fail
    toml(EDITED)
    for _ in range(5):
        service.live.look()
    answer = service.answer(Request(CONFIG))
    assert answer is not None
    assert b"imap.example.com" in answer.body
    assert caplog.text.count("RuntimeError: a bug") == 1


def _dated(service: Service) -> tuple[bytes, datetime]:
    answer = service.answer(Request(CONFIG))
    assert answer is not None
    return answer.body, parsedate_to_datetime(answer.modified)


def test_the_date_of_a_document_never_goes_back(
    toml: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = toml(EDITED, "older.toml")
    os.utime(older, (1, 1))
    file = toml(TWO_DOMAINS)
    service = Service(file)
    body, date = _dated(service)
    assert abs(date.timestamp() - time.time()) < 5
    monkeypatch.setattr(time, "time", lambda: 1e9)  # and the clock is set back, too
    older.rename(file)
    for _ in range(2):
        service.live.look()
    new_body, new_date = _dated(service)
    assert new_body != body
    assert new_date > date


def test_who_has_the_document_of_before_is_not_told_that_it_is_the_same(
    toml: Write,
) -> None:
    service = Service(toml(TWO_DOMAINS))
    before = service.answer(Request(CONFIG))
    assert before is not None
    toml(EDITED)
    for _ in range(2):
        service.live.look()
    now = service.answer(Request(CONFIG))
    assert now is not None
    asked = {"REQUEST_METHOD": "GET", "HTTP_IF_MODIFIED_SINCE": before.modified}
    assert now.for_request(asked) is now
    asked["HTTP_IF_MODIFIED_SINCE"] = now.modified
    assert now.for_request(asked).status == "304 Not Modified"
    asked["HTTP_IF_NONE_MATCH"] = before.etag  # which decides first
    assert now.for_request(asked) is now
