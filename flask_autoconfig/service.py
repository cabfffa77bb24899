"""What a request gets: whom it is about, who serves them, and the documents kept.

Nothing here knows Flask, nor which families there are: the doors ask :class:`Service`,
and the table of families says what is at which path.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, NamedTuple

from msgspec import structs

from . import families
from .address import (
    DOMAIN_PLACEHOLDER,
    NOBODY,
    Address,
    address_in_query,
    fold,
    parse_address,
)
from .answers import (
    BAD_ADDRESS,
    NO_SUCH_SERVICE,
    NOT_SERVED,
    Answer,
    Header,
    Request,
    private,
    public,
)
from .config.reading import Loaded
from .config.tables import SERVER_KEYS, Provider
from .config.values import placeholder_text
from .directory import Directory, Match
from .documents import Format, Recipient
from .families import Family
from .reload import Live, log

_ANSWER_BYTES = 2000  # what Python spends on an answer beside its body
_CACHE_BYTES = 8 * 1024 * 1024  # of rendered documents, for each configuration
_PLACEHOLDER = DOMAIN_PLACEHOLDER.encode()


class Snapshot:
    """One configuration with its look-up tables and its rendered documents."""

    def __init__(self, loaded: Loaded, served: tuple[Family, ...] = ()) -> None:
        self.loaded = loaded
        self.families = served
        self.routes = families.exact_routes(served)
        self.directory = Directory(loaded.providers, families.labels())
        max_age = loaded.tables.max_age
        self.cache_control = f"public, max-age={max_age}, no-transform"
        self._modified = formatdate(loaded.modified, usegmt=True)
        # (format, provider, whom it is written for) -> the text with the placeholder for
        # the domain, and whether it is in there.
        self._texts: dict[tuple[str, int, Recipient], tuple[bytes, bool]] = {}
        # (format, provider, domain where it matters) -> answer, the oldest first.
        self._answers: dict[tuple[str, int, str | None], Answer] = {}
        self._bytes = 0  # how much `_answers` takes
        self._lock = threading.Lock()  # around changes of the two before

    def document(self, format_: Format, served: Served) -> Answer:
        """The document for whoever asks; the same one is rendered once."""
        if served.is_alone_with(format_):
            return self._for_one(format_, served)
        match = served.match
        body: bytes | None = None
        domain = match.domain
        if format_.stand_in is not None:
            body, varies = self._text(format_, match)
            domain = match.domain if varies else None
        key = (format_.name, match.provider_index, domain)
        answer = self._answers.get(key)
        if answer is not None:
            return answer

        if body is None:
            recipient = Recipient(match.domain, None, match.exact)
            body = format_.write(self.loaded.providers[match.provider_index], recipient)
        elif domain:
            body = body.replace(_PLACEHOLDER, domain.encode())
        if body is None:
            return NO_SUCH_SERVICE
        headers = self._headers(format_, served)
        answer = public(
            self._signed(format_, body),
            headers,
            cache_control=self.cache_control,
            modified=self._modified,
        )
        return self._keep(key, answer)

    def _for_one(self, format_: Format, served: Served) -> Answer:
        body = format_.write(served.provider, served.recipient)
        if body is None:
            return NO_SUCH_SERVICE
        body = self._signed(format_, body)
        return private(body, self._headers(format_, served))

    def _text(self, format_: Format, match: Match) -> tuple[bytes, bool]:
        """The text that serves many domains, and whether the domain belongs into it."""
        assert format_.stand_in is not None  # noqa: S101 (see document)
        provider = self.loaded.providers[match.provider_index]
        stand_in = format_.stand_in(
            provider, Recipient(match.domain, None, match.exact)
        )
        key = (format_.name, match.provider_index, stand_in)
        kept = self._texts.get(key)
        if kept is None:
            body = format_.write(provider, stand_in) or b""
            kept = self._texts[key] = (body, _PLACEHOLDER in body)
        return kept

    def _signed(self, format_: Format, body: bytes) -> bytes:
        signer = self.loaded.signer
        return signer.sign(body) if signer and format_.is_signed else body

    def _headers(self, format_: Format, served: Served) -> list[Header]:
        headers = [("Content-Type", format_.content_type)]
        if format_.extension:
            name = f"{served.domain_or_id}.{format_.extension}"
            headers.append(("Content-Disposition", f'attachment; filename="{name}"'))
        return headers

    def _keep(self, key: tuple[str, int, str | None], answer: Answer) -> Answer:
        size = len(answer.body) + _ANSWER_BYTES
        if size > _CACHE_BYTES // 4:
            return answer
        with self._lock:
            if self._answers.setdefault(key, answer) is answer:
                self._bytes += size
            while self._bytes > _CACHE_BYTES:
                oldest = self._answers.pop(next(iter(self._answers)))
                self._bytes -= len(oldest.body) + _ANSWER_BYTES
        return answer


class Served(NamedTuple):
    """Whom a request is about, and by which provider they are served."""

    snapshot: Snapshot
    match: Match
    address: Address | None = None
    login: str | None = None  # what the site's own database says
    is_personal: bool = False  # it was asked: the answer is for this address alone

    @property
    def provider(self) -> Provider:
        """The provider, with the user's own login name."""
        provider = self.snapshot.loaded.providers[self.match.provider_index]
        return provider if self.login is None else _with_login(provider, self.login)

    @property
    def recipient(self) -> Recipient:
        """Whom a document is to be written for."""
        return Recipient(self.match.domain, self.address, self.match.exact)

    @property
    def domain_or_id(self) -> str:
        """The domain that the request names, else what the provider calls itself."""
        return self.match.domain or self.provider.identity

    def is_alone_with(self, format_: Format) -> bool:
        """Whether nobody else gets this document."""
        if self.address is None or format_.differs_by == "nothing":
            return False
        return self.is_personal or format_.differs_by == "address"


