"""A Flask site with the extensions that people have: every client is answered in it.

The lines that the site itself must say stand in a table of examples/README.md, from
where they are taken to be run here.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from client_requests import CONFIG, FILE, WebRequest, outlook_request, requests_of
from documents import text_of
from flask import Flask, request
from flask_babel import Babel
from flask_caching import Cache
from flask_compress import Compress
from flask_cors import CORS
from flask_debugtoolbar import DebugToolbarExtension
from flask_limiter import Limiter
from flask_login import LoginManager, current_user
from flask_seasurf import SeaSurf
from flask_sqlalchemy import SQLAlchemy
from flask_talisman import Talisman
from flask_wtf import CSRFProtect
from sqlalchemy import text
from support import Send, sender
from support import site as site_with_blueprint
from werkzeug.test import Client, TestResponse

from flask_autoconfig import Autoconfig, AutoconfigMiddleware

Plug = Callable[[Flask, Autoconfig], object]
POX = outlook_request("fred@example.com").encode()
TAGGED = outlook_request("fred+a@example.com")
OUTLOOK = "/Autodiscover/Autodiscover.xml"
FRED = "emailaddress=fred@example.com"


with_tls = partial(sender, scheme="https")


def send(site: Send, request: WebRequest, **headers: str) -> TestResponse:
    if request.body:
        headers["Content_Type"] = "text/xml"
    target = f"{request.path}?{request.query}"
    return site(target, request.method, request.body or None, **headers)


DOCUMENT = WebRequest(CONFIG, query=FRED)
# Every path and method of every family, and what is refused there.
QUESTIONS = [
    *requests_of(),
    *(
        WebRequest(CONFIG, query=f"emailaddress={a}")
        for a in ("x@elsewhere.test", "x", "")
    ),
    *(WebRequest(OUTLOOK, "POST", body=b"<nonsense"), WebRequest(OUTLOOK, "MKCOL")),
    *(WebRequest(CONFIG, "POST", body=POX), WebRequest("/mail/setup", "POST")),
    *(WebRequest(CONFIG, query=""), WebRequest("/v1.1/a.test", "DELETE")),
]


# --- What examples/README.md says ------------------------------------------------------


def lines_of(extension: str) -> list[str]:
    text = text_of("examples/README.md")
    (row,) = re.findall(rf"^\| {re.escape(extension)} \| (.*) \|$", text, re.M)
    return [w for w in re.findall(r"`([^`]+)`", row) if "(" in w or ":" in w]


def say(extension: str, place: int = 0, **names: object) -> None:
    exec(lines_of(extension)[place], dict(names))  # noqa: S102 (our own README)


# --- The extensions --------------------------------------------------------------------


def flask_login(app: Flask, _: Autoconfig) -> None:
    manager = LoginManager(app)
    manager.login_view = "login"
    manager.user_loader(lambda _: None)
    app.add_url_rule("/login", "login", lambda: "Who are you?")
    wall = "def wall():\n    {}\n    if not user.is_authenticated: return deny()"
    names: dict[str, Any] = {"request": request, "user": current_user}
    names["deny"] = manager.unauthorized
    exec(wall.format(lines_of("Flask-Login")[0]), names)  # noqa: S102 (see say)
    app.before_request(names["wall"])


def flask_limiter(app: Flask, autoconfig: Autoconfig, place: int = 0) -> None:
    limits: list[Any] = [] if place else ["1/day"]
    limiter = Limiter(
        lambda: "all", app=app, default_limits=limits, storage_uri="memory://"
    )
    say("Flask-Limiter", place, limiter=limiter, autoconfig=autoconfig)


def flask_talisman(app: Flask, _: Autoconfig) -> None:
    Talisman(
        app,
        content_security_policy={"default-src": "'self'", "script-src": "'self'"},
        content_security_policy_nonce_in=["script-src"],
    )


def flask_seasurf(app: Flask, _: Autoconfig) -> None:
    csrf = SeaSurf(app)
    # Its line names the views, which have to be there.
    app.config["AT_THE_END"].append(lambda: say("Flask-SeaSurf", csrf=csrf, app=app))


def flask_debugtoolbar(app: Flask, _: Autoconfig) -> None:
    app.debug = True
    app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False
    DebugToolbarExtension(app)


PLUGS: dict[str, Plug] = {
    "Flask-WTF": lambda app, _: CSRFProtect(app),
    "Flask-Login": flask_login,
    "Flask-Limiter": flask_limiter,
    "Flask-Talisman": flask_talisman,
    "Flask-SeaSurf": flask_seasurf,
    "Flask-DebugToolbar": flask_debugtoolbar,
    "Flask-Caching": lambda app, _: Cache(app, config={"CACHE_TYPE": "SimpleCache"}),
    "Flask-Compress": lambda app, _: Compress(app),
    "Flask-Babel": lambda app, _: Babel(app, locale_selector=lambda: "en"),
    "Flask-CORS": lambda app, _: CORS(app),
}


def reading(read: Callable[[], object]) -> Callable[[], None]:
    """Return what a site does with each request before anybody answers it."""

    def reading() -> None:
        read()

    return reading


def create_site(*plugs: Plug, is_first: bool = False) -> Flask:
    """A site with these extensions, by an application factory.

    It has all that a site may put in the way, whatever its extensions are: an idea of
    slashes, of hosts and of errors, a route for all paths, a record of what is sent.
    """
    app = Flask("site")
    app.url_map.strict_slashes = False
    app.config.update(
        SECRET_KEY="secret",
        SERVER_NAME="www.example.com",
        TRUSTED_HOSTS=[".example.com"],
        AUTOCONFIG_FILE=FILE,
        AT_THE_END=[],
    )
    autoconfig = Autoconfig()
    if is_first:
        app.register_blueprint(autoconfig)
    app.before_request(reading(lambda: request.get_data()))
    for code in (404, 405, 500):
        app.register_error_handler(code, lambda error: ("<h1>Oh!</h1>", error.code))
    everything = ["GET", "POST", "DELETE"]
    app.add_url_rule("/<path:path>", "all", lambda path: path, methods=everything)
    app.add_url_rule("/", "home", lambda: "Welcome!")
    for plug in plugs:
        plug(app, autoconfig)
    if not is_first:
        app.register_blueprint(autoconfig)
    for last in app.config["AT_THE_END"]:
        last()
    return app


# --- What clients get ------------------------------------------------------------------

# What an extension may say beside or over what we say; caches keep what they may.
ADDED = {
    "Flask-Login": {"Vary"},
    "Flask-Talisman": {
        *("Content-Security-Policy", "Strict-Transport-Security", "X-Frame-Options"),
        *("Permissions-Policy", "Referrer-Policy"),
    },
    "Flask-SeaSurf": {"Vary"},
    "Flask-DebugToolbar": {"Vary"},
    "Flask-Compress": {"Vary"},
    "Flask-CORS": {"Access-Control-Allow-Origin"},
}


def shared_parts(answer: TestResponse, added: set[str]) -> tuple[object, ...]:
    """What a client sees, but for what a site may add."""
    length = answer.headers.get("Content-Length", type=int)
    if answer.request.method != "HEAD":
        assert length == len(answer.get_data())
    assert len(answer.headers.getlist("Access-Control-Allow-Origin")) <= 1
    others = sorted(
        pair
        for pair in answer.headers
        # The date is not the same in two sites of the same file.
        if pair[0] not in {"Last-Modified", "Content-Length", *added}
    )
    body = answer.get_data(as_text=True)
    body = re.sub(r' nonce="[^"]+"', "", body)  # Talisman's, of the page's script
    body = re.sub(r'(<Error Time=")[^"]+', r"\1", body)
    body = re.sub(r'<div id="flDebug".*</div>', "", body, flags=re.S)  # the toolbar
    return answer.status, others, re.sub(r"\s+", "", body)


@pytest.mark.parametrize("is_first", [True, False], ids=["we first", "we last"])
@pytest.mark.parametrize("name", [*PLUGS, "all of them"])
def test_an_extension_changes_no_response(name: str, is_first: bool) -> None:
    bare = site_with_blueprint(FILE)
    plugs = [PLUGS[name]] if name in PLUGS else [*PLUGS.values()]
    added = ADDED.get(name, set()) if name in PLUGS else set().union(*ADDED.values())
    site = with_tls(create_site(*plugs, is_first=is_first))
    for question in QUESTIONS:
        expected = shared_parts(send(with_tls(bare), question), added)
        for _ in range(2):  # a limit, a cache, a session begin with the second
            assert shared_parts(send(site, question), added) == expected, question


def test_the_extensions_apply_to_the_sites_own_pages() -> None:
    """The walls stand for the site's own pages, or the test above would show nothing."""
    for name, question, status in [
        ("Flask-WTF", WebRequest("/form", "POST"), 400),
        ("Flask-Login", WebRequest("/page"), 302),
        ("Flask-SeaSurf", WebRequest("/form", "POST"), 403),
        ("Flask-Limiter", WebRequest("/page"), 429),
    ]:
        site = with_tls(create_site(PLUGS[name]))
        send(site, question)
        assert send(site, question).status_code == status, name


