"""Answers a visitor of the page; the stage that shows it gives the template."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup
from msgspec import structs

from ..address import Address, fill_in, fill_in_url, parse_address, unfold
from ..answers import (
    BAD_ADDRESS,
    NOT_SERVED,
    OK,
    PRIVATE,
    SECURITY_HEADERS,
    Answer,
    Header,
    Request,
)
from ..config.page import Contact
from ..documents import apple
from ..lookup import Lookup
from ..snapshot import Served
from . import content, near, pictures
from .account import Account, Ready
from .alone import body_of
from .languages import best_match, languages, translations
from .programs import Program, chosen, usable
from .visit import Visit
from .words import Words, words_in

# Nothing from elsewhere, not to be framed.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Tile(NamedTuple):
    """A program that can be chosen."""

    id: str
    name: str
    href: str
    is_here: bool  # it runs on this device
    is_chosen: bool
    is_on_phone: bool
    where: str = ""  # the device that it runs on, for those who hold another


class Brand(NamedTuple):
    """The provider's clothes; each of them may be missing."""

    name: str = ""
    intro: str = ""
    logo: str = ""  # where the picture is
    colours: str = ""  # where the style sheet with its colour is
    contact: Contact | None = None
    privacy_url: str = ""


class Language(NamedTuple):
    """A language that can be chosen."""

    tag: str
    name: str  # in itself
    href: str


class Page(NamedTuple):
    """What the templates know, as `autoconfig_page`."""

    say: Callable[..., str]  # a text of ours in the visitor's language
    label: Callable[..., str]  # a program's own, see labels.toml
    language: str  # its tag
    path: str  # the page's own; its style and script lie below
    typed: str  # what was asked for
    error: str | None = None  # why nothing is shown for that
    settings: content.Settings | None = None  # what to enter by hand
    address: str = ""  # as people write it
    here: str = ""  # the page's own address for that e-mail address
    picture: str | None = None  # where the QR code of `here` is
    profile: str | None = None  # where the Apple profile is
    direction: str = "ltr"  # of the language
    brand: Brand = Brand()
    languages: tuple[Language, ...] = ()  # the others
    lang: str = ""  # the language that was asked for, "" for the browser's
    device: str = ""
    meant: str = ""  # the address that was probably meant
    meant_href: str = ""
    tiles: tuple[Tile, ...] = ()
    program: Program | None = None  # the one that is chosen
    account: Account | None = None  # what the steps are written for
    box: tuple[Ready, Ready] | None = None  # the servers that the program can use
    name: str = ""  # the person's
    code: str | None = None  # where the QR code of the account is
    document: str | None = None  # the document for programs and administrators
    origin: str = ""  # the page's own, where it is surely the provider's
    change: str = ""  # the page for another address
    example: str = "example.com"  # a domain to type an address of
    is_in_site: bool = False  # in a site's own template
    is_unknown: bool = False  # the error: nobody here serves the address
    program_asked: str = ""  # what the address of the page says
    nonce: str = ""  # of a site's policy, for its script and style

    @property
    def content(self) -> Markup:
        """All that the page says, without a layout, as HTML."""
        return Markup(body_of(self))  # noqa: S704 (our own template escapes)

    @property
    def dialled(self) -> str:
        """The contact's telephone number as a link has it (RFC 3966)."""
        phone = (self.brand.contact and self.brand.contact.phone) or ""
        return re.sub(r"(?!^\+)[^0-9]", "", phone.replace("(0)", ""))

    @property
    def first_tiles(self) -> list[Tile]:
        """Those of this device, and the chosen one."""
        return [it for it in self.tiles if it.is_here or it.is_chosen]

    @property
    def other_tiles(self) -> list[Tile]:
        """The rest."""
        return [it for it in self.tiles if not (it.is_here or it.is_chosen)]


def answer(lookup: Lookup, asked: Request) -> Answer:
    """The page for whoever asks; the template says how it looks."""
    visit = Visit(asked)
    own = lookup.stage().catalogs()
    there = languages(own)
    language = _language(lookup, visit, there)
    words = words_in(language, translations(language, own))
    path = visit.path()
    typed = visit.typed
    lang = language if visit.lang else ""
    page = Page(words.say, words.label, language, path, visit.shown, lang=lang)
    page = page._replace(
        direction=words.direction,
        device=visit.device,
        program_asked=visit.program,
    )
    query = f"emailaddress={quote(typed)}" if typed else ""
    served = lookup.find_person(query, asked.host)

    status, address = OK, None
    if isinstance(served, Served) and typed and served.address is not None:
        address = served.address
        page = _with_brand(page, served, visit, words)
        page = _with_settings(page, lookup, served, address, visit, words)
    elif typed:
        status = served.status if isinstance(served, Answer) else NOT_SERVED.status
        page = _with_error(page, lookup, visit, words, is_address=served != BAD_ADDRESS)
    elif isinstance(served, Served):
        page = _with_brand(page, served, visit, words)
    page = page._replace(
        languages=tuple(_others(page, visit, there, address)),
        change=f"{path}?{query}" if (query := visit.query()) else path,
    )
    shown = lookup.stage().show(page, POLICY)
    body = shown.html.encode()
    return Answer(status, body, _headers(shown.policy), common=SECURITY_HEADERS)


def _language(lookup: Lookup, visit: Visit, there: dict[str, str]) -> str:
    """What was asked for, the site's choice, else the browser's; as far as it is there."""
    said = [visit.lang, lookup.stage().language() or ""]
    return best_match([*filter(None, said), *visit.languages], there) or "en"


