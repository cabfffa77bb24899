"""A site's database: what its functions tell, how long that is kept, and its faults."""

from __future__ import annotations

import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from support import TWO_DOMAINS, outlook_asks, until
from werkzeug.exceptions import NotFound
from werkzeug.test import Client, TestResponse

from flask_autoconfig import Autoconfig, AutoconfigMiddleware, create_app, hooks
from flask_autoconfig.answers import Request
from flask_autoconfig.config.tables import Incoming, Outgoing, Provider
from flask_autoconfig.hooks import Hooks
from flask_autoconfig.service import Service

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml"
OF_A_ROW = {
    "display_name": "Customer Ltd.",
    "incoming": [{"type": "imap", "hostname": "imap.customer.test"}],
    "outgoing": [{"type": "smtp", "hostname": "smtp.customer.test", "port": 4650}],
}
EVERY_FAMILY = {
    "thunderbird": f"{CONFIG}?emailaddress=fred@{{}}",
    "by host": CONFIG,
    "v2": "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=fred@{}",
    "apple": "/mail/mobileconfig?emailaddress=fred@{}",
    "pacc": "/.well-known/user-agent-configuration.json",
    "page": "/mail/setup?emailaddress=fred@{}",
    "picture": "/mail/setup/qr.svg?emailaddress=fred@{}",
    "ispdb": "/v1.1/{}",
}


class Database:
    """A database of customers that counts its queries, and may be away."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self.rows = rows
        self.asked: list[str] = []
        self.is_away = False
        self.slow = 0.0

    def __call__(self, domain: str) -> Any:
        self.asked.append(domain)
        time.sleep(self.slow)
        if self.is_away:
            raise ConnectionError("the database is away")
        return self.rows.get(domain)


class Clock:
    """The monotonic clock of the kept answers, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1.7e9 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hooks, "time", clock)
    return clock


def service(
    file: Path, find_provider: Any = None, find_username: Any = None
) -> Service:
    clients = "thunderbird outlook apple pacc dav page ispdb"
    return Service(file, clients=clients, hooks=Hooks(find_provider, find_username))


def ask(of: Service, target: str, host: str = "x.test", **more: Any) -> Any:
    path, _, query = target.partition("?")
    environ = {"wsgi.url_scheme": "https", "HTTP_HOST": host, "SERVER_NAME": host}
    environ |= {"SERVER_PORT": "443", "QUERY_STRING": query, **more}
    return of.answer(Request(path, query, host, "GET", environ))


# --- What a function may tell ----------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        OF_A_ROW,
        {**OF_A_ROW, "domains": ["customer.test", "other.test"]},
        Provider(
            domains=("customer.test",),
            display_name="Customer Ltd.",
            incoming=(Incoming(type="imap", hostname="imap.customer.test"),),
            outgoing=(Outgoing(type="smtp", hostname="smtp.customer.test", port=4650),),
        ),
    ],
    ids=["a mapping", "a mapping with domains", "a Provider"],
)
def test_a_row_of_a_database_is_a_customer_with_servers_of_its_own(
    toml: Write, told: object
) -> None:
    of = service(toml(TWO_DOMAINS), {"customer.test": told}.get)
    body = ask(of, f"{CONFIG}?emailaddress=fred@customer.test").body.decode()
    assert "<hostname>imap.customer.test</hostname>" in body
    assert "<port>4650</port>" in body
    assert "<displayName>Customer Ltd.</displayName>" in body
    assert "<domain>customer.test</domain>" in body
    for target in EVERY_FAMILY.values():
        answer = ask(of, target.format("customer.test"), "autoconfig.customer.test")
        assert answer.status == "200 OK", target
    assert "example.com" not in body


