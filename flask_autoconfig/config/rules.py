"""Rules between values that every configuration must keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .building import Builder
from .listing import Listing, lines_of
from .ports import MAIL_TYPES
from .tables import SERVER_KEYS, URL_KEYS, Provider, Server

_MOST_REPORTED = 20  # lines of a domains file that another provider claims too


class Origin(NamedTuple):
    """The file and the place of a provider."""

    file: str  # as problems name it, "" for the main file
    place: str  # in the file, such as provider[0]
    name: str  # of the file, also for the main one

    def seen_from(self, other: Origin) -> str:
        """Return the place, with the file if it is another."""
        return self.place if self.file == other.file else f"{self.place} of {self.name}"


class Source(NamedTuple):
    """A provider with its domains file, its origin and the problems of its file."""

    provider: Provider
    listing: Listing | None  # of its `domains_file`
    origin: Origin
    builder: Builder


def apply(providers: Sequence[Provider], builder: Builder) -> None:
    """Add the problems between the values of one file to its builder."""
    if not providers and not builder.is_faulty("provider"):
        builder.add("", "it has no provider", "add one: [[provider]], then its domains")
    for index, provider in enumerate(providers):
        place = f"provider[{index}]"
        for where, server in provider.servers:
            if server.type:  # otherwise the missing type is the problem
                _check_server(server, f"{place}.{where}", builder)
        _check_pair(provider, place, builder)


def claims(sources: Sequence[Source]) -> dict[bytes, int]:
    """Return the provider that claims each domain; add problems for double claims."""
    claimed: dict[bytes, int] = {}
    for index, (provider, listing, origin, builder) in enumerate(sources):
        for number, domain in enumerate(provider.domains):
            first = claimed.setdefault(domain.encode(), index)
            if first != index:
                at = builder.item(f"{origin.place}.domains", number)
                _add_claimed(sources, index, at, domain, first)

        place = f"{origin.place}.domains_file"
        twice: list[tuple[bytes, int]] = []
        for name in listing.names if listing else ():
            first = claimed.setdefault(name, index)
            if first != index:
                twice.append((name, first))
        lines = _lines_of(listing, [name for name, _ in twice[:_MOST_REPORTED]])
        for name, first in twice[:_MOST_REPORTED]:
            listed = f"{name.decode()}{lines.get(name, '')}"
            _add_claimed(sources, index, place, listed, first)
        if len(twice) > _MOST_REPORTED:
            rest = f"{len(twice) - _MOST_REPORTED} more of its domains"
            _add_claimed(sources, index, place, rest, twice[-1][1])
        _check_domains(sources[index])
    return claimed


def _add_claimed(
    sources: Sequence[Source], index: int, place: str, domain: str, first: int
) -> None:
    _, _, origin, builder = sources[index]
    owner = sources[first].origin.seen_from(origin)
    verb = "are" if domain.endswith(" domains") else "is"
    message = f"{domain} {verb} claimed by {owner} too"
    builder.add(place, message, "remove it from one of them")


def _lines_of(listing: Listing | None, names: list[bytes]) -> dict[bytes, str]:
    """Return the line and file of each name, in words."""
    if listing is None or not names:
        return {}
    try:
        lines = lines_of(listing.path, names)
    except OSError:  # removed since it was read
        return {}
    file = listing.path.name
    return {name: f" (line {line} of {file})" for name, line in lines.items()}


def _check_domains(source: Source) -> None:
    provider, listing, origin, builder = source
    keys = (f"{origin.place}.{key}" for key in ("domains", "domains_file"))
    if provider.domains or (listing and listing.names):
        return
    if not any(map(builder.is_faulty, keys)):
        cure = 'add domains = ["example.com"], or a domains_file'
        builder.add(origin.place, "it has no domains", cure)


def _check_server(server: Server, at: str, builder: Builder) -> None:
    def need(key: str, cure: str) -> None:
        if getattr(server, key) is None and not builder.is_faulty(f"{at}.{key}"):
            builder.add(at, f"this {server.type} server has no {key}", cure)

    has_url = any(getattr(server, key, None) for key in URL_KEYS)
    if server.type in MAIL_TYPES:
        need("hostname", 'add hostname = "mail.example.com"')
    elif not (has_url or server.hostname or builder.is_faulty(f"{at}.hostname")):
        need("url", "add url, or hostname and port")
    if server.hostname is not None:
        need("port", f"add port: {server.type} has no standard one")
    if (server.url or "").startswith("wss") and server.type != "xmpp":
        message = "a wss URL is for servers of the type xmpp (RFC 7395)"
        builder.add(f"{at}.url", message, "write one that begins with https://")
    if server.type == "imap" and getattr(server, "pop3", None) is not None:
        builder.add(f"{at}.pop3", "an imap server has no POP3 options", "remove it")


def _check_pair(provider: Provider, place: str, builder: Builder) -> None:
    mail = [server for server in provider.incoming if server.type in MAIL_TYPES]
    if mail and not provider.outgoing and not builder.is_faulty(f"{place}.outgoing"):
        message = f"it has {mail[0].type} but no smtp, which no client accepts"
        builder.add(place, message, "add [[provider.outgoing]]")

    if provider.outgoing and not provider.incoming:
        if not builder.is_faulty(f"{place}.incoming"):
            message = "it has smtp but no server to read mail from"
            builder.add(place, message, "add [[provider.incoming]]")
    elif not provider.servers and not any(
        builder.is_faulty(f"{place}.{key}") for key in SERVER_KEYS
    ):
        builder.add(place, "it has no servers", "add [[provider.incoming]]")
