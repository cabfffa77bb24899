"""The tables of the TOML file: defaults, normalization, warnings, writing, the schema."""

import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from mistakes import VALID, changed
from mistakes import rows as mistakes
from msgspec import structs
from support import ROOT, TWO_DOMAINS, loads, problems_of, rows

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading, writing
from flask_autoconfig.config.tables import (
    AuthenticationMethod,
    Provider,
    Server,
    SocketType,
)
from flask_autoconfig.tools.warnings import find_warnings

# Short names of clients in mistakes.toml.
APPLE = "iPhone, iPad and Mac"
NAMES = {
    "K-9": "Thunderbird for Android (K-9)",
    "SRV": "programs that use SRV records",
    "kin": "Thunderbird, Evolution, Delta Chat and others",
}


def provider_in(text: str) -> Provider:
    (found,) = loads(text).provider
    return found


@rows("types", "type_, ports, path", "tables.toml")
def test_port_and_url_are_the_standard_ones_of_type_and_encryption(
    type_: str, ports: list[int], path: str
) -> None:
    bare = Server(type=type_, hostname="a.test")
    for socket_type, port in zip(get_args(SocketType), ports, strict=True):
        found = structs.replace(bare, socket_type=socket_type).completed()
        scheme = "http" if socket_type == "plain" else "https"
        assert found.port == (port or None)
        assert found.url == (f"{scheme}://a.test{path}" if path else None)
        written = writing.to_raw(found)
        assert written.keys() <= {"type", "hostname", "socket_type"}
        assert Server(**written).completed() == found
    default = "STARTTLS" if type_ == "managesieve" else "SSL"  # RFC 5804
    assert bare.completed().socket_type == default


# --- Values -----------------------------------------------------------------------------


@rows("methods", "value, method", "tables.toml")
def test_one_method_of_authentication_needs_no_list(value: str, method: Any) -> None:
    found = provider_in(changed(f"authentication = {value}")).incoming[0]
    if isinstance(method, dict):
        method = AuthenticationMethod(**method)
    assert found.authentication == (method,)
    assert not isinstance(writing.to_raw(found)["authentication"], list)


@rows("names", "written, served", "tables.toml")
def test_names_are_folded_around_placeholders(written: str, served: str) -> None:
    text = changed(f'logo_url = "https://{written}:8443/ü"', "# prov")
    found = provider_in(text.replace("imap.example.com", written))
    assert found.incoming[0].hostname == served
    assert (found.logo_url or "").lower() == f"https://{served}:8443/%c3%bc".lower()


def test_domains_and_ids_are_folded() -> None:
    text = changed('id = "Example.COM"', "# prov")
    found = provider_in(text.replace('["example.com"]', '["*.Bücher.example"]'))
    assert found.domains == ("*.xn--bcher-kva.example",)
    assert found.identity == "example.com"


@rows("ascii", "written, served", "tables.toml")
def test_a_url_is_served_in_ascii(written: str, served: str) -> None:
    for url in (written, served):
        found = provider_in(changed(f'logo_url = "{url}"', "# prov"))
        assert found.logo_url == served


NO_WEB = """
javascript:alert(1) JavaScript:alert(1) vbscript://x.test/ data:text/html,hello
data://text/html ftp://x.test/ FTP://x.test/ file:///etc/passwd file://x.test/etc
mailto:fred@example.com https:example.com //example.com/ https:// https:///path
https://example.com:0/
"""


@pytest.mark.parametrize("url", NO_WEB.split())
def test_only_urls_of_the_web_are_allowed(url: str) -> None:
    message = r"logo_url.* expected an? .*URL.*; .*https://"
    with pytest.raises(ConfigError, match=message):
        loads(changed(f'logo_url = "{url}"', "# prov"))


