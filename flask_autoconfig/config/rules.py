"""Rules across several values, which every configuration must follow."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from .building import Builder
from .ports import MAIL_TYPES
from .tables import SERVER_KEYS, URL_KEYS, Provider, Server


class Origin(NamedTuple):
    """The file and the place of a provider."""

    file: str  # as in problems: "" for the main file
    place: str  # in the file, such as provider[0]
    name: str  # the file's name, for the main file too


class Source(NamedTuple):
    """A provider with its origin and the problems of its file."""

    provider: Provider
    origin: Origin
    builder: Builder


def apply(providers: Sequence[Provider], builder: Builder) -> None:
    """Check the providers of one file; add the problems to its builder."""
    if not providers:
        cure = "add one: [[provider]], then its domains"
        builder.add_missing("", "it has no provider", cure, "provider")
    for index, provider in enumerate(providers):
        place = f"provider[{index}]"
        for server_place, server in provider.servers:
            if server.type:  # a missing type is a problem already
                _check_server(server, f"{place}.{server_place}", builder)

        mail = [server for server in provider.incoming if server.type in MAIL_TYPES]
        if mail and not provider.outgoing:
            message = f"it has {mail[0].type} but no smtp, which no client accepts"
            builder.add_missing(place, message, "add [[provider.outgoing]]", "outgoing")
        cure = "add [[provider.incoming]]"
        if provider.outgoing and not provider.incoming:
            message = "it has smtp but no server to read mail from"
            builder.add_missing(place, message, cure, "incoming")
        elif not provider.servers:
            builder.add_missing(place, "it has no servers", cure, *SERVER_KEYS)


def claims(sources: Sequence[Source]) -> dict[bytes, int]:
    """Return the index of each domain's provider; add problems for double claims."""
    owners: dict[bytes, int] = {}
    for index, (provider, origin, builder) in enumerate(sources):
        domains = enumerate(provider.domains)
        in_table = ((domain.encode(), f"domains[{n}]") for n, domain in domains)
        in_file = ((domain, "domains_file") for domain in provider.listed)
        # The domains that another provider claims, by their place and that provider.
        doubles: dict[tuple[str, int], list[bytes]] = {}
        for domain, place in chain(in_table, in_file):
            owner = owners.setdefault(domain, index)
            if domain and owner != index:  # a faulty domain is ""
                doubles.setdefault((place, owner), []).append(domain)
        for (place, owner), (domain, *more) in doubles.items():
            other = sources[owner].origin
            verb = f"and {len(more):,} more are" if more else "is"
            file = "" if other.file == origin.file else f" of {other.name}"
            message = f"{domain.decode()} {verb} claimed by {other.place}{file} too"
            cure = "remove it from one of them"
            builder.add(f"{origin.place}.{place}", message, cure)

        if not (provider.domains or provider.listed):
            cure = 'add domains = ["example.com"], or a domains_file'
            if provider.domains_file:
                cure = f"write a domain on each line of {provider.domains_file}"
            keys = ("domains", "domains_file")
            builder.add_missing(origin.place, "it has no domains", cure, *keys)
    return owners


def _check_server(server: Server, place: str, builder: Builder) -> None:
    message = f"this {server.type} server has no"
    has_url = any(getattr(server, key, None) for key in URL_KEYS)
    if server.hostname is not None and server.port is None:
        cure = f"add port: {server.type} has no standard one"
        builder.add_missing(place, f"{message} port", cure, "port")
    elif server.hostname is None and server.type in MAIL_TYPES:
        cure = 'add hostname = "mail.example.com"'
        builder.add_missing(place, f"{message} hostname", cure, "hostname")
    elif server.hostname is None and not has_url:
        cure = "add url, or hostname and port"
        builder.add_missing(place, f"{message} url", cure, "hostname", "url")
    if (server.url or "").startswith("wss") and server.type != "xmpp":
        message = "a wss URL is for servers of the type xmpp (RFC 7395)"
        builder.add(f"{place}.url", message, "write one that begins with https://")
    if server.type == "imap" and getattr(server, "pop3", None) is not None:
        builder.add(f"{place}.pop3", "an imap server has no POP3 options", "remove it")
