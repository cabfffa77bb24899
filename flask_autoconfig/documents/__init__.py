"""What clients read: a provider goes in, bytes come out. One module a format."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Literal, NamedTuple, Protocol

from ..address import PLACEHOLDERS, Address
from ..config.tables import AuthenticationMethod, Method, Provider, Server

# Of a provider's names, in characters: no document has more (autoconfig draft -06, PACC).
LONGEST_NAME = 60
LONGEST_SHORT_NAME = 20


def shortened(name: str, most: int) -> str:
    """A provider's name in so many characters at most, no placeholder cut through."""
    for placeholder in re.finditer("|".join(PLACEHOLDERS), name):
        if placeholder.start() < most < placeholder.end():
            most = placeholder.start()
    return name[:most].rstrip()


def usable(server: Server, methods: Container[Method]) -> Method | None:
    """Return the server's best method among those that a client has, or None.

    A client that has none of them must not be offered the server.
    """
    known = (
        _SASL.get(method.name.upper(), method)
        if isinstance(method, AuthenticationMethod)
        else method
        for method in server.authentication
    )
    return next((method for method in known if method in methods), None)


# The SASL mechanisms for which the formats have words of their own.
_SASL: dict[str, Method] = {
    "PLAIN": "password-cleartext",
    "LOGIN": "password-cleartext",
    "CRAM-MD5": "password-encrypted",
}


class Words(Protocol):
    """What a document says to people, in each language that there is."""

    def best(self, wanted: str) -> str:
        """The tag of the language for whoever wants that one; English for nobody's."""

    def languages(self) -> list[str]:
        """The tags of all languages, English first."""

    def say(self, text: str, language: str) -> str:
        """A text in the language of that tag; as it is where nobody translated it."""


class _English:
    """The words as they are in the code."""

    def best(self, wanted: str) -> str:
        return "en"

    def languages(self) -> list[str]:
        return ["en"]

    def say(self, text: str, language: str) -> str:
        return text


ENGLISH: Words = _English()


class Recipient(NamedTuple):
    """Whom a document is for, as far as the request says."""

    domain: str | None = None  # A-labels
    address: Address | None = None
    exact: bool = True  # the provider claims the domain by name, not by a pattern
    mx_domain: str | None = None  # of the MX hosts that were asked, without a domain
    person: str = ""  # the person's name, as recipients of mail see it
    language: str = "en"  # the tag of one of the words' languages
    words: Words = ENGLISH

    def name_of(self, provider: Provider) -> str:
        """What the provider is called to them: its id, or what stands for that.

        It is the first domain, but where no customer is to be told of another: there
        it is their own domain or that of the MX hosts, "" where they name none.
        """
        if provider.id or provider.list_domains:
            return provider.identity
        return self.domain or self.mx_domain or ""


ANYBODY = Recipient()

# The document, or None where the format has no place for anything of the provider.
Writer = Callable[[Provider, Recipient], bytes | None]


class Format(NamedTuple):
    """A document that clients read, and how it goes out."""

    name: str  # as `show --format` calls it
    content_type: str
    write: Writer
    # What makes it another for another person of a domain: nothing (placeholders are
    # the client's to fill in), the login name that a site's hook has, or the address.
    differs_by: Literal["nothing", "login", "address"]
    # Whether there is a document for a recipient of a known domain; it writes none.
    is_there: Callable[[Provider, Recipient], bool] = lambda _provider, _recipient: True
    # Where one text with `%EMAILDOMAIN%` serves many domains of a provider: the recipient
    # to write it for, given the one who asks.
    stand_in: Callable[[Provider, Recipient], Recipient] | None = None
    # Its readers log in with the address, so that it says nothing where a site's hook has
    # the login names.
    implies_login: bool = False
    is_signed: bool = False  # with the certificate of the file's `[sign]`
    extension: str = ""  # of the file that a browser saves it as
