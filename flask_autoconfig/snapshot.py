"""An immutable configuration: an index of its domains, and the rendered documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import NamedTuple

from msgspec import structs

from .address import DOMAIN_PLACEHOLDER, Address, host_of
from .answers import NO_SUCH_SERVICE, Answer, private, public, public_cache_control
from .bounded import BoundedCache
from .config.reading import Loaded
from .config.tables import Provider, Server
from .documents import Format, Recipient, Words
from .hooks import HookedProvider, Hooks

_ANSWER_BYTES = 2000  # memory of an answer without its body
_CACHE_BYTES = 8 * 1024 * 1024  # of rendered documents
_PLACEHOLDER = DOMAIN_PLACEHOLDER.encode()
# The format, provider, domain if it makes a difference, MX domain and language.
_AnswerKey = tuple[str, int, str | None, str | None, str]


class Match(NamedTuple):
    """The provider of a request, and the domain if the request names one."""

    provider_index: int
    domain: str | None  # A-labels
    exact: bool  # the provider claims the domain by name, not by a pattern
    mx_domain: str | None = None  # where only the domain of MX hosts is known


class Directory:
    """An index of the providers' domains; a lookup takes the same time at any size.

    `labels` are the first labels that clients put before the domain, as `autoconfig`.
    """

    def __init__(self, loaded: Loaded, labels: Iterable[str] = ()) -> None:
        self._labels = tuple(f"{label}." for label in labels)
        self._claims = loaded.claims
        self._catch_all = loaded.claims.get(b"*")
        self._mx: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        self._has_one_provider = len(loaded.providers) == 1
        for index, provider in enumerate(loaded.providers):
            self._ids.setdefault(provider.identity, index)
            for domain in provider.mx_domains:
                self._mx.setdefault(domain, index)

    def by_id(self, identity: str, domain: str) -> Match | None:
        index = self._ids.get(identity)
        return None if index is None else Match(index, domain, False)

    def by_domain(self, domain: str) -> Match | None:
        """Find by a folded domain: by name, then the longest pattern, then `*`."""
        index = self._claims.get(domain.encode())
        if index is not None:
            return Match(index, domain, True)
        index = self._by_pattern(domain)
        index = self._catch_all if index is None else index
        return None if index is None else Match(index, domain, False)

    def _by_pattern(self, domain: str) -> int | None:
        parents = _with_parents(domain.partition(".")[2])
        indexes = (self._claims.get(b"*." + parent.encode()) for parent in parents)
        return next((index for index in indexes if index is not None), None)

    def claims(self, domain: str) -> bool:
        """Whether a provider names the domain, by a pattern or in `mx_domains` too."""
        is_named = domain.encode() in self._claims or domain in self._mx
        return is_named or self._by_pattern(domain) is not None

    def by_mx(self, domain: str) -> Match | None:
        """Find by the domain of MX hosts; the customer's domain stays unknown."""
        index = self._mx.get(domain)
        return None if index is None else Match(index, None, False, domain)

    def by_host(self, authority: str) -> Match | None:
        """Find by the Host header: the host itself, or its nearest parent domain."""
        host = host_of(authority)
        domain = self.without_label(host)
        if host != domain and host.encode() in self._claims:
            return Match(self._claims[host.encode()], host, True)
        for name in _with_parents(domain):
            index = self._claims.get(name.encode())
            if index is not None:
                return Match(index, name, True)
            if name in self._mx:
                return self.by_mx(name)
            index = self._claims.get(b"*." + name.partition(".")[2].encode())
            if index is not None:
                return Match(index, domain, False)
        if self._catch_all is not None and "." in domain:
            return Match(self._catch_all, domain, False)
        return None

    def only_provider(self) -> Match | None:
        return Match(0, None, False) if self._has_one_provider else None

    def without_label(self, host: str) -> str:
        """Return a folded host name without the client's label."""
        for label in self._labels:
            if host.startswith(label):
                return host[len(label) :]
        return host


def _with_parents(name: str) -> Iterator[str]:
    """Yield a domain and each domain above it."""
    while name:
        yield name
        name = name.partition(".")[2]


