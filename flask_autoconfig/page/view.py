"""The view function of the page, and the values that its templates get."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from .. import answers
from ..address import LONGEST_ADDRESS, Address, parse_address, unfold
from ..answers import OK, UNAVAILABLE, Answer, Header, Refused, Request
from ..config.reading import Loaded
from ..config.tables import Contact, Provider, ProviderPage
from ..documents import ANYBODY, apple
from ..hooks import HOOK_NAMES
from ..lookup import Lookup
from ..snapshot import Served
from . import assets
from .alone import VARIABLE, render
from .programs import BY_ID, Account, Program, ServerPair, choose, group, usable
from .visit import Visit
from .words import N_, best_match, best_text, languages, words_in

# Nothing from other origins, and no framing.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# Bounds for the time that a search for a similar domain takes.
_LENGTHS = range(4, 41)
_MAX_COMPARED = 300
_MAX_WRONG = 2  # letters
_NAME = re.compile(r"[\w.+-]+")  # a local part that a person types for an address
_NO_ADDRESS = N_("This is not an e-mail address. An address looks like %(example)s.")


class Brand(NamedTuple):
    name: str = ""
    intro: str = ""
    logo: str = ""  # its URL
    colours: str = ""  # the URL of the style sheet with its colours
    contact: Contact | None = None
    privacy_url: str = ""
    has_app_password: bool = False  # mail programs accept only an app password
    password_url: str = ""  # where it is made, or the password is changed


def answer(lookup: Lookup, request: Request) -> Answer:
    """Respond with the page, and with status 400 or 404 if the address is not served.

    Without a configuration, or when a hook of the site fails, the status is 503.
    """
    page = Page(lookup, Visit(request))
    html, policy = lookup.renderer().render_page(page, POLICY)
    retry: list[Header] = [answers.NO_STORE, ("Retry-After", "10")]
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Vary", "Accept-Language, User-Agent, Sec-CH-UA-Platform"),
        *(retry if page.is_unavailable else [answers.PRIVATE]),
    ]
    if policy:
        headers.append(("Content-Security-Policy", policy))
    return Answer(page.status, html.encode(), headers, common=answers.SECURITY_HEADERS)


def without_slash(_lookup: Lookup, request: Request) -> Answer:
    """Redirect from the page's path with a slash at the end to the page."""
    query = quote(request.query, safe="=&%+@", encoding="latin-1", errors="replace")
    target = Visit(request).path("/") + (query and f"?{query}")
    return answers.text_answer("308 Permanent Redirect", target, ("Location", target))


