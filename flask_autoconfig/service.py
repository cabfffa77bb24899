"""Answers requests from the live configuration and the site's hooks.

This module knows neither Flask nor single families: the table of families maps paths to
handlers. The blueprint, the middleware and the standalone service call :class:`Service`.
"""

import os
import traceback
from importlib import import_module
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from . import answers, families
from .address import is_authority, parse_address
from .answers import Answer, Refused, Request
from .config.reading import Loaded
from .config.tables import Config, Incoming, Outgoing, Provider, Server
from .documents import Format, Recipient, Words
from .families import Family, FamilyRoute, Router
from .hooks import Hooks
from .lookup import Lookup, UnservedLog
from .reload import Live, log, reloads
from .signals import answered
from .snapshot import Snapshot

_MAX_COMPARED = 100  # domains whose documents are compared after an edit


class Current(NamedTuple):
    lookup: Lookup
    families: tuple[Family, ...]
    router: Router


class Settings(NamedTuple):
    """The mail settings of an address, and the URLs of its page and profile."""

    address: str  # with a folded domain
    provider: Provider  # with the placeholders in its servers filled in
    page_url: str | None  # the page for people; None if that family is not served
    profile_url: str | None  # the Apple profile; likewise

    @property
    def servers(self) -> tuple[Server, ...]:
        """All servers: incoming, outgoing, the others, the best of each kind first."""
        return tuple(server for _, server in self.provider.servers)

    @property
    def incoming(self) -> tuple[Incoming, ...]:
        """The servers that mail is read from."""
        return self.provider.incoming

    @property
    def outgoing(self) -> tuple[Outgoing, ...]:
        """The servers that mail is sent through."""
        return self.provider.outgoing


