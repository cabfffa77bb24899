"""`dns --diff` of a zone with hostile records, written to be taken for commands."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.name
import dns.rdata
import pytest
from bind import Bind, bind
from dns.rdata import Rdata
from services import run_process as run
from support import BIN, TWO_DOMAINS, Write, program, table

from flask_autoconfig import families
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.families import Digest
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.records import FORMATS, Published, compare
from flask_autoconfig.tools.zone import Record, digest_records

pytestmark = pytest.mark.world
DOMAIN, OTHER = "example.com", "other.test"
DIGEST = "_ua-auto-config"
COMMANDS = f"\nsend\nupdate delete www.{OTHER}. A\nsend\n".encode()

# The strings of TXT records that begin as the published ones do.
TEXTS: dict[str, list[bytes]] = {
    "the longest string": [b"v=UAAC1;" + b"\n" * 247],
    "no UTF-8": [b"v=UAAC1; \xff\xfe\x80\xc3"],
} | {
    name: [string.encode().replace(b"COMMANDS", COMMANDS) for string in strings]
    for name, strings in table("hostile_texts", "tables.toml").items()
}
KEPT = [[b"somebody else's" + COMMANDS], [b"v=UAAC10; d=x"], [b""]]
TOO_LONG = [b"v=UAAC1; "] + [b"\n" * 255] * 20
LABELS = [b"a\nsend", b'"; $@', b"\\.\x1b]0;x\x07", b" (\xff\xe2\x80\xae"]


def wire(name: str, number: int, data: bytes) -> str:
    """Return a line of a zone file, the data in the form of RFC 3597."""
    return f"{name} IN TYPE{number} \\# {len(data)} {data.hex()}\n"


def text(strings: list[bytes]) -> bytes:
    return b"".join(bytes([len(string)]) + string for string in strings)


def target(label: bytes) -> bytes:
    return dns.name.Name([label, b"test", b""]).to_wire() or b""


def parsed(type_: str, data: bytes) -> Rdata:
    return dns.rdata.from_wire("IN", type_, data, 0, len(data))


ALIASES = dict(zip(("autoconfig", "autodiscover", DIGEST[1:]), LABELS, strict=False))
SERVICE = "_imaps._tcp"
SRV = b"\0\0\0\x01\x03\xe1"
HOSTILE = {
    *((DIGEST, parsed("TXT", text(value))) for value in TEXTS.values()),
    *((SERVICE, parsed("SRV", SRV + target(value))) for value in LABELS),
    *((name, parsed("CNAME", target(value))) for name, value in ALIASES.items()),
}
ZONE = (
    "".join(wire(DIGEST, 16, text(v)) for v in (*TEXTS.values(), *KEPT, TOO_LONG))
    + "".join(wire(SERVICE, 33, SRV + target(v)) for v in LABELS)
    + "".join(wire(name, 5, target(value)) for name, value in ALIASES.items())
)


@pytest.fixture
def server() -> Iterator[Bind]:
    with bind(DOMAIN, ZONE, others={OTHER: "www IN A 192.0.2.1\n"}) as server:
        yield server


def words(file: Path, server: Bind, *options: str | Path) -> list[str]:
    target = ("--target", "www.example.com", "--diff", "--resolver", server.resolver)
    return list(map(str, ("--config", file, "dns", DOMAIN, *target, *options)))


def dns_of(file: Path, server: Bind, *options: str | Path) -> Any:
    return run(*words(file, server, *options))


def test_nsupdate_removes_just_the_hostile_records(toml: Write, server: Bind) -> None:
    file = toml(TWO_DOMAINS)
    # Piped into nsupdate, as README has it, with a key for every zone.
    nsupdate = ["--format", "nsupdate"]
    script = [str(BIN / "flask-autoconfig"), *words(file, server, *nsupdate)]
    where = f"server {server.address} {server.port}"
    update = shlex.join([program("nsupdate"), "-k", str(server.key)])
    server.run("sh", "-c", f"{{ echo {where}; {shlex.join(script)}; }} | {update}")
    assert server.dig(f"www.{OTHER}", "A") == ["192.0.2.1"]
    resolver = Resolver(("127.0.0.1", server.port))
    remaining = set(resolver.records(f"{DIGEST}.{DOMAIN}", "TXT"))
    foreign = {parsed("TXT", text(value)) for value in (*KEPT, TOO_LONG)}
    assert foreign <= remaining
    (own,) = remaining - foreign
    assert own.to_text().startswith('"v=UAAC1; a=sha256; d=')
    assert server.dig(f"{SERVICE}.{DOMAIN}", "SRV") == ["0 1 993 imap.example.com."]
    assert server.dig(f"autoconfig.{DOMAIN}", "CNAME") == ["www.example.com."]
    again = dns_of(file, server, *nsupdate)
    assert "\nupdate" not in again.stdout
    assert again.returncode == 1  # the long record has to be removed by hand
    (long,) = (line for line in again.stdout.splitlines() if "by hand" in line)
    assert len(long) < 4000


REMOVALS = {
    "zone": "\n; remove: ",
    "table": " remove: ",
    "nsupdate": "\nupdate delete ",
    "json": '"data"',
}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_output_is_printable_and_removes_exactly_the_hostile_records(
    toml: Write, server: Bind, tmp_path: Path, format_: str
) -> None:
    file = toml(TWO_DOMAINS)
    result = dns_of(file, server, "--format", format_)
    assert result.returncode == 1
    assert re.fullmatch(r"[ -~\n]*", result.stdout + result.stderr)
    by_hand, removed = format_ != "nsupdate", result.stdout
    if format_ == "json":
        removed = json.dumps(json.loads(result.stdout)[DOMAIN]["outdated"])
        found = [tuple(row.values()) for row in json.loads(removed)]
        records = {(name, dns.rdata.from_text("IN", *r)) for name, *r in found}
        assert records == HOSTILE | {(DIGEST, parsed("TXT", text(TOO_LONG)))}
    assert removed.count(REMOVALS[format_]) == len(HOSTILE) + by_hand
    if format_ == "zone":
        whole = run("--config", file, "dns", DOMAIN, "--target", "www.example.com")
        lines = {line for line in result.stdout.splitlines() if line[0] not in ";$"}
        assert lines < {*whole.stdout.splitlines()}
    dns_of(file, server, "--format", format_, "--output", tmp_path / "out")
    (written,) = (tmp_path / "out").iterdir()
    assert written.read_text() == result.stdout


def test_a_record_is_recognised_by_the_tag_of_its_family() -> None:
    """Even if the digest is not PACC's and the text has several strings."""
    digest = Digest("_greeting", lambda document: f"v=GREET2; n={len(document)}")
    (pacc,) = (family for family in families.FAMILIES if family.name == "pacc")
    family = pacc._replace(digest=digest)
    provider = from_raw(tomllib.loads(TWO_DOMAINS)).providers[0]
    (record,) = digest_records([family], provider, DOMAIN)
    zone = (
        '_greeting IN TXT "v=GREET2; n=1"\n_greeting IN TXT "v=GREET; n=1"\n'
        '_greeting IN TXT "v=UAAC1; d=1"\n'
    )
    with bind(DOMAIN, zone) as server:

        def found() -> Published:
            resolver = Resolver(("127.0.0.1", server.port))
            return compare(Published(DOMAIN, [], [record]), resolver)

        assert found().outdated == [Record("_greeting", "TXT", '"v=GREET2; n=1"')]
        assert found().records == [record]
        halves = record.data.replace("; ", '; " "')
        server.update(f"update add _greeting.{DOMAIN}. 60 TXT {halves}\nsend\n")
        assert found().records == []
