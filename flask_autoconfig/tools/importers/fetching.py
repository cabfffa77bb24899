"""`import https://…`: fetches a file that is at a URL."""

from __future__ import annotations

from ..net.http import fetch_once, following
from ..net.resolver import Resolver
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from .imported import UnreadableError

_SECONDS = 20.0  # for all of it, with its redirects
_CURE = "download it, and name the file"


def fetched(url: str) -> bytes:
    """Return what is at a URL, at most 1 MiB; raises UnreadableError."""
    parts = split_url(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UnreadableError("it is no https or http URL", _CURE)
    # The user named this host; where a redirect leads must be on the internet.
    own = frozenset((parts.hostname, port or 443) for port in (parts.port, 443, 80))
    network = Network(Resolver(), own=own).step(_SECONDS)
    try:
        reply = following(lambda each: fetch_once(network, each), url)
    except ProbeError as error:
        raise UnreadableError(f"cannot fetch it: {error}", _CURE) from error
    fault = reply.certificate.problem if reply.certificate else ""
    if not fault and reply.status != 200:
        fault = f"{reply.url} answers with status {reply.status}"
    if not fault and parts.scheme == "https" and not reply.is_verified:
        fault = "a redirect leads to http, where anybody may change it on its way"
    if fault or reply.damage:
        raise UnreadableError(f"cannot fetch it: {fault or reply.damage}", _CURE)
    return reply.body
