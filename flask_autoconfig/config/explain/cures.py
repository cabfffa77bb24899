"""Messages and cures for host names, domains and placeholders that are refused."""

from __future__ import annotations

import re

from ...address import PLACEHOLDERS, fold, is_ip
from ..values import quote
from .foreign import ADDRESS, LOCAL_PART, meaning_of, theirs_in, translated

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:?//")
_PORT = re.compile(r"(?<![:0-9]):([0-9]{1,5})(?=/|$)")


def unknown_placeholder(found: str) -> str:
    """Return the cure for a placeholder that no client knows."""
    meaning = meaning_of(found.strip("%"))
    if not meaning:
        return f"use {', '.join(PLACEHOLDERS[:-1])} or {PLACEHOLDERS[-1]}"
    if meaning == LOCAL_PART != translated(found):
        return f"write {translated(found)}, or {LOCAL_PART} for the part before the @"
    return f"write {translated(found)}"


def bare_host(value: str) -> str:
    """Return the host name in a URL, an address or `host:port`, or ""."""
    authority = re.split("[/?#]", _SCHEME.sub("", value.strip()), maxsplit=1)[0]
    name = _PORT.sub("", authority.rpartition("@")[2]).strip("[]\"'<>")
    try:
        return name.lower() if is_ip(name) else fold(name)
    except ValueError:
        return ""


def no_host(value: str) -> str:
    """Return the cure for a value that is no host name."""
    if bare_host(value):
        port = _PORT.search(value)
        more = f", and port = {port[1]}" if port else ""
        return f"write {quote(bare_host(value))}{more}"
    ours = translated(value)
    if theirs_in(value) and ADDRESS in ours:  # a placeholder without a counterpart
        return "write the real name, such as mail.example.com: no client fills this in"
    if theirs_in(value) and not re.search("[^A-Za-z0-9.%-]", ours):
        return f"write {quote(ours)}"
    if "_" in value and re.fullmatch(r"[\w.-]+", value):
        return "write the name in DNS: a host name has no _"
    return "write a name like mail.example.com, without a scheme, port or space"


def no_domain(value: str) -> tuple[str, str]:
    """Return the message and the cure for a value that is no domain or pattern."""
    message = f"expected a domain, got {quote(value)}"
    names = [name.strip() for name in re.split("[,;]", value)]
    hosts = list(map(bare_host, filter(None, names)))
    if len(names) > 1 and all(hosts):
        return message, f"write {', '.join(map(quote, hosts))}"
    if "@" in value:
        cure = f"write {quote(value.rpartition('@')[2])}"
        return f"{quote(value)} is an address", cure
    if is_ip(value.removeprefix("*.").strip("[]")):
        return f"{quote(value)} is an IP address", "write the mail domain"
    if "*" in value.removeprefix("*.") or "%" in value:
        cure = 'write "example.com", "*.example.com" for all below it, or "*" for any'
        return message, cure
    return f"expected a host name, got {quote(value)}", no_host(value)
