"""DNS records as text, and their comparison with the records in DNS.

Records in DNS may hold anything. So they are compared as data and written in presentation
format (RFC 1035, section 5.1), which escapes all but printable ASCII.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import dns.rdata
from dns.rdata import Rdata
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.SRV import SRV

from .check.facts import gather
from .check.texts import hosters
from .net.common import texts
from .net.resolver import Authority, LookupFailed, Resolver
from .net.untrusted import kind_of
from .templates import template
from .zone import TTL, Record

_BESIDE = ("NS", "A", "AAAA")  # types of records beside which no alias can stand


class Published(NamedTuple):
    """The records of a domain, or after a comparison those that have to change."""

    domain: str
    certificates: list[str]  # the host names that need one
    records: list[Record]  # to publish; after a comparison, to add
    outdated: list[Record] = []  # noqa: RUF012 (to remove)
    was_compared: bool = False
    notes: list[str] = []  # noqa: RUF012 (for the user)
    faults: list[str] = []  # noqa: RUF012 (which the operators of DNS have to mend)


def _by_template(name: str, domain: Published) -> str:
    sets = dict.fromkeys(record[:2] for record in domain.records)
    values = {"sets": sets, "ttl": TTL, "beside": _BESIDE}
    return template(f"records.{name}").render(domain._asdict(), **values)


def _table(domain: Published) -> str:
    rows = [("Name", "Type", "Value"), *domain.records]
    rows += [row._replace(data=f"remove: {row.data}") for row in domain.outdated]
    names, types, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"{domain.domain} (certificates: {', '.join(domain.certificates)})"]
    for name, type_, data in rows:
        # Web panels add the quotes of a single string themselves.
        value = re.sub(r'^((?:remove: )?)"([^"\\]*)"$', r"\1\2", data)
        lines.append(f"{name:{names}}  {type_:{types}}  {value}")
    return "\n".join(lines) + "\n"


def _json(*domains: Published) -> str:
    objects = {}
    for domain in domains:
        objects[domain.domain] = {
            "certificate_names": domain.certificates,
            "records": [record._asdict() for record in domain.records],
        }
        if domain.was_compared:
            outdated = [record._asdict() for record in domain.outdated]
            objects[domain.domain]["outdated"] = outdated
    return json.dumps(objects, indent=2) + "\n"


FORMATS: dict[str, Callable[[Published], str]] = {
    "zone": partial(_by_template, "zone"),
    "table": _table,
    "nsupdate": partial(_by_template, "nsupdate"),
    "json": _json,
}


def as_text(name: str, published: Iterable[Published]) -> str:
    if name == "json":
        return _json(*published)
    return "\n".join(map(FORMATS[name], published))


# --- Compared with DNS -------------------------------------------------------------------

# The purpose of a text: a version as `v=UAAC1`, or else its first key, as `path=`.
_PURPOSE = re.compile(rb"v=[A-Za-z0-9]*|[A-Za-z0-9]*=")


def compare(published: Published, resolver: Resolver) -> Published:
    """Return the records that DNS lacks, and those to remove.

    The zone's own name servers are asked, or the resolver if none of them answers.
    Raises LookupFailed.
    """
    domain, total = published.domain, len(published.records)
    resolved = _compare_with(published, resolver)

    def ask(server: Authority) -> Iterator[tuple[int, int, Authority, Published]]:
        with suppress(LookupFailed):
            result = _compare_with(published, server.resolver)
            size = len(result.records) + len(result.outdated)
            yield server.resolver.serial(domain), -size, server, result

    results = []
    with suppress(LookupFailed):
        results = gather(ask, resolver.authorities(domain))
    if not results:
        exists = len(resolved.records) < total or resolver.is_known(domain)
        if not exists and not resolver.authorities(domain, allow_private=True):
            raise LookupFailed(domain, "there is no such domain in DNS", "nowhere")
        return resolved
    # Of servers with one serial number, somebody has edited the one that differs least.
    *_, newest, result = max(results, key=itemgetter(0, 1))
    notes, faults = list(result.notes), list(result.faults)
    if len(result.records) == total:
        servers = ", ".join(str(server) for *_, server, _ in results)
        notes.append(f"{texts()['asked']}: {servers}")
    for *_, server, other in results:
        if (other.records, other.outdated) != (result.records, result.outdated):
            difference = f"the name server {server} has other records than {newest}"
            faults.append(f"{difference}: {texts()['lags']}")
    if resolved not in [other for *_, other in results]:
        notes.append(texts()["older"].format(server=newest))
    return result._replace(notes=notes, faults=faults)


def _compare_with(published: Published, resolver: Resolver) -> Published:
    """Compare each set of records; raise LookupFailed if none can be looked up."""
    result = published._replace(
        records=[], outdated=[], was_compared=True, notes=[], faults=[]
    )
    sets: dict[tuple[str, str], list[Record]] = {}
    for record in published.records:
        sets.setdefault((record.name, record.type), []).append(record)
    errors = 0
    for count, records in enumerate(sets.values(), 1):
        try:
            _compare_set(result, records, resolver)
        except LookupFailed as error:
            errors += 1
            is_unreachable = error.kind == "timeout" and errors == count
            if error.kind == "dnssec" or is_unreachable or errors == len(sets):
                raise
            result.faults.append(f"{error}: {texts()['delegated']}")
    return result


def _compare_set(result: Published, records: list[Record], resolver: Resolver) -> None:
    """Add the differences of a set of records to the result; raises LookupFailed."""
    name, type_, data = records[0]
    host, is_single = f"{name}.{result.domain}", len(records) == 1

    def look_up(name: str, types: Iterable[str]) -> list[Record]:
        return sorted(
            Record(name, type_, rdata.to_text())
            for type_ in types
            for rdata in resolver.records(f"{name}.{result.domain}", type_)
        )

    pairs = [(_key(rdata, is_single), rdata) for rdata in resolver.records(host, type_)]
    keys = {key for key, _ in pairs}
    extra: list[Record] = []
    for _, alias in pairs if type_ == "CNAME" else ():
        for hoster in hosters("asked", [str(alias).removesuffix(".")]):
            is_in_use = hoster in hosters("mx", resolver.mx(result.domain))
            text = texts()["exchange" if is_in_use else "left_exchange"]
            values = {"host": host, "alias": alias, "hoster": hoster, "data": data}
            result.notes.append(text.format_map(values))
            if is_in_use:
                return
    expected = {
        _key(dns.rdata.from_text("IN", type_, record.data), is_single): record
        for record in records
    }
    if type_ == "CNAME" and keys != expected.keys():
        extra, addresses = [] if pairs else look_up(name, _BESIDE), []
        with suppress(LookupFailed):  # such as of an alias that is a loop
            addresses = resolver.addresses(host) if pairs or extra else []
        # Addresses of the target are as good as an alias, and so is an alias of them.
        if addresses and {*addresses} <= {*resolver.addresses(data.rstrip("."))}:
            return
        # The name servers of a proxy's operator answer with its addresses for an alias.
        proxy = texts()["proxied"]
        if extra and addresses and all(kind_of(ip, "proxies") for ip in addresses):
            for server in resolver.name_servers(result.domain):
                if server.endswith(proxy["name_servers"]):
                    note = proxy["note"].format(host=host, data=data.rstrip("."))
                    result.notes.append(note)
                    return
    result.records.extend(expected[key] for key in expected if key not in keys)
    purposes = {_purpose(key) for key in expected} - {b""}
    extra += sorted(
        Record(name, type_, rdata.to_text())
        for key, rdata in pairs
        if key not in expected and _purpose(key) in purposes
    )
    if not pairs:  # web panels often append the domain themselves
        extra += look_up(host, [type_])
    # Records that a random name beside the host has, too, come from a wildcard.
    wildcard = set()
    for owner, kind in {record[:2] for record in extra}:
        random = "".join(("no-such-name-e3b0c442", *owner.partition(".")[1:]))
        wildcard |= {row._replace(name=owner) for row in look_up(random, [kind])}
    result.outdated.extend(record for record in extra if record not in wildcard)
    for record in [row for row in extra if row in wildcard and row.name == name][:1]:
        result.notes.append(texts()["wildcard"].format(host=host, record=record))


def _key(rdata: Rdata, is_single: bool) -> Rdata | bytes:
    """Return a value that is equal for records that mean the same to clients.

    The case of host names and the strings of a text do not count, nor the priority and
    weight of a single SRV record.
    """
    if isinstance(rdata, SRV) and is_single:
        return rdata.replace(priority=0, weight=0)
    return b"".join(rdata.strings) if isinstance(rdata, TXT) else rdata


def _purpose(key: Rdata | bytes) -> bytes | None:
    """Return the purpose of a TXT record, b"" if it names none; None for other types."""
    if not isinstance(key, bytes):
        return None
    match = _PURPOSE.match(key.lstrip(b'"\\'))  # which people type into web panels
    return match[0] if match else b""
