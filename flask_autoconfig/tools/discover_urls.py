"""Discovery of a domain's servers that are URLs: calendars, address books and JMAP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..config import values
from .net.http import fetch_once
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .net.untrusted import split_url
from .zone import URL_SERVICES

_KEYS = {"caldav": "calendar", "carddav": "address_book", "jmap": "incoming"}


def url_servers(
    domain: str, net: Network, tell: Callable[[str], None], notes: list[str]
) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """Return tables with the reasons for them, by the keys of the file.

    The SRV and TXT records of a service come first, then its .well-known URL. A URL that
    the file cannot have becomes a note.
    """
    servers: dict[str, list[tuple[dict[str, Any], str]]] = {}
    with ThreadPoolExecutor(len(URL_SERVICES)) as pool:
        look = partial(_look, domain, net)
        results = list(pool.map(look, *zip(*URL_SERVICES, strict=True)))
    for type_, url, reason in results:
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
            entry = {"type": type_, "url": url}, reason
            servers.setdefault(_KEYS[type_], []).append(entry)
    return servers


def _look(domain: str, net: Network, service: str, type_: str) -> tuple[str, str, str]:
    name = f"{service}.{domain}"
    if url := _by_srv(name, type_, net):
        return type_, url, f"the SRV record {name} names it"
    start = f"https://{domain}/.well-known/{type_}"
    return type_, _by_redirect(start, net), f"{start} redirects to it"


def _by_srv(name: str, type_: str, net: Network) -> str:
    try:
        targets = net.resolver.srv(name)
        texts = net.resolver.txt(name)
    except LookupFailed:
        return ""
    paths = [text.removeprefix("path=") for text in texts if text.startswith("path=/")]
    for host, port in targets:
        if host and port:
            authority = host if port == 443 else f"{host}:{port}"
            # The path for a service without one (RFC 6764, section 6; RFC 8620, 2.2).
            path = paths[0] if paths else f"/.well-known/{type_}"
            return f"https://{authority}{path}"
    return ""


def _by_redirect(url: str, net: Network) -> str:
    try:
        target = fetch_once(net.step(), url).target
    except ProbeError:
        return ""
    return target if split_url(target).scheme == "https" else ""
