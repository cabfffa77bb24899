"""The blueprint in a Flask site: configuration, hosts, settings, page, signal."""

import logging
import re
import shutil
import tomllib
from contextlib import chdir
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from client_requests import CONFIG, POX
from documents import blocks, text_of
from flask import Flask, abort, current_app, render_template_string, session, url_for
from jinja2 import DictLoader, StrictUndefined
from services import captured
from support import TWO_DOMAINS, Log, Patch, Write, sender, site
from werkzeug.test import Client

from flask_autoconfig import (
    Autoconfig,
    AutoconfigMiddleware,
    ConfigError,
    Settings,
    create_app,
)
from flask_autoconfig.signals import answered

PAGE = "/mail/setup?emailaddress=fred@example.com"
FRED = "fred@example.com"
MAPPING = tomllib.loads(TWO_DOMAINS)


# --- A mapping as configuration ----------------------------------------------------------


def test_the_configuration_may_be_a_mapping() -> None:
    app = Flask("site")
    app.config["AUTOCONFIG"] = {**MAPPING, "clients": ["thunderbird"]}
    app.register_blueprint(Autoconfig())
    assert b"imap.example.com" in Client(app).get(CONFIG).get_data()
    assert Client(app).get("/mail/setup").status_code == 404
    middleware = AutoconfigMiddleware(app, MAPPING)
    assert Client(middleware).get("/mail/setup").status_code == 200
    alone = create_app({"AUTOCONFIG": MAPPING})
    assert Client(alone).get(CONFIG).status_code == 200
    for wrong in (5, b"x", ["autoconfig.toml"]):
        with pytest.raises(ConfigError):
            create_app(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="domains"):
        AutoconfigMiddleware(app, {"provider": [{"domain": "example.com"}]})


def test_a_site_may_let_a_slash_follow_each_path() -> None:
    app = Flask("site")
    app.url_map.strict_slashes = False
    app.config["AUTOCONFIG"] = MAPPING
    app.register_blueprint(Autoconfig())
    for path in (CONFIG, "/.well-known/mail-v1.xml", "/mail/mobileconfig"):
        response = Client(app).get(f"{path}/?emailaddress={FRED}")
        assert response.status_code == 200, path


def test_a_site_may_lead_other_paths_to_a_view() -> None:
    app = Flask("site")
    app.config["AUTOCONFIG"] = MAPPING
    app.register_blueprint(Autoconfig())
    app.add_url_rule("/help/mail", endpoint="autoconfig.setup")
    views: Any = app.view_functions
    app.add_url_rule("/mail.xml", "xml", views["autoconfig.thunderbird"])
    app.add_url_rule("/me", "me", lambda: views["autoconfig.profile"]())
    for path, kind in (("/help/mail", "html"), ("/mail.xml", "xml"), ("/me", "config")):
        response = Client(app).get(f"{path}?emailaddress={FRED}")
        assert response.status_code == 200, path
        assert str(response.mimetype).endswith(kind)


def test_a_service_starts_where_its_working_directory_is_gone(
    toml: Write, tmp_path: Path
) -> None:
    """As a worker does after a deployment that replaces the directory."""
    file, folder = toml(TWO_DOMAINS).absolute(), tmp_path / "release"
    folder.mkdir()
    with chdir(folder):
        folder.rmdir()
        app = create_app(file)
    assert Client(app).get(f"{CONFIG}?emailaddress={FRED}").status_code == 200


