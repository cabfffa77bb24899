"""Configuration profiles for iOS and macOS (Apple's "Configuration Profile Reference").

Without an address the device asks for it; with one everything but the password is filled
in. There is never a key for a password: an empty one would suppress the question.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..address import Address, fill_in, fill_in_host, fill_in_url, known_part
from ..config.ports import endpoint_of
from ..config.tables import Method, Provider, Server
from . import ANYBODY, Recipient, usable
from .outlook import exchange_servers

CONTENT_TYPE = "application/x-apple-aspen-config"

# The namespace of the UUIDs: a profile for the same address has the same UUID.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/flask-autoconfig")
MAIL, MAIL_TYPE = "com.apple.mail.managed", "EmailAccountType"
# The keys of a mail server: one of the first two, followed by one of the others.
INCOMING, OUTGOING = "IncomingMailServer", "OutgoingMailServer"
HOST_NAME, PORT, USE_SSL = "HostName", "PortNumber", "UseSSL"
METHOD, USERNAME = "Authentication", "Username"
MAIL_TYPES = {"imap": "EmailTypeIMAP", "pop3": "EmailTypePOP"}
METHODS: dict[Method, str] = {
    "password-cleartext": "EmailAuthPassword",
    "password-encrypted": "EmailAuthCRAMMD5",
    "NTLM": "EmailAuthNTLM",
    "http-digest": "EmailAuthHTTPMD5",
    "none": "EmailAuthNone",
    "client-IP-address": "EmailAuthNone",
    "smtp-after-pop": "EmailAuthNone",
}


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes | None:
    """Return the profile, an XML property list, or None if it would be empty.

    Where it holds one server of a kind, the first that Apple's programs can use is taken.
    """
    address = recipient.address
    name = address.domain if address else recipient.domain
    name = name or recipient.name_of(provider)
    if not name:
        return None
    whose = str(address) if address else name
    named_so = fill_in(provider.display_name, name, address, recipient.person)
    description = named_so or name

    def say(text: str, language: str = recipient.language) -> str:
        return recipient.words.say(text, language)

    mail = say("Mail")
    kinds = mail, mail, say("Calendar (CalDAV)"), say("Address book (CardDAV)")
    named = zip(kinds, _payloads(provider, recipient, name, description), strict=True)
    payloads = [(kind, payload) for kind, payload in named if payload]
    if not payloads:
        return None

    identifier = ".".join([*reversed(name.split(".")), "autoconfig"])
    for kind, payload in payloads:
        _identify(payload, identifier, f"{payload['PayloadType']}:{whose}")
        payload["PayloadDisplayName"] = f"{description}: {kind}"

    def consent(language: str) -> str:
        text = say(
            "This profile of %(provider)s sets up the account %(account)s on your "
            "device. Your password is not in it: the device asks you for it.",
            language,
        )
        return text % {"provider": description, "account": whose}

    consents = {tag: consent(tag) for tag in recipient.words.languages()}
    description_of_all = say("Sets up the account %(account)s.") % {"account": whose}
    profile = {
        "PayloadType": "Configuration",
        "PayloadDisplayName": f"{description}: {whose}" if address else description,
        "PayloadOrganization": description,
        "PayloadDescription": description_of_all,
        # A device chooses its owner's language, else the requested one.
        "ConsentText": {"default": consent(recipient.language), **consents},
        "PayloadContent": [payload for _, payload in payloads],
    }
    _identify(profile, identifier, whose)
    return plistlib.dumps(profile)


def is_there(provider: Provider, recipient: Recipient) -> bool:
    """Whether there is a profile for a recipient whose domain is known."""
    name = recipient.address.domain if recipient.address else recipient.domain
    return any(_payloads(provider, recipient, name or "", ""))


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that profiles leave out, and the reason."""
    for place, server in provider.servers:
        is_ours = server.type in (*MAIL_TYPES, "smtp", "caldav", "carddav")
        if is_ours and not usable(server, METHODS):
            yield place, "a profile has no word for its methods"


def _identify(payload: dict[str, Any], identifier: str, whose: str) -> None:
    """Add an identifier for the address: profiles with the same one replace each other."""
    number = str(uuid.uuid5(_NAMESPACE, whose)).upper()
    payload["PayloadVersion"] = 1
    payload["PayloadUUID"] = number
    payload["PayloadIdentifier"] = f"{identifier}.{number}"


