"""The DNS records that a domain should publish.

RFC 6186 and 8314 (mail), RFC 5804 (ManageSieve), RFC 6764 (calendars, address books), RFC
8620 (JMAP), MS-OXDSCLI (Outlook), draft-ietf-mailmaint-pacc. A target of "." means that a
service is not offered. It is published for mail alone: a client that finds it for
calendars (DAVx5) does not try the well-known URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from urllib.parse import urlsplit

from ..address import is_ip, known_part, with_domain
from ..config.ports import MAIL_TYPES
from ..config.tables import Provider, Server
from ..documents import Recipient
from ..families import Family

TTL = 3600
# What clients look up: SRV name, server type, socket type.
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
_URL_TYPES = {type_: name for name, type_ in URL_SERVICES}
_SIEVE = "_sieve._tcp"
_OTHERS = {"managesieve": _SIEVE, **_URL_TYPES}
_LONGEST_PATH = 250  # after `path=`, in one string (RFC 1035, section 3.3)


class Record(NamedTuple):
    """A record whose `name` is relative to the domain.

    `data` is in presentation format (RFC 1035, section 5.1) with absolute host names.
    """

    name: str
    type: str
    data: str


def records(
    families: Sequence[Family],
    provider: Provider,
    domain: str,
    target: str,
    digests: Iterable[Record] = (),
) -> Iterator[Record]:
    """Yield the records of a domain whose documents the host *target* serves.

    *families* are those that have documents for it. *digests* are the records of
    documents that other hosts still serve.
    """
    for family in families:
        # The target itself has an address, beside which no CNAME can stand.
        if family.label and target != f"{family.label}.{domain}":
            yield Record(family.label, "CNAME", f"{target}.")
    yield from service_records(provider, domain)
    for family in families:
        if family.srv:
            host = provider.autodiscover_host or target
            yield Record(family.srv, "SRV", f"0 1 443 {host}.")
    yield from dict.fromkeys((*digest_records(families, provider, domain), *digests))


def service_records(provider: Provider, domain: str) -> Iterator[Record]:
    """Yield SRV records of what is offered and of mail that is not, and TXT paths.

    A program that follows them gets the file's best server: where no record can name that
    one, the next ones get no record either.
    """
    # A `plain` server is offered where STARTTLS would be, although no record names it.
    offered = {
        (server.type, "SSL" if server.socket_type == "SSL" else "STARTTLS")
        for _, server in provider.servers
    }
    found: dict[str, list[Record]] = {}
    for name, *service in MAIL_SERVICES:
        is_denied = tuple(service) not in offered
        found[name] = [Record(name, "SRV", "0 0 0 .")] if is_denied else []
    for servers in _groups(provider):
        for record in _ranked(servers, domain):
            found.setdefault(record.name, []).append(record)
    yield from chain.from_iterable(found.values())


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that no SRV record can name, with the reason."""
    domain = "example.com"  # no reason depends on it
    for servers in _groups(provider):
        reasons = [_reason_against(server, domain) for _, server in servers]
        for (place, _), reason in zip(servers, reasons, strict=True):
            if reason or reasons[0]:
                first = f"{servers[0][0]}, which comes first, cannot have a record"
                yield place, reason or first


def _groups(provider: Provider) -> Iterator[list[tuple[str, Server]]]:
    """Yield the servers to read mail from, to send it, and the best of other services.

    Each has its place. The servers of a group compete, and the best one is the first.
    """
    for way in ("incoming[", "outgoing["):
        yield [
            (place, server)
            for place, server in provider.servers
            if place.startswith(way) and server.type in MAIL_TYPES
        ]
    for type_ in _OTHERS:
        yield [pair for pair in provider.servers if pair[1].type == type_][:1]


def _ranked(servers: list[tuple[str, Server]], domain: str) -> Iterator[Record]:
    """Yield the records of a group, ranked across types (RFC 6186, section 3.4)."""
    if servers and _reason_against(servers[0][1], domain):
        return
    targets = dict.fromkeys(
        _target(server, domain)
        for _, server in servers
        if not _reason_against(server, domain)
    )
    for priority, (name, host, port, path) in enumerate(targets):
        yield Record(name, "SRV", f"{priority} 1 {port} {host}.")
        if path:
            yield Record(name, "TXT", f'"path={path}"')


def _target(server: Server, domain: str) -> tuple[str, str, int | None, str]:
    """Return the name of the service, the host, the port, and a path that is unusual."""
    if server.type in _URL_TYPES:
        parts = urlsplit(known_part(server.url or "", domain))
        is_usual = parts.path == f"/.well-known/{server.type}"  # RFC 6764, section 4
        path = "" if is_usual else parts.path or "/"
        return _OTHERS[server.type], parts.hostname or "", parts.port or 443, path
    services = {(type_, socket): name for name, type_, socket in MAIL_SERVICES}
    name = services.get((server.type, server.socket_type or "SSL"), _SIEVE)
    return name, with_domain(server.hostname or "", domain), server.port, ""


def _reason_against(server: Server, domain: str) -> str:
    """Return why no record can name a server, "" where one can."""
    if server.type in _URL_TYPES:
        return _reason_against_url(server, domain)
    if server.socket_type == "plain":
        return "their services are encrypted"
    if server.type == "managesieve" and server.socket_type == "SSL":
        return f"{_SIEVE} is found with STARTTLS"
    return _reason_against_host(with_domain(server.hostname or "", domain))


def _reason_against_url(server: Server, domain: str) -> str:
    if not server.url:
        return "it has no url"
    known = known_part(server.url, domain)
    if known.startswith("http://"):
        return "their services are encrypted, and its url is not"
    parts = urlsplit(known)
    if server.type == "jmap" and known != f"https://{parts.netloc}/.well-known/jmap":
        return "RFC 8620 implies the path /.well-known/jmap, and its url has another"
    if len(parts.path) > _LONGEST_PATH:
        return f"a path has {_LONGEST_PATH} characters at most"
    return _reason_against_host(parts.hostname or "%")


def _reason_against_host(host: str) -> str:
    if "%" in host:
        return "the host is not the same for everybody"
    return "they name a host, never an IP address" if is_ip(host) else ""


def digest_records(
    families: Iterable[Family], provider: Provider, domain: str
) -> Iterator[Record]:
    """Yield the TXT records of the documents that clients verify by a digest."""
    for family in families:
        if family.digest is None:
            continue
        for format_ in family.formats:
            document = format_.write(provider, Recipient(domain))
            if document is not None:
                value = family.digest.value(document)
                yield Record(family.digest.name, "TXT", f'"{value}"')


def certificate_names(
    families: Iterable[Family], provider: Provider, domain: str
) -> list[str]:
    """Return the host names that need a certificate, given the families with documents.

    Clients of a family with an SRV record come to `autodiscover_host` instead.
    """
    names = []
    for family in families:
        if family.srv and provider.autodiscover_host:
            names.append(provider.autodiscover_host)
        elif family.label:
            names.append(f"{family.label}.{domain}")
    return list(dict.fromkeys((*names, domain)))
