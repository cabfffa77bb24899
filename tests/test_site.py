"""The blueprint in a Flask site: configuration, hosts, settings, page, signal."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import blocks, text_of
from flask import Flask, abort, current_app, render_template_string, session, url_for
from jinja2 import DictLoader, StrictUndefined
from support import BIN, TWO_DOMAINS, outlook_asks, run
from werkzeug.test import Client

from flask_autoconfig import (
    Autoconfig,
    AutoconfigMiddleware,
    ConfigError,
    Settings,
    create_app,
)
from flask_autoconfig.signals import answered

Write = Callable[..., Path]
CONFIG = "/mail/config-v1.1.xml"
MAPPING: dict[str, Any] = {
    "provider": [
        {
            "domains": ["example.com"],
            "incoming": [{"type": "imap", "hostname": "imap.example.com"}],
            "outgoing": [{"type": "smtp", "hostname": "smtp.example.com"}],
        }
    ]
}


def site(file: Path, autoconfig: Autoconfig | None = None, **config: Any) -> Flask:
    app = Flask("site", root_path=str(file.parent))
    app.config.update(AUTOCONFIG_FILE=file, **config)
    app.register_blueprint(autoconfig or Autoconfig())
    return app


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


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"provider": []}, "provider"),
        ({"provider": [{"domains": ["example.com"], "incomming": []}]}, "incoming"),
        ("autoconfig.toml", "set the path of a file as AUTOCONFIG_FILE"),
    ],
)
def test_a_faulty_mapping_raises_at_registration(mapping: object, words: str) -> None:
    app = Flask("site")
    app.config["AUTOCONFIG"] = mapping
    with pytest.raises(ConfigError) as caught:
        app.register_blueprint(Autoconfig())
    assert words in str(caught.value)


POX = outlook_asks("fred@example.com")

# --- A faulty file ----------------------------------------------------------------------

FAULTS = {"faulty": "[[provider]]\ndomains = 5", "no TOML": "[[", "gone": None}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_with_a_faulty_file_only_clients_get_503_until_it_is_corrected(
    toml: Write, caplog: pytest.LogCaptureFixture, fault: str | None
) -> None:
    file = toml(fault or "")
    if fault is None:
        file.unlink()
    app = site(file)
    app.add_url_rule("/", "home", lambda: "Welcome!")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(file) in caplog.text
    client = Client(app)
    assert client.get("/").text == "Welcome!"
    for path in (CONFIG, "/mail/setup?emailaddress=fred@example.com"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    answer = client.post("/autodiscover/autodiscover.xml", data=POX)
    assert answer.status_code == 503
    with app.test_request_context():
        text = "{{ autoconfig_settings('fred@example.com') }}"
        assert render_template_string(text) == "None"
    toml(TWO_DOMAINS)
    service = app.extensions["autoconfig"]
    for _ in range(3):  # a change is taken up when two looks agree
        service.live.look()
    assert client.get(CONFIG).status_code == 200


@pytest.mark.parametrize("key", ["DEBUG", "TESTING", "AUTOCONFIG_STRICT"])
def test_debug_testing_and_strict_make_a_faulty_file_raise(
    toml: Write, key: str
) -> None:
    settings: Any = {key: True}
    with pytest.raises(ConfigError):
        site(toml("[["), **settings)


@pytest.mark.parametrize("value", ["no", "off", "False", "0", "", 0, False, None])
def test_strict_can_be_switched_off_in_every_spelling(
    toml: Write, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    settings: Any = {"AUTOCONFIG_STRICT": value}
    site(toml("[["), **settings)
    monkeypatch.setenv("AUTOCONFIG_STRICT", str(value or ""))
    site(toml("[["))
    monkeypatch.setenv("AUTOCONFIG_STRICT", "1")
    with pytest.raises(ConfigError):
        site(toml("[["))


def test_serve_does_not_start_with_a_faulty_file(toml: Write) -> None:
    ended = run("--config", toml("[["), "serve")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


# --- Hosts ------------------------------------------------------------------------------

HOSTS = ("autoconfig", "autodiscover", "ua-auto-config")


def test_one_registration_serves_every_subdomain_that_clients_use(
    toml: Write,
) -> None:
    app = Flask("site", subdomain_matching=True)
    app.config.update(SERVER_NAME="example.com", AUTOCONFIG_FILE=toml(TWO_DOMAINS))
    app.register_blueprint(Autoconfig())
    app.add_url_rule("/", "shop", lambda: "The shop.", subdomain="shop")
    client = Client(app)
    for host in ("example.com", *(f"{label}.example.com" for label in HOSTS)):
        answer = client.get(CONFIG, headers={"Host": host})
        assert answer.status_code == 200, host
    pacc = "/.well-known/user-agent-configuration.json"
    ua = {"Host": "ua-auto-config.example.com"}
    assert client.get(pacc, headers=ua).status_code == 200
    shop = {"Host": "shop.example.com"}
    assert client.get("/", headers=shop).text == "The shop."
    assert client.get(CONFIG, headers=shop).status_code == 404


def test_hosts_that_trusted_hosts_refuses_are_logged_at_registration(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    app = site(toml(TWO_DOMAINS), TRUSTED_HOSTS=["www.example.com", ".example2.com"])
    (line,) = caplog.messages
    assert "autoconfig.example.com, autodiscover.example.com" in line
    assert "example2" not in line
    assert '".example.com"' in line
    headers = {"Host": "autoconfig.example.com"}
    assert Client(app).get(CONFIG, headers=headers).status_code == 400
    caplog.clear()
    site(toml(TWO_DOMAINS), TRUSTED_HOSTS=[".example.com", ".example2.com"])
    assert not caplog.messages


# --- Settings ---------------------------------------------------------------------------


def test_settings_have_their_placeholders_filled_in(toml: Write) -> None:
    text = TWO_DOMAINS + '\n[[provider.calendar]]\ntype = "caldav"\n'
    text += 'url = "https://dav.example.com/%EMAILLOCALPART%/"\n'
    autoconfig = Autoconfig()
    app = site(toml(text), autoconfig)
    with app.app_context():
        settings = autoconfig.settings("Fred@Example.COM")
    assert isinstance(settings, Settings)
    assert settings.address == "Fred@example.com"
    assert settings.incoming[0].hostname == "imap.example.com"
    assert settings.incoming[0].username == "Fred@example.com"
    assert settings.outgoing[0].port == 465
    assert settings.servers[-1].url == "https://dav.example.com/Fred/"
    query = "?emailaddress=Fred%40example.com"
    assert settings.page_url == f"https://autoconfig.example.com/mail/setup{query}"
    assert (
        settings.profile_url
        == f"https://autoconfig.example.com/mail/mobileconfig{query}"
    )


def test_in_a_request_the_urls_have_the_requested_host(toml: Write) -> None:
    autoconfig = Autoconfig()
    app = site(toml(TWO_DOMAINS), autoconfig)
    with app.test_request_context(base_url="https://www.example.com/shop"):
        settings = autoconfig.settings("fred@example.com")
        assert settings is not None
        query = "?emailaddress=fred%40example.com"
        assert settings.page_url == f"https://www.example.com/shop/mail/setup{query}"
        assert url_for("autoconfig.setup").endswith("/mail/setup")
        assert url_for("autoconfig.profile").endswith("/mail/mobileconfig")


UNSERVED = ["fred@elsewhere.test", "fred", "", "a@b@c", "@", None, b"fred@b.test", 5]


def test_other_values_have_no_settings_and_are_not_logged(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    autoconfig = Autoconfig()
    with site(toml(TWO_DOMAINS), autoconfig).app_context():
        for address in UNSERVED:
            assert autoconfig.settings(address) is None, address  # type: ignore[arg-type]
    assert not caplog.messages


def test_settings_in_a_template_have_the_login_from_the_hook(
    toml: Write,
) -> None:
    autoconfig = Autoconfig()
    autoconfig.find_username(lambda address: "u1001")
    app = site(toml(TWO_DOMAINS), autoconfig)
    text = "{{ autoconfig_settings('fred@example.com').incoming[0].username }}"
    app.add_url_rule("/me", "me", lambda: render_template_string(text))
    assert Client(app).get("/me").text == "u1001"


def test_a_family_that_is_not_served_has_no_url(toml: Write) -> None:
    middleware = AutoconfigMiddleware(
        lambda *_: [], toml(TWO_DOMAINS), clients="thunderbird"
    )
    settings = middleware.settings("fred@example.com")
    assert settings is not None
    assert (settings.page_url, settings.profile_url) == (None, None)


# --- The page in the site's layout -------------------------------------------------------

BASE = """<!doctype html><title>{% block title %}{% endblock %}</title>
<link rel="stylesheet" href="https://cdn.example.com/site.css"><nav>Our site</nav>
{% block content %}{% endblock %}"""
SETUP = """{% extends "base.html" %}
{% block title %}Mail{% endblock %}
{% block content %}{% include "autoconfig/content.html" %}{% endblock %}"""
PAGE = "/mail/setup?emailaddress=fred@example.com"


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Path]:
    """A site's folder with templates of its own."""
    (tmp_path / "templates/autoconfig").mkdir(parents=True)
    (tmp_path / "templates/base.html").write_text(BASE)
    (tmp_path / "templates/autoconfig/setup.html").write_text(SETUP)
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS)
    yield tmp_path
    shutil.rmtree(tmp_path / "templates")


