"""What a request gets, in each way to mount the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from support import TWO_DOMAINS
from werkzeug.test import Client, TestResponse

from flask_autoconfig import Autoconfig, ConfigError, autoconfig, create_app
from flask_autoconfig.answers import SECURITY_HEADERS
from flask_autoconfig.families import FAMILIES
from flask_autoconfig.hooks import Hooks
from flask_autoconfig.service import Service

CONFIG = "/mail/config-v1.1.xml"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
HOST = "autoconfig.example.com"

Ask = Callable[..., TestResponse]


def blueprint(file: Path) -> Flask:
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = file
    app.register_blueprint(autoconfig)
    return app


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


def standalone(file: Path) -> Flask:
    return create_app(file)


def asking(app: Flask) -> Ask:
    client = Client(app)

    def ask(target: str, method: str = "GET", **headers: str) -> TestResponse:
        path, _, query = target.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Host", HOST)
        return client.open(path, method=method, query_string=query, headers=named)

    return ask


@pytest.fixture(params=[blueprint, subdomain, host_matching, standalone])
def ask(request: pytest.FixtureRequest, toml: Callable[[str], Path]) -> Ask:
    """A function that sends a request to the two domains' service."""
    return asking(request.param(toml(TWO_DOMAINS)))


@pytest.fixture
def serve(toml: Callable[[str], Path]) -> Callable[[str], Ask]:
    """Serve a configuration by itself."""
    return lambda text: asking(standalone(toml(text)))


def test_the_domain_of_the_address_is_answered(ask: Ask) -> None:
    for path in (CONFIG, WELL_KNOWN, "/v1.1/mail/config-v1.1.xml"):
        reply = ask(f"{path}?emailaddress=fred%40example2.com")
        assert reply.status_code == 200
        assert b"<domain>example2.com</domain>" in reply.data


def test_without_an_address_the_host_is_answered(ask: Ask) -> None:
    assert b"imap.example.com" in ask(CONFIG).data


def test_an_empty_address_counts_as_absent(ask: Ask) -> None:
    assert ask(f"{CONFIG}?emailaddress=").data == ask(CONFIG).data


def test_what_clients_add_to_the_query_does_not_disturb(ask: Ask) -> None:
    asked = f"{CONFIG}?emailaddress=EVOLUTIONUSER%40example.com&emailmd5=abc"
    assert ask(asked).data == ask(CONFIG).data


def test_an_address_that_is_none_is_400_and_not_echoed(ask: Ask) -> None:
    for text in ("fred", "@x.test", "fred@", "a b@c.d", "<b>@x.y", "a@b..c"):
        reply = ask(f"{CONFIG}?emailaddress={text}")
        assert reply.status_code == 400, text
        assert text.encode() not in reply.data
        assert b"must be an e-mail address" in reply.data


def test_other_methods_are_405_with_allow(ask: Ask) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        reply = ask(CONFIG, method)
        assert reply.status_code == 405
        allowed = {"GET", "HEAD", "OPTIONS"}
        assert set(reply.headers["Allow"].split(", ")) == allowed


PREFLIGHT = {"Origin": "https://other.test", "Access_Control_Request_Method": "GET"}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (CONFIG, {"GET", "HEAD"}),
        ("/autodiscover/autodiscover.xml", {"GET", "POST", "HEAD"}),
        ("/mail/mobileconfig", {"GET", "HEAD"}),
        ("/.well-known/user-agent-configuration.json", {"GET", "HEAD"}),
    ],
)
def test_a_script_of_any_site_may_ask_for_a_document(
    ask: Ask, path: str, methods: set[str]
) -> None:
    reply = ask(path, "OPTIONS", **PREFLIGHT)
    assert (reply.status_code, reply.data) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert set(reply.headers["Access-Control-Allow-Methods"].split(", ")) == methods
    assert reply.headers["Access-Control-Allow-Headers"] == "content-type"
    assert "Content-Length" not in reply.headers


