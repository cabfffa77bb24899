"""What a domain publishes for `init`, and the settings that its hoster publishes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..address import NOBODY
from ..config import values
from ..config.reading import from_raw
from ..config.tables import Method
from ..documents.thunderbird_reader import NotAutoconfigError, Reader
from ..errors import ConfigError
from .check.facts import Facts
from .check.findings import Case
from .check.playing import play
from .check.rules import servers
from .check.scene import mx_domains
from .clients import CONFIG, ISPDB, OUTLOOK, THUNDERBIRD
from .importers import leave_out_invalid
from .net.http import fetch_once, following
from .net.mail import Endpoint
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .net.untrusted import split_url
from .zone import URL_SERVICES

Entry = tuple[dict[str, Any], str]  # a server's table, and why it was taken
Tell = Callable[[str], None]
KEYS = {"caldav": "calendar", "carddav": "address_book", "jmap": "incoming"}


class Hosted(NamedTuple):
    """Settings that are published: the provider's table, and where they are."""

    provider: dict[str, Any]
    url: str
    notes: list[str]
    servers: dict[Endpoint, tuple[Method, ...]]
    is_own: bool  # the document is for the domain by name, and for everybody in it


def find_own(domain: str, net: Network, tell: Tell) -> Hosted | None:
    """Return the settings that the domain publishes itself."""
    paths = [step.path for step in THUNDERBIRD.steps[:2]]
    who = f"?emailaddress={NOBODY}%40{domain}"
    urls = [f"https://autoconfig.{domain}{paths[0]}{who}"]
    urls += [f"https://{domain}{paths[1]}"]
    found = _read_all(domain, net, urls, tell)
    return next((one for one in found if one.is_own), None)


def find_hosted(
    domain: str, mx_hosts: list[str], net: Network, tell: Tell
) -> Hosted | None:
    """Return the first complete settings in the order in which Thunderbird asks."""
    urls = [f"{ISPDB}{domain}"]
    # Of several MX hosts the first counts: the others may be left over from a move.
    for base in mx_domains(mx_hosts[:1], domain):
        own = f"https://autoconfig.{base}{CONFIG}?emailaddress={NOBODY}%40{domain}"
        urls += [own, f"{ISPDB}{base}"]
    return next(iter(_read_all(domain, net, urls, tell)), None)


def _read_all(domain: str, net: Network, urls: list[str], tell: Tell) -> list[Hosted]:
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(partial(_read, domain, net, tell), urls)
        return list(filter(None, found))


def _read(domain: str, net: Network, tell: Tell, url: str) -> Hosted | None:
    """Return the settings at a URL, None if no client could set up an account by them."""
    try:
        reply = following(lambda each: fetch_once(net.step(), each), url)
    except ProbeError as error:
        if error.kind != "dns" or url.startswith(ISPDB):
            tell(f"{url.partition('?')[0]}: {error}")
        return None
    with suppress(NotAutoconfigError, ConfigError):
        if reply.status != 200 or not reply.is_verified:
            return None
        reader = Reader()
        read = reader.read(reply.body)
        provider = {**read, "domains": [domain]}
        provider.pop("mx_domains", None)
        notes = [*reader.lost, *leave_out_invalid(provider, reader.where)]
        (typed,) = from_raw({"provider": [provider]}).tables.provider
        if provider.get("incoming") and provider.get("outgoing"):
            names = [one.username for _, one in typed.servers if one.username]
            is_own = domain in read["domains"] and all("%" in str(it) for it in names)
            found = servers.endpoints(Case(domain, ()), typed)
            return Hosted(provider, url.partition("?")[0], notes, found, is_own)
    return None


def find_autodiscover(domain: str, net: Network) -> list[Endpoint]:
    """Return the mail servers that the domain's own Autodiscover names."""
    played = play(OUTLOOK, Case(domain, ()), Facts(net))
    reply = played.found.reply if played.found else None
    return [Endpoint.of(one) for one in played.mail if reply and reply.is_verified]


def find_urls(
    domain: str, net: Network, tell: Tell, notes: list[str]
) -> dict[str, list[Entry]]:
    """Return the tables of URLs, by the keys of the file.

    The SRV and TXT records of a service come first, then its .well-known URL. A URL
    that the file cannot have becomes a note.
    """
    servers: dict[str, list[Entry]] = {}
    with ThreadPoolExecutor(len(URL_SERVICES)) as pool:
        results = list(pool.map(partial(_find_url, domain, net), URL_SERVICES))
    for (_, type_), (url, reason) in zip(URL_SERVICES, results, strict=True):
        if not url:
            continue
        tell(f"{type_} {url}")
        try:
            url = values.url(url)
            parts = split_url(url)
            net.addresses(parts.hostname or "", parts.port or 443)
        except (ProbeError, ValueError) as error:
            notes.append(f"{type_} {url} is left out: {error.args[0]}")
        else:
            table = {"type": type_, "url": url}
            servers.setdefault(KEYS[type_], []).append((table, reason))
    return servers


def _find_url(domain: str, net: Network, names: tuple[str, str]) -> tuple[str, str]:
    """Return the URL of a service, "" for none, and where it was found."""
    service, type_ = names
    name = f"{service}.{domain}"
    with suppress(LookupFailed):
        texts = net.resolver.txt(name)
        paths = [text[5:] for text in texts if text.startswith("path=/")]
        # The path for a service without one (RFC 6764, section 6; RFC 8620, 2.2).
        path = (*paths, f"/.well-known/{type_}")[0]
        for host, port in net.resolver.srv(name):
            if host and port:
                authority = host if port == 443 else f"{host}:{port}"
                return f"https://{authority}{path}", f"the SRV record {name} names it"
    start = f"https://{domain}/.well-known/{type_}"
    target = ""
    with suppress(ProbeError):
        target = fetch_once(net.step(), start).target
    is_secure = split_url(target).scheme == "https"
    return target if is_secure else "", f"{start} redirects to it"
