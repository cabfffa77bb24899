"""DNS records as text: for a zone file, a web panel, nsupdate, a program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .zone import TTL, Record


class Published(NamedTuple):
    """What a domain is to have in DNS.

    The data of each record is in presentation format, so that every line of a format has
    printable ASCII alone, whoever published the record.
    """

    domain: str
    certificates: list[str]  # the names that certificates are needed for
    records: list[Record]  # those to add
    outdated: list[Record] = []  # noqa: RUF012 (those to remove, of a comparison alone)
    too_long: list[Record] = []  # noqa: RUF012 (to be removed too, but by hand)
    was_compared: bool = False  # with what is in DNS: no other record is to change


class Format(NamedTuple):
    """A way to write them."""

    write: Callable[[Iterable[Published]], Iterator[str]]  # a text for each domain
    extension: str


def _zone(all_: Iterable[Published]) -> Iterator[str]:
    """Lines for a zone that is there: for `$INCLUDE`, or to be pasted (RFC 1035, 5.1).

    There is no SOA, no NS and no `$TTL`, which are the zone's own.
    """
    for it in all_:
        lines = [
            f"; {it.domain}: what mail clients look up",
            f"; certificates are needed for: {' '.join(it.certificates)}",
            f"$ORIGIN {it.domain}.",
            *(f"; remove: {_line(record)}" for record in it.outdated),
            *(_line(record) for record in it.records),
        ]
        yield _text(lines)


def _line(record: Record) -> str:
    return f"{record.name} IN {record.type} {record.data}"


def _table(all_: Iterable[Published]) -> Iterator[str]:
    """Name, type and value as a provider's web page asks for them."""
    for it in all_:
        rows = [("Name", "Type", "Value"), *map(_row, it.records)]
        for record in it.outdated:
            name, type_, value = _row(record)
            rows.append((name, type_, f"remove: {value}"))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{it.domain} (certificates: {', '.join(it.certificates)})"]
        lines += [
            f"{name:{widths[0]}}  {type_:{widths[1]}}  {value}"
            for name, type_, value in rows
        ]
        yield _text(lines)


def _row(record: Record) -> tuple[str, str, str]:
    """A text without its quotes, if it is one string without escapes."""
    plain = _PLAIN_TEXT.fullmatch(record.data)
    return record.name, record.type, plain[1] if plain else record.data


_PLAIN_TEXT = re.compile(r'"([^"\\]*)"')


def _nsupdate(all_: Iterable[Published]) -> Iterator[str]:
    """A script for nsupdate, one change for each domain (RFC 2136).

    Of a record set that is ours it makes what it should be; others it leaves alone. What
    does not fit one message is sent in several.
    """
    for it in all_:
        lines = [f"; {it.domain}"]
        if it.was_compared:
            for record in it.outdated:
                # An address of the site's own is for a person to remove.
                mark = "; by hand: " if record.type in _ADDRESSES else ""
                name = f"{record.name}.{it.domain}."
                lines.append(f"{mark}update delete {name} {record.type} {record.data}")
        else:
            sets = dict.fromkeys((record.name, record.type) for record in it.records)
            # A server takes no alias where an address is, and would say nothing of it.
            lines += [
                f"prereq nxrrset {name}.{it.domain}. {address}"
                for name, type_ in sets
                for address in _ADDRESSES
                if type_ == "CNAME"
            ]
            lines += [
                f"update delete {name}.{it.domain}. {type_}" for name, type_ in sets
            ]
        lines += [
            f"update add {record.name}.{it.domain}. {TTL} {record.type} {record.data}"
            for record in it.records
        ]
        yield _text([*_in_messages(lines), "send"])


_ADDRESSES = ("A", "AAAA")
# A message has 65,535 bytes, and no command takes more of them than it has characters.
_LONGEST_MESSAGE = 32_000


def _in_messages(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        if size > _LONGEST_MESSAGE:
            yield "send"
            size = len(line)
        yield line


def _json(all_: Iterable[Published]) -> Iterator[str]:
    for it in all_:
        told = {
            "certificate_names": it.certificates,
            "records": [record._asdict() for record in it.records],
        }
        if it.was_compared:
            told["outdated"] = [record._asdict() for record in it.outdated]
        yield json.dumps({it.domain: told}, indent=2) + "\n"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


FORMATS = {
    "zone": Format(_zone, "zone"),
    "table": Format(_table, "txt"),
    "nsupdate": Format(_nsupdate, "nsupdate"),
    "json": Format(_json, "json"),
}


def joined(name: str, published: Iterable[Published]) -> str:
    """All domains as one text; in JSON one object."""
    texts = FORMATS[name].write(published)
    if name != "json":
        return "\n".join(texts)
    merged: dict[str, object] = {}
    for text in texts:
        merged |= json.loads(text)
    return json.dumps(merged, indent=2) + "\n"
