"""Finds the servers of a domain that are URLs: calendars, address books, JMAP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..config import values
from .net.http import REDIRECTS, fetch_once
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .net.untrusted import split_url
from .zone import URL_SERVICES

_WORKERS = len(URL_SERVICES)
_URL_KEYS = {"caldav": "calendar", "carddav": "address_book", "jmap": "incoming"}


def url_servers(
    domain: str, net: Network, tell: Callable[[str], None], notes: list[str]
) -> tuple[dict[str, list[dict[str, object]]], dict[str, list[str]]]:
    """Calendars, address books and JMAP: by SRV and its TXT path, else by .well-known.

    The second are the reasons. One whose URL the file cannot have becomes a note.
    """
    servers: dict[str, list[dict[str, object]]] = {}
    reasons: dict[str, list[str]] = {}

    def look(service: str, type_: str) -> tuple[str, str, str]:
        name = f"{service}.{domain}"
        url, reason = _url_by_srv(name, type_, net), f"the SRV record {name} names it"
        if not url:
            start = f"https://{domain}/.well-known/{type_}"
            url, reason = _url_by_redirect(start, net), f"{start} leads there"
        return type_, url, reason

    with ThreadPoolExecutor(_WORKERS) as pool:
        found = list(pool.map(look, *zip(*URL_SERVICES, strict=True)))
    for type_, url, reason in found:
        if not url:
            continue
        tell(f"{type_} {url}")
        try:
            url = values.url(url)
            parts = split_url(url)
            net.refuse_private(parts.hostname or "", parts.port or 443)
        except ProbeError as error:
            notes.append(f"{type_} {url} is left out: {error}")
        except ValueError as error:
            notes.append(f"{type_} {url} is left out: {error.args[0]}")
        else:
            key = _URL_KEYS[type_]
            servers.setdefault(key, []).append({"type": type_, "url": url})
            reasons.setdefault(key, []).append(reason)
    return servers, reasons


def _url_by_srv(name: str, type_: str, net: Network) -> str:
    try:
        targets = net.resolver.srv(name)
        texts = net.resolver.txt(name)
    except LookupFailed:
        return ""
    paths = [it.removeprefix("path=") for it in texts if it.startswith("path=/")]
    for host, port in targets:
        if host and port:
            authority = host if port == 443 else f"{host}:{port}"
            # Without a path it is at that place (RFC 6764, section 6; RFC 8620, 2.2).
            path = paths[0] if paths else f"/.well-known/{type_}"
            return f"https://{authority}{path}"
    return ""


def _url_by_redirect(url: str, net: Network) -> str:
    try:
        reply = fetch_once(net.step(), url)
    except ProbeError:
        return ""
    location = reply.headers.get("location", "")
    moved = reply.status in REDIRECTS
    trusted = reply.certificate is not None and not reply.certificate.problem
    is_web = moved and trusted and split_url(location).scheme == "https"
    return location if is_web else ""
