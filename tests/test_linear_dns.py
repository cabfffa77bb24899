"""What strangers publish in DNS is read, compared, written and shown in linear time."""

from __future__ import annotations

from typing import Any

import dns.rdata
import pytest
from dns.rdata import Rdata
from linear import assert_linear

from flask_autoconfig.cleaning import clean, clean_lines
from flask_autoconfig.config.values import quote
from flask_autoconfig.tools import terminal
from flask_autoconfig.tools.comparison import compared
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.record_formats import FORMATS, Published, joined
from flask_autoconfig.tools.zone import Record

WANTED = [
    Record("autoconfig", "CNAME", "www.example.com."),
    Record("_imaps._tcp", "SRV", "0 1 993 imap.example.com."),
    Record("_ua-auto-config", "TXT", '"v=UAAC1; a=sha256; d=x"'),
]
_OWN = b"v=UAAC1; "


class Read(Resolver):
    """Records that were read already, without a name server."""

    def __init__(self, records: dict[str, list[Rdata]]) -> None:
        self._records = records

    def _answers(self, name: str, type_: str) -> list[Any]:
        return self._records.get(type_, [])


def _text(strings: list[bytes]) -> Rdata:
    wire = b"".join(bytes([len(it)]) + it for it in strings)
    return dns.rdata.from_wire("IN", "TXT", wire, 0, len(wire))


def _record(type_: str, wire: bytes) -> Rdata:
    return dns.rdata.from_wire("IN", type_, wire, 0, len(wire))


def _written(records: dict[str, list[Rdata]]) -> None:
    found = compared(Published("example.com", ["example.com"], WANTED), Read(records))
    for name in FORMATS:
        joined(name, [found])


def _one_text(text: str) -> None:
    """One record of many strings."""
    data = _OWN + text.encode("utf-8", "surrogatepass")
    strings = [data[at : at + 255] for at in range(0, len(data), 255)]
    _written({"TXT": [_text(strings)]})


def _many_texts(text: str) -> None:
    """A record for each 48 bytes, thousands of them."""
    data = text.encode("utf-8", "surrogatepass")
    pieces = [data[at : at + 48] for at in range(0, len(data), 48)]
    numbered = (
        b"%s%d %s" % (_OWN, number, piece) for number, piece in enumerate(pieces)
    )
    _written({"TXT": [_text([it]) for it in numbered]})


def _many_names(text: str) -> None:
    """A host name for each 48 bytes, in aliases and services."""
    data = text.encode("utf-8", "surrogatepass")
    labels = [b"%d%s" % (at, data[at : at + 48]) for at in range(0, len(data), 48)]
    names = [bytes([len(it)]) + it + b"\0" for it in labels]
    aliases = [_record("CNAME", it) for it in names]
    services = [_record("SRV", b"\0\0\0\1\3\xe1" + it) for it in names]
    _written({"CNAME": aliases, "SRV": services})


def _printed(text: str) -> None:
    terminal.echo(text)
    terminal.echo(text, styled=True)
    terminal.tell(text)


# What presentation format escapes, and what it does not.
BYTES = ("a", '"\\', "\n")
TEXTS = ("a", "\n", "é", "\u200b", "\ud800", "\x1b[", "\x1b[0m", "\x1b[0;")


@pytest.mark.parametrize("token", BYTES)
@pytest.mark.parametrize(
    "call", [_one_text, _many_texts, _many_names], ids=lambda it: str(it.__name__)
)
def test_records_are_compared_and_written_in_linear_time(call: Any, token: str) -> None:
    assert_linear(call, token)


@pytest.mark.parametrize("token", TEXTS)
@pytest.mark.parametrize(
    "call", [clean, clean_lines, quote, _printed], ids=lambda it: str(it.__name__)
)
def test_text_is_cleaned_and_printed_in_linear_time(
    call: Any, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_linear(call, token)
    capsys.readouterr()