def test_the_page_for_people_is_no_other_sites_to_read(ask: Ask) -> None:
    reply = ask("/mail/setup", "OPTIONS", **PREFLIGHT)
    assert reply.status_code == 405
    assert "Access-Control-Allow-Methods" not in reply.headers


def test_a_refusal_has_the_same_security_headers(ask: Ask) -> None:
    served = ask(CONFIG).headers
    for family in FAMILIES:
        for route in family.routes:
            if family.on_demand:
                continue
            reply = ask(route.path, "PATCH")
            assert reply.status_code == 405, route.path
            for name, value in SECURITY_HEADERS:
                assert served[name] == reply.headers[name] == value


def test_head_is_get_without_the_body(ask: Ask) -> None:
    get, head = ask(CONFIG), ask(CONFIG, "HEAD")
    assert head.data == b""
    assert head.headers == get.headers
    assert int(head.headers["Content-Length"]) == len(get.data)


def test_the_headers_that_every_document_has(ask: Ask) -> None:
    headers = ask(CONFIG).headers
    assert headers["Content-Type"] == "text/xml; charset=utf-8"
    assert headers["Cache-Control"] == (
        "public, max-age=3600, s-maxage=5, no-transform"
    )
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Robots-Tag"] == "noindex"
    assert headers["ETag"].startswith('"')
    assert headers["Last-Modified"].endswith(" GMT")


def test_an_etag_that_matches_is_304_with_what_a_cache_needs(ask: Ask) -> None:
    first = ask(CONFIG)
    reply = ask(CONFIG, If_None_Match=f'"other", W/{first.headers["ETag"]}')
    assert reply.status_code == 304
    assert reply.data == b""
    for name in ("ETag", "Last-Modified", "Cache-Control"):
        assert reply.headers[name] == first.headers[name]
    assert "Content-Type" not in reply.headers


def test_an_etag_that_does_not_match_is_200(ask: Ask) -> None:
    assert ask(CONFIG, If_None_Match='"other"').status_code == 200


def test_the_date_of_the_document_is_304(ask: Ask) -> None:
    date = ask(CONFIG).headers["Last-Modified"]
    assert ask(CONFIG, If_Modified_Since=date).status_code == 304
    assert ask(CONFIG, If_Modified_Since="not a date").status_code == 200


def test_an_etag_overrules_the_date(ask: Ask) -> None:
    date = ask(CONFIG).headers["Last-Modified"]
    reply = ask(CONFIG, If_None_Match='"other"', If_Modified_Since=date)
    assert reply.status_code == 200


def test_nothing_is_compressed_even_when_the_client_could(ask: Ask) -> None:
    assert "Content-Encoding" not in ask(CONFIG, Accept_Encoding="gzip").headers


def test_a_404_has_words_in_it_and_is_not_kept(serve: Callable[[str], Ask]) -> None:
    ask = serve(TWO_DOMAINS)
    for headers in ({"Host": "nowhere.example"}, {"Host": "127.0.0.1"}, {"Host": ""}):
        reply = ask(f"{CONFIG}?emailaddress=fred@nowhere.example", **headers)
        assert reply.status_code == 404
        assert reply.data == b"No mail settings are published here for this domain.\n"
        assert reply.headers["Cache-Control"] == "no-store"


