"""The table `[provider.page]`: the page for people in the provider's clothes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from ..address import parse_address
from .keys import Line, Table, Texts, Url
from .values import line, quote

# The tiles of the page; page/programs.py says what each of them needs and does.
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
    """A colour as HTML writes it, `#rrggbb` in lower case."""
    text = line(value).lower()
    if not _COLOUR.fullmatch(text):
        raise ValueError(
            f"expected a colour, got {quote(value)}", 'write one like "#1456b8"'
        )
    return text if len(text) == 7 else "#" + "".join(2 * it for it in text[1:])


def phone(value: str) -> str:
    """A telephone number as people write it; a link dials its digits."""
    digits = sum(map(str.isdigit, line(value)))
    if not _PHONE.fullmatch(value) or not 3 <= digits <= 15:  # ITU-T E.164, section 6
        raise ValueError(
            f"expected a telephone number, got {quote(value)}",
            'write one like "+41 44 123 45 67"',
        )
    return value


def email(value: str) -> str:
    """An e-mail address."""
    try:
        parse_address(line(value))
    except ValueError:
        raise ValueError(
            f"expected an e-mail address, got {quote(value)}",
            'write one like "help@example.com"',
        ) from None
    return value


class Contact(Table, frozen=True):
    """Whom a person may ask for help."""

    name: Annotated[Line | None, Meta(description="Who helps.")] = None
    phone: Annotated[
        Annotated[str, Meta(extra={"value": phone})] | None,
        Meta(description="The telephone number, as +41 44 123 45 67."),
    ] = None
    email: Annotated[
        Annotated[str, Meta(extra={"value": email})] | None,
        Meta(description="The e-mail address."),
    ] = None
    url: Annotated[Url | None, Meta(description="A page with help.")] = None
    hours: Annotated[
        Line | None, Meta(description="When somebody is there, in words.")
    ] = None


class ProviderPage(Table, frozen=True):
    """How the page for people looks, and what it offers."""

    logo: Annotated[
        Line | None,
        Meta(
            description="A picture, PNG, SVG, JPEG or WebP, 64 KiB at most; its path "
            "counts from this file's folder."
        ),
    ] = None
    colour: Annotated[
        Annotated[str, Meta(extra={"value": colour})] | None,
        Meta(description="The colour of its head and buttons, as #1456b8."),
    ] = None
    programs: Annotated[
        Annotated[
            tuple[ProgramName, ...], Meta(min_length=1, extra={"item": "program"})
        ]
        | None,
        Meta(description="The programs that it offers, in this order; all by default."),
    ] = None
    privacy_url: Annotated[
        Url | None, Meta(description="The page about the protection of data.")
    ] = None
    intro: Annotated[
        Texts, Meta(description='The first sentence, by language: {en = "…"}.')
    ] = {}
    contact: Annotated[Contact | None, Meta(description="Whom a person asks.")] = None