def test_a_template_of_three_lines_shows_the_page_in_the_sites_layout(
    layout: Path,
) -> None:
    app = site(layout / "autoconfig.toml")
    app.jinja_env.globals["_"] = lambda text: f"site's {text}"
    page = Client(app).get(PAGE)
    assert "<nav>Our site</nav>" in page.text
    assert "imap.example.com" in page.text
    assert "site's" not in page.text
    # The site's own style, pictures and fonts are to load.
    assert "Content-Security-Policy" not in page.headers
    assert Client(app).get("/mail/setup/style.css").status_code == 200


def test_the_content_security_policy_depends_on_the_template_and_the_setting(
    layout: Path, toml: Write
) -> None:
    name = "Content-Security-Policy"
    bare = Client(site(toml(TWO_DOMAINS, "bare.toml"), TEMPLATES_AUTO_RELOAD=True))
    shutil.move(layout / "templates/autoconfig", layout / "kept")
    assert "default-src 'none'" in bare.get(PAGE).headers[name]
    shutil.move(layout / "kept", layout / "templates/autoconfig")
    file = layout / "autoconfig.toml"
    configured = Client(site(file, AUTOCONFIG_PAGE_CSP="default-src https:"))
    assert configured.get(PAGE).headers[name] == "default-src https:"
    assert name not in Client(site(file, AUTOCONFIG_PAGE_CSP="")).get(PAGE).headers


