"""DNS records are compared, written and shown in linear time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rdata
import pytest
from dns.rdata import Rdata
from linear import assert_linear
from support import TWO_DOMAINS, run

from flask_autoconfig.cleaning import clean, clean_lines
from flask_autoconfig.config.values import quote
from flask_autoconfig.tools import terminal
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.records import FORMATS, Published, compared, joined
from flask_autoconfig.tools.zone import Record

WANTED = [
    Record("autoconfig", "CNAME", "www.example.com."),
    Record("_imaps._tcp", "SRV", "0 1 993 imap.example.com."),
    Record("_ua-auto-config", "TXT", '"v=UAAC1; a=sha256; d=x"'),
]
_TAG = b"v=UAAC1; "


class Read(Resolver):
    """Records that were read already, without a name server."""

    def __init__(self, records: dict[str, list[Rdata]]) -> None:
        self._records = records

    def _lookup(self, name: str, type_: str, flags: int | None = None) -> list[Any]:
        return self._records.get(type_, [])


def _record(type_: str, wire: bytes) -> Rdata:
    return dns.rdata.from_wire("IN", type_, wire, 0, len(wire))


def _text(strings: list[bytes]) -> Rdata:
    return _record("TXT", b"".join(bytes([len(it)]) + it for it in strings))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _records(text: str) -> Iterator[dict[str, list[Rdata]]]:
    """Yield a text of many strings; thousands of texts, and of names, of 48 bytes."""
    yield {"TXT": [_text(_cut(_TAG + text.encode(), 255))]}
    pieces = list(enumerate(_cut(text.encode(), 48)))
    texts = [_text([b"%s%d %s" % (_TAG, number, piece)]) for number, piece in pieces]
    yield {"TXT": texts}
    labels = [b"%d%s" % (number, piece) for number, piece in pieces]
    names = [bytes([len(label)]) + label + b"\0" for label in labels]
    services = [_record("SRV", b"\0\0\0\1\3\xe1" + name) for name in names]
    yield {"CNAME": [_record("CNAME", name) for name in names], "SRV": services}


def _write(text: str) -> None:
    for records in _records(text):
        published = Published("example.com", ["example.com"], WANTED)
        found = compared(published, Read(records))
        for name in FORMATS:
            joined(name, [found])


def _many_domains(text: str, folder: Path) -> None:
    """Print the records of thousands of domains of one provider."""
    names = (f"d{number}.test" for number in range(len(text) // 32))
    (folder / "names").write_text("\n".join(names))
    done = run(
        "--config", folder / "autoconfig.toml", "dns", "--target", "www.example.com"
    )
    assert done.stdout.count("$ORIGIN") == len(text) // 32 + 2


def _printed(text: str) -> None:
    terminal.echo(text)
    terminal.echo(text, styled=True)
    terminal.tell(text)


TEXTS = ("a", "\n", "é", "\u200b", "\ud800", "\x1b[", "\x1b[0m", "\x1b[0;")


def test_records_are_compared_and_written_in_linear_time() -> None:
    assert_linear(_write, 'a"\\\n')  # three are escaped


@pytest.mark.parametrize("token", TEXTS)
@pytest.mark.parametrize(
    "call", [clean, clean_lines, quote, _printed], ids=lambda it: str(it.__name__)
)
def test_text_is_cleaned_and_printed_in_linear_time(
    call: Any, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_linear(call, token)
    capsys.readouterr()


def test_records_of_many_domains_are_printed_in_linear_time(tmp_path: Path) -> None:
    many = 'domains_file = "names"\ndomains ='
    (tmp_path / "autoconfig.toml").write_text(TWO_DOMAINS.replace("domains =", many))
    assert_linear(lambda text: _many_domains(text, tmp_path), "a", ends=[""])
