"""The live configuration, and the one place that decides what a request gets.

Nothing here knows Flask: the blueprint and the standalone service are two doors onto
:meth:`Service.answer`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from .address import Address, address_in_query, host_of, parse_address
from .directory import Directory, Match, asked_domain
from .documents import thunderbird
from .errors import ConfigError, Problem
from .live import Live, log
from .model import Config

# Path -> family of clients. What a site switches off is not in its service's table.
PATHS = {
    "/mail/config-v1.1.xml": "thunderbird",
    "/.well-known/autoconfig/mail/config-v1.1.xml": "thunderbird",
    "/v1.1/mail/config-v1.1.xml": "thunderbird",
}
DEFAULT_CLIENTS = frozenset({"thunderbird"})
ALL_CLIENTS = DEFAULT_CLIENTS

_CACHE_BYTES = 8 * 1024 * 1024  # of rendered documents, for each configuration

_COMMON_HEADERS = (
    ("Access-Control-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
)


class Answer:
    """What goes back to the client: status line, headers and body, ready to send."""

    __slots__ = ("body", "etag", "headers", "modified", "status")

    def __init__(
        self,
        status: str,
        body: bytes,
        headers: Iterable[tuple[str, str]],
        *,
        etag: str = "",
        modified: str = "",
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [*headers, *_COMMON_HEADERS]
        self.etag = etag
        self.modified = modified
        if body:
            self.headers.append(("Content-Length", str(len(body))))
        if etag:
            self.headers += [("ETag", etag), ("Last-Modified", modified)]

    def for_request(self, environ: dict[str, Any]) -> Answer:
        """This answer, or 304 where the client has it (RFC 9110, section 13)."""
        if not self.etag or not (
            "HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" in environ
        ):
            return self
        from werkzeug.http import is_resource_modified, parse_date

        modified = parse_date(self.modified)
        if is_resource_modified(environ, etag=self.etag, last_modified=modified):
            return self
        kept = [pair for pair in self.headers if pair[0] in _KEPT_BY_304]
        return Answer(
            "304 Not Modified", b"", kept, etag=self.etag, modified=self.modified
        )


_KEPT_BY_304 = frozenset({"Cache-Control"})


def plain(status: str, text: str) -> Answer:
    """An answer in words. A 404 has a body: to Kontact an empty one is success."""
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-store"),
    ]
    return Answer(status, text.encode() + b"\n", headers)


NOT_SERVED = plain("404 Not Found", "No mail settings are published here for that.")
BAD_ADDRESS = plain(
    "400 Bad Request",
    "emailaddress must be an e-mail address like user@example.com, or be left out.",
)


class Snapshot:
    """One configuration with its look-up tables and its rendered documents."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.directory = Directory(config)
        self._modified = formatdate(config.modified, usegmt=True)
        self._cache_control = f"public, max-age={config.max_age}, no-transform"
        self._templates: dict[tuple[int, bool], tuple[bytes, bool]] = {}
        self._answers: dict[tuple[int, str | None], Answer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def thunderbird(self, match: Match) -> Answer:
        """The config-v1.1.xml, rendered once for each domain that it differs for."""
        provider = self.config.provider[match.provider]
        list_asked = thunderbird.must_list(provider, match.domain, match.exact)
        kind = (match.provider, list_asked)
        found = self._templates.get(kind)
        if found is None:
            body = thunderbird.template(provider, list_asked)
            found = self._templates[kind] = (body, thunderbird.ANY_DOMAIN in body)
        body, varies = found
        domain = match.domain if varies else None
        answer = self._answers.get((match.provider, domain))
        if answer is None:
            if domain:
                body = body.replace(thunderbird.ANY_DOMAIN, domain.encode())
            answer = self._public(body, thunderbird.CONTENT_TYPE)
            self._keep((match.provider, domain), answer)
        return answer

    def _public(self, body: bytes, content_type: str) -> Answer:
        digest = hashlib.sha256(body).hexdigest()[:32]
        headers = [
            ("Content-Type", content_type),
            ("Cache-Control", self._cache_control),
        ]
        etag = f'"{digest}"'
        return Answer("200 OK", body, headers, etag=etag, modified=self._modified)

    def _keep(self, key: tuple[int, str | None], answer: Answer) -> None:
        size = len(answer.body) + 2000  # and what Python spends on the rest
        if size > _CACHE_BYTES // 4:
            return
        with self._lock:
            self._bytes += size
            self._answers[key] = answer
            while self._bytes > _CACHE_BYTES:
                oldest = self._answers.pop(next(iter(self._answers)))
                self._bytes -= len(oldest.body) + 2000


class Service:
    """What one app serves: the live configuration, the families, the site's hooks."""

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        clients: Iterable[str] | None = None,
        find_provider: Callable[[str], str | None] | None = None,
    ) -> None:
        self.clients = families(clients)
        self.find_provider = find_provider
        self.paths = {
            path: family for path, family in PATHS.items() if family in self.clients
        }
        self.live = Live(file, Snapshot)

    def answer(self, path: str, query: str, host: str) -> Answer | None:
        """What a GET of `path` gets, or None where the path is none of ours.

        `query` is the raw query string, `host` the Host header; any text is answered.
        """
        family = self.paths.get(path)
        if family is None:
            return None
        text = address_in_query(query)
        address = None
        if text:
            try:
                address = parse_address(text)
            except ValueError:
                return BAD_ADDRESS
        snapshot = self.live.current()
        match = self._match(snapshot.directory, address, host)
        return NOT_SERVED if match is None else snapshot.thunderbird(match)

    def _match(
        self, directory: Directory, address: Address | None, host: str
    ) -> Match | None:
        if address is None:
            found = directory.by_host(host) or self._hooked(
                directory, asked_domain(host_of(host))
            )
            return found or directory.only()
        domain = address.domain
        match = directory.by_domain(domain) or self._hooked(directory, domain)
        if match is None:
            by_host = directory.by_host(host)
            match = by_host and Match(by_host.provider, domain, False)
        return match

    def _hooked(self, directory: Directory, domain: str) -> Match | None:
        if self.find_provider is None or not domain:
            return None
        try:
            identity = self.find_provider(domain)
        except Exception:
            log.exception("find_provider failed; answering as if it were not there")
            return None
        if identity is None:
            return None
        match = directory.by_id(identity, domain)
        if match is None:
            log.error("find_provider named %r, which the file does not have", identity)
        return match


def families(clients: Iterable[str] | None) -> frozenset[str]:
    """The families to serve, all usual ones for None; raises ConfigError."""
    if clients is None:
        return DEFAULT_CLIENTS
    names = {clients} if isinstance(clients, str) else set(clients)
    unknown = sorted(str(name) for name in names - ALL_CLIENTS)
    if unknown:
        message = f"there is no family {', '.join(unknown)}"
        cure = f"choose from {', '.join(sorted(ALL_CLIENTS))}"
        raise ConfigError([Problem("AUTOCONFIG_CLIENTS", message, cure)])
    return frozenset(names)