class Service:
    """The state of one app: the live configuration, the families, the site's hooks."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Loaded,
        *,
        clients: Any = None,
        hooks: Hooks | None = None,
        strict: bool = True,
        in_site: bool = False,
    ) -> None:
        """Read the file, or use a configuration that was read; raises ConfigError.

        `clients` names the families to serve and overrides the file's own. Unless `strict`
        is set, a faulty or missing file raises nothing: requests get 503 until it is
        corrected. `in_site` says that a Flask site renders the page. The families are then
        those at the start, even after a reload, since a site's routes are fixed.
        """
        self.hooks = hooks or Hooks()
        self._renderer = "in_site" if in_site else "alone"  # a module of the page
        self._override = families.explicit_families(clients)  # None: the file's own
        self._fixed: tuple[Family, ...] | None = None  # the families of a site's routes
        self._unserved = UnservedLog()
        fallback = None if strict else self._build(Loaded(Config(), ()))
        self.live = Live(source, self._build, fallback, self._advise, self._prepare)
        self.at_start = self.live.built.families
        if in_site:
            self._fixed = self.at_start

    def _build(self, loaded: Loaded) -> Current:
        wanted = self._override
        if wanted is None:
            wanted = families.chosen(loaded.tables.clients, "clients")
        served = wanted if self._fixed is None else self._fixed
        if wanted != served:
            reloads.warning(
                "The new `clients` of %s take effect at a restart", self.live.file
            )
        snapshot = Snapshot(loaded, self.hooks, families.labels(), self._words)
        router = Router(served)
        lookup = Lookup(snapshot, self.renderer, router.first_paths, self._unserved)
        return Current(lookup, served, router)

    def _advise(self, before: Current, after: Current) -> str:
        """Return which digests in DNS are outdated after an edit, or ""."""
        old, new = before.lookup.snapshot.loaded, after.lookup.snapshot.loaded
        if max(len(old.claims), len(new.claims)) > _MAX_COMPARED:
            return ""  # comparing them would slow the reload down

        def document(format_: Format, loaded: Loaded, name: bytes) -> bytes | None:
            provider = loaded.providers[loaded.claims[name]]
            return format_.write(provider, Recipient(name.decode()))

        messages = []
        names = [name for name in new.claims if name in old.claims and b"*" not in name]
        formats = (
            family.formats for family in self.published_families if family.digest
        )
        for format_ in chain.from_iterable(formats):
            changed = sorted(
                name.decode()
                for name in names
                if document(format_, old, name) != document(format_, new, name)
            )
            if changed:
                more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
                messages.append(
                    f"the {format_.name} document of {changed[0]}{more} changed: "
                    "publish its digest, `flask-autoconfig dns --diff`"
                )
        return "; ".join(messages)

    @property
    def families(self) -> tuple[Family, ...]:
        return self.live.current().families

    @property
    def published_families(self) -> tuple[Family, ...]:
        """The served families, without those that the site's hooks rule out."""
        has_own_logins = self.hooks.has("find_username")
        return tuple(
            family
            for family in self.live.built.families  # `_advise` runs during a check
            if not (family.implies_login and has_own_logins)
        )

    @property
    def lookup(self) -> Lookup:
        """The current lookup; raises Refused without a sound configuration."""
        lookup = self.live.current().lookup
        if not lookup.is_ready:
            raise Refused(answers.UNAVAILABLE)
        return lookup

    @property
    def snapshot(self) -> Snapshot:
        return self.lookup.snapshot

    # --- Answers ---------------------------------------------------------------------

    def answer(self, request: Request) -> Answer | None:
        family_route = self.live.current().router.find(request.path)
        return family_route and self.answer_at(family_route, request)

    def answer_at(self, family_route: FamilyRoute, request: Request) -> Answer:
        """Answer a request at its route; exceptions become 500 or 503."""
        family, route = family_route
        try:
            if request.method in route.methods or request.method in route.allowed:
                lookup = self.live.current().lookup
                if not lookup.is_ready and family != "page":  # which says so itself
                    raise Refused(answers.UNAVAILABLE)
                answer = route.handler(lookup, request)
            elif request.method == "OPTIONS" and route.is_document:
                answer = answers.preflight(route.allowed)
            else:
                answer = answers.wrong_method(
                    route.allowed, preflights=route.is_document
                )
            if answer.etag and request.environ is not None:
                answer = answer.for_request(request.environ)
        except Refused as refusal:
            answer = refusal.answer
        except Exception as error:
            if self.renderer().handles(error):
                raise
            log_failure(family, error)
            answer = answers.FAILED
        if answered.receivers:
            try:
                answered.send(self, family=family, outcome=answer.outcome)
            except Exception as error:  # must not cost the client the answer
                log_failure("A receiver of the signal", error)
        return answer

    def renderer(self) -> Any:
        """Return the module that renders the page: `page.in_site` or `page.alone`."""
        return import_module(f".page.{self._renderer}", __package__)

    def _prepare(self) -> None:
        """Load the page, whose files an upgrade may replace before its first visit."""
        if self.path_of("page"):
            from .page import alone, view  # noqa: F401

            alone.environment()
            self.renderer()

    def _words(self, wanted: str) -> tuple[str, Words]:
        from .page.words import best_match, words_of_documents

        words = words_of_documents(self.renderer().catalogs())
        return (wanted and best_match([wanted], dict(words))) or "en", words

    def path_of(self, family: str) -> str | None:
        return self.live.current().router.first_paths.get(family)

    def settings(
        self, address: str | None, environ: WSGIEnvironment | None = None
    ) -> Settings | None:
        """Return the settings of an address; None if not served or not available now.

        None and invalid addresses have no settings. The URLs have the host of the request;
        without a request, they begin with `https://autoconfig.DOMAIN`.
        """
        if not isinstance(address, str):
            return None
        try:
            parsed = parse_address(address)
            served = self.lookup.look_up(parsed, "")
        except (ValueError, Refused):
            return None
        if served is None:
            return None
        root = f"https://autoconfig.{parsed.domain}"
        if environ is not None and is_authority(environ.get("HTTP_HOST", "")):
            from werkzeug.wsgi import get_host

            # get_current_url would decode A-labels, by IDNA 2003.
            script = environ.get("SCRIPT_NAME", "").rstrip("/").encode("latin-1")
            root = f"{environ['wsgi.url_scheme']}://{get_host(environ)}{quote(script)}"
        query = f"?emailaddress={quote(str(parsed))}"
        page, profile = (self.path_of(name) for name in ("page", "apple"))
        return Settings(
            str(parsed),
            Recipient(address=parsed).filled(served.provider),
            page and root + page + query,
            profile and root + profile + query,
        )


def log_failure(what: str, error: Exception) -> None:
    """Log the traceback without the exception's message, which may hold an address."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed at %s\n%s", what, type(error).__name__, frames)