class Snapshot:
    """One configuration, its index of domains and its cache of rendered documents."""

    def __init__(
        self,
        loaded: Loaded,
        hooks: Hooks,
        labels: Iterable[str],  # see Directory
        # Returns the best match for a language, and the texts in all languages.
        words: Callable[[str], tuple[str, Words]],
    ) -> None:
        self.loaded = loaded
        self.hooks = hooks
        self.words = words
        self.directory = Directory(loaded, labels)
        hosts = (provider.autodiscover_host for provider in loaded.providers)
        self.autodiscover_hosts = frozenset(filter(None, hosts))
        self.cache_control = public_cache_control(loaded.tables.max_age)
        # (format, provider, recipient) -> a text in which `%EMAILDOMAIN%` is to be
        # replaced, and whether it contains that placeholder.
        self._texts: dict[tuple[str, int, Recipient], tuple[bytes | None, bool]] = {}
        self._answers: BoundedCache[_AnswerKey, Answer] = BoundedCache(_CACHE_BYTES)
        self._lock = threading.Lock()  # guards changes of `_answers`

    def document(self, format_: Format, served: Served) -> Answer:
        if format_.implies_login and self.hooks.has("find_username"):
            return NO_SUCH_SERVICE
        if served.is_private(format_):
            body = format_.write(served.provider, served.recipient)
            return self._answer(format_, body, served, served.domain_or_name)

        match, domain, language = served.match, served.match.domain, ""
        # A provider from a hook has one domain: no other domain shares its document.
        is_shared = format_.template_recipient is not None and served.hooked is None
        if is_shared:
            body, has_placeholder = self._text(format_, served)
            domain = domain if has_placeholder else None
        else:
            language = served.recipient.language if served.language else "en"
        key = (format_.name, served.number, domain, match.mx_domain, language)
        answer = self._answers.get(key)
        if answer is not None:
            return answer

        provider = served.public_provider
        if not is_shared:
            everybody = served.recipient._replace(address=None, person="")
            body = format_.write(provider, everybody)
        elif domain and body is not None:
            body = body.replace(_PLACEHOLDER, domain.encode())
        # The file of a document for many domains is not named after one of them.
        name = domain or Recipient(mx_domain=match.mx_domain).name_of(provider)
        answer = self._answer(format_, body, served, name, is_public=True)
        size = len(answer.body) + _ANSWER_BYTES
        if body is not None and size <= _CACHE_BYTES // 4:
            with self._lock:
                self._answers.put(key, answer, size)
        return answer

    def _text(self, format_: Format, served: Served) -> tuple[bytes | None, bool]:
        """Return the text that many domains share, and whether it has the placeholder."""
        assert format_.template_recipient is not None  # noqa: S101 (see document)
        provider = served.public_provider
        recipient = format_.template_recipient(provider, served.everybody)
        key = (format_.name, served.number, recipient)
        cached = self._texts.get(key)
        if cached is None:
            text = format_.write(provider, recipient)
            cached = self._texts[key] = (text, _PLACEHOLDER in (text or b""))
        return cached

    def _answer(
        self,
        format_: Format,
        body: bytes | None,
        served: Served,
        name: str,
        *,
        is_public: bool = False,
    ) -> Answer:
        """Return the response with a document, which a browser saves as `name`."""
        if body is None:
            return NO_SUCH_SERVICE
        if self.loaded.signer and format_.is_signed:
            body = self.loaded.signer.sign(body)
        headers = [("Content-Type", format_.content_type)]
        if format_.extension:
            file = f"{name}.{format_.extension}"
            headers.append(("Content-Disposition", f'attachment; filename="{file}"'))
        if not is_public:
            return private(body, headers)
        times = (self.loaded.modified, served.hooked.modified if served.hooked else 0.0)
        modified = formatdate(max(times), usegmt=True)
        return public(
            body, headers, cache_control=self.cache_control, modified=modified
        )


class Served(NamedTuple):
    """The result of a lookup: the provider, and the domain or address it serves."""

    snapshot: Snapshot
    match: Match
    address: Address | None = None
    hooked: HookedProvider | None = None  # of find_provider, not of the file
    login: str | None = None  # the result of find_username
    # A hook was called with the address, even if it returned None.
    is_personal: bool = False
    person: str = ""  # the person's name, from the request
    language: str = ""  # the tag of the requested language

    @property
    def public_provider(self) -> Provider:
        """The provider without the user's own login name."""
        if self.hooked is not None:
            return self.hooked.provider
        return self.snapshot.loaded.providers[self.match.provider_index]

    @property
    def provider(self) -> Provider:
        """The provider, with the user's own login name for the placeholder of one."""
        provider = self.public_provider
        return provider.with_servers(self._with_login) if self.login else provider

    def _with_login(self, server: Server) -> Server:
        is_personal = any(name in (server.username or "") for name in _LOGINS)
        return structs.replace(server, username=self.login) if is_personal else server

    @property
    def number(self) -> int:
        """The provider's number, which is negative for a provider from a hook."""
        return self.match.provider_index if self.hooked is None else -self.hooked.number

    @property
    def everybody(self) -> Recipient:
        """The recipient of a document for all users of the domain."""
        _, domain, exact, mx_domain = self.match
        return Recipient(domain, None, exact, mx_domain)

    @property
    def recipient(self) -> Recipient:
        language, words = self.snapshot.words(self.language)
        return self.everybody._replace(
            address=self.address, person=self.person, language=language, words=words
        )

    @property
    def domain_or_name(self) -> str:
        """The domain that the request names, or else the provider's name for everybody."""
        return self.match.domain or self.everybody.name_of(self.public_provider)

    def is_private(self, format_: Format) -> bool:
        """Whether the document depends on the address, so that it must not be cached."""
        is_named = self.address is not None or bool(self.person)
        return self.is_personal or (format_.has_address and is_named)


_LOGINS = ("%EMAILADDRESS%", "%EMAILLOCALPART%")
