"""The content of the page for a provider: its servers, links, and its own texts."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ..address import Address, fill_in, fill_in_url
from ..config.tables import AuthenticationMethod, Server
from ..documents import best_match
from .alone import macro
from .programs import Account
from .words import Words

_TYPED = (
    *("password-cleartext", "password-encrypted", "http-basic", "http-digest", "NTLM"),
)


class Section(NamedTuple):
    """A server in the table of all settings."""

    server: Server
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


def settings(account: Account, words: Words) -> Settings:
    """Return the settings of an account, in the visitor's language."""
    provider, address = account.provider, account.address
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
        _sections([server for _, server in account.filled.servers]),
        [link for link in links if link.url],
        enable if enable and enable.url else None,
        [text for text in texts if text],
        fill_in_url(webmail, None, address) or None,
        any(
            method in _TYPED or isinstance(method, AuthenticationMethod)
            for _, server in provider.servers
            for method in server.authentication
        ),
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


def _sections(servers: list[Server]) -> list[Section]:
    """Return the servers, POP3 last; POP3 and second servers of a type are folded."""
    types = [server.type for server in servers]
    sections: list[Section] = []
    for server in sorted(servers, key=lambda server: server.type == "pop3"):
        before = [section.server.type for section in sections]
        is_second_choice = server.type == "pop3" and "imap" in types
        is_main = server.type not in before and not is_second_choice
        is_recommended = server.type == "imap" and is_main and "pop3" in types
        sections.append(Section(server, is_main, is_recommended))
    return sections
