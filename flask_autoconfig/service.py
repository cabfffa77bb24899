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
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from .address import (
    Address,
    address_in_query,
    fill_in,
    fold,
    host_of,
    parse_address,
)
from .checks import placeholder_text
from .directory import Directory, Match, asked_domain
from .documents import apple, outlook, pacc, thunderbird
from .errors import ConfigError, Problem
from .live import Live, log
from .model import Config, Provider, with_login

# What a GET of each path gets. What a site switches off is not in its service's table.
PATHS = {
    "/mail/config-v1.1.xml": "thunderbird",
    "/.well-known/autoconfig/mail/config-v1.1.xml": "thunderbird",
    "/v1.1/mail/config-v1.1.xml": "thunderbird",
    "/.well-known/user-agent-configuration.json": "pacc",
    "/mail/mobileconfig": "apple",
    "/email.mobileconfig": "apple",
    "/.well-known/apple-mail.mobileconfig": "apple",
}
# The server that each of RFC 6764's and RFC 8620's paths leads to, by type.
DAV_PATHS = {
    "/.well-known/caldav": "caldav",
    "/.well-known/carddav": "carddav",
    "/.well-known/jmap": "jmap",
}
AUTODISCOVER = "/autodiscover/autodiscover.xml"  # these two in any case
AUTODISCOVER_V2 = "/autodiscover/autodiscover.json"
PAGE = "/mail/setup"
ISPDB = "/v1.1/"  # and the domain
DEFAULT_CLIENTS = frozenset(("thunderbird", "outlook", "apple", "pacc", "dav", "page"))
ALL_CLIENTS = DEFAULT_CLIENTS | {"ispdb"}
# Evolution asks with this local part, for privacy, and puts the real one in its place.
_NOBODY = "EVOLUTIONUSER"

