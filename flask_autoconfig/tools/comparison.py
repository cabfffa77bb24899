"""Holds the records that a domain should have against those that it has."""

from __future__ import annotations

from collections.abc import Iterator

from .record_formats import Published
from .resolver import Resolver
from .zone import Record

# What a TXT record of ours begins with, at a name where others may stand too.
_OURS = ("v=UAAC1", "path=")


def compared(published: Published, resolver: Resolver) -> Published:
    """What DNS lacks of it, and what of ours it has wrong; raises LookupFailed."""
    lacking, outdated = [], []
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    for (name, type_), wanted in sets.items():
        host = f"{name}.{published.domain}"
        found = set(resolver.records(host, type_))
        if type_ == "CNAME" and not found:
            addresses = _addresses(host, name, resolver)
            if addresses and _leads_there(host, wanted[0], resolver):
                continue
            outdated += addresses
        lacking += [it for it in wanted if it.data not in found]
        expected = {it.data for it in wanted}
        outdated += [
            Record(name, type_, data)
            for data in sorted(found - expected)
            if type_ != "TXT" or data.strip('"').startswith(_OURS)
        ]
    return published._replace(records=lacking, outdated=outdated, was_compared=True)


def _addresses(host: str, name: str, resolver: Resolver) -> list[Record]:
    """The addresses that stand where an alias should."""

    def found() -> Iterator[Record]:
        for type_ in ("A", "AAAA"):
            for data in resolver.records(host, type_):
                yield Record(name, type_, data)

    return list(found())


def _leads_there(host: str, alias: Record, resolver: Resolver) -> bool:
    """Whether a name has the addresses of the host that it should be an alias of."""
    target = set(resolver.addresses(alias.data.rstrip(".")))
    return bool(target) and set(resolver.addresses(host)) <= target
