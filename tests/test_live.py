"""Edited files are taken up; invalid ones are logged and change nothing."""

import gc
import logging
import os
import re
import resource
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import pytest
from client_requests import CONFIG, little_site
from services import fetch, serving, until
from support import (
    TWO_DOMAINS,
    Log,
    Patch,
    Write,
    has_domains,
    look,
    sender,
    site,
    snapshot_of,
)

from flask_autoconfig import AutoconfigMiddleware, ConfigError
from flask_autoconfig.answers import Answer, Request
from flask_autoconfig.config.reading import Loaded, read
from flask_autoconfig.service import Current, Service

EDITED = TWO_DOMAINS.replace("imap.", "mail.")


def hosts(url: str, times: int = 20) -> set[bytes]:
    """Return which versions answer, over enough requests to reach every worker."""
    target = f"{url}{CONFIG}?emailaddress=a@example.com"
    bodies = [fetch(target).body for _ in range(times)]
    return {b"imap" if b"imap.example.com" in body else b"mail" for body in bodies}


def saved_by_renaming(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    other.rename(file)


def saved_with_an_old_date(file: Path, text: str, *, years: int = 0) -> None:
    date = file.stat().st_mtime - years * 3e7
    file.write_text(text)
    os.utime(file, (date, date))


def test_every_worker_takes_up_an_edited_file_within_two_seconds(file: Path) -> None:
    with serving(file, "--workers", "3") as url:
        assert hosts(url) == {b"imap"}
        file.write_text(EDITED)
        until(lambda: hosts(url) == {b"mail"}, seconds=2)


def test_an_edit_is_taken_up_however_it_is_saved(file: Path) -> None:
    live = Service(file).live
    ways: list[Callable[[Path, str], object]] = [Path.write_text, saved_by_renaming]
    ways += [saved_with_an_old_date, partial(saved_with_an_old_date, years=1)]
    for number, save in enumerate(ways):
        save(file, TWO_DOMAINS.replace("imap.", f"{number}."))
        look(live)
        assert f"{number}.example.com" in str(snapshot_of(live).loaded)


def test_a_mounted_configmap_is_taken_up(file: Path) -> None:
    # Kubernetes links the file to `..data/`, and replaces the link `..data`.
    folder = file.parent
    for name, text in (("1", TWO_DOMAINS), ("2", EDITED)):
        (folder / name).mkdir()
        (folder / name / file.name).write_text(text)
    file.unlink()
    file.symlink_to(f"..data/{file.name}")
    (folder / "..data").symlink_to("1")
    live = Service(file).live
    (folder / "..tmp").symlink_to("2")
    (folder / "..tmp").rename(folder / "..data")
    look(live)
    assert "mail.example.com" in str(snapshot_of(live).loaded)


def document(service: Service, query: str = "") -> Answer:
    answer = service.answer(Request(CONFIG, query))
    assert answer is not None
    return answer


def test_an_invalid_or_missing_file_is_logged_once(file: Path, caplog: Log) -> None:
    service = Service(file)
    for number, content in enumerate(("", "[[provider", None), 1):
        file.unlink()
        if content is not None:
            file.write_text(content)
        look(service.live)
        assert b"imap.example.com" in document(service).body
        count = caplog.text.count("The last valid configuration remains in use.")
        assert count == number
    for number in (4, 5):  # also a file that is gone for the second time
        file.write_text(EDITED)
        look(service.live)
        assert b"mail.example.com" in document(service).body
        file.unlink()
        look(service.live)
        assert caplog.text.count("The last valid configuration remains") == number


def test_a_reload_is_logged_with_outdated_digests(file: Path, caplog: Log) -> None:
    line = re.compile(
        rf"{re.escape(str(file))} is loaded: 1 provider, 2 domains, in \d+ milli.*?(;.*)?$"
    )
    digest = (
        "; the pacc document of example.com and 1 more changed: publish its digest, "
        "`flask-autoconfig dns --diff`"
    )
    caplog.set_level(logging.INFO)
    service = Service(file)
    logged: list[str | None] = []
    for text, expected in (
        (EDITED, [digest]),
        ("[[provider", []),
        (TWO_DOMAINS, [digest]),
        ("max_age = 60\n" + TWO_DOMAINS, [None]),
    ):
        file.write_text(text)
        look(service.live)
        logged += expected
        found = map(line.fullmatch, caplog.messages)
        assert [match[1] for match in found if match] == logged


def test_a_half_written_file_is_not_taken_up(file: Path) -> None:
    live = Service(file).live
    file.write_text(TWO_DOMAINS.replace(', "example2.com"', ""))
    live.look()  # the first look sees a change that is not settled
    assert has_domains(live, "example2.com")
    file.write_text(EDITED)
    look(live, 2)
    assert "mail.example.com" in str(snapshot_of(live).loaded)


def test_without_the_watcher_the_next_request_checks_the_file(file: Path) -> None:
    service = Service(file)
    live = service.live
    live._pid = os.getpid()  # as if the thread could not be started
    file.write_text(EDITED)
    os.utime(file, (1, 1))
    live._stale_at = float("-inf")
    assert b"mail.example.com" in document(service).body


def test_the_thread_starts_with_requests_and_ends_with_its_service(file: Path) -> None:
    before = set(threading.enumerate())
    site(file)
    app, service = AutoconfigMiddleware(little_site, file), Service(file)
    assert set(threading.enumerate()) <= before  # a fork would lose them
    assert sender(app)("/").status_code == 404  # a path of the site
    (of_app,) = set(threading.enumerate()) - before
    service.answer(Request(CONFIG))
    (watcher,) = set(threading.enumerate()) - before - {of_app}
    del service
    gc.collect()
    watcher.join(5)
    assert not watcher.is_alive()


def test_a_document_is_rendered_once(toml: Write, monkeypatch: Patch) -> None:
    named = TWO_DOMAINS.replace("domains =", 'display_name = "Example"\ndomains =')
    service = Service(toml(named))
    first = document(service, "emailaddress=a@example.com")
    monkeypatch.delattr("flask_autoconfig.documents.xml.to_bytes")
    for address in ("a@example.com", "b@example2.com"):
        assert document(service, f"emailaddress={address}") is first


def test_the_cache_of_documents_is_bounded(toml: Write) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"*"')
    service = Service(toml(text))
    for number in range(10_000):
        document(service, f"emailaddress=a@d{number}.test")
    snapshot = service.snapshot
    entries = snapshot._answers._entries.values()
    size = sum(len(answer.body) + 2000 for answer, _ in entries)
    assert size == snapshot._answers.bytes
    assert 100_000 < size <= 8 * 1024 * 1024
    assert len(entries) < 10_000


def test_a_domains_file_is_taken_up_when_it_is_created_or_edited(
    toml: Write, tmp_path: Path, caplog: Log
) -> None:
    live = Service(toml(TWO_DOMAINS)).live
    toml(TWO_DOMAINS.replace("domains =", 'domains_file = "later"\ndomains ='))
    look(live)
    (record,) = caplog.records  # the problem is logged once
    assert "domains_file (example.com): cannot read " in record.getMessage()
    assert not has_domains(live, "late.test")
    for domain in ("late.test", "later.test"):
        (tmp_path / "later").write_text(f"{domain}\n")
        look(live, 3)
        assert has_domains(live, domain)


@pytest.mark.parametrize("edited", ["autoconfig.toml", "customers"])
def test_an_edit_in_a_reload_counts(toml: Write, tmp_path: Path, edited: str) -> None:
    live = Service(toml(TWO_DOMAINS)).live
    build = live._build

    def build_during_an_edit(config: Loaded) -> Current:
        live._build = build
        file = tmp_path / edited
        file.write_text(file.read_text().replace("early", "later"))
        return build(config)

    live._build = build_during_an_edit
    (tmp_path / "customers").write_text("early.test\n")
    keys = 'domains_file = "customers"\nid = "early"\ndomains ='
    toml(EDITED.replace("domains =", keys))
    look(live, 6)
    provider = snapshot_of(live).loaded.providers[0]
    is_main = edited == "autoconfig.toml"
    assert provider.id == ("later" if is_main else "early")
    assert has_domains(live, "early.test" if is_main else "later.test")


def test_without_descriptors_a_file_is_read_later(toml: Write, caplog: Log) -> None:
    live = Service(toml(TWO_DOMAINS)).live
    toml(EDITED)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(first_free := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        look(live)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caplog.text.count("The last valid configuration remains in use.") == 1
    look(live)
    assert "mail.example.com" in str(snapshot_of(live).loaded)


NAMING_A_FOLDER = [
    'include = ["dir"]\n' + TWO_DOMAINS,
    TWO_DOMAINS.replace("domains =", 'domains_file = "dir"\ndomains ='),
    f'{TWO_DOMAINS}[provider.page]\nlogo = "dir"\n',
    f'{TWO_DOMAINS}[sign]\ncertificate = "dir"\nkey = "dir"\n',
]


def test_an_unreadable_file_is_not_an_invalid_one(toml: Write, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    files = [toml(text, f"{index}.toml") for index, text in enumerate(NAMING_A_FOLDER)]
    for file in (*files, tmp_path / "dir", toml("[[provider]]")):
        with pytest.raises(ConfigError) as caught:
            read(file)
        assert caught.value.is_unread == (file.name != "autoconfig.toml"), file


def test_an_error_of_a_reload_affects_no_request(toml: Write, caplog: Log) -> None:
    service = Service(toml(TWO_DOMAINS))

    def fail(config: Loaded) -> Current:
        raise RuntimeError("a bug")

    service.live._build = fail
    toml(EDITED)
    look(service.live, 5)
    assert b"imap.example.com" in document(service).body
    assert caplog.text.count("RuntimeError: a bug") == 1


def test_the_date_never_goes_back(file: Path, toml: Write, monkeypatch: Patch) -> None:
    older = toml(EDITED, "older.toml")
    os.utime(older, (1, 1))
    service = Service(file)
    before = document(service)
    date = parsedate_to_datetime(before.modified)
    assert abs(date.timestamp() - time.time()) < 5
    monkeypatch.setattr(time, "time", lambda: 1e9)  # the clock is set back as well
    older.rename(file)
    look(service.live, 2)
    now = document(service)
    assert now.body != before.body
    assert parsedate_to_datetime(now.modified) > date
    environ = {"REQUEST_METHOD": "GET", "HTTP_IF_MODIFIED_SINCE": before.modified}
    assert now.for_request(environ) is now
    environ["HTTP_IF_MODIFIED_SINCE"] = now.modified
    assert now.for_request(environ).status == "304 Not Modified"
    environ["HTTP_IF_NONE_MATCH"] = before.etag  # which decides first
    assert now.for_request(environ) is now
