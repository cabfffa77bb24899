"""DNS records to publish as text, and compared with those in DNS.

Records in DNS may hold anything. So they are compared as data and written in presentation
format (RFC 1035, section 5.1), which escapes all that is not printable ASCII.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

import dns.rdata
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT

from .net.common import texts
from .net.resolver import Authority, LookupFailed, Resolver
from .zone import TTL, Record


class Published(NamedTuple):
    """The records that a domain should have in DNS."""

    domain: str
    certificates: list[str]  # the host names that need one
    records: list[Record]  # those to add
    outdated: list[Record] = []  # noqa: RUF012 (those to remove; of a comparison alone)
    was_compared: bool = False  # with DNS: no other record needs to change
    notes: list[str] = []  # noqa: RUF012 (what else the comparison found)
    faults: list[str] = []  # noqa: RUF012 (name servers that have none of the records)


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
    return "\n".join(lines) + "\n"


def _table(domain: Published) -> str:
    """Write name, type and value as the forms of DNS hosters ask for them."""
    rows = [("Name", "Type", "Value"), *domain.records]
    rows += [it._replace(data=f"remove: {it.data}") for it in domain.outdated]
    names, types, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{domain.domain} (certificates: {', '.join(domain.certificates)})"]
    for name, type_, data in rows:
        # A text that is one string without escapes loses its quotes.
        value = re.sub(r'^((?:remove: )?)"([^"\\]*)"$', r"\1\2", data)
        lines.append(f"{name:{names}}  {type_:{types}}  {value}")
    return "\n".join(lines) + "\n"


def _nsupdate(domain: Published) -> str:
    """Write a script for nsupdate (RFC 2136), a change for each domain.

    It sets the record sets of this package and leaves others alone.
    """
    lines = [f"; {domain.domain}"]
    if domain.was_compared:
        for name, type_, data in domain.outdated:
            # A person has to decide about an address record of the site.
            by_hand = type_ in _ADDRESSES or len(data) > _LONGEST_DATA
            mark, data = "; by hand: " if by_hand else "", data[:_LONGEST_DATA]
            lines.append(f"{mark}update delete {name}.{domain.domain}. {type_} {data}")
    else:  # whole record sets
        sets = dict.fromkeys((record.name, record.type) for record in domain.records)
        # A server ignores an alias beside an address without an error.
        lines += [
            f"prereq nxrrset {name}.{domain.domain}. {address}"
            for name, type_ in sets
            for address in (_ADDRESSES if type_ == "CNAME" else ())
        ]
        lines += [f"update delete {name}.{domain.domain}. {it}" for name, it in sets]
    for name, type_, data in domain.records:
        lines.append(f"update add {name}.{domain.domain}. {TTL} {type_} {data}")
    return "\n".join([*lines, "send\n"])


# nsupdate takes the rest of a longer line for the next command: after 4,096 characters
# in its oldest versions. The records to publish have a few hundred at most.
_LONGEST_DATA = 3000
_ADDRESSES = ("A", "AAAA")


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
    return json.dumps(found, indent=2) + "\n"


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


# --- Compared with DNS -------------------------------------------------------------------

# The purpose of a text: a version as `v=UAAC1`, or else its first key, as `path=`.
_TAG = re.compile(rb"v=[A-Za-z0-9]*|[A-Za-z0-9]*=")


def compared(published: Published, resolver: Resolver) -> Published:
    """Return the records that DNS lacks, and those to be removed there.

    The zone's own name servers are asked; the resolver, where none of them answers.
    Raises LookupFailed.
    """
    seen = failure = None
    try:
        seen = _compared(published, resolver)
    except LookupFailed as error:
        # The zone's own servers do not tell the first, and are not found at the second.
        if error.kind in ("dnssec", "timeout"):
            raise
        failure = error
    found = _at_authorities(published, resolver)
    domain, total = published.domain, len(published.records)
    if not found:
        if seen is None:
            raise failure or LookupFailed(domain, "no name server answers")
        is_there = len(seen.records) < total or resolver.is_known(domain)
        if not is_there and not resolver.authorities(domain, allow_private=True):
            raise LookupFailed(domain, "there is no such domain in DNS", "nowhere")
        return seen
    _, first, newest = max(found, key=lambda each: each[0])
    notes, faults = list(newest.notes), list(newest.faults)
    for _, server, other in found:
        if other._replace(notes=[]) != newest._replace(notes=[]):
            is_empty = len(other.records) == total and not other.outdated
            unlike = "no records, unlike" if is_empty else "other records than"
            told = f"the name server {server} has {unlike} {first}: {texts()['lags']}"
            (faults if is_empty else notes).append(told)
    if failure:
        notes.append(f"only the zone's own name servers answer; for others: {failure}")
    elif seen not in [other for _, _, other in found]:
        notes.append(
            f"the resolver still has older answers than {first}, until their time to "
            "live ends; clients may see them too"
        )
    return newest._replace(notes=notes, faults=faults)


_Seen = tuple[tuple[int, int], Authority, Published]


def _at_authorities(published: Published, resolver: Resolver) -> list[_Seen]:
    """Return the comparison at each name server of the zone that answers.

    Each comes with the serial number of the zone there and the number of differences.
    """

    def look(server: Authority) -> list[_Seen]:
        with suppress(LookupFailed):
            seen = _compared(published, server.resolver)
            size = len(seen.records) + len(seen.outdated)
            return [((server.resolver.serial(published.domain), size), server, seen)]
        return []

    with suppress(LookupFailed):
        servers = resolver.authorities(published.domain)
        with ThreadPoolExecutor(len(servers) or 1) as pool:
            return list(chain.from_iterable(pool.map(look, servers)))
    return []


def _compared(published: Published, resolver: Resolver) -> Published:
    missing: list[Record] = []
    outdated: list[Record] = []
    notes: list[str] = []
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    for (name, type_), wanted in sets.items():
        host = f"{name}.{published.domain}"
        found = [(_key(data), data) for data in resolver.records(host, type_)]
        extra: list[Record] = []
        if type_ == "CNAME" and not found:
            extra = _records_of(name, host, _ADDRESSES, resolver)
            # Addresses of the target are as good as an alias.
            target = resolver.addresses(wanted[0].data.rstrip(".")) if extra else []
            if target and {*resolver.addresses(host)} <= {*target}:
                continue
        expected = {
            _key(dns.rdata.from_text("IN", type_, record.data)): record
            for record in wanted
        }
        known = {key for key, _ in found}
        missing += [record for key, record in expected.items() if key not in known]
        tags = {_tag(key) for key in expected} - {b""}
        extra += sorted(
            Record(name, type_, data.to_text())
            for key, data in found
            if key not in expected and _tag(key) in tags
        )
        # What a random name beside the host has too is there by a wildcard.
        sibling = f"no-such-name-e3b0c442.{host.partition('.')[2]}"
        types = dict.fromkeys(record.type for record in extra)
        made_up = {*_records_of(name, sibling, types, resolver)}
        outdated += [record for record in extra if record not in made_up]
        for first in [record for record in extra if record in made_up][:1]:
            notes.append(
                f"{host} has {first.type} {first.data} by a wildcard record, "
                "as any name there: a record of its own takes its place"
            )
    return published._replace(
        records=missing, outdated=outdated, was_compared=True, notes=notes
    )


def _records_of(
    name: str, host: str, types: Iterable[str], resolver: Resolver
) -> list[Record]:
    found = ((type_, data) for type_ in types for data in resolver.records(host, type_))
    return sorted(Record(name, type_, data.to_text()) for type_, data in found)


def _key(data: Rdata) -> Rdata | bytes:
    """Return what is equal in records that are equal to clients.

    Host names are equal in any case, and so is a text in one string or in several.
    """
    return b"".join(data.strings) if isinstance(data, TXT) else data


def _tag(key: Rdata | bytes) -> bytes | None:
    """Return the purpose of a TXT record, b"" if it names none; None for other types."""
    if not isinstance(key, bytes):
        return None
    tag = _TAG.match(key.lstrip(b'"\\'))  # which people type into web panels
    return tag[0] if tag else b""