class Page:
    """The page for one request; templates get it as `autoconfig_page`."""

    brand = Brand()
    _recipient = ANYBODY
    example = "example.com"  # a domain for the placeholder of the address
    is_in_site = False  # rendered in a site's own template
    nonce = ""  # of a site's policy, for the script and the style

    # With an error: why there are no settings.
    status = OK
    error = ""
    is_unavailable = False  # it may succeed later
    is_unknown = False  # the domain is not served
    suggestion = ""  # the address that was probably meant

    # With an address that is served.
    address = ""  # as people write it
    settings: Provider | None = None  # with the placeholders filled in
    account: Account | None = None  # for the steps
    programs: Sequence[Program] = ()  # those that can be used
    groups: tuple[list[Program], ...] = ([], [], [])  # unfolded, others, rare
    program: Program | None = None  # the chosen program
    is_refused = False  # the requested program cannot be used
    refused: Program | None = None  # that program, if it exists
    servers: ServerPair | None = None  # that the program can use
    here = ""  # the URL of the page for this address and program
    picture = ""  # the URL of the QR code of `here`
    account_code = ""  # the URL of the QR code of the account
    profile = ""  # the URL of the Apple profile
    profile_parts = (False, False, False)  # whether it has mail, a calendar, contacts
    document = ""  # the URL of config-v1.1.xml

    def __init__(self, lookup: Lookup, visit: Visit) -> None:
        self._lookup = lookup
        self.visit = visit
        renderer = lookup.renderer()
        catalogs = renderer.catalogs()
        available = languages(catalogs)
        wanted = [visit.lang, renderer.language() or "", *visit.languages]
        language = best_match(filter(None, wanted), available) or "en"
        words = words_in(language, catalogs)
        self.say = words.say  # translates a text of the package
        self.label = words.label  # quotes a label of a program, see labels.toml
        self.language = language  # the tag of the page's language
        self.direction = words.direction
        self.path = visit.path()  # its style and script are below it
        typed = with_only_domain(visit.typed, lookup)
        self.typed = typed[:LONGEST_ADDRESS]  # the address as typed
        self.languages = [tag for tag in available if tag != language]  # the other ones

        query = f"emailaddress={quote(typed)}" if typed else ""
        try:
            served = lookup.find_for_person(query, visit.request.host)
        except Refused as refusal:
            self.is_unavailable = refusal.answer is UNAVAILABLE
            if typed or self.is_unavailable:
                self._set_error(refusal.answer, typed)
            return
        self._set_brand(served)
        if served.address is not None:
            self._set_account(served, served.address)

    @property
    def content(self) -> Markup:
        html = render("autoconfig/parts/body.html", **{VARIABLE: self})
        return Markup(html)  # noqa: S704 (the package's template escapes)

    def href(self, address: Address | str | None = None, **changes: str) -> str:
        """Return the URL of the page for an address, or of the page that asks for one."""
        query = self.visit.query(address, **changes)
        return f"{self.path}?{query}" if query else self.path

    def url(self, url: str | None) -> str:
        return self._recipient.url(url)

    def text(self, texts: Mapping[str, str]) -> str:
        """Return a text of the TOML file in the visitor's language, or ""."""
        return best_text(texts, self.language, self._recipient)

    def _set_error(self, error: Answer, typed: str) -> None:
        """Explain why the address is not served, and suggest one that is."""
        self.status = error.status
        for host in (self.visit.request.host, ""):  # "": the file's only provider
            with suppress(Refused):
                self._set_brand(self._lookup.find("", host))
                break
        if error == UNAVAILABLE:
            self.error = self.say("The mail settings are not available at the moment.")
            return
        if error == answers.BAD_ADDRESS:
            example = f"{self.say('name')}@{self.example}"
            self.error = self.say(_NO_ADDRESS, example=example)
            return
        self.is_unknown = True
        local, domain = parse_address(typed)
        shown = unfold(domain)
        self.error = self.say("“%(domain)s” is not one of our domains.", domain=shown)
        if similar := similar_domain(domain, self._lookup.snapshot.loaded):
            self.suggestion = f"{local}@{unfold(similar)}"

    def _set_brand(self, served: Served) -> None:
        provider, domain = served.public_provider, served.match.domain
        self._recipient = served.recipient
        look = provider.page or ProviderPage()
        chosen = (("colour", look.colour), ("logo", look.logo_background))
        colours = "&".join(f"{key}={colour[1:]}" for key, colour in chosen if colour)
        self.brand = Brand(
            self._recipient.text(provider.display_name)
            or unfold(served.domain_or_name),
            self.text(look.intro),
            assets.logo_path(self.path, served),
            f"{self.path}/colours.css?{colours}" if colours else "",
            look.contact,
            self.url(look.privacy_url),
            look.password == "app-password",  # noqa: S105 (the kind of password)
            self.url(look.password_url),
        )
        public_domains = provider.exact_domains if provider.list_domains else ()
        self.example = unfold(domain or next(iter(public_domains), self.example))

    def _set_account(self, served: Served, address: Address) -> None:
        visit, provider, paths = self.visit, served.provider, self._lookup.paths
        profile = paths.get("apple", "")
        if profile:
            self.profile_parts = apple.parts(provider, served.recipient)
        if any(self.profile_parts):
            self.profile = f"{visit.root}{profile}"
        account = Account(
            provider,
            address,
            frozenset(paths),
            visit.name,
            served.snapshot.loaded.signer is not None,
            self.profile,
        )
        listed = provider.page.programs if provider.page else None
        self.programs = programs = usable(account, listed)
        self.program = program = choose(programs, visit.program, visit.device)
        self.account, self.address = account, account.readable_address
        self.refused = BY_ID.get(visit.program.lower())
        self.is_refused = bool(visit.program) and self.refused not in programs
        self.settings = account.filled_provider
        self.servers = program.mail_servers(account) if program else None
        self.groups = group(programs, program, visit.device, are_listed=bool(listed))

        query = visit.query(address, program=program.id if program else "", device="")
        self.here = visit.url(query)
        if assets.fits(self.here):
            self.picture = f"{self.path}/qr.svg?{query}"
        person = f"emailaddress={quote(str(address))}"
        if assets.account_content(account) is not None:
            name = quote(visit.name)
            self.account_code = f"{self.path}/account.svg?{person}&name={name}"
        if "thunderbird" in paths:
            self.document = f"{visit.root}{paths['thunderbird']}?{person}"


# --- Similar domains ------------------------------------------------------------------


def similar_domain(domain: str, loaded: Loaded) -> str | None:
    """Return the most similar domain of a provider that lists its domains, or None.

    Two letters may differ. With more than 300 domains, none is suggested.
    """
    providers = (provider for provider in loaded.providers if provider.list_domains)
    domains = (name for provider in providers for name in provider.exact_domains)
    names = list(islice(domains, _MAX_COMPARED + 1))
    length = len(domain)
    if length not in _LENGTHS or len(names) > _MAX_COMPARED:
        return None
    similar = [name for name in names if abs(len(name) - length) <= _MAX_WRONG]
    cutoff = (length - _MAX_WRONG) / length
    return next(iter(get_close_matches(domain, similar, 1, cutoff)), None)


def with_only_domain(typed: str, lookup: Lookup) -> str:
    """Return a typed local part with the domain, if only one is served and listed."""
    loaded, hooks = lookup.snapshot.loaded, lookup.hooks
    has_provider_hook = any(map(hooks.has, HOOK_NAMES[:2]))
    if not _NAME.fullmatch(typed) or has_provider_hook or len(loaded.claims) != 1:
        return typed
    domain = next(iter(loaded.claims)).decode()
    is_listed = all(p.list_domains and not p.mx_domains for p in loaded.providers)
    if "*" in domain or not is_listed or typed.lower().endswith(domain):
        return typed
    try:
        return str(parse_address(f"{typed}@{domain}"))
    except ValueError:
        return typed
