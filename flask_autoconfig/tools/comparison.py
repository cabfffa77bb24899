"""Compares the records that a domain should have with those in DNS.

Records in DNS may hold anything. So they are compared as data and written in presentation
format (RFC 1035, section 5.1), which escapes all that is not printable ASCII.
"""

from __future__ import annotations

import re

import dns.rdata
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT

from .net.resolver import Resolver
from .record_formats import ADDRESSES, Published
from .zone import Record

# nsupdate takes the rest of a longer line for the next command: after 4,096 characters
# in its oldest versions. The records to publish have a few hundred at most.
_LONGEST_DATA = 3000
# The purpose of a text: a version as `v=UAAC1`, or else its first key, as `path=`.
_TAG = re.compile(rb"v=[A-Za-z0-9]*|[A-Za-z0-9]*=")


def compared(published: Published, resolver: Resolver) -> Published:
    """Return the records that DNS lacks, and those to be removed there.

    Raises LookupFailed.
    """
    missing: list[Record] = []
    outdated: list[Record] = []
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    for (name, type_), wanted in sets.items():
        host = f"{name}.{published.domain}"
        found = [(_key(data), data) for data in resolver.records(host, type_)]
        if type_ == "CNAME" and not found:
            addresses = [
                Record(name, address, data.to_text())
                for address in ADDRESSES
                for data in resolver.records(host, address)
            ]
            if addresses and _resolves_alike(host, wanted[0], resolver):
                continue
            outdated += addresses
        expected = {
            _key(dns.rdata.from_text("IN", type_, record.data)): record
            for record in wanted
        }
        known = {key for key, _ in found}
        missing += [record for key, record in expected.items() if key not in known]
        tags = {_tag(key) for key in expected} - {b""}
        outdated += sorted(
            Record(name, type_, data.to_text())
            for key, data in found
            if key not in expected and _tag(key) in tags
        )
    return published._replace(
        records=missing,
        outdated=[record for record in outdated if len(record.data) <= _LONGEST_DATA],
        too_long=[record for record in outdated if len(record.data) > _LONGEST_DATA],
        was_compared=True,
    )


def _key(data: Rdata) -> Rdata | bytes:
    """Return what is equal in records that are equal to clients.

    Host names are equal in any case, and so is a text in one string or in several.
    """
    return b"".join(data.strings) if isinstance(data, TXT) else data


def _tag(key: Rdata | bytes) -> bytes | None:
    """Return the purpose of a TXT record, b"" if it names none; None for other types."""
    if not isinstance(key, bytes):
        return None
    tag = _TAG.match(key)
    return tag[0] if tag else b""


def _resolves_alike(host: str, alias: Record, resolver: Resolver) -> bool:
    """Return whether *host* has the addresses of the target of *alias*."""
    target = set(resolver.addresses(alias.data.rstrip(".")))
    return bool(target) and set(resolver.addresses(host)) <= target
