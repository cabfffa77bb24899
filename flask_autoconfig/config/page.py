"""The table `[provider.page]`: the look and the content of the setup page."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from ..address import parse_address
from .keys import Line, Table, Texts, Url
from .values import line, quote

# The programs that the page can offer; page/programs.py describes each of them.
ProgramName = Literal[
    "iphone",
    "mac",
    "gmail",
    "samsung",
    "thunderbird-mobile",
    "davx5",
    "outlook-new",
    "outlook-classic",
    "outlook-mobile",
    "thunderbird",
    "evolution",
    "other",
]

_COLOUR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")
_PHONE = re.compile(r"\+?[0-9 ()/.\u00a0\u202f-]*")


def colour(value: str) -> str:
    """Return an HTML colour as `#rrggbb` in lower case."""
    text = line(value).lower()
    if not _COLOUR.fullmatch(text):
        message = f"expected a colour, got {quote(value)}"
        raise ValueError(message, 'write one like "#1456b8"')
    return text if len(text) == 7 else "#" + "".join(2 * digit for digit in text[1:])


def phone(value: str) -> str:
    """Return a telephone number as written; a link dials its digits."""
    digits = sum(map(str.isdigit, line(value)))
    if not _PHONE.fullmatch(value) or not 3 <= digits <= 15:  # ITU-T E.164, section 6
        message = f"expected a telephone number, got {quote(value)}"
        raise ValueError(message, 'write one like "+41 44 123 45 67"')
    return value


def email(value: str) -> str:
    """Return an e-mail address as written."""
    try:
        parse_address(line(value))
    except ValueError:
        message = f"expected an e-mail address, got {quote(value)}"
        raise ValueError(message, 'write one like "help@example.com"') from None
    return value


Colour = Annotated[str, Meta(extra={"value": colour})]
Phone = Annotated[str, Meta(extra={"value": phone})]
Email = Annotated[str, Meta(extra={"value": email})]
Programs = Annotated[
    tuple[ProgramName, ...], Meta(min_length=1, extra={"item": "program"})
]


class Contact(Table, frozen=True):
    """Who can help."""

    name: Line | None = None
    phone: Phone | None = None
    email: Email | None = None
    url: Url | None = None
    hours: Line | None = None


class ProviderPage(Table, frozen=True):
    """The look and the content of the setup page."""

    logo: Line | None = None
    colour: Colour | None = None
    programs: Programs | None = None
    privacy_url: Url | None = None
    intro: Texts = {}
    contact: Contact | None = None
