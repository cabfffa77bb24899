"""Rules between values that every configuration must keep."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from .building import Builder
from .ports import MAIL_TYPES
from .tables import SERVER_KEYS, URL_KEYS, Provider, Server


class Origin(NamedTuple):
    """The file and the place of a provider."""

    file: str  # as problems name it, "" for the main file
    place: str  # in the file, such as provider[0]
    name: str  # of the file, also for the main one


class Source(NamedTuple):
    """A provider with its origin and the problems of its file."""

    provider: Provider
    origin: Origin
    builder: Builder


def apply(providers: Sequence[Provider], builder: Builder) -> None:
    """Add the problems between the values of one file to its builder."""
    if not providers:
        cure = "add one: [[provider]], then its domains"
        builder.add_missing("", "it has no provider", cure, "provider")
    for index, provider in enumerate(providers):
        place = f"provider[{index}]"
        for where, server in provider.servers:
            if server.type:  # otherwise the missing type is the problem
                _check_server(server, f"{place}.{where}", builder)

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
    """Return the provider that claims each domain; add problems for double claims."""
    claimed: dict[bytes, int] = {}
    for index, (provider, origin, builder) in enumerate(sources):
        own = (
            (it.encode(), f"domains[{at}]") for at, it in enumerate(provider.domains)
        )
        listed = ((name, "domains_file") for name in provider.listed)
        # The names that another provider claims, by their place and that provider.
        twice: dict[tuple[str, int], list[bytes]] = {}
        for name, place in chain(own, listed):
            first = claimed.setdefault(name, index)
            if name and first != index:  # a faulty name is ""
                twice.setdefault((place, first), []).append(name)
        for (place, first), (name, *more) in twice.items():
            other = sources[first].origin
            verb = f"and {len(more):,} more are" if more else "is"
            file = "" if other.file == origin.file else f" of {other.name}"
            message = f"{name.decode()} {verb} claimed by {other.place}{file} too"
            cure = "remove it from one of them"
            builder.add(f"{origin.place}.{place}", message, cure)

        if not (provider.domains or provider.listed):
            cure = 'add domains = ["example.com"], or a domains_file'
            if provider.domains_file:
                cure = f"write a domain on each line of {provider.domains_file}"
            keys = ("domains", "domains_file")
            builder.add_missing(origin.place, "it has no domains", cure, *keys)
    return claimed


def _check_server(server: Server, at: str, builder: Builder) -> None:
    message = f"this {server.type} server has no"
    has_url = any(getattr(server, key, None) for key in URL_KEYS)
    if server.hostname is not None and server.port is None:
        cure = f"add port: {server.type} has no standard one"
        builder.add_missing(at, f"{message} port", cure, "port")
    elif server.hostname is None and server.type in MAIL_TYPES:
        cure = 'add hostname = "mail.example.com"'
        builder.add_missing(at, f"{message} hostname", cure, "hostname")
    elif server.hostname is None and not has_url:
        cure = "add url, or hostname and port"
        builder.add_missing(at, f"{message} url", cure, "hostname", "url")
    if (server.url or "").startswith("wss") and server.type != "xmpp":
        message = "a wss URL is for servers of the type xmpp (RFC 7395)"
        builder.add(f"{at}.url", message, "write one that begins with https://")
    if server.type == "imap" and getattr(server, "pop3", None) is not None:
        builder.add(f"{at}.pop3", "an imap server has no POP3 options", "remove it")
