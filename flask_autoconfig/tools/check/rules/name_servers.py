"""DNS: the zone's own name servers, which may differ, and the keys of the zone."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dns.dnssec import key_id

from ... import zone
from ...net.resolver import Authority, LookupFailed, Resolver
from ...net.tcp import Network, ProbeError
from ...net.untrusted import kind_of
from ..context import Context
from ..facts import each_of, side_by_side
from ..findings import Finding, finding
from . import servers


def authorities(context: Context) -> Iterator[Finding]:
    """Yield where name servers of the zone, or the resolver, differ from the newest one."""
    network, domain = context.facts.network, context.case.domain
    names = [row[0] for row in (*zone.MAIL_SERVICES, *zone.URL_SERVICES)]
    digests = [one.digest.name for one in context.case.families if one.digest]
    asked = [(domain, "MX"), *((f"{name}.{domain}", "SRV") for name in names)]
    asked += [(f"{name}.{domain}", "TXT") for name in digests]

    def look(asked_of: Resolver) -> tuple[int, list[frozenset[str]]] | LookupFailed:
        try:
            found = [
                frozenset(data.to_text().lower() for data in asked_of.records(*each))
                for each in asked
            ]
            return asked_of.serial(domain), found
        except LookupFailed as error:
            return error

    try:
        listed = network.resolver.authorities(domain, network.allow_private)
    except LookupFailed:
        return
    every = [network.resolver, *(server.resolver for server in listed)]
    cached, *each = side_by_side(partial(look, one) for one in every)
    pairs = list(zip(listed, each, strict=True))
    told = [(it, server) for server, it in pairs if not isinstance(it, LookupFailed)]
    if not told:
        return  # a firewall may keep this machine from asking them
    for server, failed in pairs:
        # This machine may have no way to addresses of IPv6.
        if isinstance(failed, LookupFailed) and ":" not in server.address:
            is_lame = failed.kind in ("refused", "servfail")
            code = "dns.server-lame" if is_lame else "dns.server-silent"
            silent = finding(code, domain, server=server, reason=failed.reason)
            yield silent.marked(failed.kind)

    (latest, newest), first = max(told, key=lambda one: one[0][0])
    hosts = {f"{one.label}.{domain}": 443 for one in context.case.families if one.label}
    for one in servers.endpoints(context.case, context.provider):
        hosts |= {one.host: one.port} if context.case.has(one.host) else {}
    for (serial, found), server in told:
        sets = zip(asked, found, newest, strict=True)
        differing = [f"{name} {kind}" for (name, kind), old, new in sets if old != new]
        is_other_zone = found[0] != newest[0] and len(differing) > 2
        code = "dns.two-zones" if is_other_zone else "dns.server-differs"
        compare = partial(_lead_apart, network, server, first)
        differing += each_of(compare, hosts.items() if server != first else ())
        advice = f"see which of the two is right, and correct {server} or {first}"
        advice = advice if serial == latest and not is_other_zone else ""
        for at in differing:
            yield finding(code, at, advice=advice, server=server, first=first)
    # A name server inside the own network may have addresses for that network alone.
    is_meant = network.allow_private or kind_of(first.address, "inside")
    for host in () if is_meant else hosts:
        with suppress(LookupFailed):
            inside = [kind_of(it, "inside") for it in first.resolver.addresses(host)]
            if inside and all(inside):
                yield finding("dns.private-published", host, server=first)
    if not isinstance(cached, LookupFailed):
        known = [found for (_, found), _ in told]
        for (name, type_), held, *now in zip(asked, cached[1], *known, strict=True):
            if held not in now:
                yield finding("dns.cached", f"{name} {type_}", first=first)


def delegation(context: Context) -> Iterator[Finding]:
    network, domain = context.facts.network, context.case.domain
    with suppress(LookupFailed):
        named = network.resolver.delegated(domain, network.allow_private)
        own = network.resolver.name_servers(domain)
        if named and own and {*named}.isdisjoint(own):
            above, at = ", ".join(named), f"{domain} NS"
            yield finding("dns.delegation-differs", at, above=above, own=", ".join(own))


def dnssec(context: Context) -> Iterator[Finding]:
    """Yield that the zone lacks the key that its parent names, or has another.

    A resolver that does not validate answers all the same.
    """
    domain, resolver = context.case.domain, context.facts.network.resolver
    with suppress(LookupFailed):
        named: list[Any] = resolver.records(domain, "DS")
        keys: list[Any] = resolver.records(domain, "DNSKEY") if named else []
        tags = {(key_id(key), key.algorithm) for key in keys}
        if named and tags.isdisjoint((one.key_tag, one.algorithm) for one in named):
            listed = ", ".join(str(one.key_tag) for one in named[:4])
            yield finding("dns.key-lost", f"{domain} DS", tags=listed)
        signatures = resolver.signatures(domain) if named else []
        ends = [one.expiration for one in signatures]
        if ends and max(ends) < time.time():
            day = f"{datetime.fromtimestamp(max(ends), UTC):%Y-%m-%d}"
            yield finding("dns.signature-expired", f"{domain} MX", ends=day)


def _lead_apart(
    network: Network, one: Authority, other: Authority, way: tuple[str, int]
) -> Iterator[str]:
    """Yield a host that only one of two name servers leads to.

    Addresses that answer may differ: those of CDNs do from one question to the next.
    """
    host, port = way
    with suppress(LookupFailed):
        ways = [server.resolver.addresses(host) for server in (one, other)]
        is_there = list(map(bool, ways))
        for at, server in enumerate((one, other) if ways[0] != ways[1] else ()):
            try:
                replace(network, resolver=server.resolver).connect(host, port).close()
            except ProbeError as error:
                is_there[at] &= error.kind not in ("connect", "silent")
        if is_there[0] != is_there[1]:
            yield f"{host} A"
