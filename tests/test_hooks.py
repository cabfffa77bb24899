"""The hooks of a site: their results, the cache, and failures."""

import re
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from client_requests import CONFIG, PACC, POX, outlook_request
from flask import Flask
from services import until
from support import TWO_DOMAINS, Log, Patch, Write, sender, site, table
from werkzeug.exceptions import NotFound
from werkzeug.test import Client

from flask_autoconfig import Autoconfig, AutoconfigMiddleware, ConfigError, create_app
from flask_autoconfig.answers import Request
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.hooks import HOOK_NAMES, calling
from flask_autoconfig.page import alone
from flask_autoconfig.service import Service

CUSTOMER = table("customer", "hooks.toml")
SHARD = table("shard", "hooks.toml")
EVERY_FAMILY = (
    *(f"{CONFIG}?emailaddress=fred@customer.test", CONFIG, PACC),
    "/autodiscover/autodiscover.json?Protocol=AutodiscoverV1&Email=fred@customer.test",
    "/mail/mobileconfig?emailaddress=fred@customer.test",
    "/mail/setup?emailaddress=fred@customer.test",
    "/mail/setup/qr.svg?emailaddress=fred@customer.test",
    "/v1.1/customer.test",
)


class Database:
    """A database of customers that records its queries, and can be down."""

    def __init__(self, rows: dict[str, Any], is_down: bool = False) -> None:
        self.rows, self.is_down = rows, is_down
        self.queries: list[str] = []

    def __call__(self, key: str) -> Any:
        self.queries.append(key)
        if self.is_down:
            raise ConnectionError(f"the database is down for {key}")
        return self.rows.get(key)


