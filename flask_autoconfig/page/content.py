"""The content of the page for a provider: all settings, links, and its own texts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from markupsafe import Markup

from ..address import Address, fill_in, fill_in_host, fill_in_url
from ..config.tables import AuthenticationMethod, Method, Provider, Server
from .alone import macro
from .words import N_, Words, best_match

_TITLES = {
    "imap": N_("Incoming mail (IMAP)"),
    "pop3": N_("Incoming mail (POP3)"),
    "smtp": N_("Outgoing mail (SMTP)"),
    "caldav": N_("Calendar (CalDAV)"),
    "carddav": N_("Address book (CardDAV)"),
    "webdav": N_("Files (WebDAV)"),
    "xmpp": N_("Chat (XMPP)"),
    # These are the same in every language.
    "jmap": "JMAP",
    "ews": "Exchange (EWS)",
    "activesync": "Exchange (ActiveSync)",
}
_ENCRYPTION = {
    "SSL": "SSL/TLS",
    "STARTTLS": "STARTTLS",
    "plain": N_("none (your password travels unprotected)"),
}
_NO_ENCRYPTION = N_("none (no encryption)")  # where no password travels
_PASSWORDS: tuple[Method, ...] = (
    *("password-cleartext", "password-encrypted", "http-basic", "http-digest"),
)
_TYPED = {*_PASSWORDS, "NTLM"}
_METHODS: dict[Method, str] = {
    **dict.fromkeys(_PASSWORDS, N_("your e-mail password")),
    "OAuth2": N_("sign in at your provider’s own page (OAuth2)"),
    "NTLM": N_("your e-mail password (NTLM)"),
    "GSSAPI": N_("your organisation’s sign-on (Kerberos/GSSAPI)"),
    "TLS-client-cert": N_("a certificate on your device (TLS certificate)"),
    "client-IP-address": N_("none: it works in your provider’s network only"),
    "smtp-after-pop": N_("none: fetch your mail first"),
    "none": N_("none"),
}
_APP_METHODS = _METHODS | dict.fromkeys(_PASSWORDS, N_("your app password"))
# Labels of Thunderbird, for the servers of mail.
_LABELS: dict[Method, str] = {
    "password-cleartext": "thunderbird.normal-password",
    "password-encrypted": "thunderbird.encrypted-password",
}
_MAIL = ("imap", "pop3", "smtp")


class Row(NamedTuple):
    """A row of the table: a label, and the value to enter."""

    label: str
    value: str
    can_copy: bool


class Section(NamedTuple):
    """The rows of one server."""

    title: str
    rows: list[Row]
    is_main: bool  # shown at once; the others are folded
    is_recommended: bool


class Link(NamedTuple):
    """A link to a page of the provider."""

    url: str
    text: str


class Settings(NamedTuple):
    """The settings of an account, and what the provider has to say about them."""

    sections: list[Section]
    links: list[Link]
    enable: Link | None
    instructions: list[str]
    webmail: str | None
    takes_password: bool  # one that people type


def settings(
    provider: Provider, address: Address, words: Words, has_app_password: bool
) -> Settings:
    """Return the settings of an address, in the visitor's language."""

    best = partial(best_text, language=words.language, address=address)

    def link(url: str | None, texts: dict[str, str], default: str = "") -> Link:
        filled_in = fill_in_url(url, None, address)
        return Link(filled_in, best(texts) or default or filled_in)

    enable = None
    if provider.enable:
        default = words.say("First allow mail programs in your account")
        enable = link(provider.enable.visit_url, provider.enable.instruction, default)
    links = [link(page.url, page.descr) for page in provider.documentation]
    links += [link(note.url, note.descr) for note in provider.instruction if note.url]
    texts = [best(note.descr) for note in provider.instruction if not note.url]
    webmail = provider.webmail.login_page if provider.webmail else None
    return Settings(
        list(_sections(provider, address, words, has_app_password)),
        [link for link in links if link.url],
        enable if enable and enable.url else None,
        [text for text in texts if text],
        fill_in_url(webmail, None, address) or None,
        any(_takes_password(server) for _, server in provider.servers),
    )


def best_text(
    texts: dict[str, str],
    language: str,
    address: Address | None,
    domain: str | None = None,
) -> str:
    """Return the text in a language, else in English, else in none, else any.

    If it is in another language, it is marked as such.
    """
    tag = best_match([language, "en", ""], texts)
    tag = next(iter(texts), "") if tag is None else tag
    text = fill_in(texts.get(tag, ""), domain, address)
    if not text or not tag or best_match([language], [tag]):
        return text
    return macro("foreign")(text, tag)


def _sections(
    provider: Provider, address: Address, words: Words, has_app_password: bool
) -> Iterator[Section]:
    """Yield the servers with a title, POP3 last; POP3 and second servers are folded."""
    texts = _APP_METHODS if has_app_password else _METHODS
    servers = [server for _, server in provider.servers if server.type in _TITLES]
    types = {server.type for server in servers}
    seen: set[str] = set()
    for server in sorted(servers, key=lambda server: server.type == "pop3"):
        rows = _rows(server, address, words, texts)
        if not rows:
            continue
        is_second_choice = server.type == "pop3" and "imap" in seen
        is_main = server.type not in seen and not is_second_choice
        seen.add(server.type)
        is_recommended = server.type == "imap" and is_main and "pop3" in types
        yield Section(words.say(_TITLES[server.type]), rows, is_main, is_recommended)


def _rows(
    server: Server, address: Address, words: Words, texts: dict[Method, str]
) -> list[Row]:
    """Return the rows of a server, none if the address does not determine its host."""
    host = fill_in_host(server.hostname, None, address)
    url = fill_in_url(server.url, None, address)
    if not (host or url):
        return []
    rows = []
    if host:
        encryption = _ENCRYPTION[server.socket_type or "SSL"]
        if server.socket_type == "plain" and not _takes_password(server):
            encryption = _NO_ENCRYPTION
        rows += [
            Row(words.say("Server"), host, True),
            Row(words.say("Port"), str(server.port), True),
            Row(
                words.label("thunderbird.connection-security"),
                words.say(encryption),
                False,
            ),
        ]
    if url:
        rows.append(Row(words.say("Address (URL)"), url, True))
    if server.username:
        username = fill_in(server.username, None, address)
        rows.append(Row(words.say("User name"), username, True))
    label = words.say("Password")
    if server.type in _MAIL:
        label = words.label("thunderbird.authentication-method")
    # The two best methods.
    every = (_method(method, server, words, texts) for method in server.authentication)
    methods, *others = dict.fromkeys(every)
    if others:
        methods = words.say("%(best)s, or: %(next)s", best=methods, next=others[0])
    return [*rows, Row(label, methods, False)]


def _takes_password(server: Server) -> bool:
    methods = server.authentication  # SASL names count as passwords
    return any(it in _TYPED or isinstance(it, AuthenticationMethod) for it in methods)


def _method(
    method: Method, server: Server, words: Words, texts: dict[Method, str]
) -> Markup:
    if isinstance(method, AuthenticationMethod):
        method = "password-cleartext"
    if method in _LABELS and server.type in _MAIL:
        return words.label(_LABELS[method])
    return words.say(texts[method])
