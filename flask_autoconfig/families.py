"""The table of client families: the requests that each sends, and the responses.

Everything that lists paths, methods, hosts or formats uses it. A new family is a module
in `documents/`, a row here, and its name in `config/tables.py`.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from . import handlers
from .config.tables import Provider
from .documents import Format, Recipient, activesync, apple, outlook, pacc, thunderbird
from .errors import ConfigError


class Route(NamedTuple):
    """A path that clients request, and its handler."""

    path: str
    handler: handlers.Handler
    methods: tuple[str, ...] = ("GET",)  # GET includes HEAD
    rest: str = ""  # a regular expression of what may follow the path
    ignores_case: bool = False  # upper and lower case are the same
    # `export` writes it as a file: it depends on the domain alone.
    is_file: bool = False
    is_document: bool = True  # scripts of any site may read it (CORS)
    endpoint: str = ""  # for `url_for`; by default the family's name

    @property
    def has_one_spelling(self) -> bool:
        return not (self.rest or self.ignores_case)

    @property
    def pattern(self) -> str:
        """The regular expression of all matching paths, without groups."""
        pattern = re.escape(self.path) + self.rest
        # Case-insensitive in ASCII only, or the long s would match "s".
        return f"(?ai:{pattern})" if self.ignores_case else pattern

    @property
    def allowed(self) -> tuple[str, ...]:
        """The allowed methods, with HEAD."""
        return (*self.methods, "HEAD") if "GET" in self.methods else self.methods


class Digest(NamedTuple):
    """A DNS record with the digest of a document."""

    name: str  # relative to the domain
    value: Callable[[bytes], str]  # from the document to the record's data


class Family(NamedTuple):
    """A group of clients that send the same requests."""

    name: str
    routes: tuple[Route, ...]
    formats: tuple[Format, ...] = ()
    label: str = ""  # the first label of the host; "": the site's own host
    askers: str = ""  # what messages call the clients that request LABEL.DOMAIN
    srv: str = ""  # the SRV record of that host (port 443)
    digest: Digest | None = None
    on_demand: bool = False  # served only if `clients` names it

    @property
    def implies_login(self) -> bool:
        """Whether the clients always log in with the address."""
        return any(format_.implies_login for format_ in self.formats)

    def writes_document(self, provider: Provider, domain: str) -> bool:
        """Whether the family has a document for the provider.

        With a `template_recipient` there is always one, which may be long to write.
        """
        to = Recipient(domain)
        return any(f.template_recipient or f.write(provider, to) for f in self.formats)


def _format(module: Any, **options: Any) -> Format:
    name = module.__name__.rpartition(".")[2]
    return Format(name, module.CONTENT_TYPE, module.write, **options)


_THUNDERBIRD = _format(thunderbird, template_recipient=thunderbird.template_recipient)
_OUTLOOK = _format(outlook, has_address=True)
_ACTIVESYNC = _format(activesync, has_address=True)
_APPLE = _format(apple, has_address=True, is_signed=True, extension="mobileconfig")
_PACC = _format(pacc, implies_login=True)

_POX = "/autodiscover/autodiscover.xml"
AUTODISCOVER_V2 = "/autodiscover/autodiscover.json"  # followed by `_V2_REST`
_ISPDB = "/v1.1/"
_PACC_PATH = "/.well-known/user-agent-configuration.json"
# The methods of HTTP and WebDAV that reach a handler, which may answer 405.
METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "PROPPATCH", "REPORT", "SEARCH", "MKCALENDAR", "MKCOL", "COPY"),
    *("MOVE", "LOCK", "UNLOCK", "ACL", "BIND", "LINK", "UNLINK", "PURGE", "QUERY"),
)
# Clients send PROPFIND first (RFC 6764, section 5), and others after it.
_DAV_METHODS = (
    *("GET", "POST", "PUT", "DELETE", "OPTIONS"),
    *("PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL"),
)

_V2_REST = r"(?:/v1\.0/[^/]+)?"  # an address
_CONFIG_HANDLER = partial(handlers.document, _THUNDERBIRD)
_BY_DOMAIN_HANDLER = partial(handlers.by_domain, _ISPDB, _THUNDERBIRD)
_POX_HANDLER = partial(handlers.autodiscover, _POX, _OUTLOOK, _ACTIVESYNC)
_V2_HANDLER = partial(handlers.autodiscover_v2, AUTODISCOVER_V2, _POX)
_PACC_HANDLER = partial(handlers.document, _PACC, only_domain=True)
_PROFILE_HANDLER = partial(handlers.profile, _APPLE)


def _page_route(path: str, module: str, function: str, endpoint: str = "") -> Route:
    handler = partial(handlers.page, module, function)
    return Route(f"/mail/setup{path}", handler, is_document=False, endpoint=endpoint)


def _redirect_to_server(type_: str) -> Route:
    handler = partial(handlers.redirect, type_)
    return Route(f"/.well-known/{type_}", handler, _DAV_METHODS)


FAMILIES: tuple[Family, ...] = (
    Family(
        "thunderbird",
        (
            Route("/mail/config-v1.1.xml", _CONFIG_HANDLER, is_file=True),
            Route(
                "/.well-known/autoconfig/mail/config-v1.1.xml",
                _CONFIG_HANDLER,
                is_file=True,
            ),
            # The only URL that GNOME Online Accounts requests at the MX host, and
            # SnappyMail at `autoconfig.D` over https (earlier revisions of the draft).
            Route("/.well-known/mail-v1.xml", _CONFIG_HANDLER, is_file=True),
            Route("/v1.1/mail/config-v1.1.xml", _CONFIG_HANDLER),
        ),
        (_THUNDERBIRD,),
        label="autoconfig",
        askers="Thunderbird, Evolution, Delta Chat and others",
    ),
    Family(
        "outlook",
        (
            Route(_POX, _POX_HANDLER, ("GET", "POST"), ignores_case=True),
            Route(AUTODISCOVER_V2, _V2_HANDLER, rest=_V2_REST, ignores_case=True),
        ),
        (_OUTLOOK, _ACTIVESYNC),
        label="autodiscover",
        askers="Outlook, ActiveSync phones and Delta Chat",
        srv="_autodiscover._tcp",
    ),
    Family(
        "apple",
        (
            Route("/mail/mobileconfig", _PROFILE_HANDLER, endpoint="profile"),
            Route("/email.mobileconfig", _PROFILE_HANDLER, is_file=True),
            Route(
                "/.well-known/apple-mail.mobileconfig", _PROFILE_HANDLER, is_file=True
            ),
        ),
        (_APPLE,),
    ),
    Family(
        "pacc",
        (Route(_PACC_PATH, _PACC_HANDLER, is_file=True),),
        (_PACC,),
        label="ua-auto-config",
        askers="PACC clients",
        digest=Digest("_ua-auto-config", pacc.digest_record),
    ),
    Family("dav", tuple(map(_redirect_to_server, ("caldav", "carddav", "jmap")))),
    Family(
        "page",
        (
            _page_route("", "view", "answer", endpoint="setup"),
            _page_route("/", "view", "without_slash"),
            _page_route("/qr.svg", "assets", "qr_code"),
            _page_route("/account.svg", "assets", "account_code"),
            _page_route("/logo", "assets", "logo"),
            _page_route("/colours.css", "assets", "colours"),
            _page_route("/style.css", "assets", "file"),
            _page_route("/script.js", "assets", "file"),
        ),
    ),
    Family("ispdb", (Route(_ISPDB, _BY_DOMAIN_HANDLER, rest="[^/]+"),), on_demand=True),
)


def chosen(names: Any, place: str) -> tuple[Family, ...]:
    """Return the families with these names, by default all that are not on demand.

    A string holds names separated by commas or spaces. Raises ConfigError for an unknown
    name; `place` is the key that the names come from.
    """
    if names is None:
        return tuple(family for family in FAMILIES if not family.on_demand)
    if isinstance(names, str):
        names = names.replace(",", " ").split() or ["of no name"]
    names = set(map(str, names if isinstance(names, Iterable) else [names]))
    all_names = {family.name for family in FAMILIES}
    if not names <= all_names:
        message = f"there is no family {', '.join(sorted(names - all_names))}"
        cure = f"choose from {', '.join(sorted(all_names))}"
        raise ConfigError.of(place, message, cure, file="")
    return tuple(family for family in FAMILIES if family.name in names)


def explicit_families(clients: Any = None) -> tuple[Family, ...] | None:
    """Return the families that `clients` or the environment names, or None.

    They override those of the file. Raises ConfigError for an unknown name.
    """
    if clients is None:
        clients = os.environ.get("AUTOCONFIG_CLIENTS") or None
    return None if clients is None else chosen(clients, "AUTOCONFIG_CLIENTS")


def formats(families: Iterable[Family]) -> dict[str, Format]:
    """Return the formats of these families by name."""
    return {format_.name: format_ for family in families for format_ in family.formats}


class FamilyRoute(NamedTuple):
    """A route, and the name of its family."""

    family: str
    route: Route


class Router:
    """Finds the route of a path among those of some families."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.first_paths: dict[str, str] = {}  # by the family's name
        self._by_path: dict[str, FamilyRoute] = {}
        self._by_pattern: list[FamilyRoute] = []
        for family in families:
            self.first_paths[family.name] = family.routes[0].path
            for route in family.routes:
                if route.has_one_spelling:
                    self._by_path[route.path] = FamilyRoute(family.name, route)
                else:
                    self._by_pattern.append(FamilyRoute(family.name, route))
        patterns = [f"({route.pattern})" for _, route in self._by_pattern]
        self._match = re.compile("|".join(patterns) or "(?!)").fullmatch

    def find(self, path: str) -> FamilyRoute | None:
        """Return the route of a path, or None."""
        family_route = self._by_path.get(path)
        if family_route is None and (match := self._match(path)) is not None:
            return self._by_pattern[(match.lastindex or 1) - 1]
        return family_route


def labels() -> tuple[str, ...]:
    """Return the first labels of the host names that clients request."""
    return tuple(family.label for family in FAMILIES if family.label)


def static_paths(families: Iterable[Family]) -> Iterator[str]:
    """Yield the paths whose documents depend on the domain alone."""
    for family in families:
        yield from (route.path for route in family.routes if route.is_file)
