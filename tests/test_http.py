"""HTTP responses, in every way to mount the service."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from asks import little_site
from flask import Flask
from support import TWO_DOMAINS, Asking, asking, rows, site, table

from flask_autoconfig import (
    Autoconfig,
    AutoconfigMiddleware,
    ConfigError,
    autoconfig,
    create_app,
)
from flask_autoconfig.answers import SECURITY_HEADERS
from flask_autoconfig.families import FAMILIES
from flask_autoconfig.hooks import Functions, Hooks
from flask_autoconfig.service import Service

CONFIG = "/mail/config-v1.1.xml"

Write = Callable[..., Path]
Serve = Callable[[str], Asking]


def subdomain(file: Path) -> Flask:
    app = Flask("site", subdomain_matching=True)
    app.config.update(SERVER_NAME="example.com", AUTOCONFIG_FILE=file)
    app.register_blueprint(autoconfig, subdomain="autoconfig")
    return app


def host_matching(file: Path) -> Flask:
    app = Flask("site", host_matching=True, static_host="static.example.com")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(autoconfig)
    return app


def middleware(file: Path) -> AutoconfigMiddleware:
    return AutoconfigMiddleware(little_site, file)


@pytest.fixture(params=[site, subdomain, host_matching, create_app, middleware])
def ask(request: pytest.FixtureRequest, toml: Write) -> Asking:
    return asking(request.param(toml(TWO_DOMAINS)))


@pytest.fixture
def serve(toml: Write) -> Serve:
    return lambda text: asking(create_app(toml(text)))


# --- Requests -------------------------------------------------------------------------


def test_the_domain_of_the_address_decides_or_else_the_host(ask: Asking) -> None:
    by_host = ask(CONFIG).data
    assert b"imap.example.com" in by_host
    assert ask(f"{CONFIG}?emailaddress=").data == by_host
    query = "emailaddress=EVOLUTIONUSER%40example.com&emailmd5=abc"
    assert ask(f"{CONFIG}?{query}").data == by_host
    for path in (
        *(CONFIG, "/.well-known/autoconfig/mail/config-v1.1.xml"),
        *("/v1.1/mail/config-v1.1.xml", "/.well-known/mail-v1.xml"),
    ):
        reply = ask(f"{path}?emailaddress=fred%40example2.com")
        assert reply.status_code == 200
        assert reply.headers["Content-Type"].startswith("text/xml")
        assert b"<domain>example2.com</domain>" in reply.data


def test_a_malformed_address_is_400_and_not_echoed(ask: Asking) -> None:
    for text in ("fred", "@x.test", "fred@", "a b@c.d", "<b>@x.y", "a@b..c"):
        reply = ask(f"{CONFIG}?emailaddress={text}")
        assert reply.status_code == 400, text
        assert text.encode() not in reply.data
        assert b"must be an e-mail address" in reply.data


PREFLIGHT = {"Origin": "https://other.test", "Access_Control_Request_Method": "GET"}


def test_scripts_of_any_site_may_request_a_document(ask: Asking) -> None:
    for path, methods in (
        (CONFIG, {"GET", "HEAD"}),
        ("/autodiscover/autodiscover.xml", {"GET", "POST", "HEAD"}),
        ("/mail/mobileconfig", {"GET", "HEAD"}),
        ("/.well-known/user-agent-configuration.json", {"GET", "HEAD"}),
    ):
        reply = ask(path, "OPTIONS", **PREFLIGHT)
        assert (reply.status_code, reply.data) == (204, b"")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        allowed = reply.headers["Access-Control-Allow-Methods"]
        assert set(allowed.split(", ")) == methods
        assert reply.headers["Access-Control-Allow-Headers"] == "content-type"
        assert "Content-Length" not in reply.headers


def test_scripts_of_other_sites_may_not_read_the_page(ask: Asking) -> None:
    reply = ask("/mail/setup", "OPTIONS", **PREFLIGHT)
    assert reply.status_code == 405
    assert "Access-Control-Allow-Methods" not in reply.headers


# --- Headers --------------------------------------------------------------------------


def test_a_document_has_these_headers(ask: Asking) -> None:
    headers = ask(CONFIG, Accept_Encoding="gzip").headers
    expected = {
        "Content-Type": "text/xml; charset=utf-8",
        "Cache-Control": "public, max-age=3600, s-maxage=5, no-transform",
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    assert dict(headers).items() >= expected.items()
    assert headers["ETag"].startswith('"')
    assert headers["Last-Modified"].endswith(" GMT")
    assert "Content-Encoding" not in headers


def test_a_405_names_the_methods_and_has_the_security_headers(ask: Asking) -> None:
    served = ask(CONFIG).headers
    for method in ("POST", "PUT", "DELETE"):
        allowed = ask(CONFIG, method).headers["Allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS"}
    served_families = [family for family in FAMILIES if not family.on_demand]
    for route in chain.from_iterable(family.routes for family in served_families):
        reply = ask(route.path, "PATCH")
        assert reply.status_code == 405, route.path
        for name, value in SECURITY_HEADERS:
            assert served[name] == reply.headers[name] == value


def test_head_has_the_headers_of_get_without_the_body(ask: Asking) -> None:
    get, head = ask(CONFIG), ask(CONFIG, "HEAD")
    assert head.data == b""
    assert head.headers == get.headers
    assert int(head.headers["Content-Length"]) == len(get.data)


def test_a_matching_etag_or_date_is_304_with_what_a_cache_needs(ask: Asking) -> None:
    first = ask(CONFIG)
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    since, other = {"If_Modified_Since": date}, {"If_None_Match": '"other"'}
    for headers in {"If_None_Match": f'"other", W/{tag}'}, since:
        reply = ask(CONFIG, **headers)
        assert (reply.status_code, reply.data) == (304, b"")
        for name in ("ETag", "Last-Modified", "Cache-Control"):
            assert reply.headers[name] == first.headers[name]
        assert "Content-Type" not in reply.headers
    for headers in {"If_Modified_Since": "not a date"}, other, since | other:
        assert ask(CONFIG, **headers).status_code == 200


def test_a_404_has_a_body_and_is_not_cached(serve: Serve) -> None:
    ask = serve(TWO_DOMAINS)
    for host in ("nowhere.example", "127.0.0.1", ""):
        reply = ask(f"{CONFIG}?emailaddress=fred@nowhere.example", Host=host)
        assert reply.status_code == 404
        assert reply.data.startswith(b"No mail settings are published here")
        assert reply.headers["Cache-Control"] == "no-store"


# --- Which provider answers -----------------------------------------------------------


def provider(name: str, domains: list[str], more: str = "") -> str:
    return f"""
