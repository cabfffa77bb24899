"""The view function of the page, and the values that its templates get."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup
from msgspec import structs

from ..address import (
    LONGEST_ADDRESS,
    Address,
    fill_in,
    fill_in_url,
    parse_address,
    unfold,
)
from ..answers import (
    BAD_ADDRESS,
    OK,
    PRIVATE,
    SECURITY_HEADERS,
    Answer,
    Header,
    Request,
)
from ..config.tables import Contact, ProviderPage
from ..documents import apple
from ..lookup import Lookup
from ..snapshot import Served
from . import content, near, pictures
from .account import Account, MailServer
from .alone import content_of
from .languages import best_match, languages, translations
from .programs import Program, chosen, usable
from .visit import Visit
from .words import Words, words_in

# Nothing from other origins, and no framing.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Tile(NamedTuple):
    """A program to choose."""

    id: str
    name: str
    href: str
    is_here: bool  # it runs on the visitor's device
    is_chosen: bool
    is_on_phone: bool
    where: str  # the name of its device

    @property
    def is_first(self) -> bool:
        """Whether it is shown at once; the others are folded."""
        return self.is_here or self.is_chosen


class Brand(NamedTuple):
    """The look of the provider."""

    name: str = ""
    intro: str = ""
    logo: str = ""  # its URL
    colours: str = ""  # the URL of the style sheet with its colour
    contact: Contact | None = None
    privacy_url: str = ""


class Language(NamedTuple):
    """A language to choose."""

    tag: str
    name: str  # in that language
    href: str


class Page(NamedTuple):
    """The values that templates get as `autoconfig_page`."""

    say: Callable[..., str]  # translates a text of the package
    label: Callable[..., str]  # quotes a label of a program, see labels.toml
    language: str  # its tag
    direction: str  # of the language
    path: str  # of the page; its style and script are below it
    typed: str  # the address as typed
    lang: str  # the language if it was requested, "" for the browser's
    program_asked: str  # the program requested
    device: str
    name: str  # of the person
    change: str  # the URL of the page for another address
    error: str | None = None  # why there are no settings
    is_unknown: bool = False  # the error: the domain is not served
    meant: str = ""  # the address that was probably meant
    meant_href: str = ""
    settings: content.Settings | None = None  # for the table
    address: str = ""  # as people write it
    account: Account | None = None  # for the steps
    here: str = ""  # the URL of the page for this address and program
    picture: str | None = None  # the URL of the QR code of `here`
    code: str | None = None  # the URL of the QR code of the account
    profile: str | None = None  # the URL of the Apple profile
    document: str | None = None  # the URL of config-v1.1.xml
    tiles: tuple[Tile, ...] = ()
    program: Program | None = None  # the program chosen
    servers: tuple[MailServer, MailServer] | None = None  # that the program can use
    brand: Brand = Brand()
    origin: str = ""  # of the page, if it is certainly the provider's
    example: str = "example.com"  # a domain for the placeholder of the address
    languages: tuple[Language, ...] = ()  # the other languages
    is_in_site: bool = False  # rendered in a site's own template
    nonce: str = ""  # of a site's policy, for the script and the style

    @property
    def content(self) -> Markup:
        """The page as HTML, without a layout."""
        return Markup(content_of(self))  # noqa: S704 (the package's template escapes)

    @property
    def dialled(self) -> str:
        """The contact's telephone number for a link (RFC 3966)."""
        phone = (self.brand.contact and self.brand.contact.phone) or ""
        return re.sub(r"(?!^\+)[^0-9]", "", phone.replace("(0)", ""))


def answer(lookup: Lookup, request: Request) -> Answer:
    """Respond with the page, with status 400 or 404 if the address is not served."""
    return _View(lookup, Visit(request)).answer()