def test_a_domains_file_may_be_a_postfix_map(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text(
        "# our customers\nExample.net  a,\n   b c\n\n*.example.org\tOK # all\n.two.test x\n"
        "info@example.net a\n@example.net a\n"
    )
    file = tmp_path / "autoconfig.toml"  # with a byte order mark
    file.write_text(changed('domains_file = "virtual"', "# prov"), "utf-8-sig")
    loaded = reading.read(file)
    domains = ("example.com", "example.net", "*.example.org", "*.two.test")
    assert tuple(loaded.providers[0].all_domains) == domains
    assert loaded.skipped == ()  # aliases are no domains, and no mistake
    assert loaded.tables.provider[0].domains == ("example.com",)


# --- Problems (mistakes.toml has the rest) ----------------------------------------------


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = VALID.replace('type = "imap"', 'typ = "imap"\nport = "993"')
    text = text.replace("smtp.", "smtp ").replace("domains", "domain")
    problems = problems_of(loads, f'max_age = -1\n{text}[[provider]]\ndomains = ["*x"]')
    assert [problem.place for problem in problems] == [
        "max_age",
        "provider[0].domain",
        "provider[0].incoming[0].typ",
        "provider[0].incoming[0].port",
        "provider[0].outgoing[0].hostname",
        "provider[1]",
        "provider[1].domains[0]",
    ]


def test_a_missing_file_is_reported_with_a_cure() -> None:
    with pytest.raises(ConfigError, match=r"no file nowhere\.toml; create one with"):
        load("nowhere.toml")


# --- Warnings ---------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), mistakes("clients"))
def test_what_a_client_cannot_use_is_a_warning(text: str, expected: list[str]) -> None:
    place = f"provider[0].{expected[0]}".rstrip(".")
    found = find_warnings(loads(text).provider)
    matching = [warning for warning in found if warning.place.startswith(place)]
    names = sorted(NAMES.get(name, name) for name in expected[1:])
    assert sorted(warning.client for warning in matching) == names
    # The others follow from it: families whose documents cannot express the server.
    others = {warning.client for warning in found if warning not in matching}
    assert others <= {"PACC", APPLE, NAMES["SRV"]}


@pytest.mark.parametrize(
    ("text", "expected"), [*mistakes("everybody"), *mistakes("usable")]
)
def test_what_hurts_everybody_is_a_warning(text: str, expected: list[str]) -> None:
    warnings = find_warnings(loads(text).provider)
    found = [warning for warning in warnings if warning.client == "Every client"]
    places = [warning.place.removeprefix("provider[0].") for warning in found]
    assert places == expected[:1]
    assert all(expected[1] in f"{problem.message}; {problem.cure}" for problem in found)


def test_warnings_are_in_the_order_of_harm() -> None:
    harmless = changed('username = "fred"\nauthentication = "GSSAPI"').replace(
        "# prov", 'display_short_name = "The Example Mail Company"'
    )
    harmful = changed('socket_type = "plain"\nauthentication = "OAuth2"', "# end")
    text = harmless + harmful.replace('["example.com"]', '["example.net"]')
    found = find_warnings(loads(text).provider)
    assert found[0].place == "provider[1].outgoing[0].socket_type"
    assert list(dict.fromkeys(warning.client for warning in found)) == [
        "Every client",
        "Thunderbird for Android (K-9)",
        "Thunderbird",
        "Geary and Mailspring",
        "Evolution",
        "Outlook (classic)",
        APPLE,
        NAMES["SRV"],
        "PACC",
    ]


# --- Writing ----------------------------------------------------------------------------


def test_invisible_characters_are_written_as_escapes() -> None:
    config = loads(TWO_DOMAINS)
    name = "Ü \u202egnp.exe\u2028\U000e0041"
    provider = structs.replace(config.provider[0], display_name=name)
    config = structs.replace(config, provider=(provider,))
    text = writing.dumps(config)
    assert '"Ü \\U0000202egnp.exe\\U00002028\\U000e0041"' in text
    assert loads(text) == config


def test_the_json_schema_describes_every_key_and_no_other() -> None:
    descriptions = tomllib.loads(
        Path(writing.__file__).with_name("descriptions.toml").read_text("utf-8")
    )
    tables = writing.schema()["$defs"]
    assert tables.keys() == descriptions.keys()
    for name, table in tables.items():
        assert descriptions[name].keys() <= {"", *table["properties"]}
        assert table["description"], name
        for key, value in table["properties"].items():
            assert value["description"], (name, key)


def test_the_json_schema_accepts_the_example_and_refuses_a_misspelt_key() -> None:
    schema = json.loads(json.dumps(writing.schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    example = (ROOT / "examples/autoconfig.toml").read_text("utf-8")
    assert validator.is_valid(tomllib.loads(example))
    assert not validator.is_valid(tomllib.loads(example + "\ntyp = 1"))
    assert not validator.is_valid({"provider": [{"display_nam": "x"}]})
    for methods, is_valid in (("OAuth2", True), (["OAuth2"], True), ([], False)):
        server = {"type": "imap", "authentication": methods}
        assert validator.is_valid({"provider": [{"incoming": [server]}]}) == is_valid
