"""A real Thunderbird sets up accounts by the service."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from services import fetch, free_port, run_process, running, serving
from support import BIN, ISP_FILES, TWO_DOMAINS, shared
from thunderbird import Thunderbird, thunderbird

from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.documents import Recipient
from flask_autoconfig.documents import thunderbird as thunderbird_document
from flask_autoconfig.errors import ConfigError

pytestmark = [pytest.mark.client, pytest.mark.world]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two domains and the providers of tests/isp."""
    file = tmp_path_factory.mktemp("service") / "autoconfig.toml"
    file.write_text(TWO_DOMAINS + _imported(ISP_FILES), encoding="utf-8")
    return file


def _imported(files: list[Path]) -> str:
    imported = run_process("import", *files)
    assert imported.returncode == 0, imported.stderr
    return imported.stdout


@pytest.fixture(scope="module")
def service(configuration: Path) -> Iterator[str]:
    with serving(configuration) as url:
        yield url


@pytest.fixture(scope="module")
def client(
    service: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Thunderbird]:
    port = int(service.rpartition(":")[2])
    with thunderbird(tmp_path_factory.mktemp("profile"), service_port=port) as client:
        yield client


def _servers(config: dict[str, Any]) -> list[tuple[str, str, int, int, str]]:
    """Return type, host, port, encryption (3 is TLS) and login of each server."""
    servers = [config["incoming"], *config["incomingAlternatives"], config["outgoing"]]
    keys = ("type", "hostname", "port", "socketType", "username")
    return [tuple(server[key] for key in keys) for server in servers]


def test_thunderbird_needs_only_an_address_of_our_domains(client: Thunderbird) -> None:
    nothing = client.find("fred@nowhere.example")
    assert not nothing or "error" in nothing
    found = client.find("fred@example2.com")
    assert "error" not in found
    assert _servers(found) == [
        ("imap", "imap.example.com", 993, 3, "fred@example2.com"),
        ("pop3", "pop.example.com", 995, 3, "fred@example2.com"),
        ("smtp", "smtp.example.com", 465, 3, "fred@example2.com"),
    ]


def _originals(files: list[Path]) -> list[tuple[str, str]]:
    """Return the text of each file with an address of each of its domains.

    The text includes what is added for Mustang and read by Thunderbird too: the domains
    of MX hosts without an attribute, and the older name of a password over HTTP. It also
    has the endpoints of URLs, without which Thunderbird ignores those servers.
    """
    found = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        added = re.sub('(<domain) purpose="mx"(>.*?</domain>)', r"\g<0>\1\2", text)
        added = added.replace(">http-basic<", ">password-cleartext<")
        added = re.sub(
            r'(type="(?:ews|owa|graph)">\s*)(<url>https://([^/]+)/)',
            r"\1<hostname>\3</hostname><port>443</port><socketType>SSL</socketType>\2",
            added,
        )
        for domain in fromstring(text).iterfind("emailProvider/domain"):
            if domain.get("purpose") != "mx":  # which no address has
                found.append((added, f"fred@{(domain.text or '').strip()}"))
    return found


def assert_served_alike(client: Thunderbird, url: str, files: list[Path]) -> int:
    """Assert that the service's documents mean the same; return their number."""
    originals = _originals(files)
    served = []
    for _, email in originals:
        response = fetch(f"{url}/mail/config-v1.1.xml?emailaddress={email}")
        assert response.status == 200, email
        served.append((response.body.decode(), email))
    before = client.read(originals)
    assert not [config for config in before if "error" in config]
    assert client.read(served) == before
    return len(before)


def test_an_imported_file_keeps_its_meaning(client: Thunderbird, service: str) -> None:
    assert assert_served_alike(client, service, ISP_FILES) > len(ISP_FILES)


def test_the_whole_isp_database_is_served_with_the_same_meaning(
    client: Thunderbird, tmp_path: Path
) -> None:
    files = sorted(shared("ispdb").glob("*.xml"))
    (tmp_path / "autoconfig.toml").write_text(_imported(files), encoding="utf-8")
    with serving(tmp_path / "autoconfig.toml") as url:
        assert assert_served_alike(client, url, files) > 300


def test_it_replaces_the_isp_database(client: Thunderbird, configuration: Path) -> None:
    port = free_port()
    env = {"AUTOCONFIG_FILE": str(configuration)}
    app = "flask_autoconfig:create_app({'AUTOCONFIG_CLIENTS': {'ispdb'}})"
    command = (BIN / "gunicorn", f"--bind=127.0.0.1:{port}", "--no-control-socket", app)
    with (
        running(*command, port=port, env=env, at_once=True),
        client.reaching_only(f"http://127.0.0.1:{port}/v1.1/"),
    ):
        found = client.find("fred@example.org")
    assert _servers(found) == [
        ("imap", "imap.example.net", 993, 3, "fred@example.org"),
        ("imap", "imap2.example.net", 143, 2, "fred@example.org"),
        ("pop3", "pop.example.net", 995, 3, "fred@example.org"),
        ("smtp", "smtp.example.net", 465, 3, "fred@example.org"),
    ]


def _shorter(raw: Any) -> Iterator[Any]:
    """Yield a TOML document without each of the keys in its tables."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield {name: value for name, value in raw.items() if name != key}
            yield from ({**raw, key: shorter} for shorter in _shorter(value))
    elif isinstance(raw, list):
        for index, value in enumerate(raw):
            for shorter in _shorter(value):
                yield [*raw[:index], shorter, *raw[index + 1 :]]


def test_thunderbird_reads_no_odd_value_without_any_key(client: Thunderbird) -> None:
    full = Path(__file__).with_name("full.toml")
    raw = tomllib.loads(full.read_text(encoding="utf-8"))
    documents = []
    for shorter in _shorter(raw):
        with suppress(ConfigError):  # a key that must be there
            for provider in from_raw(shorter).providers:
                domain = next(iter(provider.exact_domains), "example.com")
                document = thunderbird_document.write(provider, Recipient(domain))
                documents.append((document.decode(), f"fred@{domain}"))
    assert len(documents) > 80
    for (text, _), read in zip(documents, client.read(documents), strict=True):
        assert "error" not in read, text
        # What Thunderbird makes of an element that is missing.
        assert not re.search("''|undefined|null|NaN", str(read)), text
        assert all(server["port"] for server in read["incomingAlternatives"]), text
