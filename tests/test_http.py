"""HTTP responses, in every way to mount the service."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from client_requests import CONFIG, little_site
from flask import Flask
from support import (
    TWO_DOMAINS,
    Patch,
    Send,
    Write,
    assert_answered,
    assert_served,
    rows,
    sender,
    site,
    table,
)

from flask_autoconfig import (
    AutoconfigMiddleware,
    ConfigError,
    autoconfig,
    create_app,
)
from flask_autoconfig.answers import SECURITY_HEADERS
from flask_autoconfig.families import FAMILIES
from flask_autoconfig.hooks import Functions, Hooks
from flask_autoconfig.service import Service

FILES = table("files", "http.toml")


def subdomain(file: Path, name: str = "autoconfig") -> Flask:
    app = Flask("site", subdomain_matching=True)
    app.config.update(SERVER_NAME="example.com", AUTOCONFIG_FILE=file)
    app.register_blueprint(autoconfig, subdomain=name)
    return app


def host_matching(file: Path) -> Flask:
    app = Flask("site", host_matching=True, static_host="static.example.com")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(autoconfig)
    return app


def middleware(file: Path) -> AutoconfigMiddleware:
    return AutoconfigMiddleware(little_site, file)


@pytest.fixture(params=[site, subdomain, host_matching, create_app, middleware])
def send(request: pytest.FixtureRequest, toml: Write) -> Send:
    return sender(request.param(toml(TWO_DOMAINS)))


# --- Requests -------------------------------------------------------------------------


def test_the_domain_of_the_address_decides_or_else_the_host(send: Send) -> None:
    by_host = send(CONFIG).data
    assert b"imap.example.com" in by_host
    assert send(f"{CONFIG}?emailaddress=").data == by_host
    query = "emailaddress=EVOLUTIONUSER%40example.com&emailmd5=abc"
    assert send(f"{CONFIG}?{query}").data == by_host


@rows("mounted", "row", "http.toml")
def test_a_response_however_the_service_is_mounted(send: Send, row: Any) -> None:
    assert_answered(send, row)


# --- Headers --------------------------------------------------------------------------


def test_a_405_names_the_methods_and_has_the_security_headers(send: Send) -> None:
    served = send(CONFIG).headers
    for method in ("POST", "PUT", "DELETE"):
        allowed = send(CONFIG, method).headers["Allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS"}
    served_families = [family for family in FAMILIES if not family.on_demand]
    for route in chain.from_iterable(family.routes for family in served_families):
        response = send(route.path, "PATCH")
        assert response.status_code == 405, route.path
        for name, value in SECURITY_HEADERS:
            assert served[name] == response.headers[name] == value


def test_head_has_the_headers_of_get_without_the_body(send: Send) -> None:
    get, head = send(CONFIG), send(CONFIG, "HEAD")
    assert head.data == b""
    assert head.headers == get.headers
    assert int(head.headers["Content-Length"]) == len(get.data)


def test_a_matching_etag_or_date_is_304_with_what_a_cache_needs(send: Send) -> None:
    first = send(CONFIG)
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    since, other = {"If_Modified_Since": date}, {"If_None_Match": '"other"'}
    packed = f'{tag[:-1]}-gzip"'  # as Apache sends it, and Flask-Compress with a colon
    tags = [{"If_None_Match": value} for value in (f'"other", W/{tag}', packed)]
    for headers in (*tags, since):
        response = send(CONFIG, **headers)
        assert (response.status_code, response.data) == (304, b"")
        for name in ("ETag", "Last-Modified", "Cache-Control"):
            assert response.headers[name] == first.headers[name]
        assert "Content-Type" not in response.headers
    for headers in {"If_Modified_Since": "not a date"}, other, since | other:
        assert send(CONFIG, **headers).status_code == 200


def test_a_405_of_the_standalone_service_is_a_line_of_text(toml: Write) -> None:
    send = sender(create_app(toml(TWO_DOMAINS)))
    for path in ("/", "/healthz", "/readyz"):
        response = send(path, "POST")
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
        assert response.data == b"Use GET, HEAD here.\n"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


# --- Which provider answers -----------------------------------------------------------


@rows("closest", "host, email_domain, name, domain", "http.toml")
def test_the_closest_match_of_the_address_or_host_answers(
    toml: Write, host: str, email_domain: str, name: str, domain: str
) -> None:
    query = f"?emailaddress=fred@{email_domain}" if email_domain else ""
    send = sender(create_app(toml(FILES["four providers"])))
    response = send(f"{CONFIG}{query}", Host=host)
    assert f"{name}.test" in response.text
    assert f"{name}.{domain}" in response.text


@rows("requests", "row", "http.toml", "families.toml", "hooks.toml", "page.toml")
def test_a_response_to_a_request(toml: Write, row: Any) -> None:
    assert_served(toml, row)


def test_forwarded_hosts_are_trusted_from_a_number_of_proxies(toml: Write) -> None:
    file = toml(FILES["four providers"])
    for forwarded, proxies, name in (
        ("autoconfig.example.com", 0, b"any.test"),
        ("autoconfig.example.com", 1, b"exact.test"),
        ("c.example.com, a.example.com", 1, b"exact.test"),
        ("c.example.com, a.example.com", 2, b"below.test"),
        ("c.example.com, a.example.com", 3, b"any.test"),
    ):
        middleware = AutoconfigMiddleware(little_site, file, proxies=proxies)
        for app in create_app(file, proxies=proxies), middleware:
            headers = {"Host": "internal.test", "X_Forwarded_Host": forwarded}
            assert name in sender(app)(CONFIG, **headers).data


# --- Registration ---------------------------------------------------------------------


def test_options_under_which_no_client_would_find_us_are_refused(toml: Write) -> None:
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    with pytest.raises(ConfigError, match="prefix"):
        app.register_blueprint(autoconfig, url_prefix="/mail")
    with pytest.raises(ConfigError, match="does not match subdomains"):
        app.register_blueprint(autoconfig, subdomain="/mail")


def test_the_default_places_have_an_order(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.delenv("AUTOCONFIG_FILE", raising=False)
    instance = tmp_path / "instance"
    instance.mkdir()

    def register() -> Flask:
        app = Flask("site", root_path=str(tmp_path), instance_path=str(instance))
        app.register_blueprint(autoconfig)
        return app

    with pytest.raises(ConfigError, match=r'set app.config\["AUTOCONFIG_FILE"\]'):
        register()
    files = [tmp_path / "autoconfig.toml", instance / "autoconfig.toml"]
    for number, file in enumerate([*files, tmp_path / "env.toml"]):
        file.write_text(f"max_age = {number}\n{TWO_DOMAINS}")
        if number == 2:  # relative to the app, not to the working directory
            monkeypatch.setenv("AUTOCONFIG_FILE", "env.toml")
        cache = sender(register())(CONFIG).headers["Cache-Control"]
        assert f"max-age={number}" in cache


def test_certificates_are_wanted_for_names_that_clients_request(toml: Write) -> None:
    hooked = Functions(find_provider={"hooked.test": "hoster.test"}.get)
    of_hoster = Service(toml(FILES["a hoster"]), hooks=Hooks(hooked)).lookup
    of_any = Service(toml(FILES["any domain"])).lookup
    for name, lookup in (("hoster", of_hoster), ("any", of_any)):
        for host, is_wanted in table(name, "http.toml").items():
            assert lookup.serves_host(host) == is_wanted, host