class Clock:
    """The clock of the cache, set by the test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1.7e9 + self.now


@pytest.fixture
def clock(monkeypatch: Patch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(calling, "time", clock)
    return clock


class Served:
    """A service with two domains and some hooks, and what it answers."""

    def __init__(self, file: Path, **functions: Any) -> None:
        clients = "thunderbird outlook apple pacc dav page ispdb"
        config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": clients}
        hooks = SimpleNamespace(**functions) if functions else None
        app = create_app(config, hooks=hooks)
        self.service: Service = app.extensions["autoconfig"]
        self.hooks = self.service.hooks
        self.send = sender(app, "https")

    def config(self, address: str, **more: str) -> Any:
        return self.send(f"{CONFIG}?emailaddress={address}", Host="x.test", **more)


Serve = Callable[..., Served]


@pytest.fixture
def serve(toml: Write) -> Serve:
    def serve(line: str = "", **functions: Any) -> Served:
        return Served(toml(f"{line}\n{TWO_DOMAINS}"), **functions)

    return serve


# --- Results ----------------------------------------------------------


OWN = {**CUSTOMER, "domains": ["customer.test"]}
RESULTS = {
    "a mapping": CUSTOMER,
    "with the domain": {**CUSTOMER, "domains": ["customer.test", "other.test"]},
    "with another domain": {**CUSTOMER, "domains": ["other.test"]},
    "a Provider": from_raw({"provider": [OWN]}).providers[0],
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_every_family_serves_the_hooks_provider(serve: Serve, result: object) -> None:
    served = serve(find_provider={"customer.test": result}.get)
    body = served.config("fred@customer.test").data.decode()
    assert "<hostname>imap.customer.test</hostname>" in body
    assert "<port>4650</port>" in body
    assert "<displayName>Customer Ltd.</displayName>" in body
    assert "<domain>customer.test</domain>" in body
    assert "example.com" not in body
    for target in EVERY_FAMILY:
        answer = served.send(target, Host="autoconfig.customer.test")
        assert answer.status == "200 OK", target
    page = served.send("/mail/setup?emailaddress=fred@customer.test").data
    assert b"Customer Ltd." in page
    assert b"colours.css?colour=7a1f3d" in page


def test_clients_may_cache_a_hooks_document(serve: Serve, clock: Clock) -> None:
    served = serve(find_provider=lambda domain: dict(CUSTOMER))
    request = Request(CONFIG, "emailaddress=fred@customer.test")
    first = served.service.answer(request)
    assert first is not None
    clock.now += 61
    assert served.service.answer(request) is first
    again = served.config("anna@customer.test", If_None_Match=first.etag)
    assert again.status.startswith("304")
    other = served.config("fred@another.test")
    assert b"<domain>another.test</domain>" in other.data
    assert b"customer.test</domain>" not in other.data


RECURSIVE = dict(CUSTOMER)
RECURSIVE["webmail"] = RECURSIVE
ERROR = RuntimeError("no database for secret")
FAULTY = table("faulty", "tables.toml") | {  # the hook, its result and what is logged
    "a recursive mapping": ("find_provider", RECURSIVE, "nested too deeply"),
    "an exception": ("find_provider", ERROR, "no database for secret"),
    "an exit": ("find_provider", SystemExit("why"), "SystemExit: why"),
    "a recursion": ("find_provider", RecursionError("why"), "RecursionError: why"),
    "a key that is missing": ("find_provider", KeyError("why"), "KeyError: 'why'"),
    "an exception for an address": ("find_username", ERROR, "RuntimeError"),
    "a login that is bytes": ("find_username", b"secret", "got bytes"),
}


@pytest.mark.parametrize(("hook", "result", "words"), FAULTY.values(), ids=FAULTY)
def test_a_faulty_result_is_answered_503_and_logged_without_the_address(
    serve: Serve, caplog: Log, hook: str, result: Any, words: str
) -> None:
    def look_up(key: str) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    domain = "b.test" if hook == "find_provider" else "example.com"
    served = serve(**{hook: look_up})
    for number in range(20):
        answer = served.config(f"secret{number}@{domain}")
        assert answer.status.startswith("503")
        assert answer.headers["Retry-After"]
    # A thread of an earlier test may log that its file has changed.
    (line,) = [text for text in caplog.messages if text.startswith(hook)]
    assert line.startswith(f"{hook} failed for {domain}: ")
    assert words in line
    # The hook for domains gets no address, so that its message is logged.
    assert ("secret" in line) == ("secret" in words)
    known = served.send(CONFIG, Host="example.com")
    assert known.status == "200 OK"  # the file knows it


def test_that_there_is_no_such_row_is_no_failure(serve: Serve, caplog: Log) -> None:
    def find(domain: str) -> str:
        raise NotFound

    assert serve(find_provider=find).config("fred@c.test").status.startswith("404")
    assert "failed" not in caplog.text


def test_database_rows_and_null_values_are_accepted(serve: Serve) -> None:
    """NULL counts as not set, in a mapping or a row."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    query = "SELECT 'Customer' AS display_name, NULL AS logo_url"
    row = database.execute(query).fetchone()
    servers = {
        "incoming": ({"type": "imap", "hostname": "imap.c.test", "port": None},),
        "outgoing": [MappingProxyType({"type": "smtp", "hostname": "smtp.c.test"})],
    }
    rows = {"a.test": {**row, **servers}, "c.test": row}
    rows["b.test"] = MappingProxyType(rows["a.test"])
    served = serve(find_provider=rows.get)
    for domain in ("a.test", "b.test"):
        body = served.config(f"fred@{domain}").data
        assert b"<displayName>Customer</displayName>" in body
        assert b"<port>993</port>" in body
    assert served.config("fred@c.test").status.startswith("503")  # without servers


# --- Caching ---------------------------------------------------------------


@pytest.mark.parametrize(("line", "max_age"), [("", 60), ("hook_max_age = 5", 5)])
def test_a_hook_is_called_once_in_hook_max_age(
    serve: Serve, clock: Clock, line: str, max_age: int
) -> None:
    database = Database({"customer.test": CUSTOMER})
    logins = Database({"fred@example.com": "u1001"})
    served = serve(line, find_provider=database, find_username=logins)
    for _ in range(50):
        before = served.config("fred@customer.test")
        assert b"<username>u1001</username>" in served.config("fred@example.com").data
        assert served.config("fred@nobody.test").status.startswith("404")
    assert sorted(database.queries) == ["customer.test", "nobody.test"]
    assert sorted(logins.queries) == ["fred@customer.test", "fred@example.com"]
    database.rows["customer.test"] = {**CUSTOMER, "display_name": "New Name"}
    assert served.config("fred@customer.test").data == before.data
    clock.now += max_age + 1
    assert b"New Name" in served.config("fred@customer.test").data
    served.config("fred@example.com")
    assert (len(database.queries), len(logins.queries)) == (3, 4)