def test_a_document_of_a_row_can_be_kept_like_one_of_the_file(toml: Write) -> None:
    of = service(toml(TWO_DOMAINS), lambda domain: dict(OF_A_ROW))
    first = ask(of, f"{CONFIG}?emailaddress=fred@customer.test")
    assert first.headers[-2][0] == "ETag"
    again = ask(
        of, f"{CONFIG}?emailaddress=anna@customer.test", HTTP_IF_NONE_MATCH=first.etag
    )
    assert again.status.startswith("304")
    other = ask(of, f"{CONFIG}?emailaddress=fred@another.test")
    assert b"<domain>another.test</domain>" in other.body
    assert b"customer.test</domain>" not in other.body


def test_a_row_that_changed_is_served_anew_with_a_later_date(
    toml: Write, clock: Clock
) -> None:
    rows: dict[str, Any] = {"customer.test": OF_A_ROW}
    of = service(toml(TWO_DOMAINS), rows.get)
    before = ask(of, f"{CONFIG}?emailaddress=fred@customer.test")
    clock.now += 61
    assert ask(of, f"{CONFIG}?emailaddress=fred@customer.test") is before
    rows["customer.test"] = {**OF_A_ROW, "display_name": "New Name"}
    clock.now += 61
    after = ask(of, f"{CONFIG}?emailaddress=fred@customer.test")
    assert b"New Name" in after.body
    assert after.etag != before.etag


FAULTY = {
    "a misspelt key": ({**OF_A_ROW, "incomming": []}, "provider[0].incomming"),
    "a server without a host": (
        {**OF_A_ROW, "incoming": [{"type": "imap"}]},
        "provider[0].incoming[0]",
    ),
    "a file of this machine": (
        {**OF_A_ROW, "domains_file": "/etc/passwd"},
        "domains_file",
    ),
    "a number": (5, "it returned int"),
    "an id that the file does not have": ("nowhere.test", "does not have"),
}


