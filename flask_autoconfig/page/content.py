"""What the page says of a provider: tables of values, links, words of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..address import Address, fill_in, fill_in_host, fill_in_url, unfold
from ..config.tables import AuthenticationMethod, Method, Provider, Server
from .languages import best_match

Translate = Callable[[str], str]


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for a text to collect)
    """Mark a text that is translated later."""
    return text


_TITLES = {
    "imap": N_("Incoming mail (IMAP)"),
    "pop3": N_("Incoming mail (POP3)"),
    "smtp": N_("Outgoing mail (SMTP)"),
    "caldav": N_("Calendar (CalDAV)"),
    "carddav": N_("Address book (CardDAV)"),
    "webdav": N_("Files (WebDAV)"),
    "xmpp": N_("Chat (XMPP)"),
}
_ENCRYPTION = {
    "SSL": N_("SSL/TLS"),
    "STARTTLS": N_("STARTTLS"),
    "plain": N_("none (your password travels unprotected)"),
}
_METHODS: dict[Method, str] = {
    "password-cleartext": N_("your e-mail password (“normal password”)"),
    "password-encrypted": N_("your e-mail password, sent encrypted (CRAM-MD5)"),
    "http-basic": N_("your e-mail password"),
    "http-digest": N_("your e-mail password"),
    "OAuth2": N_("sign in at your provider’s own page (OAuth2)"),
    "NTLM": N_("your e-mail password (NTLM)"),
    "GSSAPI": N_("your organisation’s sign-on (Kerberos/GSSAPI)"),
    "TLS-client-cert": N_("a certificate on your device (TLS certificate)"),
    "client-IP-address": N_("none: it works in your provider’s network only"),
    "smtp-after-pop": N_("none: fetch your mail first"),
    "none": N_("none"),
}


class Row(NamedTuple):
    """A line of a table: what it is, and the value to enter."""

    label: str
    value: str
    can_copy: bool


class Section(NamedTuple):
    """A server's table."""

    title: str
    rows: list[Row]


class Link(NamedTuple):
    """A page of the provider, with the words for it."""

    url: str
    text: str


class Settings(NamedTuple):
    """What the page tells a person of an account."""

    name: str
    sections: list[Section]
    links: list[Link]
    enable: Link | None
    instructions: list[str]
    webmail: str | None


def settings(
    provider: Provider, address: Address, language: str, _: Translate
) -> Settings:
    """What to enter by hand for an address, in a language, with our texts by `_`."""
    tables = [
        (server, _filled_rows(server, address, _)) for _at, server in provider.servers
    ]

    pages = [(it.url, it.descr) for it in provider.documentation]
    pages += [(it.url, it.descr) for it in provider.instruction if it.url]
    links = [
        Link(url, _best(texts, language) or url)
        for template, texts in pages
        if (url := fill_in_url(template, None, address))
    ]
    words = [_best(it.descr, language) for it in provider.instruction if not it.url]

    enable = None
    if provider.enable:
        text = _best(provider.enable.instruction, language)
        enable = Link(
            fill_in_url(provider.enable.visit_url, None, address),
            text or _("Switch mail programs on in your account first"),
        )

    webmail = provider.webmail.login_page if provider.webmail else None
    return Settings(
        fill_in(provider.display_name, None, address) or unfold(address.domain),
        [
            Section(_(_TITLES[it.type]), rows)
            for it, rows in tables
            if it.type in _TITLES and rows
        ],
        links,
        enable if enable and enable.url else None,
        [fill_in(text, None, address) for text in words if text],
        fill_in_url(webmail, None, address) or None,
    )


def _filled_rows(server: Server, address: Address, _: Translate) -> list[Row]:
    """The table of a server; empty where its host cannot be named for the address."""
    rows = []
    encryption = _ENCRYPTION[server.socket_type or "SSL"]
    host = fill_in_host(server.hostname, None, address)
    url = fill_in_url(server.url, None, address)
    if not (host or url):
        return []
    if host:
        rows += [
            Row(_("Server"), host, True),
            Row(_("Port"), str(server.port), True),
            Row(_("Encryption"), _(encryption), False),
        ]

    if url:
        rows.append(Row(_("Address (URL)"), url, True))

    if server.username:
        username = fill_in(server.username, None, address)
        rows.append(Row(_("User name"), username, True))
    rows.append(Row(_("Password"), _(_method(server.authentication)), False))
    return rows


def _method(methods: Iterable[Method]) -> str:
    first = next(iter(methods))
    if isinstance(first, AuthenticationMethod):
        return _METHODS["password-cleartext"]
    return _METHODS[first]


def _best(texts: dict[str, str], language: str) -> str:
    """The text in the reader's language, else in English or in none, else the first."""
    for wanted in (language, "en", ""):
        tag = best_match([wanted], texts)
        if tag is not None:
            return texts[tag]
    return next(iter(texts.values()), "")