def test_an_app_instead_of_a_name_is_told_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"write app\.register_blueprint\(Autoconfig"):
        Autoconfig(Flask("site"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value", "words"), [
    ("AUTOCONFIG", {"provider": []}, "provider"),
    ("AUTOCONFIG", {"provider": [{"domains": ["a.b"], "incomming": []}]}, "incoming"),
    ("AUTOCONFIG", "autoconfig.toml", "set the path of a file as AUTOCONFIG_FILE"),
    ("AUTOCONFIG", {"provider": [], 5: 1}, "not a string"),
    ("AUTOCONFIG_LOCALE", "nope", "there is no folder 'nope'"),
    ("AUTOCONFIG_LOCALE", 5, "there is no folder 5"),
])  # fmt: skip
def test_unusable_settings_raise(toml: Write, key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        site(toml(TWO_DOMAINS), **{key: value})
    if key == "AUTOCONFIG":
        with pytest.raises(ConfigError, match=words):
            create_app({key: value})


# --- A faulty file ----------------------------------------------------------------------


def test_with_a_faulty_file_there_are_no_settings(toml: Write) -> None:
    file = toml("[[")
    assert AutoconfigMiddleware(Flask("shop"), file).settings(FRED) is None
    with site(file).test_request_context():
        text = "{{ autoconfig_settings('fred@example.com') }}"
        assert render_template_string(text) == "None"


def test_debug_testing_and_strict_raise_for_a_faulty_file(toml: Write) -> None:
    file = toml("[[")
    for key in ("DEBUG", "TESTING", "AUTOCONFIG_STRICT"):
        with pytest.raises(ConfigError):
            site(file, None, **{key: True})
    with pytest.raises(ConfigError):
        AutoconfigMiddleware(Flask("shop"), file, strict=True)


@pytest.mark.parametrize("value", ["no", "off", "False", "0", "", 0, False, None])
def test_strict_may_be_off(toml: Write, monkeypatch: Patch, value: Any) -> None:
    file = toml("[[")
    site(file, AUTOCONFIG_STRICT=value)
    if value is not None:
        create_app({"AUTOCONFIG_FILE": str(file), "AUTOCONFIG_STRICT": value})
    monkeypatch.setenv("AUTOCONFIG_STRICT", str(value or ""))
    site(file)
    if value:
        create_app(file)
    monkeypatch.setenv("AUTOCONFIG_STRICT", "1")
    with pytest.raises(ConfigError):
        site(file)


# --- Hosts ------------------------------------------------------------------------------


def test_one_registration_serves_all_subdomains_of_clients(toml: Write) -> None:
    app = Flask("site", subdomain_matching=True)
    app.config.update(SERVER_NAME="example.com", AUTOCONFIG_FILE=toml(TWO_DOMAINS))
    app.register_blueprint(Autoconfig())
    app.add_url_rule("/", "shop", lambda: "The shop.", subdomain="shop")
    pacc = "/.well-known/user-agent-configuration.json"
    for host, path, status in (
        *(
            (f"{label}example.com", CONFIG, 200)
            for label in ("", "autoconfig.", "autodiscover.")
        ),
        ("ua-auto-config.example.com", pacc, 200),
        ("shop.example.com", "/", 200),
        ("shop.example.com", CONFIG, 404),
    ):
        assert sender(app)(path, Host=host).status_code == status, (host, path)


def test_hosts_that_trusted_hosts_refuses_are_logged(toml: Write, caplog: Log) -> None:
    app = site(toml(TWO_DOMAINS), TRUSTED_HOSTS=["www.example.com", ".example2.com"])
    (line,) = caplog.messages
    assert "autoconfig.example.com, autodiscover.example.com" in line
    assert "example2" not in line
    assert '".example.com"' in line
    assert sender(app)(CONFIG).status_code == 400
    caplog.clear()
    site(toml(TWO_DOMAINS), TRUSTED_HOSTS=[".example.com", ".example2.com"])
    assert not caplog.messages


# --- Settings ---------------------------------------------------------------------------


def test_settings_have_their_placeholders_filled_in(toml: Write) -> None:
    calendar = 'type = "caldav"\nurl = "https://dav.example.com/%EMAILLOCALPART%/"'
    text = TWO_DOMAINS.replace('"pop.', '"%EMAILLOCALPART%.')
    autoconfig = Autoconfig()
    app = site(toml(f"{text}[[provider.calendar]]\n{calendar}"), autoconfig)
    query = "?emailaddress=Fred%40example.com"
    for context, root in (
        (app.app_context(), "https://autoconfig.example.com"),
        (
            app.test_request_context(base_url="https://www.example.com/shop"),
            "https://www.example.com/shop",
        ),
        (
            app.test_request_context(base_url="https://xn--strae-oqa.de:443"),
            "https://xn--strae-oqa.de",
        ),
    ):
        with context:
            settings = autoconfig.settings("Fred@Example.COM")
        assert isinstance(settings, Settings)
        assert settings.address == "Fred@example.com"
        assert settings.incoming[0].hostname == "imap.example.com"
        assert settings.incoming[0].username == "Fred@example.com"
        assert settings.incoming[1].hostname == "fred.example.com"
        assert settings.outgoing[0].port == 465
        assert settings.servers[-1].url == "https://dav.example.com/Fred/"
        assert settings.page_url == f"{root}/mail/setup{query}"
        assert settings.profile_url == f"{root}/mail/mobileconfig{query}"
    with app.app_context():
        plus = autoconfig.settings("fred+mail@example.com")
    assert plus is not None
    assert len(plus.incoming) == 1  # no host can have such a name


def test_other_values_have_no_settings(toml: Write, caplog: Log) -> None:
    autoconfig = Autoconfig()
    others: Any = ["a@elsewhere.test", "fred", "", "a@b@c", "@", None, b"a@b.test", 5]
    with site(toml(TWO_DOMAINS), autoconfig).app_context():
        for address in others:
            assert autoconfig.settings(address) is None, address
    assert not caplog.messages
    with Flask("other").app_context(), pytest.raises(RuntimeError, match="register"):
        autoconfig.settings(FRED)


def test_settings_in_a_template_have_the_hooks_login(toml: Write) -> None:
    autoconfig = Autoconfig()
    autoconfig.find_username(lambda address: "u1001")
    app = site(toml(TWO_DOMAINS), autoconfig)
    text = "{{ autoconfig_settings('fred@example.com').incoming[0].username }}"
    app.add_url_rule("/me", "me", lambda: render_template_string(text))
    assert Client(app).get("/me").text == "u1001"


# --- The page in the site's layout -------------------------------------------------------

BASE = """<!doctype html><title>{% block title %}{% endblock %}</title>
<link rel="stylesheet" href="https://cdn.example.com/site.css"><nav>Our site</nav>
{% block content %}{% endblock %}"""
SETUP = """{% extends "base.html" %}
{% block title %}Mail{% endblock %}
{% block content %}{% include "autoconfig/content.html" %}{% endblock %}"""


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    (tmp_path / "templates/autoconfig").mkdir(parents=True)
    (tmp_path / "templates/base.html").write_text(BASE)
    (tmp_path / "templates/autoconfig/setup.html").write_text(SETUP)
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS)
    return tmp_path


