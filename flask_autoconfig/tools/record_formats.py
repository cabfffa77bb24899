"""DNS records as text: for a zone file, a web panel, nsupdate or a program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .zone import TTL, Record


class Published(NamedTuple):
    """The records that a domain should have in DNS.

    The data of each record is in presentation format, so that all output is printable
    ASCII, no matter who published the record.
    """

    domain: str
    certificates: list[str]  # the host names that need one
    records: list[Record]  # those to add
    outdated: list[Record] = []  # noqa: RUF012 (those to remove; of a comparison alone)
    too_long: list[Record] = []  # noqa: RUF012 (those to remove by hand)
    was_compared: bool = False  # with DNS: no other record needs to change


def _zone(domain: Published) -> str:
    """Write lines for an existing zone, to `$INCLUDE` or to paste (RFC 1035, 5.1).

    SOA, NS and `$TTL` are left to that zone.
    """
    lines = [
        f"; {domain.domain}: what mail clients look up",
        f"; certificates are needed for: {' '.join(domain.certificates)}",
        f"$ORIGIN {domain.domain}.",
        *("; remove: {} IN {} {}".format(*record) for record in domain.outdated),
        *("{} IN {} {}".format(*record) for record in domain.records),
    ]
    return _text(lines)


def _table(domain: Published) -> str:
    """Write name, type and value as the forms of DNS hosters ask for them."""
    rows = [("Name", "Type", "Value"), *map(_row, domain.records)]
    for record in domain.outdated:
        name, type_, value = _row(record)
        rows.append((name, type_, f"remove: {value}"))
    names, types, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{domain.domain} (certificates: {', '.join(domain.certificates)})"]
    lines += [
        f"{name:{names}}  {type_:{types}}  {value}" for name, type_, value in rows
    ]
    return _text(lines)


def _row(record: Record) -> tuple[str, str, str]:
    """Return the columns; a text that is one string without escapes loses its quotes."""
    plain = _PLAIN_TEXT.fullmatch(record.data)
    return record.name, record.type, plain[1] if plain else record.data


_PLAIN_TEXT = re.compile(r'"([^"\\]*)"')


def _nsupdate(domain: Published) -> str:
    """Write a script for nsupdate (RFC 2136), a change for each domain.

    It sets the record sets of this package and leaves others alone. A change that does
    not fit in one message is sent in several.
    """
    lines = [f"; {domain.domain}"]
    if domain.was_compared:
        for name, type_, data in domain.outdated:
            # A person has to decide about an address record of the site.
            mark = "; by hand: " if type_ in ADDRESSES else ""
            lines.append(f"{mark}update delete {name}.{domain.domain}. {type_} {data}")
    else:
        lines += _whole_sets(domain)
    for name, type_, data in domain.records:
        lines.append(f"update add {name}.{domain.domain}. {TTL} {type_} {data}")

    messages: list[str] = []
    size = 0
    for line in lines:
        size += len(line)
        if size > _LONGEST_MESSAGE:
            messages.append("send")
            size = len(line)
        messages.append(line)
    return _text([*messages, "send"])


# A message has 65,535 bytes, and no command takes more of them than it has characters.
_LONGEST_MESSAGE = 32_000
ADDRESSES = ("A", "AAAA")


def _whole_sets(domain: Published) -> Iterator[str]:
    """Delete whole record sets, unless an alias would meet an address.

    A server ignores an alias beside an address without an error.
    """
    sets = dict.fromkeys((record.name, record.type) for record in domain.records)
    for name, type_ in sets:
        if type_ == "CNAME":
            for address in ADDRESSES:
                yield f"prereq nxrrset {name}.{domain.domain}. {address}"
    for name, type_ in sets:
        yield f"update delete {name}.{domain.domain}. {type_}"


def _json(*domains: Published) -> str:
    found = {}
    for domain in domains:
        found[domain.domain] = {
            "certificate_names": domain.certificates,
            "records": [record._asdict() for record in domain.records],
        }
        if domain.was_compared:
            outdated = [record._asdict() for record in domain.outdated]
            found[domain.domain]["outdated"] = outdated
    return _text([json.dumps(found, indent=2)])


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Published], str]] = {
    "zone": _zone,
    "table": _table,
    "nsupdate": _nsupdate,
    "json": _json,
}


def joined(name: str, published: Iterable[Published]) -> str:
    """Return all domains as one text; in JSON as one object."""
    if name == "json":
        return _json(*published)
    return "\n".join(map(FORMATS[name], published))