PROVIDERS = """
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


def provider(name: str, domains: list[str], more: str = "") -> str:
    listed = str(domains).replace("'", '"')
    return PROVIDERS.format(name=name, domains=listed, more=more)


HOSTER = (
    provider("exact", ["a.example.com", "example.com"])
    + provider("below", ["*.example.com"])
    + provider("deeper", ["*.b.example.com"])
    + provider("any", ["*"])
)


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("a.example.com", "exact"),
        ("A.EXAMPLE.com.", "exact"),
        ("c.example.com", "below"),
        ("c.d.example.com", "below"),
        ("c.b.example.com", "deeper"),
        ("b.example.com", "below"),
        ("example.net", "any"),
        ("bücher.example.com", "below"),
    ],
)
def test_the_closest_claim_answers_an_address(
    serve: Callable[[str], Ask], domain: str, name: str
) -> None:
    reply = serve(HOSTER)(f"{CONFIG}?emailaddress=fred@{domain}", Host="x.invalid")
    assert f"{name}.test".encode() in reply.data


@pytest.mark.parametrize(
    ("host", "name", "domain"),
    [
        ("autoconfig.example.com", "exact", "example.com"),
        ("AUTOCONFIG.EXAMPLE.COM:8080", "exact", "example.com"),
        ("autoconfig.a.example.com", "exact", "a.example.com"),
        ("example.com", "exact", "example.com"),
        ("autoconfig.mx.a.example.com", "exact", "a.example.com"),
        ("autoconfig.c.example.com", "below", "c.example.com"),
        ("ua-auto-config.c.b.example.com", "deeper", "c.b.example.com"),
        ("autodiscover.example.org", "any", "example.org"),
    ],
)
def test_the_closest_claim_answers_a_host(
    serve: Callable[[str], Ask], host: str, name: str, domain: str
) -> None:
    reply = serve(HOSTER)(CONFIG, Host=host)
    assert f"{name}.test".encode() in reply.data
    assert f"{name}.{domain}".encode() in reply.data


def test_a_customer_found_through_the_mx_record_gets_the_hosters_settings(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(provider("h", ["hoster.example"], 'mx_domains = ["mx.example"]'))
    for host in ("autoconfig.hoster.example", "autoconfig.in.mx.example"):
        reply = ask(f"{CONFIG}?emailaddress=fred@customer.test", Host=host)
        assert b"<domain>customer.test</domain>" in reply.data
        assert b"<hostname>h.customer.test</hostname>" in reply.data
        assert b'<domain purpose="mx">mx.example</domain>' in reply.data
        assert b"<domain>mx.example</domain>" in reply.data  # all that Mustang reads


@pytest.mark.parametrize("query", ["", "?emailaddress=fred@example.com"])
@pytest.mark.parametrize(
    "host", ["autoconfig.example.com", "example.com", "autoconfig.mx.example"]
)
def test_the_url_of_the_drafts_earlier_revisions_has_the_same_document(
    serve: Callable[[str], Ask], host: str, query: str
) -> None:
    text = TWO_DOMAINS.replace("domains =", 'mx_domains = ["mx.example"]\ndomains =')
    ask = serve(text)
    old = ask(f"/.well-known/mail-v1.xml{query}", Host=host)
    assert old.status_code == 200
    assert old.headers["Content-Type"].startswith("text/xml")
    assert old.data == ask(f"{CONFIG}{query}", Host=host).data


def test_the_host_of_an_mx_domain_says_nothing_of_the_customers_domain(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(provider("h", ["hoster.example"], 'mx_domains = ["mx.example"]'))
    reply = ask(CONFIG, Host="autoconfig.mx.example")
    assert b"<hostname>h.%EMAILDOMAIN%</hostname>" in reply.data


def test_the_only_provider_answers_whoever_names_no_domain(
    serve: Callable[[str], Ask],
) -> None:
    reply = serve(provider("h", ["*"]))(CONFIG, Host="localhost:8000")
    assert b"<domain>%EMAILDOMAIN%</domain>" in reply.data
    assert reply.status_code == 200


def test_of_several_providers_none_answers_whoever_names_no_domain(
    serve: Callable[[str], Ask],
) -> None:
    ask = serve(provider("a", ["a.test"]) + provider("b", ["b.test"]))
    assert ask(CONFIG, Host="localhost:8000").status_code == 404


def test_an_unlisted_customer_is_not_told_of_another(
    serve: Callable[[str], Ask],
) -> None:
    domains = ["hoster.test", "one.test", "two.test"]
    ask = serve(provider("h", domains, "list_domains = false"))
    reply = ask(f"{CONFIG}?emailaddress=fred@one.test")
    assert reply.data.count(b"<domain>") == 1
    assert b"<domain>one.test</domain>" in reply.data
    assert b"hoster.test" not in reply.data
    assert b"two.test" not in reply.data
    own = ask(f"{CONFIG}?emailaddress=fred@hoster.test")
    assert own.data.count(b"<domain>") == 1


def test_max_age_is_the_files(serve: Callable[[str], Ask]) -> None:
    ask = serve("max_age = 60\n" + TWO_DOMAINS)
    assert "max-age=60" in ask(CONFIG).headers["Cache-Control"]


def test_what_the_service_does_not_know_is_left_to_the_site(
    toml: Callable[[str], Path],
) -> None:
    app = blueprint(toml(TWO_DOMAINS))
    app.add_url_rule("/", "home", lambda: "home")
    assert asking(app)("/").data == b"home"


def test_the_hook_names_a_provider_for_a_domain_the_file_does_not_know(
    toml: Callable[[str], Path],
) -> None:
    mine = Autoconfig()

    @mine.find_provider
    def provider_of(domain: str) -> str | None:
        return "example.com" if domain == "customer.test" else None

    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    ask = asking(app)
    reply = ask(f"{CONFIG}?emailaddress=fred@customer.test", Host="x.test")
    assert b"<domain>customer.test</domain>" in reply.data
    assert b"customer.test" in ask(CONFIG, Host="autoconfig.customer.test").data
    assert ask(f"{CONFIG}?emailaddress=a@b.test", Host="x.test").status_code == 404


def test_a_hook_that_raises_is_logged_and_the_client_told_to_come_again(
    toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    mine = Autoconfig()

    @mine.find_provider
    def provider_of(domain: str) -> str | None:
        raise RuntimeError("the database is away")

    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    ask = asking(app)
    reply = ask(f"{CONFIG}?emailaddress=secret@b.test", Host="x.test")
    assert reply.status_code == 503
    assert reply.headers["Retry-After"]
    assert "the database is away" in caplog.text
    assert "secret" not in caplog.text
    assert ask(CONFIG).status_code == 200  # the file knows by itself


@pytest.mark.parametrize("answer", ["u1001", None])
def test_with_a_user_database_no_answer_tells_which_mailboxes_exist(
    toml: Callable[[str], Path], answer: str | None
) -> None:
    mine = Autoconfig()
    mine.find_username(lambda address: answer)
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    ask = asking(app)
    reply = ask(f"{CONFIG}?emailaddress=secret@example.com")
    login = answer or "%EMAILADDRESS%"
    assert reply.text.count(f"<username>{login}</username>") == 3
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert "ETag" not in reply.headers
    # Nobody in particular: Evolution's stand-in, and who asks without an address.
    for query in ("", "?emailaddress=EVOLUTIONUSER@example.com"):
        assert "%EMAILADDRESS%" in ask(f"{CONFIG}{query}").text


@pytest.mark.parametrize("answer", [" bad", "", 5, RuntimeError("secret@x")])
def test_a_login_that_cannot_be_found_out_is_not_made_up(
    toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    mine = Autoconfig()

    @mine.find_username
    def login_of(address: str) -> str | None:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    assert asking(app)(f"{CONFIG}?emailaddress=secret@example.com").status_code == 503
    assert "find_username failed" in caplog.text
    assert "secret" not in caplog.text


def test_the_users_login_is_in_every_family(toml: Callable[[str], Path]) -> None:
    mine = Autoconfig()
    mine.find_username(lambda address: "u1001")
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    ask = asking(app)
    for target in (
        "/mail/mobileconfig",
        "/mail/setup",
        "/autodiscover/autodiscover.xml",
    ):
        assert "u1001" in ask(f"{target}?emailaddress=fred@example.com").text


def test_the_isp_database_is_served_by_domain_alone(
    toml: Callable[[str], Path],
) -> None:
    app = Flask("site")
    text = provider("h", ["hoster.test", "*.below.test"], 'mx_domains = ["mx.test"]')
    app.config.update(AUTOCONFIG_FILE=toml(text), AUTOCONFIG_CLIENTS={"ispdb"})
    app.register_blueprint(autoconfig)
    ask = asking(app)
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
    assert asking(blueprint(toml(text)))("/v1.1/hoster.test").status_code == 404


def test_two_apps_of_one_process_have_a_file_each(
    toml: Callable[..., Path],
) -> None:
    one = blueprint(toml(TWO_DOMAINS, "one.toml"))
    other = blueprint(toml(TWO_DOMAINS.replace("imap.", "mail."), "other.toml"))
    assert b"<hostname>imap.example.com" in asking(one)(CONFIG).data
    assert b"<hostname>mail.example.com" in asking(other)(CONFIG).data


def test_registering_twice_or_under_a_prefix_is_refused(
    toml: Callable[[str], Path],
) -> None:
    app = blueprint(toml(TWO_DOMAINS))
    with pytest.raises(ConfigError, match="it is registered already"):
        app.register_blueprint(Autoconfig("again"))
    with pytest.raises(ConfigError, match="never to a prefix"):
        Flask("site").register_blueprint(autoconfig, url_prefix="/mail")


def test_no_file_stops_the_site_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOCONFIG_FILE", raising=False)
    app = Flask("site", root_path=str(tmp_path), instance_path=str(tmp_path / "i"))
    with pytest.raises(ConfigError, match=r'set app.config\["AUTOCONFIG_FILE"\]'):
        app.register_blueprint(autoconfig)


def test_the_file_is_found_where_a_site_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOCONFIG_FILE", raising=False)
    instance = tmp_path / "instance"
    instance.mkdir()
    places = [tmp_path / "autoconfig.toml", instance / "autoconfig.toml"]
    for number, place in enumerate([*places, tmp_path / "env.toml"]):
        place.write_text(f"max_age = {number}\n{TWO_DOMAINS}")
        if number == 2:  # a relative path counts from the app, not from the shell
            monkeypatch.setenv("AUTOCONFIG_FILE", "env.toml")
        app = Flask("site", root_path=str(tmp_path), instance_path=str(instance))
        app.register_blueprint(autoconfig)
        assert f"max-age={number}" in asking(app)(CONFIG).headers["Cache-Control"]


def test_a_family_that_is_off_leaves_its_paths_to_the_site(
    toml: Callable[[str], Path],
) -> None:
    app = Flask("site")
    app.config.update(AUTOCONFIG_FILE=toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS=set())
    app.register_blueprint(autoconfig)
    app.add_url_rule(CONFIG, "own", lambda: "my own")
    assert asking(app)(CONFIG).data == b"my own"


def test_an_unknown_family_is_named(toml: Callable[[str], Path]) -> None:
    app = Flask("site")
    app.config.update(AUTOCONFIG_FILE=toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS=["outlok"])
    with pytest.raises(ConfigError, match="there is no family outlok; choose from"):
        app.register_blueprint(autoconfig)


def test_the_standalone_service_says_that_it_is_well(
    serve: Callable[[str], Ask],
) -> None:
    assert serve(TWO_DOMAINS)("/healthz").data == b"ok\n"


HOSTS = {
    "a domain": ("hoster.test", True),
    "a label before it": ("autoconfig.hoster.test", True),
    "each label, in any case": ("Ua-Auto-Config.HOSTER.test.", True),
    "another name below it": ("www.hoster.test", False),
    "a label before another name": ("autoconfig.www.hoster.test", False),
    "two labels": ("autoconfig.autodiscover.hoster.test", False),
    "the domain of MX hosts": ("mx.hoster.test", True),
    "a label before that": ("autodiscover.mx.hoster.test", True),
    "an MX host": ("in.mx.hoster.test", False),
    "what a pattern stands for": ("a.wild.test", True),
    "the same deeper down": ("autoconfig.b.a.wild.test", True),
    "what stands above a pattern": ("wild.test", False),
    "a domain that the hook knows": ("hooked.test", True),
    "a label before that one": ("autodiscover.hooked.test", True),
    "another name below that one": ("www.hooked.test", False),
    "anybody's domain": ("example.org", False),
    "a label before anybody's": ("autoconfig.example.org", False),
    "a label alone": ("autoconfig", False),
    "an IP address": ("192.0.2.1", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize(("host", "is_asked"), HOSTS.values(), ids=HOSTS.keys())
def test_a_certificate_is_wanted_for_the_names_that_clients_ask(
    toml: Callable[..., Path], host: str, is_asked: bool
) -> None:
    mx = 'mx_domains = ["mx.hoster.test"]'
    hooks = Hooks({"hooked.test": "hoster.test"}.get)
    file = toml(provider("h", ["hoster.test", "*.wild.test"], mx))
    assert Service(file, hooks=hooks).lookup.serves_host(host) == is_asked


@pytest.mark.parametrize(
    ("host", "is_asked"),
    [
        ("autoconfig.example.org", True),
        ("autodiscover.a.b.test", True),
        ("example.org", False),
        ("www.example.org", False),
        ("autoconfig.org", False),
    ],
)
def test_with_any_domain_a_certificate_is_wanted_for_any_name_with_a_label_in_front(
    toml: Callable[..., Path], host: str, is_asked: bool
) -> None:
    service = Service(toml(provider("any", ["*"])))
    assert service.lookup.serves_host(host) == is_asked


def test_forwarded_hosts_are_believed_from_as_many_proxies_as_said(
    toml: Callable[[str], Path],
) -> None:
    file = toml(HOSTER)
    forwarded = {"Host": "internal.test", "X_Forwarded_Host": "autoconfig.example.com"}
    for proxies, name in ((0, b"any.test"), (1, b"exact.test")):
        ask = asking(create_app(file, proxies=proxies))
        assert name in ask(CONFIG, **forwarded).data
    chain = {"Host": "x.test", "X_Forwarded_Host": "c.example.com, a.example.com"}
    for proxies, name in ((1, b"exact.test"), (2, b"below.test"), (3, b"any.test")):
        ask = asking(create_app(file, proxies=proxies))
        assert name in ask(CONFIG, **chain).data


@pytest.mark.parametrize("answer", [["x"], 5, "", "nowhere.test", "not a host"])
def test_a_hook_that_gives_nonsense_counts_as_one_that_fails(
    toml: Callable[[str], Path], caplog: pytest.LogCaptureFixture, answer: object
) -> None:
    mine = Autoconfig()
    mine.find_provider(lambda domain: answer)  # type: ignore[type-var]
    app = Flask("site")
    app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
    app.register_blueprint(mine)
    reply = asking(app)(f"{CONFIG}?emailaddress=a@b.test", Host="x.test")
    assert reply.status_code == 503
    assert "find_provider" in caplog.text


def test_a_hook_may_name_the_provider_as_people_write_it(
    toml: Callable[[str], Path],
) -> None:
    mine = Autoconfig()
    mine.find_provider(lambda domain: "Bücher.example")
    app = Flask("site")
    text = TWO_DOMAINS.replace('"example.com", ', '"bücher.example", ')
    app.config["AUTOCONFIG_FILE"] = toml(text)
    app.register_blueprint(mine)
    reply = asking(app)(f"{CONFIG}?emailaddress=a@b.test", Host="x.test")
    assert b"<domain>b.test</domain>" in reply.data


def test_options_that_flask_would_never_match_with_are_refused(
    toml: Callable[[str], Path],
) -> None:
    for option in ("subdomain", "host"):
        app = Flask("site")
        app.config["AUTOCONFIG_FILE"] = toml(TWO_DOMAINS)
        with pytest.raises(ConfigError, match=f"does not match {option}s"):
            app.register_blueprint(autoconfig, **{option: "autoconfig"})


@pytest.mark.parametrize("value", [5, b"x", ["a"]])
def test_settings_of_the_wrong_kind_are_told(value: object) -> None:
    for key in ("AUTOCONFIG_FILE", "AUTOCONFIG_CLIENTS"):
        app = Flask("site")
        app.config[key] = value
        with pytest.raises(ConfigError):
            app.register_blueprint(autoconfig)
    with pytest.raises(ConfigError):
        create_app(value)  # type: ignore[arg-type]
