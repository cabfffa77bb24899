"""Compares the records that a domain should have with those in DNS.

Whoever publishes in a domain chooses what its records hold. So records are compared as
data, and what is written of them is in presentation format (RFC 1035, section 5.1), with
escapes for line ends and all else that is not printable ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import dns.rdata
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT

from .net.resolver import Resolver
from .record_formats import Published
from .zone import Record

# nsupdate takes what is behind so many characters of a line for the next command: 4,096
# in its oldest versions. The data of a record of ours has a few hundred at most.
_LONGEST_DATA = 3000
# How a text says what it is for: `v=UAAC1`, or else by its first key, as `path=`.
_TAG = re.compile(rb"v=[A-Za-z0-9]*|[A-Za-z0-9]*=")


def compared(published: Published, resolver: Resolver) -> Published:
    """The records that DNS lacks, and those of ours that are wrong there.

    Raises LookupFailed.
    """
    lacking: list[Record] = []
    outdated: list[Record] = []
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    for (name, type_), wanted in sets.items():
        host = f"{name}.{published.domain}"
        found = [(_key(it), it) for it in resolver.records(host, type_)]
        if type_ == "CNAME" and not found:
            addresses = _addresses(host, name, resolver)
            if addresses and _leads_there(host, wanted[0], resolver):
                continue
            outdated += addresses
        expected = {
            _key(dns.rdata.from_text("IN", type_, it.data)): it for it in wanted
        }
        known = {key for key, _ in found}
        lacking += [it for key, it in expected.items() if key not in known]
        tags = {_tag(key) for key in expected} - {b""}
        outdated += sorted(
            Record(name, type_, it.to_text())
            for key, it in found
            if key not in expected and _tag(key) in tags
        )
    return published._replace(
        records=lacking,
        outdated=[it for it in outdated if len(it.data) <= _LONGEST_DATA],
        too_long=[it for it in outdated if len(it.data) > _LONGEST_DATA],
        was_compared=True,
    )


def _key(data: Rdata) -> Rdata | bytes:
    """What two records have in common that say the same to a client.

    Host names are equal in any case, and a text is the same in one string or several.
    """
    return b"".join(data.strings) if isinstance(data, TXT) else data


def _tag(key: Rdata | bytes) -> bytes | None:
    """What the text of a TXT record is for, b"" if it has no tag; None for other types."""
    if not isinstance(key, bytes):
        return None
    tag = _TAG.match(key)
    return tag[0] if tag else b""


def _addresses(host: str, name: str, resolver: Resolver) -> list[Record]:
    """The addresses that stand where an alias should."""

    def found() -> Iterator[Record]:
        for type_ in ("A", "AAAA"):
            for data in resolver.records(host, type_):
                yield Record(name, type_, data.to_text())

    return list(found())


def _leads_there(host: str, alias: Record, resolver: Resolver) -> bool:
    """Whether a name has the addresses of the host that it should be an alias of."""
    target = set(resolver.addresses(alias.data.rstrip(".")))
    return bool(target) and set(resolver.addresses(host)) <= target