@pytest.mark.parametrize(("told", "words"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_row_is_told_with_its_place_and_counts_as_a_failure(
    toml: Write, caplog: pytest.LogCaptureFixture, told: object, words: str
) -> None:
    of = service(toml(TWO_DOMAINS), lambda domain: told)
    assert ask(of, f"{CONFIG}?emailaddress=secret@b.test").status.startswith("503")
    assert words in caplog.text
    assert "secret" not in caplog.text


# --- How long it is kept ---------------------------------------------------------------


def test_a_domain_is_asked_for_once_a_minute_however_often_strangers_ask(
    toml: Write, clock: Clock
) -> None:
    base = Database({"customer.test": "example.com"})
    of = service(toml(TWO_DOMAINS), base)
    for _ in range(50):
        assert ask(of, f"{CONFIG}?emailaddress=a@customer.test").status == "200 OK"
        assert ask(of, f"{CONFIG}?emailaddress=a@nobody.test").status.startswith("404")
    assert sorted(base.asked) == ["customer.test", "nobody.test"]
    clock.now += 61
    ask(of, f"{CONFIG}?emailaddress=a@customer.test")
    assert base.asked.count("customer.test") == 2


def test_the_file_says_how_long_answers_are_kept(toml: Write, clock: Clock) -> None:
    base = Database({"customer.test": "example.com"})
    of = service(toml(f"hook_max_age = 5\n{TWO_DOMAINS}"), base)
    for _ in range(3):
        ask(of, f"{CONFIG}?emailaddress=a@customer.test")
        clock.now += 6
    assert len(base.asked) == 3


def test_a_login_is_kept_as_well(toml: Write, clock: Clock) -> None:
    base = Database({"fred@example.com": "u1001"})
    of = service(toml(TWO_DOMAINS), find_username=base)
    for _ in range(5):
        body = ask(of, f"{CONFIG}?emailaddress=fred@example.com").body
        assert b"<username>u1001</username>" in body
    assert base.asked == ["fred@example.com"]


def test_requests_at_the_same_time_ask_once(toml: Write) -> None:
    base = Database({"customer.test": OF_A_ROW})
    base.slow = 0.3
    of = service(toml(TWO_DOMAINS), base)
    with ThreadPoolExecutor(16) as pool:
        target = f"{CONFIG}?emailaddress=a@customer.test"
        answers = list(pool.map(lambda _: ask(of, target), range(16)))
    assert {answer.status for answer in answers} == {"200 OK"}
    assert base.asked == ["customer.test"]


def test_while_one_asks_anew_the_others_have_the_last_answer(
    toml: Write, clock: Clock
) -> None:
    base = Database({"customer.test": OF_A_ROW})
    of = service(toml(TWO_DOMAINS), base)
    target = f"{CONFIG}?emailaddress=a@customer.test"
    ask(of, target)
    clock.now += 61
    asks, goes_on = threading.Event(), threading.Event()

    def wait(domain: str) -> dict[str, Any]:
        asks.set()
        assert goes_on.wait(10)
        return OF_A_ROW

    of.hooks.take(SimpleNamespace(find_provider=wait))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, of, target)
        assert asks.wait(10)
        assert ask(of, target).status == "200 OK"  # and does not wait
        assert not slow.done()
        goes_on.set()


def test_what_strangers_make_up_pushes_no_customer_out(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_MOST_UNKNOWN", 6000)
    base = Database({"customer.test": OF_A_ROW})
    of = service(toml(TWO_DOMAINS), base)
    ask(of, f"{CONFIG}?emailaddress=a@customer.test")
    for number in range(100):
        ask(of, f"{CONFIG}?emailaddress=a@d{number}.test")
    ask(of, f"{CONFIG}?emailaddress=a@customer.test")
    assert base.asked.count("customer.test") == 1
    assert 5 < len(of.hooks._providers._unknown) < 12


def test_answers_that_are_kept_are_bounded_by_their_bytes(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_MOST_KNOWN", 1024 * 1024)
    more = [f"d{number}.customer.test" for number in range(1000)]
    rows = {f"{'a' * 60}{n}.test": {**OF_A_ROW, "domains": more} for n in range(40)}
    of = service(toml(TWO_DOMAINS), Database(rows)).hooks
    of.provider_of(next(iter(rows)), 60)  # so that what is imported late is there
    tracemalloc.start()
    for domain in rows:
        assert of.provider_of(domain, 60)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1024 * 1024
    assert 5 < len(of._providers._known) < 40


# --- When it is away -------------------------------------------------------------------


def test_while_the_database_is_away_the_last_answers_go_on_for_a_day(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    base = Database({"customer.test": OF_A_ROW})
    of = service(toml(TWO_DOMAINS), base)
    known, unknown = (f"{CONFIG}?emailaddress=a@{it}.test" for it in ("customer", "no"))
    first = ask(of, known)
    assert ask(of, unknown).status.startswith("404")
    base.is_away = True
    for _ in range(20):
        clock.now += 3600
        assert ask(of, known) is first
        assert ask(of, unknown).status.startswith("404")
    assert "find_provider failed" in caplog.text
    clock.now += 5 * 3600
    assert ask(of, known).status.startswith("503")
    base.is_away = False
    clock.now += 3
    assert ask(of, known).status == "200 OK"


@pytest.mark.parametrize("target", EVERY_FAMILY.values(), ids=EVERY_FAMILY.keys())
def test_what_was_never_asked_is_answered_503_in_every_family(
    toml: Write, target: str
) -> None:
    base = Database({})
    base.is_away = True
    of = service(toml(TWO_DOMAINS), base)
    answer = ask(of, target.format("customer.test"), "autoconfig.customer.test")
    assert answer.status.startswith("503")
    assert ("Retry-After", "10") in answer.headers
    assert ("Cache-Control", "no-store") in answer.headers


def test_outlooks_post_gets_503_too(toml: Write) -> None:
    base = Database({})
    base.is_away = True
    app = create_app(toml(TWO_DOMAINS), hooks=Hooks(base))
    reply = Client(app).post(
        "/autodiscover/autodiscover.xml", data=outlook_asks("fred@c.test")
    )
    assert reply.status_code == 503
    assert reply.headers["Retry-After"]


def test_a_function_that_fails_is_left_alone_for_two_seconds(
    toml: Write, clock: Clock
) -> None:
    base = Database({})
    base.is_away = True
    of = service(toml(TWO_DOMAINS), base)
    for _ in range(10):
        ask(of, f"{CONFIG}?emailaddress=a@customer.test")
    assert len(base.asked) == 1
    clock.now += 2.1
    ask(of, f"{CONFIG}?emailaddress=a@customer.test")
    assert len(base.asked) == 2


def test_the_log_is_not_flooded_by_a_database_that_is_away(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    base = Database({})
    base.is_away = True
    of = service(toml(TWO_DOMAINS), base)
    for number in range(100):
        ask(of, f"{CONFIG}?emailaddress=a@d{number}.test")
    assert caplog.text.count("find_provider failed") == 1
    clock.now += 1.1
    ask(of, f"{CONFIG}?emailaddress=a@one-more.test")
    assert "and 99 times more before" in caplog.text


# --- Doors that take them --------------------------------------------------------------


def through_a_site(file: Path, base: Database) -> Any:
    mine = Autoconfig()
    mine.find_provider(base)
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(mine)
    return app


def through_the_middleware(file: Path, base: Database) -> Any:
    return AutoconfigMiddleware(Flask("site"), file, find_provider=base)


def through_create_app(file: Path, base: Database) -> Any:
    class Functions:
        find_provider = staticmethod(base)

    return create_app(file, hooks=Functions)


@pytest.mark.parametrize(
    "door", [through_a_site, through_the_middleware, through_create_app]
)
def test_every_door_takes_them(
    toml: Write, door: Callable[[Path, Database], Any]
) -> None:
    app = door(toml(TWO_DOMAINS), Database({"customer.test": OF_A_ROW}))
    reply: TestResponse = Client(app).get(f"{CONFIG}?emailaddress=a@customer.test")
    assert "<hostname>imap.customer.test</hostname>" in reply.text


def test_hooks_without_a_function_are_refused_with_a_cure(toml: Write) -> None:
    from flask_autoconfig import ConfigError

    with pytest.raises(ConfigError, match="no function find_provider or find_user"):
        create_app(toml(TWO_DOMAINS), hooks=object())


def test_health_says_503_while_nothing_can_be_known(toml: Write) -> None:
    base = Database({"customer.test": OF_A_ROW})
    client = Client(create_app(toml(TWO_DOMAINS), hooks=Hooks(base)))
    host = "/healthz?domain=autoconfig."
    assert client.get(f"{host}customer.test").status_code == 200
    assert client.get(f"{host}nobody.test").status_code == 404
    base.is_away = True
    assert client.get(f"{host}other.test").status_code == 503
    assert client.get("/healthz").status_code == 200


# --- What databases give, and what they do --------------------------------------------


def test_a_row_as_a_database_gives_it_is_taken(toml: Write) -> None:
    """NULL is "not set", whatever kind of row it stands in."""
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    row = base.execute("SELECT 'Customer' AS display_name, NULL AS logo_url").fetchone()
    servers = {
        "incoming": ({"type": "imap", "hostname": "imap.c.test", "port": None},),
        "outgoing": [MappingProxyType({"type": "smtp", "hostname": "smtp.c.test"})],
    }
    for told in ({**row, **servers}, MappingProxyType({**row, **servers})):
        of = service(toml(TWO_DOMAINS), lambda domain, told=told: told)
        body = ask(of, f"{CONFIG}?emailaddress=fred@c.test").body
        assert b"<displayName>Customer</displayName>" in body
        assert b"<port>993</port>" in body
    of = service(toml(TWO_DOMAINS), lambda domain: row)
    assert ask(of, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("503")


def test_a_row_that_names_other_domains_serves_the_one_that_asks_too(
    toml: Write,
) -> None:
    of = service(toml(TWO_DOMAINS), lambda domain: {**OF_A_ROW, "domains": ["a.test"]})
    body = ask(of, f"{CONFIG}?emailaddress=fred@b.test").body
    assert b"<domain>a.test</domain>" in body
    assert b"<domain>b.test</domain>" in body


def test_first_or_404_says_that_there_is_no_such_customer(toml: Write) -> None:
    def find(domain: str) -> str:
        raise NotFound

    of = service(toml(TWO_DOMAINS), find)
    assert ask(of, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("404")


@pytest.mark.parametrize("end", [SystemExit, RecursionError, KeyError])
def test_whatever_a_function_raises_the_client_is_told_to_come_again(
    toml: Write, caplog: pytest.LogCaptureFixture, end: type[BaseException]
) -> None:
    def find(domain: str) -> str:
        raise end("why")

    of = service(toml(TWO_DOMAINS), find)
    assert ask(of, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("503")
    assert "find_provider failed for c.test" in caplog.text
    assert "fred" not in caplog.text


def test_a_row_in_itself_is_a_failure_and_no_endless_one(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    row: dict[str, Any] = dict(OF_A_ROW)
    row["webmail"] = row
    of = service(toml(TWO_DOMAINS), lambda domain: row)
    assert ask(of, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("503")
    assert "nested too deeply" in caplog.text


@pytest.mark.parametrize(
    ("login", "words"), [(5, "returned int"), (b"x", "returned bytes")]
)
def test_a_login_of_the_wrong_kind_is_told_by_its_kind(
    toml: Write, caplog: pytest.LogCaptureFixture, login: object, words: str
) -> None:
    of = service(toml(TWO_DOMAINS), None, lambda address: login)
    assert ask(of, f"{CONFIG}?emailaddress=fred@example.com").status.startswith("503")
    assert f"find_username failed for example.com: it {words}" in caplog.text
    assert "fred" not in caplog.text


def test_an_unknown_id_is_told_with_its_domain_once_a_second(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    of = service(toml(TWO_DOMAINS), lambda domain: "gone.test")
    for number in range(20):
        ask(of, f"{CONFIG}?emailaddress=fred@c{number}.test")
    (line,) = caplog.messages
    assert "for c0.test: it named 'gone.test'" in line


def test_functions_that_hang_do_not_hold_every_thread(
    toml: Write, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_TURN", 0.01)
    goes_on = threading.Event()
    of = service(toml(TWO_DOMAINS), lambda domain: goes_on.wait(30) and None)
    targets = [f"{CONFIG}?emailaddress=fred@c{number}.test" for number in range(40)]
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(ask, of, target) for target in targets]
        until(lambda: sum(it.done() for it in answers) == 40 - hooks._MOST_CALLS)
        assert {it.result().status[:3] for it in answers if it.done()} == {"503"}
        assert ask(of, f"{CONFIG}?emailaddress=fred@example.com").status == "200 OK"
        goes_on.set()
    assert "16 calls have not returned" in caplog.text


def test_a_question_that_is_open_for_long_is_told_and_the_last_answer_goes_on(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    base = Database({"customer.test": "example.com"})
    of = service(toml(TWO_DOMAINS), base)
    target = f"{CONFIG}?emailaddress=fred@customer.test"
    ask(of, target)
    goes_on, asks = threading.Event(), threading.Event()

    def hang(domain: str) -> None:
        asks.set()
        goes_on.wait(30)

    of.hooks.take(SimpleNamespace(find_provider=hang))
    clock.now += 61
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, of, target)
        assert asks.wait(10)
        clock.now += 12
        assert ask(of, target).status == "200 OK"
        assert "for customer.test: it has not returned for 12 seconds" in caplog.text
        goes_on.set()
