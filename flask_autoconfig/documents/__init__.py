"""The documents that clients read, one module for each format."""

import re
from collections.abc import Callable, Container
from typing import NamedTuple

from msgspec import structs

from ..address import PLACEHOLDERS, Address, fill_in, fill_in_host, fill_in_url
from ..config.tables import URL_KEYS, AuthenticationMethod, Method, Provider, Server

# Of a provider's names, in characters: no document has more (autoconfig draft -06, PACC).
LONGEST_NAME = 60
LONGEST_SHORT_NAME = 20


def shortened(name: str, max_length: int) -> str:
    """Return a provider's name, cut to a length but not within a placeholder."""
    for placeholder in re.finditer("|".join(PLACEHOLDERS), name):
        if placeholder.start() < max_length < placeholder.end():
            max_length = placeholder.start()
    return name[:max_length].rstrip()


def usable(server: Server, methods: Container[Method]) -> Method | None:
    """Return the server's best method among those that a client supports, or None.

    A server without such a method must not be offered to the client.
    """
    for method in server.authentication:
        if isinstance(method, AuthenticationMethod):
            method = _SASL.get(method.name.upper(), method)
        if method in methods:
            return method
    return None


# The SASL mechanisms that the formats have their own words for.
_SASL: dict[str, Method] = {
    "PLAIN": "password-cleartext",
    "LOGIN": "password-cleartext",
    "CRAM-MD5": "password-encrypted",
}


# The tag of each language, English first, and the function that translates a text into it.
Words = tuple[tuple[str, Callable[[str], str]], ...]


class Recipient(NamedTuple):
    """The person or domain that a document is for, as far as the request names them."""

    domain: str | None = None  # A-labels
    address: Address | None = None
    exact: bool = True  # the provider claims the domain by name, not by a pattern
    mx_domain: str | None = None  # where only the domain of MX hosts is known
    person: str = ""  # the person's name, as recipients of mail see it
    language: str = "en"  # the tag of one of the words' languages
    words: Words = (("en", str),)

    def name_of(self, provider: Provider) -> str:
        """Return the provider's id, or the domain that replaces it for the recipient.

        Without an id, that is the first domain. With `list_domains = false`, which hides
        customers' domains, it is the requested domain, the one of the MX hosts, or "".
        """
        if provider.id or provider.list_domains:
            return provider.identity
        return self.domain or self.mx_domain or ""

    def text(self, text: str | None) -> str:
        """Return a text with its placeholders filled in; "" if a value is unknown."""
        return fill_in(text, self.domain, self.address)

    def host(self, host: str | None) -> str:
        return fill_in_host(host, self.domain, self.address)

    def url(self, url: str | None) -> str:
        return fill_in_url(url, self.domain, self.address)

    def filled(self, provider: Provider) -> Provider:
        """Return the provider with the placeholders in its servers filled in.

        A server whose host and URLs are unknown is left out; an unknown user name is "".
        """
        return provider.with_servers(self._filled)

    def _filled(self, server: Server) -> Server | None:
        host = self.host(server.hostname) or None
        username = server.username and self.text(server.username)
        urls = {
            key: self.url(url) or None
            for key in URL_KEYS
            if (url := getattr(server, key, None)) is not None
        }
        if not (host or any(urls.values())):
            return None
        return structs.replace(server, hostname=host, username=username, **urls)


ANYBODY = Recipient()


class Format(NamedTuple):
    """A kind of document: how it is written and sent."""

    name: str  # as `show --format` calls it
    content_type: str
    # Returns None if the format cannot express anything of the provider.
    write: Callable[[Provider, Recipient], bytes | None]
    has_address: bool = False  # otherwise the client fills the placeholders in
    # If one document with `%EMAILDOMAIN%` serves many domains: returns the recipient to
    # write it for, given the requesting one.
    template_recipient: Callable[[Provider, Recipient], Recipient] | None = None
    # Its clients log in with the address: it is not served if a hook returns login names.
    implies_login: bool = False
    is_signed: bool = False  # with the certificate of the file's `[sign]`
    extension: str = ""  # of the file that a browser saves it as
