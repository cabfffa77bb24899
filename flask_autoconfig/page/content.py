"""What the page says of a provider: all its settings, links, words of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from ..address import Address, fill_in, fill_in_host, fill_in_url, unfold
from ..config.tables import AuthenticationMethod, Method, Provider, Server
from .languages import best_match
from .words import N_, Words

_TITLES = {
    "imap": N_("Incoming mail (IMAP)"),
    "pop3": N_("Incoming mail (POP3)"),
    "smtp": N_("Outgoing mail (SMTP)"),
    "caldav": N_("Calendar (CalDAV)"),
    "carddav": N_("Address book (CardDAV)"),
    "webdav": N_("Files (WebDAV)"),
    "xmpp": N_("Chat (XMPP)"),
    # Names that are the same in every language.
    "jmap": "JMAP",
    "ews": "Exchange (EWS)",
    "activesync": "Exchange (ActiveSync)",
}
_ENCRYPTION = {
    "SSL": "SSL/TLS",
    "STARTTLS": "STARTTLS",
    "plain": N_("none (your password travels unprotected)"),
}
_LABELS: dict[Method, str] = {
    "password-cleartext": "thunderbird.normal-password",
    "password-encrypted": "thunderbird.encrypted-password",
}
_METHODS: dict[Method, str] = {
    "password-cleartext": N_("your e-mail password"),
    "password-encrypted": N_("your e-mail password"),
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
_MAIL = ("imap", "pop3", "smtp")


class Row(NamedTuple):
    """A line of the table: what it is, and the value to enter."""

    label: str
    value: str
    can_copy: bool


class Section(NamedTuple):
    """A server's part of the table."""

    title: str
    rows: list[Row]
    is_main: bool = True  # shown at once; another is folded
    is_recommended: bool = False


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

    @property
    def main(self) -> list[Section]:
        """What is shown at once."""
        return [it for it in self.sections if it.is_main]

    @property
    def further(self) -> list[Section]:
        """What is folded."""
        return [it for it in self.sections if not it.is_main]


def settings(provider: Provider, address: Address, words: Words) -> Settings:
    """What to enter by hand for an address, and where the provider says more."""
    pages = [(it.url, it.descr) for it in provider.documentation]
    pages += [(it.url, it.descr) for it in provider.instruction if it.url]
    links = [
        Link(url, best_text(texts, words.language) or url)
        for template, texts in pages
        if (url := fill_in_url(template, None, address))
    ]
    told = [
        best_text(it.descr, words.language) for it in provider.instruction if not it.url
    ]

    enable = None
    if provider.enable:
        text = best_text(provider.enable.instruction, words.language)
        enable = Link(
            fill_in_url(provider.enable.visit_url, None, address),
            text or words.say("Switch mail programs on in your account first"),
        )

    webmail = provider.webmail.login_page if provider.webmail else None
    return Settings(
        fill_in(provider.display_name, None, address) or unfold(address.domain),
        list(_sections(provider, address, words)),
        links,
        enable if enable and enable.url else None,
        [fill_in(text, None, address) for text in told if text],
        fill_in_url(webmail, None, address) or None,
    )


def _sections(provider: Provider, address: Address, words: Words) -> Iterator[Section]:
    """The parts of the table: IMAP first, POP3 and second servers folded."""
    known = [it for _, it in provider.servers if it.type in _TITLES]
    types = {it.type for it in known}
    seen: set[str] = set()
    for server in sorted(known, key=lambda it: it.type == "pop3"):
        rows = _filled_rows(server, address, words)
        if not rows:
            continue
        is_second = server.type in seen or (server.type == "pop3" and "imap" in seen)
        seen.add(server.type)
        is_best = server.type == "imap" and not is_second and "pop3" in types
        title = words.say(_TITLES[server.type])
        yield Section(title, rows, not is_second, is_best)


def _filled_rows(server: Server, address: Address, words: Words) -> list[Row]:
    """The rows of a server; none where its host cannot be named for the address."""
    rows = []
    encryption = words.say(_ENCRYPTION[server.socket_type or "SSL"])
    host = fill_in_host(server.hostname, None, address)
    url = fill_in_url(server.url, None, address)
    if not (host or url):
        return []
    if host:
        rows += [
            Row(words.say("Server"), host, True),
            Row(words.say("Port"), str(server.port), True),
            Row(words.label("thunderbird.connection-security"), encryption, False),
        ]
    if url:
        rows.append(Row(words.say("Address (URL)"), url, True))
    if server.username:
        username = fill_in(server.username, None, address)
        rows.append(Row(words.say("User name"), username, True))
    if server.type in _MAIL:
        label: str = words.label("thunderbird.authentication-method")
    else:
        label = words.say("Password")
    rows.append(Row(label, _methods(server, words), False))
    return rows


def _methods(server: Server, words: Words) -> Markup:
    """The ways to log in: the best one, and a password where it is another."""
    known = [_in_words(it, server, words) for it in server.authentication]
    names = list(dict.fromkeys(known))
    return (
        names[0]
        if len(names) == 1
        else words.say("%(best)s, or: %(next)s", best=names[0], next=names[1])
    )


def _in_words(method: Method, server: Server, words: Words) -> Markup:
    if isinstance(method, AuthenticationMethod):
        method = "password-cleartext"
    if method in _LABELS and server.type in _MAIL:
        return words.label(_LABELS[method])
    return words.say(_METHODS[method])


def best_text(texts: dict[str, str], language: str) -> str:
    """The text in the reader's language, else in English or in none, else the first."""
    for wanted in (language, "en", ""):
        tag = best_match([wanted], texts)
        if tag is not None:
            return texts[tag]
    return next(iter(texts.values()), "")
