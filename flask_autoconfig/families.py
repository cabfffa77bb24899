"""The one table of client families: what each asks, where, and what it gets.

Whatever lists paths, methods, hosts or formats follows it: the doors, `show`, `export`,
`dns`, `check`, the web servers' files in contrib and the README. A new family is a
module in `documents/` and a row here; its name is one more word in `config/tables.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .config.tables import Provider
from .documents import Format, Recipient, activesync, apple, outlook, pacc, thunderbird
from .errors import ConfigError, Problem
from .handlers import (
    Handler,
    autodiscover,
    autodiscover_v2,
    by_domain,
    document,
    page_handler,
    profile,
    redirect,
)


class Route(NamedTuple):
    """A path that clients ask, and how they are answered there."""

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)  # HEAD goes with GET
    rest: str = ""  # what else may follow the path, a regular expression
    any_case: bool = False  # clients spell the path as they like
    # `export` writes it: it is a function of the domain alone, and has one spelling.
    is_file: bool = False
    is_document: bool = True  # any site's script may read it
    endpoint: str = ""  # what a site calls it for `url_for`; else by its family's name

    @property
    def has_one_spelling(self) -> bool:
        """Whether its path is all that it answers."""
        return not (self.rest or self.any_case)

    @property
    def pattern(self) -> str:
        """The regular expression of all paths that it answers, without groups."""
        pattern = re.escape(self.path) + self.rest
        # Only of ASCII: no client spells `s` as the long one, which folds to it.
        return f"(?ai:{pattern})" if self.any_case else pattern

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods that it is asked with, HEAD among them."""
        return (*self.methods, "HEAD") if "GET" in self.methods else self.methods


class Digest(NamedTuple):
    """A DNS record of a document's digest, and how it is made of the document."""

    name: str  # relative to the domain
    value: Callable[[bytes], str]


class Family(NamedTuple):
    """The clients of one kind."""

    name: str
    routes: tuple[Route, ...]
    formats: tuple[Format, ...] = ()
    label: str = ""  # they ask at LABEL.DOMAIN; without one, wherever the site is
    askers: str = ""  # who does, in words
    srv: str = ""  # the SRV record that leads there (port 443)
    digest: Digest | None = None
    on_demand: bool = False  # served only where it is named

    @property
    def implies_login(self) -> bool:
        """Whether its clients log in with the address, whatever a site's hook says."""
        return any(format_.implies_login for format_ in self.formats)

    def writes(self, provider: Provider, domain: str) -> bool:
        """Whether it has something to say of the provider."""
        recipient = Recipient(domain)
        return any(format_.is_there(provider, recipient) for format_ in self.formats)


_THUNDERBIRD = Format(
    "thunderbird",
    thunderbird.CONTENT_TYPE,
    thunderbird.write,
    differs_by="login",
    stand_in=thunderbird.stand_in,
)
_OUTLOOK = Format(
    "outlook",
    outlook.CONTENT_TYPE,
    outlook.write,
    differs_by="address",
    is_there=outlook.is_there,
)
_ACTIVESYNC = Format(
    "activesync",
    activesync.CONTENT_TYPE,
    activesync.write,
    differs_by="address",
    is_there=activesync.is_there,
)
_APPLE = Format(
    "apple",
    apple.CONTENT_TYPE,
    apple.write,
    differs_by="address",
    is_there=apple.is_there,
    is_signed=True,
    extension="mobileconfig",
)
_PACC = Format(
    "pacc",
    pacc.CONTENT_TYPE,
    pacc.write,
    differs_by="nothing",
    is_there=pacc.is_there,
    implies_login=True,
)

_POX = "/autodiscover/autodiscover.xml"
AUTODISCOVER_V2 = "/autodiscover/autodiscover.json"  # an address may follow
_PAGE = "/mail/setup"
_ISPDB = "/v1.1/"
# Those of the web and of WebDAV, whether a path is for them or not.
METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "PROPPATCH", "REPORT", "SEARCH", "MKCALENDAR", "MKCOL", "COPY"),
    *("MOVE", "LOCK", "UNLOCK", "ACL", "BIND", "LINK", "UNLINK", "PURGE", "QUERY"),
)
# PROPFIND is what clients send (RFC 6764, section 5); what follows it is redirected too.
_DAV_METHODS = (
    *("GET", "POST", "PUT", "DELETE", "OPTIONS"),
    *("PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL"),
)


def _to_service(type_: str) -> Route:
    path = f"/.well-known/{type_}"
    return Route(path, redirect(type_), _DAV_METHODS)


def _for_people(path: str, module: str, name: str, endpoint: str = "") -> Route:
    handler = page_handler(module, name)
    return Route(f"{_PAGE}{path}", handler, is_document=False, endpoint=endpoint)


