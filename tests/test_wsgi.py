"""The middleware in front of a WSGI application."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from client_requests import (
    CONFIG,
    FILE,
    HOST,
    POX,
    WebRequest,
    call_app,
    environ_of,
    little_site,
    requests_of,
    run_app,
)
from flask import Flask, redirect, request
from flask_limiter import Limiter
from flask_wtf import CSRFProtect
from services import captured, until
from support import TWO_DOMAINS, Log, Write, rows
from support import site as site_with_blueprint
from test_extensions import say

from flask_autoconfig import AutoconfigMiddleware, ConfigError, create_app
from flask_autoconfig.families import FAMILIES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAMES = [family.name for family in FAMILIES]
# wsgiref's list of methods is that of HTTP without WebDAV.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


# --- Two sites -------------------------------------------------------------------------


def django_site() -> WSGIApplication:
    site: WSGIApplication = importlib.import_module("django_shop.wsgi").application
    return site


def flask_site() -> Flask:
    """A site with a login wall, CSRF protection and a rate limit."""
    app = Flask("shop")
    app.config.update(SECRET_KEY="of a test", TRUSTED_HOSTS=["www.example.com"])
    CSRFProtect(app)
    Limiter(lambda: "all", app=app, default_limits=["1/day"], storage_uri="memory://")

    @app.before_request
    def login_wall() -> Any:
        return None if request.path == "/login" else redirect("/login")

    @app.route("/login")
    def login() -> str:
        return "The shop at /login"

    with chdir(FILE.parent):  # where the line of examples/README.md finds the file
        say("walls of your own", app=app, AutoconfigMiddleware=AutoconfigMiddleware)
    return app


def blueprint_site() -> WSGIApplication:
    """A site with the blueprint, whose templates and routes are in the way."""
    app = site_with_blueprint(FILE)
    app.add_url_rule("/<path:path>", "all", lambda path: f"The shop at /{path}")
    return app


@pytest.fixture(scope="module", params=[django_site, flask_site, blueprint_site])
def site(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture(scope="module")
def alone() -> WSGIApplication:
    return create_app(FILE)


@pytest.mark.parametrize("family", NAMES)
def test_a_site_answers_like_the_service(
    site: WSGIApplication, alone: WSGIApplication, family: str
) -> None:
    for case in requests_of(family):
        answer = call_app(site, case)
        # There is a logo only where the file names one.
        assert answer.status[0] in "23" or case.path.endswith("/logo"), case
        assert answer.lasting == call_app(alone, case).lasting, case
        if case.method == "HEAD":
            assert not answer.body
        wrong = call_app(site, case._replace(method="BREW", body=b"coffee"))
        assert wrong.status.title() == "405 Method Not Allowed"
        # A blueprint leaves other methods to Flask.
        assert wrong.body.startswith((b"Use ", b"<!doctype html>"))


def test_the_sites_own_pages_are_served(site: WSGIApplication) -> None:
    answer = call_app(site, WebRequest("/login", query="", host="www.example.com"))
    assert (answer.status, answer.body) == ("200 OK", b"The shop at /login")


def test_a_flask_sites_rules_apply_to_its_own_paths_only() -> None:
    site, host = flask_site(), "www.example.com"
    walled = call_app(site, WebRequest("/orders", host=host))
    assert (walled.status, walled.headers["Location"]) == ("302 FOUND", "/login")
    assert call_app(site, WebRequest("/login", host=HOST)).status == "400 BAD REQUEST"
    for _ in range(3):
        assert call_app(site, WebRequest(CONFIG)).status == "200 OK"
        assert call_app(site, WebRequest(POX, "POST", body=b"<a/>")).status == "200 OK"
    assert call_app(site, WebRequest("/login", host=host)).status == "200 OK"
    limited = call_app(site, WebRequest("/login", host=host))
    assert limited.status == "429 TOO MANY REQUESTS"


# --- Other requests ---------------------------------------------------------------------


class Recorder:
    """An application that records its arguments and returns its own iterable."""

    def __init__(self) -> None:
        self.body = iter([b"mine"])

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterator[bytes]:
        self.environ, self.start = environ, start_response
        return self.body


def in_front(app: WSGIApplication = little_site, **options: Any) -> Any:
    """Return the middleware with two domains in front of an application."""
    return AutoconfigMiddleware(app, tomllib.loads(TWO_DOMAINS), **options)


@rows("passed_on", "path", "tables.toml")
def test_other_requests_reach_the_application_unchanged(path: str) -> None:
    app, headers = Recorder(), (("X_FORWARDED_HOST", "other.example"),)
    middleware = in_front(app, proxies=1)

    def start(*_: object) -> Any: ...

    for method in ("GET", "POST", "OPTIONS", "PROPFIND"):
        environ = environ_of(WebRequest(path, method, body=b"x", headers=headers))
        environ["wsgi.input"] = Unread()
        before = dict(environ)
        answer = middleware(environ, start)
        assert answer is app.body  # so that its close(), its length and its kind stay
        assert app.environ is environ
        assert environ == before
        assert app.start is start


class Unread:
    """A body that fails when it is read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("it was read")

    readline = readlines = __iter__ = read


def test_the_body_of_a_refused_request_is_not_read() -> None:
    for path, method in ((CONFIG, "POST"), ("/.well-known/caldav", "PROPFIND")):
        environ = environ_of(WebRequest(path, method, body=b"x"))
        environ["wsgi.input"] = Unread()
        assert run_app(in_front(), environ).status[0] == "4"


