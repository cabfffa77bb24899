"""The DNS records that a domain should publish.

RFC 6186 and 8314 (mail), RFC 5804 (ManageSieve), RFC 6764 (calendars, address books), RFC
8620 (JMAP), MS-OXDSCLI (Outlook), draft-ietf-mailmaint-pacc. A target of "." means that a
service is not offered. It is published only for mail: a client that finds it for
calendars (DAVx5) does not request the well-known URL.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from urllib.parse import urlsplit

from ..address import is_ip, known_part, with_domain
from ..config.ports import MAIL_TYPES
from ..config.tables import Provider, Server
from ..documents import Recipient
from ..families import Family
from ..files import table_beside

TTL = 3600
_TABLES = table_beside(__file__, "naming.toml")
# What clients look up: SRV name, server type, socket type.
MAIL_SERVICES = [(name, type_, kind) for name, type_, kind in _TABLES["mail_services"]]
URL_SERVICES = [(name, type_) for name, type_ in _TABLES["url_services"]]
_BELOW = ("www", "mail")  # hosts below which people create records by mistake
_URL_TYPES = {type_: name for name, type_ in URL_SERVICES}
_NAMES = {(type_, socket_type): name for name, type_, socket_type in MAIL_SERVICES}
_NAMES["managesieve", "STARTTLS"] = "_sieve._tcp"


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

    *families* are those with documents for it. *digests* are the digest records of
    earlier documents, which other hosts may still serve.
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
    """Yield SRV records for what is offered and mail that is not, and TXT records of paths.

    A program that follows them gets the file's best server: if no record can name that
    one, the next ones get no record either.
    """
    # A `plain` server takes the place of STARTTLS, although no record names it.
    offered = {
        (server.type, "SSL" if server.socket_type == "SSL" else "STARTTLS")
        for _, server in provider.servers
    }
    by_name: dict[str, list[Record]] = {}
    for name, *service in MAIL_SERVICES:
        is_denied = tuple(service) not in offered
        by_name[name] = [Record(name, "SRV", "0 0 0 .")] if is_denied else []
    for servers in _groups(provider):
        targets = [_target(server, domain) for _, server in servers]
        if targets and isinstance(targets[0], str):
            continue
        # The priority counts across types (RFC 6186, section 3.4).
        usable = [target for target in targets if not isinstance(target, str)]
        for priority, (name, host, port, path) in enumerate(dict.fromkeys(usable)):
            record = Record(name, "SRV", f"{priority} 1 {port} {host}.")
            paths = [Record(name, "TXT", f'"path={path}"')] if path else []
            by_name.setdefault(name, []).extend([record, *paths])
    yield from chain.from_iterable(by_name.values())


def slips(name: str) -> list[str]:
    """Return the names at which people create a service's records by mistake."""
    service, dot, protocol = name.partition(".")
    others = [f"{other}{dot}{protocol}" for other in _TABLES["slips"].get(service, ())]
    forms = _TABLES["misspelt"] if protocol == "_tcp" else ()
    return [*others, *(form.format(service.removeprefix("_")) for form in forms)]


def below(name: str, hosts: Iterable[str] = ()) -> list[str]:
    """Return the names below hosts at which people create a record by mistake."""
    return [f"{name}.{host}" for host in dict.fromkeys((*_BELOW, *hosts))]


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that no SRV record can name, with the reason."""
    for servers in _groups(provider):
        # No reason depends on the domain.
        targets = [_target(server, "example.com") for _, server in servers]
        for (place, _), target in zip(servers, targets, strict=True):
            if isinstance(target, str):
                yield place, target
            elif isinstance(targets[0], str):
                yield place, f"{servers[0][0]}, which comes first, cannot have a record"


def _groups(provider: Provider) -> Iterator[list[tuple[str, Server]]]:
    """Yield groups of alternative servers with their places, the best one first.

    They are for incoming mail, for outgoing mail, and for each other service.
    """
    for table in ("incoming[", "outgoing["):
        yield [
            (place, server)
            for place, server in provider.servers
            if place.startswith(table) and server.type in MAIL_TYPES
        ]
    for type_ in ("managesieve", *_URL_TYPES):
        yield [pair for pair in provider.servers if pair[1].type == type_][:1]


def _target(server: Server, domain: str) -> tuple[str, str, int | None, str] | str:
    """Return the name of the service, the host, the port, and the path unless standard.

    If no record can name the server, return the reason.
    """
    host, port, path = with_domain(server.hostname or "", domain), server.port, ""
    if server.type in _URL_TYPES:
        name = _URL_TYPES[server.type]
        url = urlsplit(known_part(server.url or "", domain))
        standard = f"/.well-known/{server.type}"  # RFC 6764, section 4
        host, port = url.hostname or "%", url.port or 443
        path = "" if url.path == standard else url.path or "/"
        if url.scheme != "https":
            return "their services have a url that begins with https"
        if server.type == "jmap" and (path or url.query):
            return f"RFC 8620 implies the path {standard}, and its url has another"
    else:
        service = (server.type, server.socket_type or "SSL")
        if service not in _NAMES:
            return "no service is defined for {} over {}".format(*service)
        name = _NAMES[service]
    if "%" in host:
        return "the host is not the same for everybody"
    if is_ip(host):
        return "they name a host, never an IP address"
    return name, host, port, path


def digest_records(
    families: Iterable[Family], provider: Provider, domain: str
) -> Iterator[Record]:
    """Yield the TXT records of the documents that clients verify by a digest."""
    for family in families:
        for format_ in family.formats if family.digest else ():
            document = format_.write(provider, Recipient(domain))
            if family.digest and document is not None:
                value = family.digest.value(document)
                yield Record(family.digest.name, "TXT", f'"{value}"')


def certificate_names(
    families: Iterable[Family], provider: Provider, domain: str
) -> list[str]:
    """Return the host names that need a certificate, given the families with documents.

    Clients of a family with an SRV record come to `autodiscover_host` instead.
    """
    hosts = [
        (family.srv and provider.autodiscover_host) or f"{family.label}.{domain}"
        for family in families
        if family.label
    ]
    return list(dict.fromkeys((*hosts, domain)))
