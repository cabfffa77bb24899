"""`dns`: the records in each format, and in a real BIND by nsupdate."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bind import Bind, bind
from paper import Paper
from seeds import make
from services import run
from support import TWO_DOMAINS, Write, rows, tables
from world import DOMAIN, OTHER_NAMES

from flask_autoconfig.tools.commands.dns import command

TARGET = ("--target", "www.example.com")
CALENDAR = """
[[provider.calendar]]
type = "caldav"
url = "https://dav.example.com/dav/"
"""


@pytest.fixture
def server() -> Iterator[Bind]:
    """A name server whose zone has other records too."""
    zone = (
        "www IN A 127.0.0.1\nmail IN A 127.0.0.1\nchat IN CNAME www\n"
        '@ IN TXT "v=spf1 mx -all"\n_ua-auto-config IN TXT "somebody else\'s"\n'
        "_xmpp-client._tcp IN SRV 0 0 5222 chat\n"
    )
    with bind("example.com", zone) as server:
        yield server


def dns(file: Path, *options: str | Path) -> Any:
    return run("--config", file, "dns", "example.com", *TARGET, *options)


def diff(file: Path, server: Bind, *options: str | Path) -> Any:
    return dns(file, "--diff", "--resolver", server.resolver, *options)


def test_table_and_json_have_records_and_names_of_certificates(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    lines = dns(file, "--format", "table").stdout.splitlines()
    assert lines[0].startswith("example.com (certificates: autoconfig.example.com,")
    assert lines[1].split() == ["Name", "Type", "Value"]
    rows = [line.split(None, 2) for line in lines[2:]]
    assert ["autoconfig", "CNAME", "www.example.com."] in rows
    assert ["_imaps._tcp", "SRV", "0 1 993 imap.example.com."] in rows
    assert any(row[2].startswith("v=UAAC1; a=sha256; d=") for row in rows)
    for option in (("--json",), ("--format", "json")):
        domains = json.loads(run("--config", file, "dns", *TARGET, *option).stdout)
        assert set(domains) == {"example.com", "example2.com"}
        assert domains["example.com"]["records"][0]["type"] == "CNAME"
        assert "autoconfig.example.com" in domains["example.com"]["certificate_names"]


def test_output_writes_a_file_for_each_domain(toml: Write, tmp_path: Path) -> None:
    words = ("--config", toml(TWO_DOMAINS), "dns", *TARGET)
    result = run(*words, "--output", tmp_path / "out")
    assert result.stdout == ""
    assert "2 files written" in result.stderr
    written = (tmp_path / "out/example2.com.zone").read_text()
    assert written == run(*words, "example2.com").stdout
    assert not re.search(r"SOA|IN NS |\$TTL", written)  # an existing zone has them
    result = run(*words, "example.com", "--output", tmp_path / "out")
    assert result.stderr.startswith("1 file written below ")


# --- Compared with DNS -------------------------------------------------------------------


@pytest.mark.world
def test_nsupdate_publishes_the_records_alone(toml: Write, server: Bind) -> None:
    file = toml(TWO_DOMAINS + CALENDAR)
    before = diff(file, server)
    assert before.returncode == 1
    assert "autoconfig IN CNAME www.example.com." in before.stdout
    for _ in range(2):  # the second time changes nothing
        result = server.update(dns(file, "--format", "nsupdate").stdout)
        assert (result.returncode, result.stderr) == (0, "")
        after = diff(file, server)
        assert (after.returncode, after.stdout, after.stderr) == (0, "", "")
    assert server.dig("_imaps._tcp.example.com", "SRV") == ["0 1 993 imap.example.com."]
    assert server.dig("_caldavs._tcp.example.com", "TXT") == ['"path=/dav/"']
    assert server.dig("example.com", "TXT") == ['"v=spf1 mx -all"']
    assert server.dig("_xmpp-client._tcp.example.com", "SRV")

    # An address that leads to the same host is as good as an alias.
    server.update(
        "update delete autoconfig.example.com. CNAME\n"
        "update add autoconfig.example.com. 60 A 127.0.0.1\nsend\n"
    )
    assert diff(file, server).returncode == 0
    # nsupdate itself refuses an alias beside an address.
    server.update("update add autoconfig.example.com. 60 A 192.0.2.9\nsend\n")
    assert server.update(dns(file, "--format", "nsupdate").stdout).returncode != 0
    script = diff(file, server, "--format", "nsupdate").stdout
    assert "; by hand: update delete autoconfig.example.com. A 192.0.2.9" in script


DIFFERENCES = tables("dns_differences.toml")


@pytest.mark.parametrize("claim", DIFFERENCES)
def test_a_comparison_advises_what_is_right_to_do(world: Paper, claim: str) -> None:
    row = DIFFERENCES[claim]
    make(world, row)
    target = row.get("target", f"www.{DOMAIN}")
    words = ("--config", world.file, "dns", "--target", target, "--diff")
    result = world.invoke(*words, "--resolver", row.get("resolver", OTHER_NAMES))
    differs = bool(result.stdout.strip()) or "error:" in result.stderr
    assert result.exit_code == int(differs)
    changes = re.findall("^(?:; (?=remove))?(.* IN .*)", result.stdout, re.M)
    assert changes[: len(row["lines"]) or None] == row["lines"]
    assert row.get("output", "") in " ".join(result.stderr.split())
    assert bool(row.get("output")) == bool(result.stderr)


def test_a_domain_that_does_not_exist_is_told_once(world: Paper) -> None:
    world.names.serve("$ORIGIN another.test.\nwww IN A 192.0.2.1\n")
    words = ("--config", world.file, "dns", "--target", f"www.{DOMAIN}", "--diff")
    result = world.invoke(*words, "--resolver", OTHER_NAMES)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("there is no such domain in DNS") == 1


@pytest.mark.world
def test_failed_lookups_hide_nothing(toml: Write, server: Bind, tmp_path: Path) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"refused.test", "static.example.com"')
    options = ("--diff", "--resolver", server.resolver, "--output", tmp_path / "out")
    result = run("--config", toml(text), "dns", *TARGET, *options, code=1)
    assert "2 files written" in result.stderr
    failure = r"error: refused\.test: not compared: .*\n  do: .*--resolver"
    assert re.search(failure, result.stderr)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"example.com.zone", "static.example.com.zone"}


def test_without_any_name_server_not_all_domains_are_looked_up(toml: Write) -> None:
    domains = ", ".join(f'"d{number}.test"' for number in range(50))
    file = toml(TWO_DOMAINS.replace('"example.com", "example2.com"', domains))
    nobody = ("--diff", "--resolver", "192.0.2.1", "--timeout", "0.2")
    result = run("--config", file, "dns", *TARGET, *nobody, code=1)
    assert result.stderr.count("error:") == 1
    assert "nothing was compared: " in result.stderr


# --- Options and messages ----------------------------------------------------------------


@rows("resolvers", "value, host, port", "commands.toml")
def test_a_name_server_may_have_a_port(value: str, host: str, port: int) -> None:
    context = command.make_context("dns", [*TARGET, "--resolver", value])
    assert context.params["resolver"] == (host, port)


def test_dns_reports_patterns_unless_a_domain_is_named(toml: Write) -> None:
    file = toml(TWO_DOMAINS.replace('"example2.com"', '"*.example.net"'))
    result = run("--config", file, "dns", *TARGET, code=0)
    assert "note: patterns have no records: name a domain" in result.stderr
    assert dns(file).stderr == ""
    result = run("--config", file, "dns", "a.example.net", *TARGET)
    assert "$ORIGIN a.example.net." in result.stdout