def test_the_documented_template_has_the_sites_layout(layout: Path) -> None:
    (lines,) = blocks("html", "examples/README.md")
    (layout / "templates/autoconfig/setup.html").write_text(lines.code)
    app = site(layout / "autoconfig.toml")
    app.jinja_env.globals["_"] = lambda text: f"site's {text}"
    page = Client(app).get(PAGE)
    assert "<title>Set up your e-mail</title>" in page.text
    assert "<nav>Our site</nav>" in page.text
    assert "imap.example.com" in page.text
    assert "site's" not in page.text
    assert Client(app).get("/mail/setup/style.css").status_code == 200
    text = text_of(lines.document)
    (words,) = re.findall(r"`autoconfig_page`, with (.*?)\. `_` remains", text, re.S)
    names = re.findall(r"`(\w+)`", words)
    tests = (f"{{{{ autoconfig_page.{name} is defined }}}} " for name in names)
    (layout / "templates/autoconfig/setup.html").write_text("".join(tests))
    defined = Client(site(layout / "autoconfig.toml")).get(PAGE)
    assert defined.text.split() == ["True"] * len(names)


def test_the_policy_depends_on_template_and_setting(layout: Path) -> None:
    name, file = "Content-Security-Policy", layout / "autoconfig.toml"
    # The site's own style, pictures and fonts are to load.
    assert name not in Client(site(file)).get(PAGE).headers
    configured = Client(site(file, AUTOCONFIG_PAGE_CSP="default-src\n  https:\n"))
    assert configured.get(PAGE).headers[name] == "default-src https:"
    assert Client(site(file, AUTOCONFIG_PAGE_CSP=5)).get(PAGE).headers[name] == "5"
    assert name not in Client(site(file, AUTOCONFIG_PAGE_CSP="")).get(PAGE).headers
    shutil.rmtree(layout / "templates")
    assert "default-src 'none'" in Client(site(file)).get(PAGE).headers[name]


