"""PACC, draft-ietf-mailmaint-pacc: one JSON document for each domain.

A digest of the exact bytes is published in DNS. They depend only on the provider and the
domain.
"""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..address import DOMAIN_PLACEHOLDER, is_for_all, is_ip, with_domain
from ..config.ports import standard_port
from ..config.tables import AuthenticationMethod, Provider, Server
from . import ANYBODY, LONGEST_NAME, LONGEST_SHORT_NAME, Recipient, shortened

CONTENT_TYPE = "application/json"
PROTOCOLS, HOST = "protocols", "host"
# `submit` was `smtp` up to revision -02, which is what clients read so far.
HOSTS = {"imap": ("imap",), "pop3": ("pop3",), "smtp": ("submit", "smtp")}
_URLS = ("jmap", "caldav", "carddav", "webdav")
_TYPES = (*HOSTS, *_URLS, "managesieve")
# The types of logos by file name extension. With the system's own tables, the document and
# its digest could differ between machines.
_IMAGES = {name: name for name in ("png", "jpeg", "gif", "webp", "avif")}
_IMAGES |= {"jpg": "jpeg", "svg": "svg+xml"}
_PASSWORDS = ("password-cleartext", "password-encrypted", "http-basic", "http-digest")
_SASL_PASSWORDS = re.compile("PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|SCRAM-.+", re.IGNORECASE)


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes | None:
    """Return the document for a domain, None if PACC cannot express any server.

    It has the best server of each type, or none. Hosts and URLs are the same for all users
    of the domain.
    """
    servers = [server for _, server, reason in _verdicts(provider) if not reason]
    if not servers:
        return None
    protocols: dict[str, dict[str, str]] = {}
    for server in servers:
        for name in HOSTS.get(server.type, ()):
            protocols[name] = {HOST: server.hostname or ""}
        if server.type in _URLS:
            url = urlsplit(server.url or "")
            netloc = url.netloc.removesuffix(":443")
            protocols[server.type] = {"url": urlunsplit(url._replace(netloc=netloc))}
    common = frozenset.intersection(*(_methods(provider, server) for server in servers))
    authentication: dict[str, Any] = {"password": "password" in common}
    if "oauth-public" in common:
        authentication["oauth-public"] = {"issuer": _issuer(provider)}
    document = {
        PROTOCOLS: protocols,
        "authentication": authentication,
        "info": _info(provider, recipient),
    }

    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    text = with_domain(text, recipient.domain or recipient.name_of(provider))
    # PACC has no placeholders.
    return None if DOMAIN_PLACEHOLDER in text else text.encode()


def digest_record(document: bytes) -> str:
    """Return the value of the TXT record at `_ua-auto-config` for a document."""
    digest = b64encode(hashlib.sha256(document).digest()).decode()
    return f"v=UAAC1; a=sha256; d={digest}"


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that the document leaves out, and the reason.

    Where the best server of a type is in the document, the others are not reported.
    """
    best = {server.type: (place, why) for place, server, why in _verdicts(provider)}
    for place, server in provider.servers:
        best_place, reason = best.get(server.type, ("", ""))
        if reason and place != best_place:
            reason = f"{best_place}, which comes before it, is left out"
        if reason:
            yield place, reason


def _verdicts(provider: Provider) -> Iterator[tuple[str, Server, str]]:
    """Yield the place of the best server of each type, the server, and why it is left out.

    The order is the file's; the reason is "" for a server in the document. A client must
    set up either the account that the file describes or none. So if the best server to
    read mail from cannot be expressed, no other one is in the document; a server to send
    mail is not there alone; and all servers have a method in common.
    """
    best: dict[str, tuple[str, Server]] = {}
    for place, server in provider.servers:
        if server.type in _TYPES:
            best.setdefault(server.type, (place, server))

    common: frozenset[str] = frozenset()  # methods of all servers so far
    can_read_mail = False
    # The place of a server that the file prefers to those that follow, but that a program
    # would not set up: it is left out, or is POP3, to which programs prefer IMAP.
    preferred = ""
    for type_, (place, server) in best.items():
        methods = _methods(provider, server)
        reason = _reason_against(provider, server, methods)
        if not reason and preferred and type_ in ("imap", "pop3"):
            reason = f"the file prefers {preferred}, and clients would use this one"
        elif not reason and type_ == "smtp" and not can_read_mail:
            reason = "the document would have no server to read mail from"
        elif not reason and common and not methods & common:
            reason = "it has no method in common with the servers before it"
        if type_ in ("imap", "pop3") and (reason or type_ == "pop3"):
            preferred = preferred or place
        if not reason:
            common = methods & common if common else methods
            can_read_mail |= type_ in ("imap", "pop3", "jmap")
        yield place, server, reason


def _reason_against(provider: Provider, server: Server, methods: frozenset[str]) -> str:
    """Return why PACC cannot express a server, or ""."""
    if server.type == "managesieve":
        return "PACC has no port with implicit TLS for it"
    if server.type in HOSTS:
        name, port = HOSTS[server.type][0], standard_port(server.type, "SSL")
        host = server.hostname or ""
        if server.socket_type != "SSL" or server.port != port:
            return f"{name} can only be TLS on port {port}"
        if not is_for_all(host):
            return "its host is not the same for everybody"
    else:
        url = urlsplit(server.url or "")
        host = url.hostname or ""
        if url.scheme != "https" or not is_for_all(url.geturl()):
            return "it has no https URL for everybody"
        if url.port not in (None, 443):
            return "its URL can only be on port 443"
    if is_ip(host):
        return "PACC names a host, never an IP address"
    if server.username not in provider.names_of_address:  # the document has no names
        return "PACC clients always log in with the address"
    if not methods:
        return "PACC has only passwords, and OAuth2 with an issuer in [provider.oauth2]"
    return ""


def _methods(provider: Provider, server: Server) -> frozenset[str]:
    """Return the server's methods by the names that PACC has for them."""
    methods = set()
    for method in server.authentication:
        if isinstance(method, AuthenticationMethod):
            is_sasl = method.system.lower() == "sasl"
            if is_sasl and _SASL_PASSWORDS.fullmatch(method.name):
                methods.add("password")
        elif method in _PASSWORDS:
            methods.add("password")
        elif method == "OAuth2" and _issuer(provider):
            methods.add("oauth-public")
    return frozenset(methods)


def _issuer(provider: Provider) -> str:
    issuer = (provider.oauth2.issuer if provider.oauth2 else None) or ""
    return f"https://{issuer}" if issuer and "://" not in issuer else issuer


def _info(provider: Provider, recipient: Recipient) -> dict[str, Any]:
    name = provider.display_name or ""
    if not name or not is_for_all(name):
        name = recipient.name_of(provider) or DOMAIN_PLACEHOLDER
    names: dict[str, Any] = {"name": shortened(name, LONGEST_NAME)}
    info: dict[str, Any] = {"provider": names}
    short_name = provider.display_short_name
    if short_name and is_for_all(short_name):
        names["shortName"] = shortened(short_name, LONGEST_SHORT_NAME)
    logo = provider.logo_url or ""
    extension = urlsplit(logo).path.rpartition(".")[2].lower()
    if extension in _IMAGES and is_for_all(logo):
        names["logo"] = [{"url": logo, "content-type": f"image/{_IMAGES[extension]}"}]
    for page in provider.documentation:
        if is_for_all(page.url):
            info.setdefault("help", {"documentation": page.url})
    return info