@pytest.mark.parametrize(
    ("script", "path", "status"),
    [("/shop", CONFIG, "200"), ("/mail", "/other", "404"), (CONFIG, "", "404")],
)
def test_a_script_name_is_not_in_the_path(script: str, path: str, status: str) -> None:
    answer = call_app(in_front(), WebRequest(path), SCRIPT_NAME=script)
    assert answer.status.startswith(status)


# --- Incomplete and invalid environs ----------------------------------------------------


@pytest.mark.parametrize("family", NAMES)
def test_optional_environ_keys_may_be_missing(family: str) -> None:
    middleware = AutoconfigMiddleware(little_site, FILE)
    for case in requests_of(family):
        for key in ("QUERY_STRING", "HTTP_HOST", "CONTENT_LENGTH", "REQUEST_METHOD"):
            environ = environ_of(case)
            del environ[key]
            assert run_app(middleware, environ).status[0] in "234", (case, key)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"QUERY_STRING": None}, "200"),
        ({"HTTP_HOST": None}, "200"),
        ({"QUERY_STRING": "emailaddress=\udcff@example.com"}, "200"),
        ({"HTTP_HOST": "\udcff\x00"}, "200"),  # of the one provider
        ({"HTTP_IF_NONE_MATCH": "\udcff"}, "200"),
        ({"HTTP_IF_MODIFIED_SINCE": "Mon, 99 Foo 99999999999 99:99:99 GMT"}, "200"),
        ({"REQUEST_METHOD": ""}, "405"),
    ],
)
def test_an_invalid_environ_is_answered(changes: dict[str, Any], status: str) -> None:
    environ = {**environ_of(WebRequest(CONFIG, query="")), **changes}
    assert run_app(in_front(), environ).status[:3] == status


# --- Arguments -------------------------------------------------------------------------


def test_families_that_are_not_chosen_are_passed_on() -> None:
    middleware = in_front(clients="page, pacc")
    assert call_app(middleware, WebRequest("/mail/setup")).status == "200 OK"
    assert call_app(middleware, WebRequest(CONFIG)).status == "404 Of The Site"
    with pytest.raises(ConfigError, match="there is no family pages"):
        in_front(clients=["pages"])


def test_the_site_can_get_the_settings_of_an_address() -> None:
    middleware, fred = in_front(proxies=1), "fred@example2.com"
    settings = middleware.settings(fred)
    assert settings.incoming[0].username == fred
    root = "https://autoconfig.example2.com"
    assert settings.page_url == f"{root}/mail/setup?emailaddress=fred%40example2.com"
    headers = (("X_FORWARDED_HOST", "shop.test"), ("X_FORWARDED_PROTO", "https"))
    environ = environ_of(WebRequest("/profile", headers=headers))
    found = middleware.settings(fred, environ)
    assert found.page_url == settings.page_url.replace(root, "https://shop.test")
    assert environ["HTTP_HOST"] == HOST
    assert middleware.settings("fred@nowhere.test") is None
    assert middleware.settings("nobody") is None
    without = in_front(clients="pacc").settings(fred)
    assert (without.page_url, without.profile_url) == (None, None)


# --- Faults ------------------------------------------------------------------------------


def with_blueprint(file: Path) -> WSGIApplication:
    app = site_with_blueprint(file)
    app.add_url_rule("/stream", "stream", lambda: "one two three")
    return app


@pytest.mark.parametrize("text", ["[[provider", "[[provider]]\ndomains = 5", None])
@pytest.mark.parametrize(
    "build", [partial(AutoconfigMiddleware, little_site), with_blueprint]
)
def test_with_an_unusable_file_only_clients_get_503(
    toml: Write, caplog: Log, build: Callable[[Path], WSGIApplication], text: str | None
) -> None:
    file = toml(text or "")
    if text is None:
        file.unlink()
    app = build(file)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(file) in caplog.text
    assert call_app(app, WebRequest("/stream")).body == b"one two three"
    for case in requests_of(*NAMES):
        answer = call_app(app, case)
        status = int(answer.status[:3])
        if case.path.startswith("/v1.1/example2"):  # of a family that is off
            assert status == 404
        elif case.path.endswith((".css", ".js", "/")):  # what the page with 503 loads
            assert status in (200, 308)
        else:
            assert status == 503, case
            assert int(answer.headers["Retry-After"]) > 0
    toml(TWO_DOMAINS)
    until(lambda: call_app(app, WebRequest(CONFIG)).status[:3] == "200", seconds=5)


def test_only_the_page_loads_jinja_and_no_request_loads_werkzeug(file: Path) -> None:
    code = (
        "import sys; from client_requests import WebRequest, call_app, little_site\n"
        "from flask_autoconfig import AutoconfigMiddleware\n"
        f"middleware = AutoconfigMiddleware(little_site, {str(file)!r})\n"
        "print(*[m for m in ('flask', 'jinja2', 'werkzeug') if m in sys.modules])\n"
        f"assert call_app(middleware, WebRequest({CONFIG!r})).status == '200 OK'\n"
        "assert 'jinja2' not in sys.modules\n"
        "assert call_app(middleware, WebRequest('/mail/setup')).status == '200 OK'\n"
        "print(*[m for m in ('flask', 'jinja2') if m in sys.modules])\n"
    )
    result = captured("python", "-c", code, cwd=Path(__file__).parent)
    assert (result.returncode, result.stdout) == (0, "werkzeug\njinja2\n")
