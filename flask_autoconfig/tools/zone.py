"""The DNS records that a domain should publish.

RFC 6186 and 8314 (mail), RFC 6764 (calendars, address books), RFC 8620 (JMAP), MS-OXDSCLI
(Outlook), draft-ietf-mailmaint-pacc. A target of "." says "not offered here".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from ..address import known_part, with_domain
from ..config.tables import Provider
from ..documents import Recipient
from ..families import Family

TTL = 3600
# What clients look up: SRV name, type in the file, socket type.
MAIL_SERVICES = (
    ("_imaps._tcp", "imap", "SSL"),
    ("_imap._tcp", "imap", "STARTTLS"),
    ("_pop3s._tcp", "pop3", "SSL"),
    ("_pop3._tcp", "pop3", "STARTTLS"),
    ("_submissions._tcp", "smtp", "SSL"),
    ("_submission._tcp", "smtp", "STARTTLS"),
)
URL_SERVICES = (
    ("_caldavs._tcp", "caldav"),
    ("_carddavs._tcp", "carddav"),
    ("_jmap._tcp", "jmap"),
)


class Record(NamedTuple):
    """One record; `name` is relative to the domain, host names in `data` end in a dot."""

    name: str
    type: str
    data: str


def records(
    families: Iterable[Family],
    provider: Provider,
    domain: str,
    target: str,
    digests: Iterable[Record] = (),
) -> Iterator[Record]:
    """What a domain should publish, where `target` is the host that serves this.

    `digests` are records of documents that are still served elsewhere.
    """
    speaking = [it for it in families if it.writes(provider, domain)]
    for family in speaking:
        # The target itself has an address, which a CNAME cannot stand beside.
        if family.label and target != f"{family.label}.{domain}":
            yield Record(family.label, "CNAME", f"{target}.")
    yield from service_records(provider, domain)
    for family in speaking:
        if family.srv:
            yield Record(family.srv, "SRV", f"0 1 443 {target}.")
    yield from dict.fromkeys((*digest_records(speaking, provider, domain), *digests))


def service_records(provider: Provider, domain: str) -> Iterator[Record]:
    """The SRV records of what is offered and what is not, and the TXT paths."""
    servers = [server for _, server in provider.servers]
    for name, type_, socket_type in MAIL_SERVICES:
        targets = [
            (with_domain(it.hostname or "", domain), it.port or 0)
            for it in servers
            if it.type == type_ and it.socket_type == socket_type
        ]
        yield from _srv(name, targets)

    for name, type_ in URL_SERVICES:
        urls = [it.url for it in servers if it.type == type_ and it.url]
        targets_and_paths = [_target_of(url, domain) for url in urls[:1]]
        yield from _srv(name, [(host, port) for host, port, _ in targets_and_paths])
        for _, _, path in targets_and_paths:
            if type_ != "jmap":
                yield Record(name, "TXT", f'"path={path}"')


def _srv(name: str, targets: list[tuple[str, int]]) -> Iterator[Record]:
    """In the file's order, as priorities; nothing offered is the target "."."""
    if not targets:
        yield Record(name, "SRV", "0 0 0 .")
    for priority, (host, port) in enumerate(dict.fromkeys(targets)):
        yield Record(name, "SRV", f"{priority} 1 {port} {host}.")


def _target_of(url: str, domain: str) -> tuple[str, int, str]:
    """Host, port and path of what is known of a URL (RFC 6764, section 4)."""
    parts = urlsplit(known_part(url, domain))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.hostname or "", port, parts.path or "/"


def digest_records(
    families: Iterable[Family], provider: Provider, domain: str
) -> Iterator[Record]:
    """The TXT records of the documents that clients hold against a digest."""
    for family in families:
        for format_ in family.formats if family.digest else ():
            document = format_.write(provider, Recipient(domain))
            if family.digest and document is not None:
                value = family.digest.value(document)
                yield Record(family.digest.name, "TXT", f'"{value}"')


def certificate_names(
    families: Iterable[Family], provider: Provider, domain: str
) -> list[str]:
    """The names that the web server's certificates must be valid for."""
    labels = [it.label for it in families if it.label and it.writes(provider, domain)]
    return [*(f"{label}.{domain}" for label in labels), domain]
