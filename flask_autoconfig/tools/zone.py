"""The DNS records that a domain should publish.

RFC 6186 and 8314 (mail), RFC 5804 (ManageSieve), RFC 6764 (calendars, address books), RFC
8620 (JMAP), MS-OXDSCLI (Outlook), draft-ietf-mailmaint-pacc. A target of "." says "not
offered here", of mail alone: who finds it for calendars (DAVx5) looks no further.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from ..address import is_ip, known_part, with_domain
from ..config.ports import MAIL_TYPES
from ..config.tables import Provider, Server
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
_SIEVE = "_sieve._tcp"
_LONGEST_PATH = 250  # with `path=` before it a string of RFC 1035, section 3.3


class Record(NamedTuple):
    """One record; `name` is relative to the domain.

    `data` is in presentation format (RFC 1035, section 5.1), host names in it are
    absolute.
    """

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
    """The SRV records of what is offered and of mail that is not, and the TXT paths.

    A program that goes by them has the file's best server: where that cannot be said, the
    next ones are not either.
    """
    offered = {(it.type, _slot(it)) for _, it in provider.servers}
    ranks = [rank for servers in _ways(provider) for rank in _ranked(servers, domain)]
    for name, type_, socket_type in MAIL_SERVICES:
        said = [it for it in ranks if (it.type, it.socket_type) == (type_, socket_type)]
        for rank in said:
            yield _srv(name, rank.priority, rank.host, rank.port)
        if (type_, socket_type) not in offered:
            yield Record(name, "SRV", "0 0 0 .")

    for _, server in _firsts(provider, ["managesieve"]):
        if not _reason_against(server, domain):
            host = with_domain(server.hostname or "", domain)
            yield _srv(_SIEVE, 0, host, server.port or 0)

    for _, server in _firsts(provider, [type_ for _, type_ in URL_SERVICES]):
        if _reason_against_url(server, domain):
            continue
        name = next(name for name, type_ in URL_SERVICES if type_ == server.type)
        host, port, path = _target_of(server.url or "", domain)
        yield _srv(name, 0, host, port)
        if path != f"/.well-known/{server.type}":  # else that is where they look
            yield Record(name, "TXT", f'"path={path}"')


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """The servers that SRV records cannot say, each with its place and the reason."""
    for way, servers in zip(_WAYS, _ways(provider), strict=True):
        places = [
            f"{way}[{index}]"
            for index, server in enumerate(getattr(provider, way))
            if server.type in MAIL_TYPES
        ]
        reasons = [_reason_against(it, _SOME_DOMAIN) for it in servers]
        for place, reason in zip(places, reasons, strict=True):
            if reason or reasons[0]:
                first = f"{places[0]}, which comes first, cannot be said"
                yield place, reason or first
    for place, server in _firsts(provider, ["managesieve"]):
        if reason := _reason_against(server, _SOME_DOMAIN):
            yield place, reason
    for place, server in _firsts(provider, [type_ for _, type_ in URL_SERVICES]):
        if reason := _reason_against_url(server, _SOME_DOMAIN):
            yield place, reason


_WAYS = ("incoming", "outgoing")
_SOME_DOMAIN = "example.com"  # whichever it is, no reason depends on it


class _Rank(NamedTuple):
    """A mail server as an SRV record says it."""

    priority: int
    type: str
    socket_type: str
    host: str
    port: int


def _ways(provider: Provider) -> list[list[Server]]:
    """The servers to read mail from, and those to send it through, the best first."""
    return [
        [server for server in getattr(provider, way) if server.type in MAIL_TYPES]
        for way in _WAYS
    ]


def _ranked(servers: list[Server], domain: str) -> Iterator[_Rank]:
    """One way's servers, their priorities counted across types (RFC 6186, section 3.4)."""
    if servers and _reason_against(servers[0], domain):
        return
    unique = dict.fromkeys(
        (
            *(it.type, it.socket_type or "SSL"),
            *(with_domain(it.hostname or "", domain), it.port or 0),
        )
        for it in servers
        if not _reason_against(it, domain)
    )
    for priority, (type_, socket_type, host, port) in enumerate(unique):
        yield _Rank(priority, type_, socket_type, host, port)


def _firsts(provider: Provider, types: Iterable[str]) -> Iterator[tuple[str, Server]]:
    """The best server of each of these types, with its place."""
    for type_ in types:
        of_type = (it for it in provider.servers if it[1].type == type_)
        yield from islice(of_type, 1)


def _slot(server: Server) -> str:
    """The encryption of the service that it would be found by: plain is STARTTLS's."""
    return "SSL" if server.socket_type == "SSL" else "STARTTLS"


def _reason_against(server: Server, domain: str) -> str:
    """Why a server with a host name cannot be said, "" where it can."""
    if server.socket_type == "plain":
        return "their services are encrypted"
    if server.type == "managesieve" and server.socket_type == "SSL":
        return f"{_SIEVE} is found with STARTTLS"
    return _reason_against_host(with_domain(server.hostname or "", domain))


def _reason_against_url(server: Server, domain: str) -> str:
    """The same of a server with a URL."""
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
    if is_ip(host):
        return "they name a host, never an IP address"
    return ""


def _srv(name: str, priority: int, host: str, port: int) -> Record:
    return Record(name, "SRV", f"{priority} 1 {port} {host}.")


def _target_of(url: str, domain: str) -> tuple[str, int, str]:
    """Host, port and path of what is known of a URL (RFC 6764, section 4)."""
    parts = urlsplit(known_part(url, domain))
    return parts.hostname or "", parts.port or 443, parts.path or "/"


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
