"""Configuration profiles for iOS and macOS (Apple's "Configuration Profile Reference").

Without an address, the device asks for it; with one, everything but the password is filled
in. There is never a key for a password: an empty one would keep the device from asking.
"""

import plistlib
import uuid
from collections.abc import Container, Iterator
from typing import Any
from urllib.parse import urlsplit

from ..address import fill_in, known_part
from ..config.ports import endpoint_of
from ..config.tables import Method, Provider, Server
from . import ANYBODY, Recipient, usable
from .outlook import exchange_servers

CONTENT_TYPE = "application/x-apple-aspen-config"

# The namespace of the UUIDs: a profile for the same address has the same UUID.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://pypi.org/project/flask-autoconfig")
MAIL, MAIL_TYPE = "com.apple.mail.managed", "EmailAccountType"
EXCHANGE = "com.apple.eas.account"
_WEB = (80, 443)  # the ports of an Exchange account
DAV = {"CalDAV": "com.apple.caldav.account", "CardDAV": "com.apple.carddav.account"}
# The keys of a mail server: one of these two prefixes, followed by one of the others.
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

    Of servers of one kind, it has the first that Apple's programs can use.
    """
    address = recipient.address
    domain = address.domain if address else recipient.domain
    domain = domain or recipient.name_of(provider)
    if not domain:
        return None
    recipient = recipient._replace(domain=domain)
    account = str(address) if address else domain
    name = fill_in(provider.display_name, domain, address, recipient.person) or domain
    say = dict(recipient.words)[recipient.language]
    identifier = ".".join([*reversed(domain.split(".")), "autoconfig"])

    kinds = (say("Mail"), say("Calendar (CalDAV)"), say("Address book (CardDAV)"))
    payloads = []
    for kind, values in zip(kinds, _payloads(provider, recipient, name), strict=True):
        if values:
            payload = {key: value for key, value in values.items() if value != ""}
            _identify(payload, identifier, f"{payload['PayloadType']}:{account}")
            payload["PayloadDisplayName"] = f"{name}: {kind}"
            payloads.append(payload)
    if not payloads:
        return None
    names = {"provider": name, "account": account}
    consents = {
        tag: say(
            "This profile of %(provider)s sets up the account %(account)s on your "
            "device. Your password is not in it: the device asks you for it."
        )
        % names
        for tag, say in recipient.words
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadDisplayName": f"{name}: {account}" if address else name,
        "PayloadOrganization": name,
        "PayloadDescription": say("Sets up the account %(account)s.") % names,
        # A device shows the text in its own language, or else in the requested one.
        "ConsentText": {"default": consents[recipient.language], **consents},
        "PayloadContent": payloads,
    }
    _identify(profile, identifier, account)
    return plistlib.dumps(profile)


def parts(provider: Provider, recipient: Recipient) -> tuple[bool, bool, bool]:
    """Return whether a profile sets up mail, a calendar and an address book."""
    domain = recipient.address.domain if recipient.address else recipient.domain
    payloads = _payloads(provider, recipient._replace(domain=domain or ""), "")
    mail, calendar, contacts = map(bool, payloads)
    return mail, calendar, contacts


def left_out(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the place of each server that profiles leave out, and the reason."""
    for place, server in provider.servers:
        is_supported = server.type in (*MAIL_TYPES, "smtp", "caldav", "carddav")
        if is_supported and not usable(server, METHODS):
            yield place, "a profile cannot express its methods"
        url = server.url if server.type == "activesync" else None
        if url and endpoint_of(url)["port"] not in _WEB:
            yield place, "an Exchange account has no port in a profile"


def _identify(payload: dict[str, Any], prefix: str, name: str) -> None:
    """Add an identifier for a name: profiles with the same one replace each other."""
    uuid_ = str(uuid.uuid5(_NAMESPACE, name)).upper()
    payload["PayloadVersion"] = 1
    payload["PayloadUUID"] = uuid_
    payload["PayloadIdentifier"] = f"{prefix}.{uuid_}"


def _payloads(
    provider: Provider, recipient: Recipient, description: str
) -> Iterator[dict[str, Any] | None]:
    """Yield the payloads of mail, calendar and address book, or None for each."""
    mail = _mail(provider, recipient, description)
    yield mail or _active_sync(provider, recipient)
    yield _dav(provider.calendar, "CalDAV", recipient, description)
    yield _dav(provider.address_book, "CardDAV", recipient, description)


def _mail(
    provider: Provider, recipient: Recipient, description: str
) -> dict[str, Any] | None:
    provider = recipient.filled(provider)
    incoming = _first_usable(provider.incoming, MAIL_TYPES)
    outgoing = _first_usable(provider.outgoing, ["smtp"])
    if incoming is None or outgoing is None:
        return None
    payload = {
        "PayloadType": MAIL,
        MAIL_TYPE: MAIL_TYPES[incoming.type],
        "EmailAccountDescription": description,
        "OutgoingPasswordSameAsIncomingPassword": outgoing.username is not None,
        # Shown to recipients of mail; without it the device asks.
        "EmailAccountName": recipient.person,
        "EmailAddress": str(recipient.address or ""),
    }
    for prefix, server in ((INCOMING, incoming), (OUTGOING, outgoing)):
        payload |= {
            prefix + HOST_NAME: server.hostname,
            prefix + PORT: server.port,
            prefix + USE_SSL: server.socket_type != "plain",
            prefix + METHOD: METHODS[usable(server, METHODS) or "none"],
            prefix + USERNAME: server.username or "",
        }
    return payload


def _active_sync(provider: Provider, recipient: Recipient) -> dict[str, Any] | None:
    """Return an Exchange account for a provider without IMAP and POP3, or None.

    It has the server's host, since iOS asks only Microsoft's servers for Autodiscover.
    """
    if any(server.type in MAIL_TYPES for server in provider.incoming):
        return None
    for server, url in exchange_servers(recipient.filled(provider), "activesync"):
        endpoint = endpoint_of(url)
        if endpoint["port"] in _WEB:
            return {
                "PayloadType": EXCHANGE,
                "Host": endpoint["hostname"],
                "SSL": endpoint["socket_type"] == "SSL",
                "OAuth": usable(server, METHODS) is None,
                "EmailAddress": str(recipient.address or ""),
                "UserName": server.username or "",
            }
    return None


def _first_usable(servers: tuple[Server, ...], types: Container[str]) -> Server | None:
    """Return the first server with a known host that Apple's programs can use."""
    for server in servers:
        if server.type in types and server.hostname and usable(server, METHODS):
            return server
    return None


def _dav(
    servers: tuple[Server, ...], kind: str, recipient: Recipient, description: str
) -> dict[str, Any] | None:
    type_ = kind.lower()
    candidates = (server for server in servers if server.type == type_)
    server = next((server for server in candidates if usable(server, METHODS)), None)
    if server is None or not server.url:
        return None
    url = recipient.url(server.url)
    folder = "" if recipient.address else known_part(server.url, recipient.domain)
    endpoint, path = endpoint_of(url or folder), urlsplit(url).path
    if path == f"/.well-known/{type_}":  # the device tries it by itself
        path = ""
    if not endpoint["hostname"]:
        return None
    return {
        "PayloadType": DAV[kind],
        f"{kind}HostName": endpoint["hostname"],
        f"{kind}Port": endpoint["port"],
        f"{kind}UseSSL": endpoint["socket_type"] == "SSL",
        f"{kind}AccountDescription": description,
        f"{kind}PrincipalURL": path,
        f"{kind}Username": recipient.text(server.username),
    }
