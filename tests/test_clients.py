"""The key `clients`: which families are served, and that every command respects it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from services import run, run_flask
from support import TWO_DOMAINS, Log, Patch, Write, look, rows
from support import site as site_with_blueprint
from werkzeug.test import Client

from flask_autoconfig import ConfigError, create_app
from flask_autoconfig.service import Service

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


def site(file: Path, **config: Any) -> Flask:
    app = site_with_blueprint(file, **config)
    app.add_url_rule("/<path:rest>", "rest", lambda rest: "the site's own")
    return app


def served(app: Flask) -> set[str]:
    """Return the families whose paths the blueprint or the service answers."""
    client = Client(app)
    responses = {name: client.get(path) for name, path in PATHS.items()}
    is_site = client.get("/other").status_code == 200
    others = {name for name, r in responses.items() if r.text == "the site's own"}
    found = {name for name, r in responses.items() if r.status_code == 200} - others
    assert found | others == set(PATHS) or not is_site  # its paths are left to it
    return found


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: Patch) -> None:
    monkeypatch.delenv("AUTOCONFIG_CLIENTS", raising=False)


@pytest.mark.parametrize("build", [site, create_app])
def test_the_file_chooses_and_ispdb_is_served_on_demand(
    build: Callable[[Path], Flask], toml: Write
) -> None:
    assert served(build(toml(TWO_DOMAINS))) == USUAL
    text = f'clients = ["page", "ispdb", "page"]\n{TWO_DOMAINS}'
    assert served(build(toml(text))) == {"page", "ispdb"}


def test_the_app_overrides_the_environment_which_overrides_the_file(
    toml: Write, monkeypatch: Patch
) -> None:
    file = toml(THUNDERBIRD_ALONE)
    for names in ("page,outlook", " page  outlook", "page, outlook,"):
        monkeypatch.setenv("AUTOCONFIG_CLIENTS", names)
        assert served(site(file)) == {"page", "outlook"}
        assert served(create_app(file)) == {"page", "outlook"}
    for clients in ({"apple"}, ["apple"], "apple"):
        assert served(site(file, AUTOCONFIG_CLIENTS=clients)) == {"apple"}
    config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": {"apple"}}
    assert served(create_app(config)) == {"apple"}
    monkeypatch.setenv("AUTOCONFIG_CLIENTS", "")  # empty is not set
    assert served(site(file)) == {"thunderbird"}


@rows("clients", "text, expected", "tables.toml")
def test_an_invalid_value_in_the_file_is_reported_with_the_remedy(
    toml: Write, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Service(toml(text + TWO_DOMAINS))
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", ",", b"page", 5, [["page"]]])
def test_an_invalid_value_in_the_app_is_reported(file: Path, value: object) -> None:
    with pytest.raises(ConfigError, match="there is no family"):
        site(file, AUTOCONFIG_CLIENTS=value)


@pytest.mark.parametrize("value", [" ", ",", "thunderbird,outlok"])
def test_an_invalid_value_in_the_environment_is_reported(
    file: Path, monkeypatch: Patch, value: str
) -> None:
    message = "AUTOCONFIG_CLIENTS: there is no family"
    monkeypatch.setenv("AUTOCONFIG_CLIENTS", value)
    with pytest.raises(ConfigError, match=message):
        site(file)
    result = run("--config", file, "validate", code=1)
    assert message in result.stdout + result.stderr


# --- Edits --------------------------------------------------------------------------


def test_an_edit_takes_effect_when_a_site_restarts(toml: Write, caplog: Log) -> None:
    chosen = site(toml(TWO_DOMAINS), AUTOCONFIG_CLIENTS={"page"})
    app = site(toml(TWO_DOMAINS))
    toml(TWO_DOMAINS.replace("imap.", "mail."))
    look(app.extensions["autoconfig"].live)
    assert caplog.text.count("WARNING") == 0
    file = toml(THUNDERBIRD_ALONE.replace("imap.", "mail."))
    look(chosen.extensions["autoconfig"].live)  # where the edit changes nothing
    assert caplog.text.count("WARNING") == 0
    look(app.extensions["autoconfig"].live)
    assert caplog.text.count("WARNING") == 1
    assert f"The new `clients` of {file} take effect at a restart" in caplog.text
    assert (served(app), served(chosen)) == (USUAL, {"page"})
    assert b"mail.example.com" in Client(app).get(PATHS["thunderbird"]).data
    assert served(site(file)) == {"thunderbird"}


def test_an_edit_takes_effect_at_once_in_the_service(toml: Write, caplog: Log) -> None:
    file = toml(THUNDERBIRD_ALONE)
    app = create_app(file)
    assert served(app) == {"thunderbird"}
    toml(f'clients = ["page", "ispdb", "outlook"]\n{TWO_DOMAINS}')
    look(app.extensions["autoconfig"].live)
    assert served(app) == {"page", "ispdb", "outlook"}
    assert Client(app).get(PATHS["thunderbird"]).status_code == 404
    assert str(file) not in caplog.text  # apps of other tests may log of theirs


# --- The commands --------------------------------------------------------------------


def test_show_shows_no_family_that_is_not_served(toml: Write) -> None:
    option = ("--config", toml(THUNDERBIRD_ALONE), "show", "example.com", "--format")
    assert run(*option, "thunderbird").returncode == 0
    result = run(*option, "outlook")
    assert (result.returncode, result.stdout) == (1, "")
    assert "outlook is not among the clients that are served; add" in result.stderr
    assert run(*option, "outlook", AUTOCONFIG_CLIENTS="outlook").returncode == 0


def test_export_names_files_that_are_left_over(toml: Write, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run("--config", toml(TWO_DOMAINS), "export", folder)
    assert len(list(folder.glob("example.com/**/*.*"))) == 6 + 1  # and .well-known
    result = run("--config", toml(THUNDERBIRD_ALONE), "export", folder)
    assert "6 files written" in result.stderr
    assert result.stderr.count("is no longer served; remove it") == 2 * 3
    run("--config", toml(THUNDERBIRD_ALONE), "export", tmp_path / "new")
    files = {path.name for path in (tmp_path / "new").rglob("*.*") if path.is_file()}
    assert files == {"config-v1.1.xml", "mail-v1.xml"}


DNS = ("dns", "example.com", "--target", "www.example.com", "--json")


def _names(output: str) -> tuple[set[str], list[str]]:
    """Return the names of records, and of certificates."""
    domain = json.loads(output)["example.com"]
    names = {record["name"] for record in domain["records"]}
    return names, domain["certificate_names"]


def _flask(app: str, *command: str, cwd: Path) -> str:
    return run_flask(app, "autoconfig", *command, cwd=cwd).stdout


def test_dns_prints_their_records_and_certificates(toml: Write) -> None:
    def published(text: str) -> tuple[set[str], list[str]]:
        return _names(run("--config", toml(text), *DNS).stdout)

    records, certificates = published(THUNDERBIRD_ALONE)
    assert certificates == ["autoconfig.example.com", "example.com"]
    assert {"autoconfig", "_imaps._tcp"} <= records
    outlooks = {"autodiscover", "_autodiscover._tcp"}
    assert not {*outlooks, "ua-auto-config", "_ua-auto-config"} & records
    assert outlooks <= published(TWO_DOMAINS)[0]
    # PACC cannot describe STARTTLS, so that no client asks its host.
    text = TWO_DOMAINS.replace("hostname", 'socket_type = "STARTTLS"\nhostname')
    records, certificates = published(text)
    assert "ua-auto-config" not in records
    assert "ua-auto-config.example.com" not in certificates


def test_check_plays_no_client_that_is_not_served(toml: Write) -> None:
    nobody = ("--resolver", "127.0.0.1:9", "--timeout", "0.2", "--json")

    def played(text: str) -> list[str]:
        result = run("--config", toml(text), "check", "example.com", *nobody)
        return [client["client"] for client in json.loads(result.stdout)["clients"]]

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
        result = run("--config", file, "check", "--unpublished", "--timeout", "0.2")
        assert "PACC" not in result.stdout


SITE = """
from flask import Flask
from flask_autoconfig import Autoconfig

autoconfig = Autoconfig()
app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
"""
SITES = {  # with lines of their own
    "chosen": 'app.config["AUTOCONFIG_CLIENTS"] = {"thunderbird"}',
    # A site with other logins publishes no PACC.
    "hooked": 'autoconfig.find_username(lambda address: "u1001")',
}


def test_commands_apply_a_sites_setting_and_hooks(toml: Write, tmp_path: Path) -> None:
    toml(TWO_DOMAINS)
    for name, line in SITES.items():
        code = f"{SITE}{line}\napp.register_blueprint(autoconfig)\n"
        (tmp_path / f"{name}.py").write_text(code)
    _, certificates = _names(_flask("chosen", *DNS, cwd=tmp_path))
    assert certificates == ["autoconfig.example.com", "example.com"]
    records, _ = _names(_flask("hooked", *DNS, cwd=tmp_path))
    assert not [name for name in records if "ua-auto-config" in name]
    assert "autodiscover" in records
