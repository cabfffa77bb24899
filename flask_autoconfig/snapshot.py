"""One configuration ready to answer, with its rendered documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import NamedTuple

from msgspec import structs

from .address import DOMAIN_PLACEHOLDER, Address
from .answers import NO_SUCH_SERVICE, Answer, Header, kept_for, private, public
from .bounded import Bounded
from .config.reading import Loaded
from .config.tables import SERVER_KEYS, Provider
from .directory import Directory, Match
from .documents import Format, Recipient, Words
from .hooks import HookedProvider

_ANSWER_BYTES = 2000  # what Python spends on an answer beside its body
_CACHE_BYTES = 8 * 1024 * 1024  # of rendered documents, for each configuration
_Key = tuple[str, int, str | None, str | None, str]
_PLACEHOLDER = DOMAIN_PLACEHOLDER.encode()


class Snapshot:
    """One configuration with its look-up tables and its rendered documents."""

    def __init__(
        self, loaded: Loaded, labels: Iterable[str], words: Callable[[], Words]
    ) -> None:
        """`labels` are the first labels of the host names that clients ask.

        `words` gives what documents say to people; it is called when one says something.
        """
        self.loaded = loaded
        self.words = words
        self.directory = Directory(loaded, labels)
        self.cache_control = kept_for(loaded.tables.max_age)
        # (format, provider, whom it is written for) -> the text with the placeholder for
        # the domain, and whether it is in there.
        self._texts: dict[tuple[str, int, Recipient], tuple[bytes | None, bool]] = {}
        # (format, provider, domain where it matters, else that of MX hosts, language) ->
        # answer.
        self._answers: Bounded[_Key, Answer] = Bounded(_CACHE_BYTES)
        self._lock = threading.Lock()  # around changes of `_answers`

    def document(self, format_: Format, served: Served) -> Answer:
        """The document for whoever asks; the same one is rendered once."""
        if format_.implies_login and served.has_own_logins:
            return NO_SUCH_SERVICE
        if served.is_private(format_):
            return self._for_one(format_, served)
        match = served.match
        domain = match.domain
        text: bytes | None = None
        # A provider that a hook told has one domain: its text serves no other.
        is_shared = format_.stand_in is not None and served.hooked is None
        if is_shared:
            text, varies = self._text(format_, match)
            domain = match.domain if varies else None
        language = "" if is_shared else served.recipient.language
        key = (format_.name, served.number, domain, match.mx_domain, language)
        answer = self._answers.get(key)
        if answer is not None:
            return answer

        provider = served.public_provider
        body = text
        if not is_shared:
            everybody = served.recipient._replace(address=None, person="")
            body = format_.write(provider, everybody)
        elif domain and text is not None:
            body = text.replace(_PLACEHOLDER, domain.encode())
        if body is None:
            return NO_SUCH_SERVICE
        # Of a text for many domains none is the name of the file.
        called = Recipient(domain, mx_domain=match.mx_domain).name_of(provider)
        headers = self._headers(format_, domain or called)
        answer = public(
            self._signed(format_, body),
            headers,
            cache_control=self.cache_control,
            modified=formatdate(served.modified, usegmt=True),
        )
        return self._keep(key, answer)

    def _for_one(self, format_: Format, served: Served) -> Answer:
        body = format_.write(served.provider, served.recipient)
        if body is None:
            return NO_SUCH_SERVICE
        body = self._signed(format_, body)
        return private(body, self._headers(format_, served.domain_or_name))

    def _text(self, format_: Format, match: Match) -> tuple[bytes | None, bool]:
        """The text that serves many domains, and whether the domain belongs into it."""
        assert format_.stand_in is not None  # noqa: S101 (see document)
        provider = self.loaded.providers[match.provider_index]
        stand_in = format_.stand_in(provider, _recipient(match))
        key = (format_.name, match.provider_index, stand_in)
        kept = self._texts.get(key)
        if kept is None:
            text = format_.write(provider, stand_in)
            kept = self._texts[key] = (text, _PLACEHOLDER in (text or b""))
        return kept

    def _signed(self, format_: Format, body: bytes) -> bytes:
        signer = self.loaded.signer
        return signer.sign(body) if signer and format_.is_signed else body

    def _headers(self, format_: Format, name: str) -> list[Header]:
        """What tells of a document; a browser saves it by the name."""
        headers = [("Content-Type", format_.content_type)]
        if format_.extension:
            file = f"{name}.{format_.extension}"
            headers.append(("Content-Disposition", f'attachment; filename="{file}"'))
        return headers

    def _keep(self, key: _Key, answer: Answer) -> Answer:
        size = len(answer.body) + _ANSWER_BYTES
        if size <= _CACHE_BYTES // 4:
            with self._lock:
                self._answers.put(key, answer, size)
        return answer


def _recipient(match: Match) -> Recipient:
    return Recipient(match.domain, None, match.exact, match.mx_domain)


class Served(NamedTuple):
    """Whom a request is about, and by which provider they are served."""

    snapshot: Snapshot
    match: Match
    address: Address | None
    has_own_logins: bool  # the site has the hook find_username
    hooked: HookedProvider | None  # the provider, where it is not the file's
    login: str | None = None  # what find_username returned
    login_was_asked: bool = False  # find_username was called, if only to return None
    person: str = ""  # the person's name, as the request says it
    language: str = ""  # the tag of the language that the request wants words in

    @property
    def public_provider(self) -> Provider:
        """The provider as everybody of the domain may know it."""
        if self.hooked is not None:
            return self.hooked.provider
        return self.snapshot.loaded.providers[self.match.provider_index]

    @property
    def provider(self) -> Provider:
        """The provider, with the user's own login name."""
        provider = self.public_provider
        return provider if self.login is None else _with_login(provider, self.login)

    @property
    def number(self) -> int:
        """A number for each provider, below 0 for those of hooks."""
        return self.match.provider_index if self.hooked is None else -self.hooked.number

    @property
    def modified(self) -> float:
        """When the provider was taken up, in seconds since 1970."""
        loaded = self.snapshot.loaded.modified
        return loaded if self.hooked is None else max(self.hooked.modified, loaded)

    @property
    def recipient(self) -> Recipient:
        """Whom a document is to be written for."""
        words = self.snapshot.words()
        return _recipient(self.match)._replace(
            address=self.address,
            person=self.person,
            language=words.best(self.language) if self.language else "en",
            words=words,
        )

    @property
    def domain_or_name(self) -> str:
        """The domain that the request names, else what the provider is called to them."""
        return self.match.domain or self.recipient.name_of(self.provider)

    def is_private(self, format_: Format) -> bool:
        """Whether the document is for this address alone, so that nobody may keep it."""
        if format_.differs_by == "address" and (self.address or self.person):
            return True
        if self.address is None or format_.differs_by == "nothing":
            return False
        return self.login_was_asked


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