_OF_A_USER = ("%EMAILADDRESS%", "%EMAILLOCALPART%")


def _with_login(provider: Provider, login: str) -> Provider:
    """The provider with a user's own login name where the file has a placeholder."""
    changed = {
        key: tuple(
            structs.replace(server, username=login)
            if any(name in (server.username or "") for name in _OF_A_USER)
            else server
            for server in getattr(provider, key)
        )
        for key in SERVER_KEYS
    }
    return structs.replace(provider, **changed)


Hook = Callable[[str], str | None]


class Hooks:
    """A site's own functions; they may be set after the service was made."""

    find_provider: Hook | None = None  # domain -> provider id
    find_username: Hook | None = None  # address -> login name


class Service:
    """What one app serves: the live configuration, the families, the site's hooks."""

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        clients: Any = None,
        fixed: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        """Read the file; raises ConfigError.

        `clients` are names of families that go before the file's own; with `fixed` the
        families stay what they are now, whatever the file will say.
        """
        self.hooks = hooks or Hooks()
        if clients is None:
            clients = os.environ.get("AUTOCONFIG_CLIENTS") or None
        self._told: tuple[Family, ...] | None = None  # the families, if not the file's
        if clients is not None:
            self._told = families.chosen(clients, "AUTOCONFIG_CLIENTS")
        self._fixed: tuple[Family, ...] | None = None  # those that were registered
        self.live = Live(file, self._snapshot)
        if fixed:
            self._fixed = self.families

    def _snapshot(self, loaded: Loaded) -> Snapshot:
        wanted = self._told
        if wanted is None:
            wanted = families.chosen(loaded.tables.clients, "clients")
        if self._fixed is not None and wanted != self._fixed:
            log.warning("The new `clients` of the file take effect at the next restart")
        return Snapshot(loaded, wanted if self._fixed is None else self._fixed)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are served now."""
        return self.live.current().families

    def answer(self, request: Request) -> Answer | None:
        """What a GET gets, or None where its path is none of those with one spelling."""
        route = self.live.current().routes.get(request.path)
        if route is None or route.in_flask:
            return None
        return route.handler(self, request)

    # --- Whom a request is about ----------------------------------------------------

    def find(self, query: str, host: str) -> Served | Answer:
        """By the address in the query, else by host; the answer if that is nobody."""
        text = address_in_query(query)
        address = None
        if text:
            try:
                address = parse_address(text)
            except ValueError:
                return BAD_ADDRESS
        return self.find_address(address, host) or NOT_SERVED

    def find_address(self, address: Address | None, host: str) -> Served | None:
        """By an address, else by host."""
        snapshot = self.live.current()
        match = self._match(snapshot.directory, address, host)
        if match is None:
            return None
        if self.hooks.find_username is None or address is None:
            return Served(snapshot, match, address)
        if address.local == NOBODY:
            return Served(snapshot, match, address)
        return Served(snapshot, match, address, self._login(address), True)

    def find_domain(self, domain: str) -> Served | None:
        """By a folded domain alone, that of an address or of an MX host."""
        snapshot = self.live.current()
        directory = snapshot.directory
        match = directory.by_domain(domain) or directory.by_mx(domain)
        match = match or self._hooked(directory, domain)
        return None if match is None else Served(snapshot, match)

    def serves_host(self, host: str) -> bool:
        """Whether the file has a provider for this host name."""
        return self.live.current().directory.by_host(host) is not None

    def _match(
        self, directory: Directory, address: Address | None, host: str
    ) -> Match | None:
        if address is None:
            match = directory.by_host(host)
            match = match or self._hooked(directory, directory.asked_domain(host))
            return match or directory.only()
        domain = address.domain
        match = directory.by_domain(domain) or self._hooked(directory, domain)
        if match is None:
            by_host = directory.by_host(host)
            match = by_host and Match(by_host.provider_index, domain, False)
        return match

    # --- The site's own database -----------------------------------------------------

    def _login(self, address: Address) -> str | None:
        hook = self.hooks.find_username
        assert hook is not None  # noqa: S101 (see find_address)
        try:
            login = hook(str(address))
        except Exception as error:
            # Its text or its traceback may hold the address: only its kind is logged.
            log.error("find_username failed (%s)", type(error).__name__)
            return None
        try:
            return None if login is None else placeholder_text(login)
        except (ValueError, TypeError):
            log.error("find_username gave what can be no login name")
            return None

    def _hooked(self, directory: Directory, domain: str) -> Match | None:
        if self.hooks.find_provider is None or not domain:
            return None
        try:
            identity = self.hooks.find_provider(domain)
            if identity is None:
                return None
            match = directory.by_id(fold(identity), domain)
        except Exception:
            log.exception("find_provider failed; answering as if it were not there")
            return None
        if match is None:
            log.error("find_provider named %r, which the file does not have", identity)
        return match