[[provider]]
domains = {domains}
{more}
[[provider.incoming]]
type = "imap"
hostname = "{name}.%EMAILDOMAIN%"
[[provider.outgoing]]
type = "smtp"
hostname = "{name}.test"
"""


HOSTER = (
    provider("exact", ["a.example.com", "example.com"])
    + provider("below", ["*.example.com"])
    + provider("deeper", ["*.b.example.com"])
    + provider("any", ["*"])
)


@rows("closest", "host, asked, name, domain", "http.toml")
def test_the_closest_match_of_the_address_or_host_answers(
    serve: Serve, host: str, asked: str, name: str, domain: str
) -> None:
    query = f"?emailaddress=fred@{asked}" if asked else ""
    reply = serve(HOSTER)(f"{CONFIG}{query}", Host=host)
    assert f"{name}.test" in reply.text
    assert f"{name}.{domain}" in reply.text


def test_a_customer_found_by_mx_record_gets_the_hosters_settings(serve: Serve) -> None:
    ask = serve(provider("h", ["hoster.example"], 'mx_domains = ["mx.example"]'))
    for path, host in (
        (CONFIG, "autoconfig.hoster.example"),
        (CONFIG, "autoconfig.in.mx.example"),
        ("/.well-known/mail-v1.xml", "autoconfig.in.mx.example"),  # of earlier drafts
    ):
        reply = ask(f"{path}?emailaddress=fred@customer.test", Host=host)
        assert b"<domain>customer.test</domain>" in reply.data
        assert b"<hostname>h.customer.test</hostname>" in reply.data
        assert b'<domain purpose="mx">mx.example</domain>' in reply.data
        assert b"<domain>mx.example</domain>" in reply.data  # all that Mustang reads
    # The host of an MX domain does not name the customer's domain.
    by_host = ask(CONFIG, Host="autoconfig.mx.example")
    assert b"<hostname>h.%EMAILDOMAIN%</hostname>" in by_host.data


def test_a_request_that_names_no_domain_gets_the_only_provider(serve: Serve) -> None:
    reply = serve(provider("h", ["*"]))(CONFIG, Host="localhost:8000")
    assert b"<domain>%EMAILDOMAIN%</domain>" in reply.data
    assert reply.status_code == 200
    two = provider("a", ["a.test"]) + provider("b", ["b.test"])
    assert serve(two)(CONFIG, Host="localhost:8000").status_code == 404


def test_the_isp_database_is_served_by_domain_alone(toml: Write) -> None:
    text = provider("h", ["hoster.test", "*.below.test"], 'mx_domains = ["mx.test"]')
    config = {"AUTOCONFIG_FILE": toml(text), "AUTOCONFIG_CLIENTS": {"ispdb"}}
    ask = asking(create_app(config))
    for domain, host in (
        ("hoster.test", "h.hoster.test"),
        ("HOSTER.test", "h.hoster.test"),
        ("a.below.test", "h.a.below.test"),
        ("mx.test", "h.%EMAILDOMAIN%"),
    ):
        reply = ask(f"/v1.1/{domain}", Host="isp.example")
        assert f"<hostname>{host}</hostname>" in reply.text
        assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
    for domain in ("nowhere.test", "%00", "a b", "mail/config-v1.1.xml"):
        assert ask(f"/v1.1/{domain}").status_code == 404
    assert asking(site(toml(text)))("/v1.1/hoster.test").status_code == 404


def test_forwarded_hosts_are_trusted_from_a_number_of_proxies(toml: Write) -> None:
    file = toml(HOSTER)
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
            assert name in asking(app)(CONFIG, **headers).data


# --- Registration ---------------------------------------------------------------------


def test_registering_twice_is_refused(toml: Write) -> None:
    app = site(toml(TWO_DOMAINS))
    with pytest.raises(ConfigError, match="already"):
        app.register_blueprint(Autoconfig("again"))


def test_options_under_which_no_client_would_find_us_are_refused(toml: Write) -> None:
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    with pytest.raises(ConfigError, match="prefix"):
        app.register_blueprint(autoconfig, url_prefix="/mail")
    with pytest.raises(ConfigError, match="does not match subdomains"):
        app.register_blueprint(autoconfig, subdomain="/mail")


def test_the_default_places_of_the_file_are_searched_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        cache = asking(register())(CONFIG).headers["Cache-Control"]
        assert f"max-age={number}" in cache


# --- Certificates ---


def test_certificates_are_wanted_for_names_that_clients_request(toml: Write) -> None:
    mx = 'mx_domains = ["mx.hoster.test"]\nautodiscover_host = "ad.other.test"'
    text = provider("h", ["hoster.test", "*.wild.test"], mx)
    hooked = Functions(find_provider={"hooked.test": "hoster.test"}.get)
    of_hoster = Service(toml(text), hooks=Hooks(hooked)).lookup
    of_any = Service(toml(provider("any", ["*"]))).lookup
    for name, lookup in (("hoster", of_hoster), ("any", of_any)):
        for host, is_wanted in table(name, "http.toml").items():
            assert lookup.serves_host(host) == is_wanted, host