def test_a_catalog_of_the_site_overrides_the_built_in_one(layout: Path) -> None:
    folder = layout / "words/sv/LC_MESSAGES"
    folder.mkdir(parents=True)
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    text += 'msgid "Set up your e-mail"\nmsgstr "Ställ in e-post"\n'
    (folder / "autoconfig.po").write_text(text, encoding="utf-8")
    options = ("--domain", "autoconfig", "-d", layout / "words")
    assert captured("pybabel", "compile", *options).returncode == 0
    shutil.rmtree(layout / "templates/autoconfig")
    client = Client(site(layout / "autoconfig.toml", AUTOCONFIG_LOCALE="words"))
    swedish = client.get("/mail/setup", headers={"Accept-Language": "sv"})
    assert '<html lang="sv">' in swedish.text
    assert "Ställ in e-post" in swedish.text
    french = client.get("/mail/setup", headers={"Accept-Language": "fr"})
    assert "Configurer votre messagerie" in french.text


# --- Signal and log ---------------------------------------------------------------------


def test_the_signal_has_family_and_outcome_but_no_address(toml: Write) -> None:
    seen: list[tuple[str, str, dict[str, object]]] = []

    def count(sender: object, family: str, outcome: str, **more: object) -> None:
        seen.append((family, outcome, more))

    client = Client(site(toml(TWO_DOMAINS)))
    tag = client.get(CONFIG).headers["ETag"]
    with answered.connected_to(count):
        client.get(CONFIG)
        client.get(CONFIG, headers={"If-None-Match": tag})
        client.get(f"{CONFIG}?emailaddress=fred@elsewhere.test")
        client.get(f"{CONFIG}?emailaddress=fred")
        client.post(CONFIG)
        client.get("/mail/setup")
        client.post(POX, data=b"<nonsense")
        client.get("/.well-known/caldav")
    outcomes = ("served", "not modified", "not served", "bad request", "wrong method")
    assert seen == [
        *(("thunderbird", outcome, {}) for outcome in outcomes),
        ("page", "served", {}),
        ("outlook", "bad request", {}),
        ("dav", "not served", {}),
    ]


def test_a_receiver_that_raises_changes_no_response(toml: Write, caplog: Log) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("counting is broken")

    client = Client(site(toml(TWO_DOMAINS)))
    with answered.connected_to(fail):
        assert client.get(CONFIG).status_code == 200
    assert "counting is broken" in caplog.text


def test_an_unserved_domain_is_logged_once(toml: Write, caplog: Log) -> None:
    client = Client(site(toml(TWO_DOMAINS + TWO_DOMAINS.replace("example", "other"))))
    caplog.set_level(logging.INFO, "flask_autoconfig")
    caplog.set_level(logging.WARNING, "flask_autoconfig.reload")  # of earlier tests
    for local in ("fred", "anna"):
        client.get(f"{CONFIG}?emailaddress={local}@elsewhere.test")
        for host in ("autoconfig.nowhere.test", "127.0.0.1:8000", "%0d%0aX: y"):
            client.get(CONFIG, headers={"Host": host})
    assert sorted(caplog.messages) == [
        "autoconfig.nowhere.test was requested and is not served",
        "elsewhere.test was requested and is not served",
    ]
    for number in range(300):  # made up
        client.get(f"{CONFIG}?emailaddress=fred@d{number}.test")
    assert len(caplog.messages) == 101
    assert "More domains" in caplog.messages[-1]


# --- Unusual sites ----------------------------------------


def test_two_apps_with_one_blueprint_use_their_own_databases(file: Path) -> None:
    autoconfig = Autoconfig()
    autoconfig.find_provider(lambda domain: current_app.config["CUSTOMERS"].get(domain))
    empty = Client(site(file, autoconfig, CUSTOMERS={}))
    full = Client(site(file, autoconfig, CUSTOMERS={"customer.test": "example.com"}))
    target = f"{CONFIG}?emailaddress=fred@customer.test"
    assert empty.get(target, headers={"Host": "x.test"}).status_code == 404
    assert full.get(target, headers={"Host": "x.test"}).status_code == 200


