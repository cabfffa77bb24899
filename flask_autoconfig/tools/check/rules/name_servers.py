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
from ..context import Context
from ..facts import gather, run_concurrently
from ..findings import Finding, finding
from . import servers

_MAX_SERVERS = 8  # whose names are looked up


def authorities(context: Context) -> Iterator[Finding]:
    """Report name servers, and a resolver, with other records than the newest zone has."""
    network, domain = context.facts.network, context.case.domain
    services = [service for service, *_ in (*zone.MAIL_SERVICES, *zone.URL_SERVICES)]
    digests = [family.digest for family in context.case.families if family.digest]
    questions = [(domain, "MX"), *((f"{name}.{domain}", "SRV") for name in services)]
    questions += [(f"{digest.name}.{domain}", "TXT") for digest in digests]

    def query(resolver: Resolver) -> tuple[int, list[frozenset[str]]] | LookupFailed:
        """Return the zone's serial number, and the records for each question."""
        answers = []
        try:
            for question in questions:
                texts = (record.to_text() for record in resolver.records(*question))
                answers.append(frozenset(text.lower() for text in texts))
            return resolver.serial(domain), answers
        except LookupFailed as error:
            return error

    try:
        name_servers = network.resolver.authorities(domain, network.allow_private)
    except LookupFailed:
        return
    resolvers = [network.resolver, *(server.resolver for server in name_servers)]
    cached, *results = run_concurrently(
        partial(query, resolver) for resolver in resolvers
    )
    pairs = list(zip(results, name_servers, strict=True))
    zones = [(data, ns) for data, ns in pairs if not isinstance(data, LookupFailed)]
    if not zones:
        return  # a firewall may keep this machine from asking them
    for result, server in pairs:
        # This machine may have no route to addresses of IPv6.
        if isinstance(result, LookupFailed) and ":" not in server.address:
            is_lame = result.kind in ("refused", "servfail")
            code = "dns.server-lame" if is_lame else "dns.server-silent"
            silent = finding(code, domain, server=server, reason=result.reason)
            yield silent.marked(result.kind)

    (newest_serial, newest), first = max(zones, key=lambda zone: zone[0][0])
    ports = dict.fromkeys(context.case.hosts, 443)  # by host
    for endpoint in servers.endpoints(context.case, context.provider):
        if context.case.has(endpoint.host):
            ports[endpoint.host] = endpoint.port
    for (serial, answers), server in zones:
        rows = zip(questions, answers, newest, strict=True)
        differing = [f"{name} {kind}" for (name, kind), old, new in rows if old != new]
        is_other_zone = answers[0] != newest[0] and len(differing) > 2
        code = "dns.two-zones" if is_other_zone else "dns.server-differs"
        compare = partial(_differing_address, network, server, first)
        differing += gather(compare, ports.items() if server != first else ())
        advice = f"see which of the two is right, and correct {server} or {first}"
        advice = advice if serial == newest_serial and not is_other_zone else ""
        for record in differing:
            yield finding(code, record, advice=advice, server=server, first=first)
    if not isinstance(cached, LookupFailed):
        current = [answers for (_, answers), _ in zones]
        for (name, kind), old, *new in zip(questions, cached[1], *current, strict=True):
            if old not in new:
                yield finding("dns.cached", f"{name} {kind}", first=first)


def delegation(context: Context) -> Iterator[Finding]:
    """Report name servers without an address, or others than the parent zone names."""
    network, domain = context.facts.network, context.case.domain
    with suppress(LookupFailed):
        above = network.resolver.delegated(domain, network.allow_private)
        own = network.resolver.name_servers(domain)
        if above and own and {*above}.isdisjoint(own):
            code, subject = "dns.delegation-differs", f"{domain} NS"
            yield finding(code, subject, above=", ".join(above), own=", ".join(own))

        def look(server: str) -> Iterator[Finding]:
            with suppress(LookupFailed):
                if not context.facts.addresses(server):
                    yield finding("dns.server-unknown", f"{domain} NS", server=server)

        yield from gather(look, own[:_MAX_SERVERS])


def dnssec(context: Context) -> Iterator[Finding]:
    """Report a zone without the key that its parent names, or with an expired signature.

    A resolver that does not validate answers all the same.
    """
    domain, resolver = context.case.domain, context.facts.network.resolver
    with suppress(LookupFailed):
        signers: list[Any] = resolver.records(domain, "DS")
        if not signers:
            return
        keys: list[Any] = resolver.records(domain, "DNSKEY")
        tags = {(key_id(key), key.algorithm) for key in keys}
        if tags.isdisjoint((signer.key_tag, signer.algorithm) for signer in signers):
            missing = ", ".join(str(signer.key_tag) for signer in signers[:4])
            yield finding("dns.key-lost", f"{domain} DS", tags=missing)
        ends = [signature.expiration for signature in resolver.signatures(domain)]
        if ends and max(ends) < time.time():
            day = f"{datetime.fromtimestamp(max(ends), UTC):%Y-%m-%d}"
            yield finding("dns.signature-expired", f"{domain} MX", ends=day)


def _differing_address(
    network: Network, first: Authority, second: Authority, destination: tuple[str, int]
) -> Iterator[str]:
    """Yield the address record of a host that only one of two name servers leads to.

    Addresses that respond may differ: those of CDNs do from one lookup to the next.
    """
    host, port = destination
    with suppress(LookupFailed):
        addresses = [server.resolver.addresses(host) for server in (first, second)]
        leads = list(map(bool, addresses))
        are_same = addresses[0] == addresses[1]
        for index, server in enumerate(() if are_same else (first, second)):
            try:
                replace(network, resolver=server.resolver).connect(host, port).close()
            except ProbeError as error:
                leads[index] &= error.kind not in ("connect", "silent")
        if leads[0] != leads[1]:
            yield f"{host} A"
