"""The hooks of a site: their results, the cache, and failures."""

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

from flask_autoconfig import (
    Autoconfig,
    AutoconfigMiddleware,
    ConfigError,
    create_app,
    hooks,
)
from flask_autoconfig.answers import Request
from flask_autoconfig.config.tables import Incoming, Outgoing, Provider
from flask_autoconfig.hooks import Hooks
from flask_autoconfig.service import Service

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml"
CUSTOMER = {
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
    """A database of customers that records its queries, and can be down."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self.rows = rows
        self.queries: list[str] = []
        self.is_down = False
        self.slow = 0.0

    def __call__(self, domain: str) -> Any:
        self.queries.append(domain)
        time.sleep(self.slow)
        if self.is_down:
            raise ConnectionError("the database is down")
        return self.rows.get(domain)


class Clock:
    """The clock of the cache, set by the test."""

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
    file: Path, find_provider: Any = None, find_username: Any = None, **more: Any
) -> Service:
    clients = "thunderbird outlook apple pacc dav page ispdb"
    hooks_ = Hooks(find_provider, find_username, **more)
    return Service(file, clients=clients, hooks=hooks_)


def ask(served: Service, target: str, host: str = "x.test", **more: Any) -> Any:
    path, _, query = target.partition("?")
    environ = {"wsgi.url_scheme": "https", "HTTP_HOST": host, "SERVER_NAME": host}
    environ |= {"SERVER_PORT": "443", "QUERY_STRING": query, **more}
    return served.answer(Request(path, query, host, "GET", environ))


# --- Results ----------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        CUSTOMER,
        {**CUSTOMER, "domains": ["customer.test", "other.test"]},
        {**CUSTOMER, "domains": ["other.test"]},
        Provider(
            domains=("customer.test",),
            display_name="Customer Ltd.",
            incoming=(Incoming(type="imap", hostname="imap.customer.test"),),
            outgoing=(Outgoing(type="smtp", hostname="smtp.customer.test", port=4650),),
        ),
    ],
    ids=["a mapping", "with the domain", "with another domain", "a Provider"],
)
def test_a_provider_from_the_hook_is_served_in_every_family(
    toml: Write, result: object
) -> None:
    served = service(toml(TWO_DOMAINS), {"customer.test": result}.get)
    body = ask(served, f"{CONFIG}?emailaddress=fred@customer.test").body.decode()
    assert "<hostname>imap.customer.test</hostname>" in body
    assert "<port>4650</port>" in body
    assert "<displayName>Customer Ltd.</displayName>" in body
    assert "<domain>customer.test</domain>" in body
    for target in EVERY_FAMILY.values():
        answer = ask(served, target.format("customer.test"), "autoconfig.customer.test")
        assert answer.status == "200 OK", target
    assert "example.com" not in body


def test_a_document_from_the_hook_can_be_cached_by_clients(toml: Write) -> None:
    served = service(toml(TWO_DOMAINS), lambda domain: dict(CUSTOMER))
    first = ask(served, f"{CONFIG}?emailaddress=fred@customer.test")
    assert first.headers[-2][0] == "ETag"
    again = ask(
        served,
        f"{CONFIG}?emailaddress=anna@customer.test",
        HTTP_IF_NONE_MATCH=first.etag,
    )
    assert again.status.startswith("304")
    other = ask(served, f"{CONFIG}?emailaddress=fred@another.test")
    assert b"<domain>another.test</domain>" in other.body
    assert b"customer.test</domain>" not in other.body


def test_a_changed_provider_is_served_after_hook_max_age(
    toml: Write, clock: Clock
) -> None:
    rows: dict[str, Any] = {"customer.test": CUSTOMER}
    served = service(toml(TWO_DOMAINS), rows.get)
    before = ask(served, f"{CONFIG}?emailaddress=fred@customer.test")
    clock.now += 61
    assert ask(served, f"{CONFIG}?emailaddress=fred@customer.test") is before
    rows["customer.test"] = {**CUSTOMER, "display_name": "New Name"}
    clock.now += 61
    after = ask(served, f"{CONFIG}?emailaddress=fred@customer.test")
    assert b"New Name" in after.body
    assert after.etag != before.etag


RECURSIVE: dict[str, Any] = dict(CUSTOMER)
RECURSIVE["webmail"] = RECURSIVE
FAULTY = {
    "a misspelt key": ({**CUSTOMER, "incomming": []}, "provider[0].incomming"),
    "a server without a host": (
        {**CUSTOMER, "incoming": [{"type": "imap"}]},
        "provider[0].incoming[0]",
    ),
    "a file of this machine": (
        {**CUSTOMER, "domains_file": "/etc/passwd"},
        "domains_file",
    ),
    "a number": (5, "it returned int"),
    "a recursive mapping": (RECURSIVE, "nested too deeply"),
    "an id that the file does not have": ("nowhere.test", "does not have"),
}


@pytest.mark.parametrize(("result", "words"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_provider_is_logged_with_its_place_and_answered_503(
    toml: Write, caplog: pytest.LogCaptureFixture, result: object, words: str
) -> None:
    served = service(toml(TWO_DOMAINS), lambda domain: result)
    assert ask(served, f"{CONFIG}?emailaddress=secret@b.test").status.startswith("503")
    assert words in caplog.text
    assert "secret" not in caplog.text


# --- Caching ---------------------------------------------------------------


@pytest.mark.parametrize(("line", "max_age"), [("", 60), ("hook_max_age = 5", 5)])
def test_the_hook_is_called_once_in_hook_max_age_for_a_domain(
    toml: Write, clock: Clock, line: str, max_age: int
) -> None:
    database = Database({"customer.test": "example.com"})
    served = service(toml(f"{line}\n{TWO_DOMAINS}"), database)
    for _ in range(50):
        known = ask(served, f"{CONFIG}?emailaddress=a@customer.test")
        unknown = ask(served, f"{CONFIG}?emailaddress=a@nobody.test")
        assert (known.status[:3], unknown.status[:3]) == ("200", "404")
    assert sorted(database.queries) == ["customer.test", "nobody.test"]
    clock.now += max_age + 1
    ask(served, f"{CONFIG}?emailaddress=a@customer.test")
    assert database.queries.count("customer.test") == 2


def test_logins_are_cached(toml: Write, clock: Clock) -> None:
    database = Database({"fred@example.com": "u1001"})
    served = service(toml(TWO_DOMAINS), find_username=database)
    for _ in range(5):
        body = ask(served, f"{CONFIG}?emailaddress=fred@example.com").body
        assert b"<username>u1001</username>" in body
    assert database.queries == ["fred@example.com"]


def test_simultaneous_requests_share_one_call(toml: Write) -> None:
    database = Database({"customer.test": CUSTOMER})
    database.slow = 0.3
    served = service(toml(TWO_DOMAINS), database)
    with ThreadPoolExecutor(16) as pool:
        target = f"{CONFIG}?emailaddress=a@customer.test"
        answers = list(pool.map(lambda _: ask(served, target), range(16)))
    assert {answer.status for answer in answers} == {"200 OK"}
    assert database.queries == ["customer.test"]


def test_during_a_call_other_requests_get_the_last_result(
    toml: Write, clock: Clock
) -> None:
    database = Database({"customer.test": CUSTOMER})
    served = service(toml(TWO_DOMAINS), database)
    target = f"{CONFIG}?emailaddress=a@customer.test"
    ask(served, target)
    clock.now += 61
    asks, goes_on = threading.Event(), threading.Event()

    def wait(domain: str) -> dict[str, Any]:
        asks.set()
        assert goes_on.wait(10)
        return CUSTOMER

    served.hooks.take(SimpleNamespace(find_provider=wait))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, served, target)
        assert asks.wait(10)
        assert ask(served, target).status == "200 OK"  # and does not wait
        assert not slow.done()
        goes_on.set()


def test_unknown_domains_do_not_evict_known_ones(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_MOST_UNKNOWN", 6000)
    database = Database({"customer.test": CUSTOMER})
    served = service(toml(TWO_DOMAINS), database)
    ask(served, f"{CONFIG}?emailaddress=a@customer.test")
    for number in range(100):
        ask(served, f"{CONFIG}?emailaddress=a@d{number}.test")
    ask(served, f"{CONFIG}?emailaddress=a@customer.test")
    assert database.queries.count("customer.test") == 1
    assert 5 < len(served.hooks._providers._unknown) < 12


def test_the_cache_of_results_is_bounded_in_bytes(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_MOST_KNOWN", 1024 * 1024)
    more = [f"d{number}.customer.test" for number in range(1000)]
    rows = {f"{'a' * 60}{n}.test": {**CUSTOMER, "domains": more} for n in range(40)}
    hooks_ = service(toml(TWO_DOMAINS), Database(rows)).hooks
    hooks_.provider_of(next(iter(rows)), 60)  # so that what is imported late is there
    tracemalloc.start()
    for domain in rows:
        assert hooks_.provider_of(domain, 60)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1024 * 1024
    assert 5 < len(hooks_._providers._known) < 40


# --- Failures -------------------------------------------------------------------


def test_the_last_result_is_used_for_a_day_while_the_hook_fails(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database({"customer.test": CUSTOMER})
    served = service(toml(TWO_DOMAINS), database)
    known, unknown = (f"{CONFIG}?emailaddress=a@{it}.test" for it in ("customer", "no"))
    first = ask(served, known)
    assert ask(served, unknown).status.startswith("404")
    database.is_down = True
    for _ in range(20):
        clock.now += 3600
        assert ask(served, known) is first
        assert ask(served, unknown).status.startswith("404")
    assert "find_provider failed" in caplog.text
    clock.now += 5 * 3600
    assert ask(served, known).status.startswith("503")
    database.is_down = False
    clock.now += 3
    assert ask(served, known).status == "200 OK"


@pytest.mark.parametrize("target", EVERY_FAMILY.values(), ids=EVERY_FAMILY.keys())
def test_without_a_last_result_a_failing_hook_means_503_in_every_family(
    toml: Write, target: str
) -> None:
    database = Database({})
    database.is_down = True
    served = service(toml(TWO_DOMAINS), database)
    answer = ask(served, target.format("customer.test"), "autoconfig.customer.test")
    assert answer.status.startswith("503")
    assert ("Retry-After", "10") in answer.headers
    assert ("Cache-Control", "no-store") in answer.headers


def test_a_failing_hook_means_503_for_outlooks_post(toml: Write) -> None:
    database = Database({})
    database.is_down = True
    app = create_app(toml(TWO_DOMAINS), hooks=Hooks(database))
    reply = Client(app).post(
        "/autodiscover/autodiscover.xml", data=outlook_asks("fred@c.test")
    )
    assert reply.status_code == 503
    assert reply.headers["Retry-After"]


def test_a_failed_call_is_not_repeated_within_two_seconds(
    toml: Write, clock: Clock
) -> None:
    database = Database({})
    database.is_down = True
    served = service(toml(TWO_DOMAINS), database)
    for _ in range(10):
        ask(served, f"{CONFIG}?emailaddress=a@customer.test")
    assert len(database.queries) == 1
    clock.now += 2.1
    ask(served, f"{CONFIG}?emailaddress=a@customer.test")
    assert len(database.queries) == 2


def test_failures_are_logged_once_a_second(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database({})
    database.is_down = True
    served = service(toml(TWO_DOMAINS), database)
    for number in range(100):
        ask(served, f"{CONFIG}?emailaddress=a@d{number}.test")
    assert caplog.text.count("find_provider failed") == 1
    clock.now += 1.1
    ask(served, f"{CONFIG}?emailaddress=a@one-more.test")
    assert "and 99 times more before" in caplog.text


# --- Entry points --------------------------------------------------------------


def through_a_site(file: Path, database: Database) -> Any:
    mine = Autoconfig()
    mine.find_provider(database)
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(mine)
    return app


def through_the_middleware(file: Path, database: Database) -> Any:
    return AutoconfigMiddleware(Flask("site"), file, find_provider=database)


def through_create_app(file: Path, database: Database) -> Any:
    class Functions:
        find_provider = staticmethod(database)

    return create_app(file, hooks=Functions)


@pytest.mark.parametrize(
    "entry_point", [through_a_site, through_the_middleware, through_create_app]
)
def test_every_entry_point_accepts_hooks(
    toml: Write, entry_point: Callable[[Path, Database], Any]
) -> None:
    app = entry_point(toml(TWO_DOMAINS), Database({"customer.test": CUSTOMER}))
    reply: TestResponse = Client(app).get(f"{CONFIG}?emailaddress=a@customer.test")
    assert "<hostname>imap.customer.test</hostname>" in reply.text


def test_an_object_without_hooks_is_refused(toml: Write) -> None:
    with pytest.raises(
        ConfigError, match="no function find_provider, find_provider_by"
    ):
        create_app(toml(TWO_DOMAINS), hooks=object())


def test_the_health_of_a_domain_is_503_while_the_hook_fails(toml: Write) -> None:
    database = Database({"customer.test": CUSTOMER})
    client = Client(create_app(toml(TWO_DOMAINS), hooks=Hooks(database)))
    host = "/healthz?domain=autoconfig."
    assert client.get(f"{host}customer.test").status_code == 200
    assert client.get(f"{host}nobody.test").status_code == 404
    database.is_down = True
    assert client.get(f"{host}other.test").status_code == 503
    assert client.get("/healthz").status_code == 200


# --- The provider of an address ----------------------------------------------------

SHARD: dict[str, Any] = {
    "display_name": "Shard 7",
    "incoming": [{"type": "imap", "hostname": "shard7.example.com"}],
    "outgoing": [{"type": "smtp", "hostname": "shard7.example.com"}],
}
POX = "/autodiscover/autodiscover.xml"


def sharded(file: Path, rows: dict[str, Any], find_provider: Any = None) -> Service:
    return service(file, find_provider, find_provider_by_address=Database(rows))


def cache_control(answer: Any) -> str:
    return str(dict(answer.headers)["Cache-Control"])


@pytest.mark.parametrize(
    "target",
    [
        f"{CONFIG}?emailaddress={{}}",
        "/mail/mobileconfig?emailaddress={}",
        "/mail/setup?emailaddress={}",
        f"{POX}?emailaddress={{}}",
    ],
)
@pytest.mark.parametrize("domain", ["example.com", "unlisted.test"])
def test_a_user_gets_their_own_servers_privately(
    toml: Write, target: str, domain: str
) -> None:
    served = sharded(toml(TWO_DOMAINS), {f"fred@{domain}": SHARD})
    own = ask(served, target.format(f"fred@{domain}"), "autoconfig.example.com")
    assert own.status == "200 OK"
    assert b"shard7.example.com" in own.body
    assert cache_control(own) == "private, no-store"
    others = ask(served, target.format("anna@example.com"), "autoconfig.example.com")
    assert b"imap.example.com" in others.body
    assert b"shard7" not in others.body
    # Otherwise the header would tell who has servers of their own.
    assert cache_control(others) == "private, no-store"


def test_outlooks_post_and_version_2_use_the_provider_of_the_address(
    toml: Write,
) -> None:
    activesync = {"type": "activesync", "url": "https://eas7.test/eas"}
    eas = {**SHARD, "incoming": [*SHARD["incoming"], activesync]}
    hooks_ = Hooks(find_provider_by_address=Database({"fred@example.com": eas}))
    client = Client(create_app(toml(TWO_DOMAINS), hooks=hooks_))
    reply = client.post(POX, data=outlook_asks("fred@example.com"))
    assert "<Server>shard7.example.com</Server>" in reply.text
    reply = client.post(POX, data=outlook_asks("anna@example.com"))
    assert "<Server>imap.example.com</Server>" in reply.text
    json = "/autodiscover/autodiscover.json?Protocol=ActiveSync&Email="
    assert "eas7.test" in client.get(f"{json}fred@example.com").text
    assert client.get(f"{json}anna@example.com").status_code == 400


def test_the_hook_for_addresses_precedes_the_hook_for_domains(toml: Write) -> None:
    rows = {"fred@customer.test": SHARD}
    served = sharded(toml(TWO_DOMAINS), rows, {"customer.test": CUSTOMER}.get)
    for user, host in (("fred", b"shard7"), ("anna", b"imap.customer.test")):
        body = ask(served, f"{CONFIG}?emailaddress={user}@customer.test").body
        assert host in body
        assert b"<domain>customer.test</domain>" in body


def test_the_page_accepts_an_id_for_an_address_of_an_unlisted_domain(
    toml: Write,
) -> None:
    served = sharded(toml(TWO_DOMAINS), {"fred@new.test": "example.com"})
    page = "/mail/setup?emailaddress="
    host = "autoconfig.example.com"
    assert ask(served, f"{page}fred@new.test", host).status == "200 OK"
    assert ask(served, f"{page}anna@new.test", host).status.startswith("404")


def test_what_is_for_a_whole_domain_asks_no_hook_for_addresses(toml: Write) -> None:
    """PACC's digest is in DNS; Evolution sends EVOLUTIONUSER instead of a local part."""
    pacc = "/.well-known/user-agent-configuration.json"
    database = Database({"fred@example.com": SHARD})
    served = service(toml(TWO_DOMAINS), find_provider_by_address=database)
    host = "autoconfig.example.com"
    for target in (
        CONFIG,
        f"{CONFIG}?emailaddress=EVOLUTIONUSER@example.com",
        f"{pacc}?emailaddress=fred@example.com",
        "/v1.1/example.com",
    ):
        answer = ask(served, target, host)
        assert b"imap.example.com" in answer.body
        assert cache_control(answer).startswith("public")
    assert database.queries == []
    digested = ask(service(toml(TWO_DOMAINS)), pacc, host)
    assert ask(served, f"{pacc}?emailaddress=fred@example.com", host).body == (
        digested.body
    )


def test_the_provider_of_an_address_is_kept_while_the_hook_fails(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database({"fred@example.com": SHARD})
    served = service(toml(TWO_DOMAINS), find_provider_by_address=database)
    target = f"{CONFIG}?emailaddress=fred@example.com"
    for _ in range(5):
        assert b"shard7" in ask(served, target).body
    assert database.queries == ["fred@example.com"]
    clock.now += 61
    database.is_down = True
    assert b"shard7" in ask(served, target).body
    other = ask(served, f"{CONFIG}?emailaddress=anna@example.com")
    assert other.status.startswith("503")
    assert "find_provider_by_address failed for example.com" in caplog.text
    assert "fred" not in caplog.text
    assert "anna" not in caplog.text


def test_an_unknown_id_for_an_address_is_logged_without_the_address(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    served = sharded(toml(TWO_DOMAINS), {"fred@example.com": "gone.test"})
    answer = ask(served, f"{CONFIG}?emailaddress=fred@example.com")
    assert answer.status.startswith("503")
    (line,) = caplog.messages
    assert line.startswith("find_provider_by_address failed for example.com: it named")


def test_settings_and_every_entry_point_use_the_hook_for_addresses(
    toml: Write,
) -> None:
    database = Database({"fred@example.com": SHARD})
    autoconfig = Autoconfig()
    autoconfig.find_provider_by_address(database)
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(autoconfig)
    middleware = AutoconfigMiddleware(
        Flask("shop"), toml(TWO_DOMAINS), find_provider_by_address=database
    )
    with app.app_context():
        found = [autoconfig.settings("fred@example.com")]
    found.append(middleware.settings("fred@example.com"))
    for settings in found:
        assert settings is not None
        assert settings.incoming[0].hostname == "shard7.example.com"
    module = SimpleNamespace(find_provider_by_address=database)
    for entry in (app, middleware, create_app(toml(TWO_DOMAINS), hooks=module)):
        reply = Client(entry).get(f"{CONFIG}?emailaddress=fred@example.com")
        assert "shard7.example.com" in reply.text


@pytest.mark.parametrize("name", hooks.HOOK_NAMES)
def test_an_async_hook_is_refused_at_once(toml: Write, name: str) -> None:
    async def look_up(key: str) -> None: ...

    with pytest.raises(TypeError, match="look_up is an async function"):
        getattr(Autoconfig(), name)(look_up)
    hook: dict[str, Any] = {name: look_up}
    with pytest.raises(TypeError, match="look_up is an async function"):
        AutoconfigMiddleware(Flask("shop"), toml(TWO_DOMAINS), **hook)
    with pytest.raises(ConfigError, match="look_up is an async function"):
        create_app(toml(TWO_DOMAINS), hooks=SimpleNamespace(**hook))


# --- Unusual results --------------------------------------------


def test_database_rows_and_null_values_are_accepted(toml: Write) -> None:
    """NULL counts as not set, in a mapping or a row."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    row = database.execute(
        "SELECT 'Customer' AS display_name, NULL AS logo_url"
    ).fetchone()
    servers = {
        "incoming": ({"type": "imap", "hostname": "imap.c.test", "port": None},),
        "outgoing": [MappingProxyType({"type": "smtp", "hostname": "smtp.c.test"})],
    }
    for result in ({**row, **servers}, MappingProxyType({**row, **servers})):
        served = service(toml(TWO_DOMAINS), lambda domain, result=result: result)
        body = ask(served, f"{CONFIG}?emailaddress=fred@c.test").body
        assert b"<displayName>Customer</displayName>" in body
        assert b"<port>993</port>" in body
    served = service(toml(TWO_DOMAINS), lambda domain: row)
    assert ask(served, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("503")


def test_not_found_from_a_hook_means_an_unknown_domain(toml: Write) -> None:
    def find(domain: str) -> str:
        raise NotFound

    served = service(toml(TWO_DOMAINS), find)
    assert ask(served, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("404")


@pytest.mark.parametrize("end", [SystemExit, RecursionError, KeyError])
def test_any_exception_in_a_hook_is_answered_503_and_logged(
    toml: Write, caplog: pytest.LogCaptureFixture, end: type[BaseException]
) -> None:
    def find(domain: str) -> str:
        raise end("why")

    served = service(toml(TWO_DOMAINS), find)
    assert ask(served, f"{CONFIG}?emailaddress=fred@c.test").status.startswith("503")
    assert "find_provider failed for c.test" in caplog.text
    assert "fred" not in caplog.text


@pytest.mark.parametrize(
    ("login", "words"), [(5, "returned int"), (b"x", "returned bytes")]
)
def test_a_login_of_the_wrong_type_is_logged_with_its_type_only(
    toml: Write, caplog: pytest.LogCaptureFixture, login: object, words: str
) -> None:
    served = service(toml(TWO_DOMAINS), None, lambda address: login)
    assert ask(served, f"{CONFIG}?emailaddress=fred@example.com").status.startswith(
        "503"
    )
    assert f"find_username failed for example.com: it {words}" in caplog.text
    assert "fred" not in caplog.text


def test_an_unknown_provider_id_is_logged_with_its_domain(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    served = service(toml(TWO_DOMAINS), lambda domain: "gone.test")
    for number in range(20):
        ask(served, f"{CONFIG}?emailaddress=fred@c{number}.test")
    (line,) = caplog.messages
    assert "for c0.test: it named 'gone.test'" in line


def test_hooks_that_hang_do_not_block_every_thread(
    toml: Write,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "_TURN", 0.01)
    goes_on = threading.Event()
    served = service(toml(TWO_DOMAINS), lambda domain: goes_on.wait(30) and None)
    targets = [f"{CONFIG}?emailaddress=fred@c{number}.test" for number in range(40)]
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(ask, served, target) for target in targets]
        until(lambda: sum(it.done() for it in answers) == 40 - hooks._MOST_CALLS)
        assert {it.result().status[:3] for it in answers if it.done()} == {"503"}
        assert ask(served, f"{CONFIG}?emailaddress=fred@example.com").status == "200 OK"
        goes_on.set()
    assert "16 calls have not returned" in caplog.text
    clock.now += 3  # such a failure is not cached for longer
    assert {ask(served, target).status[:3] for target in targets} == {"404"}


def test_a_call_that_takes_long_is_logged_and_the_last_result_is_used(
    toml: Write, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database({"customer.test": "example.com"})
    served = service(toml(TWO_DOMAINS), database)
    target = f"{CONFIG}?emailaddress=fred@customer.test"
    ask(served, target)
    goes_on, asks = threading.Event(), threading.Event()

    def hang(domain: str) -> None:
        asks.set()
        goes_on.wait(30)

    served.hooks.take(SimpleNamespace(find_provider=hang))
    clock.now += 61
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask, served, target)
        assert asks.wait(10)
        clock.now += 12
        assert ask(served, target).status == "200 OK"
        assert "for customer.test: it has not returned for 12 seconds" in caplog.text
        goes_on.set()
