"""`dns`: the records as each reader takes them, in a real BIND by nsupdate."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bind import Bind, bind
from support import TWO_DOMAINS, ZONE_HEAD, program, run

Write = Callable[..., Path]
TARGET = ("--target", "www.example.com")
CALENDAR = """
[[provider.calendar]]
type = "caldav"
url = "https://dav.example.com/dav/"
"""


@pytest.fixture
def server() -> Iterator[Bind]:
    """A name server whose zone has an office's other records too."""
    zone = (
        "www IN A 127.0.0.1\nmail IN A 127.0.0.1\nchat IN CNAME www\n"
        '@ IN TXT "v=spf1 mx -all"\n_ua-auto-config IN TXT "somebody else\'s"\n'
        "_xmpp-client._tcp IN SRV 0 0 5222 chat\n"
    )
    with bind("example.com", zone) as server:
        yield server


def dns(file: Path, *options: str | Path) -> Any:
    return run("--config", file, "dns", "example.com", *TARGET, *options)


@pytest.mark.world
def test_a_zone_is_lines_to_include_in_one_that_is_there(
    toml: Write, tmp_path: Path
) -> None:
    lines = dns(toml(TWO_DOMAINS + CALENDAR)).stdout
    assert "SOA" not in lines
    assert "IN NS " not in lines
    assert "$TTL" not in lines
    (tmp_path / "autoconfig.zone").write_text(lines)
    (tmp_path / "zone").write_text(
        f"{ZONE_HEAD}$INCLUDE {tmp_path}/autoconfig.zone\nafter IN A 127.0.0.1\n"
    )
    whole = subprocess.run(
        [program("named-checkzone"), "-D", "example.com", tmp_path / "zone"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"^autoconfig\.example\.com\.\s+60 IN CNAME\s+www", whole, re.M)
    assert re.search(r"^after\.example\.com\.\s+60 IN A", whole, re.M)


def test_a_table_is_what_a_web_panel_asks_for(toml: Write) -> None:
    lines = dns(toml(TWO_DOMAINS), "--format", "table").stdout.splitlines()
    assert lines[0].startswith("example.com (certificates: autoconfig.example.com,")
    assert lines[1].split() == ["Name", "Type", "Value"]
    rows = [line.split(None, 2) for line in lines[2:]]
    assert ["autoconfig", "CNAME", "www.example.com."] in rows
    assert ["_imaps._tcp", "SRV", "0 1 993 imap.example.com."] in rows
    assert any(row[2].startswith("v=UAAC1; a=sha256; d=") for row in rows)


def test_json_has_every_domain_in_one_object(toml: Write) -> None:
    file = toml(TWO_DOMAINS)
    for option in (("--json",), ("--format", "json")):
        told = json.loads(run("--config", file, "dns", *TARGET, *option).stdout)
        assert set(told) == {"example.com", "example2.com"}
        assert told["example.com"]["records"][0]["type"] == "CNAME"
        assert "autoconfig.example.com" in told["example.com"]["certificate_names"]


def test_output_writes_a_file_for_each_domain(toml: Write, tmp_path: Path) -> None:
    file = toml(TWO_DOMAINS)
    for name, extension in (
        ("zone", "zone"),
        ("nsupdate", "nsupdate"),
        ("json", "json"),
    ):
        options = ("--format", name, "--output", tmp_path / "out")
        done = run("--config", file, "dns", *TARGET, *options)
        assert done.stdout == ""
        assert "2 files written" in done.stderr
        one = (tmp_path / f"out/example2.com.{extension}").read_text()
        assert (
            one
            == run(
                "--config", file, "dns", "example2.com", *TARGET, *options[:2]
            ).stdout
        )


@pytest.mark.world
def test_nsupdate_brings_a_zone_to_where_nothing_is_lacking(
    toml: Write, server: Bind
) -> None:
    file = toml(TWO_DOMAINS + CALENDAR)
    resolver = ("--resolver", server.resolver)
    before = dns(file, "--diff", *resolver)
    assert before.returncode == 1
    assert "autoconfig IN CNAME www.example.com." in before.stdout

    done = server.update(dns(file, "--format", "nsupdate").stdout)
    assert (done.returncode, done.stderr) == (0, "")
    after = dns(file, "--diff", *resolver)
    assert (after.returncode, after.stdout, after.stderr) == (0, "", "")
    assert server.ask("_imaps._tcp.example.com", "SRV") == ["0 1 993 imap.example.com."]
    assert server.ask("_caldavs._tcp.example.com", "TXT") == ['"path=/dav/"']
    # What is not ours is as it was.
    assert server.ask("example.com", "TXT") == ['"v=spf1 mx -all"']
    assert server.ask("_xmpp-client._tcp.example.com", "SRV")
    # And once more changes nothing.
    again = server.update(dns(file, "--format", "nsupdate").stdout)
    assert again.returncode == 0
    assert dns(file, "--diff", *resolver).returncode == 0


@pytest.mark.world
def test_both_digests_stand_while_a_change_goes_on_and_then_the_new_one(
    toml: Write, server: Bind
) -> None:
    old = toml(TWO_DOMAINS, "old.toml")
    new = toml(TWO_DOMAINS.replace("imap.example.com", "mail.example.com"))
    name, resolver = "_ua-auto-config.example.com", ("--resolver", server.resolver)

    def digests() -> list[str]:
        return [text for text in server.ask(name, "TXT") if "UAAC1" in text]

    server.update(dns(old, "--diff", "--format", "nsupdate", *resolver).stdout)
    (first,) = digests()
    during = ("--previous", old, "--diff", "--format", "nsupdate", *resolver)
    script = dns(new, *during).stdout
    assert server.update(script).returncode == 0
    assert len(digests()) == 2
    assert first in digests()
    assert server.ask("_imaps._tcp.example.com", "SRV") == ["0 1 993 mail.example.com."]

    server.update(dns(new, "--diff", "--format", "nsupdate", *resolver).stdout)
    (last,) = digests()
    assert last != first
    assert '"somebody else\'s"' in server.ask(name, "TXT")
    assert dns(new, "--diff", *resolver).returncode == 0


@pytest.mark.world
def test_what_is_wrong_in_dns_is_shown_in_each_format(
    toml: Write, server: Bind
) -> None:
    file, resolver = toml(TWO_DOMAINS), ("--resolver", server.resolver)
    server.update(dns(file, "--format", "nsupdate").stdout)
    wrong = (
        "update delete _imaps._tcp.example.com. SRV\n"
        "update add _imaps._tcp.example.com. 60 SRV 0 1 993 old.example.com.\n"
        "update delete autodiscover.example.com. CNAME\n"
        "update add autodiscover.example.com. 60 A 192.0.2.9\nsend\n"
    )
    assert server.update(wrong).returncode == 0
    shown = dns(file, "--diff", *resolver)
    assert shown.returncode == 1
    lines = [line for line in shown.stdout.splitlines() if line[0] not in ";$"]
    assert lines == [
        "autodiscover IN CNAME www.example.com.",
        "_imaps._tcp IN SRV 0 1 993 imap.example.com.",
    ]
    assert "; remove: autodiscover IN A 192.0.2.9" in shown.stdout
    assert "; remove: _imaps._tcp IN SRV 0 1 993 old.example.com." in shown.stdout
    table = dns(file, "--diff", "--format", "table", *resolver).stdout
    assert re.search(r"_imaps\._tcp +SRV +remove: 0 1 993 old\.example\.com\.", table)
    told = json.loads(dns(file, "--diff", "--json", *resolver).stdout)
    assert len(told["example.com"]["outdated"]) == 2
    script = dns(file, "--diff", "--format", "nsupdate", *resolver).stdout
    assert "; by hand: update delete autodiscover.example.com. A 192.0.2.9" in script
    # Without the comparison an address in the way is told by nsupdate itself.
    whole = server.update(dns(file, "--format", "nsupdate").stdout)
    assert whole.returncode != 0


@pytest.mark.world
def test_an_address_that_leads_to_the_same_place_is_as_good_as_an_alias(
    toml: Write, server: Bind
) -> None:
    file, resolver = toml(TWO_DOMAINS), ("--resolver", server.resolver)
    server.update(dns(file, "--format", "nsupdate").stdout)
    server.update(
        "update delete autoconfig.example.com. CNAME\n"
        "update add autoconfig.example.com. 60 A 127.0.0.1\nsend\n"
    )
    assert dns(file, "--diff", *resolver).returncode == 0


@pytest.mark.world
def test_a_domain_that_nobody_answers_for_hides_no_other(
    toml: Write, server: Bind, tmp_path: Path
) -> None:
    text = TWO_DOMAINS.replace('"example2.com"', '"refused.test", "static.example.com"')
    file = toml(text)
    options = ("dns", *TARGET, "--diff", "--resolver", server.resolver)
    done = run("--config", file, *options)
    assert done.returncode == 1
    assert "$ORIGIN example.com." in done.stdout
    assert "$ORIGIN static.example.com." in done.stdout
    assert "refused.test" not in done.stdout
    assert re.search(
        r"Error: refused\.test: not compared: .*; .*--resolver", done.stderr
    )
    told = json.loads(run("--config", file, *options, "--json").stdout)
    assert set(told) == {"example.com", "static.example.com"}
    done = run("--config", file, *options, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "2 files written" in done.stderr
    assert "refused.test" in done.stderr
    names = {it.name for it in (tmp_path / "out").iterdir()}
    assert names == {"example.com.zone", "static.example.com.zone"}


def test_without_any_name_server_no_more_domains_are_asked(toml: Write) -> None:
    domains = ", ".join(f'"d{number}.test"' for number in range(50))
    file = toml(TWO_DOMAINS.replace('"example.com", "example2.com"', domains))
    nobody = ("--diff", "--resolver", "192.0.2.1", "--timeout", "0.2")
    done = run("--config", file, "dns", *TARGET, *nobody)
    assert done.returncode == 1
    assert done.stderr.count("Error:") == 17
    assert "the other domains: not compared either" in done.stderr


@pytest.mark.parametrize("target", ["www", "not a host", "192.0.2.1"])
def test_a_target_is_a_whole_name(toml: Write, target: str) -> None:
    done = run("--config", toml(TWO_DOMAINS), "dns", "--target", target)
    assert (done.returncode, done.stdout) == (2, "")
    assert "www.example.com" in done.stderr


def test_patterns_beside_domains_are_told_of(toml: Write) -> None:
    file = toml(TWO_DOMAINS.replace('"example2.com"', '"*.example.net"'))
    done = run("--config", file, "dns", *TARGET)
    assert done.returncode == 0
    assert "note: *.example.net has no records of its own" in done.stderr
    assert run("--config", file, "dns", "example.com", *TARGET).stderr == ""


@pytest.mark.parametrize(
    "command", [("dns", *TARGET, "--output"), ("export",)], ids=["dns", "export"]
)
def test_a_folder_that_is_none_is_told_with_its_path_and_what_to_do(
    toml: Write, command: tuple[str, ...]
) -> None:
    done = run("--config", toml(TWO_DOMAINS), *command, "/dev/null")
    assert done.returncode == 1
    message = "/dev/null: cannot write: File exists; it is no folder: name another"
    assert done.stderr == f"Error: {message}\n"


def test_one_file_is_one_file(toml: Write, tmp_path: Path) -> None:
    done = dns(toml(TWO_DOMAINS), "--output", tmp_path / "out")
    assert done.stderr.startswith("1 file written below ")


def test_a_previous_file_that_is_not_there_is_wrong_usage(toml: Write) -> None:
    done = dns(toml(TWO_DOMAINS), "--previous", "/nosuch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nosuch" in done.stderr
    assert "init" not in done.stderr


def test_a_name_server_that_is_not_there_is_told(toml: Write) -> None:
    nobody = ("--resolver", "127.0.0.1:9", "--timeout", "0.5")
    ended = dns(toml(TWO_DOMAINS), "--diff", *nobody)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "example.com" in ended.stderr