def test_the_documented_template_works(layout: Path) -> None:
    (lines,) = blocks("html", "examples/README.md")
    (layout / "templates/autoconfig/setup.html").write_text(lines.code)
    page = Client(site(layout / "autoconfig.toml")).get(PAGE)
    assert "<title>Set up your e-mail</title>" in page.text
    assert "<nav>Our site</nav>" in page.text
    assert "imap.example.com" in page.text
    text = text_of(lines.document)
    (words,) = re.findall(r"`autoconfig_page`, with (.*?)\. `_` remains", text, re.S)
    names = re.findall(r"`(\w+)`", words)
    tests = (f"{{{{ autoconfig_page.{name} is defined }}}} " for name in names)
    (layout / "templates/autoconfig/setup.html").write_text("".join(tests))
    defined = Client(site(layout / "autoconfig.toml")).get(PAGE)
    assert defined.text.split() == ["True"] * len(names)


def test_a_catalog_of_the_site_overrides_the_built_in_one(layout: Path) -> None:
    folder = layout / "words/sv/LC_MESSAGES"
    folder.mkdir(parents=True)
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    text += 'msgid "Set up your e-mail"\nmsgstr "Ställ in e-post"\n'
    (folder / "autoconfig.po").write_text(text, encoding="utf-8")
    subprocess.run(
        [BIN / "pybabel", "compile", "--domain", "autoconfig", "-d", layout / "words"],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(layout / "templates/autoconfig")
    client = Client(site(layout / "autoconfig.toml", AUTOCONFIG_LOCALE="words"))
    swedish = client.get("/mail/setup", headers={"Accept-Language": "sv"})
    assert '<html lang="sv">' in swedish.text
    assert "Ställ in e-post" in swedish.text
    french = client.get("/mail/setup", headers={"Accept-Language": "fr"})
    assert "Configurer votre messagerie" in french.text


# --- Signal and log ---------------------------------------------------------------------


def test_the_signal_has_the_family_and_outcome_of_each_response_but_no_address(
    toml: Write,
) -> None:
    seen: list[tuple[str, str]] = []
    others: list[object] = []

    def count(sender: object, family: str, outcome: str, **more: object) -> None:
        seen.append((family, outcome))
        others.extend(more.values())

    client = Client(site(toml(TWO_DOMAINS)))
    tag = client.get(CONFIG).headers["ETag"]
    with answered.connected_to(count):
        client.get(CONFIG)
        client.get(CONFIG, headers={"If-None-Match": tag})
        client.get(f"{CONFIG}?emailaddress=fred@elsewhere.test")
        client.get(f"{CONFIG}?emailaddress=fred")
        client.post(CONFIG)
        client.get("/mail/setup")
        client.post("/autodiscover/autodiscover.xml", data=b"<nonsense")
        client.get("/.well-known/caldav")
    assert seen == [
        ("thunderbird", "served"),
        ("thunderbird", "not modified"),
        ("thunderbird", "not served"),
        ("thunderbird", "bad request"),
        ("thunderbird", "wrong method"),
        ("page", "served"),
        ("outlook", "bad request"),
        ("dav", "not served"),
    ]
    assert not others


def test_a_signal_receiver_that_raises_does_not_change_the_response(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("counting is broken")

    client = Client(site(toml(TWO_DOMAINS)))
    with answered.connected_to(fail):
        assert client.get(CONFIG).status_code == 200
    assert "counting is broken" in caplog.text


def test_an_unserved_domain_is_logged_once_and_without_the_address(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(site(toml(TWO_DOMAINS + TWO_DOMAINS.replace("example", "other"))))
    caplog.set_level(logging.INFO)
    for local in ("fred", "anna"):
        client.get(f"{CONFIG}?emailaddress={local}@elsewhere.test")
        client.get(CONFIG, headers={"Host": "autoconfig.nowhere.test"})
        client.get(CONFIG, headers={"Host": "127.0.0.1:8000"})
        client.get(CONFIG, headers={"Host": "%0d%0aX: y"})
    assert sorted(caplog.messages) == [
        "autoconfig.nowhere.test was requested and is not served",
        "elsewhere.test was requested and is not served",
    ]


def test_made_up_domains_do_not_fill_the_log(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(site(toml(TWO_DOMAINS)))
    for number in range(300):
        client.get(f"{CONFIG}?emailaddress=fred@d{number}.test")
    assert len(caplog.messages) == 101
    assert "More domains" in caplog.messages[-1]


# --- Unusual sites ----------------------------------------


def test_two_apps_with_one_blueprint_use_their_own_databases(toml: Write) -> None:
    autoconfig = Autoconfig()
    autoconfig.find_provider(lambda domain: current_app.config["CUSTOMERS"].get(domain))
    file = toml(TWO_DOMAINS)
    empty = Client(site(file, autoconfig, CUSTOMERS={}))
    full = Client(site(file, autoconfig, CUSTOMERS={"customer.test": "example.com"}))
    target = f"{CONFIG}?emailaddress=fred@customer.test"
    assert empty.get(target, headers={"Host": "x.test"}).status_code == 404
    assert full.get(target, headers={"Host": "x.test"}).status_code == 200


def test_a_response_with_a_cookie_is_not_cached(
    toml: Write,
) -> None:
    app = site(toml(TWO_DOMAINS), SECRET_KEY="secret")

    @app.before_request
    def see() -> None:
        session["seen"] = True

    client = Client(app)
    first = client.get(CONFIG)
    assert "Set-Cookie" in first.headers
    assert first.headers["Cache-Control"] == "private, no-store"


def test_settings_of_an_app_without_the_blueprint_raise() -> None:
    with Flask("other").app_context(), pytest.raises(RuntimeError, match="register"):
        Autoconfig().settings("fred@example.com")


def test_with_host_matching_urls_lead_to_the_host_of_the_request(
    toml: Write,
) -> None:
    app = Flask("site", host_matching=True, static_host="static.example.com")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(Autoconfig())
    with app.test_request_context(base_url="https://www.example.com"):
        url = url_for("autoconfig.setup", emailaddress="fred@example.com")
        assert url == "/mail/setup?emailaddress=fred@example.com"


def test_a_site_can_add_a_path_to_an_endpoint(toml: Write) -> None:
    app = site(toml(TWO_DOMAINS))
    app.add_url_rule("/help/mail", endpoint="autoconfig.setup")
    page = Client(app).get("/help/mail?emailaddress=fred@example.com")
    assert "imap.example.com" in page.text


def test_a_path_that_the_site_has_already_is_logged_at_registration(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.add_url_rule("/mail/setup", "own", lambda: "Our own page.")
    app.register_blueprint(Autoconfig())
    assert Client(app).get("/mail/setup").text == "Our own page."
    (line,) = caplog.messages
    assert "/mail/setup" in line
    assert "AUTOCONFIG_CLIENTS" in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AUTOCONFIG_STRICT", "perhaps"),
        ("AUTOCONFIG_PAGE_CSP", {"default-src": "'self'"}),
        ("AUTOCONFIG_PAGE_CSP", "a\nb"),
        ("AUTOCONFIG_LOCALE", "nope"),
        ("AUTOCONFIG_LOCALE", 5),
        ("AUTOCONFIG", {"provider": [], 5: 1}),
    ],
)
def test_an_invalid_setting_raises_at_registration_and_can_be_corrected(
    toml: Write, key: str, value: object
) -> None:
    app = Flask("site")
    app.config.update({"AUTOCONFIG_FILE": toml(TWO_DOMAINS), key: value})
    with pytest.raises(ConfigError):
        app.register_blueprint(Autoconfig())
    del app.config[key]
    app.register_blueprint(Autoconfig())
    assert Client(app).get(CONFIG).status_code == 200


def test_an_error_in_the_sites_template_is_logged_or_raised_while_testing(
    layout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    template, file = (
        layout / "templates/autoconfig/setup.html",
        layout / "autoconfig.toml",
    )
    template.write_text("{{ 1 / 0 }}")
    assert Client(site(file)).get(PAGE).status_code == 500
    assert "ZeroDivisionError" in caplog.text
    with pytest.raises(ZeroDivisionError):
        Client(site(file, TESTING=True)).get(PAGE)
    template.write_text("{{ {}[autoconfig_page.address].login }}")
    built_in = Client(site(file)).get(PAGE).text
    assert built_in.count('<nav class="languages"') == 1
    assert f"(undefined in {template}, line 1)" in caplog.text
    assert "fred@" not in caplog.text
    template.write_text("{{ refuse() }}")
    app = site(file)
    app.jinja_env.globals["refuse"] = lambda: abort(403)
    assert Client(app).get(PAGE).status_code == 403


@pytest.mark.parametrize(
    "settings",
    [
        {"variable_start_string": "[[", "variable_end_string": "]]"},
        {"comment_start_string": "<#", "comment_end_string": "#>"},
        {"autoescape": False},
        {"loader": DictLoader({})},
        {"undefined": StrictUndefined, "trim_blocks": True},
    ],
    ids=["delimiters", "comments", "no escapes", "a loader", "strict"],
)
def test_the_page_does_not_depend_on_the_sites_jinja_options(
    toml: Write, settings: dict[str, Any]
) -> None:
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


def test_the_content_is_safe_html_whatever_the_sites_jinja_options(
    layout: Path,
) -> None:
    app = site(layout / "autoconfig.toml")
    app.jinja_options = {"autoescape": False}
    page = Client(app).get('/mail/setup?emailaddress="><script>alert(1)</script>')
    assert "<nav>Our site</nav>" in page.text
    assert "<script>alert" not in page.text
    template = "<nav>Our site</nav> [[ autoconfig_page.content ]]"
    (layout / "templates/autoconfig/setup.html").write_text(template)
    app = site(layout / "autoconfig.toml")
    app.jinja_options = {"variable_start_string": "[[", "variable_end_string": "]]"}
    page = Client(app).get(PAGE)
    assert "<nav>Our site</nav>" in page.text
    assert "imap.example.com" in page.text


@pytest.mark.parametrize("host", ["www.example.com", "autoconfig.example.com"])
def test_a_mistyped_domain_is_404_for_a_person_but_not_for_a_program(
    toml: Write, host: str
) -> None:
    client = Client(site(toml(TWO_DOMAINS)))
    slip = "?emailaddress=fred@exmaple.com"
    for path in ("/mail/setup", "/mail/mobileconfig", "/mail/setup/qr.svg"):
        assert client.get(path + slip, headers={"Host": host}).status_code == 404
    # A program that followed an MX record here gets the hoster's settings still.
    assert client.get(CONFIG + slip, headers={"Host": host}).status_code == 200