def test_a_response_with_a_cookie_is_not_cached(toml: Write) -> None:
    app = site(toml(TWO_DOMAINS), SECRET_KEY="secret")
    app.before_request(lambda: session.update(seen=True))
    answer = Client(app).get(CONFIG)
    assert "Set-Cookie" in answer.headers
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("is_matching", [True, False])
def test_url_for_knows_the_page_and_the_profile(toml: Write, is_matching: bool) -> None:
    static = "static.test" if is_matching else None
    app = Flask("site", host_matching=is_matching, static_host=static)
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(Autoconfig())
    with app.test_request_context(base_url="https://www.example.com"):
        url = url_for("autoconfig.setup", emailaddress=FRED)
        assert unquote(url) == f"/mail/setup?emailaddress={FRED}"
        assert url_for("autoconfig.profile") == "/mail/mobileconfig"


def test_an_error_in_a_template_is_logged_or_raised(layout: Path, caplog: Log) -> None:
    template = layout / "templates/autoconfig/setup.html"
    file = layout / "autoconfig.toml"
    template.write_text("{{ 1 / 0 }}")
    with pytest.raises(ZeroDivisionError):
        Client(site(file, TESTING=True)).get(PAGE)
    for text, error in (
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ {}[autoconfig_page.address].login }}", "UndefinedError"),
    ):
        template.write_text(text)
        built_in = Client(site(file)).get(PAGE).text
        assert built_in.count('<nav class="autoconfig-languages"') == 1
        assert f"({error} at {template}:1)" in caplog.text
    assert "fred@" not in caplog.text
    template.write_text("{{ refuse() }}")
    app = site(file)
    app.jinja_env.globals["refuse"] = lambda: abort(403)
    assert Client(app).get(PAGE).status_code == 403


JINJA_OPTIONS: dict[str, Any] = {
    "delimiters": {"variable_start_string": "[[", "variable_end_string": "]]"},
    "comments": {"comment_start_string": "<#", "comment_end_string": "#>"},
    "no escapes": {"autoescape": False},
    "a loader": {"loader": DictLoader({})},
    "strict": {"undefined": StrictUndefined, "trim_blocks": True},
}


@pytest.mark.parametrize("settings", JINJA_OPTIONS.values(), ids=JINJA_OPTIONS)
def test_jinja_options_do_not_change_the_page(toml: Write, settings: Any) -> None:
    bare, app = site(toml(TWO_DOMAINS)), site(toml(TWO_DOMAINS))
    app.jinja_options = settings
    app.jinja_env.filters["format"] = lambda *_: "mine"
    for target in (PAGE, '/mail/setup?emailaddress="><script>alert(1)</script>'):
        page = Client(app).get(target)
        assert page.text == Client(bare).get(target).text
        assert "<script>alert" not in page.text


@pytest.mark.parametrize("nonce", ["abc", lambda: "abc"], ids=["a text", "a function"])
def test_script_and_style_have_the_sites_nonce(toml: Write, nonce: Any) -> None:
    app = site(toml(TWO_DOMAINS))
    app.context_processor(lambda: {"csp_nonce": nonce})
    page = Client(app).get(PAGE).text
    assert re.search(r'<script [^>]*nonce="abc"', page)
    assert re.search(r'<link rel="stylesheet"[^>]*nonce="abc"', page)


def test_the_page_survives_a_bad_context_processor(layout: Path, caplog: Log) -> None:
    for _ in range(2):  # with the site's template, then without
        app = site(layout / "autoconfig.toml")
        app.context_processor(lambda: {"user": 1 // 0})
        page = Client(app).get(PAGE)
        assert page.status_code == 200
        assert "Our site" not in page.text
        (layout / "templates/autoconfig/setup.html").unlink(missing_ok=True)
    assert caplog.text.count("ZeroDivisionError at ") == 1


def test_the_content_is_safe_html_with_any_jinja_options(layout: Path) -> None:
    template = layout / "templates/autoconfig/setup.html"
    for options, text in (
        ({"autoescape": False}, SETUP),
        (JINJA_OPTIONS["delimiters"], "<nav>Our site</nav>[[autoconfig_page.content]]"),
    ):
        template.write_text(text)
        app = site(layout / "autoconfig.toml")
        app.jinja_options = options
        page = Client(app).get('/mail/setup?emailaddress="><script>alert(1)</script>')
        assert "<nav>Our site</nav>" in page.text
        assert "<script>alert" not in page.text
        assert "imap.example.com" in Client(app).get(PAGE).text
