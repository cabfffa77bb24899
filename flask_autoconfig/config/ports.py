"""The types of servers, and the ports that they have by their standards."""

from __future__ import annotations

# (type, socket_type) -> port: RFC 8314, RFC 6120 and XEP-0368, RFC 4513, RFC 9110.
_PORTS: dict[str, dict[str, int]] = {
    "imap": {"SSL": 993, "STARTTLS": 143, "plain": 143},
    "pop3": {"SSL": 995, "STARTTLS": 110, "plain": 110},
    "smtp": {"SSL": 465, "STARTTLS": 587, "plain": 25},
    "xmpp": {"SSL": 5223, "STARTTLS": 5222, "plain": 5222},
    "ldap": {"SSL": 636, "STARTTLS": 389, "plain": 389},
}
_HTTP_PORTS = {"SSL": 443, "plain": 80}
_MICROSOFT_TYPES = {"exchange", "ews", "owa", "activesync", "graph"}
_HTTP_TYPES = {*_MICROSOFT_TYPES, "jmap", "caldav", "carddav", "webdav"}
MAIL_TYPES = ("imap", "pop3", "smtp")  # what speaks a mail protocol at host and port


def standard_port(type_: str, socket_type: str) -> int | None:
    """The port that a service of this type has under this encryption, if one is."""
    ports = _HTTP_PORTS if type_ in _HTTP_TYPES else _PORTS.get(type_, {})
    return ports.get(socket_type)
