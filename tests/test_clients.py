"""`clients`: which families are served, and that every command keeps to it."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from support import BIN, TWO_DOMAINS, fetch, run, serving
from werkzeug.test import Client

from flask_autoconfig import Autoconfig, ConfigError, create_app
from flask_autoconfig.service import Service

Write = Callable[..., Path]
PATHS = {
    "thunderbird": "/mail/config-v1.1.xml",
    "outlook": "/autodiscover/autodiscover.xml",
    "apple": "/mail/mobileconfig",
    "pacc": "/.well-known/user-agent-configuration.json",
    "page": "/mail/setup",
    "ispdb": "/v1.1/example.com",
}
THUNDERBIRD_ALONE = f'clients = ["thunderbird"]\n{TWO_DOMAINS}'
USUAL = set(PATHS) - {"ispdb"}


def site(file: Path, **config: object) -> Flask:
    app = Flask("site")
    app.config.update(AUTOCONFIG_FILE=file, **config)
    app.register_blueprint(Autoconfig())
    app.add_url_rule("/<path:rest>", "rest", lambda rest: "the site's own")
    return app


def served(app: Flask) -> set[str]:
    """The families whose paths are answered by us."""
    client = Client(app)
    replies = {name: client.get(path) for name, path in PATHS.items()}
    ours = {name for name, it in replies.items() if it.text != "the site's own"}
    return {name for name in ours if replies[name].status_code == 200}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOCONFIG_CLIENTS", raising=False)


@pytest.mark.parametrize("door", [site, create_app])
def test_the_file_chooses_and_ispdb_is_served_on_demand(
    door: Callable[[Path], Flask], toml: Write
) -> None:
    assert served(door(toml(TWO_DOMAINS))) == USUAL
    text = f'clients = ["page", "ispdb", "page"]\n{TWO_DOMAINS}'
    assert served(door(toml(text))) == {"page", "ispdb"}


def test_the_app_goes_before_the_environment_and_that_before_the_file(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(THUNDERBIRD_ALONE)
    for told in ("page,outlook", " page  outlook", "page, outlook,"):
        monkeypatch.setenv("AUTOCONFIG_CLIENTS", told)
        assert served(site(file)) == {"page", "outlook"}
        assert served(create_app(file)) == {"page", "outlook"}
    for clients in ({"apple"}, ["apple"], "apple"):
        assert served(site(file, AUTOCONFIG_CLIENTS=clients)) == {"apple"}
    config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": {"apple"}}
    assert served(create_app(config)) == {"apple"}
    monkeypatch.setenv("AUTOCONFIG_CLIENTS", "")  # empty is not set
    assert served(site(file)) == {"thunderbird"}


def test_an_app_may_serve_no_family_at_all_but_hears_of_it(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    assert served(site(toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS=set())) == set()
    assert "AUTOCONFIG_CLIENTS names no family: nothing is served" in caplog.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('clients = ["outlok"]', 'got "outlok"; did you mean "outlook"?'),
        ('clients = ["page", "ios"]', 'clients[1]: expected one of "apple", "dav", '),
        ('clients = ["ios"]', 'got "ios"; write "apple"'),
        ('clients = "page"', 'clients: expected a list, got "page"'),
        ("clients = []", "clients: the list is empty; name a family, or remove"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(
    toml: Write, line: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Service(toml(f"{line}\n{TWO_DOMAINS}"))
    assert expected in str(caught.value)


def test_the_key_in_a_providers_table_is_told_where_it_belongs(toml: Write) -> None:
    text = TWO_DOMAINS.replace("[[provider]]", '[[provider]]\nclients = ["page"]', 1)
    with pytest.raises(ConfigError, match="move clients to the top of the file"):
        Service(toml(text))


def test_a_wrong_name_in_the_environment_is_told(
    toml: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCONFIG_CLIENTS", "thunderbird,outlok")
    with pytest.raises(
        ConfigError, match="AUTOCONFIG_CLIENTS: there is no family outl"
    ):
        site(toml(TWO_DOMAINS))
    done = run("--config", toml(TWO_DOMAINS), "dns", "--target", "www.example.com")
    assert done.returncode == 1
    assert "there is no family outlok; choose from apple, dav" in done.stderr


@pytest.mark.parametrize("told", ["", " ", ",", b"page", 5, [["page"]], {"page": 1}])
def test_what_names_no_family_is_told(toml: Write, told: object) -> None:
    with pytest.raises(ConfigError, match="there is no family"):
        site(toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS=told)


def test_an_environment_that_names_none_is_told(toml: Write) -> None:
    for told in (" ", ","):
        done = run("--config", toml(TWO_DOMAINS), "validate", AUTOCONFIG_CLIENTS=told)
        assert done.returncode == 1
        assert "AUTOCONFIG_CLIENTS: there is no family of no name" in done.stdout


# --- An edit -------------------------------------------------------------------------


def _taken_up(app: Flask) -> None:
    service: Service = app.extensions["autoconfig"]
    for _ in range(3):
        service.live.look()


def test_in_a_site_an_edit_counts_at_the_restart_and_the_log_says_so(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    app = site(toml(TWO_DOMAINS))
    edited = THUNDERBIRD_ALONE.replace("imap.", "mail.")
    file = toml(edited)
    _taken_up(app)
    assert served(app) == USUAL
    assert b"mail.example.com" in Client(app).get(PATHS["thunderbird"]).data
    warnings = [it.getMessage() for it in caplog.records if it.levelname == "WARNING"]
    assert warnings == [f"The new `clients` of {file} take effect at a restart"]
    assert served(site(toml(edited))) == {"thunderbird"}


def test_an_edit_that_changes_nothing_for_the_site_is_not_talked_about(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    told = site(toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS={"page"})
    untold = site(toml(TWO_DOMAINS, "untold.toml"))
    toml(TWO_DOMAINS.replace("imap.", "mail."), "untold.toml")
    _taken_up(untold)
    toml(THUNDERBIRD_ALONE)
    _taken_up(told)
    assert served(told) == {"page"}
    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]


def test_alone_an_edit_counts_at_once(
    toml: Write, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(toml(THUNDERBIRD_ALONE))
    assert served(app) == {"thunderbird"}
    toml(f'clients = ["page", "ispdb", "outlook"]\n{TWO_DOMAINS}')
    _taken_up(app)
    assert served(app) == {"page", "ispdb", "outlook"}
    assert Client(app).get(PATHS["thunderbird"]).status_code == 404
    assert caplog.text == ""


# --- The commands --------------------------------------------------------------------


def test_serve_keeps_to_it_and_takes_an_edit_up(toml: Write) -> None:
    with serving(toml(THUNDERBIRD_ALONE), "--workers", "1") as url:
        assert fetch(f"{url}/mail/config-v1.1.xml").status == 200
        assert fetch(f"{url}/mail/setup").status == 404
        toml(f'clients = ["page"]\n{TWO_DOMAINS}')
        until = time.monotonic() + 20
        while fetch(f"{url}/mail/setup").status != 200:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert fetch(f"{url}/mail/config-v1.1.xml").status == 404


def test_show_keeps_to_it(toml: Write) -> None:
    option = ("--config", toml(THUNDERBIRD_ALONE), "show", "example.com", "--format")
    assert run(*option, "thunderbird").returncode == 0
    done = run(*option, "outlook")
    assert (done.returncode, done.stdout) == (1, "")
    assert "outlook is not among the clients that are served; add it" in done.stderr
    assert run(*option, "outlook", AUTOCONFIG_CLIENTS="outlook").returncode == 0


def test_export_keeps_to_it_and_names_what_is_left_over(
    toml: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    run("--config", toml(TWO_DOMAINS), "export", folder)
    assert len(list(folder.glob("example.com/**/*.*"))) == 6 + 1  # and .well-known
    done = run("--config", toml(THUNDERBIRD_ALONE), "export", folder)
    assert "6 files written" in done.stderr
    assert done.stderr.count("is no longer served; remove it") == 2 * 3
    run("--config", toml(THUNDERBIRD_ALONE), "export", tmp_path / "new")
    files = {path.name for path in (tmp_path / "new").rglob("*.*") if path.is_file()}
    assert files == {"config-v1.1.xml", "mail-v1.xml"}


def _records(*command: str | Path, cwd: Path | None = None) -> dict[str, list[str]]:
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
    )
    domain = json.loads(done.stdout)["example.com"]
    names = [it["name"] for it in domain["records"]]
    return {"records": names, "certificates": domain["certificate_names"]}


DNS = ("dns", "example.com", "--target", "www.example.com", "--json")


def test_dns_keeps_to_it(toml: Write) -> None:
    option = ("flask-autoconfig", "--config")
    told = _records(*option, toml(THUNDERBIRD_ALONE), *DNS)
    assert told["certificates"] == ["autoconfig.example.com", "example.com"]
    assert not {"autodiscover", "ua-auto-config"} & set(told["records"])
    assert not {"_autodiscover._tcp", "_ua-auto-config"} & set(told["records"])
    assert {"autoconfig", "_imaps._tcp"} <= set(told["records"])
    usual = _records(*option, toml(TWO_DOMAINS), *DNS)
    assert {"autodiscover", "_autodiscover._tcp"} <= set(usual["records"])


def test_dns_asks_for_no_certificate_of_a_name_that_it_does_not_print(
    toml: Write,
) -> None:
    # PACC has no word for STARTTLS, so that nobody asks its host.
    text = TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname')
    option = ("flask-autoconfig", "--config", toml(text))
    told = _records(*option, *DNS)
    assert "ua-auto-config" not in told["records"]
    assert "ua-auto-config.example.com" not in told["certificates"]
    zone = run(*option[1:], *DNS[:-1]).stdout
    assert "ua-auto-config" not in zone


def test_a_projects_own_setting_counts_in_its_commands(
    toml: Write, tmp_path: Path
) -> None:
    toml(TWO_DOMAINS, "mail.toml")
    (tmp_path / "site_app.py").write_text(
        "from flask import Flask\n"
        "from flask_autoconfig import autoconfig\n"
        "app = Flask(__name__)\n"
        'app.config["AUTOCONFIG_FILE"] = "mail.toml"\n'
        'app.config["AUTOCONFIG_CLIENTS"] = {"thunderbird"}\n'
        "app.register_blueprint(autoconfig)\n"
    )
    flask = ("flask", "--app", "site_app", "autoconfig")
    told = _records(*flask, *DNS, cwd=tmp_path)
    assert told["certificates"] == ["autoconfig.example.com", "example.com"]


def test_check_keeps_to_it(toml: Write) -> None:
    nobody = ("--resolver", "127.0.0.1:9", "--timeout", "0.2", "--json")

    def played(text: str) -> list[str]:
        done = run("--config", toml(text), "check", "example.com", *nobody)
        return [it["client"] for it in json.loads(done.stdout)["clients"]]

    assert {"Thunderbird", "Outlook (classic)", "PACC"} < set(played(TWO_DOMAINS))
    alone = played(THUNDERBIRD_ALONE)
    assert "Thunderbird" in alone
    assert not {"Outlook (classic)", "PACC"} & set(alone)
    assert played(f'clients = ["page"]\n{TWO_DOMAINS}') == []


def test_validate_and_check_warn_of_no_client_that_is_not_served(toml: Write) -> None:
    text = TWO_DOMAINS.replace('"imap.example.com"', '"imap.example.com"\nport = 1993')
    warned = run("--config", toml(text), "validate").stdout
    assert ": PACC: " in warned.partition("\n")[0]
    for clients in ('["thunderbird"]', '["page"]'):
        file = toml(f"clients = {clients}\n{text}")
        assert run("--config", file, "validate").stdout == ""
        done = run("--config", file, "check", "--unpublished", "--timeout", "0.2")
        assert "PACC" not in done.stdout


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PROPFIND", "OPTIONS"])
def test_alone_what_is_off_is_not_there_whatever_the_method(
    toml: Write, method: str
) -> None:
    client = Client(create_app(toml(THUNDERBIRD_ALONE)))
    for name, path in PATHS.items():
        status = client.open(path, method=method).status_code
        allowed = {"GET": 200, "OPTIONS": 204}.get(method, 405)
        assert status == (allowed if name == "thunderbird" else 404), path


HOOKED_SITE = """
from flask import Flask
from flask_autoconfig import Autoconfig

autoconfig = Autoconfig()
autoconfig.find_username(lambda address: "u1001")
app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = {file!r}
app.register_blueprint(autoconfig)
"""


def test_in_a_site_with_logins_of_its_own_pacc_is_published_nowhere(
    toml: Write, tmp_path: Path
) -> None:
    file = toml(TWO_DOMAINS)
    (tmp_path / "hooked.py").write_text(HOOKED_SITE.format(file=str(file)))
    flask = ("flask", "--app", "hooked", "autoconfig")
    found = _records(*flask, "dns", "--target", "www.test", "--json", cwd=tmp_path)
    assert not [name for name in found["records"] if "ua-auto-config" in name]
    assert "autodiscover" in found["records"]
    validated = subprocess.run(
        [BIN / "flask", *flask[1:], "validate"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    told = f"{file}: warning: PACC clients: they get nothing (pacc), since"
    assert told in validated.stdout
    alone = run("--config", file, "validate")
    assert "find_username" not in alone.stdout
