"""A real Thunderbird sets accounts up through the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from support import (
    BIN,
    TWO_DOMAINS,
    fetch,
    free_port,
    lacking,
    program,
    run,
    running,
    serving,
    shared,
)

try:
    from thunderbird import Thunderbird, thunderbird
except ImportError:  # an environment without the extra `test`
    lacking("marionette-driver")

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two domains of the example and the whole of the ISP database, in one file."""
    files = sorted(shared("ispdb").glob("*.xml"))
    imported = run("import", *files)
    assert imported.returncode == 0, imported.stderr
    file = tmp_path_factory.mktemp("service") / "autoconfig.toml"
    file.write_text(TWO_DOMAINS + imported.stdout, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def service(configuration: Path) -> Iterator[str]:
    program("thunderbird")
    with serving(configuration) as url:
        yield url


@pytest.fixture(scope="module")
def client(
    service: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Thunderbird]:
    profile = tmp_path_factory.mktemp("profile")
    port = int(service.rpartition(":")[2])
    with thunderbird(profile, service_port=port) as client:
        yield client


def _servers(config: dict[str, Any]) -> list[tuple[str, str, int, int, str]]:
    """Type, host, port, encryption (3 is TLS) and login name of each server."""
    servers = [config["incoming"], *config["incomingAlternatives"], config["outgoing"]]
    keys = ("type", "hostname", "port", "socketType", "username")
    return [tuple(server[key] for key in keys) for server in servers]


def test_an_address_is_all_that_thunderbird_needs(client: Thunderbird) -> None:
    found = client.find("fred@example2.com")
    assert "error" not in found
    assert _servers(found) == [
        ("imap", "imap.example.com", 993, 3, "fred@example2.com"),
        ("pop3", "pop.example.com", 995, 3, "fred@example2.com"),
        ("smtp", "smtp.example.com", 465, 3, "fred@example2.com"),
    ]


def test_thunderbird_finds_nothing_for_a_domain_that_is_not_served(
    client: Thunderbird,
) -> None:
    found = client.find("fred@nowhere.example")
    assert found is None or "error" in found


def test_the_isp_database_means_the_same_after_the_trip(
    client: Thunderbird, service: str
) -> None:
    originals, served = [], []
    for file in sorted(shared("ispdb").glob("*.xml")):
        text = file.read_text(encoding="utf-8")
        for domain in fromstring(text).iterfind("emailProvider/domain"):
            email = f"fred@{(domain.text or '').strip()}"
            reply = fetch(f"{service}/mail/config-v1.1.xml?emailaddress={email}")
            assert reply.status == 200, (file, email)
            originals.append((text, email))
            served.append((reply.body.decode(), email))
    before, after = client.read(originals), client.read(served)
    assert len(before) > 300
    assert not [config for config in before if "error" in config]
    assert after == before


def test_what_export_writes_is_what_thunderbird_reads(
    client: Thunderbird, configuration: Path, tmp_path: Path
) -> None:
    assert run("--config", configuration, "export", tmp_path).returncode == 0
    text = (tmp_path / "example.com/mail/config-v1.1.xml").read_text()
    (read,) = client.read([(text, "fred@example.com")])
    assert _servers(read)[0] == ("imap", "imap.example.com", 993, 3, "fred@example.com")


def test_an_account_of_the_isp_database_is_set_up_from_here(
    configuration: Path, tmp_path: Path
) -> None:
    port = free_port()
    env = {"AUTOCONFIG_FILE": str(configuration)}
    app = "flask_autoconfig:create_app({'AUTOCONFIG_CLIENTS': {'ispdb'}})"
    command = (BIN / "gunicorn", f"--bind=127.0.0.1:{port}", "--no-control-socket", app)
    with (
        running(*command, port=port, env=env),
        thunderbird(
            tmp_path, service_port=9, isp_database=f"http://127.0.0.1:{port}/v1.1/"
        ) as client,
    ):
        found = client.find("fred@seznam.cz")
    assert _servers(found) == [
        ("imap", "imap.seznam.cz", 993, 3, "fred@seznam.cz"),
        ("pop3", "pop3.seznam.cz", 995, 3, "fred@seznam.cz"),
        ("smtp", "smtp.seznam.cz", 465, 3, "fred@seznam.cz"),
    ]
