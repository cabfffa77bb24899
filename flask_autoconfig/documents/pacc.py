"""PACC, draft-ietf-mailmaint-pacc: one JSON document for each domain.

DNS carries the digest of the exact bytes, so they are a function of the provider and the
domain alone.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from ..address import DOMAIN_PLACEHOLDER, is_for_all, with_domain
from ..config.ports import standard_port
from ..config.tables import Provider, Server
from . import ANYBODY, Recipient

CONTENT_TYPE = "application/json"
LONGEST_NAME = 60
LONGEST_SHORT_NAME = 20

# The standard TLS ports are implied: a server elsewhere, or with STARTTLS, cannot be said.
_HOSTS = {"imap": "imap", "pop3": "pop3", "smtp": "submit"}
_URLS = ("jmap", "caldav", "carddav", "webdav")
_PASSWORDS = ("password-cleartext", "password-encrypted", "http-basic", "http-digest")


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes | None:
    """The document for a domain, None if PACC can say nothing of the provider.

    Of several servers of a kind the first that can be said is taken.
    """
    protocols: dict[str, dict[str, str]] = {}
    servers = []
    for _, server in provider.servers:
        said = _protocol(server)
        if said and said[0] not in protocols:
            protocols[said[0]] = said[1]
            servers.append(server)

    if not protocols:
        return None
    document = {
        "protocols": protocols,
        "authentication": _authentication(provider, servers),
        "info": _info(provider, recipient),
    }

    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    text = with_domain(text, recipient.domain or recipient.name_of(provider))
    # PACC knows no placeholders.
    return None if DOMAIN_PLACEHOLDER in text else text.encode()


def digest_record(document: bytes) -> str:
    """The value of the TXT record at `_ua-auto-config` for a document."""
    digest = b64encode(hashlib.sha256(document).digest()).decode()
    return f"v=UAAC1; a=sha256; d={digest}"


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """The servers that PACC cannot say, each with its place and the reason."""
    for place, server in provider.servers:
        if server.type not in _HOSTS and server.type not in _URLS:
            continue
        if _protocol(server) is None:
            reason = "it has no https URL for everybody"
            if server.type in _HOSTS:
                name, port = _HOSTS[server.type], standard_port(server.type, "SSL")
                reason = f"{name} can only be TLS on port {port}"
            yield place, reason


def _protocol(server: Server) -> tuple[str, dict[str, str]] | None:
    if server.type in _HOSTS:
        name, port = _HOSTS[server.type], standard_port(server.type, "SSL")
        usual = server.socket_type == "SSL" and server.port == port
        host = server.hostname or ""
        return (name, {"host": host}) if usual and is_for_all(host) else None
    if server.type in _URLS and server.url and server.url.startswith("https://"):
        return (server.type, {"url": server.url}) if is_for_all(server.url) else None
    return None


def _authentication(provider: Provider, servers: list[Server]) -> dict[str, Any]:
    methods = {method for server in servers for method in server.authentication}
    said: dict[str, Any] = {"password": bool(methods.intersection(_PASSWORDS))}
    issuer = provider.oauth2.issuer if provider.oauth2 else None
    if "OAuth2" in methods and issuer:
        url = issuer if issuer.startswith("https://") else f"https://{issuer}"
        said["oauth-public"] = {"issuer": url}
    return said


def _info(provider: Provider, recipient: Recipient) -> dict[str, Any]:
    name = provider.display_name or ""
    if not name or not is_for_all(name):
        name = recipient.name_of(provider) or DOMAIN_PLACEHOLDER
    said: dict[str, Any] = {"name": name[:LONGEST_NAME]}
    short_name = provider.display_short_name
    if short_name and is_for_all(short_name):
        said["shortName"] = short_name[:LONGEST_SHORT_NAME]
    if provider.logo_url and is_for_all(provider.logo_url):
        logo = {"url": provider.logo_url}
        kind = mimetypes.guess_type(provider.logo_url.partition("?")[0])[0]
        said["logo"] = [logo | ({"content-type": kind} if kind else {})]

    info: dict[str, Any] = {"provider": said}
    pages = [it.url for it in provider.documentation if is_for_all(it.url)]
    if pages:
        info["help"] = {"documentation": pages[0]}
    return info