class _View:
    """Builds the page for one request."""

    def __init__(self, lookup: Lookup, visit: Visit) -> None:
        self.lookup = lookup
        self.stage = lookup.stage()
        self.visit = visit
        self.path = visit.path()
        site_catalogs = self.stage.catalogs()
        self.available = languages(site_catalogs)
        language = self._language()
        self.words: Words = words_in(language, translations(language, site_catalogs))

    def _language(self) -> str:
        """Choose the requested language, else the site's, else the browser's."""
        wanted = [self.visit.lang, self.stage.language() or "", *self.visit.languages]
        return best_match(filter(None, wanted), self.available) or "en"

    def answer(self) -> Answer:
        visit, words = self.visit, self.words
        query = f"emailaddress={quote(visit.typed)}" if visit.typed else ""
        served = self.lookup.find_person(query, visit.request.host)
        status, values, address = OK, {}, None
        if isinstance(served, Served):
            values, address = self._brand(served), served.address
            if address is not None:
                values |= self._settings(served, address, values["brand"].name)
        elif visit.typed:
            status, values = served.status, self._error(served)
        page = Page(
            say=words.say,
            label=words.label,
            language=words.language,
            direction=words.direction,
            path=self.path,
            typed=visit.typed[:LONGEST_ADDRESS],
            lang=words.language if visit.lang else "",
            program_asked=visit.program,
            device=visit.device,
            name=visit.name,
            change=self._href(),
            languages=self._languages(address or visit.typed[:LONGEST_ADDRESS]),
            **values,
        )
        shown = self.stage.show(page, POLICY)
        headers = _headers(shown.policy)
        return Answer(status, shown.html.encode(), headers, common=SECURITY_HEADERS)

    def _href(self, address: Address | str | None = None, **changes: str) -> str:
        query = self.visit.query(address, **changes)
        return f"{self.path}?{query}" if query else self.path

    def _languages(self, address: Address | str) -> tuple[Language, ...]:
        name = self.visit.name
        return tuple(
            Language(
                tag, _NAMES.get(tag, tag), self._href(address, lang=tag, name=name)
            )
            for tag in self.available
            if tag != self.words.language
        )

    def _error(self, error: Answer) -> dict[str, Any]:
        """Explain why the address is not served, and suggest one that is."""
        say = self.words.say
        served = self.lookup.find("", self.visit.request.host)
        values = self._brand(served) if isinstance(served, Served) else {}
        if error == BAD_ADDRESS:
            text = say("That is no e-mail address. It looks like name@example.com.")
            return values | {"error": text}
        address = parse_address(self.visit.typed)
        domain = unfold(address.domain)
        text = say("“%(domain)s” is not one of our domains.", domain=domain)
        values |= {"error": text, "is_unknown": True}
        meant = near.meant(address.domain, self.lookup.snapshot.loaded)
        if meant is None:
            return values
        shown = f"{address.local}@{unfold(meant)}"
        href = self._href(Address(address.local, meant))
        return values | {"meant": shown, "meant_href": href}

    def _brand(self, served: Served) -> dict[str, Any]:
        provider = served.public_provider
        domain = served.match.domain
        known = served.domain_or_name
        look = provider.page or ProviderPage()
        contact = look.contact
        if contact is not None:
            url = fill_in_url(contact.url, domain, served.address) or None
            contact = structs.replace(contact, url=url)
        intro = content.best_text(look.intro, self.words.language)
        brand = Brand(
            fill_in(provider.display_name, domain, served.address) or unfold(known),
            fill_in(intro, domain, served.address),
            pictures.logo_path(self.path, served),
            f"{self.path}/colours.css?colour={look.colour[1:]}" if look.colour else "",
            contact,
            fill_in_url(look.privacy_url, domain, served.address),
        )
        values: dict[str, Any] = {"brand": brand, "origin": self._origin(served)}
        return values | ({"example": unfold(known)} if known else {})

    def _origin(self, served: Served) -> str:
        """Return the page's origin if it is https on a host of the provider, else ""."""
        origin = self.visit.origin
        if not origin.startswith("https://") or served.hooked:
            return ""
        directory = served.snapshot.directory
        match = directory.by_host(self.visit.request.host)
        if match is None or match.provider_index != served.match.provider_index:
            return ""
        is_claimed = match.mx_domain or directory.claims(match.domain or "")
        return origin if is_claimed else ""

    def _settings(self, served: Served, address: Address, brand: str) -> dict[str, Any]:
        visit, provider = self.visit, served.provider
        profile = self.lookup.paths.get("apple")
        if profile and not apple.is_there(provider, served.recipient):
            profile = None
        account = Account(
            provider,
            address,
            brand,
            frozenset(self.lookup.paths),
            visit.device,
            visit.name,
            served.snapshot.loaded.signer is not None,
            profile,
        )
        programs = usable(account, provider.page.programs if provider.page else None)
        if any(program.id == "davx5" for program in programs):
            davx5 = self._href(address, program="davx5", name=visit.name)
            account = account._replace(davx5=davx5)
        program = chosen(programs, visit.program, visit.device)
        query = visit.query(address, program=program.id if program else "")
        here = f"{visit.origin}{quote(self.path)}?{query}"
        document = self.lookup.paths.get("thunderbird")
        return {
            "settings": content.settings(provider, address, self.words),
            "address": account.shown,
            "account": account,
            "here": here,
            "picture": f"{self.path}/qr.svg?{query}" if pictures.fits(here) else None,
            "code": pictures.code_path(self.path, account, visit.name),
            "profile": profile and f"{visit.root}{profile}",
            "document": document
            and f"{visit.root}{document}?emailaddress={quote(str(address))}",
            "tiles": tuple(self._tiles(programs, program, address)),
            "program": program,
            "servers": program.mail_servers(account) if program else None,
        }

    def _tiles(
        self, programs: Iterable[Program], chosen: Program | None, address: Address
    ) -> Iterable[Tile]:
        visit = self.visit
        for program in programs:
            href = self._href(address, program=program.id, name=visit.name)
            yield Tile(
                program.id,
                self.words.say(program.name),
                f"{href}#steps",
                bool(visit.device) and visit.device in program.devices,
                program is chosen,
                program.is_on_phone,
                program.where,
            )


_NAMES = {
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "nl": "Nederlands",
    "pt-BR": "Português (Brasil)",
}


def _headers(policy: str | None) -> list[Header]:
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Vary", "Accept-Language, User-Agent, Sec-CH-UA-Platform"),
        PRIVATE,
    ]
    if policy:
        headers.append(("Content-Security-Policy", policy))
    return headers