def _others(
    page: Page, visit: Visit, there: dict[str, str], address: Address | None
) -> list[Language]:
    """The other languages, each by its own name."""
    found = []
    for tag in there:
        if tag == page.language:
            continue
        query = visit.query(address, lang=tag, name=visit.name)
        if address is None and page.typed:
            query = f"emailaddress={quote(page.typed)}&{query}"
        found.append(Language(tag, _NAMES.get(tag, tag), f"{page.path}?{query}"))
    return found


_NAMES = {
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "nl": "Nederlands",
    "pt-BR": "Português (Brasil)",
}


def _with_error(
    page: Page, lookup: Lookup, visit: Visit, words: Words, *, is_address: bool
) -> Page:
    """Why there is nothing, what was probably meant, and whom to ask."""
    served = lookup.find("", visit.asked.host)
    if isinstance(served, Served):
        page = _with_brand(page, served, visit, words)
    if not is_address:
        error = words.say("That is no e-mail address. It looks like name@example.com.")
        return page._replace(error=error)
    address = parse_address(visit.typed)
    domain = unfold(address.domain)
    error = words.say("“%(domain)s” is not one of our domains.", domain=domain)
    page = page._replace(error=error, is_unknown=True)
    meant = near.meant(address.domain, lookup.snapshot.loaded)
    if meant is None:
        return page
    better = Address(address.local, meant)
    return page._replace(
        meant=f"{better.local}@{unfold(meant)}",
        meant_href=f"{page.path}?{visit.query(better)}",
    )


def _with_brand(page: Page, served: Served, visit: Visit, words: Words) -> Page:
    provider = served.public_provider
    domain = served.match.domain
    known = served.domain_or_name
    named = fill_in(provider.display_name, domain, served.address)
    name = named or unfold(known)
    look = provider.page
    brand = Brand(name)
    if look is not None:
        contact = look.contact
        if contact is not None:
            url = fill_in_url(contact.url, domain, served.address) or None
            contact = structs.replace(contact, url=url)
        intro = content.best_text(look.intro, words.language)
        brand = Brand(
            name,
            fill_in(intro, domain, served.address),
            pictures.logo_path(page.path, served),
            f"{page.path}/colours.css?colour={look.colour[1:]}" if look.colour else "",
            contact,
            fill_in_url(look.privacy_url, domain, served.address),
        )
    origin = visit.origin if _is_own(served, visit) else ""
    example = unfold(known) if known else page.example
    return page._replace(brand=brand, origin=origin, example=example)


def _is_own(served: Served, visit: Visit) -> bool:
    """Whether the page was asked for over https on a name of the provider's."""
    if not visit.origin.startswith("https://") or served.hooked:
        return False
    directory = served.snapshot.directory
    match = directory.by_host(visit.asked.host)
    if match is None or match.provider_index != served.match.provider_index:
        return False
    return bool(match.mx_domain) or directory.claims(match.domain or "")


def _with_settings(
    page: Page,
    lookup: Lookup,
    served: Served,
    address: Address,
    visit: Visit,
    words: Words,
) -> Page:
    provider = served.provider
    profile = _profile(lookup, served)
    account = Account(
        provider,
        address,
        page.brand.name,
        frozenset(lookup.paths),
        visit.device,
        visit.name,
        served.snapshot.loaded.signer is not None,
        profile,
    )
    wanted = provider.page.programs if provider.page else None
    programs = usable(account, wanted)
    if any(it.id == "davx5" for it in programs):
        davx5 = visit.query(address, program="davx5", name=visit.name)
        account = account._replace(davx5=f"{page.path}?{davx5}")
    program = chosen(programs, visit.program, visit.device)
    query = visit.query(address, program=program.id if program else "")
    here = f"{visit.origin}{quote(page.path)}?{query}"
    return page._replace(
        settings=content.settings(provider, address, words),
        address=account.shown,
        here=here,
        picture=f"{page.path}/qr.svg?{query}" if pictures.fits(here) else None,
        profile=f"{visit.root}{profile}" if profile else None,
        tiles=tuple(_tiles(page, programs, program, visit, address, words)),
        program=program,
        account=account,
        box=program.box(account) if program else None,
        name=visit.name,
        code=pictures.code_path(page.path, account, visit),
        document=_document(lookup, visit, address),
    )


def _tiles(
    page: Page,
    programs: list[Program],
    program: Program | None,
    visit: Visit,
    address: Address,
    words: Words,
) -> list[Tile]:
    return [
        Tile(
            it.id,
            words.say(it.name),
            f"{page.path}?{visit.query(address, program=it.id, name=visit.name)}#steps",
            bool(visit.device) and visit.device in it.devices,
            it is program,
            it.is_on_phone,
            it.where,
        )
        for it in programs
    ]


def _profile(lookup: Lookup, served: Served) -> str | None:
    """Where the Apple profile is, if that family is served and has one."""
    path = lookup.paths.get("apple")
    if path is None or not apple.is_there(served.provider, served.recipient):
        return None
    return path


def _document(lookup: Lookup, visit: Visit, address: Address) -> str | None:
    path = lookup.paths.get("thunderbird")
    query = f"emailaddress={quote(str(address))}"
    return f"{visit.root}{path}?{query}" if path else None


def _headers(policy: str | None) -> list[Header]:
    """Nothing is kept by anybody else."""
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Vary", "Accept-Language, User-Agent, Sec-CH-UA-Platform"),
        PRIVATE,
    ]
    if policy:
        headers.append(("Content-Security-Policy", policy))
    return headers