# --- Single extensions -----------------------------------------------------------------


def test_the_documented_rate_limit_applies() -> None:
    strict = partial(flask_limiter, place=1)
    for is_first in (True, False):
        site = with_tls(create_site(strict, is_first=is_first))
        statuses = [send(site, DOCUMENT).status_code for _ in range(61)]
        assert statuses == [200] * 60 + [429]
        assert send(site, WebRequest("/page")).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_a_compressed_response_can_be_revalidated(coding: str) -> None:
    site, question = with_tls(create_site(PLUGS["Flask-Compress"])), DOCUMENT
    packed = send(site, question, Accept_Encoding=coding)
    assert packed.headers.get("Content-Encoding") == coding
    assert packed.headers["ETag"] != send(site, question).headers["ETag"]
    for tag in (packed.headers["ETag"], f"W/{packed.headers['ETag']}"):
        again = send(site, question, Accept_Encoding=coding, If_None_Match=tag)
        assert (again.status_code, again.get_data()) == (304, b"")
    other = send(site, question, Accept_Encoding=coding, If_None_Match='"x:gzip"')
    assert other.status_code == 200


def test_the_page_has_the_language_of_flask_babel_and_the_nonce_of_talisman() -> None:
    def babel(app: Flask, _: Autoconfig) -> None:
        Babel(app, locale_selector=lambda: "fr_CA")

    site = with_tls(create_site(babel, flask_talisman))
    page = send(site, WebRequest("/mail/setup", query=FRED), Accept_Language="en")
    assert '<html lang="fr">' in page.text
    chosen = send(site, WebRequest("/mail/setup", query="lang=de"))
    assert '<html lang="de">' in chosen.text
    (nonce,) = {*re.findall(r'<(?:script|link) [^>]*nonce="([^"]+)"', page.text)}
    assert page.text.count(f'nonce="{nonce}"') == 2  # of the script and the style
    assert f"'nonce-{nonce}'" in page.headers["Content-Security-Policy"]


FORMS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


@pytest.mark.parametrize("media_type", ["text/xml", *FORMS])
def test_a_body_that_the_site_has_read_is_still_answered(media_type: str) -> None:
    for read in (
        lambda: request.get_data(),
        lambda: request.get_json(force=True, silent=True),
        lambda: request.form,
        lambda: request.values,
    ):
        app = site_with_blueprint(FILE)
        app.before_request(reading(read))
        client = Client(app)
        answer = client.post(OUTLOOK, data=TAGGED, content_type=media_type)
        assert b"<Server>imap.example.com</Server>" in answer.get_data()
        assert b"<LoginName>fred+a@example.com<" in answer.get_data()


def test_hooks_of_the_middleware_use_a_sites_flask_sqlalchemy() -> None:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    database = SQLAlchemy(app)

    def login_of(address: str) -> str:
        found = database.session.execute(text("select 'u' || 1001"))
        return str(found.scalar_one())

    entry = AutoconfigMiddleware(app, FILE, flask_app=app, find_username=login_of)
    response = Client(entry).get(f"{CONFIG}?emailaddress=fred@example.com")
    assert "<username>u1001</username>" in response.text
    with app.app_context():
        database.engine.dispose()