FAMILIES: tuple[Family, ...] = (
    Family(
        "thunderbird",
        (
            Route("/mail/config-v1.1.xml", document(_THUNDERBIRD), is_file=True),
            Route(
                "/.well-known/autoconfig/mail/config-v1.1.xml",
                document(_THUNDERBIRD),
                is_file=True,
            ),
            # The URL of the draft's earlier revisions, which GNOME Online Accounts asks
            # at the MX host and SnappyMail at `autoconfig.D`, and no other over https.
            Route(
                "/.well-known/mail-v1.xml",
                document(_THUNDERBIRD),
                is_file=True,
            ),
            Route("/v1.1/mail/config-v1.1.xml", document(_THUNDERBIRD)),
        ),
        (_THUNDERBIRD,),
        label="autoconfig",
        askers="Thunderbird, Evolution, Delta Chat and others",
    ),
    Family(
        "outlook",
        (
            Route(
                _POX,
                autodiscover(_POX, _OUTLOOK, _ACTIVESYNC),
                ("GET", "POST"),
                any_case=True,
            ),
            Route(
                AUTODISCOVER_V2,
                autodiscover_v2(AUTODISCOVER_V2, _POX),
                rest=r"(?:/v1\.0/[^/]+)?",
                any_case=True,
            ),
        ),
        (_OUTLOOK, _ACTIVESYNC),
        label="autodiscover",
        askers="Outlook, ActiveSync phones and Delta Chat",
        srv="_autodiscover._tcp",
    ),
    Family(
        "apple",
        (
            Route("/mail/mobileconfig", profile(_APPLE), endpoint="profile"),
            Route("/email.mobileconfig", profile(_APPLE), is_file=True),
            Route(
                "/.well-known/apple-mail.mobileconfig",
                profile(_APPLE),
                is_file=True,
            ),
        ),
        (_APPLE,),
    ),
    Family(
        "pacc",
        (
            Route(
                "/.well-known/user-agent-configuration.json",
                document(_PACC, only_domain=True),
                is_file=True,
            ),
        ),
        (_PACC,),
        label="ua-auto-config",
        askers="PACC clients",
        digest=Digest("_ua-auto-config", pacc.digest_record),
    ),
    Family("dav", tuple(map(_to_service, ("caldav", "carddav", "jmap")))),
    Family(
        "page",
        (
            _for_people("", "view", "answer", endpoint="setup"),
            _for_people("/qr.svg", "pictures", "qr_code"),
            _for_people("/account.svg", "pictures", "account_code"),
            _for_people("/logo", "pictures", "logo"),
            _for_people("/colours.css", "pictures", "colours"),
            _for_people("/style.css", "files", "style"),
            _for_people("/script.js", "files", "script"),
        ),
    ),
    Family(
        "ispdb",
        (Route(_ISPDB, by_domain(_ISPDB, _THUNDERBIRD), rest="[^/]+"),),
        on_demand=True,
    ),
)


def chosen(names: Any, place: str) -> tuple[Family, ...]:
    """The families of these names, the usual ones for None, in the table's order.

    A text names one or several, commas or spaces between. Raises ConfigError for what
    names no family; `place` is where the names stand.
    """
    if names is None:
        return tuple(family for family in FAMILIES if not family.on_demand)
    is_text = isinstance(names, str)
    if is_text:
        names = names.replace(",", " ").split()
    known = [family.name for family in FAMILIES]
    unknown = _unknown(names, known)
    if is_text and not names:
        unknown = ["of no name"]
    if unknown:
        message = f"there is no family {', '.join(unknown)}"
        cure = f"choose from {', '.join(sorted(known))}"
        raise ConfigError([Problem(place, message, cure)])
    return tuple(family for family in FAMILIES if family.name in names)


def _unknown(names: Any, known: list[str]) -> list[str]:
    """What is no family's name, in words; all of it, if it is no list of names."""
    if isinstance(names, bytes | dict) or not isinstance(names, Iterable):
        return [repr(names)]
    return sorted(
        name if isinstance(name, str) else repr(name)
        for name in names
        if name not in known
    )


def overriding(clients: Any = None) -> tuple[Family, ...] | None:
    """The families that `clients` or else the environment names, before any file.

    None where neither does. Raises ConfigError for what names no family.
    """
    if clients is None:
        clients = os.environ.get("AUTOCONFIG_CLIENTS") or None
    return None if clients is None else chosen(clients, "AUTOCONFIG_CLIENTS")


def formats(families: Iterable[Family]) -> dict[str, Format]:
    """Their documents by name."""
    return {format_.name: format_ for family in families for format_ in family.formats}


class FamilyRoute(NamedTuple):
    """A route, and the name of its family."""

    family: str
    route: Route


class Router:
    """Finds the route of a path among those of some families."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.first_paths: dict[str, str] = {}  # by the family's name
        self._exact: dict[str, FamilyRoute] = {}
        self._others: list[FamilyRoute] = []
        for family in families:
            self.first_paths[family.name] = family.routes[0].path
            for route in family.routes:
                found = FamilyRoute(family.name, route)
                if route.has_one_spelling:
                    self._exact[route.path] = found
                else:
                    self._others.append(found)
        patterns = [f"({found.route.pattern})" for found in self._others]
        self._match = re.compile("|".join(patterns) or "(?!)").fullmatch

    def find(self, path: str) -> FamilyRoute | None:
        """Return the route of a path, None where there is none."""
        found = self._exact.get(path)
        if found is None and (match := self._match(path)) is not None:
            return self._others[(match.lastindex or 1) - 1]
        return found


def labels() -> tuple[str, ...]:
    """The first labels of the host names that clients ask."""
    return tuple(family.label for family in FAMILIES if family.label)


def static_paths(families: Iterable[Family]) -> Iterator[str]:
    """The paths whose answers depend on the domain alone."""
    for family in families:
        yield from (route.path for route in family.routes if route.is_file)
