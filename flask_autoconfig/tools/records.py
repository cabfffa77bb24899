"""DNS records to publish as text, and compared with those in DNS.

Records in DNS may hold anything. So they are compared as data and written in presentation
format (RFC 1035, section 5.1), which escapes all that is not printable ASCII.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import dns.rdata
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.SRV import SRV

from .check.facts import each_of
from .check.texts import hosters
from .net.common import texts
from .net.resolver import Authority, LookupFailed, Resolver
from .net.untrusted import kind_of
from .templates import template
from .zone import TTL, Record, below, slips

_BESIDE = ("NS", "A", "AAAA")  # what no alias can stand beside


class Published(NamedTuple):
    domain: str
    certificates: list[str]  # the host names that need one
    records: list[Record]  # those to add
    outdated: list[Record] = []  # noqa: RUF012 (those to remove; of a comparison alone)
    was_compared: bool = False  # with DNS: no other record needs to change
    notes: list[str] = []  # noqa: RUF012 (what else the comparison found)
    faults: list[str] = []  # noqa: RUF012 (what others have to mend)


def _by_template(name: str, domain: Published) -> str:
    sets = dict.fromkeys(record[:2] for record in domain.records)
    values = {"sets": sets, "ttl": TTL, "beside": _BESIDE}
    return template(f"records.{name}").render(domain._asdict(), **values)


def _table(domain: Published) -> str:
    rows = [("Name", "Type", "Value"), *domain.records]
    rows += [it._replace(data=f"remove: {it.data}") for it in domain.outdated]
    names, types, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{domain.domain} (certificates: {', '.join(domain.certificates)})"]
    for name, type_, data in rows:
        # A text that is one string without escapes loses its quotes.
        value = re.sub(r'^((?:remove: )?)"([^"\\]*)"$', r"\1\2", data)
        lines.append(f"{name:{names}}  {type_:{types}}  {value}")
    return "\n".join(lines) + "\n"


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
    "zone": partial(_by_template, "zone"),
    "table": _table,
    "nsupdate": partial(_by_template, "nsupdate"),
    "json": _json,
}


def joined(name: str, published: Iterable[Published]) -> str:
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
    domain, total = published.domain, len(published.records)
    seen = _compared(published, resolver)

    def at(server: Authority) -> Iterator[tuple[tuple[int, int], Authority, Published]]:
        with suppress(LookupFailed):
            there = _compared(published, server.resolver)
            size = len(there.records) + len(there.outdated)
            yield (server.resolver.serial(domain), -size), server, there

    found = []
    with suppress(LookupFailed):
        found = each_of(at, resolver.authorities(domain))
    if not found:
        is_there = len(seen.records) < total or resolver.is_known(domain)
        if not is_there and not resolver.authorities(domain, allow_private=True):
            raise LookupFailed(domain, "there is no such domain in DNS", "nowhere")
        return seen
    # Of servers with one serial number, somebody has edited the one that differs least.
    _, first, newest = max(found, key=lambda each: each[0])
    notes, faults = list(newest.notes), list(newest.faults)
    if len(newest.records) == total:
        asked = ", ".join(str(server) for _, server, _ in found)
        notes.append(f"{texts()['asked']}: {asked}")
    for _, server, other in found:
        if (other.records, other.outdated) != (newest.records, newest.outdated):
            unlike = f"the name server {server} has other records than {first}"
            faults.append(f"{unlike}: {texts()['lags']}")
    if seen not in [other for _, _, other in found]:
        notes.append(texts()["older"].format(server=first))
    return newest._replace(notes=notes, faults=faults)


def _compared(published: Published, resolver: Resolver) -> Published:
    """Compare each set of records; raise LookupFailed if none can be looked up."""
    seen = published._replace(
        records=[], outdated=[], was_compared=True, notes=[], faults=[]
    )
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    failed: list[LookupFailed] = []
    for count, wanted in enumerate(sets.values(), 1):
        try:
            _compare(seen, wanted, resolver)
        except LookupFailed as error:
            failed.append(error)
            is_for_all = error.kind == "timeout" and len(failed) == count
            if error.kind == "dnssec" or is_for_all or len(failed) == len(sets):
                raise
            seen.faults.append(f"{error}: {texts()['delegated']}")
    return seen


def _compare(seen: Published, wanted: list[Record], resolver: Resolver) -> None:
    """Add what differs in a set of records; raises LookupFailed."""
    name, type_, data = wanted[0]
    host, is_alone = f"{name}.{seen.domain}", len(wanted) == 1

    def there(at: str, types: Iterable[str]) -> list[Record]:
        return sorted(
            Record(at, type_, each.to_text())
            for type_ in types
            for each in resolver.records(f"{at}.{seen.domain}", type_)
        )

    found = [(_key(each, is_alone), each) for each in resolver.records(host, type_)]
    extra: list[Record] = []
    for _, alias in found if type_ == "CNAME" else ():
        for hoster in hosters("asked", [str(alias).removesuffix(".")]):
            is_there = hoster in hosters("mx", resolver.mx(seen.domain))
            said = texts()["exchange" if is_there else "left_exchange"]
            values = {"host": host, "alias": alias, "hoster": hoster, "data": data}
            seen.notes.append(said.format_map(values))
            if is_there:
                return
    expected = {
        _key(dns.rdata.from_text("IN", type_, record.data), is_alone): record
        for record in wanted
    }
    known = {key for key, _ in found}
    if type_ == "CNAME" and known != expected.keys():
        extra, own = [] if found else there(name, _BESIDE), []
        with suppress(LookupFailed):  # such as of an alias that is a loop
            own = resolver.addresses(host) if found or extra else []
        # Addresses of the target are as good as an alias, and so is an alias of them.
        if own and {*own} <= {*resolver.addresses(data.rstrip("."))}:
            return
        # Its name servers may answer with the addresses of a proxy, not with the record.
        proxy, are_its = texts()["proxied"], all(kind_of(it, "proxies") for it in own)
        servers = (
            resolver.name_servers(seen.domain) if extra and own and are_its else []
        )
        if any(server.endswith(proxy["name_servers"]) for server in servers):
            seen.notes.append(proxy["note"].format(host=host, data=data.rstrip(".")))
            return
    seen.records.extend(it for key, it in expected.items() if key not in known)
    tags = {_tag(key) for key in expected} - {b""}
    extra += sorted(
        Record(name, type_, each.to_text())
        for key, each in found
        if key not in expected and _tag(key) in tags
    )
    if not found:  # forms for records often add the domain themselves
        extra += there(host, [type_])
        ends = {_end(record) for record in wanted}
        # An alias beside which no SRV record can stand, a text in its place, other names.
        near = there(name, ("CNAME", "TXT")) if type_ == "SRV" else []
        for other in (*below(name), *slips(name)):
            near += there(other, [type_])
        extra += [it for it in near if it.type == "CNAME" != type_ or _end(it) in ends]
    # What a random name beside the host has too is there by a wildcard.
    made_up = set()
    for at, kind in {record[:2] for record in extra}:
        beside = "".join(("no-such-name-e3b0c442", *at.partition(".")[1:]))
        made_up |= {it._replace(name=at) for it in there(beside, [kind])}
    seen.outdated.extend(record for record in extra if record not in made_up)
    for first in [it for it in extra if it in made_up and it.name == name][:1]:
        seen.notes.append(texts()["wildcard"].format(host=host, record=first))


def _end(record: Record) -> tuple[str, ...]:
    """Return the host of a record, with the port if it has one."""
    return tuple(record.data.strip('"').rstrip(".").split()[-2:])


def _key(data: Rdata, is_alone: bool) -> Rdata | bytes:
    """Return what is equal in records that are equal to clients.

    Host names are equal in any case, a text in one string or in several, and the priority
    and weight of an SRV record that is *alone*.
    """
    if isinstance(data, SRV) and is_alone:
        return data.replace(priority=0, weight=0)
    return b"".join(data.strings) if isinstance(data, TXT) else data


def _tag(key: Rdata | bytes) -> bytes | None:
    """Return the purpose of a TXT record, b"" if it names none; None for other types."""
    if not isinstance(key, bytes):
        return None
    tag = _TAG.match(key.lstrip(b'"\\'))  # which people type into web panels
    return tag[0] if tag else b""