def _payloads(
    provider: Provider, recipient: Recipient, domain: str, description: str
) -> Iterator[dict[str, Any] | None]:
    """Yield mail, ActiveSync, calendar and address book, None for each that is absent."""
    address, books = recipient.address, provider.address_book
    yield _mail(provider, recipient, domain, description)
    yield _active_sync(provider, address, domain)
    yield _dav(provider.calendar, "caldav", "CalDAV", address, domain, description)
    yield _dav(books, "carddav", "CardDAV", address, domain, description)


def _mail(
    provider: Provider, recipient: Recipient, domain: str, description: str
) -> dict[str, Any] | None:
    address = recipient.address
    incoming = _first(provider.incoming, MAIL_TYPES, address, domain)
    outgoing = _first(provider.outgoing, ["smtp"], address, domain)
    if incoming is None or outgoing is None:
        return None
    payload = {
        "PayloadType": MAIL,
        MAIL_TYPE: MAIL_TYPES[incoming.type],
        "EmailAccountDescription": description,
        "OutgoingPasswordSameAsIncomingPassword": outgoing.username is not None,
        **_server(INCOMING, incoming, address, domain),
        **_server(OUTGOING, outgoing, address, domain),
    }

    if address:
        payload["EmailAddress"] = str(address)
    if recipient.person:  # shown to recipients of mail; without it the device asks
        payload["EmailAccountName"] = recipient.person
    return payload


def _active_sync(
    provider: Provider, address: Address | None, domain: str
) -> dict[str, Any] | None:
    """Return an Exchange account for a provider without IMAP and POP3, or None.

    iOS asks only Microsoft's own servers for Autodiscover.
    """
    if any(server.type in MAIL_TYPES for server in provider.incoming):
        return None
    for server, url in exchange_servers(provider, "activesync", domain, address):
        endpoint = endpoint_of(url)
        if endpoint["port"] not in (80, 443):
            continue
        payload = {
            "PayloadType": "com.apple.eas.account",
            "Host": endpoint["hostname"],
            "SSL": endpoint["socket_type"] == "SSL",
            "OAuth": usable(server, METHODS) is None,
        }
        username = fill_in(server.username, domain, address)
        optional = {"EmailAddress": address and str(address), "UserName": username}
        return payload | {key: value for key, value in optional.items() if value}
    return None


def _first(
    servers: tuple[Server, ...], types: Any, address: Address | None, domain: str
) -> Server | None:
    """Return the first server that Apple's programs can use and whose host is known."""
    usable = (it for it in servers if it.type in types and _method(it) is not None)
    known = (it for it in usable if fill_in_host(it.hostname, domain, address))
    return next(known, None)


def _method(server: Server) -> str | None:
    """Return the word for the server's best method that Apple's programs have, or None."""
    method = usable(server, METHODS)
    return None if method is None else METHODS[method]


def _server(
    way: str, server: Server, address: Address | None, domain: str
) -> dict[str, Any]:
    said: dict[str, Any] = {
        way + HOST_NAME: fill_in_host(server.hostname, domain, address),
        way + PORT: server.port,
        way + USE_SSL: server.socket_type != "plain",
        way + METHOD: _method(server),
    }
    username = fill_in(server.username, domain, address)
    return said | ({way + USERNAME: username} if username else {})


def _dav(
    servers: tuple[Server, ...],
    type_: str,
    prefix: str,
    address: Address | None,
    domain: str,
    description: str,
) -> dict[str, Any] | None:
    fitting = (server for server in servers if server.type == type_)
    server = next((server for server in fitting if usable(server, METHODS)), None)
    if server is None:
        return None
    host, path = fill_in_host(server.hostname, domain, address), ""
    port, ssl = server.port, server.socket_type
    if server.url:
        url = fill_in_url(server.url, domain, address)
        known = url or ("" if address else known_part(server.url, domain))
        parts = urlsplit(known)
        host, path = parts.hostname or "", parts.path if url else ""
        if path == f"/.well-known/{type_}":  # the device tries it by itself
            path = ""
        ssl = "SSL" if parts.scheme == "https" else "plain"
        port = parts.port or (443 if ssl == "SSL" else 80)
    if not host:
        return None

    payload: dict[str, Any] = {
        "PayloadType": f"com.apple.{type_}.account",
        f"{prefix}HostName": host,
        f"{prefix}Port": port,
        f"{prefix}UseSSL": ssl != "plain",
        f"{prefix}AccountDescription": description,
    }

    username = fill_in(server.username, domain, address)
    optional = {"PrincipalURL": path, "Username": username}
    return payload | {
        f"{prefix}{key}": value for key, value in optional.items() if value
    }