def test_during_a_call_others_get_the_last_result(
    serve: Serve, clock: Clock, caplog: Log, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(calling, "_PATIENCE", 30)  # longer than the hook takes
    served = serve(find_provider=lambda domain: CUSTOMER)
    served.config("a@customer.test")
    clock.now += 61
    is_called, may_continue = threading.Event(), threading.Event()

    def wait(domain: str) -> dict[str, Any]:
        is_called.set()
        assert may_continue.wait(10)
        return CUSTOMER

    served.hooks.functions.set(find_provider=wait)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(served.config, "a@customer.test")
        assert is_called.wait(10)
        assert served.config("a@customer.test").status == "200 OK"  # and does not wait
        assert not caplog.text
        clock.now += 12
        assert served.config("a@customer.test").status == "200 OK"
        assert "for customer.test: it has not returned for 12 seconds" in caplog.text
        assert not slow.done()
        may_continue.set()


def test_hooks_that_hang_do_not_block_all_threads(
    serve: Serve, clock: Clock, caplog: Log, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(calling, "_SLOT_SECONDS", 0.01)
    may_continue = threading.Event()
    served = serve(find_provider=lambda domain: CUSTOMER)
    served.config("fred@customer.test")
    clock.now += 61
    served.hooks.functions.set(find_provider=lambda _: may_continue.wait(30) and None)
    addresses = [f"fred@c{number}.test" for number in range(40)]
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(served.config, address) for address in addresses]
        until(lambda: sum(f.done() for f in answers) == 40 - calling._MAX_CALLS)
        assert {f.result().status[:3] for f in answers if f.done()} == {"503"}
        assert served.config("fred@example.com").status == "200 OK"
        monkeypatch.setattr(calling, "_SLOT_SECONDS", 25)
        last = pool.submit(served.config, "fred@customer.test")
        until(last.done, 10)  # who has a last result does not wait for a turn
        assert last.result().status == "200 OK"
        may_continue.set()
    assert "16 calls have not returned" in caplog.text
    clock.now += 3  # such a failure is not cached for longer
    assert {served.config(address).status[:3] for address in addresses} == {"404"}


def test_unknown_domains_evict_no_known_one(serve: Serve, monkeypatch: Patch) -> None:
    monkeypatch.setattr(calling, "_MAX_UNKNOWN", 6000)
    database = Database({"customer.test": CUSTOMER})
    served = serve(find_provider=database)
    names = (f"d{number}.test" for number in range(100))
    for domain in ("customer.test", *names, "customer.test"):
        served.config(f"a@{domain}")
    assert database.queries.count("customer.test") == 1
    assert 5 < len(served.hooks.cached["find_provider"]._unknown._entries) < 12


def test_the_cache_is_bounded_in_bytes(serve: Serve, monkeypatch: Patch) -> None:
    monkeypatch.setattr(calling, "_MAX_KNOWN", 1024 * 1024)
    more = [f"d{number}.customer.test" for number in range(1000)]
    rows = {f"{'a' * 60}{n}.test": {**CUSTOMER, "domains": more} for n in range(40)}
    hook = serve(find_provider=rows.get).hooks.cached["find_provider"]
    hook.get(next(iter(rows)), 60)  # so that what is imported late is there
    import_module("flask_autoconfig.page.view")  # by the thread of any service
    alone.environment()
    tracemalloc.start()
    for domain in rows:
        assert hook.get(domain, 60)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1024 * 1024
    assert 5 < len(hook._known._entries) < 40


# --- Failures -------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["find_provider", "find_provider_by_address"])
def test_while_a_hook_fails_its_last_result_is_used(
    serve: Serve, clock: Clock, caplog: Log, hook: str
) -> None:
    user = "anna@" * ("address" in hook)
    database = Database({f"{user}customer.test": CUSTOMER})
    served = serve(**{hook: database})
    for _ in range(5):
        first = served.config("anna@customer.test")
        assert served.config("anna@no.test").status.startswith("404")
    assert database.queries == [f"{user}customer.test", f"{user}no.test"]
    database.is_down = True
    for _ in range(20):
        clock.now += 3600
        assert served.config("anna@customer.test").data == first.data
        assert served.config("anna@no.test").status.startswith("404")
    assert f"{hook} failed for customer.test" in caplog.text
    assert "anna" not in caplog.text
    clock.now += 5 * 3600
    assert served.config("anna@customer.test").status.startswith("503")
    database.is_down = False
    clock.now += 3
    assert served.config("anna@customer.test").status == "200 OK"


def test_without_a_last_result_a_failure_is_503_in_every_family(serve: Serve) -> None:
    served = serve(find_provider=Database({}, is_down=True))
    requests = [(target, "") for target in EVERY_FAMILY]
    for target, data in (*requests, (POX, outlook_request("fred@customer.test"))):
        method, host = "POST" if data else "GET", "autoconfig.customer.test"
        answer = served.send(target, method, data, Host=host)
        assert answer.status.startswith("503"), target
        assert answer.headers["Retry-After"] == "10"
        assert answer.headers["Cache-Control"] == "no-store"


def test_failures_are_logged_once_a_second(
    serve: Serve, clock: Clock, caplog: Log
) -> None:
    database = Database({}, is_down=True)
    served = serve(find_provider=database)
    names = [f"d{number}.test" for number in range(100)]
    for domain in names * 2:
        served.config(f"a@{domain}")
    assert database.queries == names
    assert caplog.text.count("find_provider failed") == 1
    for seconds, domain in ((2.1, "d0.test"), (0, "d1.test"), (60, "d0.test")):
        clock.now += seconds
        served.config(f"a@{domain}")
    assert len(database.queries) == 103
    failed = re.findall(r"find_provider failed for (\S+):", caplog.text)
    assert failed == ["d0.test", "d1.test", "d0.test"]  # each domain once a minute


# --- Entry points --------------------------------------------------------------


@pytest.mark.parametrize("name", ["find_provider", "find_provider_by_address"])
def test_every_entry_point_calls_the_hooks(toml: Write, name: str) -> None:
    key = "fred@" * ("address" in name) + "customer.test"
    file, database = toml(TWO_DOMAINS), Database({key: SHARD})
    functions: Any = {name: database}
    autoconfig = Autoconfig()
    getattr(autoconfig, name)(database)
    app = site(file, autoconfig)
    middleware = AutoconfigMiddleware(Flask("shop"), file, **functions)
    with app.app_context():
        found = [autoconfig.settings("fred@customer.test")]
    found.append(middleware.settings("fred@customer.test"))
    for settings in found:
        assert settings is not None
        assert settings.incoming[0].hostname == "shard7.example.com"
    alone = create_app(file, hooks=SimpleNamespace(**functions))
    for entry in (app, middleware, alone):
        response = Client(entry).get(f"{CONFIG}?emailaddress=fred@customer.test")
        assert "shard7.example.com" in response.text


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_an_async_hook_is_refused_at_once(toml: Write, name: str) -> None:
    async def look_up(key: str) -> None: ...

    hook: dict[str, Any] = {name: look_up}
    with pytest.raises(TypeError, match="look_up is an async function"):
        getattr(Autoconfig(), name)(look_up)
    with pytest.raises(TypeError, match="look_up is an async function"):
        AutoconfigMiddleware(Flask("shop"), toml(TWO_DOMAINS), **hook)
    with pytest.raises(ConfigError, match="look_up is an async function"):
        create_app(toml(TWO_DOMAINS), hooks=SimpleNamespace(**hook))


# --- The provider of an address ----------------------------------------------------


def test_what_is_for_a_whole_domain_asks_no_hook_for_addresses(serve: Serve) -> None:
    """PACC's digest is in DNS; Evolution sends EVOLUTIONUSER instead of a local part."""
    database = Database({"fred@example.com": SHARD})
    served, host = serve(find_provider_by_address=database), "autoconfig.example.com"
    for target in (
        CONFIG,
        f"{CONFIG}?emailaddress=EVOLUTIONUSER@example.com",
        f"{PACC}?emailaddress=fred@example.com",
        "/v1.1/example.com",
    ):
        answer = served.send(target, Host=host)
        assert b"imap.example.com" in answer.data
        assert answer.headers["Cache-Control"].startswith("public")
    assert database.queries == []
    personal = served.send(f"{PACC}?emailaddress=fred@example.com", Host=host)
    assert personal.data == serve().send(PACC, Host=host).data