_ANSWER_BYTES = 2000  # what Python spends on an answer beside its body
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
        if not status.startswith("304"):
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
NO_SUCH_SERVICE = plain("404 Not Found", "This service is not offered for that domain.")
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
        self._answers: dict[tuple[str, int, str | None], Answer] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def thunderbird(self, found: Found) -> Answer:
        """The config-v1.1.xml, rendered once for each domain that it differs for."""
        match = found.match
        if found.is_personal:
            body = thunderbird.write(found.provider, match.domain, match.exact)
            return private(body, thunderbird.CONTENT_TYPE)
        provider = self.config.provider[match.provider]
        list_asked = thunderbird.must_list(provider, match.domain, match.exact)
        kind = (match.provider, list_asked)
        kept = self._templates.get(kind)
        if kept is None:
            body = thunderbird.template(provider, list_asked)
            kept = self._templates[kind] = (body, thunderbird.ANY_DOMAIN in body)
        body, varies = kept
        key = ("thunderbird", match.provider, match.domain if varies else None)
        answer = self._answers.get(key)
        if answer is None:
            if key[2]:
                body = body.replace(thunderbird.ANY_DOMAIN, key[2].encode())
            answer = self._keep(key, self.public(body, thunderbird.CONTENT_TYPE))
        return answer

    def pacc(self, found: Found) -> Answer:
        """The PACC document of the domain, whoever asks."""
        provider = found.provider
        key = ("pacc", found.match.provider, found.domain)
        answer = self._answers.get(key)
        if answer is None:
            body = pacc.write(provider, found.domain)
            if body is None:
                return NO_SUCH_SERVICE
            answer = self._keep(key, self.public(body, pacc.CONTENT_TYPE))
        return answer

    def apple(self, found: Found) -> Answer:
        """The profile, signed if the file says with what."""
        key = ("apple", found.match.provider, found.domain)
        if found.address is None and key in self._answers:
            return self._answers[key]
        body = apple.write(found.provider, found.domain, found.address)
        if body is None:
            return NO_SUCH_SERVICE
        if self.config.signer:
            body = self.config.signer.sign(body)
        name = found.domain or found.provider.identity
        disposition = f'attachment; filename="{name}.mobileconfig"'
        extra = [("Content-Disposition", disposition)]
        if found.address:
            return private(body, apple.CONTENT_TYPE, extra)
        return self._keep(key, self.public(body, apple.CONTENT_TYPE, extra))

    def outlook(self, found: Found) -> Answer:
        """The POX settings of an address, or by host without LoginName."""
        body = outlook.write(found.provider, found.domain, found.address)
        if found.address:
            return private(body, outlook.CONTENT_TYPE)
        return self.public(body, outlook.CONTENT_TYPE)

    def redirect(self, found: Found, type_: str, method: str) -> Answer:
        """To the provider's server of that type (RFC 6764, section 5)."""
        url = _url_of(found, type_)
        if not url:
            return NO_SUCH_SERVICE
        moved = method in ("GET", "HEAD")
        # 301 would let a client turn PROPFIND into GET.
        status = "301 Moved Permanently" if moved else "308 Permanent Redirect"
        headers = [
            ("Location", url),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", self._cache_control),
        ]
        return Answer(status, f"{url}\n".encode(), headers)

    def public(
        self, body: bytes, content_type: str, extra: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """An answer that is the same for everybody of a domain."""
        digest = hashlib.sha256(body).hexdigest()[:32]
        headers = [
            ("Content-Type", content_type),
            ("Cache-Control", self._cache_control),
            *extra,
        ]
        etag = f'"{digest}"'
        return Answer("200 OK", body, headers, etag=etag, modified=self._modified)

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


def private(
    body: bytes, content_type: str, extra: Iterable[tuple[str, str]] = ()
) -> Answer:
    """An answer that carries an address: nobody may keep it."""
    headers = [
        ("Content-Type", content_type),
        ("Cache-Control", "private, no-store"),
        *extra,
    ]
    return Answer("200 OK", body, headers)


class Found(NamedTuple):
    """Whose settings a request is about."""

    snapshot: Snapshot
    match: Match
    address: Address | None
    login: str | None = None  # what the site's own database says
    is_personal: bool = False  # it was asked: the answer is for this address alone

    @property
    def provider(self) -> Provider:
        """The provider that serves them, with the user's own login name."""
        provider = self.snapshot.config.provider[self.match.provider]
        return provider if self.login is None else with_login(provider, self.login)

    @property
    def domain(self) -> str | None:
        """The domain that the request names, if it does."""
        return self.match.domain


def _url_of(found: Found, type_: str) -> str:
    """Where the provider has a service; up to where the URL needs an address."""
    for _, server in found.provider.servers:
        if server.type == type_ and server.url:
            url = fill_in(server.url, found.domain, None)
            if url:
                return url
            domain = found.domain or found.provider.identity
            if not domain and "%EMAILDOMAIN%" in server.url:
                continue
            known = server.url.replace("%EMAILDOMAIN%", domain).partition("%EMAIL")[0]
            return known.rpartition("/")[0] + "/"
    return ""


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
        clients: Iterable[str] | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.clients = families(clients)
        self.hooks = hooks or Hooks()
        self.paths = {
            path: family for path, family in PATHS.items() if family in self.clients
        }
        self.live = Live(file, Snapshot)

    def answer(self, path: str, query: str, host: str) -> Answer | None:
        """What a GET of `path` gets, or None where the path is none of ours.

        `query` is the raw query string, `host` the Host header; any text is answered.
        What more than these decides about has a method of its own.
        """
        family = self.paths.get(path)
        if family is None:
            return self._answer_elsewhere(path, query, host)
        found = self.find(query, host)
        if isinstance(found, Answer):
            return found
        if family == "thunderbird":
            return found.snapshot.thunderbird(found)
        if family == "pacc":
            return found.snapshot.pacc(found)
        return found.snapshot.apple(found)

    def _answer_elsewhere(self, path: str, query: str, host: str) -> Answer | None:
        if path.startswith(ISPDB) and "ispdb" in self.clients:
            return self.isp_database(path[len(ISPDB) :])
        if path in DAV_PATHS and "dav" in self.clients:
            return self.redirect(path, host, "GET")
        lower = path.lower()
        if "outlook" in self.clients and lower.startswith(AUTODISCOVER_V2):
            return self.autodiscover_v2(path, query, host)
        if "outlook" in self.clients and lower == AUTODISCOVER:
            return self.autodiscover_by_host(query, host)
        return None

    def redirect(self, path: str, host: str, method: str) -> Answer:
        """What a request for calendars, address books or JMAP gets, by its host."""
        found = self.find("", host)
        if isinstance(found, Answer):
            return found
        return found.snapshot.redirect(found, DAV_PATHS[path], method)

    def autodiscover_by_host(
        self, query: str, host: str, *, must_encrypt: bool = False
    ) -> Answer:
        """What a GET for POX gets. Over plain http Outlook wants nothing but a 302."""
        name = host_of(host)
        if must_encrypt and name:
            headers = [("Location", f"https://{name}{AUTODISCOVER}")]
            return Answer("302 Found", b"", [*headers, ("Cache-Control", "no-store")])
        found = self.find(query, host)
        return found if isinstance(found, Answer) else found.snapshot.outlook(found)

    def autodiscover(self, body: bytes, host: str) -> Answer:
        """What a POST of POX gets: settings, or an error, both with status 200."""
        try:
            address = parse_address(outlook.read_request(body))
        except outlook.RequestError as error:
            return private(outlook.error(error.code), outlook.CONTENT_TYPE)
        except ValueError:
            code = outlook.INVALID_REQUEST
            return private(outlook.error(code), outlook.CONTENT_TYPE)
        found = self._find(address, host)
        if found is None:
            return private(outlook.error(outlook.NOT_SERVED), outlook.CONTENT_TYPE)
        return found.snapshot.outlook(found)

    def autodiscover_v2(self, path: str, query: str, host: str) -> Answer:
        """What a GET for version 2 gets; `path` may end in the address."""
        keys = {key.lower(): value for key, value in parse_qsl(query[:4096])}
        text = path[len(AUTODISCOVER_V2) :].removeprefix("/").partition("/")[2]
        text = text or keys.get("email", "")
        try:
            address = parse_address(text) if text else None
        except ValueError:
            return _v2_error("400 Bad Request", "InvalidRequest", "Not an address.")
        protocol = keys.get("protocol")
        if not protocol:
            message = "The query parameter Protocol is missing."
            return _v2_error("400 Bad Request", "MandatoryParameterMissing", message)
        found = self._find(address, host)
        if found is None:
            message = "No settings are published here for that domain."
            return _v2_error("404 Not Found", "UserNotFound", message)
        name = (
            host_of(host) or f"autodiscover.{found.domain or found.provider.identity}"
        )
        body = outlook.write_v2(found.provider, protocol, name)
        if body is None:
            message = "The protocol is not offered; AutodiscoverV1 is."
            return _v2_error("400 Bad Request", "InvalidProtocol", message)
        return private(body, outlook.JSON_CONTENT_TYPE)

    def find(self, query: str, host: str) -> Found | Answer:
        """Whose settings a request is about, or the answer if that is nobody."""
        text = address_in_query(query)
        address = None
        if text:
            try:
                address = parse_address(text)
            except ValueError:
                return BAD_ADDRESS
        return self._find(address, host) or NOT_SERVED

    def _find(self, address: Address | None, host: str) -> Found | None:
        snapshot = self.live.current()
        match = self._match(snapshot.directory, address, host)
        if match is None:
            return None
        if self.hooks.find_username is None or address is None or _is_nobody(address):
            return Found(snapshot, match, address)
        return Found(snapshot, match, address, self._login(address), True)

    def isp_database(self, name: str) -> Answer:
        """The document of a domain, or of the domain of MX hosts (family `ispdb`)."""
        try:
            domain = fold(name)
        except ValueError:
            return NOT_SERVED
        snapshot = self.live.current()
        directory = snapshot.directory
        match = directory.by_domain(domain) or directory.by_mx(domain)
        match = match or self._hooked(directory, domain)
        if match is None:
            return NOT_SERVED
        return snapshot.thunderbird(Found(snapshot, match, None))

    def serves_host(self, host: str) -> bool:
        """Whether the file has a provider for this host name."""
        return self.live.current().directory.by_host(host) is not None

    def serves_domain(self, domain: str) -> bool:
        """Whether a provider claims this folded domain, or has it among its MX hosts."""
        directory = self.live.current().directory
        claimed = directory.by_domain(domain) or directory.by_mx(domain)
        return bool(claimed or self._hooked(directory, domain))

    def _login(self, address: Address) -> str | None:
        hook = self.hooks.find_username
        assert hook is not None  # noqa: S101 (see _find)
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


def _is_nobody(address: Address) -> bool:
    return address.local == _NOBODY


def _v2_error(status: str, code: str, message: str) -> Answer:
    headers = [
        ("Content-Type", outlook.JSON_CONTENT_TYPE),
        ("Cache-Control", "no-store"),
    ]
    return Answer(status, outlook.error_v2(code, message), headers)


def families(clients: Any) -> frozenset[str]:
    """The families to serve, all usual ones for None; raises ConfigError."""
    if clients is None:
        return DEFAULT_CLIENTS
    try:
        names = {clients} if isinstance(clients, str) else set(clients)
    except TypeError:
        names = {clients}
    unknown = sorted(str(name) for name in names - ALL_CLIENTS)
    if unknown:
        message = f"there is no family {', '.join(unknown)}"
        cure = f"choose from {', '.join(sorted(ALL_CLIENTS))}"
        raise ConfigError([Problem("AUTOCONFIG_CLIENTS", message, cure)])
    return frozenset(names)
