"""What clients read: a provider goes in, bytes come out. One module a format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from ..address import Address
from ..config.tables import Provider


class Recipient(NamedTuple):
    """Whom a document is for, as far as the request says."""

    domain: str | None = None  # A-labels
    address: Address | None = None
    exact: bool = True  # the provider claims the domain by name, not by a pattern
    mx_domain: str | None = None  # of the MX hosts that were asked, without a domain

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
    # Where one text with `%EMAILDOMAIN%` serves many domains of a provider: the recipient
    # to write it for, given the one who asks.
    stand_in: Callable[[Provider, Recipient], Recipient] | None = None
    is_signed: bool = False  # with the certificate of the file's `[sign]`
    extension: str = ""  # of the file that a browser saves it as
